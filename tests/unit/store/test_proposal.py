"""How much of a task is read for a filter: what the index proposes, and in which parts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import orjson
import pytest

from asynclog.filters import LogFilter
from asynclog.queries import EntryQuery
from asynclog.store.blocks import SEGMENT_BITS
from asynclog.store.proposal import spans
from asynclog.store.selection import FIRST_IDS, confined
from tests.unit.store.rows import START, add_entries, add_task, database, entry, index, statements

STEP = 64
"""Between two ids: two entries in each block, few entries in several segments."""
LAST = 3 << SEGMENT_BITS
ALL = LAST - STEP + 1


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """Three segments and one more entry, a second between two; every other block has `even` in it."""
    connection = database()
    add_task(connection, "t")
    texts = ("odd" if (number + 1) // 2 % 2 else "even" for number in range(LAST // STEP))
    records = [entry("t", text, timestamp=START + number * 1_000_000) for number, text in enumerate(texts)]
    add_entries(connection, records, STEP)
    index(connection, lambda segment: segment < 3)
    yield connection
    connection.close()


def proposed(connection: sqlite3.Connection, ids: int, **conditions: object) -> list[tuple[int, int]] | None:
    """The spans for a filter."""
    return spans(connection, LogFilter.parse_mapping(conditions), STEP, LAST, ids)


def test_a_long_time_is_one_span(connection: sqlite3.Connection) -> None:
    """Nearly everything is proposed where that spares the way to the first entry of a time, in one piece."""
    [(first, last)] = proposed(connection, ALL, since="2026-02-07T12:01:00Z") or []
    assert last == LAST
    assert 60 * STEP - 128 <= first <= 60 * STEP


def test_many_spans_have_to_spare_much(connection: sqlite3.Connection) -> None:
    """A text in half of the blocks is read there, unless the task has so few entries that all may as well be read."""
    found = proposed(connection, ALL, search="even")
    assert found is not None
    assert len(found) > 90
    assert proposed(connection, ALL // 2, search="even") is None


def test_what_spares_nothing_is_not_proposed(connection: sqlite3.Connection) -> None:
    """Where every block may match, or the index has nothing, or spans are more than the entries, there is none."""
    assert proposed(connection, ALL, since="2026-02-07T12:00:00Z") is None
    assert proposed(connection, LAST // STEP, since="2026-02-07T12:01:00Z") is None
    connection.execute("DELETE FROM log_segments")
    assert proposed(connection, ALL, search="even") is None


def test_many_conditions_are_not_all_looked_up(connection: sqlite3.Connection) -> None:
    """Two hundred values in the metadata took seconds to look up; a few of them say as much."""
    with statements(connection) as seen:
        found = proposed(connection, ALL, **{f"metadata.some.key{number}": "1" for number in range(200)})
    assert found == [(LAST, LAST)]
    assert max(statement.count("log_terms AS t0") for statement in seen) <= 20


def test_parts_are_as_large_as_is_wanted(connection: sqlite3.Connection) -> None:
    """The first part is small, and each further one as large as what was found until then calls for."""
    query = EntryQuery(task_id="t", filter=LogFilter.parse([("search", "even")]))
    selection = confined(query, [(number * 256, number * 256 + 127) for number in range(4096)])
    for descending in (False, True):
        asked: list[int] = []

        def wanted(looked_through: int, asked: list[int] = asked) -> int:
            asked.append(looked_through)
            return 3 * looked_through

        read = selection.parts(connection, descending=descending, wanted=wanted)
        parts = [orjson.loads(str(part.params[0])) for part in read]
        assert asked == [FIRST_IDS, 4 * FIRST_IDS, 16 * FIRST_IDS, 64 * FIRST_IDS]
        assert [128 * len(part) for part in parts] == [FIRST_IDS * times for times in (1, 3, 12, 48, 64)]
