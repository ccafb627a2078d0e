"""Ctrl-C and its kin, as a decision and not as an exception in the middle of something."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

CAUGHT: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Which signal came first; None as long as none did."""

    def __init__(self) -> None:
        self.signal: int | None = None

    @property
    def exit_code(self) -> int:
        """As shells say it."""
        return 128 + (self.signal or signal.SIGINT)


@contextmanager
def interruptible(call: Callable[[], None]) -> Iterator[Interruption]:
    """Inside the block each of these signals calls the function, on the event loop, and does nothing else."""
    found = Interruption()
    loop = asyncio.get_running_loop()

    def caught(number: int) -> None:
        found.signal = found.signal or number
        call()

    for number in CAUGHT:
        loop.add_signal_handler(number, caught, number)
    try:
        yield found
    finally:
        for number in CAUGHT:
            loop.remove_signal_handler(number)
