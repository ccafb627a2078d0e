"""What a subscriber saw, checked entry by entry: nothing lost, nothing twice, nothing out of order. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import msgspec

from bench.latency import Latencies
from bench.mix import Lane

Span = tuple[int, int]
"""Numbers from the first to before the second."""

HOLES: Final = 10_000
"""Places where numbers were missing that a witness remembers."""
KEPT: Final = 256
"""Frames that are remembered: equal ones come to many subscribers within moments."""
BIN_NS: Final = 50_000
"""How exactly a latency is counted, in nanoseconds."""


class _Marks(msgspec.Struct):
    n: int = -1
    due: int = 0


class _Entry(msgspec.Struct):
    seq: int
    metadata: _Marks | None = None


class Frame(msgspec.Struct):
    """What is looked at of a frame."""

    type: str
    entries: list[_Entry] = []
    through: int = 0
    from_seq: int = 0
    to_seq: int = 0


class Seen(msgspec.Struct, frozen=True):
    """A frame as it was read: its numbered entries, when they were due, and its first and last seq."""

    type: str
    numbers: list[int] = []
    due: list[int] = []
    first_seq: int = 0
    last_seq: int = 0
    seqs_rise: bool = True
    step: int = 0
    """From each number to the next, where that is the same everywhere; 0 otherwise."""
    span: int = 0
    """Entries that a gap frame declares dropped."""
    through: int = 0
    """The cursor: up to here everything that matches has come."""


_decode = msgspec.json.Decoder(Frame).decode


def read_frame(data: bytes) -> Seen:
    """Read a frame. Raises msgspec.DecodeError when it is none."""
    frame = _decode(data)
    if frame.type == "gap":
        return Seen(frame.type, span=frame.to_seq - frame.from_seq + 1)
    if not frame.entries:
        return Seen(frame.type, through=frame.through)
    marked = [entry.metadata for entry in frame.entries if entry.metadata is not None and entry.metadata.n >= 0]
    numbers = [marks.n for marks in marked]
    seqs = [entry.seq for entry in frame.entries]
    steps = {after - before for before, after in pairwise(numbers)}
    return Seen(
        frame.type,
        numbers,
        [marks.due for marks in marked],
        seqs[0],
        seqs[-1],
        all(before < after for before, after in pairwise(seqs)),
        steps.pop() if len(steps) == 1 else 0,
        through=frame.through,
    )


class FrameReader:
    """Reads frames, each distinct one once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, bytes, bytes], tuple[bytes, Seen]] = {}

    def read(self, data: bytes) -> Seen:
        """As `read_frame`; the whole frame is compared before an earlier reading counts."""
        key = len(data), data[:100], data[-24:]
        known = self._known.get(key)
        if known is not None and known[0] == data:
            return known[1]
        seen = read_frame(data)
        if len(self._known) >= KEPT:
            self._known.clear()
        self._known[key] = data, seen
        return seen


class Bins:
    """Latencies counted in bins while there is no time for more."""

    def __init__(self) -> None:
        self._bins: Counter[int] = Counter()

    def add(self, now: int, due: list[int]) -> None:
        """What was due at these times is here now (``time.monotonic_ns``)."""
        bins = self._bins
        for time in due:
            bins[(now - time) // BIN_NS] += 1

    def latencies(self) -> Latencies:
        """All of them."""
        found = Latencies()
        for number, count in self._bins.items():
            found.add((number + 1) * BIN_NS / 1000, count)
        return found


class Witness:
    """One subscriber of one task: what its filter has to let through, and what came."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.expected = lane.next(0)
        self.received = 0
        self.lost = 0
        """Numbers that were passed over, or never came, although the service had acknowledged them."""
        self.unsure = 0
        """Numbers that never came, and that nobody had promised."""
        self.unseen = 0
        """Numbers that had not come when the connection ended, before the end of the task was told."""
        self.disordered = 0
        """Entries that came again, late, or although the filter does not let them through."""
        self.declared = 0
        """Entries that the service declared dropped."""
        self.ended = False
        """The task's end was told."""
        self.through = 0
        """Where to go on when the connection was lost."""
        self._seq = 0
        self._holes: list[Span] = []

    def take(self, seen: Seen) -> None:
        """A frame has come."""
        if seen.type == "end":
            self.ended = True
        self.declared += seen.span
        self.through = max(self.through, seen.through)
        if not seen.last_seq:
            return
        if not seen.seqs_rise or seen.first_seq <= self._seq:
            self.disordered += 1
        self._seq = seen.last_seq
        numbers = seen.numbers
        if not numbers:
            return
        self.received += len(numbers)
        step = self.lane.step
        if numbers[0] == self.expected and (len(numbers) == 1 or seen.step == step):
            self.expected = numbers[-1] + step
        else:
            self._look(numbers)

    def _look(self, numbers: list[int]) -> None:
        """Something is not as it should be; what, and how much of it."""
        step = self.lane.step
        for number in numbers:
            if number < self.expected or (number - self.expected) % step:
                self.disordered += 1
            else:
                self._miss(number)
                self.expected = number + step

    def _miss(self, end: int) -> None:
        """Nothing came from what was expected to before this number."""
        missing = -(-(end - self.expected) // self.lane.step)
        if missing > 0:
            self.lost += missing
            if len(self._holes) < HOLES:
                self._holes.append((self.expected, end))

    def finish(self, total: int, unsure: Sequence[Span] = ()) -> None:
        """There were so many entries in all; what has not come by now never will.

        Args:
            total: how many were sent.
            unsure: those of them that the service did not acknowledge; what is missing of these is not lost.
        """
        rest = self.expected, max(total, self.expected)
        if self.ended:
            self._miss(total)
        else:
            excused = sum(self._common(rest, span) for span in unsure)
            self.unsure += excused
            self.unseen = self._common(rest, rest) - excused
        excused = sum(self._common(hole, span) for hole in self._holes for span in unsure)
        self.unsure += excused
        self.lost -= excused

    def _common(self, one: Span, other: Span) -> int:
        """How many numbers of the lane are in both."""
        low, high = max(one[0], other[0]), min(one[1], other[1])
        return self.lane.count(high) - self.lane.count(low) if low < high else 0
