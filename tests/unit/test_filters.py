"""What a filter accepts, refuses and means, parameter by parameter."""

from __future__ import annotations

import sqlite3
from typing import Any

import orjson
import pytest

from asynclog.errors import InvalidError
from asynclog.filters import (
    FILTER_PARAMETERS,
    MAX_CONDITIONS,
    MAX_SEARCH,
    NO_FILTER,
    LogFilter,
    is_filter_parameter,
)
from asynclog.model import Level, parse_timestamp
from asynclog.records import EntryRecord

NOON = parse_timestamp("2026-02-07T12:00:00Z")


def entry(
    message: str = "hello", *, level: int = 20, at: int = NOON, source: str = "plugin", **more: Any
) -> EntryRecord:
    """An entry with this and that."""
    metadata = more.get("metadata")
    return EntryRecord(
        task_id="task",
        timestamp=at,
        level=level,
        source=source,
        stage=more.get("stage"),
        unit=more.get("unit"),
        step_id=more.get("step_id"),
        message=message,
        metadata_json=None if metadata is None else orjson.dumps(metadata).decode(),
    )


def passes(record: EntryRecord, *pairs: tuple[str, str]) -> bool:
    """What the filter says of the entry; SQL and Python must say the same."""
    log_filter = LogFilter.parse(pairs)
    condition, params = log_filter.where()
    connection = sqlite3.connect(":memory:")
    try:
        row = (*(getattr(record, name) for name in record.__struct_fields__[1:]),)
        connection.execute(
            "CREATE TABLE task_logs (timestamp INTEGER, level TEXT, source TEXT, stage TEXT, unit TEXT, step_id TEXT,"
            " message TEXT, metadata_json TEXT)"
        )
        connection.execute(
            "INSERT INTO task_logs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (row[0], Level(row[1]).name, *row[2:])
        )
        [(count,)] = connection.execute(f"SELECT count(*) FROM task_logs WHERE {condition}", params)
    finally:
        connection.close()
    assert (count == 1) == log_filter.matches(record)
    return log_filter.matches(record)


def refusal(*pairs: tuple[str, str]) -> InvalidError:
    """The error that these pairs are answered with."""
    with pytest.raises(InvalidError) as caught:
        LogFilter.parse(pairs)
    return caught.value


def test_an_empty_filter_lets_everything_through() -> None:
    """No pairs give NO_FILTER, whose SQL is constant and whose predicate looks at nothing."""
    assert LogFilter.parse([]) == NO_FILTER
    assert NO_FILTER.where() == ("1", [])
    assert passes(entry())


@pytest.mark.parametrize(
    ("written", "level"),
    [("warn", "WARNING"), ("Fatal", "ERROR"), ("trace", "DEBUG"), ("35", "WARNING"), ("info", "INFO")],
)
def test_levels_are_read_as_people_write_them(written: str, level: str) -> None:
    """`level` and `min_level` take any case, the usual synonyms, and numbers by threshold."""
    assert LogFilter.parse([("level", written)]).pairs() == [("level", level)]
    assert LogFilter.parse([("min_level", written)]).pairs() == [("min_level", level)]


def test_level_is_exact_and_min_level_a_threshold() -> None:
    """`level` takes that one only, `min_level` it and the more severe; both together are ANDed."""
    assert [level.name for level in Level if passes(entry(level=level), ("level", "INFO"))] == ["INFO"]
    assert [level.name for level in Level if passes(entry(level=level), ("min_level", "WARNING"))] == [
        "WARNING",
        "ERROR",
    ]
    both = ("level", "INFO"), ("level", "ERROR"), ("min_level", "WARNING")
    assert [level.name for level in Level if passes(entry(level=level), *both)] == ["ERROR"]
    assert not passes(entry(), ("level", "INFO"), ("min_level", "ERROR"))


def test_different_parameters_are_anded_and_repeated_ones_ored() -> None:
    """Two units mean either of them; a unit and a stage mean both."""
    record = entry(unit="dash-7", stage="extract")
    assert passes(record, ("unit", "dash-7"), ("unit", "dash-8"))
    assert passes(record, ("unit", "dash-7"), ("stage", "extract"))
    assert not passes(record, ("unit", "dash-7"), ("stage", "load"))
    assert not passes(entry(), ("unit", "dash-7"))


