"""The protocols `Store`, `Archive`, `BlockStore`, `History`, `RunSource`, … on a SQLite database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from asynclog.frames import Frames
from asynclog.model import AccessScope, Gap, Schedule, Stage, Step, Task, TraceItem
from asynclog.principal import ApiKey, Credentials
from asynclog.protocols import StoredEntries
from asynclog.queries import (
    Bucket,
    Doomed,
    EntryPage,
    EntryQuery,
    EntryView,
    LogStats,
    NodeStats,
    PluginStats,
    RunEntries,
    Runs,
    StageCount,
    TaskPage,
    TaskQuery,
)
from asynclog.store import apply, blocks, counts, entries, history, keys, outcomes, removal, runs, schedules, settings
from asynclog.store.batch import Batch
from asynclog.store.losses import Losses
from asynclog.store.sqlite import Database, QueryTimeoutError


class SqliteStore:
    """See `protocols` for what each method promises."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._losses = Losses()

    async def commit(self, journal_id: str, frames: Frames, through: int, after: int = 0) -> StoredEntries | None:
        """Apply records and move the watermark in one transaction; take them apart while the one before is written."""
        batch: Callable[[], Batch] = partial(Batch, frames)
        if after:
            batch = self._database.beside(batch)
        return await self._database.write(
            lambda connection: apply.commit(connection, journal_id, frames, batch, through, after, self._losses)
        )

    async def watermark(self, journal_id: str) -> int:
        """The last record of this journal that is stored."""
        return await self._database.write(lambda connection: apply.read_watermark(connection, journal_id))

    async def last_id(self) -> int:
        """The highest record number ever stored."""
        return await self._database.write(apply.read_last_id)

    async def erase(self, task_id: str, limit: int, *, keep_task: bool = False) -> bool:
        """Remove some of a deleted task; True when nothing of it is left but, with ``keep_task``, its own row."""
        return await self._database.write(
            lambda connection: removal.erase(connection, task_id, limit, keep_task=keep_task)
        )

    async def deleted(self) -> list[Doomed]:
        """Tasks that are being deleted."""
        return await self._database.write(removal.deleted)

    async def weigh(self, task_ids: Sequence[str], access: AccessScope) -> tuple[int, dict[str, int]]:
        """How many entries these tasks have, and how many of them each plugin has."""
        return await self._database.read(lambda connection: removal.weigh(connection, task_ids, access))

    async def save_settings(self, values: dict[str, str | None]) -> None:
        """Keep these settings."""
        await self._database.write(lambda connection: settings.save(connection, values))

    async def settings(self) -> dict[str, str]:
        """The settings kept."""
        return await self._database.write(settings.read)

    async def entries(self, query: EntryQuery) -> EntryPage:
        """A page of entries."""
        return await self._database.read(lambda connection: entries.page(connection, query))

    async def view(self, query: EntryQuery, *, total: bool) -> EntryView | None:
        """A page of a task's entries with what belongs to it, in one go; None when it is not there."""
        return await self._database.read(lambda connection: counts.view(connection, query, total=total))

    async def count(self, query: EntryQuery, deadline: float) -> int | None:
        """How many entries match; None when that takes too long."""
        try:
            return await self._database.read(lambda connection: counts.count(connection, query), deadline)
        except QueryTimeoutError:
            return None

    async def stats(self, query: EntryQuery) -> LogStats:
        """Matching entries by level, source and stage."""
        return await self._database.read(lambda connection: counts.stats(connection, query))

    async def histogram(self, query: EntryQuery, buckets: int) -> list[Bucket]:
        """Matching entries over time by level."""
        return await self._database.read(lambda connection: counts.histogram(connection, query, buckets))

    async def unindexed(self, through: int) -> tuple[int, int | None]:
        """Up to where everything is indexed, and the segment to be indexed next."""
        return await self._database.read(lambda connection: blocks.unindexed(connection, through))

    async def index(self, segment: int) -> None:
        """Index a segment."""
        built = await self._database.build(lambda connection: blocks.build(connection, segment))
        part = None if built is None else 0
        while built is not None and part is not None:
            part = await self._database.write(partial(blocks.put, built=built, part=part))

    async def indexed(self, *, empty: bool) -> list[int]:
        """The segments that there are."""
        return await self._database.read(lambda connection: blocks.indexed(connection, empty=empty))

    async def unindex(self, segment: int) -> None:
        """Forget a segment."""
        await self._database.write(lambda connection: blocks.remove(connection, segment))

    async def gaps(self, task_id: str, access: AccessScope) -> list[Gap]:
        """What was declared dropped."""
        return await self._database.read(lambda connection: entries.gaps(connection, task_id, access))

    async def stage_counts(self, task_id: str, access: AccessScope) -> list[StageCount]:
        """Entries by stage label and unit."""
        return await self._database.read(lambda connection: counts.stage_counts(connection, task_id, access))

    async def batch_answer(self, task_id: str, batch_id: str, access: AccessScope) -> str | None:
        """The first answer to this ingest batch."""
        return await self._database.read(lambda connection: entries.batch_answer(connection, task_id, batch_id, access))

    async def tasks(self, query: TaskQuery) -> TaskPage:
        """A page of tasks."""
        return await self._database.read(lambda connection: history.tasks(connection, query))

    async def task(self, task_id: str, access: AccessScope) -> Task | None:
        """One task, or None."""
        return await self._database.read(lambda connection: history.task(connection, task_id, access))

    async def stages(self, task_id: str, access: AccessScope) -> list[Stage]:
        """A task's stages by number."""
        return await self._database.read(lambda connection: history.stages(connection, task_id, access))

    async def steps(self, task_id: str, access: AccessScope, after: str | None = None, limit: int = -1) -> list[Step]:
        """A task's steps in order, without input and output."""
        return await self._database.read(lambda connection: history.steps(connection, task_id, access, after, limit))

    async def step(self, task_id: str, step_id: str, access: AccessScope) -> Step | None:
        """One step, with input and output."""
        return await self._database.read(lambda connection: history.step(connection, task_id, step_id, access))

    async def open_steps(self, task_id: str, access: AccessScope) -> tuple[int, list[str]]:
        """How many steps a task has, and the ids of those that run."""
        return await self._database.read(lambda connection: history.open_steps(connection, task_id, access))

    async def plugin_stats(self, plugin: str, access: AccessScope) -> PluginStats:
        """Tasks of a plugin in numbers."""
        return await self._database.read(lambda connection: outcomes.plugin_stats(connection, plugin, access))

    async def node_stats(self, plugin: str, access: AccessScope) -> list[NodeStats]:
        """Nodes of a plugin's tasks in numbers."""
        return await self._database.read(lambda connection: outcomes.node_stats(connection, plugin, access))

    async def expired(self, before: int | None, keep: int | None, plugin: str | None, access: AccessScope) -> list[str]:
        """Ended tasks that may go."""
        return await self._database.read(lambda connection: history.expired(connection, before, keep, plugin, access))

    async def runs_after(self, rank: int, limit: int, task_ids: Sequence[str]) -> Runs:
        """Tasks with a run directory after a rank, and how much of these and others is stored."""
        return await self._database.read(lambda connection: runs.after(connection, rank, limit, task_ids))

    async def known(self, task_ids: Sequence[str]) -> list[Task]:
        """Those of these tasks that are there."""
        return await self._database.read(lambda connection: history.known(connection, task_ids))

    async def traces(self, task_id: str, after_id: int, limit: int) -> list[tuple[int, TraceItem]]:
        """A task's trace items with their numbers."""
        return await self._database.read(lambda connection: runs.traces(connection, task_id, after_id, limit))

    async def run_entries(
        self, task_id: str, after: int, through: int, stages: Sequence[str] | None = None
    ) -> RunEntries:
        """A page of a task's entries, by column."""
        return await self._database.read(lambda connection: runs.entries(connection, task_id, after, through, stages))

    async def newest_names(self, limit: int) -> list[str]:
        """The run ids given out last."""
        return await self._database.write(lambda connection: runs.newest_names(connection, limit))

    async def schedules(self) -> list[Schedule]:
        """All schedules."""
        return await self._database.write(schedules.read)

    async def put_schedule(self, schedule: Schedule) -> None:
        """The schedule is like this from now on."""
        await self._database.write(lambda connection: schedules.put(connection, schedule))

    async def remove_schedule(self, schedule_id: str) -> None:
        """There is no such schedule any more."""
        await self._database.write(lambda connection: schedules.remove(connection, schedule_id))

    async def credentials(self, new_secret: bytes) -> Credentials:
        """Who may speak to the service."""
        return await self._database.write(lambda connection: keys.read(connection, new_secret))

    async def put_keys(self, changed: list[ApiKey]) -> None:
        """The keys are like this from now on."""
        await self._database.write(lambda connection: keys.put(connection, changed))

    async def end_session(self, session_id: str, until: int, now: int) -> None:
        """The session counts no more."""
        await self._database.write(lambda connection: keys.end_session(connection, session_id, until, now))
