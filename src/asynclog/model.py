"""The words of asynclog as frozen values: level, entry, task, stage, step, gap, access scope.

Times are integers, microseconds since the epoch in UTC, wherever a value is handled; they become ISO-8601 text with
``Z`` only in JSON (`timestamp_text`). Durations are seconds as float.
"""

from __future__ import annotations

import contextlib
import enum
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Literal, cast

import msgspec

from asynclog.errors import NotFoundError

MAX_TIMESTAMP: Final = 253_402_300_799_999_999
"""9999-12-31T23:59:59.999999Z in microseconds: what ISO-8601 with four digits can show."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Level(enum.IntEnum):
    """How severe an entry is. The numbers are those of `logging`."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40

    @classmethod
    def parse(cls, value: object) -> Level:
        """Read a level as people and other systems write it.

        Any case; WARN is WARNING, CRITICAL and FATAL are ERROR, TRACE is DEBUG; a number (or its text) counts by
        threshold, as in `logging`: 35 is WARNING, below 20 is DEBUG.

        Raises:
            ValueError: it is none of these.
        """
        if isinstance(value, str):
            name = value.strip().upper()
            level = _LEVEL_NAMES.get(name)
            if level is not None:
                return level
            if name.isascii() and name.isdigit() and len(name) <= 6:
                value = int(name)
        if isinstance(value, int) and not isinstance(value, bool):
            above_info = cls.ERROR if value >= 40 else cls.WARNING if value >= 30 else cls.INFO
            return above_info if value >= 20 else cls.DEBUG
        raise ValueError(f"{value!r} is not a level; use DEBUG, INFO, WARNING or ERROR")


_LEVEL_NAMES: Final = {
    **{level.name: level for level in Level},
    "WARN": Level.WARNING,
    "CRITICAL": Level.ERROR,
    "FATAL": Level.ERROR,
    "TRACE": Level.DEBUG,
}

TaskStatus = Literal["pending", "running", "success", "failed", "cancelled", "interrupted"]
StepStatus = Literal["running", "success", "error", "skipped", "interrupted"]
StageStatus = Literal["running", "success", "error", "interrupted"]
TriggerType = Literal["manual", "schedule", "webhook", "db_change", "internal_event", "api"]

MissedRule = Literal["run", "skip"]

TASK_STATUSES: Final = ("pending", "running", "success", "failed", "cancelled", "interrupted")
ENDED: Final = frozenset({"success", "failed", "cancelled", "interrupted"})
"""The statuses a task never leaves."""
TRIGGER_TYPES: Final = ("manual", "schedule", "webhook", "db_change", "internal_event", "api")


class Value(msgspec.Struct, frozen=True, omit_defaults=True):
    """What every value below is: immutable, compared by its fields.

    Free-form data is kept as JSON text, normalised and cut, in a field named ``*_json``; the property of the same
    name without the ending gives it decoded.
    """


def _decoded(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)


class Entry(Value, frozen=True):
    """One log record of a task."""

    id: int
    task_id: str
    seq: int
    timestamp: int
    level: Level
    source: str
    stage: str | None
    unit: str | None
    step_id: str | None
    message: str
    metadata_json: str | None

    @property
    def metadata(self) -> dict[str, Any] | None:
        """The metadata, decoded."""
        return cast("dict[str, Any] | None", _decoded(self.metadata_json))


class Progress(Value, frozen=True):
    """How far a task is: ``current`` of ``total`` (None: unknown)."""

    current: int | float
    total: int | float | None = None
    message: str | None = None


class Sealed(Value, frozen=True):
    """What an ended task's log holds: ``count`` entries, the last with number ``last_seq``."""

    count: int
    last_seq: int


def end_of(started_at: int | None, now: int) -> int:
    """When something ends that ends now: not before it started, though the clock was set back meanwhile."""
    return now if started_at is None else max(started_at, now)


