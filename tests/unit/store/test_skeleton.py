"""Runs of consonants: what the index has of a text, and what is looked up for a search."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from asynclog.store.skeleton import indexed_runs, searched_runs

TEXTS = st.text(st.sampled_from("aeiouBCDfgsTtrn \n\t.,-_1207äß\u0131\u0130\u017f\u212a\0\U0001f600")) | st.text()
"""Words and what cuts them; letters that Unicode folds to A-Z, though a search does not."""


@given(TEXTS, TEXTS, TEXTS)
@example("", "TimeOut in finished", "")
@example("x", "Größe der Straße, größtenteils", "y")
def test_a_text_has_the_runs_of_its_parts(before: str, part: str, after: str) -> None:
    """Wherever a text stands, in whatever case, what is looked up for it is what is indexed."""
    lists = searched_runs(part.encode().lower().decode())
    for text in (before + part + after, (before + part + after).encode().upper().decode(errors="replace")):
        runs = set(indexed_runs(text.encode()).split())
        assert not lists or any(runs.issuperset(each) for each in lists)


def test_runs_reach_over_words() -> None:
    """Vowels, figures, blanks and whatever is no Latin letter are left out; every second run of four is indexed."""
    assert indexed_runs(b"Timeout 7 in, \xc3\xa4finished") == "tmtn tnfn fnsh "
    assert searched_runs("timeout in finished") == (["tmtn", "tnfn", "fnsh"], ["mtnf", "nfns", "nshd"])
    assert searched_runs("meout in fi") == ()


def test_what_is_too_short_has_no_runs() -> None:
    """Four consonants are in the index only where they happen to begin at an even place, so five are looked up."""
    assert indexed_runs(b"") == indexed_runs(b"bcd") == ""
    assert indexed_runs(b"bcdf") == "bcdf "
    assert searched_runs("bcdf") == searched_runs("") == ()
    assert searched_runs("bcdfg") == (["bcdf"], ["cdfg"])
