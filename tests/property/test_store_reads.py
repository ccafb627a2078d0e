"""Every way to read entries, against a model that is a list and a loop: whatever index is chosen, the answer is one."""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections import Counter
from typing import Any

import msgspec
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from asynclog.filters import LogFilter
from asynclog.model import EVERYTHING, MAX_TIMESTAMP, AccessScope, timestamp_text
from asynclog.queries import EntryQuery, LogStats
from asynclog.records import EntryRecord
from asynclog.store.counts import count, histogram, stage_counts, stats
from asynclog.store.entries import page
from asynclog.wire import parse_entry
from tests.unit.store.rows import START, add_entries, add_task, database, entry, index

TASKS: dict[str, dict[str, Any]] = {
    "a": {"plugin": "p", "account": "acme", "site": "north"},
    "b": {"plugin": "p", "account": "acme", "site": None},
    "c": {"plugin": "q", "account": None, "site": None},
    "gone": {"plugin": "q", "account": "acme", "site": "north", "deleted_at": 1},
}
PAIRS = [
    ("level", "ERROR"),
    ("level", "INFO"),
    ("level", "WARNING"),
    ("min_level", "WARNING"),
    ("source", "plugin"),
    ("exclude_source", "stdout"),
    ("stage", "extract"),
    ("stage", ""),
    ("unit", "u1"),
    ("unit", "u2"),
    ("step_id", "s1"),
    ("search", "hello"),
    ("search", "lo w"),
    ("search", "yyyy"),
    ("search", "he"),
    ("metadata.n", "1"),
    ("metadata.n.x", "true"),
    ("since", "2026-02-07T12:00:03Z"),
    ("until", "2026-02-07T12:00:07Z"),
]
SCOPES = [EVERYTHING] * 4 + [
    AccessScope(account="acme"),
    AccessScope(site="north"),
    AccessScope(account="acme", site="north"),
]


def some_records(chance: random.Random) -> list[EntryRecord]:
    """Entries of all tasks, mixed, of every kind that some index or condition is about."""
    return [
        entry(
            chance.choice([*"aaaabbc", "gone"]),
            chance.choice(["hello", "HELLO world", "other", "y" * 20_000]),
            timestamp=START + chance.randrange(40) * 250_000,
            level=chance.choice([10, 20, 20, 20, 30, 40]),
            source=chance.choice(["plugin", "system", "stdout"]),
            stage=chance.choice([None, "extract", "load"]),
            unit=chance.choice([None, "u1", "u2"]),
            step_id=chance.choice([None, None, "s1"]),
            metadata_json=chance.choice([None, '{"n":1}', '{"n":{"x":true}}']),
        )
        for _ in range(chance.choice([0, 5, 40, 60]))
    ]


def some_query(chance: random.Random) -> EntryQuery:
    """A query that mostly has something to find."""
    task_id = chance.choice([None, None, *"aaabc", "gone", "nobody"])
    pairs = chance.sample(PAIRS, chance.choice([0, 1, 1, 1, 2, 3]))
    cursors = {name: chance.choice([0, *range(45)]) for name in ("after", "before", "through") if chance.random() < 0.3}
    return EntryQuery(
        task_id=task_id,
        plugin=chance.choice([None, None, None, "p", "q"]),
        filter=LogFilter.parse(pairs),
        access=chance.choice(SCOPES),
        limit=chance.choice([1, 3, 16, 17, 40]),
        offset=chance.choice([0, 0, 0, 1, 20]),
        descending=chance.random() < 0.5,
        max_bytes=chance.choice([1, 3000, 50_000, 8_000_000]),
        **cursors,
    )


SEEDS = st.integers(0, 2**32)
"""Rows and queries come from a seed: drawn one value at a time, they would be too few to meet each other."""

Stored = list[tuple[int, int, EntryRecord]]


def cursor_of(query: EntryQuery, row: tuple[int, int, EntryRecord]) -> int:
    return row[0] if query.task_id is None else row[1]


