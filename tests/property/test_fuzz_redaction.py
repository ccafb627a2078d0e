"""Redaction under hostile text: it never raises, never takes more than linear time, and doing it twice is enough."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from asynclog.redaction import REDACTED, REDACTOR, Redactor, redact
from asynclog.redaction_rules import SHAPED, named, substituted
from asynclog.values import capture, normalise
from tests.property.fuzzing import JSON, PIECES, TEXTS, fuzz

OWN = Redactor(patterns=[r"EMP-\d{1,9}", r"\bx{3,40}+\b", r"(?i)iban ?\w{4,30}"], keys=["salary", "kunden-nr"])
SECRET = "Zq7Vx93hLmT2wKf8"
NAMES = st.sampled_from(
    ["password", "DB_PASS", "x-api-key", "Authorization", "refresh_token", "Cookie", "my_secret_key"]
)
SYNTAX = [*r"ab1\d\w.[]()|?*+{}^$", "{1,3}", "(?:", "(?=", "(?i)", "+?", "*+", r"\b", r"\1"]
SHORT = 3000
"""Characters."""
NOTHING = 0.01
"""Seconds that are too few to tell anything."""


@given(TEXTS)
@fuzz(400)
def test_twice_is_once(text: str) -> None:
    """Whatever the text, redacting never raises, and redacting the result changes nothing."""
    for redactor in (REDACTOR, OWN):
        once = redactor.redact(text)
        assert redactor.redact(once) == once
        assert redactor.suspects(text) or once is text


@given(TEXTS)
@fuzz(400)
def test_what_is_not_suspicious_holds_no_secret(text: str) -> None:
    """The quick look lets nothing through: where it sees nothing, no rule would have changed the text."""
    if not REDACTOR.suspects(text):
        for _, pattern, _ in SHAPED:
            assert pattern.search(text) is None, pattern.pattern
        if "=" in text or ":" in text:
            for _, pattern, _ in named():
                assert pattern.search(text) is None, pattern.pattern


@given(TEXTS, NAMES, st.sampled_from(["=", ": ", " = ", '": "', "': '", " := ", "=>"]), TEXTS)
@fuzz(300)
def test_a_named_secret_goes_wherever_it_stands(before: str, name: str, between: str, after: str) -> None:
    """What follows its name is gone, whatever is in front of it and behind it.

    But for a header without its end in front of it: the value of that goes on to the end of the line, or to a quote.
    """
    assume(not {"cookie", "authorization"} & set(re.findall("[a-z]+", before.lower())))
    text = f"{before} {name}{between}{SECRET} {after}"
    assert SECRET not in redact(text), ascii(text)


@given(JSON)
@fuzz(250)
def test_values_settle(value: object) -> None:
    """Any JSON is redacted to JSON that is not redacted any further, by our rules and by the user's."""
    for redactor in (REDACTOR, OWN):
        once = normalise(value, redactor=redactor)
        assert normalise(once, redactor=redactor) == once
        capture(value, 100, redactor)


@given(
    st.lists(st.sampled_from((*PIECES, " ", " ", "\n", "a=b", "@host")), min_size=30, max_size=60), st.integers(1, 30)
)
@fuzz(150)
def test_a_long_text_is_searched_in_windows(pieces: list[str], times: int) -> None:
    """A long text, searched a window at a time, loses the same secrets as in one go, wherever the windows end; but for
    what needs an end that is farther away than the windows overlap.
    """
    text = "".join(pieces) * times
    assume(not re.search(r"\S{400}", text))
    for _, pattern, replacement in (*named(), *SHAPED):
        expected = pattern.sub(replacement, text)
        assert substituted(pattern, replacement, text, window=800, margin=400) == expected, pattern.pattern


@pytest.mark.parametrize("gap", range(131_072 - 32_768 - 90, 131_072 - 32_768 + 20, 7))
def test_no_secret_is_lost_at_the_end_of_a_window(gap: int) -> None:
    """A secret that begins before the end of a window and ends behind it goes, and so does one longer than a window."""
    for secret in ("password=" + SECRET, "-----BEGIN RSA PRIVATE KEY-----\n" + SECRET * 20_000, f"://a:{SECRET}@host"):
        text = f"{'x ' * (gap // 2)} {secret} {'y ' * 200_000}"
        assert SECRET not in redact(text)


def _spent(text: str) -> float:
    """Seconds of this thread's CPU; the least of three, since others use the machine too."""
    found = []
    for _ in range(3):
        start = time.thread_time()
        for redactor in (REDACTOR, OWN):
            redactor.redact(text)
        found.append(time.thread_time() - start)
    return min(found)


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join), st.sampled_from(PIECES))
@fuzz(60)
def test_time_is_linear_in_the_text(piece: str, ending: str) -> None:
    """Any few pieces, over and over, and something at the end: eight times the text takes some eight times the time,
    and not sixty-four.
    """
    short, long = (piece * (size // len(piece)) + ending for size in (SHORT, 8 * SHORT))
    spent = _spent(long)
    assert spent < NOTHING or spent < 24 * _spent(short)


@given(st.lists(st.sampled_from(SYNTAX), max_size=9))
@fuzz(400)
def test_any_pattern_is_taken_or_refused(pieces: list[str]) -> None:
    """A pattern of the user is refused by a sentence, or taken, and then no text takes it more than linear time."""
    try:
        redactor = Redactor(patterns=["".join(pieces)])
    except ValueError as error:
        assert "pattern" in str(error)  # noqa: PT017  # nothing else is to be said
        return
    for hostile in ("a", "ab", "b", "1", "a1", "(", "ab1 "):
        redactor.redact(hostile * 300 + "\n!")


BOMBS = (r"(a+)+$", r"([a-z]+)*1", r"(a|a)+$", r"a*a*a*a*b", r"(.*)(.*)(.*)x", r"(?:a?){40}a{40}")


@pytest.mark.parametrize("pattern", BOMBS)
def test_known_bombs_are_refused(pattern: str) -> None:
    """The patterns that are known to explode are refused."""
    with pytest.raises(ValueError, match=r"could stop|nothing at all"):
        Redactor(patterns=[pattern])
    assert REDACTED not in REDACTOR.redact("a" * 50)
