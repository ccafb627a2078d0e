"""What comes from outside as text: NDJSON lines, filters, bytes with ANSI sequences. All of it is met, or refused."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynclog.cli import terminal
from asynclog.errors import InvalidError
from asynclog.filters import FILTER_PARAMETERS, LogFilter
from asynclog.logger import poses_as_system
from asynclog.model import Level
from asynclog.plugins.lines import LONGEST, LineSplitter, claimed_level
from asynclog.records import BatchRecord, EntryRecord
from asynclog.redaction import redact
from asynclog.rendering import text_of, visible_text
from asynclog.tasks.ingest import MAX_ERRORS, parse
from tests.property.fuzzing import JSON, PIECES, TEXTS, fuzz

SCHEMA = (Path(__file__).parents[2] / "schema.sql").read_text()
FIELDS = ("message", "level", "source", "timestamp", "stage", "unit", "metadata", "other")
LIKELY = {"source": TEXTS, "metadata": JSON, "level": st.sampled_from(["INFO", 40])}
LINES = st.one_of(
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=7).map(lambda line: json.dumps(line).encode()),
    st.fixed_dictionaries(
        {"message": TEXTS}, optional={"source": TEXTS, "metadata": JSON, "level": st.sampled_from(["INFO", 40])}
    ).map(lambda line: json.dumps(line).encode()),
    JSON.map(lambda value: json.dumps(value).encode()),
    TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass").replace(b"\n", b"")),
    st.binary(max_size=40).map(lambda data: data.replace(b"\n", b"")),
    st.just(b'{"message": "' + b"[" * 5000 + b'"}'),
    st.just(b'{"message": "x", "metadata": ' + b"[" * 3000 + b"]" * 3000 + b"}"),
    st.just(b'{"message": "x", "metadata": ' + b"9" * 5000 + b"}"),
    st.just(b'{"message": "x", "message": 1}'),
)
# Control characters, what turns the reading direction round and what cannot be seen, as Unicode has them.
UNSEEN = (0x200E, 0x202E, 0x2028, 0x2066, 0x200B, 0xFEFF, 0xE0041)
ACTING = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), *UNSEEN)]


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    """An empty database with our tables."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(SCHEMA)
    yield connection
    connection.close()


@given(st.lists(LINES, max_size=6), st.booleans(), st.sampled_from([0, 20, 40]), st.sampled_from([0, 100, 1 << 20]))
@fuzz(250)
def test_any_lines_are_taken_or_rejected(lines: list[bytes], ended: bool, threshold: int, limit: int) -> None:
    """Every line that is not empty is accepted, filtered or rejected; what is accepted can be stored, is bounded, holds
    no more secrets and is not from the system.
    """
    body = b"\n".join(lines) + (b"\n" if ended else b"")
    parsed = parse(body, 1_770_465_600_000_000, threshold, limit)
    kept = [line for part in BatchRecord("", parsed.parts, None, "").lines() for line in part.each()]
    given_lines = [line for line in body.split(b"\n") if line.strip()]
    assert parsed.accepted + parsed.filtered + parsed.rejected == len(given_lines)
    assert len(parsed.errors) == min(parsed.rejected, MAX_ERRORS)
    orjson.dumps(parsed.answer(1))
    assert sum(parsed.levels) == parsed.accepted == len(kept)
    for line in kept:
        line.message.encode()
        assert "\0" not in line.message
        assert redact(line.message) == line.message
        assert not limit or len(line.message.encode()) <= max(limit, 100)
        assert 0 < len(line.source) <= 64
        assert not poses_as_system(line.source)
        assert line.metadata_json is None or isinstance(json.loads(line.metadata_json), dict)


NAMES = st.one_of(st.sampled_from([*FILTER_PARAMETERS, "metadata.", "metadata.a.b", "metadata.$", "limit"]), TEXTS)


@given(st.lists(st.tuples(NAMES, TEXTS), max_size=5), TEXTS, JSON)
@fuzz(250)
def test_any_filter_works_or_names_what_is_wrong(
    database: sqlite3.Connection, pairs: list[tuple[str, str]], message: str, metadata: Any
) -> None:
    """A filter of any names and values is refused by name, or is a statement that SQLite runs and a predicate that
    answers; no value becomes a part of the statement.
    """
    try:
        found = LogFilter.parse(pairs)
    except InvalidError as error:
        assert str(error)  # noqa: PT017  # that it is a sentence, and of this kind, is the point
        return
    clause, values = found.where()
    database.execute(f"SELECT count(*) FROM task_logs WHERE {clause}", values)
    texts = [text for _, text in pairs if len(text) > 12 and not text.isalnum()]
    assert not any(text in clause for text in texts)
    text = message.encode("utf-8", "backslashreplace").decode()
    stored = orjson.dumps({"a": {"b": text}}).decode()
    assert found.matches(EntryRecord("t", 1, Level.INFO, "plugin", None, None, None, text, stored)) in (True, False)


