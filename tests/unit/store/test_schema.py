"""Both ways to today's schema, whatever is in the tables and whenever it ends, and databases that are none of ours."""

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from asynclog.errors import StoreError
from asynclog.filters import LogFilter
from asynclog.queries import EntryQuery
from asynclog.store.entries import page
from asynclog.store.schema import VERSION, migration_text, prepare, schema_text
from tests.unit.store.rows import add_entries, add_task, entry, index


def shape(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    """Every table and index, as it was written."""
    found = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name").fetchall()
    return [tuple(str(value) for value in row) for row in found]


def version(connection: sqlite3.Connection) -> int:
    """The number of the last migration."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@pytest.fixture
def connection() -> sqlite3.Connection:
    """An empty database, as the store opens one."""
    return sqlite3.connect(":memory:", isolation_level=None)


@pytest.mark.parametrize("begun", range(1, VERSION + 1))
def test_migrations_lead_to_the_schema(connection: sqlite3.Connection, begun: int) -> None:
    """A database of any version ends with the tables and indexes that a new one has, to the letter."""
    for number in range(1, begun + 1):
        connection.executescript(migration_text(number))
    connection.execute(f"PRAGMA user_version = {begun}")
    prepare(connection)
    new = sqlite3.connect(":memory:", isolation_level=None)
    prepare(new)
    assert shape(connection) == shape(new)
    assert version(connection) == version(new) == VERSION
    reference = sqlite3.connect(":memory:")
    reference.executescript(schema_text())
    assert shape(new) == shape(reference)


def test_a_migration_keeps_what_is_there(connection: sqlite3.Connection) -> None:
    """Tasks and entries of the first version are there in today's."""
    connection.executescript(migration_text(1))
    connection.execute("PRAGMA user_version = 1")
    connection.execute("INSERT INTO tasks (id, name, plugin, status, created_at) VALUES ('t', 't', 'p', 'success', 1)")
    connection.execute(
        "INSERT INTO task_logs (task_id, seq, timestamp, level, message) VALUES ('t', 1, 1, 'INFO', 'm')"
    )
    prepare(connection)
    assert connection.execute("SELECT message FROM task_logs").fetchall() == [("m",)]
    assert connection.execute("SELECT count(*) FROM schedules").fetchone() == (0,)


def test_an_index_of_another_kind_is_built_again(connection: sqlite3.Connection) -> None:
    """What a former version indexed is forgotten, so that all of it is looked through until it is indexed anew."""
    for number in range(1, 7):
        connection.executescript(migration_text(number))
    connection.execute("PRAGMA user_version = 6")
    add_task(connection, "t")
    add_entries(connection, [entry("t", f"the timeout of entry {number}") for number in range(300)])
    connection.execute("UPDATE tasks SET last_seq = 1000000")
    connection.execute("INSERT INTO log_segments VALUES (0, 0, 1, 0, 1)")
    connection.execute("INSERT INTO log_terms VALUES (0, 'mtim', 1)")
    connection.execute("INSERT INTO log_blocks VALUES (0, 't', 0, 1, 0, 128, 0, 0)")
    connection.execute("INSERT INTO log_units VALUES (0, 't', 'load', 'u', 1, 1)")
    prepare(connection)
    for table in ("log_segments", "log_terms", "log_blocks", "log_units"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    query = EntryQuery(task_id="t", filter=LogFilter.parse([("search", "Timeout of entry 299")]))
    assert page(connection, query).cursors == [300]
    assert index(connection) == [0]
    assert page(connection, query).cursors == [300]
    assert connection.execute("SELECT skeletons FROM log_segments").fetchall() == [(1,)]


def test_a_migrated_database_checks_levels(connection: sqlite3.Connection) -> None:
    """A database of the first version takes the four levels and no other, from the moment it is migrated."""
    connection.executescript(migration_text(1))
    connection.execute("PRAGMA user_version = 1")
    connection.execute("INSERT INTO tasks (id, name, plugin, status, created_at) VALUES ('t', 't', 'p', 'success', 1)")
    prepare(connection)
    insert = "INSERT INTO task_logs (task_id, seq, timestamp, level, message) VALUES ('t', ?, 1, ?, 'm')"
    for seq, level in enumerate(("DEBUG", "INFO", "WARNING", "ERROR"), 1):
        connection.execute(insert, (seq, level))
    for wrong in ("info", "", "FATAL", 20):
        with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
            connection.execute(insert, (9, wrong))
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA writable_schema").fetchone() == (0,)


def test_every_migration_is_counted(root: Path) -> None:
    """There is one migration for each version up to today's, without a hole."""
    files = sorted(path.name for path in (root / "src/asynclog/store/migrations").glob("*.sql"))
    assert files == [f"{number:04d}.sql" for number in range(1, VERSION + 1)]


def test_preparing_again_changes_nothing(connection: sqlite3.Connection) -> None:
    """A database of today's schema is left alone."""
    assert prepare(connection)
    connection.execute("INSERT INTO settings VALUES ('a', '1')")
    before = shape(connection)
    assert not prepare(connection)
    assert shape(connection) == before
    assert connection.execute("SELECT * FROM settings").fetchall() == [("a", "1")]


def test_a_failed_migration_leaves_nothing(connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that fails half-way is undone whole, and the error comes out."""
    monkeypatch.setattr("asynclog.store.schema.schema_text", lambda: "CREATE TABLE half (x); CREATE TABLE half (x);")
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        prepare(connection)
    assert connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    assert not connection.in_transaction


def test_the_schema_travels(root: Path) -> None:
    """What creates new databases is the file at the root of the repository."""
    assert schema_text() == (root / "schema.sql").read_text(encoding="utf-8")


ODD = [
    ("nul", "a\0b", '{"a": "\\u0000"}', "INFO", "plugin"),
    ("huge", "x" * 100_000, None, "INFO", "plugin"),
    ("empty", "", "", "DEBUG", "plugin"),
    ("refused", "m", "no JSON", "info", ""),
    ("long", "m", None, "FATAL", "s" * 300),
    ("bytes", b"\xff\xfe\0", b"\x80", "ERROR", "plugin"),
    ("surrogates", "\U0010ffff\ufffe%_\\'\"", None, "WARNING", "\u212a"),
]
"""Entries as no version writes them: task, message, metadata, level, source."""


def add_odd(connection: sqlite3.Connection) -> None:
    """Tasks and entries that today's checks and texts would refuse."""
    connection.execute("PRAGMA ignore_check_constraints = ON")
    for number, (name, message, metadata, level, source) in enumerate(ODD, 1):
        connection.execute(
            "INSERT INTO tasks (id, name, plugin, status, created_at, params) VALUES (?, ?, 'p', 'lost', ?, 'no JSON')",
            (name, name + "\0", (-1) ** number << 62),
        )
        connection.execute(
            "INSERT INTO task_logs (id, task_id, seq, timestamp, level, source, message, metadata_json)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (number << 53, name, -number, (-1) ** number << 62, level, source, message, metadata),
        )
    connection.execute("PRAGMA ignore_check_constraints = OFF")


def rows(connection: sqlite3.Connection) -> list[list[tuple[object, ...]]]:
    """Tasks and entries, as they lie there."""
    return [connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in ("tasks", "task_logs")]


@pytest.mark.parametrize("begun", range(1, VERSION))
def test_a_migration_looks_at_no_row(connection: sqlite3.Connection, begun: int) -> None:
    """Whatever a damaged or foreign hand has put into the tables, a migration goes through and leaves it as it is."""
    for number in range(1, begun + 1):
        connection.executescript(migration_text(number))
    connection.execute(f"PRAGMA user_version = {begun}")
    add_odd(connection)
    before = rows(connection)
    prepare(connection)
    assert version(connection) == VERSION
    assert rows(connection) == before


DYING = """
import os, signal, sqlite3, sys
from asynclog.store.schema import prepare
path, last = sys.argv[1], 0
for moment in range(1, 1000):
    with open(path, "rb") as old, open(f"{path}-{moment}", "wb") as new:
        new.write(old.read())
    child = os.fork()
    if not child:
        connection = sqlite3.connect(f"{path}-{moment}", isolation_level=None)
        connection.execute("PRAGMA synchronous = OFF")
        left = iter(range(moment))
        connection.set_trace_callback(lambda _: next(left, None) is None and os.kill(os.getpid(), signal.SIGKILL))
        prepare(connection)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        print(moment)
        break
"""
"""Migrates copies of a database, killed before the first statement, the second, and so on to the last."""


def test_a_migration_is_killed_anywhere(tmp_path: Path) -> None:
    """Killed before any of its statements, the next start goes on, to today's schema and with every row."""
    path = tmp_path / "db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"{migration_text(1)}; PRAGMA user_version = 1;")
        add_odd(connection)
        before = rows(connection)
    told = subprocess.run([sys.executable, "-c", DYING, path], capture_output=True, text=True, timeout=60, check=True)
    moments = int(told.stdout)
    assert moments > 30
    versions = set()
    for moment in range(1, moments + 1):
        with contextlib.closing(sqlite3.connect(f"{path}-{moment}", isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            versions.add(version(connection))
            prepare(connection)
            assert version(connection) == VERSION
            assert rows(connection) == before
            connection.execute("PRAGMA ignore_check_constraints = ON")
            assert connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
    assert versions == set(range(1, VERSION + 1))


def test_a_newer_database_is_refused(connection: sqlite3.Connection) -> None:
    """A database of a version to come is left as it is."""
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(StoreError, match="upgrade asynclog"):
        prepare(connection)
    assert shape(connection) == []


@pytest.mark.parametrize("theirs", range(-1, VERSION + 1))
@pytest.mark.parametrize("thing", ["TABLE tasks (x)", "VIEW theirs AS SELECT 1"])
def test_another_programs_database_is_refused(connection: sqlite3.Connection, thing: str, theirs: int) -> None:
    """A database with anything of somebody else in it is left as it is, however they count their versions."""
    connection.execute(f"CREATE {thing}")
    connection.execute(f"PRAGMA user_version = {theirs}")
    before = shape(connection)
    with pytest.raises(StoreError, match="another program"):
        prepare(connection)
    assert shape(connection) == before
    assert version(connection) == theirs
