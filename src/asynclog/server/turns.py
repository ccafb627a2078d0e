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


class Turns:
    """State owned here, on the event loop: who works, and who waits. Callers have their turns one after the other."""

    def __init__(self, at_once: int = AT_ONCE, each: int = EACH, waiting: int = WAITING) -> None:
        self._at_once = at_once
        self._each = each
        self._waiting = waiting
        self._working: Counter[str] = Counter()
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, caller: str, *, patient: bool = False, seconds: float = WAIT_SECONDS) -> AsyncIterator[None]:
        """Work hard inside the block.

        Args:
            caller: who.
            patient: waits as long as it takes, however many of the caller's wait: for what is counted elsewhere.
            seconds: how long others wait.

        Raises:
            TooManyError: too many of the caller's wait already.
            UnavailableError: it was not this one's turn in time.
        """
        if caller in self._queues or not self._may(caller):
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
        queue = self._queues.setdefault(caller, deque())
        if len(queue) >= self._waiting and not patient:
            raise TooManyError(f"{len(queue)} questions of this key (or address) wait already; ask fewer at once", 1)
        place = asyncio.get_running_loop().create_future()
        queue.append(place)
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

    def _leave(self, caller: str, place: asyncio.Future[None]) -> None:
        queue = self._queues.get(caller, deque())
        if place in queue:
            queue.remove(place)
            if not queue:
                del self._queues[caller]

    def _done(self, caller: str) -> None:
        self._working[caller] -= 1
        if not self._working[caller]:
            del self._working[caller]
        while (following := next((name for name in self._queues if self._may(name)), None)) is not None:
            self._begin(following)

    def _begin(self, caller: str) -> None:
        """Let the caller's first go, and the caller to the end of the line."""
        queue = self._queues[caller]
        place = queue.popleft()
        if not place.cancelled():
            place.set_result(None)
            self._working[caller] += 1
        if queue:
            self._queues.move_to_end(caller)
        else:
            del self._queues[caller]
