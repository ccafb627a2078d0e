"""Lines of a batch into entries."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynclog.records import BatchRecord, Line
from asynclog.redaction import REDACTOR
from asynclog.tasks.ingest import Parsed, parse, parse_in_turns
from asynclog.tasks.ndjson import PIECE_BYTES

NOW = 1_770_465_600_000_000
SECRETS = (
    "password=hunter2",
    "Authorization: Bearer abcdefgh12345678",
    "https://user:secret@host/",
    "AKIAABCDEFGHIJKLMNOP",
    "--password x",
    "-----BEGIN PRIVATE KEY-----\nabc",
    "eyJhbGciOi.eyJzdWIi.abc",
    "token",
    "=abcdefghijklmnop",
    ": hunter2hunter2",
    "a\0b",
    "\ud800",
    "x" * 300,
)
texts = st.lists(st.sampled_from(SECRETS) | st.text(max_size=5), max_size=4).map("".join)
lines = st.fixed_dictionaries(
    {"message": texts},
    optional={
        "level": st.sampled_from(["info", "INFO", "WARN", "fatal", "no level", 35, 1, True, None, [1]]),
        "source": texts | st.sampled_from(["system", "", 1, 1.0, True, None, [1], {"a": 1}]),
        "stage": texts | st.sampled_from(["extract", "", 1, True, None, [1]]),
        "unit": texts | st.integers() | st.none(),
        "timestamp": st.sampled_from(["2026-02-07T12:00:00.123456Z", "2026-02-07T12:00:00Z", "nonsense", None, 5]),
        "metadata": st.dictionaries(texts, texts, max_size=2) | st.just(3),
    },
)


def body(*given_lines: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in given_lines)


def lines_of(parsed: Parsed) -> list[Line]:
    return [line for part in BatchRecord("", parsed.parts, None, "").lines() for line in part.each()]


@given(st.lists(lines, max_size=8), st.booleans())
def test_a_line_is_what_it_is_alone(batch: list[dict[str, Any]], padded: bool) -> None:
    """Whatever stands beside it in the batch, a line gives the entry, or the rejection, that it gives alone."""
    if padded:
        batch = [{"message": "m"}] * (62) + batch
    together = parse(body(*batch), NOW, 20, 1000)
    alone = [parse(body(line), NOW, 20, 1000) for line in batch]
    assert lines_of(together) == [line for parsed in alone for line in lines_of(parsed)]
    assert together.accepted == len(lines_of(together))
    assert together.rejected == sum(parsed.rejected for parsed in alone)
    assert together.filtered == sum(parsed.filtered for parsed in alone)
    assert together.levels == [sum(levels) for levels in zip(*(parsed.levels for parsed in alone), strict=True)] or (
        not batch
    )
    named = [number for number, parsed in enumerate(alone, 1) if parsed.rejected]
    assert [error["line"] for error in together.errors] == named[:100]


PARTS = (
    *(
        b'{"message":"a"}',
        b'{"message":',
        b'"a"}',
        b'{"message": "a", "metadata": {}',
        b'{"message":"a","metadata":',
        b"{}",
    ),
    *(b"}", b"{", b"[", b"]", b",", b":", b'"', b"null", b"1", b"x", b"\\", b"\0", b"\xff", b"\xef\xbb\xbf"),
    *(b"\n", b"\n", b"\n", b"\r\n", b"\r", b" ", b"\t", b"\v", b"\x85", b"\xe2\x80\xa8"),
    *(
        b'{"message":"\\ud800"}',
        b'{"message":"a","x":NaN}',
        b'{"message":"a\nb"}',
        b'{"message":"}\n{"}',
        b'{"message":1}',
    ),
    *(b'{"message":"a","level":1e999}', b'{"message":"a","level":' + b"9" * 5000 + b"}", b'{"message":"a","x":"\xff"}'),
    *(b'{"message":"a","level":' + b"[" * depth + b"]" * depth + b"}" for depth in (1, 900, 5000)),
    *(b'{"message":"a","metadata":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}" for depth in (1, 100, 5000)),
    *(
        b'{"message":"a","timestamp":"%s"}' % time
        for time in (b"2026-02-07T12:00:00.123456Z", b"0001-01-01", b"x" * 5000)
    ),
)
"""What bodies are made of that somebody made wrongly, or on purpose."""


HALVES = (b'{"message":', b'"a"}')
LINES = (b"", b"", b"".join(HALVES), b"".join(HALVES) * 2, *HALVES)


@given(
    st.lists(st.sampled_from(LINES), max_size=4).map(b"\n".join)
    | st.lists(st.sampled_from(PARTS), max_size=30).map(b"".join)
    | st.binary(max_size=40),
    st.booleans(),
)
def test_the_verdict_on_a_line_is_its_own(hostile: bytes, padded: bool) -> None:
    """Whatever bytes stand on the lines before and behind it, each line is taken, filtered or refused as it is alone,
    for the same reason: lines that hold two objects, or a part of one, do not make up for each other.
    """
    if padded:
        hostile = b'{"message":"m"}\n' * 600 + hostile
    together = parse(hostile, NOW, 20, 1000)
    alone = {number: parse(line, NOW, 20, 1000) for number, line in enumerate(hostile.split(b"\n"), 1)}
    assert lines_of(together) == [line for parsed in alone.values() for line in lines_of(parsed)]
    assert together.filtered == sum(parsed.filtered for parsed in alone.values())
    assert together.errors == [
        {"line": number, "error": parsed.errors[0]["error"]} for number, parsed in alone.items() if parsed.rejected
    ]
    assert together.rejected == len(together.errors)


@pytest.mark.parametrize(
    ("two_on_a_line", "rejected"),
    [
        (b'{"message":"a"}{"message":"b"}\n', [1]),
        (b'{"message":"a"}{"message":"b"}\n\n', [1]),
        (b'{"message":"a"}{"message":"b"}\n{"message":\n"c"}\n', [1, 2, 3]),
        (b'{"message":"a"}\r{"message":"b"}\n \n', [1]),
        (b'{"message":"a","metadata":{}\n}{"message":"b"}', [1, 2]),
    ],
)
def test_two_objects_on_a_line_are_none(two_on_a_line: bytes, rejected: list[int]) -> None:
    """Two objects on a line are refused, also where an empty line, or one on two lines, makes up for the count."""
    parsed = parse(two_on_a_line, NOW, 20, 1000)
    assert (parsed.accepted, [error["line"] for error in parsed.errors]) == (0, rejected)


@pytest.mark.parametrize("before", range(PIECE_BYTES - 12 - 15, PIECE_BYTES - 12 + 2))
@pytest.mark.parametrize("odd", [b"NaN", b"-Infinity", b"1e999", b"9" * 20, b'"\\ud800"'])
def test_what_is_odd_is_found_in_a_long_line(odd: bytes, before: int) -> None:
    """What Python's json alone reads is read wherever it stands in a line, however long that is."""
    line = b'{"message":"' + b"x" * before + b'","x":' + odd + b',"y":"' + b"x" * 2 * PIECE_BYTES + b'"}'
    assert parse(line, NOW, 20, 1000).accepted == 1


