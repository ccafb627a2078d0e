"""Records as they are applied to a database that has entries of another history, and where some are missing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from asynclog.filters import LogFilter
from asynclog.frames import Frames
from asynclog.model import EVERYTHING, Gap, Sealed, Task, TraceItem
from asynclog.protocols import StoredEntries
from asynclog.queries import EntryQuery
from asynclog.records import DeleteRecord, GapRecord, TaskRecord, TraceRecord, encode
from asynclog.store import apply
from asynclog.store.apply import read_last_id
from asynclog.store.batch import Batch
from asynclog.store.entries import gaps, page
from asynclog.store.losses import REASON, Losses
from tests.unit.store.rows import START, add_entries, add_task, database, entry, statements


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


def commit(
    connection: sqlite3.Connection, records: Frames, journal_id: str = "ours", losses: Losses | None = None
) -> StoredEntries | None:
    through = records.last_id
    return apply.commit(connection, journal_id, records, lambda: Batch(records), through, 0, losses or Losses())


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


def traces(*items: tuple[int, str, int, str]) -> Frames:
    """Trace items: number, task, time, event."""
    return Frames.of(
        (number, 0, 1, encode(TraceRecord(task, TraceItem(task, time, event)))) for number, task, time, event in items
    )


def trace_of(connection: sqlite3.Connection, task_id: str) -> list[tuple[int, str]]:
    """A task's trace, in order."""
    asked = "SELECT timestamp, event FROM trace_items WHERE task_id = ? ORDER BY id"
    return connection.execute(asked, (task_id,)).fetchall()


def test_trace_items_whose_numbers_another_history_has_used(connection: sqlite3.Connection) -> None:
    """None is lost, whether its number is taken or free, each task's stay in order, and what is there is there once."""
    theirs = traces((1, "other", 5, "start"), (3, "other", 6, "half"), (9, "other", 7, "end"))
    commit(connection, theirs, "theirs")
    commit(connection, traces((1, "t", 5, "start"), (2, "t", 6, "half"), (3, "t", 6, "half")))
    commit(connection, traces((4, "t", 7, "more"), (9, "t", 8, "end")))
    assert trace_of(connection, "t") == [(5, "start"), (6, "half"), (6, "half"), (7, "more"), (8, "end")]
    before = trace_of(connection, "other")
    commit(connection, theirs, "a copy of theirs")
    assert trace_of(connection, "other") == before == [(5, "start"), (6, "half"), (7, "end")]


def test_entries_that_are_lost_are_named() -> None:
    """Where records are missing, each task's missing entries are a gap: before, between and behind what is there."""
    connection, losses = database(), Losses()
    connection.execute("PRAGMA foreign_keys = ON")
    began = Frames.of([(1, 0, 1, encode(TaskRecord("t", Task(id="t", name="t", plugin="p", created_at=1))))])
    commit(connection, began, losses=losses)
    commit(connection, Frames([2, 3], [1, 2], [1, 1], [encode(entry("t"))] * 2), losses=losses)
    assert gaps(connection, "t", EVERYTHING) == []
    dropped = Gap(task_id="t", from_seq=6, to_seq=7, reason="memory")
    records = Frames([6], [5], [1], [encode(entry("t"))])
    records.append((7, 0, 1, encode(GapRecord("t", dropped))))
    records.append((8, 8, 1, encode(entry("t"))))
    records.append((9, 4, 1, encode(entry("u"))))
    commit(connection, records, losses=losses)
    lost = Gap(task_id="t", from_seq=3, to_seq=4, reason=REASON)
    assert gaps(connection, "t", EVERYTHING) == [lost, dropped]
    assert gaps(connection, "u", EVERYTHING) == [Gap(task_id="u", from_seq=1, to_seq=3, reason=REASON)]
    ended = Task(id="t", name="t", plugin="p", created_at=1, status="success", sealed=Sealed(count=8, last_seq=10))
    commit(connection, Frames([10], [0], [1], [encode(TaskRecord("t", ended))]), losses=losses)
    behind = Gap(task_id="t", from_seq=9, to_seq=10, reason=REASON)
    assert gaps(connection, "t", EVERYTHING) == [lost, dropped, behind]
    told = connection.execute("SELECT id, last_seq, dropped, info_count FROM tasks ORDER BY id").fetchall()
    assert told == [("t", 10, 6, 4), ("u", 4, 3, 1)]
    connection.close()


def test_entries_in_whose_place_others_are(connection: sqlite3.Connection, caplog: pytest.LogCaptureFixture) -> None:
    """Where another history of a task has entries under the same numbers, that some are not stored is said."""
    ours = Frames([901, 902], [100, 101], [1, 1], [encode(entry("other", "new", timestamp=START + 1))] * 2)
    commit(connection, ours)
    assert connection.execute("SELECT count(*) FROM task_logs").fetchone() == (101,)
    assert "1 entries are not stored" in caplog.text
    caplog.clear()
    commit(connection, ours, "again")
    unstorable = encode(entry("other", "m", timestamp=START + 2, source=""))
    commit(connection, Frames([2000], [102], [1], [unstorable]))
    assert caplog.text.count("are not stored") == 1  # the one of before


@pytest.mark.parametrize(("source", "afresh"), [("\\u0000", False), ("\\\\u0000", False), ("a\0b", True)])
def test_labels_with_nul(connection: sqlite3.Connection, source: str, *, afresh: bool) -> None:
    """A label with NUL is counted right, one that only spells it is not counted afresh with each batch."""
    first = read_last_id(connection) + 1
    commit(connection, frames(first, range(1, 11), begin=True))
    more = Frames([first + 20], [11], [1], [encode(entry("t", source=source))])
    with statements(connection) as ran:
        commit(connection, more)
    assert any(statement.startswith("DELETE FROM entry_counts") for statement in ran) == afresh
    counted = connection.execute("SELECT source, count FROM entry_counts WHERE task_id = 't' ORDER BY count").fetchall()
    assert counted == [(source, 1), ("plugin", 10)]


def test_what_is_being_removed_lacks_nothing(connection: sqlite3.Connection) -> None:
    """A deleted task has no gaps however many of its entries are gone, and one that is whole has none either."""
    losses, first = Losses(), read_last_id(connection) + 5
    commit(connection, frames(first, range(1, 11), begin=True), losses=losses)
    gone = Frames([first + 20], [20], [1], [encode(entry("t"))])
    gone.append((first + 21, 0, 1, encode(DeleteRecord("t", 1))))
    commit(connection, gone, losses=losses)
    assert connection.execute("SELECT count(*) FROM gaps").fetchone() == (0,)
