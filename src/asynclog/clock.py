"""The clock of the machine; tests bring another (`asynclog.testing.ManualClock`)."""

from __future__ import annotations

import asyncio
import time
from time import time_ns


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
