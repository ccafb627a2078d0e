"""Pages of entries: their bytes, order, bounds and cost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynclog import wire
from asynclog.filters import LogFilter
from asynclog.model import EVERYTHING, AccessScope, Gap, Level
from asynclog.queries import EntryQuery
from asynclog.store.entries import batch_answer, gaps, page
from tests.unit.store.rows import START, add_entries, add_task, database, entry, insert, plan, statements


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = database()
    yield connection
    connection.close()


def seqs(connection: sqlite3.Connection, **query: Any) -> list[int]:
    """The cursors of a page."""
    return page(connection, EntryQuery(**query)).cursors


def fill(connection: sqlite3.Connection, number: int, task_id: str = "t") -> None:
    """A task with so many entries."""
    add_task(connection, task_id)
    add_entries(connection, [entry(task_id, f"message {n}", timestamp=START + n) for n in range(1, number + 1)])


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
LABEL = st.none() | TEXT
NUMBERS = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1.0, 1e22, 5e-324, -0.0, 1000.0]),
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT, lambda x: st.lists(x, max_size=3) | st.dictionaries(TEXT, x, max_size=3)
)
RECORDS = st.builds(
    entry,
    message=st.one_of(TEXT, st.text('\n\r"\\/\t\x01\x1f\x7f\u2028é😀', max_size=30), st.just("x" * 20_000 + "\n")),
    timestamp=st.integers(0, 253_402_300_799_999_999),
    level=st.sampled_from([int(level) for level in Level]),
    source=TEXT.filter(bool),
    stage=LABEL,
    unit=LABEL,
    step_id=LABEL,
    metadata_json=st.none() | st.dictionaries(TEXT, JSON, max_size=4).map(lambda data: orjson.dumps(data).decode()),
)


@settings(max_examples=150)
@given(st.lists(RECORDS, min_size=1, max_size=30))
def test_an_entry_from_the_store_is_byte_for_byte_the_live_one(records: list[Any]) -> None:
    """Whatever an entry holds, its line from SQL equals what `wire.entry_line` makes of the record, in order."""
    connection = database()
    try:
        add_task(connection, "t")
        stored = add_entries(connection, records)
        found = page(connection, EntryQuery(task_id="t"))
        assert found.lines == [wire.entry_line(record_id, seq, record) for record_id, seq, record in stored]
        assert found.cursors == [seq for _, seq, _ in stored]
    finally:
        connection.close()


def test_an_entry_looks_as_the_contract_shows_it(connection: sqlite3.Connection) -> None:
    """Compact JSON, the contract's key order, six digits of the second, Z; number tokens of the metadata untouched."""
    add_task(connection, "t")
    labels: dict[str, Any] = {"stage": "extract", "unit": "dash-7", "source": "superset_api", "timestamp": START + 120}
    add_entries(connection, [entry(message='say "hi"\n', metadata_json='{"a":1.0,"b":1e22,"c":[]}', **labels)])
    [line] = page(connection, EntryQuery(task_id="t")).lines
    assert line == (
        b'{"id":1,"task_id":"t","seq":1,"timestamp":"2026-02-07T12:00:00.000120Z","level":"INFO",'
        b'"source":"superset_api","stage":"extract","unit":"dash-7","step_id":null,'
        b'"message":"say \\"hi\\"\\n","metadata":{"a":1.0,"b":1e22,"c":[]}}'
    )


def test_cursors_are_exclusive_and_through_is_inclusive(connection: sqlite3.Connection) -> None:
    """`after` and `before` leave their own seq out; nothing above `through` is returned."""
    fill(connection, 10)
    assert seqs(connection, task_id="t", after=3, before=7) == [4, 5, 6]
    assert seqs(connection, task_id="t", after=7, through=9) == [8, 9]
    assert seqs(connection, task_id="t", descending=True, before=4) == [3, 2, 1]
    assert seqs(connection, task_id="t", offset=8) == [9, 10]
    assert seqs(connection, task_id="t", offset=8, descending=True) == [2, 1]
    assert seqs(connection, task_id="t", after=10) == []


@pytest.mark.parametrize("pairs", [[], [("unit", "u")]])
def test_no_cursor_is_too_large(connection: sqlite3.Connection, pairs: list[tuple[str, str]]) -> None:
    """Numbers beyond SQLite's integers mean what they say: behind, or before, everything."""
    add_task(connection, "t")
    add_entries(connection, [entry(unit="u")] * 3)
    log_filter = LogFilter.parse(pairs)
    for task_id in ("t", None):
        assert seqs(connection, task_id=task_id, filter=log_filter, before=10**30, through=10**30) == [1, 2, 3]
        assert seqs(connection, task_id=task_id, filter=log_filter, after=-(10**30)) == [1, 2, 3]
        assert seqs(connection, task_id=task_id, filter=log_filter, after=10**30) == []
        assert seqs(connection, task_id=task_id, filter=log_filter, offset=10**30) == []


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("limit", [1, 15, 16, 17, 300, 1039, 1040, 1041])
def test_more_is_exact(connection: sqlite3.Connection, limit: int, descending: bool) -> None:
    """`more` is true exactly when another entry matches, at and around the sizes in which pages are read."""
    fill(connection, limit)
    query = EntryQuery(task_id="t", limit=limit, descending=descending)
    assert (len(page(connection, query).lines), page(connection, query).more) == (limit, False)
    add_entries(connection, [entry(message="one further")])
    assert (len(page(connection, query).lines), page(connection, query).more) == (limit, True)


