"""What can be asked of the stored history, and the shape of the answers."""

from __future__ import annotations

from typing import Any, Final, Literal

from asynclog.filters import NO_FILTER, LogFilter
from asynclog.model import AUDIT_PLUGIN, EVERYTHING, AccessScope, Gap, Task, TaskStatus, Value

PAGE_BYTES: Final = 8 * 1024 * 1024
"""A page of entries ends at this size, however few they are."""

MAX_PAGE: Final = 5000
"""Entries of one page at most."""


class EntryQuery(Value, frozen=True, kw_only=True):
    """Entries of one task (cursors are seqs) or, with ``task_id`` None, of all tasks (cursors are ids).

    ``after`` and ``before`` are exclusive. ``through`` bounds the read: nothing above it is returned.
    """

    task_id: str | None = None
    plugin: str | None = None
    filter: LogFilter = NO_FILTER
    access: AccessScope = EVERYTHING
    limit: int = 200
    after: int | None = None
    before: int | None = None
    through: int | None = None
    offset: int = 0
    descending: bool = False
    max_bytes: int = PAGE_BYTES

    @property
    def scope(self) -> AccessScope:
        """What of ``access`` counts here: see `AccessScope.of_list`."""
        return self.access.of_list(names_audit=self.task_id is not None or self.plugin == AUDIT_PLUGIN)


class EntryPage(Value, frozen=True, kw_only=True):
    """Entries as JSON objects (DESIGN 5), each one encoded ``line`` without a newline, in the order asked for.

    ``cursors`` are their seqs (ids across tasks), one for each line. ``more`` says whether further ones match.
    """

    lines: list[bytes]
    cursors: list[int]
    more: bool


class EntryView(Value, frozen=True, kw_only=True):
    """A page of a task's entries and what is shown beside it, all of one moment.

    ``gaps`` is what of the task was declared dropped, in order, ``last_seq`` the last seq that is stored. ``total`` is
    how many entries match, paging ignored; None when that was not asked, or would have to be counted one by one.
    """

    page: EntryPage
    gaps: list[Gap]
    last_seq: int
    total: int | None


class LogStats(Value, frozen=True, kw_only=True):
    """How many entries match, in all and by level, source and stage ('' for none); complete as in `TaskPage`."""

    total: int
    by_level: dict[str, int]
    by_source: dict[str, int]
    by_stage: dict[str, int]
    complete: bool = True


class Bucket(Value, frozen=True, kw_only=True):
    """A span of time (microseconds, start inclusive, end exclusive) and its entries by level."""

    start: int
    end: int
    counts: dict[str, int]


class Histogram(Value, frozen=True, kw_only=True):
    """Matching entries over time, from the first to the last; complete as in `TaskPage`."""

    buckets: list[Bucket]
    complete: bool


class TaskQuery(Value, frozen=True, kw_only=True):
    """Which tasks, in which order. Times in microseconds, durations in seconds, repeated values ORed."""

    status: tuple[TaskStatus, ...] = ()
    plugin: tuple[str, ...] = ()
    trigger_type: tuple[str, ...] = ()
    account: str | None = None
    site: str | None = None
    parent: str | None = None
    schedule: str | None = None
    text: str | None = None
    started_after: int | None = None
    started_before: int | None = None
    finished_after: int | None = None
    min_duration: float | None = None
    max_duration: float | None = None
    order_by: Literal["created_at", "started_at", "duration"] = "created_at"
    descending: bool = True
    limit: int = 50
    cursor: str | None = None
    access: AccessScope = EVERYTHING

    @property
    def scope(self) -> AccessScope:
        """What of ``access`` counts here: see `AccessScope.of_list`."""
        return self.access.of_list(names_audit=AUDIT_PLUGIN in self.plugin)


class TaskPage(Value, frozen=True, kw_only=True):
    """Tasks and the cursor of the next page, None at the end; whether all that was known before is among them."""

    tasks: list[Task]
    next: str | None
    complete: bool = True


class StageCount(Value, frozen=True, kw_only=True):
    """How many entries carry this stage label and, within it, each unit."""

    stage: str
    log_count: int
    units: dict[str, int]


class PluginStats(Value, frozen=True, kw_only=True):
    """Of one plugin: tasks by status, the share of ended ones that succeeded, durations in seconds."""

    plugin: str
    total: int
    by_status: dict[str, int]
    success_rate: float | None
    p50: float | None
    p95: float | None


class NodeStats(Value, frozen=True, kw_only=True):
    """Of one node over a plugin's tasks: steps by status, durations in seconds."""

    node_id: str
    node_type: str
    node_name: str
    total: int
    by_status: dict[str, int]
    p50: float | None
    p95: float | None


class RunState(Value, frozen=True, kw_only=True):
    """How much of a task is stored: its last seq, the number of its last trace item (0 for none), whether it ended."""

    task_id: str
    last_seq: int
    last_trace: int
    ended: bool


class Runs(Value, frozen=True, kw_only=True):
    """Tasks with a run directory, by the order of their creation, after a rank: their ids, and the last rank looked at.

    ``newest`` is the highest rank ever given out; ``states`` has these tasks' states, and those of others asked for.
    """

    task_ids: list[str]
    rank: int
    newest: int
    states: list[RunState]


class RunEntries(Value, frozen=True, kw_only=True):
    """Entries of one task, in order, as the columns that make their lines; ``last`` is how far that is all of them."""

    columns: list[list[Any]]
    last: int


class Doomed(Value, frozen=True, kw_only=True):
    """A task that is being deleted, with what names its run directory."""

    task_id: str
    account: str | None
    site: str | None
    run_id: str | None
