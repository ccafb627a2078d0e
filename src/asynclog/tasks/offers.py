"""Entries that were stored a moment ago, as lines, for who writes them right behind the writer: no need to read them.

Bounded: beyond it the oldest batch goes, and whoever wants it reads the store. Lives on the loop, but for `render` and
`texts`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from asynclog.protocols import StoredEntries
from asynclog.tasks import runtext
from asynclog.tasks.runtext import RunText

OFFERED: Final = 26_000
"""Entries of all batches together, at most; a batch larger than that is not kept at all."""
OFFERED_BATCHES: Final = 4
"""Each has a bound of its own (`writer.BATCH_BYTES`)."""


class _Batch:
    def __init__(self, entries: StoredEntries) -> None:
        self.count = len(entries)
        self._entries: StoredEntries | None = entries
        self.texts: dict[str, RunText] = {}

    def render(self, cursors: dict[str, int]) -> None:
        if self._entries is not None:
            self.texts = runtext.render(self._entries.lists, cursors)
            self._entries = None
        cursors.update({task_id: text.last for task_id, text in self.texts.items()})


class Offers:
    """The newest batches that were stored, oldest first."""

    def __init__(self) -> None:
        self._batches: deque[_Batch] = deque()
        self._entries = 0
        self.number = 0
        """Of the newest batch; the first one ever has 1."""

    def put(self, entries: StoredEntries) -> None:
        """A batch more."""
        self._batches.append(_Batch(entries))
        self._entries += len(entries)
        self.number += 1
        while self._entries > OFFERED or len(self._batches) > OFFERED_BATCHES:
            self._drop()

    def __len__(self) -> int:
        """Batches."""
        return len(self._batches)

    def render(self, cursors: Mapping[str, int]) -> None:
        """Make ready for `texts`, above these seqs of tasks, 0 where there is none. Takes a while: for a thread."""
        reached = dict(cursors)
        for batch in tuple(self._batches):
            batch.render(reached)

    def texts(self, task_id: str, after: int, through: int) -> list[RunText]:
        """A task's entries from just above one seq up to another at most, without a gap; none if they are not here."""
        found: list[RunText] = []
        for batch in tuple(self._batches):
            text = batch.texts.get(task_id)
            if text is not None and text.first == after + 1 and text.last <= through:
                found.append(text)
                after = text.last
        return found

    def drop(self, number: int) -> None:
        """Let go of the batches up to this one."""
        while self._batches and self.number - len(self._batches) < number:
            self._drop()

    def _drop(self) -> None:
        self._entries -= self._batches.popleft().count
