"""A filter means the same in SQL and in Python, whatever the entries and the filter contain."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asynclog.filters import FILTER_PARAMETERS, LogFilter
from asynclog.model import Level
from asynclog.records import EntryRecord
from asynclog.store.proposal import spans
from tests.unit.store import rows

SCHEMA = (Path(__file__).parents[2] / "schema.sql").read_text()

# Small pieces that break naive escaping, folding or tokens; few enough that entries and filters often share them.
PIECES = [
    *"aAbBzZKkIéÉß😀%_'\"`.[]{}$:, \\\n\t@?*10n",
    *(
        "\u212a",
        "\u017f",
        "\u0131",
        "\u0130",
        "\u03c3",
        "\u03c2",
        "\u03a3",
        "e\u0301",
        "\u2028",
        "\ufeff",
        "\x7f",
        "\x01",
    ),
    *("\ufffd", "\ufffe", "\uffff"),
    *("\U00010400", "\U00010428", "\\x00", "\\udc80", "\\u0041", "1.0", "1e3", "1000.0", "true", "null", "a.b"),
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=4).map("".join)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
MESSAGES = st.one_of(TEXTS, ANY_TEXT, TEXTS.map(lambda text: text * 3000 + "end"))
LABELS = st.sampled_from(["", "a", "A", "é", "É", "x'y", "%", "null", "1"])
KEYS = st.sampled_from(
    ["a", "b", "a.b", "a.b.c", "", ".", "a.", ".a", 'q"', "s\\", "c\n", "[0]", "$", "é", "É", "K", "0", "#-1"]
)
NUMBERS = [
    0,
    1,
    -1,
    10,
    1.0,
    -0.0,
    1e3,
    1000,
    0.1,
    1e22,
    1.5e300,
    5e-324,
    0.1 + 0.2,
    2**53 + 1,
    2**63 - 1,
    -(2**63),
    2**64 - 1,
]
SCALARS = st.one_of(
    TEXTS,
    st.sampled_from([None, True, False, "true", "false", "null", "1", "1.0", "1e3", '"a"', "[]", "{}", ""]),
    st.sampled_from(NUMBERS),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**63), 2**64 - 1),
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
TIMES = st.integers(0, 20).map(lambda second: 1_770_465_600_000_000 + second * 500_000)

RECORDS = st.builds(
    EntryRecord,
    task_id=st.just("task"),
    timestamp=TIMES,
    level=st.sampled_from([int(level) for level in Level]),
    source=st.sampled_from(["plugin", "system", "Plugin", "é", "x'y"]),
    stage=st.none() | LABELS,
    unit=st.none() | LABELS,
    step_id=st.none() | LABELS,
    message=MESSAGES,
    metadata_json=st.none() | st.dictionaries(KEYS, JSON, max_size=4).map(lambda data: orjson.dumps(data).decode()),
)

NAMES = [name for name in FILTER_PARAMETERS if "." not in name] + ["search"] + ["metadata"] * 4


def iso(microseconds: int) -> str:
    """A time as a client might write it."""
    seconds, rest = divmod(microseconds - 1_770_465_600_000_000, 1_000_000)
    return f"2026-02-07T12:00:{seconds:02d}.{rest:06d}Z"


@st.composite
def metadata_pairs(draw: st.DrawFn, records: list[EntryRecord]) -> tuple[str, str]:
    """A metadata condition: mostly one that some entry meets."""
    places = [
        place for record in records if record.metadata_json for place in leaves(orjson.loads(record.metadata_json))
    ]
    if draw(st.integers(0, 3)) and places:
        key, value = draw(st.sampled_from(places))
    else:
        key, value = draw(KEYS), draw(SCALARS)
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return f"metadata.{key}", text


def leaves(data: Any, path: tuple[str, ...] = ()) -> list[tuple[str, Any]]:
    """Every scalar in a metadata object, with its place written as a dotted path."""
    if not isinstance(data, dict):
        return [] if isinstance(data, list) else [(".".join(path), data)]
    return [leaf for key, value in data.items() for leaf in leaves(value, (*path, key))]


@st.composite
def filters_for(draw: st.DrawFn, records: list[EntryRecord]) -> LogFilter:
    """A filter with up to five conditions, many of them about what the records contain."""
    messages = [record.message for record in records]

    def pair() -> tuple[str, str]:
        name = draw(st.sampled_from(NAMES))
        if name in ("level", "min_level"):
            return name, draw(st.sampled_from(["debug", "INFO", "warn", "ERROR", "35"]))
        if name in ("source", "exclude_source"):
            return name, draw(st.sampled_from(["plugin", "system", "PLUGIN", "É", "x'y", ""]))
        if name in ("stage", "unit", "step_id"):
            return name, draw(LABELS)
        if name in ("since", "until"):
            return name, iso(draw(TIMES))
        if name == "metadata":
            return draw(metadata_pairs(records))
        if draw(st.booleans()) and messages:
            message = draw(st.sampled_from(messages))
            start = draw(st.integers(0, max(0, len(message) - 1)))
            part = message[start : start + draw(st.integers(1, 1000))]
            return name, draw(st.sampled_from([part, part.upper(), part.lower(), part.swapcase()]))[:1000]
        return name, draw(TEXTS)

    return LogFilter.parse([pair() for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 3, 5])))])


def database(records: list[EntryRecord]) -> sqlite3.Connection:
    """The entries in a database of the real schema, numbered from 1."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(SCHEMA)
    connection.execute(
        "INSERT INTO tasks (id, name, plugin, status, created_at) VALUES ('task', 't', 'p', 'running', 0)"
    )
    connection.executemany(
        "INSERT INTO task_logs (task_id, seq, timestamp, level, source, stage, unit, step_id, message, metadata_json)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                r.task_id,
                seq,
                r.timestamp,
                Level(r.level).name,
                r.source,
                r.stage,
                r.unit,
                r.step_id,
                r.message,
                r.metadata_json,
            )
            for seq, r in enumerate(records, 1)
        ],
    )
    return connection


