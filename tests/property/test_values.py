"""Whatever is logged ends up valid, storable, bounded and without its secrets, and doing it twice changes nothing."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import sqlite3
from collections.abc import Iterator
from typing import Any, NoReturn

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asynclog.redaction import REDACTOR, redact
from asynclog.texts import clean, cut, format_message, text
from asynclog.values import MAX_DEPTH, capture, metadata_json, normalise

CANARY = "zq7Vx93hLmT2wKf8"


class Bang(BaseException):
    """Not even an Exception."""


class Hostile:
    def __str__(self) -> NoReturn:
        raise Bang("\ud800")

    def __repr__(self) -> str:
        return "Hostile()"  # hypothesis shows its values


class Colour(enum.Enum):
    RED = "red\0"


class Point(msgspec.Struct):
    x: Any


@dataclasses.dataclass
class Box:
    content: Any


# Strings that break JSON, SQLite or the redaction's own patterns.
PIECES = [
    *("\0", "\udc80", "\ud800", "é", "😀", '"', "'", "\\", "\\u0000", "\n", "\u2028", "\x7f", "\x1b[0m", " "),
    *(
        "=",
        ":",
        "@",
        "/",
        "-",
        "--",
        "{",
        "}",
        "[",
        ",",
        "&",
        "%",
        "%s",
        "%d",
        "a",
        "Z",
        "0",
        "_",
        "null",
        "[redacted]",
    ),
    *("password", "token", "secret", "api_key", "Authorization", "Bearer ", "basic ", "://", "cookie", "AKIA", "ghp_"),
    *("-----BEGIN ", "PRIVATE KEY-----", "eyJ", "sk-", "xox"),
]
WILD = st.one_of(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), st.text(max_size=20))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=2**63 - 2, max_value=2**64 + 2),
    st.floats(),
    WILD,
    st.binary(max_size=20),
    st.decimals(),
    st.datetimes(timezones=st.none() | st.just(dt.UTC)),
    st.dates(),
    st.timedeltas(),
    st.uuids(),
    st.sampled_from(
        [Colour.RED, Hostile(), Hostile, ValueError("no\0"), decimal.Decimal("NaN"), iter([1]), 10**700, object()]
    ),
)
KEYS = st.one_of(WILD, st.integers(), st.none(), st.booleans(), st.floats(), st.binary(max_size=5), st.just(Colour.RED))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.tuples(inner, inner),
        st.dictionaries(KEYS, inner, max_size=5),
        st.builds(Point, inner),
        st.builds(Box, inner),
        st.frozensets(st.one_of(st.integers(), WILD), max_size=4),
    ),
    max_leaves=20,
)


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE stored (message TEXT NOT NULL, json TEXT CHECK (json_valid(json))) STRICT")
    yield database
    database.close()


def depth(value: Any) -> int:
    """Levels of containers in a JSON value."""
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


@given(VALUES)
@settings(max_examples=400)
def test_valid_json(connection: sqlite3.Connection, value: Any) -> None:
    """Any value is canonical JSON without NUL, that SQLite finds valid and gives back as it was."""
    for stored in (capture(value, 0), capture([value], 50), metadata_json({"k": value}), metadata_json(value)):
        if stored is None:
            continue
        assert orjson.dumps(orjson.loads(stored)).decode() == stored
        assert "\\u0000" not in stored.replace("\\\\", "")
        row = connection.execute("SELECT json_valid(?1), json(?1), length(?1)", (stored,)).fetchone()
        assert row[0] == 1
        assert row[2] == len(stored)
        connection.execute("INSERT INTO stored VALUES ('', ?)", (stored,))
    connection.rollback()


@given(VALUES)
@settings(max_examples=400)
def test_normalised_once(value: Any) -> None:
    """What is normalised is plain, stays as it is when normalised again, and is what metadata and capture hold."""
    once = normalise(value)
    assert normalise(once) == once
    assert depth(once) <= MAX_DEPTH
    assert orjson.loads(capture(value, 0)) == once
    assert orjson.loads(metadata_json({"k": value}) or "") == {"k": once}


@given(VALUES, st.integers(min_value=1, max_value=2000))
def test_capture_is_bounded(value: Any, limit: int) -> None:
    """A captured value is at most its limit, or the preview and a little."""
    assert len(capture(value, limit).encode()) <= max(limit, 1000 * 6 * 2 + 100)


@given(WILD)
@settings(max_examples=500)
def test_text(connection: sqlite3.Connection, value: str) -> None:
    """Any string becomes one that SQLite stores, finds again and gives back; doing it twice changes nothing."""
    stored = text(value)
    assert text(stored) == stored
    assert connection.execute("SELECT ?1, length(?1)", (stored,)).fetchone() == (stored, len(stored))
    assert stored == value or "\0" in value or any("\ud800" <= character <= "\udfff" for character in value)


@given(WILD, st.lists(SCALARS, max_size=4).map(tuple))
@settings(max_examples=500)
def test_format_message(message: str, args: tuple[Any, ...]) -> None:
    """No message and no arguments raise; where plain formatting works the result is that of plain formatting."""
    result = format_message(message, args)
    assert text(result) == result
    try:
        plain = message % args if args else message
    except BaseException:
        assert "do not fit" in result
    else:
        assert result == text(plain)


@given(WILD.map(lambda value: value * 20), st.integers(min_value=0, max_value=500))
@settings(max_examples=400)
def test_cut(value: str, limit: int) -> None:
    """Never longer than the limit, never cut twice, and the size it names is the original's."""
    value = text(value)
    result, size = cut(value, limit)
    if limit == 0 or len(value.encode()) <= limit:
        assert (result, size) == (value, None)
    else:
        assert len(result.encode()) <= limit
        assert size == len(value.encode())
        assert cut(result, limit) == (result, None)
    assert limit == 0 or len(clean(value, limit)[0].encode()) <= limit


