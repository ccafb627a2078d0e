"""The clock of the machine, where tests bring another (`asynclog.testing.ManualClock`); and waiting by any of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from time import time_ns
from typing import Any


class SystemClock:
    """`protocols.Clock` on the machine's own time."""

    now_ns = staticmethod(time_ns)
    """Wall time, nanoseconds since the epoch."""

    def now(self) -> int:
        """Wall time, microseconds since the epoch."""
        return time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await asyncio.sleep(seconds)


async def wait_for(event: asyncio.Event, sleep: Callable[[float], Coroutine[Any, Any, None]], seconds: float) -> None:
    """Return when the event is set, at the latest after so many seconds, as a clock's ``sleep`` takes them."""
    due = asyncio.ensure_future(event.wait())
    tick = asyncio.ensure_future(sleep(seconds))
    try:
        await asyncio.wait((due, tick), return_when=asyncio.FIRST_COMPLETED)
    finally:
        due.cancel()
        tick.cancel()