def kept(*given_lines: dict[str, Any], limit: int = 1 << 20) -> list[Line]:
    """The entries of a batch."""
    return lines_of(parse(body(*given_lines), NOW, 20, limit))


def test_who_poses_as_the_system() -> None:
    """Only a source that people would take for ours becomes `plugin`, with its claim beside its own metadata."""
    sources = ("api", "system", None, "SYSTEM", "api", "s\u0443stem")
    entries = kept(*({"message": "x", "source": source, "metadata": {"n": 1}} for source in sources))
    assert [entry.source for entry in entries] == ["api", "plugin", "plugin", "plugin", "api", "plugin"]
    claims = [json.loads(entry.metadata_json or "") for entry in entries]
    assert [claim.pop("claimed_source", None) for claim in claims] == [None, "system", None, "SYSTEM", None, sources[5]]
    assert claims == [{"n": 1}] * 6
    assert [(entry.source, entry.metadata_json) for entry in kept({"message": "x", "source": "system"})] == [
        ("plugin", '{"claimed_source":"system"}')
    ]


@pytest.mark.parametrize("field", ["source", "stage", "unit"])
def test_what_is_equal_is_not_the_same(field: str) -> None:
    """Labels that Python takes for equal are each kept as they were written, also beside one that is no key."""
    for extra in ([], [[1]]):
        values = [1, True, 1.0, "1", *extra, 1.0, True, 1]
        entries = kept(*({"message": "x", field: value} for value in values))
        shown = ["1", "True", "1.0", "1", *map(str, extra), "1.0", "True", "1"]
        assert [getattr(entry, field) for entry in entries] == shown


