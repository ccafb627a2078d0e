"""The newest entries of a watched task: contiguous, bounded together with all others, encoded once."""

import random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from asynclog.filters import NO_FILTER, LogFilter
from asynclog.model import Gap
from asynclog.records import EntryRecord
from asynclog.tail import ENTRY_MEMORY, SHARED, Tail, TailBudget, next_gap


def entry(seq: int, size: int = 0) -> EntryRecord:
    level = 30 if seq % 3 == 0 else 20
    return EntryRecord("t", seq, level, "plugin", None, None, None, f"{seq}" + "x" * size, None)


@given(
    st.integers(0, 20_000),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2000), st.booleans()), max_size=80),
    st.integers(1, 50),
)
def test_tails_are_contiguous_and_bounded(limit: int, steps: list[tuple[int, int, bool]], turn: int) -> None:
    """Whatever comes to three tails, holes included, each covers a run without a hole, and all keep to one budget.

    From any cursor that a tail covers, a read gives exactly the entries up to its ``through``, and never fails.
    """
    budget = TailBudget(limit)
    tails = [Tail(budget) for _ in range(3)]
    last = [0, 0, 0]
    for which, size, hole in steps:
        last[which] += 1 + 3 * hole
        tails[which].append(last[which], 1000 * which + last[which], entry(last[which], size))
        assert budget.used <= limit
        for tail, newest in zip(tails, last, strict=True):
            for cursor in range(newest + 3):
                if tail.covers(cursor):
                    found = tail.read(NO_FILTER, cursor, turn)
                    seqs = [msgspec.json.decode(line)["seq"] for line in found.lines]
                    assert seqs == list(range(cursor + 1, found.through + 1))
                    assert cursor < found.through <= newest
    for tail in tails:
        tail.clear()
    assert budget.used == 0


def test_readers_with_equal_filters_share_the_work() -> None:
    """Two readers with equal filters at one cursor get the same object; another filter shares the encoded lines."""
    tail = Tail(TailBudget())
    for seq in range(1, 10):
        tail.append(seq, seq, entry(seq))
    warnings = LogFilter.parse([("min_level", "WARNING")])
    first = tail.read(warnings, 0, 100)
    assert tail.read(LogFilter.parse([("min_level", "WARNING")]), 0, 100) is first
    everything = tail.read(NO_FILTER, 0, 100)
    assert first.lines[0] is everything.lines[2]
    assert len(first.lines) == 3
    assert first.through == 9


def test_what_is_kept_for_others_is_bounded() -> None:
    """However many filters are asked of a tail that nothing comes to, few readings of it are kept, and none of what
    had to go.
    """
    budget = TailBudget(ENTRY_MEMORY * 20)
    tail, other = Tail(budget), Tail(budget)
    for seq in range(1, 10):
        tail.append(seq, seq, entry(seq))
    for one in range(3 * SHARED):
        tail.read(LogFilter.parse([("exclude_source", str(one))]), 0, 100)
        assert len(tail._memo) <= SHARED  # nobody else knows what is kept
    for seq in range(1, 30):
        other.append(seq, seq, entry(seq))
    assert not tail.covers(0)
    assert not tail._memo  # as above
    assert not tail._part[2]  # as above


def test_the_quiet_tail_gives_way_first() -> None:
    """When all tails together are too large, the one that has been quiet longest loses its oldest entries."""
    budget = TailBudget(ENTRY_MEMORY * 10 + 100)
    quiet, busy = Tail(budget), Tail(budget)
    for seq in range(1, 6):
        quiet.append(seq, seq, entry(seq))
    for seq in range(1, 9):
        busy.append(seq, seq, entry(seq))
    assert busy.covers(0)
    assert not quiet.covers(0)
    assert quiet.covers(4)


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 5)), max_size=8), st.integers(0, 200))
def test_the_next_gap(pieces: list[tuple[int, int]], cursor: int) -> None:
    """Of gaps in any order the next is the first that has not been passed."""
    gaps, end = [], 0
    for distance, length in pieces:
        gaps.append(Gap(task_id="t", from_seq=end + distance, to_seq=end + distance + length - 1, reason="r"))
        end += distance + length
    ahead = [gap for gap in gaps if gap.to_seq > cursor]
    random.Random(0).shuffle(gaps)
    assert next_gap(gaps, cursor) == (ahead[0] if ahead else None)
