"""What the service takes and answers, as structs that name all fields: the API's schemas. `wire` makes the answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from asynclog.model import StageStatus, StepStatus, TaskStatus, TriggerType

LevelName = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Time = Annotated[str, Meta(description="ISO-8601, UTC, 6 decimals, Z.", extra_json_schema={"format": "date-time"})]
Seconds = float
JsonObject = dict[str, Any]
Count = Annotated[int, Meta(ge=0)]
Title = Annotated[str, Meta(max_length=1000)]  # lists show it whole, and can be filtered by no more


class Shape(Struct, forbid_unknown_fields=True, kw_only=True):
    """All of an object's fields are named here."""


class Answer(Shape):
    """What may lack something while entries come faster than they are stored, or the database does not answer."""

    complete: Annotated[bool, Meta(description="Whether everything logged before the request is in the answer.")]


class Entry(Shape):
    """One log record of a task."""

    id: Annotated[int, Meta(description="The record number in the data directory.")]
    task_id: str
    seq: Annotated[int, Meta(description="The entry's number in its task, from 1 without holes: what cursors use.")]
    timestamp: Time
    level: LevelName
    source: str
    stage: str | None
    unit: str | None
    step_id: str | None
    message: str
    metadata: JsonObject | None


class Progress(Shape):
    """How far a task is."""

    current: float
    total: float | None
    message: str | None


class Sealed(Shape):
    """What an ended task's log holds."""

    count: Count
    last_seq: Count


class LevelCounts(Shape):
    """Entries by level."""

    DEBUG: Count
    INFO: Count
    WARNING: Count
    ERROR: Count


class Task(Shape):
    """One execution of a plugin."""

    id: str
    name: str
    plugin: str
    account: str | None
    site: str | None
    parent_id: str | None
    schedule_id: str | None
    run_id: str | None
    external: bool
    trigger_type: TriggerType
    trigger_data: Any
    params: Any
    status: TaskStatus
    cancelling: bool
    progress: Progress | None
    result: Any
    error_message: str | None
    error_stack: str | None
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    duration: Seconds | None
    last_seq: Count
    counts: LevelCounts
    dropped: Count
    sealed: Sealed | None
    metadata: Any


class TaskPage(Answer):
    """Tasks, newest first unless asked otherwise, and the cursor of the next page."""

    tasks: list[Task]
    next: str | None


class Gap(Shape):
    """Entries that were declared dropped, or are lost, both ends inclusive."""

    from_seq: int
    to_seq: int
    reason: str


class LogPage(Answer):
    """A page of a task's entries."""

    task_id: str
    entries: list[Entry]
    total: Annotated[int | None, Meta(description="All matches, whatever the page; null when counting takes too long.")]
    next_after: Annotated[int | None, Meta(description="The next page's after; null when nothing more matches.")]
    next_before: Annotated[int | None, Meta(description="With order=desc, the next page's before.")]
    gaps: list[Gap]


class SearchPage(Answer):
    """A page of entries across tasks; the cursors are ids."""

    entries: list[Entry]
    next_before: int | None
    next_after: int | None


class LogStats(Answer):
    """How many entries match. In by_stage, "" stands for none."""

    total: Count
    by_level: dict[str, Count]
    by_source: dict[str, Count]
    by_stage: dict[str, Count]


class Sources(Answer):
    """The sources that occur in a task."""

    sources: list[str]


class Bucket(Shape):
    """A span of time, the end exclusive, and its entries by level."""

    start: Time
    end: Time
    counts: dict[str, Count]


class Histogram(Answer):
    """Matching entries over time."""

    buckets: list[Bucket]


class UnitCount(Shape):
    """Entries about one unit."""

    unit: str
    log_count: Count


class Stage(Shape):
    """A stage of a task; one that occurs only on entries has neither id, number nor status."""

    id: str | None
    number: int | None
    name: str
    status: StageStatus | None
    pending: int | None
    processed: int | None
    credits_used: float | None
    elapsed: Seconds | None
    started_at: Time | None
    finished_at: Time | None
    error_message: str | None
    error_stack: str | None
    log_count: Count
    result: Any
    units: list[UnitCount]


class Stages(Answer):
    """A task's stages in order."""

    stages: list[Stage]


class Step(Shape):
    """One node or call inside a task; a list of steps has neither input nor output."""

    id: str
    task_id: str
    parent_id: str | None
    step_index: int
    stage: str | None
    unit: str | None
    node_id: str
    node_type: str
    node_name: str
    status: StepStatus
    started_at: Time
    finished_at: Time | None
    duration: Seconds | None
    error_message: str | None
    error_stack: str | None
    input_data: Any = None
    output_data: Any = None