def selected(connection: sqlite3.Connection, log_filter: LogFilter) -> list[int]:
    condition, params = log_filter.where()
    return [row[0] for row in connection.execute(f"SELECT seq FROM task_logs WHERE {condition} ORDER BY seq", params)]


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_sql_and_predicate_choose_the_same_entries(data: st.DataObject) -> None:
    """For any entries and any filter, `where` on SQLite and `matches` in Python pick exactly the same entries."""
    records = data.draw(st.lists(RECORDS, min_size=1, max_size=20))
    connection = database(records)
    try:
        for _ in range(8):
            log_filter = data.draw(filters_for(records))
            matching = [seq for seq, record in enumerate(records, 1) if log_filter.matches(record)]
            assert selected(connection, log_filter) == matching, log_filter.pairs()
    finally:
        connection.close()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_index_never_leaves_out_what_matches(data: st.DataObject) -> None:
    """For any entries and any filter, what matches lies within the ids that the block index proposes."""
    records = data.draw(st.lists(RECORDS, min_size=1, max_size=20))
    connection = rows.database()
    try:
        rows.add_task(connection, "task")
        stored = rows.add_entries(connection, records, step=100)
        rows.index(connection)
        for _ in range(8):
            log_filter = data.draw(filters_for(records))
            proposed = spans(connection, log_filter, 0, stored[-1][0], 10**9)
            for record_id, _, record in stored:
                if proposed is not None and log_filter.matches(record):
                    assert any(low <= record_id <= high for low, high in proposed), log_filter.pairs()
    finally:
        connection.close()


LONGER = st.lists(st.sampled_from(PIECES), min_size=3, max_size=12).map("".join)


@settings(max_examples=100, deadline=None)
@given(st.lists(LONGER, min_size=1, max_size=10), st.data())
def test_the_index_proposes_every_message_with_a_text(messages: list[str], data: st.DataObject) -> None:
    """Whatever part of a message is searched for, in whatever case, an entry with it lies in what is proposed."""
    records = [EntryRecord("task", 0, 20, "plugin", None, None, None, message, None) for message in messages]
    connection = rows.database()
    try:
        rows.add_task(connection, "task")
        stored = rows.add_entries(connection, records, step=200)
        rows.index(connection)
        for message in messages:
            start = data.draw(st.integers(0, len(message) - 3))
            part = message[start : start + data.draw(st.integers(3, 20))]
            for search in (part, part.upper(), part.lower(), part.swapcase()):
                log_filter = LogFilter(searches=(search,))
                proposed = spans(connection, log_filter, 0, stored[-1][0], 10**9)
                if proposed is None:
                    continue
                for record_id, _, record in stored:
                    found = any(low <= record_id <= high for low, high in proposed)
                    assert found or not log_filter.matches(record), (search, record.message)
    finally:
        connection.close()


@settings(max_examples=300, deadline=None)
@given(st.lists(RECORDS, min_size=1, max_size=3).flatmap(filters_for))
@example(LogFilter())
def test_pairs_and_the_json_form_read_back_to_an_equal_filter(log_filter: LogFilter) -> None:
    """`parse(filter.pairs())` and the WebSocket's JSON form of the same pairs are equal filters and hash alike."""
    pairs = log_filter.pairs()
    again = LogFilter.parse(pairs)
    assert again == log_filter
    assert hash(again) == hash(log_filter)
    assert again.where() == log_filter.where()
    mapping: dict[str, list[str]] = {}
    for name, value in pairs:
        mapping.setdefault(name, []).append(value)
    assert LogFilter.parse_mapping(orjson.loads(orjson.dumps(mapping))) == log_filter


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(KEYS, JSON, max_size=5), KEYS, SCALARS)
def test_a_metadata_condition_means_what_its_definition_says(data: dict[str, Any], key: str, value: Any) -> None:
    """metadata.KEY=VALUE holds when the literal key KEY, or where there is none the dotted path, has that scalar."""
    wanted = value if isinstance(value, str) else orjson.dumps(value).decode()
    place: Any = data
    if key in data:
        place = data[key]
    else:
        for name in key.split("."):
            place = place[name] if isinstance(place, dict) and name in place else []
    token = (
        place if isinstance(place, str) else None if isinstance(place, dict | list) else orjson.dumps(place).decode()
    )
    record = EntryRecord("t", 0, 20, "plugin", None, None, None, "m", orjson.dumps(data).decode())
    assert LogFilter.parse([(f"metadata.{key}", wanted)]).matches(record) == (token == wanted)