class Task(Value, frozen=True):
    """One execution of a plugin.

    ``last_seq``, ``counts`` (level name to number) and ``dropped`` are kept by the store and only read from it.
    """

    id: str
    name: str
    plugin: str
    created_at: int
    account: str | None = None
    site: str | None = None
    parent_id: str | None = None
    schedule_id: str | None = None
    run_id: str | None = None
    external: bool = False
    trigger_type: TriggerType = "manual"
    trigger_data_json: str | None = None
    params_json: str | None = None
    status: TaskStatus = "pending"
    cancelling: bool = False
    progress: Progress | None = None
    result_json: str | None = None
    error_message: str | None = None
    error_stack: str | None = None
    started_at: int | None = None
    finished_at: int | None = None
    sealed: Sealed | None = None
    lease_until: int | None = None
    metadata_json: str | None = None
    last_seq: int = 0
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    dropped: int = 0

    @property
    def trigger_data(self) -> Any:
        """What triggered it, decoded."""
        return _decoded(self.trigger_data_json)

    @property
    def params(self) -> Any:
        """What the plugin was given, as stored: normalised and cut."""
        return _decoded(self.params_json)

    @property
    def result(self) -> Any:
        """What the plugin returned, as stored: normalised and cut."""
        return _decoded(self.result_json)

    @property
    def metadata(self) -> Any:
        """The task's metadata, decoded."""
        return _decoded(self.metadata_json)

    @property
    def duration(self) -> float | None:
        """Seconds from start to end, None before the end."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at) / 1_000_000

    @property
    def ended(self) -> bool:
        """Whether the status is one it never leaves."""
        return self.status in ENDED


class Stage(Value, frozen=True, kw_only=True):
    """A named phase of a task. ``elapsed`` is not kept: it is finished_at - started_at."""

    id: str
    task_id: str
    number: int
    name: str
    status: StageStatus = "running"
    pending: int | None = None
    processed: int | None = None
    credits_used: float | None = None
    started_at: int
    finished_at: int | None = None
    result_json: str | None = None
    error_message: str | None = None
    error_stack: str | None = None


class Step(Value, frozen=True, kw_only=True):
    """One node or call inside a task. Input and output are as captured at the call, cut above ``max_data_size``."""

    id: str
    task_id: str
    parent_id: str | None = None
    step_index: int
    stage: str | None = None
    unit: str | None = None
    node_id: str
    node_type: str
    node_name: str
    status: StepStatus = "running"
    started_at: int
    finished_at: int | None = None
    input_json: str | None = None
    output_json: str | None = None
    error_message: str | None = None
    error_stack: str | None = None


class TraceItem(Value, frozen=True):
    """A machine event of a task's run, no entry: ``event`` and its data (a JSON object)."""

    task_id: str
    timestamp: int
    event: str
    data_json: str | None = None


class Schedule(Value, frozen=True, kw_only=True):
    """When a plugin is started by itself, and where that stands. Exactly one of ``cron`` and ``interval`` is given.

    ``interval`` is in microseconds, counted from ``created_at``. ``params_json`` is what the plugin is handed, whole.
    ``next_at`` is the next due time (None while paused), ``last_at`` the last one that was dealt with: by a task, or,
    because the one before still ran, by one more ``skipped``.
    """

    id: str
    name: str
    plugin: str
    params_json: str = "{}"
    account: str | None = None
    site: str | None = None
    cron: str | None = None
    interval: int | None = None
    time_zone: str = "UTC"
    missed: MissedRule = "run"
    paused: bool = False
    created_at: int
    updated_at: int
    next_at: int | None = None
    last_at: int | None = None
    last_task_id: str | None = None
    last_error: str | None = None
    skipped: int = 0

    @property
    def params(self) -> Any:
        """What the plugin is handed, decoded."""
        return _decoded(self.params_json)


class Gap(Value, frozen=True):
    """A range of a task's seqs that was declared dropped, both ends inclusive."""

    task_id: str
    from_seq: int
    to_seq: int
    reason: str


AUDIT_PLUGIN: Final = "asynclog.audit"
"""The plugin of the one task whose entries say who changed what; no other task may name it."""
AUDIT_TASK: Final = "asynclog-audit"
"""The id of that task, in every data directory."""


