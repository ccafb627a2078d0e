"""A live reader: a cursor and a filter, no queue.

At the head it reads the task's tail, behind it the store; whoever is slow falls behind, reads the store until it has
caught up and follows the tail again. It holds no memory, loses nothing, and reconnecting is the same as being slow.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, Literal

from asynclog.errors import UnavailableError
from asynclog.filters import LogFilter
from asynclog.live import Change, Live, TaskChanged
from asynclog.model import EVERYTHING, AccessScope, Gap, Value
from asynclog.protocols import Archive
from asynclog.queries import EntryQuery
from asynclog.tail import Entries, next_gap

TURN: Final = 1000
"""Entries looked at, or read from the store, before others have their turn."""
TURN_BYTES: Final = 192 * 1024
"""Of one read from the store, so that it fits a frame."""
STORE_SECONDS: Final = 1.0
"""How long to wait for the store to hold what is missing, or for what is on its way, before looking again."""
QUIET_SECONDS: Final = 0.5
"""How late it is told that the cursor moved over entries none of which match."""


class Changed(Value, frozen=True):
    """A stage or step is new or different."""

    change: Change


class End(Value, frozen=True):
    """The task has ended and everything up to ``last_seq`` has been given. Or it was removed."""

    last_seq: int
    reason: Literal["ended", "removed"] = "ended"


class Refiltered(Value, frozen=True):
    """The filter asked for as ``ref`` counts from here on."""

    ref: str


Event = Entries | TaskChanged | Changed | Gap | Refiltered | End


class Subscription:
    """Follows one task from a cursor on.

    Args:
        live: the task, watched for as long as the subscription lives (`Hub.watching`).
        archive: where history is read.
        settle: waits until all that was logged is stored, for so many seconds at most; False when it is not.
        entry_filter: which entries; replace it with `refilter`.
        after: the seq after which to begin.
        access: what the reader may see; goes into every question to the archive.
    """

    def __init__(
        self,
        live: Live,
        archive: Archive,
        settle: Callable[[float], Awaitable[bool]],
        entry_filter: LogFilter,
        after: int = 0,
        access: AccessScope = EVERYTHING,
    ) -> None:
        self._live = live
        self._archive = archive
        self._settle = settle
        self._filter = entry_filter
        self._cursor = after
        self._access = access
        self._told = after
        """The cursor, as the last event told it."""
        self._told_at = -QUIET_SECONDS
        self._settled = 0
        """The store is known to hold everything up to this seq."""
        self._doubted = False
        """What was on its way did not come."""
        self._version = -1
        self._over = False
        self._requests: deque[tuple[LogFilter, int, str]] = deque()

    @property
    def cursor(self) -> int:
        """Everything up to this seq has been given."""
        return self._cursor

    def refilter(self, entry_filter: LogFilter, after: int, ref: str) -> None:
        """Go on with another filter and cursor; a `Refiltered` event stands before the first of its entries."""
        self._requests.append((entry_filter, after, ref))
        self._live.wake()

    async def events(self) -> AsyncIterator[Event]:
        """What there is to know, in order, for ever or up to an `End`."""
        while not self._over:
            for event in self._news():
                yield event
            at_head = self._at_head()
            for event in await self._behind() if at_head is None else at_head:
                yield event
            if self._cursor < self._live.tail.last and at_head is not None:
                await asyncio.sleep(0)

    def _news(self) -> Sequence[Event]:
        """The answers to requests, and how the task, its stages and steps have changed."""
        live = self._live
        if not self._requests and self._version == live.version:
            return ()
        events: list[Event] = []
        while self._requests:
            self._filter, self._cursor, ref = self._requests.popleft()
            self._told = self._cursor
            self._settled = 0
            events.append(Refiltered(ref=ref))
        if self._version != live.version:
            since, self._version = self._version, live.version
            events.append(live.news)
            if since >= 0:
                events.extend(Changed(change=change) for change in live.changes(since))
        return events

    def _at_head(self) -> Sequence[Event] | None:
        """A turn from the tail, where that is where to read."""
        live = self._live
        if live.removed or not live.tail.covers(self._cursor):
            return None
        entries = live.tail.read(self._filter, self._cursor, TURN)
        self._cursor = entries.through
        return self._telling(entries)

    async def _behind(self) -> Sequence[Event]:
        """A turn from the store, or a wait, or the end."""
        live = self._live
        if live.removed:
            self._over = True
            return (End(last_seq=self._cursor, reason="removed"),)
        ended, head = live.ended, live.head  # in this order: an ended task's head does not move
        if self._cursor < head and (ended or not self._coming()):
            try:
                event = await self._stored()
            except UnavailableError:  # whatever changes meanwhile: the store is not asked again for every entry
                await asyncio.sleep(STORE_SECONDS)
                return ()
            return () if event is None else self._telling(event)
        if not ended:
            return () if await live.changed(self._patience(head)) else self._waited()
        if self._version != live.version:
            return ()
        self._over = True
        return (*self._passed(head), End(last_seq=head))

    def _coming(self) -> bool:
        """Whether what comes after the cursor is on its way to the tail."""
        live = self._live
        if self._doubted or not live.tail.last or self._cursor != live.tail.last:
            return False
        gap = next_gap(live.gaps, self._cursor) if live.gaps else None
        return gap is None or gap.from_seq > self._cursor + 1

    def _patience(self, head: int) -> float | None:
        """How many seconds to wait for a change; None for ever."""
        if self._told < self._cursor:
            return max(0.0, self._told_at + QUIET_SECONDS - asyncio.get_running_loop().time())
        return STORE_SECONDS if self._cursor < head else None

    def _waited(self) -> Sequence[Event]:
        """What to tell when nothing has changed for long."""
        passed = self._passed(self._cursor)
        self._doubted = not passed
        return passed

    def _telling(self, event: Entries | Gap) -> Sequence[Event]:
        """What to tell now: everything but entries of which there are none, those only now and then."""
        if isinstance(event, Gap):
            passed = self._passed(event.from_seq - 1)
            self._told = event.to_seq
            return (*passed, event)
        if event.lines:
            self._told = event.through
            return (event,)
        due = self._told_at + QUIET_SECONDS
        return () if asyncio.get_running_loop().time() < due else self._passed(event.through)

    def _passed(self, through: int) -> Sequence[Event]:
        """That nothing matched up to here, where that was not told."""
        if self._told >= through:
            return ()
        self._told, self._told_at = through, asyncio.get_running_loop().time()
        return (Entries([], through),)

    async def _stored(self) -> Entries | Gap | None:
        """A turn from the store, once it holds what is asked for. Raises UnavailableError when it cannot be read."""
        live = self._live
        self._doubted = False
        head = live.head
        if self._settled <= self._cursor:  # what is stored comes at once: for the rest others may have to be stored too
            self._settled = min(head, await self._last_stored())
        if self._settled <= self._cursor:
            if not await self._settle(STORE_SECONDS):
                return None
            await self._last_stored()
            self._settled = head
        gap = next_gap(live.gaps, self._cursor)  # after all waiting: those up to the settled head are known by now
        through = self._settled
        if gap is not None and gap.from_seq <= self._cursor + 1:
            self._cursor = gap.to_seq
            return gap
        if gap is not None:
            through = min(through, gap.from_seq - 1)
        query = EntryQuery(
            task_id=live.task.id,
            filter=self._filter,
            access=self._access,
            after=self._cursor,
            through=through,
            limit=TURN,
            max_bytes=TURN_BYTES,
        )
        page = await self._archive.entries(query)
        self._cursor = page.cursors[-1] if page.more else through
        return Entries(page.lines, self._cursor)

    async def _last_stored(self) -> int:
        """The last seq of the task that the store holds; all before it are there too, or in gaps that are known now."""
        none = EntryQuery(task_id=self._live.task.id, access=self._access, through=0, limit=1)
        view = await self._archive.view(none, total=False)
        if view is None:
            return 0
        self._live.learn(view.gaps)
        return view.last_seq
