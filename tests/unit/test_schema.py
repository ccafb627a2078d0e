"""The database's schema: one file, and numbered migrations that lead to the same."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from asynclog.errors import StoreError
from asynclog.store.schema import VERSION, migration_text, prepare, schema_text


def shape(connection: sqlite3.Connection) -> dict[str, object]:
    """Everything that makes a schema: columns, indexes, keys, checks, options; not how its text is laid out."""
    found: dict[str, object] = {}
    for kind, name, table, sql in connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema"):
        found[f"{kind} {name}"] = table, _plain(sql)
        if kind == "table":
            found[f"columns {name}"] = connection.execute(f"PRAGMA table_xinfo({name})").fetchall()
            found[f"keys {name}"] = connection.execute(f"PRAGMA foreign_key_list({name})").fetchall()
    for pragma in ("user_version", "auto_vacuum"):
        found[pragma] = connection.execute(f"PRAGMA {pragma}").fetchone()
    return found


def _plain(sql: str | None) -> str | None:
    """SQL without comments and with single blanks."""
    if sql is None:
        return None
    return " ".join(" ".join(line.partition("--")[0] for line in sql.splitlines()).split())


def test_migrations_lead_to_the_schema() -> None:
    """A database brought up by every migration in order has the same schema as a new one."""
    with closing(sqlite3.connect(":memory:")) as new, closing(sqlite3.connect(":memory:")) as old:
        assert prepare(new)
        old.execute("PRAGMA auto_vacuum = INCREMENTAL")
        for number in range(1, VERSION + 1):
            old.executescript(f"{migration_text(number)}\nPRAGMA user_version = {number};")
        assert shape(old) == shape(new)


def test_every_migration_is_counted(root: Path) -> None:
    """There is one migration for each version up to today's, without a hole."""
    files = sorted(path.name for path in (root / "src/asynclog/store/migrations").glob("*.sql"))
    assert files == [f"{number:04d}.sql" for number in range(1, VERSION + 1)]


def test_preparing_again_changes_nothing(tmp_path: Path) -> None:
    """A database of today's schema is left alone."""
    with closing(sqlite3.connect(tmp_path / "db", isolation_level=None)) as connection:
        assert prepare(connection)
        connection.execute("INSERT INTO settings VALUES ('a', '1')")
        before = shape(connection)
        assert not prepare(connection)
        assert shape(connection) == before
        assert connection.execute("SELECT * FROM settings").fetchall() == [("a", "1")]


def test_a_newer_database_is_refused() -> None:
    """A database of a later version is refused with a sentence that says what to do."""
    with closing(sqlite3.connect(":memory:")) as connection:
        prepare(connection)
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
        with pytest.raises(StoreError, match="upgrade asynclog"):
            prepare(connection)


@pytest.mark.parametrize("thing", ["TABLE theirs (x)", "VIEW theirs AS SELECT 1"])
def test_another_programs_database_is_refused(thing: str) -> None:
    """A database with anything of another program in it is refused, and stays as it was."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"CREATE {thing}")
        before = shape(connection)
        with pytest.raises(StoreError, match="another program"):
            prepare(connection)
        assert shape(connection) == before


def test_a_failed_migration_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that fails half-way is undone whole, and the error comes out."""
    monkeypatch.setattr("asynclog.store.schema.schema_text", lambda: "CREATE TABLE half (x); CREATE TABLE half (x);")
    with closing(sqlite3.connect(":memory:")) as connection:
        with pytest.raises(sqlite3.OperationalError, match="already exists"):
            prepare(connection)
        assert connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
        assert not connection.in_transaction


def test_the_schema_travels(root: Path) -> None:
    """What creates new databases is the file at the root of the repository."""
    assert schema_text() == (root / "schema.sql").read_text(encoding="utf-8")
