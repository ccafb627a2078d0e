"""The newest entries of a watched task, in memory, shared by all its subscriptions.

State owned here: the entries, their encoded lines and what subscriptions with equal filters have read already. All of
it lives on the event loop. The tails of all tasks share one budget of bytes; the one that has been quiet longest gives
way first.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import msgspec

from asynclog.filters import LogFilter
from asynclog.model import Gap
from asynclog.records import EntryRecord
from asynclog.wire import entry_line

TAIL_BYTES: Final = 32 << 20
"""Of all tails together."""
ENTRY_MEMORY: Final = 700
"""Bytes an entry takes in memory beside its text, about."""
SHARED: Final = 256
"""Readings of a tail that are kept for others who ask the same; then they are forgotten, and made anew when asked."""


class Entries:
    """Matching entries up to ``through``, each encoded once; ``frame`` is the place for what a door makes of them.

    Shared between subscriptions: do not change ``lines``.
    """

    __slots__ = ("frame", "lines", "through")

    def __init__(self, lines: list[bytes], through: int) -> None:
        self.lines = lines
        self.through = through
        self.frame: object = None


class _Item(msgspec.Struct, gc=False):  # there are tens of thousands, and they refer to nothing that refers back
    """An entry, and its JSON once somebody has asked for it."""

    seq: int
    record_id: int
    record: EntryRecord
    size: int
    line: bytes = b""

    def encode(self) -> bytes:
        """Make the line, and keep it."""
        self.line = line = entry_line(self.record_id, self.seq, self.record)
        return line


class TailBudget:
    """The bytes of all tails, and which of them grew when."""

    def __init__(self, limit: int = TAIL_BYTES) -> None:
        self.limit = limit
        self.used = 0
        self._tails: OrderedDict[Tail, None] = OrderedDict()

    def grew(self, tail: Tail, size: int) -> None:
        """Count what a tail took; let the longest quiet tails shrink while all are too large."""
        self.used += size
        self._tails[tail] = None
        self._tails.move_to_end(tail)
        while self.used > self.limit and self._tails:
            quiet = next(iter(self._tails))
            if not quiet.evict():
                del self._tails[quiet]

    def gone(self, tail: Tail) -> None:
        """A tail is no longer watched."""
        self._tails.pop(tail, None)


class Tail:
    """A contiguous run of a task's newest entries, by seq."""

    def __init__(self, budget: TailBudget) -> None:
        self._budget = budget
        self._items: dict[int, _Item] = {}
        self._memo: dict[tuple[LogFilter, int, int], Entries] = {}
        self._part: tuple[int, int, list[_Item]] = 0, 0, []
        """What was looked at last, from above one seq up to another: mostly others look there, too."""
        self.first = 1
        self.last = 0

    def append(self, seq: int, record_id: int, record: EntryRecord) -> None:
        """Take the task's next entry; after a hole the run begins anew."""
        if seq != self.last + 1 or not self._items:
            self.clear()
            self.first = seq
        size = ENTRY_MEMORY + 2 * len(record.message) + 2 * len(record.metadata_json or "")
        self._items[seq] = _Item(seq, record_id, record, size)
        self.last = seq
        self._memo.clear()
        self._budget.grew(self, size)

    def covers(self, cursor: int) -> bool:
        """Whether everything above this seq is held, and something is."""
        return self.first - 1 <= cursor < self.last

    def read(self, entry_filter: LogFilter, cursor: int, limit: int) -> Entries:
        """Matching entries above the cursor, of at most ``limit`` entries looked at."""
        through = min(self.last, cursor + limit)
        key = (entry_filter, cursor, through)
        found = self._memo.get(key)
        if found is None:
            matches = entry_filter.predicate
            items = self._between(cursor, through)
            lines = [item.line or item.encode() for item in items if matches(item.record)]
            if len(self._memo) >= SHARED:  # nothing comes that would empty it
                self._memo.clear()
            found = self._memo[key] = Entries(lines, through)
        return found

    def _between(self, cursor: int, through: int) -> list[_Item]:
        first, last, items = self._part
        if (first, last) != (cursor, through):
            items = [self._items[seq] for seq in range(cursor + 1, through + 1)]
            self._part = cursor, through, items
        return items

    def evict(self) -> bool:
        """Let go of the oldest entry; False when there was none."""
        item = self._items.pop(self.first, None)
        if item is None:
            return False
        self._forget()
        self._budget.used -= item.size
        self.first += 1
        return True

    def clear(self) -> None:
        """Let go of everything."""
        self._budget.used -= sum(item.size for item in self._items.values())
        self._items.clear()
        self._forget()
        self.first, self.last = 1, 0
        self._budget.gone(self)

    def _forget(self) -> None:
        """Let go of what was read: it holds entries that are gone."""
        self._memo.clear()
        self._part = 0, 0, []


def next_gap(gaps: list[Gap], cursor: int) -> Gap | None:
    """The first gap that ends above the cursor."""
    return min((gap for gap in gaps if gap.to_seq > cursor), key=lambda gap: gap.from_seq, default=None)