def matching(query: EntryQuery, stored: Stored) -> Stored:
    """The rows that a query is about, without its cursors, in order."""

    def fits(row: tuple[int, int, EntryRecord]) -> bool:
        task = TASKS[row[2].task_id]
        return (
            "deleted_at" not in task
            and query.task_id in (None, row[2].task_id)
            and query.plugin in (None, task["plugin"])
            and query.access.allows(task["account"], task["site"])
            and (query.through is None or cursor_of(query, row) <= query.through)
            and query.filter.matches(row[2])
        )

    return [row for row in stored if fits(row)]


def filled(chance: random.Random) -> tuple[sqlite3.Connection, Stored]:
    """Some entries, near each other or far apart, and an index of all, some or none of their segments."""
    connection = database()
    for task_id, values in TASKS.items():
        add_task(connection, task_id, **values)
    stored = add_entries(connection, some_records(chance), chance.choice([1, 1, 100, 1500]))
    part = chance.choice([0, 0.7, 1])
    index(connection, lambda _segment: chance.random() < part)
    for label in connection.execute("SELECT segment, term FROM log_places").fetchall():
        if chance.random() < 0.4:  # as if it were frequent there
            connection.execute("DELETE FROM log_places WHERE (segment, term) = (?, ?)", label)
    if chance.random() < 0.7:
        connection.execute("UPDATE tasks SET last_seq = 1000000")  # tasks too large to be read whole and sorted
    return connection, stored


@settings(max_examples=200)
@given(SEEDS)
def test_a_page_is_what_the_model_says(seed: int) -> None:
    """Entries, order, cursors and `more` of any page are those of sorting and slicing a list."""
    chance = random.Random(seed)
    connection, stored = filled(chance)
    try:
        for query in (some_query(chance) for _ in range(40)):
            rows = [
                row
                for row in matching(query, stored)
                if (query.after is None or cursor_of(query, row) > query.after)
                and (query.before is None or cursor_of(query, row) < query.before)
            ]
            rows = (rows[::-1] if query.descending else rows)[query.offset :]
            found = page(connection, query)
            taken = rows[: len(found.cursors)]
            assert found.cursors == [cursor_of(query, row) for row in taken], query
            assert [msgspec.json.decode(line)["id"] for line in found.lines] == [row[0] for row in taken]
            assert found.more == (len(rows) > len(taken)), query
            size = sum(len(line) + 1 for line in found.lines)
            assert bool(taken) == bool(rows)
            assert len(taken) <= query.limit
            assert len(taken) <= 1 or size <= query.max_bytes + 1
            if found.more and len(taken) < query.limit:  # ended by its bytes: the next one has no room
                cursor = cursor_of(query, rows[len(taken)])
                place: dict[str, Any] = {"before": cursor + 1} if query.descending else {"after": cursor - 1}
                bare = msgspec.structs.replace(query, offset=0, limit=1, after=None, before=None)
                [further] = page(connection, msgspec.structs.replace(bare, **place)).lines
                assert size + len(further) > query.max_bytes
    finally:
        connection.close()


WORDS = ["Timeout", "in", "finished", "permission", "DENIED", "from", "a", "çé", "Straße", "\u212aelvin", "\u017ftop"]
WORDS += ["x" * 90, "7"]
BREAKS = [" ", " ", " ", "\t", "\n", ", ", "-", "_", "%", "", "\\", "\U0001f600", "\x7f", "\ufffd"]


def some_message(chance: random.Random) -> str:
    """Words with something between them; now and then one that is too long for the index."""
    words = [chance.choice(WORDS) + chance.choice(BREAKS) for _ in range(chance.randrange(9))]
    return "".join(words) * chance.choice([1] * 40 + [120])


