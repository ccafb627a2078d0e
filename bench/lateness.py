"""Whether a process gets the processor when it wants it: a load that is late itself measures itself."""

from __future__ import annotations

import asyncio
import time
from typing import Final, Self

from bench.latency import Latencies

EVERY: Final = 0.01
"""Seconds between two looks at the clock."""


class Lateness:
    """How late the event loop is, inside of the block."""

    def __init__(self) -> None:
        self._latencies = Latencies()

    async def __aenter__(self) -> Self:
        """Begin to look."""
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Look no more."""
        self._looking.cancel()
        await asyncio.gather(self._looking, return_exceptions=True)

    @property
    def p99_ms(self) -> float:
        """The 99th percentile until now, in milliseconds."""
        return self._latencies.percentile_ms(99)

    async def _look(self) -> None:
        due = time.monotonic() + EVERY
        while True:
            await asyncio.sleep(max(due - time.monotonic(), 0.0))
            now = time.monotonic()
            while due <= now:  # who is late by ten looks has missed ten, and not one
                self._latencies.add((now - due) * 1e6)
                due += EVERY
