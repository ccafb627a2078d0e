"""Labels that are rare in a segment: their entries are read one by one, and no others."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import orjson
import pytest

from asynclog.filters import LogFilter
from asynclog.queries import EntryQuery
from asynclog.store import selection
from asynclog.store.blocks import MAX_PLACES, SEGMENT_BITS
from asynclog.store.counts import histogram, stats
from asynclog.store.entries import page
from asynclog.store.places import MAX_LABELS, MOST_IDS
from tests.unit.store.rows import START, add_entries, add_task, database, entry, index, statements

SEGMENT = 1 << SEGMENT_BITS
STEP = 8
"""Between two ids: sixteen entries in each block."""
ENTRIES = 3 * SEGMENT // STEP
REST = (2 * SEGMENT, ENTRIES * STEP)
"""What is not indexed."""


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """Three segments, of which the last is not indexed; a source and a stage that few entries have, evenly."""
    connection = database()
    add_task(connection, "t")
    add_task(connection, "other")
    records = [
        entry(
            source="even" if number % 20 == 7 else "plugin",
            stage="cleanup" if number % 30 == 7 else "load",
            level=10 if number % 10 == 7 else 20,
            timestamp=START + number * 1000,
        )
        for number in range(ENTRIES)
    ]
    add_entries(connection, records, STEP)
    index(connection, lambda segment: segment < 2)
    connection.execute("UPDATE tasks SET last_seq = 1000000")  # as large as tasks that are not read whole
    yield connection
    connection.close()


def asked(**values: object) -> EntryQuery:
    """A query for the task; cursors and the rest by their names, any other name is a condition."""
    fields = {name: values.pop(name) for name in ("limit", "descending", "after", "before", "offset") if name in values}
    return EntryQuery(task_id="t", filter=LogFilter.parse_mapping(values), **fields)  # type: ignore[arg-type]  # by name


def spans(connection: sqlite3.Connection, query: EntryQuery) -> list[tuple[int, int]]:
    """The spans of ids that are read, in the order of the parts they are read in."""
    found = selection.select(connection, query)
    assert found is not None
    read = list[tuple[int, int]]()
    for part in found.parts(connection, descending=query.descending, wanted=lambda _before: 1 << 30):
        if "BETWEEN ? AND ?" in part.sql:
            read.append((int(part.params[0]), int(part.params[1])))
        else:
            read += [(low, high) for low, high in orjson.loads(str(part.params[0]))]
    return read


def ids(every: int) -> list[tuple[int, int]]:
    """The spans of the entries whose number leaves seven, as far as the index goes."""
    places = [(number + 1) * STEP for number in range(ENTRIES) if number % every == 7]
    return [(place, place) for place in places if place < REST[0]]


@pytest.mark.parametrize("descending", [False, True])
def test_rare_labels_are_read_one_by_one(connection: sqlite3.Connection, descending: bool) -> None:
    """Where the index is, only the label's entries are read; where it is not, the ids there are one span."""
    query = asked(source="even", descending=descending, limit=5000)
    read = spans(connection, query)
    assert sorted(read) == [*ids(20), REST]
    assert (read[0] == REST) == descending
    cursors = [number + 1 for number in range(ENTRIES) if number % 20 == 7]
    assert page(connection, query).cursors == (cursors[::-1] if descending else cursors)


def test_conditions_meet(connection: sqlite3.Connection) -> None:
    """Of two rare labels, only entries that have both are read; a frequent one beside a rare one changes nothing."""
    assert spans(connection, asked(source="even", stage="cleanup")) == [*ids(60), REST]
    assert spans(connection, asked(source="even", level="DEBUG")) == [*ids(20), REST]
    assert spans(connection, asked(source="even", min_level="DEBUG", stage=["cleanup", "load"])) == [*ids(20), REST]


def test_repeated_labels_are_put_together(connection: sqlite3.Connection) -> None:
    """Labels of one condition add up; one that is nowhere adds nothing; a frequent one leaves all to be read."""
    assert spans(connection, asked(source=["even", "nowhere"])) == [*ids(20), REST]
    assert spans(connection, asked(source=["even", "plugin"])) == [(STEP, ENTRIES * STEP)]


def test_many_labels_are_not_looked_up(connection: sqlite3.Connection) -> None:
    """Hundreds of labels would take longer to look up than what they might spare."""
    query = asked(source=["even", *(f"other {number}" for number in range(MAX_LABELS))], limit=5000)
    with statements(connection) as seen:
        assert len(page(connection, query).lines) == ENTRIES // 20 + 1
    assert not any("log_places" in statement or "log_terms" in statement for statement in seen)


def test_frequent_labels_have_no_places(connection: sqlite3.Connection) -> None:
    """Places cost bytes, and reading in order finds what is frequent: it has none."""
    found = dict(connection.execute("SELECT term, max(length(places)) FROM log_places GROUP BY term"))
    assert found.keys() == {"seven", "gcleanup", "lDEBUG"}
    assert max(found.values()) <= MAX_PLACES < SEGMENT // STEP


def test_cursors_bound_what_is_read(connection: sqlite3.Connection) -> None:
    """A page begins at its cursor, not at the first entry with the label."""
    read = spans(connection, asked(source="even", after=100, before=200))
    assert read == [(place, place) for place, _ in ids(20) if 101 * STEP <= place < 200 * STEP]


def test_numbers_read_one_by_one_too(connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of a rare label are counted from its entries alone; of too many places, from whole blocks."""
    query = asked(source="even", until="2026-02-07T12:00:02Z")
    for most in (MOST_IDS, 2):
        monkeypatch.setattr(selection, "MOST_IDS", most)
        with statements(connection) as seen:
            assert stats(connection, query).by_source == {"even": 100}
            assert sum(sum(bucket.counts.values()) for bucket in histogram(connection, query, 10)) == 100
        [one, two] = [statement for statement in seen if "count(*)" in statement]
        assert ("[64,64]" in one) == ("[64,64]" in two) == (most > 2)


def test_entries_among_those_of_others_are_read_one_by_one(connection: sqlite3.Connection) -> None:
    """A task of few among many entries of others is read by its label's places, not entry by entry."""
    own = [
        entry("other" if number % 4 else "t", source="rare" if number % 50 == 0 else "plugin") for number in range(2048)
    ]
    add_entries(connection, own, STEP)
    connection.execute("UPDATE tasks SET last_seq = 1000 WHERE id = 't'")
    index(connection)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "_FEW_ENTRIES", 10)
        with statements(connection) as seen:
            found = page(connection, asked(source="rare", limit=1000))
        assert len(found.lines) == 21
        assert not any("INDEXED BY" in statement for statement in seen)


def test_what_is_deleted_is_nowhere(connection: sqlite3.Connection) -> None:
    """Places of entries that are not there any more lead to nothing."""
    connection.execute("DELETE FROM task_logs WHERE seq % 40 = 8")
    assert page(connection, asked(source="even", limit=3)).cursors == [28, 68, 108]