@given(st.one_of(st.dictionaries(TEXTS | st.sampled_from([*FILTER_PARAMETERS]), JSON, max_size=4), JSON))
@fuzz(200)
def test_any_filter_of_a_socket_is_taken_or_refused(given_filter: Any) -> None:
    """Whatever JSON a WebSocket's client sends as a filter, it is refused by a sentence or means what its pairs do."""
    try:
        found = LogFilter.parse_mapping(given_filter)
    except InvalidError as error:
        assert str(error)  # noqa: PT017  # as above
        return
    assert LogFilter.parse(found.pairs()) == found


WRITTEN = st.one_of(TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(max_size=60))


@given(st.lists(WRITTEN, max_size=8), st.lists(st.integers(1, 30), min_size=1, max_size=5))
@fuzz(250)
def test_lines_do_not_depend_on_how_bytes_come(pieces: list[bytes], sizes: list[int]) -> None:
    """Bytes of any program, ANSI sequences and halves of characters among them, give the same lines in any portions,
    and each has a level or none.
    """
    data = b"".join(pieces)
    whole = LineSplitter()
    expected = [*whole.feed(data), *whole.finish()]
    splitter, found, start, turn = LineSplitter(), [], 0, 0
    while start < len(data):
        size = sizes[turn % len(sizes)]
        found += splitter.feed(data[start : start + size])
        start, turn = start + size, turn + 1
    assert [*found, *splitter.finish()] == expected
    for line in expected:
        assert "\n" not in line.text
        assert "\r" not in line.text
        assert claimed_level(line.text) in (None, "DEBUG", "INFO", "WARNING", "ERROR")


@given(st.binary(min_size=1, max_size=50), st.integers(1, 5))
@fuzz(30)
def test_a_line_without_an_end_is_bounded(piece: bytes, times: int) -> None:
    """A program that never ends its line makes no entry longer than the bound, and nothing it writes is lost."""
    data = piece.replace(b"\n", b"").replace(b"\r", b"") * (times * LONGEST // len(piece) + 1)
    splitter = LineSplitter()
    lines = [*splitter.feed(data), *splitter.finish()]
    assert all(len(line.text.encode("utf-8", "backslashreplace")) <= 4 * LONGEST for line in lines)
    assert "".join(line.text for line in lines).count("x") >= data.count(b"x")


@given(TEXTS, TEXTS, TEXTS, TEXTS, JSON)
@fuzz(250)
def test_an_entry_is_one_line_that_does_nothing(
    source: str, stage: str, unit: str, message: str, metadata: Any
) -> None:
    """As text an entry is one line without anything that acts on a terminal, whatever it says; only a traceback stands
    below, indented; and on a terminal nothing acting is left of any text.
    """
    stored = orjson.dumps({"a": json.dumps(metadata)}).decode()
    message = message.encode("utf-8", "backslashreplace").decode()
    line = text_of(1_770_465_600_123_456, "INFO", source or "p", stage or None, unit or None, message, stored)
    assert not any(character in line for character in ACTING)
    label = line[30:]
    assert label.index("]") == label.find("]")
    assert line[24:29] == "INFO "
    traced = orjson.dumps({"traceback": message}).decode()
    _, *below = text_of(1, "ERROR", "p", None, None, "m", traced).split("\n")
    assert all(row.startswith("    ") for row in below)
    shown = terminal.visible(message)
    assert not any(character in shown for character in ACTING if character not in "\t\n")
    assert terminal.visible(shown) == shown
    assert visible_text(visible_text(message)) == visible_text(message)


def test_both_escapers_know_the_same_characters() -> None:
    """What activity logs and what the command line escape on a terminal is the same, but for tab and newline."""
    for code in (*range(0x3000), *range(0xFD00, 0x10200), *range(0xE0000, 0xE0200)):
        if chr(code) in "\t\n":
            continue
        assert (visible_text(chr(code)) == chr(code)) == (terminal.visible(chr(code)) == chr(code)), hex(code)
    assert all(terminal.visible(piece) == piece or visible_text(piece) != piece for piece in PIECES)
