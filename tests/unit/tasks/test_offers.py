"""Entries offered right after they were stored: which are found, and the bounds."""

from __future__ import annotations

import pytest

from asynclog.frames import Frames
from asynclog.records import ENTRY, encode
from asynclog.store.columns import Columns
from asynclog.tasks import offers
from asynclog.tasks.offers import Offers
from asynclog.tasks.runtext import AT_ONCE


def batch(*numbers: tuple[str, int]) -> Columns:
    """Entries by task and seq."""
    frames = [
        (place, seq, 1, encode((ENTRY, encode((task, 20, "plugin", None, None, None)), 1, f"m {seq}", None)))
        for place, (task, seq) in enumerate(numbers, 1)
    ]
    columns = Columns()
    assert columns.add_entries(Frames.of(frames))
    return columns


def offered(*batches: Columns, **cursors: int) -> Offers:
    found = Offers()
    for columns in batches:
        found.put(columns)
    found.render(cursors)
    return found


def seqs(found: Offers, task: str, after: int, through: int) -> list[int]:
    """Those whose lines are given."""
    return [
        int(line.split()[-1]) for text in found.texts(task, after, through) for line in b"".join(text.log).splitlines()
    ]


def test_what_goes_on_without_a_gap_is_found() -> None:
    """A task's entries above a seq, through several batches, up to the one asked for, others' left out."""
    found = offered(batch(("a", 1), ("b", 1), ("a", 2)), batch(("b", 2)), batch(("a", 3), ("a", 4)))
    assert seqs(found, "a", 0, 4) == [1, 2, 3, 4]
    assert seqs(found, "a", 0, 3) == [1, 2]
    assert seqs(found, "a", 2, 4) == [3, 4]
    assert seqs(found, "b", 0, 9) == [1, 2]
    assert seqs(found, "a", 4, 9) == []
    assert seqs(found, "c", 0, 9) == []


def test_what_would_leave_a_gap_is_not() -> None:
    """Nothing is given that does not follow on the cursor; what comes after a gap is left to the store."""
    found = offered(batch(("a", 3)), batch(("a", 5)), batch(("b", 1), ("b", 3)), a=2)
    assert seqs(found, "a", 1, 9) == []
    assert seqs(found, "a", 2, 9) == [3]
    assert seqs(found, "b", 0, 9) == []


def test_what_nobody_can_go_on_with_is_not_rendered() -> None:
    """A task's entries are found where its cursor is right before them, by itself or through the batch before."""
    found = offered(batch(("a", 5), ("b", 3), ("a", 6)), batch(("b", 4), ("a", 7)), a=4, b=1)
    assert seqs(found, "a", 4, 9) == [5, 6, 7]
    assert seqs(found, "b", 2, 9) == []
    found = offered(batch(("a", 5)), batch(("a", 8)), a=7)
    assert seqs(found, "a", 7, 9) == [8]


def test_many_are_sorted_by_task_and_stage() -> None:
    """More entries than are rendered at once, of several tasks and stages: each has its own, in order."""
    frames = [
        (n + 1, n // 3 + 1, 1, encode((ENTRY, encode((f"t{n % 3}", 20, "p", stage, None, None)), n, f"m {n}", None)))
        for n in range(2 * AT_ONCE)
        for stage in [None if n < 300 else "s" if n < 900 else f"s{n % 2}"]
    ]
    columns = Columns()
    assert columns.add_entries(Frames.of(frames))
    found = offered(columns)
    for task in range(3):
        [text] = found.texts(f"t{task}", 0, AT_ONCE)
        mine = range(task, 2 * AT_ONCE, 3)
        assert [int(line.split()[-1]) for line in b"".join(text.log).splitlines()] == list(mine)
        labelled = [(label, int(line.split()[-1])) for label, lines in text.labelled for line in lines.splitlines()]
        assert labelled == [("s" if n < 900 else f"s{n % 2}", n) for n in mine if n >= 300]


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
    found.drop(found.number)
    assert len(found) == 0


def test_what_came_meanwhile_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Letting go of what was seen at a time leaves what came after it, also where the oldest had to go meanwhile."""
    monkeypatch.setattr(offers, "OFFERED_BATCHES", 2)
    found = offered(batch(("a", 1)), batch(("a", 2)))
    seen = found.number
    found.put(batch(("a", 3)))
    found.drop(seen)
    found.render({"a": 2})
    assert seqs(found, "a", 2, 9) == [3]
    found.drop(seen)
    assert len(found) == 1