@pytest.mark.parametrize("descending", [False, True])
def test_following_the_cursor_reads_everything_once(connection: sqlite3.Connection, descending: bool) -> None:
    """Pages after pages give every entry once; descending is the exact reverse."""
    fill(connection, 500)
    found: list[int] = []
    more = True
    while more:
        place: dict[str, Any] = {"before" if descending else "after": found[-1]} if found else {}
        part = page(connection, EntryQuery(task_id="t", limit=37, descending=descending, **place))
        found += part.cursors
        more = part.more
    assert found == (list(range(500, 0, -1)) if descending else list(range(1, 501)))


def test_a_page_ends_at_its_bytes_but_holds_at_least_one_entry(connection: sqlite3.Connection) -> None:
    """`max_bytes` bounds a page, small and large entries alike, and an entry larger than it still comes, alone."""
    add_task(connection, "t")
    add_entries(
        connection, [entry(message="x" * (1_000_000 if n % 5 == 0 else 50_000 if n % 2 else 10)) for n in range(40)]
    )
    read: list[int] = []
    more = True
    while more:
        part = page(connection, EntryQuery(task_id="t", after=read[-1] if read else 0, max_bytes=1_200_000))
        assert sum(len(line) + 1 for line in part.lines) <= 1_200_000
        read += part.cursors
        more = part.more
    assert read == list(range(1, 41))
    tiny = page(connection, EntryQuery(task_id="t", max_bytes=1))
    assert (tiny.cursors, tiny.more, len(orjson.loads(tiny.lines[0])["message"])) == ([1], True, 1_000_000)
    whole = page(connection, EntryQuery(task_id="t", after=39, max_bytes=1))
    assert (whole.cursors, whole.more) == ([40], False)


def test_a_page_of_huge_entries_reads_few_of_them(connection: sqlite3.Connection) -> None:
    """Of many huge entries only about those that are shown are put together: memory follows the page, not the limit."""
    add_task(connection, "t")
    add_entries(connection, [entry(message="x" * 300_000) for _ in range(100)])
    with statements(connection) as seen:
        part = page(connection, EntryQuery(task_id="t", limit=1000, max_bytes=1_000_000))
    assert part.cursors == [1, 2, 3]
    assert len([statement for statement in seen if "FROM task_logs WHERE id = " in statement]) == 4


def test_a_page_is_a_few_statements_of_one_row_each(connection: sqlite3.Connection) -> None:
    """A thousand entries take two statements, none of which gives more than one row."""
    fill(connection, 1500)
    with statements(connection) as seen:
        assert len(seqs(connection, task_id="t", limit=1000)) == 1000
    assert len(seen) == 2
    assert all(len(connection.execute(statement).fetchall()) == 1 for statement in seen)


def test_across_tasks_the_cursor_is_the_id(connection: sqlite3.Connection) -> None:
    """Without a task, entries of all tasks come in the order of their ids, newest first when descending."""
    for task_id in ("a", "b"):
        add_task(connection, task_id, plugin=f"plugin {task_id}")
    add_entries(connection, [entry("ab"[n % 2], f"m{n}") for n in range(10)])
    assert seqs(connection, descending=True, limit=3) == [10, 9, 8]
    assert seqs(connection, descending=True, before=8, limit=3) == [7, 6, 5]
    assert seqs(connection, after=8) == [9, 10]
    assert seqs(connection, plugin="plugin b") == [2, 4, 6, 8, 10]
    assert seqs(connection, plugin="nobody") == []
    assert seqs(connection, task_id="a", plugin="plugin b") == []


def test_other_accounts_and_sites_do_not_exist(connection: sqlite3.Connection) -> None:
    """A scope sees the entries of its account and site alone, in a task and across tasks, however many there are."""
    add_task(connection, "ours", account="acme", site="north")
    add_task(connection, "near", account="acme", site="south")
    add_task(connection, "far", account="globex", site="north")
    add_task(connection, "bare")
    add_entries(connection, [entry(task) for task in ("ours", "near", "far", "bare") * 2])
    ours = AccessScope(account="acme", site="north")
    assert seqs(connection, access=ours) == [1, 5]
    assert seqs(connection, access=AccessScope(account="acme")) == [1, 2, 5, 6]
    assert seqs(connection, access=AccessScope(site="north"), filter=LogFilter.parse([("level", "INFO")])) == [
        1,
        3,
        5,
        7,
    ]
    assert seqs(connection, task_id="ours", access=ours) == [1, 2]
    assert seqs(connection, task_id="near", access=ours) == []
    connection.execute("UPDATE tasks SET last_seq = 1000000")  # no longer few: now each entry's task is looked up
    assert seqs(connection, access=ours) == [1, 5]
    assert seqs(connection, access=ours, filter=LogFilter.parse([("min_level", "WARNING")])) == []


