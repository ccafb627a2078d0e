"""What one commit leaves in the database: its watermark, numbers that are never used again, and rows it refuses."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from asynclog.frames import Frames
from asynclog.model import Level, Task
from asynclog.records import TaskRecord, encode
from asynclog.store import apply
from asynclog.store.apply import read_last_id, read_watermark
from asynclog.store.batch import Batch
from asynclog.store.losses import Losses
from tests.unit.store.rows import add_entries, add_task, database, entry


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """An empty database that refuses what names no task, as the service's own does."""
    connection = database()
    connection.execute("PRAGMA foreign_keys = ON")
    yield connection
    connection.close()


def commit(connection: sqlite3.Connection, first: int, messages: list[str], seq: int = 1, journal: str = "ours") -> int:
    """The beginning of task t and entries of it, from a record number and a seq on; the last number."""
    records = Frames([first], [0], [1], [encode(TaskRecord("t", Task(id="t", name="t", plugin="p", created_at=1)))])
    for number, message in enumerate(messages):
        level = Level.ERROR if number % 3 == 0 else Level.INFO
        records.append((first + 1 + number, seq + number, 1, encode(entry("t", message, level=int(level)))))
    apply.commit(connection, journal, records, lambda: Batch(records), records.last_id, 0, Losses())
    return records.last_id


def messages_of(connection: sqlite3.Connection) -> list[str]:
    """The task's messages, in order."""
    return [text for (text,) in connection.execute("SELECT message FROM task_logs WHERE task_id = 't' ORDER BY seq")]


def test_each_journal_has_its_own_watermark(connection: sqlite3.Connection) -> None:
    """How far another journal was stored says nothing of ours, in either direction."""
    apply.commit(connection, "a former one", Frames(), lambda: Batch(Frames()), 900, 0, Losses())
    last = commit(connection, 1, ["one", "two"])
    assert messages_of(connection) == ["one", "two"]
    assert (read_watermark(connection, "ours"), read_watermark(connection, "a former one")) == (last, 900)
    assert read_watermark(connection, "unknown") == 0
    assert read_last_id(connection) == 900


def test_a_watermark_never_goes_back(connection: sqlite3.Connection) -> None:
    """Records that are stored already, read from the journal once more, change nothing."""
    last = commit(connection, 1, ["one", "two", "three"])
    commit(connection, 1, ["one", "changed"])
    assert messages_of(connection) == ["one", "two", "three"]
    assert read_watermark(connection, "ours") == last


@pytest.mark.parametrize("kept", [0, 3])
def test_the_number_of_a_removed_entry_is_not_used_again(connection: sqlite3.Connection, kept: int) -> None:
    """An entry gets a number above all there ever were, though the newest, or all of them, were removed."""
    add_task(connection, "other")
    add_entries(connection, [entry("other") for _ in range(20)], 5)
    connection.execute("DELETE FROM task_logs WHERE seq > ?", (kept,))
    assert read_last_id(connection) == 100
    commit(connection, 50, ["one", "two"])
    numbers = [number for (number,) in connection.execute("SELECT id FROM task_logs WHERE task_id = 't' ORDER BY seq")]
    assert numbers == [101, 102]


@pytest.mark.parametrize("count", [1, 2, 5, 700])
def test_what_is_refused_leaves_the_counts_right(connection: sqlite3.Connection, count: int) -> None:
    """Wherever in a batch a row is refused, it is an entry that says so, and counts and numbers fit what is there."""
    connection.execute(
        "CREATE TRIGGER no BEFORE INSERT ON task_logs WHEN NEW.message = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    messages = [f"{number}" for number in range(count)]
    bad = {0, count // 2, count - 1}
    commit(connection, 1, ["bad" if number in bad else text for number, text in enumerate(messages)])
    commit(connection, count + 2, ["more"], count + 1)
    found = messages_of(connection)
    assert [text for text in found if "unstorable" not in text] == [
        *(text for number, text in enumerate(messages) if number not in bad),
        "more",
    ]
    assert [text for text in found if "unstorable" in text] == ["[unstorable: IntegrityError: no]"] * len(bad)
    by_level = dict(connection.execute("SELECT level, count(*) FROM task_logs GROUP BY level"))
    counted = connection.execute("SELECT info_count, error_count, last_seq, dropped FROM tasks").fetchone()
    assert counted == (by_level.get("INFO", 0), by_level["ERROR"], count + 1, 0)
    assert dict(connection.execute("SELECT level, sum(count) FROM entry_counts GROUP BY level")) == by_level