class Steps(Shape):
    """A task's steps in order; ``next_after`` is the id of the last one, null when no more follow."""

    steps: list[Step]
    next_after: str | None


class Plugin(Shape):
    """Code that can run as a task."""

    name: str
    description: str
    params_schema: Any = None
    role: Annotated[Literal["admin"] | UnsetType, Meta(description="Who may start it, if not operators too.")] = UNSET


class Plugins(Shape):
    """All plugins there are."""

    plugins: list[Plugin]


class NodeStats(Shape):
    """One node over all tasks of a plugin."""

    node_id: str
    node_type: str
    node_name: str
    total: Count
    by_status: dict[str, Count]
    p50: Seconds | None
    p95: Seconds | None


class PluginStats(Shape):
    """A plugin's tasks in numbers: the share of ended ones that succeeded, and durations."""

    plugin: str
    total: Count
    by_status: dict[str, Count]
    success_rate: float | None
    p50: Seconds | None
    p95: Seconds | None
    nodes: list[NodeStats]


class LoggingSettings(Shape):
    """The logging settings that count now."""

    log_level: LevelName
    task_log_level: LevelName
    belief_scope_enabled: bool
    flush_interval: Seconds
    message_limit: int
    capture_enabled: bool
    capture_inputs: bool
    capture_outputs: bool
    max_data_size: int
    retention_days: float
    retention_max_tasks: int
    search_index: bool
    pinned: Annotated[list[str], Meta(description="Settings decided by a flag or the environment.")]


class LoggingChange(Shape):
    """Settings to change; those left out stay."""

    log_level: str | UnsetType = UNSET
    task_log_level: str | UnsetType = UNSET
    belief_scope_enabled: bool | UnsetType = UNSET
    flush_interval: Annotated[float, Meta(ge=0.05, le=60)] | UnsetType = UNSET
    message_limit: Count | UnsetType = UNSET
    capture_enabled: bool | UnsetType = UNSET
    capture_inputs: bool | UnsetType = UNSET
    capture_outputs: bool | UnsetType = UNSET
    max_data_size: Count | UnsetType = UNSET
    retention_days: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    retention_max_tasks: Count | UnsetType = UNSET
    search_index: bool | UnsetType = UNSET


class Retention(Shape):
    """What was, or with dry_run would be, removed."""

    dry_run: bool
    tasks: Count
    entries: Count
    by_plugin: dict[str, Count]
    task_ids: list[str]


class StartTask(Shape):
    """A task to start: of a plugin, or with external true one whose code runs elsewhere and which needs a name."""

    plugin: Title | None = None
    external: bool = False
    name: Title | None = None
    params: Any = None
    trigger_type: Title | None = None
    trigger_data: Any = None
    account: Title | None = None
    site: Title | None = None
    parent_id: Title | None = None
    metadata: Any = None


class FinishTask(Shape):
    """How an external task ended."""

    status: Literal["success", "failed", "cancelled"]
    result: Any = None
    error_message: str | None = None


class PutStage(Shape):
    """A stage of an external task: without id a new one, with id what has changed of it."""

    id: str | None = None
    name: Title | None = None
    number: Annotated[int, Meta(ge=0, le=1_000_000_000)] | None = None
    status: StageStatus | None = None
    pending: Annotated[int, Meta(ge=0, le=1 << 53)] | None = None
    processed: Annotated[int, Meta(ge=0, le=1 << 53)] | None = None
    credits_used: float | None = None
    result: Any = None
    error_message: str | None = None


class PutStep(Shape):
    """A step of an external task: without id a new one, with id what has changed of it."""

    id: str | None = None
    node_id: Title | None = None
    node_type: Title | None = None
    node_name: Title | None = None
    parent_id: Title | None = None
    stage: str | None = None
    unit: str | None = None
    status: StepStatus | None = None
    input_data: Any = None
    output_data: Any = None
    error_message: str | None = None


class LineError(Shape):
    """Why a line was rejected; lines count from 1."""

    line: int
    error: str


class Ingested(Shape):
    """What became of a batch of entries; filtered ones were below the threshold."""

    accepted: Count
    rejected: Count
    filtered: Count
    errors: Annotated[list[LineError], Meta(description="At most 100.")]
    last_seq: Count


class Health(Shape):
    """The process answers."""

    status: Literal["ok"]


class Readiness(Shape):
    """Whether everything works as promised, and what does or did not."""

    status: Literal["ready", "degraded", "closing"]
    reasons: list[str]


class Problem(Struct, kw_only=True):
    """An error as RFC 9457 has it; detail says what to do, parameter what is at fault."""

    type: str
    title: str
    status: int
    detail: str
    parameter: str | UnsetType = UNSET