def test_excluding_several_sources_excludes_each() -> None:
    """`exclude_source` repeated leaves out an entry of any of them."""
    pairs = ("exclude_source", "stdout"), ("exclude_source", "stderr")
    assert [s for s in ("plugin", "stdout", "stderr") if passes(entry(source=s), *pairs)] == ["plugin"]
    assert not passes(entry(source="stdout"), ("source", "stdout"), ("exclude_source", "stdout"))


def test_since_is_inclusive_and_until_exclusive() -> None:
    """An entry at exactly the time is inside `since` and outside `until`."""
    assert passes(entry(), ("since", "2026-02-07T12:00:00Z"))
    assert not passes(entry(at=NOON - 1), ("since", "2026-02-07T12:00:00Z"))
    assert not passes(entry(), ("until", "2026-02-07T12:00:00Z"))
    assert passes(entry(at=NOON - 1), ("until", "2026-02-07T13:00:00+01:00"))


def test_repeated_bounds_are_ored_too() -> None:
    """Of repeated `since`, `until` or `min_level` the widest decides, as OR means."""
    assert passes(entry(), ("since", "2027-01-01T00:00:00Z"), ("since", "2026-01-01T00:00:00Z"))
    assert passes(entry(), ("until", "2027-01-01T00:00:00Z"), ("until", "2026-01-01T00:00:00Z"))
    assert passes(entry(), ("min_level", "ERROR"), ("min_level", "INFO"))


@pytest.mark.parametrize("text", ["50%", "a_b", "c:\\dir", "it's", '"quoted"', "[x]", "*?", "é", "\\udc80", "\\x00"])
def test_every_character_of_a_search_is_plain(text: str) -> None:
    """A search finds exactly its characters; none of them is a wildcard or an escape."""
    assert passes(entry(f"before {text} after"), ("search", text))
    assert not passes(entry("before 50x aXb c:dir its quoted x zz e after"), ("search", text))


@pytest.mark.parametrize(
    ("search", "message", "found"),
    [
        ("HELLO", "say hello", True),
        ("straße", "STRAßE", True),
        ("é", "É", False),
        ("k", "\u212a", False),
        ("\u212a", "K", False),
        ("s", "\u017f", False),
        ("i", "\u0130", False),
    ],
)
def test_a_search_folds_a_to_z_alone(search: str, message: str, found: bool) -> None:
    """A-Z equals a-z; no other letters are the same, not É and é, not K and the Kelvin sign."""
    assert passes(entry(message), ("search", search)) is found


@pytest.mark.parametrize("search", ["\ufffd", "x\ufffe", "Y\uffff Z"])
@pytest.mark.parametrize("other", ["\ufffd", "\ufffe", "\uffff"])
def test_a_search_tells_apart_what_like_does_not(search: str, other: str) -> None:
    """SQLite's LIKE takes U+FFFD, U+FFFE and U+FFFF for one another; a search takes each for itself."""
    message = "".join(other if character in "\ufffd\ufffe\uffff" else character for character in search)
    assert passes(entry(f"a {message.lower()} b"), ("search", search)) is (message == search)


@pytest.mark.parametrize(
    ("search", "patterns"),
    [
        ("timeout in finished", ["%ut in finished%", "%timeout in finished%"]),
        ("Exception", ["%xception%", "%Exception%"]),
        ("é über", ["%ber%", "%é über%"]),
        ("ee_qq", ["%\\_qq%", "%ee\\_qq%"]),
        ("quit", ["%quit%"]),
        ("e", ["%e%"]),
        ("100%", ["%100\\%%"]),
    ],
)
def test_a_search_is_looked_for_by_its_rarest_character(search: str, patterns: list[str]) -> None:
    """Before the whole text, what begins at the rarest character of its first half: both are in each match."""
    assert LogFilter.parse([("search", search)]).where()[1] == patterns
    assert passes(entry(f"x {search.upper() if search.isascii() else search} x"), ("search", search))
    assert not passes(entry(patterns[0].strip("%")[:-1]), ("search", search))


def test_an_empty_search_asks_for_nothing() -> None:
    """Every message contains the empty text, so such a filter is the empty one."""
    assert LogFilter.parse([("search", ""), ("search", "x")]) == NO_FILTER


