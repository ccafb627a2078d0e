"""The fastest plain sqlite3 insert loop of the same rows: our schema, our pragmas, many rows a step, nothing else."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Final

from asynclog.store.schema import prepare

ROWS: Final = 1000
"""Rows of one statement."""
COMMIT: Final = 5000
"""Rows of one transaction."""
MESSAGE: Final = "fetched %d charts from the dashboard and stored them where they belong, as they were found today"
_PRAGMAS: Final = ("auto_vacuum = INCREMENTAL", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")
_ROW: Final = "(?, 'bench', ?, 1770465600000000, 'INFO', 'plugin', NULL, NULL, NULL, ?, ?)"
_COLUMNS: Final = "id, task_id, seq, timestamp, level, source, stage, unit, step_id, message, metadata_json"
_INSERT: Final = f"INSERT INTO task_logs ({_COLUMNS}) VALUES {', '.join([_ROW] * ROWS)}"


def metadata_of(number: int) -> dict[str, int] | None:
    """Of an entry: one in three has some."""
    return {"n": 1} if number % 3 == 0 else None


def insert(path: Path, count: int) -> float:
    """Rows a second of so many (a multiple of 5,000), the values made beforehand."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    prepare(connection)
    connection.execute(
        "INSERT INTO tasks (id, name, plugin, status, created_at) VALUES ('bench', '', '', 'success', 0)"
    )
    batches = [[_values(chunk) for chunk in range(first, first + COMMIT, ROWS)] for first in range(0, count, COMMIT)]
    start = time.perf_counter()
    for batch in batches:
        connection.execute("BEGIN")
        connection.executemany(_INSERT, batch)
        connection.execute("COMMIT")
    seconds = time.perf_counter() - start
    connection.close()
    return count / seconds


def _values(first: int) -> list[object]:
    values: list[object] = []
    for number in range(first + 1, first + ROWS + 1):
        values += (number, number, MESSAGE % number, None if metadata_of(number) is None else '{"n":1}')
    return values
