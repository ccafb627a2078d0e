"""Applies journal records to a SQLite database: one function for the writer and for the replay.

Everything here runs whole on the connection's own thread. Entries go in by statements of many rows: SQLite gives the
GIL back for every step, and a step for every row would wait for it every time.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from asynclog import failpoints
from asynclog.errors import StoreError
from asynclog.frames import Frames
from asynclog.model import AUDIT_PLUGIN, AUDIT_TASK, Gap, Level, Step, Task, TraceItem
from asynclog.records import Row
from asynclog.store.batch import Batch
from asynclog.store.columns import NAMES, NOTHING, NULLABLE, Columns
from asynclog.store.losses import Losses, count_displaced
from asynclog.store.transaction import transaction

ROWS: Final = 4000
"""Entries a statement inserts at most: at 8 values each below the limit of any SQLite since 3.32.

Each statement waits for the GIL once, beside a busy loop a whole switch interval.
"""
_VARIABLES: Final = 32_000
PUT_ROWS: Final = 64
"""Rows of any other table that a statement puts at most."""

_log = logging.getLogger("asynclog.store")

_BAD_DATA: Final = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    OverflowError,
    UnicodeError,
)
"""What SQLite says of one row, as against the whole database."""


class _Put(NamedTuple):
    """A statement that puts rows, whole: the same row may be put again."""

    head: str
    width: int
    tail: str = ""


@lru_cache(maxsize=64)
def _statement(put: _Put, rows: int) -> str:
    marks = f"({', '.join('?' * put.width)})"
    return f"{put.head} VALUES {', '.join([marks] * rows)} {put.tail}"


# The last record of this journal that is stored, and the highest number that an entry ever had.
_STORED: Final = """
SELECT ifnull((SELECT record_id FROM watermark WHERE journal_id = ?), 0),
       max(ifnull((SELECT max(id) FROM task_logs), 0),
           ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'task_logs'), 0))"""


def commit(
    connection: sqlite3.Connection,
    journal_id: str,
    frames: Frames,
    batch: Callable[[], Batch],
    through: int,
    after: int,
    losses: Losses,
) -> Columns | None:
    """`Store.commit` for SQLite: all of it in one transaction, or nothing. ``batch`` gives the frames, sorted."""
    if after and read_watermark(connection, journal_id) < after:  # before it waits for a lock, and others for it
        raise StoreError("the records before these are not stored yet")
    found = batch()
    with transaction(connection):
        watermark, newest = connection.execute(_STORED, (journal_id,)).fetchone()
        losses.look(watermark, frames, through)
        if frames and frames.ids[0] <= watermark:
            found = Batch(Frames.of(frame for frame in frames if frame[0] > watermark))
        _put_tasks(connection, found)
        new = _put_entries(connection, found.entries, newest)
        _put_rest(connection, found)
        for gap in losses.gaps(connection, found):
            _put_gap(connection, gap)
        connection.execute(
            "INSERT INTO watermark (journal_id, record_id) VALUES (?, ?) "
            "ON CONFLICT (journal_id) DO UPDATE SET record_id = max(record_id, excluded.record_id)",
            (journal_id, through),
        )
        failpoints.hit("store.applied")
    failpoints.hit("store.committed")
    return found.entries if new else None


def read_watermark(connection: sqlite3.Connection, journal_id: str) -> int:
    """The last record of this journal that is stored."""
    row = connection.execute("SELECT record_id FROM watermark WHERE journal_id = ?", (journal_id,)).fetchone()
    return int(row[0]) if row else 0


def read_last_id(connection: sqlite3.Connection) -> int:
    """The highest record number ever stored, that of a removed entry included."""
    row = connection.execute(
        "SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'task_logs'), 0), "
        "coalesce((SELECT max(record_id) FROM watermark), 0), coalesce((SELECT max(id) FROM trace_items), 0))"
    ).fetchone()
    return int(row[0])


_TASK_COLUMNS: Final = (
    "id name plugin account site parent_id schedule_id run_id external trigger_type trigger_data params status "
    "cancelling progress result error_message error_stack created_at started_at finished_at sealed lease_until metadata"
).split()

_PUT_TASK: Final = _Put(
    f"INSERT INTO tasks ({', '.join(_TASK_COLUMNS)})",
    len(_TASK_COLUMNS),
    f"ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _TASK_COLUMNS[1:])}",
)

_PUT_STUB: Final = (
    "INSERT INTO tasks (id, name, plugin, status, created_at, finished_at, error_message) "
    f"SELECT value, value, iif(value = '{AUDIT_TASK}', '{AUDIT_PLUGIN}', 'unknown'), 'interrupted', ?, ?, "
    "'the record of this task was lost; these are its entries' "
    "FROM json_each(?) WHERE true ON CONFLICT (id) DO NOTHING"
)


def _json(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _task_values(task: Task) -> tuple[Any, ...]:
    return (
        task.id,
        task.name,
        task.plugin,
        task.account,
        task.site,
        task.parent_id,
        task.schedule_id,
        task.run_id,
        task.external,
        task.trigger_type,
        task.trigger_data_json,
        task.params_json,
        task.status,
        task.cancelling,
        _json(task.progress),
        task.result_json,
        task.error_message,
        task.error_stack,
        task.created_at,
        task.started_at,
        task.finished_at,
        _json(task.sealed),
        task.lease_until,
        task.metadata_json,
    )


def _put_tasks(connection: sqlite3.Connection, batch: Batch) -> None:
    _put_many(connection, _PUT_TASK, [_task_values(task) for task in batch.tasks.values()])
    _put_stubs(connection, batch.owners(), batch.entries.timestamps)


def _put_stubs(connection: sqlite3.Connection, task_ids: set[str], timestamps: Sequence[int]) -> None:
    """Let these tasks exist."""
    if task_ids:
        first = min((timestamp for timestamp in timestamps if 0 <= timestamp < 1 << 62), default=0)
        connection.execute(_PUT_STUB, (first, first, _json(sorted(task_ids))))


@lru_cache(maxsize=64)
def _insert(rows: int, absent: frozenset[int] = NOTHING) -> str:
    """The statement that inserts so many rows, whose absent columns are NULL and where 0 stands for NULL."""
    marks = ["nullif(?, 0)" if place in NULLABLE else "?" for place in range(len(NAMES))]
    values = ", ".join("NULL" if place in absent else mark for place, mark in enumerate(marks))
    rest = ", ".join([f"({values})"] * rows)
    return f"INSERT INTO task_logs ({', '.join(NAMES)}) VALUES {rest} ON CONFLICT (task_id, seq) DO NOTHING"


_PUT_ONE: Final = (
    f"INSERT INTO task_logs ({', '.join(NAMES)}) VALUES ({', '.join('?' * len(NAMES))}) "
    "ON CONFLICT (task_id, seq) DO NOTHING"
)


def _put_entries(connection: sqlite3.Connection, entries: Columns, newest: int) -> bool:
    """Insert them; whether all of them were new and are stored as they are.

    Where another history has used these numbers, or higher ones, up to ``newest``, all of them get higher ones: within
    a task entries are read in the order of their numbers, and what is indexed stays as it is.
    """
    if not entries:
        return True
    first = min(entries.ids)
    renumbered = first <= newest
    if renumbered:
        entries.renumber(newest + 1 - first)
    before = connection.total_changes
    absent = entries.absent()
    exact = True
    for start, end in _parts(0, len(entries), _VARIABLES // (len(NAMES) - len(absent))):
        try:
            connection.execute(_insert(end - start, absent), entries.flat(start, end, absent))
        except _BAD_DATA:
            _put_stubs(connection, set(entries.task_ids), entries.timestamps)  # perhaps it is only that
            _put_each(connection, entries, start, end)
            exact = False
    exact = exact and connection.total_changes - before == len(entries)
    if not exact and (displaced := count_displaced(connection, entries)):
        _log.error("%d entries are not stored: other entries of their tasks have their numbers", displaced)
    _count(connection, entries, exact=exact)
    return exact and not renumbered


def _parts(start: int, end: int, limit: int) -> Iterator[tuple[int, int]]:
    """A range in parts of few sizes, so that their statements stay prepared: the largest (5 MB), and quarters of it."""
    size = min(ROWS, limit)
    while start < end:
        while size > end - start:
            size = max(1, size // 4)
        yield start, start + size
        start += size


def _put_each(connection: sqlite3.Connection, entries: Columns, start: int, end: int) -> None:
    """Insert what a statement of many rows refused: halve until the row that cannot be stored stands alone."""
    connection.execute("SAVEPOINT part")
    try:
        for first, last in _parts(start, end, _VARIABLES // len(NAMES)):
            connection.execute(_insert(last - first), entries.flat(first, last, NOTHING))
    except _BAD_DATA as error:
        connection.execute("ROLLBACK TO part")
        if end - start == 1:
            _put_unstorable(connection, entries.rows(start, end)[0], error)
        else:
            half = (start + end) // 2
            _put_each(connection, entries, start, half)
            _put_each(connection, entries, half, end)
    connection.execute("RELEASE part")


def _put_unstorable(connection: sqlite3.Connection, row: Row, error: Exception) -> None:
    """Keep its place in the task: as an entry that says why, or as a gap."""
    timestamp = row[3] if abs(row[3]) < 1 << 62 else 0
    reason = f"{type(error).__name__}: {error}".encode("utf-8", "backslashreplace").decode().replace("\0", "")
    for message in (f"[unstorable: {reason}]", "[unstorable: the database refuses it]"):
        with contextlib.suppress(*_BAD_DATA):
            connection.execute(_PUT_ONE, (*row[:3], timestamp, "ERROR", "system", None, None, None, message, None))
            return
    _put_gap(connection, Gap(task_id=row[1], from_seq=row[2], to_seq=row[2], reason=f"unstorable: {reason}"))


# Each of them one step for the whole batch: a step for each task would wait for the GIL each time.
_COUNT_TASKS: Final = (
    "UPDATE tasks SET last_seq = max(last_seq, more.value ->> 1), debug_count = debug_count + (more.value ->> 2), "
    "info_count = info_count + (more.value ->> 3), warning_count = warning_count + (more.value ->> 4), "
    "error_count = error_count + (more.value ->> 5) FROM json_each(?) AS more WHERE tasks.id = more.value ->> 0"
)
_COUNT_ENTRIES: Final = (
    "INSERT INTO entry_counts (task_id, source, level, stage, count) "
    "SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?) WHERE true "
    "ON CONFLICT DO UPDATE SET count = count + excluded.count"
)
_RECOUNT: Final = (
    "DELETE FROM entry_counts WHERE task_id = :task",
    """INSERT INTO entry_counts
       SELECT task_id, source, level, coalesce(stage, ''), count(*) FROM task_logs
       WHERE task_id = :task GROUP BY source, level, coalesce(stage, '')""",
    """UPDATE tasks SET
       last_seq = max(last_seq, (SELECT coalesce(max(seq), 0) FROM task_logs WHERE task_id = :task)),
       (debug_count, info_count, warning_count, error_count) = (
           SELECT coalesce(sum(count) FILTER (WHERE level = 'DEBUG'), 0),
                  coalesce(sum(count) FILTER (WHERE level = 'INFO'), 0),
                  coalesce(sum(count) FILTER (WHERE level = 'WARNING'), 0),
                  coalesce(sum(count) FILTER (WHERE level = 'ERROR'), 0)
           FROM entry_counts WHERE task_id = :task)
       WHERE id = :task""",
)


def _count(connection: sqlite3.Connection, entries: Columns, *, exact: bool) -> None:
    """Keep the counts in step with the entries; where not every row was new, count those tasks afresh."""
    counts = entries.counts
    told = _json([(task_id, source, level, stage or "", n) for (task_id, source, level, stage), n in counts.items()])
    # SQLite's JSON ends a text at NUL.
    if not exact or told is None or ("\\u0000" in told and "\\u0000" in told.replace("\\\\", "")):
        for task_id in set(entries.task_ids):
            for statement in _RECOUNT:
                connection.execute(statement, {"task": task_id})
        return
    levels: Counter[tuple[str, str]] = Counter()
    for (task_id, _, level, _), n in counts.items():
        levels[task_id, level] += n
    tasks = [
        (task_id, last, *(levels[task_id, level.name] for level in Level))
        for task_id, last in entries.last_seqs().items()
    ]
    connection.execute(_COUNT_ENTRIES, (told,))
    connection.execute(_COUNT_TASKS, (_json(tasks),))


_PUT_STAGE: Final = _Put("INSERT OR REPLACE INTO stages", 13)
_PUT_TRACE: Final = _Put("INSERT INTO trace_items", 5)
_SAME_TRACES: Final = "SELECT * FROM trace_items WHERE id IN (SELECT value FROM json_each(?))"
_PUT_ANSWER: Final = _Put("INSERT INTO batches", 3, "ON CONFLICT DO NOTHING")
_STEP_COLUMNS: Final = (
    "id task_id parent_id step_index stage unit node_id node_type node_name status started_at finished_at input_data "
    "output_data error_message error_stack"
).split()
_PUT_STEP: Final = _Put(
    f"INSERT INTO steps ({', '.join(_STEP_COLUMNS)})",
    len(_STEP_COLUMNS),
    f"ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _STEP_COLUMNS[2:])}",
)


def _put_rest(connection: sqlite3.Connection, batch: Batch) -> None:
    _put_many(connection, _PUT_STAGE, [msgspec.structs.astuple(stage) for stage in batch.stages.values()])
    _put_many(connection, _PUT_STEP, [_step_values(step) for step in batch.steps.values()])
    _put_traces(connection, batch.traces)
    for gap in batch.gaps:
        _put_gap(connection, gap)
    _put_many(connection, _PUT_ANSWER, batch.answers)
    for task_id, deleted_at in batch.deleted.items():
        connection.execute("UPDATE tasks SET deleted_at = ? WHERE id = ?", (deleted_at, task_id))


def _put_traces(connection: sqlite3.Connection, traces: Sequence[tuple[int, TraceItem]]) -> None:
    """Insert trace items; where another history has used their numbers, or higher ones, they get higher ones too."""
    rows: list[tuple[Any, ...]] = [
        (record_id, item.task_id, item.timestamp, item.event, item.data_json) for record_id, item in traces
    ]
    newest = connection.execute("SELECT max(id) FROM trace_items").fetchone()[0] if rows else None
    if newest is not None and rows[0][0] <= newest:
        there = set(connection.execute(_SAME_TRACES, (_json([row[0] for row in rows]),)))
        rows = [row for row in rows if row not in there]
        by = max(0, newest + 1 - rows[0][0]) if rows else 0
        rows = [(record_id + by, *rest) for record_id, *rest in rows]
    _put_many(connection, _PUT_TRACE, rows)


def _put_gap(connection: sqlite3.Connection, gap: Gap) -> None:
    fields = (gap.task_id, gap.from_seq, gap.to_seq, gap.reason)
    if connection.execute("INSERT INTO gaps VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", fields).rowcount == 1:
        connection.execute(
            "UPDATE tasks SET dropped = dropped + ?, last_seq = max(last_seq, ?) WHERE id = ?",
            (gap.to_seq - gap.from_seq + 1, gap.to_seq, gap.task_id),
        )


def _put_many(connection: sqlite3.Connection, put: _Put, rows: Sequence[tuple[Any, ...]]) -> None:
    """Put all these rows; one that cannot be stored is said and passed over, the others go on."""
    for start, end in _parts(0, len(rows), PUT_ROWS):
        try:
            connection.execute(_statement(put, end - start), [value for row in rows[start:end] for value in row])
        except _BAD_DATA:
            for row in rows[start:end]:
                _put_row(connection, put, row)


def _put_row(connection: sqlite3.Connection, put: _Put, row: tuple[Any, ...]) -> None:
    try:
        connection.execute(_statement(put, 1), row)
    except _BAD_DATA as error:
        _log.error("a record of %r cannot be stored: %s", row[:2], error)


def _step_values(step: Step) -> tuple[Any, ...]:
    return (
        step.id,
        step.task_id,
        step.parent_id,
        step.step_index,
        step.stage,
        step.unit,
        step.node_id,
        step.node_type,
        step.node_name,
        step.status,
        step.started_at,
        step.finished_at,
        step.input_json,
        step.output_json,
        step.error_message,
        step.error_stack,
    )
