"""Records as they are applied to a database that has entries of another history."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from asynclog.filters import LogFilter
from asynclog.frames import Frames
from asynclog.model import Task
from asynclog.protocols import StoredEntries
from asynclog.queries import EntryQuery
from asynclog.records import TaskRecord, encode
from asynclog.store import apply
from asynclog.store.apply import read_last_id
from asynclog.store.batch import Batch
from asynclog.store.entries import page
from tests.unit.store.rows import add_entries, add_task, database, entry


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """A database that holds a hundred entries of another history, with room between their numbers."""
    connection = database()
    add_task(connection, "other")
    add_entries(connection, [entry("other") for _ in range(100)], 7)
    yield connection
    connection.close()


def frames(first: int, seqs: range, begin: bool = False) -> Frames:
    """Entries of a task, every fifth one with a unit; the record that it begins before them."""
    found = Frames()
    if begin:
        found.append((first, 0, 1, encode(TaskRecord("t", Task(id="t", name="t", plugin="p", created_at=1)))))
    for number, seq in enumerate(seqs, first + len(found)):
        found.append((number, seq, 1, encode(entry("t", str(seq), unit=None if seq % 5 else "five"))))
    return found


def commit(connection: sqlite3.Connection, records: Frames, journal_id: str = "ours") -> StoredEntries | None:
    return apply.commit(connection, journal_id, records, lambda: Batch(records), records.last_id, 0)


def seqs_of(connection: sqlite3.Connection, **conditions: str) -> list[int]:
    """What is found page by page."""
    found: list[int] = []
    while True:
        query = EntryQuery(
            task_id="t", filter=LogFilter.parse_mapping(conditions), limit=7, after=found[-1] if found else 0
        )
        part = page(connection, query)
        found += part.cursors
        if not part.more:
            return found


def test_numbers_that_another_history_has_used(connection: sqlite3.Connection) -> None:
    """Entries get higher numbers, whether theirs are taken or free, so that each task's are in order by any index."""
    assert commit(connection, frames(1, range(1, 301), begin=True)) is None
    assert commit(connection, frames(302, range(301, 1001))) is None
    assert seqs_of(connection) == list(range(1, 1001))
    assert seqs_of(connection, unit="five") == list(range(5, 1001, 5))
    by_number = connection.execute("SELECT seq FROM task_logs WHERE task_id = 't' ORDER BY id").fetchall()
    assert [seq for (seq,) in by_number] == list(range(1, 1001))
    assert connection.execute("SELECT min(id) FROM task_logs WHERE task_id = 't'").fetchone()[0] > 700


def test_numbers_above_all_are_kept(connection: sqlite3.Connection) -> None:
    """Where nobody else has numbers like theirs, entries are stored under their own, and given as they are stored."""
    first = read_last_id(connection) + 1
    stored = commit(connection, frames(first, range(1, 51), begin=True))
    assert stored is not None
    assert stored.lists[0] == list(range(first + 1, first + 51))
    assert connection.execute("SELECT min(id) FROM task_logs WHERE task_id = 't'").fetchone()[0] == first + 1


def test_what_is_there_already_changes_nothing(connection: sqlite3.Connection) -> None:
    """Entries that come again under other numbers, from a copy of the journal, are there once, as they were."""
    commit(connection, frames(1000, range(1, 51), begin=True))
    before = connection.execute("SELECT * FROM task_logs").fetchall()
    assert commit(connection, frames(500, range(1, 51)), "copy") is None
    assert connection.execute("SELECT * FROM task_logs").fetchall() == before
    counted = connection.execute("SELECT last_seq, info_count FROM tasks WHERE id = 't'").fetchone()
    assert counted == (50, 50)
