"""How fast long work goes: progress entries that somebody can read at night, and not too many of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from asynclog import TaskLogger

INTERVAL: Final = 1.0
"""Seconds between two progress entries."""


def amount(number: float, unit: str) -> str:
    """A number with its unit: ``1,234 rows``, ``12.5 MB``."""
    if unit != "bytes":
        return f"{number:,.0f} {unit}"
    size = float(number)
    for name in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:,.0f} {name}" if name == "bytes" else f"{size:.1f} {name}"
        size /= 1000
    return f"{size:,.1f} TB"


class Pace:
    """Reports how far a piece of work is, at most once per `INTERVAL`, and at its end. For one thread.

    Args:
        logger: where the progress goes; its source is who works.
        verb: what was done to the items, as in "copied".
        unit: of the items, in the plural; ``bytes`` are shown as kB, MB and so on.
        total: how many there are, None when nobody knows.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        logger: TaskLogger,
        verb: str,
        unit: str,
        total: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._verb = verb
        self._unit = unit
        self._clock = clock
        self._started = self._reported = clock()
        self.total = total
        self.done = 0

    def advance(self, more: int) -> None:
        """So many items more."""
        self.reach(self.done + more)

    def reach(self, done: int) -> None:
        """So many items in all."""
        self.done = done
        now = self._clock()
        if now - self._reported >= INTERVAL:
            self._reported = now
            self._report(now)

    def finish(self) -> None:
        """The last report, always made."""
        self._report(self._clock())

    @property
    def rate(self) -> float:
        """Items per second since the start."""
        return self.done / max(self._clock() - self._started, 1e-6)

    def _report(self, now: float) -> None:
        rate = self.done / max(now - self._started, 1e-6)
        if self.total:
            done = f"{self.done:,}" if self._unit != "bytes" else amount(self.done, "bytes")
            said = f"{self._verb} {done} of {amount(self.total, self._unit)} ({min(self.done / self.total, 1):.0%})"
        else:
            said = f"{self._verb} {amount(self.done, self._unit)}"
        said += f", {amount(rate, self._unit)}/s"
        left = (self.total - self.done) / rate if self.total and rate else 0
        if left >= 1:
            said += f", about {left:,.0f} s left"
        self._logger.progress(self.done, self.total, said, rate=round(rate, 1), unit=self._unit)
