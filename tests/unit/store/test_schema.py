"""Both ways to today's schema, and databases that are none of ours."""

import sqlite3

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


def test_a_newer_database_is_refused(connection: sqlite3.Connection) -> None:
    """A database of a version to come is left as it is."""
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(StoreError, match="upgrade asynclog"):
        prepare(connection)
    assert shape(connection) == []


def test_another_programs_database_is_refused(connection: sqlite3.Connection) -> None:
    """A database with tables of somebody else is left as it is."""
    connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(StoreError, match="another program"):
        prepare(connection)
    assert [row[1] for row in shape(connection)] == ["theirs"]
