"""A transaction that writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from asynclog.store.transaction import transaction

DEFERRED = "CREATE TABLE child (parent INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Two tables, one of which refers to the other; that is checked by the commit."""
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as found:
        found.execute("PRAGMA foreign_keys = ON")
        found.execute("CREATE TABLE parents (id INTEGER PRIMARY KEY)")
        found.execute(DEFERRED)
        yield found


def count(connection: sqlite3.Connection) -> int:
    number: int = connection.execute("SELECT count(*) FROM parents").fetchone()[0]
    return number


@pytest.mark.parametrize(
    "failing",
    [
        "no SQL at all",
        "INSERT INTO parents VALUES (1)",
        "INSERT OR ROLLBACK INTO parents VALUES (1)",
        "INSERT INTO child VALUES (7)",
    ],
)
def test_all_or_nothing(connection: sqlite3.Connection, failing: str) -> None:
    """Whether a statement fails, ends the transaction itself, or the commit fails: nothing is kept, none is open."""

    def put(*statements: str) -> None:
        with transaction(connection):
            for statement in statements:
                connection.execute(statement)

    with pytest.raises(sqlite3.Error):
        put("INSERT INTO parents VALUES (1)", failing)
    assert not connection.in_transaction
    assert count(connection) == 0
    put("INSERT INTO parents VALUES (1)")
    assert count(connection) == 1
