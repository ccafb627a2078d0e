"""Every seam of asynclog on one page: what may be exchanged, and what is promised across it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from asynclog.frames import Frames
from asynclog.model import AccessScope, Gap, Schedule, Stage, Step, Task, TraceItem
from asynclog.principal import ApiKey, Credentials
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


class Clock(Protocol):
    """Where time comes from, so that tests can hold it."""

    def now_ns(self) -> int:
        """Wall time, nanoseconds since the epoch."""
        ...

    def now(self) -> int:
        """Wall time, microseconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""


class StoredEntries(Protocol):
    """Entries that one commit has stored."""

    def __len__(self) -> int:
        """How many."""

    @property
    def lists(self) -> Sequence[Sequence[Any]]:
        """A list for each value of a `records.Row`."""


class Store(Protocol):
    """The writing side, with one caller at a time. Every method raises `StoreError` when it cannot be done now."""

    async def commit(self, journal_id: str, frames: Frames, through: int, after: int = 0) -> StoredEntries | None:
        """Apply records and move the journal's watermark to ``through`` in one transaction, durable on return.

        The next records may be given before this call is over: ``after`` is the last record of those before, and if
        they turn out not to be stored, it raises `StoreError` and has done nothing.

        Frames at or below the watermark are skipped; entries that are there already (task_id, seq) change nothing.
        An entry that cannot be stored becomes ``[unstorable: reason]`` under its seq. Cancelling the call does not
        tear the transaction: it either happened or not.

        Returns:
            The entries among the records; None when some of them were there already, or are stored otherwise.
        """

    async def watermark(self, journal_id: str) -> int:
        """The last record of this journal that is stored; 0 for a journal it has not followed."""

    async def last_id(self) -> int:
        """The highest record number ever stored."""

    async def erase(self, task_id: str, limit: int, *, keep_task: bool = False) -> bool:
        """Remove at most ``limit`` entries of a deleted task, at the end the task itself; True when it is gone.

        With ``keep_task`` the task's own row stays, so that what is left of it elsewhere is still known.
        """

    async def deleted(self) -> list[Doomed]:
        """Tasks that are being deleted."""

    async def save_settings(self, values: dict[str, str | None]) -> None:
        """Keep these settings (JSON text by name; None forgets one)."""

    async def settings(self) -> dict[str, str]:
        """The settings kept, JSON text by name."""


class Archive(Protocol):
    """Entries as stored, read-only. Tasks that are being deleted, or outside ``access``, are not there.

    The scope comes with every question, in the query or beside it, and is part of the statement that answers it.
    """

    async def entries(self, query: EntryQuery) -> EntryPage:
        """A page of entries."""

    async def view(self, query: EntryQuery, *, total: bool) -> EntryView | None:
        """A page of a task's entries with what belongs to it, and the total if asked; None when it is not there."""

    async def count(self, query: EntryQuery, deadline: float) -> int | None:
        """How many entries match, paging ignored; None when that takes longer than ``deadline`` seconds."""

    async def stats(self, query: EntryQuery) -> LogStats:
        """Matching entries by level, source and stage."""

    async def histogram(self, query: EntryQuery, buckets: int) -> list[Bucket]:
        """Matching entries over time by level, in equal spans from the first to the last of them."""

    async def gaps(self, task_id: str, access: AccessScope) -> list[Gap]:
        """What was declared dropped, in order."""

    async def stage_counts(self, task_id: str, access: AccessScope) -> list[StageCount]:
        """Entries by stage label and unit."""

    async def batch_answer(self, task_id: str, batch_id: str, access: AccessScope) -> str | None:
        """The first answer to this ingest batch (JSON text), None when it has not been seen."""