def some_search(chance: random.Random, messages: list[str]) -> str:
    """A piece of a message, mostly, in some case; or words that may stand together nowhere."""
    text = chance.choice(messages) if chance.random() < 0.8 else some_message(chance)
    first = chance.randrange(len(text) + 1)
    piece = text[first : first + chance.choice([3, 5, 9, 20, 60])]
    folded = piece.encode().upper() if chance.random() < 0.5 else piece.encode().lower()  # A-Z alone
    return folded.decode() or "nothing"


@settings(max_examples=100)
@given(SEEDS)
def test_a_search_finds_every_message_with_the_text(seed: int) -> None:
    """Whatever words a text is cut from, and wherever blocks end, the index leaves out no message that contains it."""
    chance = random.Random(seed)
    connection = database()
    try:
        add_task(connection, "a")
        messages = [some_message(chance) for _ in range(chance.choice([40, 300]))]
        stored = add_entries(
            connection, [entry("a", message) for message in messages], chance.choice([1, 1, 31, 128, 1500])
        )
        index(connection, lambda _segment: chance.random() < 0.9)
        connection.execute("UPDATE tasks SET last_seq = 1000000")
        for _ in range(30):
            texts = [some_search(chance, messages) for _ in range(chance.choice([1, 1, 1, 2, 25]))]
            query = EntryQuery(task_id="a", filter=LogFilter.parse([("search", text) for text in texts]), limit=1000)
            assert page(connection, query).cursors == [seq for _, seq, row in stored if query.filter.matches(row)], (
                texts
            )
    finally:
        connection.close()


@settings(max_examples=120)
@given(SEEDS, st.integers(1, 70))
def test_counts_are_what_the_model_says(seed: int, buckets: int) -> None:
    """Count, stats and histogram, kept by the writer or scanned, are those of counting a list; paging is ignored."""
    chance = random.Random(seed)
    connection, stored = filled(chance)
    try:
        for query in (some_query(chance) for _ in range(30)):
            rows = [record for _, _, record in matching(query, stored)]
            levels = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR"}
            by_level = {name: sum(levels[row.level] == name for row in rows) for name in levels.values()}
            assert count(connection, query) == len(rows), query
            assert stats(connection, query) == LogStats(
                total=len(rows),
                by_level=by_level,
                by_source=dict(Counter(row.source for row in rows)),
                by_stage=dict(Counter(row.stage or "" for row in rows)),
            )
            spans = histogram(connection, query, buckets)
            assert len(spans) <= buckets
            assert bool(spans) == bool(rows)
            if not rows:
                continue
            assert spans[0].start == min(row.timestamp for row in rows)
            assert spans[-1].start <= max(row.timestamp for row in rows) < spans[-1].end
            assert all(one.end == two.start for one, two in itertools.pairwise(spans))
            assert len({span.end - span.start for span in spans}) == 1
            for span in spans:
                inside = Counter(levels[row.level] for row in rows if span.start <= row.timestamp < span.end)
                assert span.counts == {name: inside[name] for name in levels.values()}
    finally:
        connection.close()


@settings(max_examples=50)
@given(SEEDS)
def test_stage_counts_are_what_the_model_says(seed: int) -> None:
    """Each label of a task's entries with its number, and within it each unit with its own."""
    connection, stored = filled(random.Random(seed))
    try:
        for task_id in TASKS:
            own = [record for _, _, record in stored if record.task_id == task_id and task_id != "gone"]
            found = {one.stage: (one.log_count, one.units) for one in stage_counts(connection, task_id, EVERYTHING)}
            labels = Counter(record.stage for record in own if record.stage)
            units = {
                stage: Counter(record.unit for record in own if record.stage == stage and record.unit)
                for stage in labels
            }
            assert found == {stage: (number, dict(units[stage])) for stage, number in labels.items()}
            for stage, counted in units.items():  # in order of appearance
                assert list(found[stage][1]) == list(counted)
    finally:
        connection.close()


