"""Where a record is numbered, written and handed on, and what becomes of it where there is no room.

State owned here: the next record id, every `Feed`, and the inbox that hands records on to the event loop. It knows of
no threads: the journal calls it under its lock, one record after the other.

Memory is bounded by ``budget``: a record beyond it is not put into the inbox; ids are dense, so the writer sees the
hole and reads it from the segments. Only when the segments cannot be written either, records beyond the budget are
dropped, as a contiguous range of their task that is named by a gap record as soon as there is room.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from asynclog import records
from asynclog.feed import Feed
from asynclog.frames import Frames
from asynclog.model import Level
from asynclog.records import Frame
from asynclog.shelf import Shelf
from asynclog.syncer import Syncer
from asynclog.trouble import Trouble

RESERVE_BYTES: Final = 8 << 20
"""What records that are no entries (task state, gaps) may take beyond quota and budget."""
FRAME_MEMORY: Final = 208
"""Bytes a frame takes in memory beside its payload, about: some 140, and what the encoder leaves free behind a payload
of 100 to 200 bytes. (It may be half of it, so large ones take up to half more than is counted.)"""
GAP_MEMORY: Final = 4096
"""Bytes that have to be free beside an entry before a gap is closed."""
_WIDTH: Final = 5
"""Of a record in the inbox."""
URGENT: Final = int(Level.ERROR)
"""From this level on the disk is asked to confirm an entry at once."""


class Ledger:
    """The numbers of one journal.

    Args:
        shelf: its files.
        syncer: told what was written.
        budget: bytes of records in memory.
        next_id: that of the next record.
    """

    def __init__(self, shelf: Shelf, syncer: Syncer, budget: int, next_id: int) -> None:
        self._shelf = shelf
        self._syncer = syncer
        self._budget = self._free = budget
        self.next_id = next_id
        self.stated_id = next_id - 1
        """The newest record that is no entry, or is older than all of this process."""
        self._inbox: list[Any] = []
        """One behind the other: id, seq, span, payload and feed of each record."""
        self._wake_at: int | None = 0
        """The first record id that the inbox does not wait with; None when it is about to be emptied."""
        self._spilling = 0
        """The record id with which a run of those that were not put into the inbox would go on."""
        self.news = False
        """Whether the inbox should be emptied, or something is to be told."""
        self.trouble = Trouble()
        self.dropped = 0
        """Entries there was no room for."""
        self.lost = 0
        """Other records there was no room for."""
        self.spilled = 0
        """Records that were not put into the inbox, because memory was full."""

    @property
    def pending(self) -> int:
        """Bytes of records in memory that the store does not hold yet."""
        return self._budget - self._free

    @property
    def is_full(self) -> bool:
        """Whether the quota has no room for another record."""
        return not self._shelf.has_room(GAP_MEMORY)

    def put(  # noqa: C901  # the hot path: flat, each branch a reason
        self, feed: Feed | None, payload: bytes, level: int = 0, span: int = 1, reserve: int = RESERVE_BYTES
    ) -> int:
        """Append a record; its (first) seq, or its id without a feed, or 0. The arguments are those of the journal's.

        ``reserve``: what a record without a feed may take beyond quota and budget.
        """
        seq = 0
        if feed is not None:
            if feed.shut and not self._reopens(feed, span, len(payload)):
                return 0
            seq = feed.next_seq
            reserve = 0
        record_id = self.next_id
        try:
            safe = self._shelf.active.write(record_id, seq, span, payload)
        except OSError as error:
            safe = self.failed(error)
        free = self._free - len(payload) - FRAME_MEMORY
        if not safe and not self._elsewhere(record_id, seq, span, payload, reserve):
            if free + reserve < 0:
                return self._drop(feed, span, reserve)
            self.trouble.volatile(record_id + span - 1)
        if feed is not None:
            feed.next_seq = seq + span
            feed.counts[level] += 1
        else:
            self.stated_id = record_id
        self.next_id = behind = record_id + span
        wake_at = self._wake_at
        if wake_at is not None and (feed is None or behind > wake_at):
            self._wake_at, self.news = None, True
        if free >= 0 or free + reserve >= 0:
            self._free = free
            self._inbox.extend((record_id, seq, span, payload, feed))  # as one act
        else:
            self._spill(record_id, behind)
        if level >= URGENT:
            self._syncer.hurry()
        elif not self._syncer.dirty:
            self._syncer.notice()
        return seq or record_id

    def _elsewhere(self, record_id: int, seq: int, span: int, payload: bytes, reserve: int) -> bool:
        """Whether a record that the active segment did not take is written to another one.

        After a failed write that is not tried too often.
        """
        failing = self.trouble.error is not None
        if failing and not self.trouble.may_retry:
            return False
        try:
            if failing:
                self.news = True
                self._shelf.renew(record_id)
            written = self._shelf.write(record_id, seq, span, payload, reserve)
            return self.trouble.over() if written and failing else written
        except OSError as error:
            return self.failed(error)

    def failed(self, error: OSError) -> Literal[False]:
        """A write failed: False. What comes next is not written to the active segment."""
        self._shelf.active.finish()
        self.news = True
        return self.trouble.failed(error)

    def _spill(self, record_id: int, behind: int) -> None:
        """There is no memory for a record that is written; the next one has the id ``behind``."""
        if self._spilling != record_id:  # the first of a run
            self._shelf.bookmark(record_id - 1)
        self._spilling = behind
        self.spilled += 1

    def _reopens(self, feed: Feed, span: int, size: int) -> bool:
        """Whether a task takes entries that is sealed, or whose entries are being dropped; if not, they are counted."""
        if feed.sealed:
            feed.late += span
            return False
        return self._close_gap(feed, size + FRAME_MEMORY) or bool(self._drop(feed, span, 0))

    def _drop(self, feed: Feed | None, span: int, reserve: int) -> Literal[0]:
        if feed is None:
            self.lost += reserve >= 0  # a gap that cannot be named yet is tried again
        else:
            self.dropped += span
            feed.drop(span, f"{self.trouble.reason} and the memory for entries is full")
        return 0

    def _close_gap(self, feed: Feed, cost: int) -> bool:
        """Name what was dropped, if there is room again for that and for an entry."""
        fits = self._free >= cost + GAP_MEMORY
        if not fits and not self._shelf.has_room(cost + GAP_MEMORY):
            return False
        return self.name_gap(feed, RESERVE_BYTES if fits else -GAP_MEMORY - cost)

    def name_gap(self, feed: Feed, reserve: int = RESERVE_BYTES) -> bool:
        """Append a record of the entries that were dropped; whether that is done."""
        if self.put(None, records.encode(records.GapRecord(feed.task_id, feed.gap())), reserve=reserve):
            feed.reopen()
        return not feed.shut

    def take(self, patience: int) -> tuple[Frames, list[Feed | None], int]:
        """Empty the inbox, as the journal says."""
        *columns, feeds = (self._inbox[place::_WIDTH] for place in range(_WIDTH))
        taken = Frames(*columns), feeds, self.next_id - 1
        self._inbox, self._wake_at = [], self.next_id + patience  # last: what raises before has taken nothing
        return taken

    def release(self, count: int, size: int) -> None:
        """So many records, with payloads of so many bytes, have left memory."""
        self._free = min(self._free + size + FRAME_MEMORY * count, self._budget)

    def rest(self) -> None:
        """All records are stored: none is in memory, and whatever a signal handler that raised left counted is not."""
        if not self._inbox:
            self._free = self._budget

    def reconcile(self, feed: Feed | None, payload: bytes, written: Frame | None) -> bool:
        """Let the numbers agree with what the segment holds, after a signal handler raised while this record was put.

        Args:
            feed: the record's.
            payload: the record's.
            written: the newest record that is written, whether or not it was numbered.

        Returns:
            Whether the record is there.
        """
        if written is not None and written[0] >= self.next_id:
            record_id, seq, span, found = written
            if feed is not None and found == payload:
                feed.next_seq = max(feed.next_seq, seq + span)
            self.next_id = record_id + span
            self.stated_id = self.stated_id if seq else record_id
        self.spilled += 1  # it may be in no inbox
        newest = self._inbox[-_WIDTH:][3:4]
        return payload in newest or (written is not None and written[3] == payload)