def test_a_task_that_is_being_deleted_is_gone(connection: sqlite3.Connection) -> None:
    """From the mark on, none of its entries, gaps and batch answers are there."""
    for task_id in ("kept", "gone"):
        add_task(connection, task_id)
        insert(connection, "gaps", task_id=task_id, from_seq=5, to_seq=9, reason="full")
        insert(connection, "batches", task_id=task_id, batch_id="b", answer="{}")
    add_entries(connection, [entry("kept"), entry("gone", unit="u")])
    connection.execute("UPDATE tasks SET deleted_at = 1 WHERE id = 'gone'")
    assert seqs(connection) == [1]
    assert seqs(connection, filter=LogFilter.parse([("unit", "u")])) == []
    assert seqs(connection, task_id="gone") == []
    assert gaps(connection, "kept", EVERYTHING) == [Gap(task_id="kept", from_seq=5, to_seq=9, reason="full")]
    assert gaps(connection, "gone", EVERYTHING) == []
    assert batch_answer(connection, "kept", "b", EVERYTHING) == "{}"
    assert batch_answer(connection, "gone", "b", EVERYTHING) is None
    assert batch_answer(connection, "kept", "c", EVERYTHING) is None


def test_gaps_come_in_order(connection: sqlite3.Connection) -> None:
    """A task's gaps are listed by their first seq, whatever order they were stored in."""
    add_task(connection, "t")
    for first in (30, 10, 20):
        insert(connection, "gaps", task_id="t", from_seq=first, to_seq=first + 1, reason='"quoted"\n')
    assert [gap.from_seq for gap in gaps(connection, "t", EVERYTHING)] == [10, 20, 30]
    assert gaps(connection, "t", EVERYTHING)[0].reason == '"quoted"\n'


def test_a_filter_that_matches_nothing_gives_an_empty_page(connection: sqlite3.Connection) -> None:
    """No entry, no task, contradicting levels or an empty time window: an empty page, and nothing more."""
    fill(connection, 3)
    for pairs in ([("level", "INFO"), ("min_level", "ERROR")], [("since", "2027-01-01")], [("search", "nothing")]):
        for task_id in ("t", None):
            found = page(connection, EntryQuery(task_id=task_id, filter=LogFilter.parse(pairs)))
            assert (found.lines, found.cursors, found.more) == ([], [], False)
    assert seqs(connection, task_id="nobody") == []
    assert seqs(connection, task_id="t", through=0, filter=LogFilter.parse([("unit", "u")])) == []


@pytest.mark.parametrize(
    ("query", "pairs", "index"),
    [
        ({"task_id": "t", "after": 5}, [], "sqlite_autoindex_task_logs_1 (task_id=? AND seq>?)"),
        ({"task_id": "t", "before": 5, "descending": True}, [], "sqlite_autoindex_task_logs_1 (task_id=? AND seq<?)"),
        ({"task_id": "t", "after": 5}, [("search", "x")], "sqlite_autoindex_task_logs_1 (task_id=? AND seq>?)"),
        ({"task_id": "t", "after": 5}, [("level", "ERROR")], "task_logs_task_trouble (task_id=? AND seq>?)"),
        ({"task_id": "t"}, [("unit", "u")], "task_logs_unit (unit=?)"),
        ({"task_id": "t", "after": 5}, [("unit", "u")], "task_logs_unit (unit=? AND id>?)"),
        ({"task_id": "t"}, [("step_id", "s"), ("min_level", "WARNING")], "task_logs_step (step_id=?)"),
        ({"descending": True}, [("level", "ERROR")], "task_logs_trouble"),
        ({"descending": True}, [("min_level", "WARNING")], "task_logs_trouble"),
        ({"descending": True, "before": 5}, [("unit", "u")], "task_logs_unit (unit=? AND id<?)"),
        ({"descending": True, "before": 5}, [("search", "x")], "INTEGER PRIMARY KEY (rowid<?)"),
        ({"descending": True}, [("since", "2026-02-07T12:00:00Z")], "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
    ],
)
def test_a_page_is_read_through_the_index_that_orders_it(
    connection: sqlite3.Connection, query: dict[str, Any], pairs: list[tuple[str, str]], index: str
) -> None:
    """Each kind of page seeks in its index and needs no sorting, so it costs what it shows."""
    fill(connection, 50)
    with statements(connection) as seen:
        page(connection, EntryQuery(filter=LogFilter.parse(pairs), **query))
    found = plan(connection, seen[-1])
    assert index in found
    assert "TEMP B-TREE" not in found
