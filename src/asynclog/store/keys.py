"""API keys and what sessions need, as stored. They are few: all of them are read at once, each is written whole."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from asynclog.principal import ApiKey, Credentials, Role
from asynclog.store.transaction import transaction

_COLUMNS: Final = (
    "id name role account site secret_hash created_at created_by expires_at revoked_at last_used_at".split()
)
_READ: Final = f"SELECT {', '.join(_COLUMNS)} FROM api_keys ORDER BY created_at, id"
_PUT: Final = f"INSERT OR REPLACE INTO api_keys ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"


def read(connection: sqlite3.Connection, new_secret: bytes) -> Credentials:
    """What is there; the secret of sessions is ``new_secret`` from now on where there is none yet."""
    connection.execute("INSERT OR IGNORE INTO session_secret VALUES (1, ?)", (new_secret,))
    (secret,) = connection.execute("SELECT secret FROM session_secret").fetchone()
    return Credentials(
        [_key(row) for row in connection.execute(_READ)],
        secret,
        dict(connection.execute("SELECT id, until FROM ended_sessions")),
    )


def _key(row: tuple[Any, ...]) -> ApiKey:
    found = dict(zip(_COLUMNS, row, strict=True))
    return ApiKey(**{**found, "role": Role(found["role"])})


def put(connection: sqlite3.Connection, keys: list[ApiKey]) -> None:
    """The keys are like this from now on: all of them, or after an error none."""
    with transaction(connection):
        connection.executemany(_PUT, [[_column(key, column) for column in _COLUMNS] for key in keys])


def _column(key: ApiKey, column: str) -> object:
    value: object = getattr(key, column)
    return int(value) if isinstance(value, Role) else value


def end_session(connection: sqlite3.Connection, session_id: str, until: int, now: int) -> None:
    """The session counts no more; those that have ended by themselves are forgotten."""
    with transaction(connection):
        connection.execute("DELETE FROM ended_sessions WHERE until <= ?", (now,))
        connection.execute("INSERT OR REPLACE INTO ended_sessions VALUES (?, ?)", (session_id, until))
