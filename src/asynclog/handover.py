"""Handing the interpreter over to threads that the loop waits for, while they work.

A thread that comes back from SQLite has to wait for the GIL, and asks for it only after a whole switch interval: 5 ms
as Python comes, a dozen times in each commit. So while something is under way the interval is shorter, and as it was
afterwards.

A loop with turns shorter than that gives the GIL away at each look at its sockets, but for less time than the thread
needs to wake up, and with that the request is forgotten: beside a busy loop a commit waited up to a second. So now and
then the loop itself sleeps for a moment, long enough for a thread to wake up.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Final

SWITCH_SECONDS: Final = 5e-4
"""The switch interval meanwhile; one that is shorter stays."""
TURN_SECONDS: Final = 0.002
"""How often the loop sleeps, at most."""
MOMENT_SECONDS: Final = 3e-4
"""A thread on another processor wakes up in about a fifth of it, and may be out in SQLite again before it is over."""


class Handover:
    """A context manager, entered by each call that waits for a thread; all on one loop share one timer.

    Args:
        rest: lets the loop's thread sleep for so many seconds, without the GIL.
    """

    def __init__(self, rest: Callable[[float], None] = time.sleep) -> None:
        self._rest = rest
        self._waiting = 0
        self._timer: asyncio.TimerHandle | None = None
        self._usual = self._short = 0.0
        """The switch interval as it was before, and as it was set."""
        this = weakref.WeakMethod(self._relax)
        os.register_at_fork(after_in_child=lambda: (forked := this()) and forked())  # nothing is under way there

    def __enter__(self) -> None:
        self._waiting += 1
        if self._waiting == 1:
            self._hurry()
            self._schedule()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting -= 1
        if not self._waiting and self._timer is not None:
            self._timer.cancel()
            self._relax()

    def _hurry(self) -> None:
        self._usual = sys.getswitchinterval()
        if self._usual > SWITCH_SECONDS:
            sys.setswitchinterval(SWITCH_SECONDS)
            self._short = sys.getswitchinterval()

    def _relax(self) -> None:
        if self._short == sys.getswitchinterval():  # else it was not set, or somebody else has set it meanwhile
            sys.setswitchinterval(self._usual)
        self._short = 0.0

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TURN_SECONDS, self._hand_over)

    def _hand_over(self) -> None:
        self._rest(MOMENT_SECONDS)
        self._schedule()
