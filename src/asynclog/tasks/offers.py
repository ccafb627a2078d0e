"""Entries that were stored a moment ago, for who writes them elsewhere right behind the writer: no need to read them.

Bounded: beyond it the oldest batch goes, and whoever wants it reads the store. Lives on the loop, but for `sort`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from asynclog.protocols import StoredEntries
from asynclog.records import Row

OFFERED: Final = 15_000
"""Entries of all batches together, at most; a batch larger than that is not kept at all."""
OFFERED_BATCHES: Final = 4
"""Each has a bound of its own (`writer.BATCH_BYTES`)."""


class _Batch:
    def __init__(self, entries: StoredEntries) -> None:
        self.entries = entries
        self.rows: dict[str, list[Row]] | None = None

    def sort(self, cursors: dict[str, int]) -> None:
        if self.rows is None:
            reached = {task_id for task_id, seq in self.entries.firsts().items() if seq <= cursors.get(task_id, 0) + 1}
            rows: dict[str, list[Row]] = {task_id: [] for task_id in reached}
            for row in self.entries.rows() if reached else ():
                if row[1] in reached:
                    rows[row[1]].append(row)
            self.rows = rows
        cursors.update({task_id: max(rows[-1][2], cursors.get(task_id, 0)) for task_id, rows in self.rows.items()})


class Offers:
    """The newest batches that were stored, oldest first."""

    def __init__(self) -> None:
        self._batches: deque[_Batch] = deque()
        self._entries = 0

    def put(self, entries: StoredEntries) -> None:
        """A batch more."""
        self._batches.append(_Batch(entries))
        self._entries += len(entries)
        while self._entries > OFFERED or len(self._batches) > OFFERED_BATCHES:
            self.drop(1)

    def __len__(self) -> int:
        """Batches."""
        return len(self._batches)

    def sort(self, cursors: Mapping[str, int]) -> None:
        """Make ready for `rows`, above these seqs of tasks, 0 where there is none. Takes a while: for a thread."""
        reached = dict(cursors)
        for batch in tuple(self._batches):
            batch.sort(reached)

    def rows(self, task_id: str, after: int, through: int) -> list[Row]:
        """A task's entries from just above one seq, up to another if they reach it, without a gap; none if not here."""
        found: list[Row] = []
        for batch in self._batches:
            rows = (batch.rows or {}).get(task_id)
            if not rows or rows[-1][2] - rows[0][2] != len(rows) - 1:
                continue
            start = after + 1 - rows[0][2]
            if 0 <= start < len(rows) and after < through:
                part = rows[start : start + through - after]
                found += part
                after = part[-1][2]
        return found

    def drop(self, batches: int) -> None:
        """Let go of the oldest ones."""
        for _ in range(min(batches, len(self._batches))):
            self._entries -= len(self._batches.popleft().entries)