class AccessScope(Value, frozen=True):
    """The account and site a caller may see; None for either means all of them. ``audit``: what others changed, too."""

    account: str | None = None
    site: str | None = None
    audit: bool = False

    @property
    def everywhere(self) -> bool:
        """Whether no account and no site is hidden."""
        return self.account is None and self.site is None

    def allows(self, account: str | None, site: str | None) -> bool:
        """Whether something of this account and site is visible."""
        return self.account in (None, account) and self.site in (None, site)

    def sees(self, task: Task) -> bool:
        """Whether a task is visible: what `store.scope` says in SQL."""
        return self.allows(task.account, task.site) and (self.audit or task.plugin != AUDIT_PLUGIN)

    def of_list(self, *, names_audit: bool) -> AccessScope:
        """The scope of a list: the audit is in none that does not name it."""
        return self if names_audit or not self.audit else AccessScope(account=self.account, site=self.site)

    def home(self, account: str | None, site: str | None) -> tuple[str | None, str | None]:
        """Where something new belongs: as it is given, and where it is not, to the scope's own account and site.

        Raises:
            NotFoundError: an account or a site that is not the scope's own, whether anybody has it or not.
        """
        if account is not None and not self.allows(account, self.site):
            raise NotFoundError("account", account)
        if site is not None and not self.allows(self.account, site):
            raise NotFoundError("site", site)
        return self.account if account is None else account, self.site if site is None else site


EVERYTHING: Final = AccessScope(audit=True)
"""What the service itself sees, and an admin of all accounts and sites."""


def timestamp_text(microseconds: int) -> str:
    """The time as JSON shows it: ISO-8601, UTC, six digits, ``Z``. Raises OverflowError outside the years 1 to 9999."""
    second, fraction = divmod(microseconds, 1_000_000)
    return f"{_second_text(second)}.{fraction:06d}Z"  # what is shown together is mostly of a few seconds


@lru_cache(maxsize=256)
def _second_text(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).replace(tzinfo=None).isoformat()


@lru_cache(maxsize=256)
def _known_second(text: str) -> int | None:
    """Microseconds of a time without offset and fraction; None when it is none, or not between 1970 and 9999."""
    try:
        moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return None
    return None if moment < _EPOCH else (moment - _EPOCH) // timedelta(microseconds=1)


def parse_timestamp(text: str) -> int:
    """Microseconds of an ISO-8601 time; without an offset it is taken as UTC.

    Raises:
        ValueError: it is no such time, or outside 1970 to 9999.
    """
    # The usual form, 2026-02-07T12:00:00.123456Z: the second is looked up, it comes again and again.
    if len(text) == 27 and text[13] == text[16] == ":" and text[19] == "." and text[26] == "Z" and text.isascii():
        second, digits = _known_second(text[:19]), text[20:26]
        if second is not None and digits.isdigit():
            return second + int(digits)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    microseconds = (moment - _EPOCH) // timedelta(microseconds=1)
    if not 0 <= microseconds <= MAX_TIMESTAMP:
        raise ValueError(f"{text!r} is outside the years 1970 to 9999")
    return microseconds


class _Seconds(dict[str, int]):
    """Microseconds of times without offset and fraction; KeyError for what is none."""

    def __missing__(self, text: str) -> int:
        second = _known_second(text)
        if second is None:
            raise KeyError(text)
        self[text] = second
        return second


def parse_timestamps(texts: list[str]) -> list[int]:
    """Each as `parse_timestamp` reads it, whose errors this raises; faster where all of them have the usual form."""
    together = "".join(texts)
    if set(map(len, texts)) == {27} and together.isascii():
        marks = together[13::27], together[16::27], together[19::27], together[26::27]
        digits = "".join([together[place::27] for place in range(20, 26)])
        if digits.isdigit() and [mark.strip(sign) for mark, sign in zip(marks, "::.Z", strict=True)] == [""] * 4:
            seconds = _Seconds()
            with contextlib.suppress(KeyError):
                return [seconds[text[:19]] + int(text[20:26]) for text in texts]
    return list(map(parse_timestamp, texts))
