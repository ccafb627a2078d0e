"""Erasing deleted tasks, part by part, on the writing connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from asynclog.model import AccessScope
from asynclog.queries import Doomed
from asynclog.store import blocks
from asynclog.store.scope import visible
from asynclog.store.transaction import transaction, unsynced

VACUUM_PAGES: Final = 64
"""Pages given back to the file system with each part of a task that is erased; a part frees far fewer."""

# Whatever there may be many of: what goes with the task's own row goes in one step.
_ERASE: Final = (
    "DELETE FROM task_logs WHERE id IN (SELECT id FROM task_logs WHERE task_id = ?1 ORDER BY seq LIMIT ?2)",
    "DELETE FROM trace_items WHERE id IN (SELECT id FROM trace_items WHERE task_id = ?1 LIMIT ?2)",
    "DELETE FROM steps WHERE rowid IN (SELECT rowid FROM steps WHERE task_id = ?1 LIMIT ?2)",
    "DELETE FROM stages WHERE id IN (SELECT id FROM stages WHERE task_id = ?1 LIMIT ?2)",
    """DELETE FROM batches
     WHERE task_id = ?1 AND batch_id IN (SELECT batch_id FROM batches WHERE task_id = ?1 LIMIT ?2)""",
    "DELETE FROM gaps WHERE task_id = ?1 AND from_seq IN (SELECT from_seq FROM gaps WHERE task_id = ?1 LIMIT ?2)",
    """DELETE FROM entry_counts WHERE task_id = ?1 AND (source, level, stage) IN
     (SELECT source, level, stage FROM entry_counts WHERE task_id = ?1 LIMIT ?2)""",
)


def erase(connection: sqlite3.Connection, task_id: str, limit: int, *, keep_task: bool = False) -> bool:
    """`Store.erase` for SQLite: a short transaction; the pages it frees go back to the file system bit by bit.

    It does not wait for the disk, which is most of the time of a small transaction, and whoever writes next would wait
    with it. A power cut undoes it at worst: the task is deleted already, and is erased after the restart.
    """
    with unsynced(connection):
        gone = _erase(connection, task_id, limit, keep_task=keep_task)
        connection.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
    return gone


def _erase(connection: sqlite3.Connection, task_id: str, limit: int, *, keep_task: bool) -> bool:
    with transaction(connection):
        blocks.forget_task(connection, task_id, limit)
        for statement in _ERASE:
            if limit > 0:
                limit -= connection.execute(statement, (task_id, limit)).rowcount
        gone = limit > 0  # there was room for more, had there been more
        if gone and not keep_task:
            connection.execute("DELETE FROM tasks WHERE id = ? AND deleted_at IS NOT NULL", (task_id,))
            gone = connection.execute("SELECT 1 FROM tasks WHERE id = ?", (task_id,)).fetchone() is None
    return gone


def deleted(connection: sqlite3.Connection) -> list[Doomed]:
    """Tasks that are being deleted."""
    rows = connection.execute("SELECT id, account, site, run_id FROM tasks WHERE deleted_at IS NOT NULL ORDER BY rank")
    return [Doomed(task_id=row[0], account=row[1], site=row[2], run_id=row[3]) for row in rows]


def weigh(connection: sqlite3.Connection, task_ids: Sequence[str], access: AccessScope) -> tuple[int, dict[str, int]]:
    """How many entries the visible ones of these tasks have, and how many of them each plugin has."""
    condition, params = visible(access)
    rows = connection.execute(
        "SELECT plugin, count(*), sum(debug_count + info_count + warning_count + error_count) FROM tasks "
        f"WHERE id IN (SELECT value FROM json_each(?)) AND {condition} GROUP BY plugin",
        (msgspec.json.encode(list(task_ids)).decode(), *params),
    ).fetchall()
    return sum(row[2] for row in rows), {row[0]: row[1] for row in rows}
