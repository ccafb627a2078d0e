"""How much of the service one caller may have: requests, tasks, subscriptions, exports, frames. On the event loop."""

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
AHEAD_SECONDS: Final = 2.0
"""Requests of so many seconds may come at once."""
KNOWN: Final = 10_000
"""Callers that are remembered before those who have nothing to be remembered for are looked for."""
FRAMES: Final = 200
"""Frames a client may send on one WebSocket at once,"""
FRAMES_A_SECOND: Final = 20.0
"""and from then on."""
SAID_SECONDS: Final = 10.0
"""How long what was said in the service's own log is not said again."""

_UNLESS_SAID: Final = Server()


class Limits(Value, frozen=True, kw_only=True):
    """What ``[server]`` of asynclog.toml says about them."""

    connections: int = _UNLESS_SAID.connections
    subscriptions: int = _UNLESS_SAID.subscriptions
    subscriptions_per_key: int = _UNLESS_SAID.subscriptions_per_key
    requests_per_second: int = _UNLESS_SAID.requests_per_second
    tasks_per_key: int = _UNLESS_SAID.tasks_per_key
    schedules_per_key: int = _UNLESS_SAID.schedules_per_key

    @classmethod
    def of(cls, server: Server) -> Limits:
        """As a configuration says."""
        return cls(
            connections=server.connections,
            subscriptions=server.subscriptions,
            subscriptions_per_key=server.subscriptions_per_key,
            requests_per_second=server.requests_per_second,
            tasks_per_key=server.tasks_per_key,
            schedules_per_key=server.schedules_per_key,
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


class Requests:
    """How often callers may ask: evenly so many times a second, those of `AHEAD_SECONDS` at once."""

    def __init__(self, clock: Callable[[], float], a_second: int) -> None:
        self._clock = clock
        self._a_second = a_second
        self._due: dict[str, float] = {}
        """When the next one of each caller would be due if they came evenly."""

    def take(self, caller: str) -> None:
        """The caller asks. Raises TooManyError when that is too often; such a request does not count."""
        now = self._clock()
        due = max(self._due.get(caller, 0.0), now - AHEAD_SECONDS)
        if due > now:
            raise TooManyError(
                f"at most {self._a_second} requests a second of one key (or address); send fewer and larger ones", 1
            )
        if len(self._due) >= KNOWN and caller not in self._due:
            self._due = {name: then for name, then in self._due.items() if then > now - AHEAD_SECONDS}
        self._due[caller] = due + 1 / self._a_second


class Seldom:
    """How often the service's own log says the same: what every request meets would fill it."""

    def __init__(self, clock: Callable[[], float], seconds: float = SAID_SECONDS) -> None:
        self._clock = clock
        self._seconds = seconds
        self._said: dict[str, tuple[float, int]] = {}
        """By what it is about, of which there are few: when it was said, and how often it was not since."""

    def left_out(self, about: str) -> int | None:
        """How often it was left out since it was said last; None when it is to be left out now, too."""
        now = self._clock()
        said, times = self._said.get(about, (now - self._seconds, 0))
        if now - said < self._seconds:
            self._said[about] = said, times + 1
            return None
        self._said[about] = now, 0
        return times


class Begun:
    """The open tasks that each caller began. Those from before a restart are nobody's.

    Args:
        each: how many one caller may have.
        is_open: whether a task is.
    """

    def __init__(self, each: int, is_open: Callable[[str], bool]) -> None:
        self._each = each
        self._is_open = is_open
        self._ids: dict[str, set[str]] = {}
        self._beginning: Counter[str] = Counter()

    @contextmanager
    def one_more(self, caller: str) -> Iterator[Callable[[str], None]]:
        """Begin a task inside the block, and say which; raises TooManyError when the caller has as many as one may."""
        if self._count(caller) >= self._each:
            self._forget_ended(self._ids.get(caller, set()))
            if self._count(caller) >= self._each:  # whoever asks again and again costs no more than what is its own
                raise TooManyError(
                    f"at most {self._each} open tasks of one key (or address); end some, or wait for their end",
                    RETRY_SECONDS,
                )
            self._forget()
        self._beginning[caller] += 1
        try:
            yield self._ids.setdefault(caller, set()).add
        finally:
            self._beginning[caller] -= 1
            if len(self._ids) > KNOWN:
                self._forget()

    def _count(self, caller: str) -> int:
        return len(self._ids.get(caller, ())) + self._beginning[caller]

    def _forget_ended(self, ids: set[str]) -> None:
        ids -= {task_id for task_id in ids if not self._is_open(task_id)}

    def _forget(self) -> None:
        """What has ended; and callers of whom nothing is left."""
        for ids in self._ids.values():
            self._forget_ended(ids)
        self._beginning += Counter()
        self._ids = {caller: ids for caller, ids in self._ids.items() if ids or caller in self._beginning}
