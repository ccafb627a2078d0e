"""Wrong keys and secrets, counted by address: they are answered more and more tersely, and fill no log."""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from typing import Final

from asynclog.errors import TooManyError
from asynclog.protocols import Clock

FAILURES: Final = 10
"""Wrong ones that may come from an address in a minute; the right one may at any time."""
FAILURE_SECONDS: Final = 60
ADDRESSES: Final = 10_000
"""Addresses whose failures are remembered."""


_log: Final = logging.getLogger("asynclog.server")


class Failures:
    """State owned here, on the event loop: who came with a wrong one just now.

    Args:
        clock: steady time.
        what: they are, in a sentence.
    """

    def __init__(self, clock: Clock, what: str) -> None:
        self._clock = clock
        self._what = what
        self._moments: OrderedDict[str, deque[float]] = OrderedDict()
        self._told: dict[str, float] = {}

    def add(self, address: str) -> None:
        """One more.

        Raises:
            TooManyError: there were too many from this address.
        """
        now = self._clock.monotonic()
        moments = self._moments.setdefault(address, deque(maxlen=FAILURES))
        self._moments.move_to_end(address)
        while len(self._moments) > ADDRESSES:
            self._told.pop(self._moments.popitem(last=False)[0], None)
        if len(moments) == FAILURES and now - moments[0] < FAILURE_SECONDS:
            if now - self._told.get(address, -FAILURE_SECONDS) >= FAILURE_SECONDS:
                self._told[address] = now
                _log.warning("%d %s came from %s within a minute", FAILURES, self._what, address)
            left = FAILURE_SECONDS - int(now - moments[0])
            raise TooManyError(f"{FAILURES} {self._what} came from here within a minute; wait {left} seconds", left)
        moments.append(now)
