"""The fastest plain sqlite3 insert loop of the same rows: our schema, our pragmas, many rows a step, nothing else.

The rows have task ids as long as ours, and a transaction has as many as one of ours: a longer id is written twice for
each row, and every transaction waits for the disk.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Final

from asynclog.identity import new_id
from asynclog.intake import BATCH_RECORDS
from asynclog.store.schema import prepare

ROWS: Final = 1000
"""Rows of one statement."""
COMMIT: Final = BATCH_RECORDS
"""Rows of one transaction."""
MESSAGE: Final = "fetched %d charts from the dashboard and stored them where they belong, as they were found today"
TURN: Final = 100
"""Rows of one task before those of the next, as tasks at once log them."""
_PRAGMAS: Final = (
    "auto_vacuum = INCREMENTAL", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON",
    "secure_delete = FAST", "cache_size = -8000", "wal_autocheckpoint = 4000",
)  # fmt: skip
_ROW: Final = "(?, ?, ?, ?, 'INFO', 'plugin', NULL, NULL, NULL, ?, ?)"
_START: Final = 1_770_465_600_000_000
_COLUMNS: Final = "id, task_id, seq, timestamp, level, source, stage, unit, step_id, message, metadata_json"
WIDTH: Final = 6
"""Values of a row."""


def metadata_of(number: int) -> dict[str, int] | None:
    """Of an entry: one in three has some."""
    return {"n": 1} if number % 3 == 0 else None


def statement(rows: int) -> str:
    """What inserts so many rows."""
    return f"INSERT INTO task_logs ({_COLUMNS}) VALUES {', '.join([_ROW] * rows)}"


def connect(path: Path, names: list[str]) -> sqlite3.Connection:
    """A new database with these tasks, for one thread at a time."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    prepare(connection)
    connection.executemany(
        "INSERT INTO tasks (id, name, plugin, status, created_at) VALUES (?, '', '', 'success', 0)",
        [(name,) for name in names],
    )
    return connection


def insert(path: Path, count: int, tasks: int = 1) -> float:
    """Rows a second of so many (a multiple of `COMMIT`) of so many tasks, the values made beforehand."""
    assert count % COMMIT == 0, f"{count:,} is no multiple of {COMMIT:,}"
    names = [new_id() for _ in range(tasks)]
    connection = connect(path, names)
    batches = [
        [_values(chunk, names) for chunk in range(first, first + COMMIT, ROWS)] for first in range(0, count, COMMIT)
    ]
    made = statement(ROWS)
    start = time.perf_counter()
    for batch in batches:
        connection.execute("BEGIN")
        connection.executemany(made, batch)
        connection.execute("COMMIT")
    seconds = time.perf_counter() - start
    [(stored,)] = connection.execute("SELECT count(*) FROM task_logs")
    connection.close()
    assert stored == count, f"{stored:,} rows instead of {count:,}"
    return count / seconds


def _values(first: int, names: list[str]) -> list[object]:
    values: list[object] = []
    for number in range(first + 1, first + ROWS + 1):
        task = names[number // TURN % len(names)]
        metadata = None if metadata_of(number) is None else '{"n":1}'
        values += (number, task, number, _START + number, MESSAGE % number, metadata)
    return values
