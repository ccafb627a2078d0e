"""A database of the real schema, filled by plain SQL: what the reading side is tested on, the writer left out."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asynclog.model import Level
from asynclog.records import EntryRecord
from asynclog.store.blocks import SEGMENT_BITS, build, put

SCHEMA = (Path(__file__).parents[3] / "schema.sql").read_text(encoding="utf-8")
START = 1_770_465_600_000_000
"""2026-02-07T12:00:00Z."""


def database() -> sqlite3.Connection:
    """An empty one, in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(SCHEMA)
    return connection


def insert(connection: sqlite3.Connection, table: str, **values: Any) -> None:
    """One row."""
    marks = ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))


def add_task(connection: sqlite3.Connection, task_id: str, **values: Any) -> None:
    """A task, a successful one of plugin ``p`` unless told otherwise."""
    defaults = {"name": task_id, "plugin": "p", "status": "success", "created_at": START}
    insert(connection, "tasks", id=task_id, **{**defaults, **values})


def entry(task_id: str = "t", message: str = "hello", **values: Any) -> EntryRecord:
    """An entry, INFO from plugin at START unless told otherwise."""
    defaults = {"timestamp": START, "level": 20, "source": "plugin", "stage": None, "unit": None, "step_id": None}
    return EntryRecord(**{**defaults, "metadata_json": None, "task_id": task_id, "message": message, **values})


def add_entries(
    connection: sqlite3.Connection, records: Iterable[EntryRecord], step: int = 1
) -> list[tuple[int, int, EntryRecord]]:
    """Store them as the writer does, counts included, ids ``step`` apart; gives (id, seq, record) of each."""
    last_id = connection.execute("SELECT ifnull(max(id), 0) FROM task_logs").fetchone()[0]
    seqs: dict[str, int] = dict(connection.execute("SELECT task_id, max(seq) FROM task_logs GROUP BY task_id"))
    stored = []
    for record in records:
        last_id += step
        seqs[record.task_id] = seqs.get(record.task_id, 0) + 1
        stored.append((last_id, seqs[record.task_id], record))
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO task_logs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(i, r.task_id, seq, r.timestamp, Level(r.level).name, *_rest(r)) for i, seq, r in stored],
    )
    connection.execute("DELETE FROM entry_counts")
    connection.execute(
        "INSERT INTO entry_counts SELECT task_id, source, level, ifnull(stage, ''), count(*) FROM task_logs"
        " GROUP BY task_id, source, level, ifnull(stage, '')"
    )
    connection.executemany("UPDATE tasks SET last_seq = ? WHERE id = ?", [(seq, task) for task, seq in seqs.items()])
    connection.execute("COMMIT")
    return stored


def index(connection: sqlite3.Connection, chosen: Callable[[int], bool] = lambda _segment: True) -> list[int]:
    """Index the segments that are chosen, the last one too; gives them."""
    [last] = connection.execute("SELECT ifnull(max(id), 0) FROM task_logs").fetchone()
    segments = [segment for segment in range((last >> SEGMENT_BITS) + 1) if chosen(segment)]
    for segment in segments:
        built = build(connection, segment)
        if connection.in_transaction:
            connection.execute("COMMIT")
        connection.execute("DETACH scratch")
        start = None if built is None else 0
        while built is not None and start is not None:
            start = put(connection, built, start)
    return segments


def _rest(record: EntryRecord) -> Sequence[str | None]:
    return record.source, record.stage, record.unit, record.step_id, record.message, record.metadata_json


@contextmanager
def statements(connection: sqlite3.Connection) -> Iterator[list[str]]:
    """The statements that run inside, their parameters written out."""
    seen: list[str] = []
    connection.set_trace_callback(seen.append)
    try:
        yield seen
    finally:
        connection.set_trace_callback(None)


def plan(connection: sqlite3.Connection, statement: str) -> str:
    """How SQLite goes about a statement, in its own words."""
    return "; ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}"))
