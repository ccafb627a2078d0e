"""Who may make the database work hard now. A caller that asks for much waits for itself, and for nobody else long."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from asynclog.errors import TooManyError, UnavailableError
from asynclog.protocols import Archive
from asynclog.queries import EntryPage, EntryQuery

AT_ONCE: Final = 3
"""Hard questions at a time: one connection to the database is left for those that are answered at once."""
EACH: Final = 2
"""Of one caller."""
WAITING: Final = 64
"""Requests of one caller that may wait."""
WAIT_SECONDS: Final = 30.0


class InTurn:
    """What a subscription asks of an archive, each page of entries in the caller's turn."""

    def __init__(self, archive: Archive, turns: Turns, caller: str) -> None:
        self._archive = archive
        self._turns = turns
        self._caller = caller

    def __getattr__(self, name: str) -> Any:
        return getattr(self._archive, name)

    async def entries(self, query: EntryQuery) -> EntryPage:
        """A page of entries."""
        async with self._turns.turn(self._caller, patient=True):
            return await self._archive.entries(query)


Place = asyncio.Future[None]


class _Line:
    """One caller's questions that wait: those that somebody sits before, and the patient ones, in turn."""

    def __init__(self) -> None:
        self.urgent: deque[Place] = deque()
        self.patient: deque[Place] = deque()
        self._urgent_is_next = True

    def __bool__(self) -> bool:
        return bool(self.urgent or self.patient)

    def first(self) -> Place:
        """Take out whose turn it is."""
        first, second = (self.urgent, self.patient) if self._urgent_is_next else (self.patient, self.urgent)
        self._urgent_is_next = not self._urgent_is_next
        return (first or second).popleft()

    def leave(self, place: Place) -> None:
        """Take this one out, if it is still there."""
        for queue in (self.urgent, self.patient):
            if place in queue:
                queue.remove(place)


class Turns:
    """State owned here, on the event loop: who works, and who waits. Callers have their turns one after the other."""

    def __init__(self, at_once: int = AT_ONCE, each: int = EACH, waiting: int = WAITING) -> None:
        self._at_once = at_once
        self._each = each
        self._waiting = waiting
        self._working: Counter[str] = Counter()
        self._lines: OrderedDict[str, _Line] = OrderedDict()

    @asynccontextmanager
    async def turn(self, caller: str, *, patient: bool = False, seconds: float = WAIT_SECONDS) -> AsyncIterator[None]:
        """Work hard inside the block.

        Args:
            caller: who.
            patient: waits as long as it takes, however many of the caller's wait: for what is counted elsewhere, and
                goes on by itself. Nobody's page waits for all of it.
            seconds: how long others wait.

        Raises:
            TooManyError: too many of the caller's wait already.
            UnavailableError: it was not this one's turn in time.
        """
        if caller in self._lines or not self._may(caller):
            await self._wait(caller, patient=patient, seconds=seconds)
        else:
            self._working[caller] += 1
        try:
            yield
        finally:
            self._done(caller)

    def _may(self, caller: str) -> bool:
        return self._working[caller] < self._each and self._working.total() < self._at_once

    async def _wait(self, caller: str, *, patient: bool, seconds: float) -> None:
        line = self._lines.get(caller) or _Line()
        many = len(line.urgent)
        if many >= self._waiting and not patient:
            raise TooManyError(f"{many} questions of this key (or address) wait already; ask fewer at once", 1)
        self._lines[caller] = line
        place: Place = asyncio.get_running_loop().create_future()
        (line.patient if patient else line.urgent).append(place)
        try:
            async with asyncio.timeout(None if patient else seconds):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():  # it was its turn in the very moment it left
                self._done(caller)
            else:
                self._leave(caller, place)
            if isinstance(error, TimeoutError):
                raise UnavailableError(
                    "other questions of this key (or address) keep the database busy; try again when they are answered"
                ) from None
            raise

    def _leave(self, caller: str, place: Place) -> None:
        line = self._lines.get(caller)
        if line is not None:
            line.leave(place)
            if not line:
                del self._lines[caller]

    def _done(self, caller: str) -> None:
        self._working[caller] -= 1
        if not self._working[caller]:
            del self._working[caller]
        while (following := next((name for name in self._lines if self._may(name)), None)) is not None:
            self._begin(following)

    def _begin(self, caller: str) -> None:
        """Let the caller's first go, and the caller to the end of the line."""
        line = self._lines[caller]
        place = line.first()
        if not place.cancelled():
            place.set_result(None)
            self._working[caller] += 1
        if line:
            self._lines.move_to_end(caller)
        else:
            del self._lines[caller]
