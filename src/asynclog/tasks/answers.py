"""The answers to the ingest batches of one external task, so that a batch that comes again gets its first answer."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

ANSWERS: Final = 1000
"""Answers kept in memory for each task beside those that are not stored yet."""


class Answers:
    """The answers of one task by batch id, with the record ids they came with."""

    def __init__(self, *, whole: bool) -> None:
        self.whole = whole
        """Whether every batch of the task is among them, so that the store need not be asked."""
        self.lock = asyncio.Lock()
        self._kept: OrderedDict[str, tuple[int, bytes]] = OrderedDict()

    def get(self, batch_id: str) -> bytes | None:
        """The first answer to a batch, if it is kept here."""
        found = self._kept.get(batch_id)
        return None if found is None else found[1]

    def put(self, batch_id: str, record_id: int, answer: bytes, stored_id: int) -> None:
        """Keep an answer; the oldest of those that are stored go."""
        self._kept[batch_id] = (record_id, answer)
        while len(self._kept) > ANSWERS and next(iter(self._kept.values()))[0] <= stored_id:
            self._kept.popitem(last=False)
            self.whole = False
