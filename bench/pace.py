"""An open-loop clock: what is due is due, whether or not what came before has been taken.

A load that waits for its victim measures only the moments in which the victim is well (coordinated omission). So
latencies count from when something was due, not from when the load got round to it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

TICK: Final = 0.001
"""Seconds between two looks at the clock: how much earlier or later than due something may begin."""


async def due(rate: float, seconds: float, tick: float = TICK) -> AsyncIterator[tuple[int, int, int]]:
    """What is due now, as (first number, how many, when the first was due), for so many seconds.

    Args:
        rate: events a second.
        seconds: how long.
        tick: seconds from one look to the next; a late look finds more due.

    Times are those of ``time.monotonic_ns``. All ``round(rate * seconds)`` events come, however late.
    """
    start = time.monotonic_ns()
    total = round(rate * seconds)
    done = 0
    while done < total:
        passed = (time.monotonic_ns() - start) / 1e9
        ready = min(total, int(passed * rate) + 1)
        if ready > done:
            yield done, ready - done, start + round(done / rate * 1e9)
            done = ready
        looked = (time.monotonic_ns() - start) / 1e9 - passed
        await asyncio.sleep(max(tick - looked, done / rate - passed - looked, 0.0))
