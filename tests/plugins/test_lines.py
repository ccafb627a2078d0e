"""Bytes become the same lines however they are cut, and a line's own level is seen where it claims one."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynclog.plugins.lines import KEY_LINES, LONGEST, KeyCover, Line, LineSplitter, claimed_level

DATA = st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\r\n", "é".encode(), b"\xff", b"", b"word "]), max_size=30).map(
    b"".join
)


def split(*pieces: bytes) -> list[Line]:
    splitter = LineSplitter()
    lines = [line for piece in pieces for line in splitter.feed(piece)]
    return lines + splitter.finish()


@given(DATA, st.lists(st.integers(min_value=0, max_value=60), max_size=6))
@settings(max_examples=300)
def test_pieces(data: bytes, cuts: list[int]) -> None:
    """The lines do not depend on where the pieces end."""
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    assert split(*(data[start:end] for start, end in pairwise(bounds))) == split(data)


def test_endings() -> None:
    """LF, CRLF and CR end a line; a bare CR says that the next line takes its place."""
    assert split(b"a\nb\r\nc\rd") == [Line("a"), Line("b"), Line("c", passing=True), Line("d")]
    assert split(b"a\r") == [Line("a")]
    assert split(b"") == []


def test_long_lines() -> None:
    """A long line comes in pieces of bounded size, characters whole, nothing lost."""
    for unit in ("a", "é", "€", "😀"):
        whole = unit * (3 * LONGEST // len(unit.encode()) + 7)
        for lines in (
            split(whole.encode() + b"\n"),
            split(*(whole.encode()[at : at + 999] for at in range(0, 5 * LONGEST, 999))),
        ):
            assert "".join(line.text for line in lines) == whole
            assert all(len(line.text.encode()) <= LONGEST for line in lines)


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("ERROR: no disk", "ERROR"),
        ("[WARN] slow", "WARNING"),
        ("2026-02-07 12:00:00,123 INFO main: up", "INFO"),
        ("2026-02-07T12:00:00Z my.module WARNING slow", "WARNING"),
        ("[2026-02-07 12:00:00] app.ERROR", None),
        ("12:00:01 - FATAL - gone", "ERROR"),
        ("fatal: not a git repository", "ERROR"),
        ("make: error: no rule", "ERROR"),
        ("main.c: warning: unused", "WARNING"),
        ("\x1b[31mERROR\x1b[0m red", "ERROR"),
        ("Traceback (most recent call last):", "ERROR"),
        ("DEBUG:root:detail", "DEBUG"),
        ("no ERROR here", None),
        ("errors: 0", None),
        ("INFORMATION", None),
        ("", None),
        ("x" * 10_000 + " ERROR", None),
    ],
)
def test_claimed_level(line: str, level: str | None) -> None:
    """A level counts at the start of a line or after its time, and only as a word of its own."""
    assert claimed_level(line) == level


BEGIN, END = "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"
KEY = [BEGIN, "Proc-Type: 4,ENCRYPTED", "", "MIIEpAIBAAKCAQEA7x+/", "Zq7Vx93hLmT2w==", END]


def test_a_key_in_lines_is_covered() -> None:
    """A private key that comes line by line is covered to its end, and nothing after it; one that breaks off covers no
    line that could not be its own.
    """
    cover = KeyCover()
    shown = [cover.cover(line) for line in ["before", *KEY, "after", "Zq7Vx93hLmT2w=="]]
    assert shown == ["before", KEY[0], *["[redacted]"] * 5, "after", "Zq7Vx93hLmT2w=="]
    rest = [cover.cover(line) for line in [*KEY[:4], "INFO and so on", "word"]][3:]
    assert rest == ["[redacted]", "INFO and so on", "word"]
    assert sum(cover.cover(line) == "[redacted]" for line in [KEY[0], *["abc"] * 1000]) == KEY_LINES
    whole = " ".join(KEY)
    assert [cover.cover(whole), cover.cover("abc")] == [whole, "abc"]
