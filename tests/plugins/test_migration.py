"""Tables come over whole, changed as asked, counted; or nothing of them does."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from asynclog import InvalidError

SCHEMA = """
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT NOT NULL UNIQUE, score REAL DEFAULT 1.5, data BLOB
);
CREATE INDEX users_score ON users (score);
CREATE TABLE "odd ""name" ("a b" TEXT, rowid TEXT, twice AS ("a b" || "a b"));
CREATE TABLE pairs (x INT, y INT, PRIMARY KEY (x, y)) WITHOUT ROWID;
CREATE TABLE empty (x);
CREATE VIRTUAL TABLE words USING fts5(word);
CREATE VIEW shown AS SELECT email FROM users;
"""


@pytest.fixture
def source(work: Path) -> Path:
    """Tables of every kind, one of them with 5,000 rows and holes between their ids."""
    path = work / "source.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA journal_mode=wal;" + SCHEMA)
        rows = [(n * 3 - 2000, f"U{n}@Example.org", n / 2, bytes([n % 256])) for n in range(5000)]
        connection.executemany("INSERT INTO users VALUES (?, ?, ?, ?)", rows)
        connection.executemany('INSERT INTO "odd ""name" VALUES (?, ?)', [("x", "mine"), (None, "ünï"), ("a\0b", "")])
        connection.executemany("INSERT INTO pairs VALUES (?, ?)", [(n // 10, n % 10) for n in range(100)])
        connection.execute("INSERT INTO words VALUES ('hello')")
        connection.commit()
    return path


def rows(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


async def test_everything(runner: Any, source: Path, work: Path) -> None:
    """All tables of a file come over as they are, with indexes, each a stage; virtual ones are named and left."""
    target = work / "target.db"
    task, entries = await runner.run("migration", source=str(source), target=str(target), chunk=700)
    assert task.status == "success", task.error_message
    assert task.result == {"tables": {"empty": 0, 'odd "name': 3, "pairs": 100, "users": 5000}, "rows": 5103}
    for table in ("users", '"odd ""name"', "pairs", "empty"):
        everything = f"SELECT * FROM {table} ORDER BY 1, 2"
        if table != "empty":
            assert rows(target, everything) == rows(source, everything)
    schema = "SELECT name, sql FROM sqlite_schema WHERE tbl_name = 'users' ORDER BY name"
    assert rows(target, schema) == rows(source, schema)
    assert rows(target, "SELECT seq FROM sqlite_sequence") == rows(source, "SELECT seq FROM sqlite_sequence")
    assert {entry.source for entry in entries} == {"system", "plugin", "sqlite", "verify"}
    assert any("virtual table words is passed over" in entry.message for entry in entries)
    stages = [(view.name, view.stage.processed) for view in await runner.tasks.reader.stages(task.id)]
    assert stages == [("empty", 0), ('odd "name', 3), ("pairs", 100), ("users", 5000)]
    assert any("5000 rows in the source, 5000 in the target" in entry.message for entry in entries)
    assert task.progress is not None
    assert (task.progress.current, task.progress.total) == (4, 4)


async def test_transformed(runner: Any, source: Path, work: Path) -> None:
    """Columns are renamed, computed and left out, rows chosen, the table renamed; types of taken columns stay."""
    target = work / "target.db"
    table = {
        "name": "users",
        "target": "people",
        "columns": {"id": "id", "mail": "lower(email)", "points": "score", "kind": "'human'"},
        "where": "id % 2 = 0 AND score < 100",
    }
    task, _ = await runner.run("migration", source=str(source), target=str(target), tables=[table], chunk=10)
    assert task.status == "success", task.error_message
    expected = rows(
        source, "SELECT id, lower(email), score, 'human' FROM users WHERE id % 2 = 0 AND score < 100 ORDER BY id"
    )
    assert rows(target, "SELECT id, mail, points, kind FROM people ORDER BY id") == expected
    assert task.result["rows"] == len(expected) > 0
    kinds = [(name, kind) for _, name, kind, *_ in rows(target, "PRAGMA table_info(people)")]
    assert kinds == [("id", "INTEGER"), ("mail", ""), ("points", "REAL"), ("kind", "")]


async def test_when_it_exists(runner: Any, source: Path, work: Path) -> None:
    """A table that is there already is left alone, added to or replaced, as asked."""
    target = work / "target.db"
    tables = [{"name": "pairs"}]
    paths = {"source": str(source), "target": str(target), "tables": tables}
    assert (await runner.run("migration", **paths))[0].status == "success"
    task, _ = await runner.run("migration", **paths)
    assert task.status == "failed"
    assert "has a table pairs already" in task.error_message
    appended = {"name": "pairs", "columns": {"x": "x + 100", "y": "y"}}
    task, _ = await runner.run("migration", **{**paths, "tables": [appended]}, if_exists="append")
    assert task.status == "success", task.error_message
    assert rows(target, "SELECT count(*), max(x) FROM pairs") == [(200, 109)]
    task, entries = await runner.run("migration", **paths, if_exists="replace")
    assert task.status == "success"
    assert rows(target, "SELECT count(*), max(x) FROM pairs") == [(100, 9)]
    assert any(entry.level.name == "WARNING" and "is replaced" in entry.message for entry in entries)


async def test_all_or_nothing(runner: Any, source: Path, work: Path) -> None:
    """A row that does not fit in the last chunk takes its whole table back; the tables before it stay."""
    target = work / "target.db"
    with closing(sqlite3.connect(target)) as connection:
        connection.execute(
            "CREATE TABLE users (id INTEGER, email TEXT CHECK (email <> 'U4999@Example.org'), score, data)"
        )
    task, entries = await runner.run(
        "migration", source=str(source), target=str(target), if_exists="append", chunk=100,
        tables=[{"name": "pairs"}, {"name": "users"}],
    )  # fmt: skip
    assert task.status == "failed"
    assert "CHECK constraint failed" in task.error_message
    assert rows(target, "SELECT count(*) FROM users") == [(0,)]
    assert rows(target, "SELECT count(*) FROM pairs") == [(100,)]
    assert [view.stage.status for view in await runner.tasks.reader.stages(task.id)] == ["success", "error"]
    assert any(entry.level.name == "ERROR" and entry.stage == "users" for entry in entries)


async def test_errors_are_not_told_by_names(runner: Any, source: Path, work: Path) -> None:
    """What goes wrong is told from SQLite's codes: not from words like full and locked in the name of a column."""
    target = work / "target.db"
    with closing(sqlite3.connect(target)) as connection:
        connection.execute("CREATE TABLE locked (full INTEGER UNIQUE)")
    task, _ = await runner.run(
        "migration", source=str(source), target=str(target), if_exists="append",
        tables=[{"name": "users", "target": "locked", "columns": {"full": "1"}}],
    )  # fmt: skip
    assert task.status == "failed"
    assert task.error_message.endswith("the target has none of it: UNIQUE constraint failed: locked.full")


