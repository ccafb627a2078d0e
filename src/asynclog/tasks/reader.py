"""Reading: what a caller may see, complete up to the moment of the question, in the shapes the doors need."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

import msgspec

from asynclog.engine import SETTLE_SECONDS, Engine
from asynclog.errors import InvalidError, NotFoundError, StoreError
from asynclog.filters import NO_FILTER, LogFilter
from asynclog.model import EVERYTHING, AccessScope, Gap, Step, Task
from asynclog.protocols import Archive
from asynclog.queries import (
    MAX_PAGE,
    EntryPage,
    EntryQuery,
    EntryView,
    Histogram,
    LogStats,
    NodeStats,
    PluginStats,
    StageCount,
    TaskPage,
    TaskQuery,
)
from asynclog.subscription import Subscription
from asynclog.tasks.pages import LogPage, StagePage, StageView, StepPage

COUNT_SECONDS: Final = 0.2
"""How long a page may spend on its total."""
EXPORT_PAGE: Final = 2000
EXPORT_SECONDS: Final = 10.0
"""How long an export that has given what is stored waits for the rest."""
MAX_BUCKETS: Final = 1000
STEP_PAGE: Final = 500
"""Steps that are read at once; some 160 KB as JSON, more with long errors."""


class Reader:
    """Answers questions about tasks. What the caller may not see raises NotFoundError, as what is not there."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._store = engine.store

    async def task(self, task_id: str, access: AccessScope = EVERYTHING) -> Task:
        """One task as it is now. What runs but is another's takes the way, and the time, of what is not there."""
        known = self._known(task_id, access)
        if known is not None:
            return known
        task = await self._store.task(task_id, access)  # of what is not known here everything is stored
        if task is None:
            raise NotFoundError("task", task_id)
        return task

    def _known(self, task_id: str, access: AccessScope) -> Task | None:
        """A task that runs, or has just ended, and that the caller sees."""
        live = self._engine.hub.get(task_id)
        if live is not None and not live.removed and access.sees(live.task):
            return live.task
        ended = self._engine.hub.ended(task_id)
        return ended if ended is not None and access.sees(ended) else None

    async def settled(self, task_id: str | None, access: AccessScope, below: int | None = None) -> bool:
        """Wait until the store holds what was logged, in the task or anywhere, with an id below this one.

        False when it cannot do it in time.
        """
        if task_id is not None and not self._moves(task_id, access):
            return True
        last = self._engine.journal.last_id
        return await self._engine.writer.barrier(SETTLE_SECONDS, last if below is None else min(last, below - 1))

    def _moves(self, task_id: str, access: AccessScope) -> bool:
        """Whether the caller sees a task of which something may not be stored yet."""
        live = self._engine.hub.get(task_id)
        if live is not None and live.feed is not None:
            return access.sees(live.task)
        ended = self._engine.hub.ended(task_id)
        return ended is not None and access.sees(ended)

    async def tasks(self, query: TaskQuery) -> TaskPage:
        """A page of tasks, each in the state it is in now; not complete when the store cannot say so in time."""
        complete = await self._engine.settle_tasks()
        return msgspec.structs.replace(await self._store.tasks(query), complete=complete)

    async def logs(  # noqa: PLR0913  # the parameters of the route
        self,
        task_id: str,
        *,
        access: AccessScope = EVERYTHING,
        entry_filter: LogFilter | None = None,
        limit: int = 200,
        offset: int | None = None,
        after: int | None = None,
        before: int | None = None,
        order: Literal["asc", "desc"] = "asc",
        total: bool = True,
        **filters: Any,
    ) -> LogPage:
        """A page of a task's entries.

        Args:
            task_id: whose.
            access: what the caller may see.
            entry_filter: which entries; or name its conditions as keywords (``min_level="WARNING"``, ``source=["a"]``).
            limit: 1 to 5000.
            offset: matching entries to pass over; not together with a cursor.
            after: only entries above this seq.
            before: only entries below this seq.
            order: ``desc`` is the exact reverse.
            total: whether to count all matches.

        Raises:
            NotFoundError, InvalidError, StoreError.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidError("limit", f"limit is from 1 to {MAX_PAGE}")
        if offset is not None and (after is not None or before is not None):
            raise InvalidError("offset", "offset goes without after and before; pages by cursor stay stable, use those")
        if order not in ("asc", "desc"):
            raise InvalidError("order", "order is asc or desc")
        if (offset or 0) < 0:
            raise InvalidError("offset", "offset is 0 or more")
        chosen = _chosen(entry_filter, filters)
        known, growing = self._known(task_id, access), self._growing(task_id, access)
        query = EntryQuery(
            task_id=task_id,
            filter=chosen,
            access=access,
            limit=limit,
            after=after,
            before=before,
            offset=offset or 0,
            descending=order == "desc",
        )
        view, complete = await self._view(query, total=total)
        if view is None and known is None:
            raise NotFoundError("task", task_id)
        view = view or EntryView(page=EntryPage(lines=[], cursors=[], more=False), gaps=[], last_seq=0, total=0)
        page = view.page
        more = page.cursors[-1] if page.more else None
        return LogPage(
            task_id=task_id,
            lines=page.lines,
            total=await self._total(query, view) if total else None,
            next_after=more if order == "asc" else None,
            next_before=more if order == "desc" else None,
            complete=complete,
            gaps=_joined(view.gaps, *growing, *self._growing(task_id, access)),
        )

    async def _view(self, query: EntryQuery, *, total: bool) -> tuple[EntryView | None, bool]:
        """The page, and whether it holds all that was logged before the call.

        While the store is far behind, a page that has no place for what is not stored yet is not kept waiting for it.
        """
        task_id, access = query.task_id or "", query.access
        known = self._known(task_id, access)
        if self._engine.far_behind and known is not None and not known.dropped and not total:
            view = await self._store.view(query, total=False)
            if view is not None and _is_past(query, view):
                return view, True
        complete = await self.settled(task_id, access)
        return await self._store.view(query, total=total), complete

    async def _total(self, query: EntryQuery, view: EntryView) -> int | None:
        """How many entries match: those of the page where it is all of them, else counted, if that is soon done."""
        if query.after is None and query.before is None and not query.offset and not view.page.more:
            return len(view.page.lines)
        if view.total is not None:
            return view.total
        of_the_page = msgspec.structs.replace(query, through=view.last_seq)  # what came in since is not of its moment
        return await self._store.count(of_the_page, COUNT_SECONDS)

    async def gaps(self, task_id: str, access: AccessScope = EVERYTHING) -> list[Gap]:
        """What was declared dropped, a range that is still growing included."""
        await self.task(task_id, access)
        growing = self._growing(task_id, access)
        await self.settled(task_id, access)
        return _joined(await self._store.gaps(task_id, access), *growing, *self._growing(task_id, access))

    def _growing(self, task_id: str, access: AccessScope) -> list[Gap]:
        """The range that is being dropped now, if there is one.

        Asked before and after the store is read: it may be named meanwhile, and is in neither then.
        """
        live = self._engine.hub.get(task_id)
        if live is None or not access.sees(live.task) or live.feed is None:
            return []
        gap = live.feed.growing()
        return [] if gap is None else [gap]

    async def search(self, query: EntryQuery) -> EntryPage:
        """Entries across tasks, by id."""
        await self.settled(query.task_id, query.access, query.before if query.task_id is None else None)
        return await self._store.entries(query)

    async def stats(self, task_id: str, entry_filter: LogFilter, access: AccessScope = EVERYTHING) -> LogStats:
        """A task's matching entries by level, source and stage; not complete when the store cannot say so in time."""
        query, complete = await self._ready(task_id, entry_filter, access)
        return msgspec.structs.replace(await self._store.stats(query), complete=complete)

    async def histogram(
        self, task_id: str, entry_filter: LogFilter, buckets: int, access: AccessScope = EVERYTHING
    ) -> Histogram:
        """A task's matching entries over time by level; complete as `stats` are."""
        if not 1 <= buckets <= MAX_BUCKETS:
            raise InvalidError("buckets", f"buckets is from 1 to {MAX_BUCKETS}")
        query, complete = await self._ready(task_id, entry_filter, access)
        return Histogram(buckets=await self._store.histogram(query, buckets), complete=complete)

    async def export(
        self, task_id: str, entry_filter: LogFilter, access: AccessScope = EVERYTHING
    ) -> AsyncIterator[list[bytes]]:
        """All matching entries that were there at the start, page by page: constant memory, no long transaction.

        Raises StoreError, in the middle too, when they are not stored in time, and NotFoundError when the task is
        deleted meanwhile: a part is not taken for the whole.
        """
        task = await self.task(task_id, access)
        stored = await self.settled(task_id, access)
        query = EntryQuery(task_id=task_id, filter=entry_filter, access=access, limit=EXPORT_PAGE, after=0)
        query = msgspec.structs.replace(query, through=task.last_seq)
        while True:
            page = await self._store.entries(query)
            await self.task(task_id, access)
            if page.lines:
                yield page.lines
                query = msgspec.structs.replace(query, after=page.cursors[-1])
            if page.more:
                continue
            if stored:
                return
            stored = await self._engine.settle(EXPORT_SECONDS)
            if not stored:
                raise StoreError("the database does not store in time what is to be exported; try again later")

    async def stages(self, task_id: str, access: AccessScope = EVERYTHING) -> list[StageView]:
        """A task's stages by number, then the labels that occur only on entries; with what was logged in each."""
        return (await self.stage_page(task_id, access)).views

    async def stage_page(self, task_id: str, access: AccessScope = EVERYTHING) -> StagePage:
        """The same, and whether it is complete."""
        _, complete = await self._ready(task_id, NO_FILTER, access)
        counts = {count.stage: count for count in await self._store.stage_counts(task_id, access)}
        views = []
        for stage in await self._store.stages(task_id, access):
            count = counts.get(stage.name) or StageCount(stage=stage.name, log_count=0, units={})
            views.append(StageView(name=stage.name, stage=stage, log_count=count.log_count, units=count.units))
        named = {view.name for view in views}
        views.extend(
            StageView(name=name, stage=None, log_count=count.log_count, units=count.units)
            for name, count in sorted(counts.items())
            if name not in named
        )
        return StagePage(views=views, complete=complete)

    async def steps(self, task_id: str, access: AccessScope = EVERYTHING) -> list[Step]:
        """A task's steps in order, without input and output."""
        return [step async for page in self.step_pages(task_id, access) for step in page.steps]

    async def step_pages(
        self, task_id: str, access: AccessScope = EVERYTHING, after: str | None = None, limit: int = STEP_PAGE
    ) -> AsyncIterator[StepPage]:
        """A task's steps in order, without input and output, page by page; at least one page.

        Args:
            task_id: whose.
            access: what the caller may see.
            after: the id of a step; only what follows it.
            limit: of a page, 1 to 5000.

        Raises:
            NotFoundError: there is no such task, or not any more.
            InvalidError: the limit is none, or the task has no such step to begin after.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidError("limit", f"limit is from 1 to {MAX_PAGE}")
        await self._ready(task_id, NO_FILTER, access)
        if after is not None and await self._store.step(task_id, after, access) is None:
            raise InvalidError("after", f"after: the task has no step {after!r}; give the id of the last one you have")
        more = True
        while more:
            found = await self._store.steps(task_id, access, after, limit + 1)
            await self.task(task_id, access)
            more, found = len(found) > limit, found[:limit]
            after = found[-1].id if more else None
            yield StepPage(steps=found, next_after=after)

    async def step(self, task_id: str, step_id: str, access: AccessScope = EVERYTHING) -> Step:
        """One step, with input and output."""
        await self._ready(task_id, NO_FILTER, access)
        step = await self._store.step(task_id, step_id, access)
        if step is None:
            raise NotFoundError("step", step_id)
        return step

    async def plugin_stats(self, plugin: str, access: AccessScope = EVERYTHING) -> PluginStats:
        """Tasks of a plugin in numbers."""
        await self._engine.settle_tasks()
        return await self._store.plugin_stats(plugin, access)

    async def node_stats(self, plugin: str, access: AccessScope = EVERYTHING) -> list[NodeStats]:
        """Nodes of a plugin's tasks in numbers."""
        await self._engine.settle_tasks()
        return await self._store.node_stats(plugin, access)

    @asynccontextmanager
    async def follow(
        self,
        task_id: str,
        entry_filter: LogFilter,
        after: int = 0,
        access: AccessScope = EVERYTHING,
        archive: Archive | None = None,
    ) -> AsyncIterator[Subscription]:
        """A live reader from a cursor on, for as long as the block runs.

        ``archive`` is where its history is read, in place of the store itself.
        """
        task = await self.task(task_id, access)  # nothing is awaited after it: no end can be missed
        with self._engine.hub.watching(task) as live:
            yield Subscription(live, archive or self._store, self._engine.settle, entry_filter, after, access)

    async def _ready(self, task_id: str, entry_filter: LogFilter, access: AccessScope) -> tuple[EntryQuery, bool]:
        """The query for a task that is there, once the store holds it, and whether it does."""
        await self.task(task_id, access)
        complete = await self.settled(task_id, access)
        return EntryQuery(task_id=task_id, filter=entry_filter, access=access), complete


def _chosen(entry_filter: LogFilter | None, filters: Mapping[str, Any]) -> LogFilter:
    if entry_filter is None:
        return LogFilter.parse_mapping(filters) if filters else NO_FILTER
    if filters:
        raise InvalidError("entry_filter", "give a filter, or its conditions as keywords, not both")
    return entry_filter


def _joined(stored: list[Gap], *growing: Gap) -> list[Gap]:
    """Those that are stored, and those that were not yet when they were seen growing."""
    found = {gap.from_seq: gap for gap in (*growing, *stored)}
    return [found[first] for first in sorted(found)]


def _is_past(query: EntryQuery, view: EntryView) -> bool:
    """Whether no later entry has a place on the page."""
    if query.before is not None and query.before <= view.last_seq + 1:
        return True
    return view.page.more and not query.descending


async def require(engine: Engine, seconds: float) -> None:
    """Return when everything logged before is stored.

    Raises:
        StoreError: the store cannot do it in time.
    """
    if not await engine.settle(seconds):
        raise StoreError("the database does not answer in time; try again later")
