"""Schedules as stored. They are few: all of them are read at once, and each is written whole."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import msgspec

from asynclog.model import Schedule

_COLUMNS: Final = (
    "id name plugin params account site cron interval time_zone missed paused created_at updated_at next_at last_at "
    "last_task_id last_error skipped"
).split()
_FIELDS: Final = tuple("params_json" if column == "params" else column for column in _COLUMNS)

_READ: Final = f"SELECT {', '.join(_COLUMNS)} FROM schedules ORDER BY created_at, id"
_PUT: Final = f"INSERT OR REPLACE INTO schedules ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"


def read(connection: sqlite3.Connection) -> list[Schedule]:
    """All schedules, oldest first."""
    rows: list[dict[str, Any]] = [dict(zip(_FIELDS, row, strict=True)) for row in connection.execute(_READ)]
    return [msgspec.convert({**row, "paused": bool(row["paused"])}, Schedule) for row in rows]


def put(connection: sqlite3.Connection, schedule: Schedule) -> None:
    """The schedule is like this from now on."""
    connection.execute(_PUT, [getattr(schedule, field) for field in _FIELDS])


def remove(connection: sqlite3.Connection, schedule_id: str) -> None:
    """There is no such schedule any more."""
    connection.execute("DELETE FROM schedules WHERE id = ?", (schedule_id,))
