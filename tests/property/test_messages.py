"""What is known of a message's template in advance is what looking at the whole text would find."""

from enum import IntFlag
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from asynclog.redaction import REDACTOR, Redactor
from asynclog.texts import clean, compose, format_message


class Flag(IntFlag):
    """A number of a type of its own."""

    A = 1


class Failing:
    """No number after all."""

    def __int__(self) -> int:
        raise KeyError("no int")

    __float__ = __index__ = __int__


OWN = Redactor(keys=["information", "nonesuch"], patterns=["EMP-[0-9]{1,9}"])
PIECES = (
    "%d %s %i %r %.2f %f %e %g %05d %.30s %5d %-9d %+d %c %x %X %% %"
    " password pass word = : secret token tok en bearer Basic sk - -- glpat eyJ AKIA A B _ :// @ authoriz ation"
    " EMP inf nan informat ion None such charts fetched key api"
).split(" ")
templates = st.lists(st.sampled_from([*PIECES, " ", "\n", "\0", "\ud800", "é"]), max_size=8).map("".join)
numbers = st.integers() | st.floats() | st.booleans() | st.none() | st.integers(-(10**25), 10**25)
others = st.decimals() | st.sampled_from(["", "password=hunter2", "sk-", b"3", Flag.A, Failing()])
arguments = st.lists(numbers | others, max_size=4)


@settings(max_examples=500)
@given(templates, arguments, st.sampled_from([100, 1 << 20]), st.sampled_from([REDACTOR, OWN]))
@example("sk%d", [-12345678901234567890], 1 << 20, REDACTOR)
@example("bearer%12d", [12345678901], 1 << 20, REDACTOR)
@example("password%c%d", [61, 5], 1 << 20, REDACTOR)
@example("%sormation=%d", [float("inf"), 5], 1 << 20, OWN)
@example("a number %d", [10**6000], 1 << 20, REDACTOR)
@example("%.99d", [1], 10, REDACTOR)
def test_a_known_template_is_what_its_text_is(template: str, args: list[Any], limit: int, redactor: Redactor) -> None:
    """What is put into any template, known to be plain or not, comes out as by formatting, redacting and cutting."""
    text = format_message(template, tuple(args))
    whole, size = (redactor.redact(text), None) if len(text) * 4 <= limit else clean(text, limit, redactor)
    for _ in range(3):
        facts: dict[str, Any] = {}
        assert compose(template, tuple(args), facts, limit, redactor) == whole
        assert facts == ({} if size is None else {"original_size": size})
