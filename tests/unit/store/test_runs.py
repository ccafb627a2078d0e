"""Entries by column for run files: nothing is lost, changed or read twice, and a page has its bounds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynclog.model import Level
from asynclog.store import runs
from tests.unit.store.rows import START, add_entries, add_task, database, entry, plan, statements

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
"""NUL too: nothing of ours writes it, a row may have it all the same."""
LABEL = st.none() | TEXT
RECORDS = st.builds(
    entry,
    message=st.one_of(TEXT, st.text('\n\r"\\/\t\x00\x1f\x7f\u2028é😀', max_size=30), st.just("é" * 300)),
    timestamp=st.integers(-(2**62), 2**62),
    level=st.sampled_from([int(level) for level in Level]),
    source=TEXT.filter(lambda text: bool(text) and text[0] != "\0"),
    stage=LABEL,
    unit=LABEL,
    metadata_json=st.none() | st.sampled_from(['{"a": 1.0,  "b":\t[1e3]}', "{}", '{"é":"\\u0000"}', '{"x":"y' * 50]),
)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = database()
    yield connection
    connection.close()


def whole(
    connection: sqlite3.Connection, after: int, through: int, stages: Sequence[str] | None = None
) -> list[tuple[Any, ...]]:
    """All entries in between, page by page."""
    rows: list[tuple[Any, ...]] = []
    while after < through:
        page = runs.entries(connection, "t", after, through, stages)
        found = list(zip(*page.columns, strict=True))
        assert after < page.last <= through
        assert found or page.last == through
        rows += found
        after = page.last
    return rows


def row(record: Any) -> tuple[Any, ...]:
    """An entry by the columns that make its line."""
    level = Level(record.level).name
    return record.timestamp, level, record.source, record.stage, record.unit, record.message, record.metadata_json


@settings(max_examples=100)
@given(st.lists(RECORDS, max_size=30), st.integers(0, 32), st.integers(0, 32), st.data())
def test_each_value_comes_as_it_is_stored(records: list[Any], after: int, through: int, data: st.DataObject) -> None:
    """Whatever an entry holds, and whatever is left out in between, each comes once, in order, to the letter."""
    connection, patch = database(), pytest.MonkeyPatch()
    try:
        patch.setattr(runs, "PAGE", data.draw(st.sampled_from([1, 3, 2000])))
        patch.setattr(runs, "PAGE_BYTES", data.draw(st.sampled_from([1, 700, 1 << 20])))
        patch.setattr(runs, "LARGE", data.draw(st.sampled_from([0, 10, 200, 1 << 14])))
        add_task(connection, "t")
        add_task(connection, "u")
        add_entries(connection, [other for record in records for other in (record, entry("u"))])
        gone = data.draw(st.sets(st.integers(1, 30)))
        connection.executemany("DELETE FROM task_logs WHERE task_id = 't' AND seq = ?", [(seq,) for seq in gone])
        kept = [record for seq, record in enumerate(records, 1) if after < seq <= through and seq not in gone]
        assert whole(connection, after, through) == list(map(row, kept))
        labels = data.draw(st.lists(st.sampled_from([r.stage for r in records if r.stage] or ["none"]), max_size=2))
        labelled = [record for record in kept if record.stage in labels]
        assert whole(connection, after, through, labels) == list(map(row, labelled))
    finally:
        patch.undo()
        connection.close()


@pytest.mark.parametrize(("size", "count"), [(100, 5100), (10_000, 300), (30_000, 100), (1 << 20, 20)])
def test_a_page_is_bounded(connection: sqlite3.Connection, size: int, count: int) -> None:
    """Of entries of one size a page has as many as fit, give or take one; all of them come."""
    add_task(connection, "t")
    add_entries(connection, [entry(message=f"{n:9}".ljust(size)) for n in range(1, count + 1)])
    page = runs.entries(connection, "t", 0, count, None)
    assert len(page.columns[0]) == page.last
    assert abs(page.last - min(runs.PAGE, runs.PAGE_BYTES // size)) <= 1
    assert [int(found[5]) for found in whole(connection, 0, count)] == list(range(1, count + 1))


@pytest.mark.parametrize(("size", "count"), [(1 << 19, 40), (10_000, 400)])
def test_large_ones_do_not_fill_the_memory(connection: sqlite3.Connection, size: int, count: int) -> None:
    """Behind small entries that promise little, a page holds no more large ones than have room."""
    add_task(connection, "t")
    large = [entry(message=f"{n:9}".ljust(size)) for n in range(17, 17 + count)]
    add_entries(connection, [*(entry(message=str(n)) for n in range(1, 17)), *large])
    page = runs.entries(connection, "t", 0, 16 + count, None)
    assert sum(map(len, page.columns[5])) <= runs.PAGE_BYTES
    assert [int(found[5]) for found in whole(connection, 0, 16 + count)] == list(range(1, 17 + count))


def test_what_is_deleted_meanwhile_is_passed_over(connection: sqlite3.Connection) -> None:
    """A large entry that is gone when it is looked at ends the page; the next one goes on behind it."""
    add_task(connection, "t")
    add_entries(connection, [entry(message=str(n) * (20_000 if n == 3 else 1)) for n in range(1, 6)])
    deleted = list[str]()

    def delete(statement: str) -> None:
        if statement.startswith("SELECT CAST(message") and not deleted:
            deleted.append(statement)
            connection.execute("DELETE FROM task_logs WHERE seq = 3")

    connection.set_trace_callback(delete)
    found = [entry[5] for entry in whole(connection, 0, 5)]
    connection.set_trace_callback(None)
    assert deleted
    assert found == ["1", "2", "4", "5"]


@pytest.mark.parametrize("size", [1, 20_000])
def test_a_damaged_text_holds_nothing_up(connection: sqlite3.Connection, size: int) -> None:
    """Where bytes of a text are none of UTF-8 it shows marks in their place; what is around them comes as it is."""
    add_task(connection, "t")
    add_entries(connection, [entry(message=str(n) * size, metadata_json='{"é":1}') for n in range(1, 4)])
    update = "UPDATE task_logs SET {0} = CAST(x'61eda080ff' || CAST({0} AS BLOB) AS TEXT) WHERE seq = 2"
    for column in ("message", "unit"):
        connection.execute("UPDATE task_logs SET unit = 'u'")
        connection.execute(update.format(column))
    found = whole(connection, 0, 3)
    assert [entry[5][-size:] for entry in found] == ["1" * size, "2" * size, "3" * size]
    assert found[1][5].startswith("a\ufffd")
    assert [entry[4] for entry in found] == ["u", "a" + "\ufffd" * 4 + "u", "u"]
    assert {entry[6] for entry in found} == {'{"é":1}'}


def test_an_empty_message_may_have_much_metadata(connection: sqlite3.Connection) -> None:
    """What is read by itself for its metadata comes with them, whatever its message is."""
    add_task(connection, "t")
    data = f'{{"data":"{"x" * 20_000}"}}'
    add_entries(connection, [entry(message="", metadata_json=data), entry(message="y" * 20_000)])
    assert [found[5:] for found in whole(connection, 0, 2)] == [("", data), ("y" * 20_000, None)]


def test_a_page_is_read_in_the_order_of_its_index(connection: sqlite3.Connection) -> None:
    """Nothing is sorted, and no more is looked at than there are entries on the page."""
    add_task(connection, "t")
    add_entries(connection, [entry(message=str(n), timestamp=START + n) for n in range(100)])
    with statements(connection) as seen:
        runs.entries(connection, "t", 10, 90, None)
        runs.entries(connection, "t", 10, 90, ["s"])
    for statement in seen:
        how = plan(connection, statement)
        assert "sqlite_autoindex_task_logs_1 (task_id=? AND seq>? AND seq<?)" in how
        assert "TEMP B-TREE" not in how