def test_the_longest_search_works_on_a_large_message() -> None:
    """1,000 characters of four bytes, all of them LIKE's specials' neighbours, are found in a message of 4 MB."""
    needle = "😀%" * (MAX_SEARCH // 2)
    assert passes(entry("x" * 4_000_000 + needle), ("search", needle))
    assert not passes(entry("x" * 4_000_000 + needle[:-1]), ("search", needle))


@pytest.mark.parametrize(
    ("metadata", "key", "value", "found"),
    [
        ({"a": "x"}, "a", "x", True),
        ({"a": "X"}, "a", "x", False),
        ({"a": 1}, "a", "1", True),
        ({"a": "1"}, "a", "1", True),
        ({"a": 1}, "a", "1.0", False),
        ({"a": 1.0}, "a", "1.0", True),
        ({"a": 1.0}, "a", "1", False),
        ({"a": 1000.0}, "a", "1e3", False),
        ({"a": 1000.0}, "a", "1000.0", True),
        ({"a": 2**64 - 1}, "a", "18446744073709551615", True),
        ({"a": 0.1 + 0.2}, "a", "0.30000000000000004", True),
        ({"a": True}, "a", "true", True),
        ({"a": True}, "a", "1", False),
        ({"a": None}, "a", "null", True),
        ({"b": None}, "a", "null", False),
        ({"a": "null"}, "a", "null", True),
        ({"a": []}, "a", "[]", False),
        ({"a": {}}, "a", "{}", False),
        ({"a": ["x"]}, "a", "x", False),
        ({"a": ["x"]}, "a.0", "x", False),
        ({"a": "x"}, "a", '"x"', False),
        ({"a": 1}, "a", "1-1", False),
        ({"a": 1}, "a", " 1", False),
        ({"a": 1}, "a", "01", False),
        (None, "a", "null", False),
    ],
)
def test_metadata_values_are_compared_as_text_of_one_kind(metadata: Any, key: str, value: str, found: bool) -> None:
    """A string matches as it is, a number, true, false and null by its JSON token, an object or array never."""
    assert passes(entry(metadata=metadata), (f"metadata.{key}", value)) is found


@pytest.mark.parametrize(
    ("metadata", "key", "found"),
    [
        ({"a.b": "x"}, "a.b", True),
        ({"a": {"b": "x"}}, "a.b", True),
        ({"a.b": "y", "a": {"b": "x"}}, "a.b", False),
        ({"a.b": None, "a": {"b": "x"}}, "a.b", False),
        ({"a": {"b": {"c": "x"}}}, "a.b.c", True),
        ({"a": {"b.c": "x"}}, "a.b.c", False),
        ({"b": "x", "a": {}}, "a.b", False),
        ({"a": "x"}, "a.b", False),
        ({"a": {"a": {"a": "x"}}}, "a.a", False),
        ({"": "x"}, "", True),
        ({"": {"": "x"}}, ".", True),
        ({'q"\\\n': "x"}, 'q"\\\n', True),
        ({'q"': {"[0]": "x"}}, 'q".[0]', True),
        ({"$": "x", "#-1": "y"}, "$", True),
        ({"é": "x"}, "É", False),
    ],
)
def test_a_metadata_key_is_literal_first_and_a_path_second(metadata: Any, key: str, found: bool) -> None:
    """The literal key decides where there is one; else dots separate the keys of nested objects."""
    assert passes(entry(metadata=metadata), (f"metadata.{key}", "x")) is found


@pytest.mark.parametrize(
    ("metadata", "key", "found"),
    [
        ({"a": {"b": None}}, "a.b", True),
        ({"a": {"b": {}}}, "a.b", False),
        ({"a": None, "b": None}, "a.b", False),
        ({"a.b": 1, "a": {"b": None}}, "a.b", False),
        ({'q"': {"": None}}, 'q".', True),
    ],
)
def test_null_is_a_value_and_absence_is_none(metadata: Any, key: str, found: bool) -> None:
    """``null`` finds a place that holds null, at the end of a path too, and never a place that is not there."""
    assert passes(entry(metadata=metadata), (f"metadata.{key}", "null")) is found


def test_repeated_metadata_keys_are_ored_and_different_ones_anded() -> None:
    """Two values of one key mean either; two keys mean both."""
    record = entry(metadata={"a": 1, "b": "x"})
    assert passes(record, ("metadata.a", "2"), ("metadata.a", "1"))
    assert passes(record, ("metadata.a", "1"), ("metadata.b", "x"))
    assert not passes(record, ("metadata.a", "1"), ("metadata.b", "y"))


def test_a_path_longer_than_any_metadata_is_a_literal_key() -> None:
    """A key with a hundred dots is no path, and no limit of SQLite's is met."""
    key = ".".join("a" * 100)
    assert passes(entry(metadata={key: "x", "n": None}), (f"metadata.{key}", "x"))
    assert not passes(entry(metadata={"a": "x"}), (f"metadata.{key}", "null"))


def test_a_filter_may_be_as_large_as_it_is_allowed_to_be() -> None:
    """The most conditions there may be, of the costliest kind, still compile in SQLite; one more is refused."""
    pairs = [("metadata.a.b", str(number)) for number in range(MAX_CONDITIONS)]
    assert passes(entry(metadata={"a": {"b": MAX_CONDITIONS - 1}}), *pairs)
    pairs = [(f"metadata.k{number}.b", "null") for number in range(MAX_CONDITIONS)]
    assert not passes(entry(metadata={"a": None}), *pairs)
    assert refusal(*pairs, ("search", "x")).parameter == "search"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("level", "LOUD"),
        ("level", ""),
        ("min_level", "-1"),
        ("since", "yesterday"),
        ("until", "1969-12-31T23:59:59Z"),
        ("since", "9999-12-31T23:59:59-23:00"),
        ("search", "x" * (MAX_SEARCH + 1)),
        ("search", "a\0b"),
        ("unit", "\udc80"),
        ("metadata.\udc80", "x"),
        ("metadata", "x"),
        ("metadata.KEY\0", "x"),
        ("colour", "red"),
        ("Level", "INFO"),
        ("", ""),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(name: str, value: str) -> None:
    """An unknown parameter or a bad value is an InvalidError that names it as written, in a sentence."""
    error = refusal((name, value))
    assert error.parameter == name
    assert len(str(error)) > 20


def test_an_unknown_parameter_is_told_the_known_ones() -> None:
    """The sentence lists every parameter there is."""
    message = str(refusal(("levle", "INFO")))
    assert all(name in message for name in FILTER_PARAMETERS)


def test_the_parameters_table_is_what_is_parsed() -> None:
    """Each name of FILTER_PARAMETERS is known to `parse`, and its own example names are told from a door's others."""
    values = {"level": "INFO", "min_level": "INFO", "since": "2026-01-01", "until": "2026-01-01"}
    for name, help_text in FILTER_PARAMETERS.items():
        assert is_filter_parameter(name)
        assert LogFilter.parse([(name, values.get(name, "x"))]) != NO_FILTER
        assert help_text.endswith(".")
    assert not any(is_filter_parameter(name) for name in ("limit", "after", "metadata", "metadatax", ""))


def test_the_json_form_takes_arrays_and_numbers() -> None:
    """The WebSocket's object means the same as pairs: arrays are repetitions, scalars of metadata their tokens."""
    mapping = {"level": ["INFO", 40], "search": "x", "metadata.n": [1, 1.0, True, None, "s"], "unit": [], "stage": 7}
    pairs = [("level", "INFO"), ("level", "40"), ("search", "x"), ("stage", "7")]
    pairs += [("metadata.n", token) for token in ("1", "1.0", "true", "null", "s")]
    assert LogFilter.parse_mapping(mapping) == LogFilter.parse(pairs)
    assert LogFilter.parse_mapping({}) == NO_FILTER
    assert not LogFilter.parse_mapping({"metadata.n": 2**70}).matches(entry(metadata={"n": str(2**71)}))


@pytest.mark.parametrize(
    ("mapping", "parameter"),
    [
        (None, "filter"),
        (["level"], "filter"),
        ({"level": True}, "level"),
        ({"unit": None}, "unit"),
        ({"unit": {"a": 1}}, "unit"),
        ({"metadata.a": [["x"]]}, "metadata.a"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_the_json_form_refuses_what_it_cannot_mean(mapping: object, parameter: str) -> None:
    """No object, or a value that is no scalar, is refused by name; null for a label is no way to say "any"."""
    with pytest.raises(InvalidError) as caught:
        LogFilter.parse_mapping(mapping)
    assert caught.value.parameter == parameter


def test_the_predicate_is_compiled_once() -> None:
    """A filter keeps its predicate, so looping over entries compiles nothing."""
    log_filter = LogFilter.parse([("search", "x"), ("level", "INFO")])
    assert log_filter.predicate is log_filter.predicate


def test_equal_filters_share_a_hash_however_they_were_written() -> None:
    """Order, repetition and spelling do not matter, so equal subscriptions can share their work."""
    one = LogFilter.parse([("unit", "b"), ("unit", "a"), ("level", "warn")])
    other = LogFilter.parse([("level", "WARNING"), ("unit", "a"), ("unit", "b"), ("unit", "a")])
    assert one == other
    assert len({one, other}) == 1