def test_a_long_message_is_cut_and_says_so() -> None:
    """A message over the limit keeps head and tail, with its size beside its own metadata; others stay as they are."""
    long, short = "begin" + "x" * 5000 + "end", "é" * 200
    first, second, third = kept(
        {"message": long, "metadata": {"n": 1}}, {"message": short, "metadata": {"n": 2}}, {"message": long}, limit=400
    )
    assert first.message.startswith("begin")
    assert first.message.endswith("end")
    assert len(first.message.encode()) <= 400
    assert (first.metadata_json, third.metadata_json) == (
        '{"n":1,"original_size":5008}',
        '{"original_size":5008}',
    )
    assert (second.message, second.metadata_json) == (short, '{"n":2}')
    assert [entry.message for entry in kept({"message": long}, limit=0)] == [long]


def test_lines_end_as_elsewhere_too() -> None:
    """Lines that end as on Windows, the last one without an end and empty ones between are read; the numbers hold."""
    parsed = parse(b'{"message":"a"}\r\n{"message":"b"}\r\n\r\nx\r\n{"message":"c"}', NOW, 20, 1000)
    assert [line.message for line in lines_of(parsed)] == ["a", "b", "c"]
    assert [error["line"] for error in parsed.errors] == [4]


def test_what_is_told_of_a_line_is_short() -> None:
    """However large or deep the value is that is wrong, it is told in a sentence, and other lines are taken."""
    for value in (b'"%s"' % (b"x" * 100_000), b"[" * 900 + b"]" * 900, b'{"a":"x"}'):
        for field in (b"level", b"timestamp"):
            parsed = parse(b'{"message":"a","%s":%s}\n{"message":"b"}' % (field, value), NOW, 20, 1000)
            assert (parsed.accepted, parsed.rejected) == (1, 1)
            assert len(str(parsed.errors[0]["error"])) < 250


def test_a_body_of_several_pieces() -> None:
    """However large the body is, its lines keep their order, and what is wrong with one has its number."""
    size = 3 * PIECE_BYTES // 30
    given_lines: list[dict[str, Any]] = [{"message": f"{number} {'x' * 20}"} for number in range(1, size + 1)]
    wrong = (1, size // 3, size // 2, size)
    for number in wrong:
        given_lines[number - 1]["level"] = "loud"
    given_lines[size // 4]["level"] = "DEBUG"
    parsed = parse(body(*given_lines)[:-1], NOW, 20, 1000)
    assert len(parsed.parts) > 3
    assert tuple(error["line"] for error in parsed.errors) == wrong
    kept = [line for line in given_lines if "level" not in line]
    assert [line.message for line in lines_of(parsed)] == [line["message"] for line in kept]
    assert (parsed.accepted, parsed.filtered, parsed.rejected) == (len(kept), 1, len(wrong))
    assert parsed.levels == [0, 0, len(kept), 0, 0]


@pytest.mark.parametrize("message", ["all is well", "password=hunter2 " * 7, "x" * 3 * PIECE_BYTES])
async def test_the_loop_goes_on(message: str) -> None:
    """A body that is read in turns, or in a thread because it takes long, is what it is at once; others get turns."""
    given_lines = body(*[{"message": f"{number} {message}"} for number in range(6 * PIECE_BYTES // len(message) + 2)])
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    running = asyncio.create_task(other())
    parsed = await parse_in_turns(given_lines, NOW, 20, 1 << 20, REDACTOR)
    running.cancel()
    expected = parse(given_lines, NOW, 20, 1 << 20)
    assert parsed.answer(1) == expected.answer(1)
    assert lines_of(parsed) == lines_of(expected)
    assert turns >= len(parsed.parts) - 1 >= 2
