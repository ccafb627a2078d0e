"""What is known of a message's template in advance is what looking at the whole text would find."""

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from asynclog.redaction import REDACTOR, Redactor
from asynclog.texts import clean, compose, format_message

OWN = Redactor(keys=["information", "nonesuch"], patterns=["EMP-[0-9]{1,9}"])
PIECES = (
    "%d %s %i %r %.2f %f %e %g %05d %.30s %5d %-9d %+d %c %x %X %% %"
    " password pass word = : secret token tok en bearer Basic sk - -- glpat eyJ AKIA A B _ :// @ authoriz ation"
    " EMP inf nan informat ion None such charts fetched key api"
).split(" ")
templates = st.lists(st.sampled_from([*PIECES, " ", "\n", "\0", "\ud800", "é"]), max_size=8).map("".join)
numbers = st.integers() | st.floats() | st.booleans() | st.none() | st.integers(-(10**25), 10**25)


@settings(max_examples=500)
@given(templates, st.lists(numbers, max_size=4), st.sampled_from([100, 1 << 20]), st.sampled_from([REDACTOR, OWN]))
@example("sk%d", [-12345678901234567890], 1 << 20, REDACTOR)
@example("bearer%12d", [12345678901], 1 << 20, REDACTOR)
@example("password%c%d", [61, 5], 1 << 20, REDACTOR)
@example("%sormation=%d", [float("inf"), 5], 1 << 20, OWN)
@example("a number %d", [10**6000], 1 << 20, REDACTOR)
@example("%.99d", [1], 10, REDACTOR)
def test_a_known_template_is_what_its_text_is(template: str, args: list[Any], limit: int, redactor: Redactor) -> None:
    """Numbers put into any template, known to be plain or not, come out as by formatting, redacting and cutting."""
    text = format_message(template, tuple(args))
    whole = (redactor.redact(text), None) if len(text) * 4 <= limit else clean(text, limit, redactor)
    for _ in range(2):
        assert compose(template, tuple(args), limit, redactor) == whole