@given(WILD.map(text))
@settings(max_examples=1000)
def test_redaction_settles(value: str) -> None:
    """Redacting twice is redacting once, and text that is not suspected is not changed."""
    once = redact(value)
    assert redact(once) == once
    if not REDACTOR.suspects(value):
        assert once is value


# Every way in which a secret is known as one; the letters round it are arbitrary.
SECRETS = st.sampled_from(
    [
        f"password={CANARY}",
        f"password: '{CANARY}'",
        f'"client_secret": "{CANARY}"',
        f"api-key = {CANARY}",
        f"access_token={CANARY}",
        f"Authorization: Bearer {CANARY}",
        f"Bearer {CANARY}",
        f"https://user:{CANARY}@host/path",
        f"-----BEGIN EC PRIVATE KEY-----\n{CANARY}\n-----END EC PRIVATE KEY-----",
        f"ghp_{CANARY}{CANARY}",
        f"--password {CANARY}",
    ]
)
ROUND = st.text(st.characters(exclude_characters="[", exclude_categories=["Cs"]), max_size=30)
HIDING_KEYS = st.sampled_from(["password", "DB_PASSWORD", "apiKey", "Authorization", "secret", "my-token", "cookie"])


@given(ROUND, SECRETS, ROUND, st.integers(min_value=0, max_value=200))
@settings(max_examples=600)
def test_no_secret_in_text(before: str, secret: str, after: str, limit: int) -> None:
    """A secret in a message does not survive, whatever stands round it and wherever the text is cut."""
    message = f"{before} {secret} {after}"
    assert CANARY not in redact(message)
    assert CANARY not in clean(message, limit)[0]
    assert CANARY not in str(
        metadata_json({"text": message, message: 1, "set": {message}, "error": ValueError(message)})
    )
    assert CANARY not in capture({"n": [{"text": message}, message.encode()]}, limit)


@given(VALUES, HIDING_KEYS, VALUES, st.integers(min_value=0, max_value=200))
@settings(max_examples=300)
def test_no_secret_under_its_key(beside: Any, key: str, inside: Any, limit: int) -> None:
    """What stands under a secret key is not stored, whatever it is and whatever stands beside it."""
    value = {"a": beside, key: {"x": CANARY, "y": [inside, CANARY]}, "b": [{key: CANARY}, Point({key: (CANARY, 1)})]}
    assert CANARY not in capture(value, limit)
    assert CANARY not in str(metadata_json(value, limit))