TOKENS = ["1", "9007199254740993", "-9223372036854775808", "18446744073709551615", "1e3", "1000.0", "0.1", "-0.0"]
TOKENS += ["true", "null", '""', '"1"', '"null"', '"é"', '"É"', '"a%_\\\\\\""', '"\\u2028\U0001f600"', "[1]", '{"a":1}']
KEYS = ["a", "b", "c", "d", "e", "f", "g", "h", "", "a.b", "%", '"', "é"]
LABELS = [None, "", "x", "X", "\u212a", "k", "%", "_", "x" * 64]
TIMES = [0, 1, START, START + 1, MAX_TIMESTAMP - 1, MAX_TIMESTAMP]


def some_odd_entry(chance: random.Random) -> EntryRecord:
    """With metadata of many keys, labels that are like each other, and times at the ends."""
    chosen = chance.sample(KEYS, chance.randrange(9))
    metadata = ",".join(f"{orjson.dumps(key).decode()}:{chance.choice(TOKENS)}" for key in chosen)
    message = "".join(chance.choices(["aé", "AÉ", "K", "\u212a", "ß", "SS", "%", "_", "\\", "'", '"', "0\n"], k=6))
    stage, unit, step_id = (chance.choice(LABELS) for _ in range(3))
    data = orjson.dumps(orjson.loads(f"{{{metadata}}}")).decode() if chosen or chance.random() < 0.2 else None
    return entry(
        "a", message, timestamp=chance.choice(TIMES), stage=stage, unit=unit, step_id=step_id, metadata_json=data
    )


def some_condition(chance: random.Random, record: EntryRecord) -> tuple[str, str]:
    """One that mostly is true of the entry."""
    kind = chance.choice(["metadata"] * 6 + ["search", "search", "stage", "unit", "step_id", "since", "until"])
    if kind == "metadata":
        known: dict[str, Any] = orjson.loads(record.metadata_json or "{}")
        key = chance.choice([*known] or KEYS)
        text = known.get(key, 1)
        return f"metadata.{key}", text if isinstance(text, str) else orjson.dumps(text).decode()
    if kind == "search":
        first = chance.randrange(len(record.message))
        return kind, record.message[first : first + chance.choice([1, 3, 5])].encode().swapcase().decode()
    if kind in ("since", "until"):
        return kind, timestamp_text(min(record.timestamp + (kind == "until"), MAX_TIMESTAMP))
    return kind, getattr(record, kind) or ""


@settings(max_examples=15)
@given(SEEDS)
def test_any_number_of_odd_conditions(seed: int) -> None:
    """Conditions beyond those that are looked up, on numbers above 2**53, empty texts, patterns, letters that are alike
    and times at the ends mean what they mean without an index.
    """
    chance = random.Random(seed)
    connection = database()
    try:
        add_task(connection, "a")
        stored = add_entries(connection, [some_odd_entry(chance) for _ in range(200)], chance.choice([1, 100]))
        index(connection, lambda _segment: chance.random() < 0.9)
        connection.execute("UPDATE tasks SET last_seq = ?", (chance.choice([200, 1_000_000]),))
        for _ in range(25):
            about = chance.choice(stored)[2]
            pairs = [some_condition(chance, about) for _ in range(chance.choice([1, 2, 4, 8, 16]))]
            chosen = LogFilter.parse(pairs)
            expected = [(number, seq) for number, seq, row in stored if chosen.matches(row)]
            found = page(connection, EntryQuery(task_id="a", filter=chosen, limit=5000))
            assert found.cursors == [seq for _, seq in expected], pairs
            across = page(connection, EntryQuery(filter=chosen, limit=5000))
            assert across.cursors == [number for number, _ in expected], pairs
            assert count(connection, EntryQuery(task_id="a", filter=chosen)) == len(expected), pairs
            lines = [parse_entry(line) for line in found.lines]
            rows = {seq: row for _, seq, row in stored}
            assert [(one.stage, one.message, one.timestamp) for one in lines] == [
                (rows[one.seq].stage, rows[one.seq].message, rows[one.seq].timestamp) for one in lines
            ]
    finally:
        connection.close()
