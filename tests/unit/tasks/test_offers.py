"""Entries offered right after they were stored: which are found, and the bounds."""

from __future__ import annotations

import pytest

from asynclog.records import ENTRY, encode
from asynclog.store.columns import Columns
from asynclog.tasks import offers
from asynclog.tasks.offers import Offers


def batch(*numbers: tuple[str, int]) -> Columns:
    """Entries by task and seq."""
    frames = [
        (place, seq, 1, encode((ENTRY, encode((task, 20, "plugin", None, None, None)), 1, "m" * 10, None)))
        for place, (task, seq) in enumerate(numbers, 1)
    ]
    columns = Columns()
    assert columns.add_entries(frames)
    return columns


def offered(*batches: Columns, **cursors: int) -> Offers:
    found = Offers()
    for columns in batches:
        found.put(columns)
    found.sort(cursors)
    return found


def seqs(found: Offers, task: str, after: int, through: int) -> list[int]:
    return [row[2] for row in found.rows(task, after, through)]


def test_what_goes_on_without_a_gap_is_found() -> None:
    """A task's entries above a seq, through several batches, up to the one asked for, others' left out."""
    found = offered(batch(("a", 1), ("b", 1), ("a", 2)), batch(("b", 2)), batch(("a", 3), ("a", 4)))
    assert seqs(found, "a", 0, 4) == [1, 2, 3, 4]
    assert seqs(found, "a", 1, 3) == [2, 3]
    assert seqs(found, "b", 0, 9) == [1, 2]
    assert seqs(found, "a", 4, 9) == []
    assert seqs(found, "c", 0, 9) == []


def test_what_would_leave_a_gap_is_not() -> None:
    """Nothing is given that does not follow on the cursor; what comes after a gap is left to the store."""
    found = offered(batch(("a", 3)), batch(("a", 5)), batch(("b", 1), ("b", 3)), a=2)
    assert seqs(found, "a", 1, 9) == []
    assert seqs(found, "a", 2, 9) == [3]
    assert seqs(found, "b", 0, 9) == []


def test_what_nobody_can_go_on_with_is_not_laid_out() -> None:
    """A task's entries are found where its cursor reaches them, by itself or through the batch before."""
    found = offered(batch(("a", 5), ("b", 3), ("a", 6)), batch(("b", 4), ("a", 7)), a=4, b=1)
    assert seqs(found, "a", 4, 9) == [5, 6, 7]
    assert seqs(found, "b", 2, 9) == []
    found = offered(batch(("a", 5)), batch(("a", 8)), a=7)
    assert seqs(found, "a", 7, 9) == [8]


def test_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond so many entries or batches the oldest are let go of; a batch too large is not kept."""
    monkeypatch.setattr(offers, "OFFERED", 3)
    found = offered(batch(("a", 1), ("a", 2)), batch(("a", 3)), batch(("a", 4)), a=2)
    assert len(found) == 2
    assert seqs(found, "a", 0, 9) == []
    assert seqs(found, "a", 2, 9) == [3, 4]
    monkeypatch.setattr(offers, "OFFERED_BATCHES", 1)
    found.put(batch(("a", 5)))
    assert len(found) == 1
    found.put(batch(("a", 6), ("a", 7), ("a", 8), ("a", 9)))
    assert len(found) == 0
    found.drop(5)
    assert len(found) == 0