async def test_cancel(runner: Any, source: Path, work: Path) -> None:
    """A cancelled migration stops between two chunks and takes its table back."""
    target = work / "target.db"
    count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
    slow = f"({count} SELECT max(i) + users.id FROM n)"
    task = await runner.tasks.start(
        "migration",
        {
            "source": str(source),
            "target": str(target),
            "chunk": 1,
            "tables": [{"name": "users", "columns": {"id": slow}}],
        },
    )
    await runner.until_logged(task, "rows to copy", source="sqlite")
    await runner.tasks.cancel(task.id)
    assert (await runner.tasks.wait(task.id)).status == "cancelled"
    assert rows(target, "SELECT count(*) FROM sqlite_schema") == [(0,)]


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"source": "missing.db"}, "there is no database"),
        ({"source": "plain.txt"}, "is not a SQLite database"),
        ({"target": "plain.txt"}, "is not a SQLite database"),
        ({"target": "source.db"}, "the same file"),
        ({"target": "no/folder/t.db"}, "does its folder exist"),
        ({"tables": [{"name": "nothing"}]}, "has no table 'nothing'"),
        ({"tables": [{"name": "shown"}]}, "has no table 'shown'"),
        ({"tables": [{"name": "users", "columns": {"x": "no_such_column"}}]}, "no such column: no_such_column"),
        ({"tables": [{"name": "users", "columns": {"x": "1; DROP TABLE users"}}]}, "is wrong"),
        ({"tables": [{"name": "users", "columns": {}}]}, "columns is empty"),
        ({"tables": [{"name": "users", "where": "("}]}, "is wrong"),
    ],
)
async def test_what_cannot_be(runner: Any, source: Path, work: Path, params: dict[str, Any], sentence: str) -> None:
    """A wrong file, table or expression fails with a sentence before anything is written."""
    (work / "plain.txt").write_text("no database " * 100)
    before = source.read_bytes()
    paths = {key: str(work / value) if isinstance(value, str) else value for key, value in params.items()}
    task, _ = await runner.run("migration", **{"source": str(source), "target": str(work / "target.db"), **paths})
    assert task.status == "failed"
    assert sentence in task.error_message
    assert source.read_bytes() == before
    assert (work / "plain.txt").read_text().startswith("no database")


async def test_locked(runner: Any, source: Path, work: Path) -> None:
    """A target that another process has locked is waited for."""
    target = work / "target.db"
    with closing(sqlite3.connect(target, isolation_level=None)) as locker:
        locker.execute("BEGIN EXCLUSIVE")
        params = {"source": str(source), "target": str(target), "tables": [{"name": "pairs"}]}
        task = await runner.tasks.start("migration", params)
        await runner.until_logged(task, "locked by another process", source="sqlite")
        locker.execute("ROLLBACK")
        assert (await runner.tasks.wait(task.id)).status == "success"


async def test_bad_parameters(runner: Any) -> None:
    """Parameters that do not fit are refused before there is a task."""
    for params in (
        {},
        {"source": "a"},
        {"source": "a", "target": "b", "if_exists": "merge"},
        {"source": "a", "target": "b", "chunk": 0},
    ):
        with pytest.raises(InvalidError):
            await runner.tasks.start("migration", params)
