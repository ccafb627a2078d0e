"""How much of the service one caller may have at a time: open subscriptions, exports, frames. All on the event loop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from starlette.requests import HTTPConnection

from asynclog.config import Server
from asynclog.errors import TooManyError, UnavailableError
from asynclog.model import Value
from asynclog.server.passes import Pass

RETRY_SECONDS: Final = 10
"""When to try again where something has to end first."""
EXPORTS_EACH: Final = 8
"""Exports of one caller at a time; each may hold a page in memory."""
EXPORTS: Final = 32
FRAMES: Final = 200
"""Frames a client may send on one WebSocket at once,"""
FRAMES_A_SECOND: Final = 20.0
"""and from then on."""

_UNLESS_SAID: Final = Server()


class Limits(Value, frozen=True, kw_only=True):
    """What ``[server]`` of asynclog.toml says about them."""

    connections: int = _UNLESS_SAID.connections
    subscriptions: int = _UNLESS_SAID.subscriptions
    subscriptions_per_key: int = _UNLESS_SAID.subscriptions_per_key

    @classmethod
    def of(cls, server: Server) -> Limits:
        """As a configuration says."""
        return cls(
            connections=server.connections,
            subscriptions=server.subscriptions,
            subscriptions_per_key=server.subscriptions_per_key,
        )


DEFAULT_LIMITS: Final = Limits()


def caller_of(caller: Pass | None, connection: HTTPConnection) -> str:
    """Who shares a limit: whoever comes with the same key, or where nobody has one, from the same address."""
    key_id = None if caller is None else caller.principal.key_id
    address = "" if connection.client is None else connection.client.host
    return address if key_id is None else f"key {key_id}"


class Places:
    """So many at a time in all, and of one caller."""

    def __init__(self, what: str, in_all: int, each: int) -> None:
        self._what = what
        self._in_all = in_all
        self._each = each
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, caller: str) -> Iterator[None]:
        """Hold a place inside the block.

        Raises:
            TooManyError: the caller has as many as one may have.
            UnavailableError: there is none left.
        """
        if self._taken[caller] >= self._each:
            raise TooManyError(
                f"at most {self._each} {self._what} of one key (or address) at a time; close some", RETRY_SECONDS
            )
        if self._taken.total() >= self._in_all:
            raise UnavailableError(f"the service holds at most {self._in_all} {self._what}; try again later")
        self._taken[caller] += 1
        try:
            yield
        finally:
            self._taken[caller] -= 1
            if not self._taken[caller]:
                del self._taken[caller]


class Pace:
    """How fast a client may go on."""

    def __init__(self, clock: Callable[[], float], at_once: int = FRAMES, a_second: float = FRAMES_A_SECOND) -> None:
        self._clock = clock
        self._a_second = a_second
        self._ahead = at_once / a_second
        self._due = clock() - self._ahead
        """When the next one would be due if they came evenly."""

    def delay(self) -> float:
        """Take the next one: how many seconds it has to wait."""
        now = self._clock()
        self._due = max(self._due, now - self._ahead) + 1 / self._a_second
        return max(0.0, self._due - now)
