"""Many at once are what each is alone."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from asynclog import bulk, values
from asynclog.redaction import REDACTOR, Redactor
from asynclog.texts import text

OWN = Redactor(["k[0-9]{6}"], ["colour"])
SECRETS = (
    *(
        "password=hunter2",
        "Bearer abcdefgh12345678",
        "https://user:secret@host/",
        "AKIAABCDEFGHIJKLMNOP",
        "--password x",
    ),
    *(
        "-----BEGIN PRIVATE KEY-----",
        "abc",
        "eyJhbGciOi.eyJzdWIi.abc",
        "token",
        "=abcdefghijklmnop",
        ": hunter2hunter2",
    ),
    *("-u", " me:you", "sk-", "_abcdefghijklmnop", "colour: red", "k123456", "a\0b", "\ud800", "\n", '","', ",", "\\n"),
)
words = st.lists(st.sampled_from(SECRETS) | st.text(max_size=3), max_size=4).map("".join)
scalars = words | st.integers(-(2**66), 2**66) | st.floats() | st.booleans() | st.none()
nested = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=6
)
few = st.lists(words, max_size=6)
redactors = st.sampled_from([REDACTOR, OWN])


def padded(found: list[Any], plain: Any, front: int) -> list[Any]:
    return [plain] * front + found + [plain] * (40 - front)


@given(few, st.integers(0, 40), redactors)
def test_texts(found: list[str], front: int, redactor: Redactor) -> None:
    """A text among others is kept as it is alone."""
    found = padded(found, "all is well", front)
    assert bulk.texts(found, redactor) == [redactor.redact(text(one)) for one in found]


@given(
    st.lists(st.dictionaries(words, scalars, max_size=4) | st.dictionaries(words, nested, max_size=3), max_size=5),
    st.integers(0, 40),
    redactors,
)
def test_metadata(found: list[dict[str, Any]], front: int, redactor: Redactor) -> None:
    """Metadata among others are the JSON text that they are alone."""
    found = padded(found, {"n": 1, "text": "well"}, front)
    assert bulk.metadata_texts(found, redactor) == [values.metadata_json(one, redactor=redactor) for one in found]


def test_large_ones() -> None:
    """What is long, wide, or too much together is looked at alone."""
    found: list[dict[str, Any]] = [{"a": "x" * 5000}, {"a": "é" * 1_100_000}, {str(n): n for n in range(70)}, {}]
    found += [{"a": "x" * 4000}] * 300
    assert bulk.metadata_texts(found, REDACTOR) == [values.metadata_json(one) for one in found]
    for one in found:
        assert bulk.metadata_texts([one], REDACTOR) == [values.metadata_json(one)]
    assert bulk.metadata_texts([], REDACTOR) == bulk.texts([], REDACTOR) == []