class History(Protocol):
    """Tasks, stages and steps as stored, read-only; the same rule of visibility."""

    async def tasks(self, query: TaskQuery) -> TaskPage:
        """A page of tasks."""

    async def task(self, task_id: str, access: AccessScope) -> Task | None:
        """One task, or None."""

    async def stages(self, task_id: str, access: AccessScope) -> list[Stage]:
        """A task's stages by number."""

    async def steps(self, task_id: str, access: AccessScope, after: str | None = None, limit: int = -1) -> list[Step]:
        """A task's steps in order, without input and output: after one of them, so many at most (-1: all of them)."""

    async def step(self, task_id: str, step_id: str, access: AccessScope) -> Step | None:
        """One step, with input and output."""

    async def open_steps(self, task_id: str, access: AccessScope) -> tuple[int, list[str]]:
        """How many steps a task has, and the ids of those that run: all with their data may be more than memory has."""

    async def plugin_stats(self, plugin: str, access: AccessScope) -> PluginStats:
        """Tasks of a plugin in numbers."""

    async def node_stats(self, plugin: str, access: AccessScope) -> list[NodeStats]:
        """Nodes of a plugin's tasks in numbers."""

    async def expired(self, before: int | None, keep: int | None, plugin: str | None, access: AccessScope) -> list[str]:
        """Ended tasks that finished before a time, or are not among the newest ``keep`` of their plugin."""

    async def weigh(self, task_ids: Sequence[str], access: AccessScope) -> tuple[int, dict[str, int]]:
        """How many entries these tasks have in all, and how many of the tasks each plugin has."""


class BlockStore(Protocol):
    """The block index beside the entries, with one caller at a time. Methods raise `StoreError`."""

    async def unindexed(self, through: int) -> tuple[int, int | None]:
        """The record up to which, from ``through`` on, everything is indexed, and the segment to be indexed next."""

    async def index(self, segment: int) -> None:
        """Index a segment; entries of it that are removed meanwhile do not matter."""

    async def indexed(self, *, empty: bool) -> list[int]:
        """The segments that there are; with ``empty`` only those whose entries were all removed."""

    async def unindex(self, segment: int) -> None:
        """Forget a segment."""


class RunSource(Protocol):
    """What run files are made from, beside the entries; read-only. For the service itself: no caller's scope applies.

    Run files are shown to those who see their task (`History.task`), by the run id that the task has.
    """

    async def runs_after(self, rank: int, limit: int, task_ids: Sequence[str]) -> Runs:
        """Tasks with a run directory after a rank, at most ``limit`` tasks being looked at; and the states of others.

        States of tasks that are gone are left out.
        """

    async def known(self, task_ids: Sequence[str]) -> list[Task]:
        """Those of these tasks that are there."""

    async def traces(self, task_id: str, after_id: int, limit: int) -> list[tuple[int, TraceItem]]:
        """A task's trace items after a record number, with their numbers, in order."""

    async def run_entries(
        self, task_id: str, after: int, through: int, stages: Sequence[str] | None = None
    ) -> RunEntries:
        """A task's entries from above one seq up to another: with ``stages`` those that carry one of the labels.

        As many as fit into a page (a few thousand entries, about 1 MiB), and at least one if there is any.
        """

    async def newest_names(self, limit: int) -> list[str]:
        """The run ids given out last."""


class ScheduleStore(Protocol):
    """Schedules, with one caller at a time. Every method raises `StoreError` when it cannot be done now."""

    async def schedules(self) -> list[Schedule]:
        """All of them, oldest first."""

    async def put_schedule(self, schedule: Schedule) -> None:
        """The schedule is like this from now on, durably on return."""

    async def remove_schedule(self, schedule_id: str) -> None:
        """There is no such schedule any more."""


class KeyStore(Protocol):
    """API keys and sessions, with one caller at a time. Every method raises `StoreError` when it cannot be done now."""

    async def credentials(self, new_secret: bytes) -> Credentials:
        """What is kept; ``new_secret`` becomes what sessions are signed with where there is nothing yet."""

    async def put_keys(self, changed: list[ApiKey]) -> None:
        """The keys are like this from now on, durably on return: all of them or none."""

    async def end_session(self, session_id: str, until: int, now: int) -> None:
        """The session counts no more; it would have ended at ``until`` by itself."""


class Backend(Store, Archive, History, BlockStore, RunSource, ScheduleStore, KeyStore, Protocol):
    """All of them in one: what a data directory is stored in, and what may be exchanged for another one."""
