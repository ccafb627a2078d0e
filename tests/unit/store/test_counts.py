"""Counting entries: from what the writer counted where that is enough, else by reading them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asynclog.filters import LogFilter
from asynclog.model import EVERYTHING, AccessScope
from asynclog.queries import Bucket, EntryQuery, LogStats, StageCount
from asynclog.store import selection
from asynclog.store.counts import count, histogram, stage_counts, stats, view
from asynclog.store.entries import gaps, page
from tests.unit.store.rows import SCHEMA, START, add_entries, add_task, database, entry, insert, statements


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """Six entries of one task and one of another."""
    connection = database()
    add_task(connection, "t", account="acme")
    add_task(connection, "other")
    kinds: list[dict[str, Any]] = [
        {"level": 20, "source": "plugin", "stage": "extract", "unit": "b"},
        {"level": 20, "source": "plugin", "stage": "extract", "unit": "a"},
        {"level": 30, "source": "plugin", "stage": "extract", "unit": "a"},
        {"level": 40, "source": "stdout", "stage": "load"},
        {"level": 10, "source": "system"},
        {"level": 20, "source": "system", "unit": "c"},
    ]
    records = [entry("t", timestamp=START + n * 1_000_000, **kind) for n, kind in enumerate(kinds)]
    add_entries(connection, [*records, entry("other")])
    yield connection
    connection.close()


def asked(pairs: list[tuple[str, str]], **more: Any) -> EntryQuery:
    return EntryQuery(filter=LogFilter.parse(pairs), **{"task_id": "t", **more})


def test_a_view_is_the_page_the_gaps_and_a_total_that_costs_nothing(connection: sqlite3.Connection) -> None:
    """What is shown of a task in one go is what is told one by one; what takes counting is left to `count`."""
    insert(connection, "gaps", task_id="t", from_seq=7, to_seq=9, reason="full")
    for pairs, known in (([], 6), ([("source", "system")], 2), ([("search", "hello")], None), ([("unit", "a")], None)):
        query = asked(pairs, limit=1, after=0)
        found = view(connection, query, total=True)
        assert found is not None
        assert found.page == page(connection, query)
        assert found.gaps == gaps(connection, "t", EVERYTHING) != []
        assert found.total == known
    bare = view(connection, asked([]), total=False)
    assert bare is not None
    assert bare.total is None
    for task_id, access in (("nobody", EVERYTHING), ("t", AccessScope(account="other"))):
        assert view(connection, asked([], task_id=task_id, access=access), total=True) is None


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_view_is_of_one_moment(tmp_path: Path, order: str) -> None:
    """Gaps and entries behind them that are stored between its statements are in none of its parts, or in all."""
    reader, writer = (sqlite3.connect(tmp_path / "db", isolation_level=None) for _ in range(2))
    try:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.executescript(SCHEMA)
        add_task(writer, "t")
        add_entries(writer, [entry("t")] * 20)

        def meanwhile(_statement: str) -> None:
            [seq] = writer.execute("SELECT max(seq) + 1 FROM task_logs").fetchone()
            writer.execute("BEGIN")
            insert(writer, "gaps", task_id="t", from_seq=seq, to_seq=seq, reason="full")
            insert(writer, "task_logs", task_id="t", seq=seq + 1, timestamp=START, level="INFO", message="behind it")
            writer.execute("UPDATE entry_counts SET count = count + 1")
            writer.execute("UPDATE tasks SET last_seq = ?", (seq + 1,))
            writer.execute("COMMIT")

        reader.set_trace_callback(meanwhile)
        found = view(reader, asked([], descending=order == "desc"), total=True)
        assert found is not None
        shown = set(found.page.cursors)
        explained = {gap.from_seq for gap in found.gaps}
        assert shown | explained == set(range(1, found.last_seq + 1))
        assert found.total == len(shown) > 20
        reader.set_trace_callback(None)
        assert not reader.in_transaction
    finally:
        reader.close()
        writer.close()


@pytest.mark.parametrize("mixed", [False, True])
def test_what_is_not_indexed_is_read_the_shorter_way(monkeypatch: pytest.MonkeyPatch, mixed: bool) -> None:
    """Numbers of a large task that is not indexed yet: read in order, or its own entries alone among many others."""
    monkeypatch.setattr(selection, "_FEW_ENTRIES", 10)
    connection = database()
    for task_id in "abcd":
        add_task(connection, task_id)
    tasks = "abcd" if mixed else "a"
    add_entries(connection, [entry(task, stage="s", unit="u") for task in tasks * 40])
    with statements(connection) as seen:
        [bucket] = histogram(connection, asked([], task_id="a"), 1)
        [stage] = stage_counts(connection, "a", EVERYTHING)
    assert bucket.counts["INFO"] == stage.units["u"] == 40
    read = [statement for statement in seen if "count(*)" in statement]
    assert [statement for statement in read if "NOT INDEXED" in statement] == ([] if mixed else read)
    connection.close()


def test_stats_count_by_level_source_and_stage(connection: sqlite3.Connection) -> None:
    """Every level is named, sources and stages as they occur, '' standing for no stage."""
    assert stats(connection, asked([])) == LogStats(
        total=6,
        by_level={"DEBUG": 1, "INFO": 3, "WARNING": 1, "ERROR": 1},
        by_source={"plugin": 3, "stdout": 1, "system": 2},
        by_stage={"": 2, "extract": 3, "load": 1},
    )
    assert stats(connection, asked([("search", "hello"), ("source", "plugin")])).by_level["WARNING"] == 1
    assert stats(connection, asked([], task_id="nobody")).total == 0
    assert stats(connection, asked([("search", "x")], task_id="nobody")).total == 0


@pytest.mark.parametrize(
    ("pairs", "more", "kept"),
    [
        ([], {}, True),
        ([("level", "INFO"), ("min_level", "INFO"), ("source", "plugin"), ("stage", "extract")], {}, True),
        ([("exclude_source", "stdout")], {"after": 3, "before": 5, "offset": 2, "limit": 1}, True),
        ([], {"through": 6}, True),
        ([], {"through": 5}, False),
        ([], {"task_id": None}, True),
        ([], {"task_id": None, "access": AccessScope(account="acme")}, True),
        ([], {"task_id": None, "through": 7}, False),
        ([("stage", "")], {}, False),
        ([("search", "hello")], {}, False),
        ([("unit", "a")], {}, False),
        ([("metadata.a", "1")], {}, False),
        ([("since", "2026-02-07T12:00:01Z")], {}, False),
    ],
)
def test_what_the_writer_counted_is_not_counted_again(
    connection: sqlite3.Connection, pairs: list[tuple[str, str]], more: dict[str, Any], kept: bool
) -> None:
    """Level, source and stage alone, of a whole task or of all, are answered without touching the entries."""
    query = asked(pairs, **more)
    with statements(connection) as seen:
        count(connection, query)
        stats(connection, query)
    assert any("task_logs" in statement for statement in seen) is not kept


def test_an_unseen_task_counts_nothing(connection: sqlite3.Connection) -> None:
    """A foreign or deleted task has no entries, however they would be counted."""
    for pairs in ([], [("search", "hello")]):
        assert count(connection, asked(pairs)) == 6
        assert count(connection, asked(pairs, access=AccessScope(account="globex"))) == 0
        assert histogram(connection, asked(pairs, access=AccessScope(account="globex")), 10) == []
        connection.execute("UPDATE tasks SET deleted_at = 1 WHERE id = 't'")
        assert count(connection, asked(pairs)) == 0
        assert count(connection, asked(pairs, task_id=None)) == 1
        connection.execute("UPDATE tasks SET deleted_at = NULL")
    connection.execute("UPDATE tasks SET deleted_at = 1 WHERE id = 't'")
    assert stage_counts(connection, "t", EVERYTHING) == []


def test_a_histogram_spans_from_the_first_to_the_last_entry(connection: sqlite3.Connection) -> None:
    """Equal, adjoining spans that begin at the first entry and just hold the last one."""
    found = histogram(connection, asked([]), 2)
    none = {"DEBUG": 0, "INFO": 0, "WARNING": 0, "ERROR": 0}
    middle = START + 2_500_001
    assert found == [
        Bucket(start=START, end=middle, counts={**none, "INFO": 2, "WARNING": 1}),
        Bucket(start=middle, end=middle + 2_500_001, counts={**none, "DEBUG": 1, "INFO": 1, "ERROR": 1}),
    ]
    assert len(histogram(connection, asked([]), 60)) == 60
    assert [bucket.counts["INFO"] for bucket in histogram(connection, asked([("unit", "c")]), 60)] == [1]


def test_a_histogram_of_a_very_long_time_stays_exact(connection: sqlite3.Connection) -> None:
    """Between the first and the last moment there is, no product of numbers overflows."""
    last = 253_402_300_799_999_999
    add_entries(connection, [entry("other", timestamp=0), entry("other", timestamp=last)])
    found = histogram(connection, asked([], task_id="other"), 1000)
    assert len(found) == 1000
    assert (found[0].counts["INFO"], found[-1].counts["INFO"]) == (1, 1)
    assert sum(bucket.counts["INFO"] for bucket in found) == 3
    assert found[-1].start <= last < found[-1].end


def test_stages_are_counted_with_their_units(connection: sqlite3.Connection) -> None:
    """Each label once, in its own order; its units in order of appearance; entries without a label are not there."""
    assert stage_counts(connection, "t", EVERYTHING) == [
        StageCount(stage="extract", log_count=3, units={"b": 1, "a": 2}),
        StageCount(stage="load", log_count=1, units={}),
    ]
    assert stage_counts(connection, "nobody", EVERYTHING) == []


def test_a_long_count_can_be_interrupted(connection: sqlite3.Connection) -> None:
    """An interrupt from elsewhere ends a count at once, with SQLite's own error: how a caller keeps a deadline."""
    connection.set_progress_handler(connection.interrupt, 1)  # what a timer does, at a moment that is certain
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        count(connection, asked([("search", "nothing")]))
