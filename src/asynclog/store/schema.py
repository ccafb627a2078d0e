"""Creates the tables of a new database and brings those of an old one up to date."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asynclog.errors import StoreError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

VERSION: Final = 8
"""``PRAGMA user_version`` of a database on today's schema: the number of the last migration."""


def schema_text() -> str:
    """The text of schema.sql: from the wheel, or from the root of a checkout."""
    packaged = _packaged("schema.sql")
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parents[3] / "schema.sql").read_text(encoding="utf-8")


def migration_text(number: int) -> str:
    """The statements that bring a database from the version before to this one."""
    return _packaged(f"migrations/{number:04d}.sql").read_text(encoding="utf-8")


def _packaged(name: str) -> Traversable:
    from importlib.resources import files  # noqa: PLC0415  # 6 ms of every start, for what only a first one needs

    return files("asynclog.store").joinpath(name)


def prepare(connection: sqlite3.Connection) -> bool:
    """Make the database one of today's schema; True when it was empty.

    Raises:
        StoreError: it was written by a newer version, or is another program's.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise StoreError(
            f"the database was written by a newer asynclog (its schema is {version}, this one knows {VERSION}); "
            "upgrade asynclog"
        )
    if not (_is_ours(connection) if version else _is_empty(connection)):
        raise StoreError("the database belongs to another program; give asynclog a data directory of its own")
    if version == 0:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # counts only before the first table
        _run(connection, schema_text(), VERSION)
        return True
    for number in range(version + 1, VERSION + 1):
        _run(connection, migration_text(number), number)
    return False


def _is_empty(connection: sqlite3.Connection) -> bool:
    found = connection.execute("SELECT 1 FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'").fetchone()
    return found is None


def _is_ours(connection: sqlite3.Connection) -> bool:
    """Whether it has what every version has: others count their versions in the same place."""
    found = connection.execute(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('task_logs', 'entry_counts', 'watermark')"
    ).fetchone()
    return bool(found == (3,))


def _run(connection: sqlite3.Connection, script: str, version: int) -> None:
    """Execute a script and the new version number in one transaction."""
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {version};\nCOMMIT;")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.rollback()
        raise
