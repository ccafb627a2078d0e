"""The settings that an admin has changed, as the database keeps them: JSON by name."""

from __future__ import annotations

import sqlite3

from asynclog.store.transaction import transaction


def save(connection: sqlite3.Connection, values: dict[str, str | None]) -> None:
    """Keep or forget settings, in one transaction."""
    with transaction(connection):
        for name, value in values.items():
            if value is None:
                connection.execute("DELETE FROM settings WHERE name = ?", (name,))
            else:
                connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))


def read(connection: sqlite3.Connection) -> dict[str, str]:
    """The settings kept."""
    return dict(connection.execute("SELECT name, value FROM settings"))
