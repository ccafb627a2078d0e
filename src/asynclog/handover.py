"""Handing the interpreter over to threads that the loop waits for, now and then, while they work.

A thread that comes back from SQLite has to wait for the GIL, and asks for it only after a whole switch interval (5 ms).
A loop with shorter turns gives the GIL away at each look at its sockets, but for less time than the thread needs to
wake up, and with that the request is forgotten: beside a busy loop a commit waited up to a second. So while something
is under way the loop itself sleeps for a moment, long enough for a thread to wake up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

TURN_SECONDS: Final = 0.002
"""How often the loop does it, at most."""
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

    def __enter__(self) -> None:
        self._waiting += 1
        if self._waiting == 1:
            self._schedule()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting -= 1
        if not self._waiting and self._timer is not None:
            self._timer.cancel()

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TURN_SECONDS, self._hand_over)

    def _hand_over(self) -> None:
        self._rest(MOMENT_SECONDS)
        self._schedule()
