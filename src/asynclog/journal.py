"""The journal: where a record is numbered and becomes crash-safe, before the call that made it returns.

State owned here, all under one re-entrant lock: the next record id, every `Feed`, and the inbox that hands records on
to the event loop; the files are the `Shelf`'s. Everything that costs is done before the lock is taken, and nothing is
logged under it (a handler may wait for a lock of its own).

Memory is bounded by ``budget``: a record beyond it is not put into the inbox; ids are dense, so the writer sees the
hole and reads it from the segments. Only when the segments cannot be written either, records beyond the budget are
dropped, as a contiguous range of their task that is named by a gap record as soon as there is room.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from asynclog import records
from asynclog.disk import Disk
from asynclog.errors import JournalError
from asynclog.feed import Feed
from asynclog.lock import quick
from asynclog.model import Level, Sealed
from asynclog.records import Frame
from asynclog.shelf import Shelf
from asynclog.syncer import Syncer
from asynclog.trouble import Trouble

SEGMENT_BYTES: Final = 16 << 20
"""A segment that reaches this size is closed and the next one begun."""
QUOTA_BYTES: Final = 1 << 30
"""All segments together, unless configured."""
BUDGET_BYTES: Final = 32 << 20
"""Records in memory between the log call and the commit."""
RESERVE_BYTES: Final = 8 << 20
"""What records that are no entries (task state, gaps) may take beyond quota and budget."""
FRAME_MEMORY: Final = 224
"""Bytes a frame takes in memory beside its payload, about."""
GAP_MEMORY: Final = 4096
"""Bytes that have to be free beside an entry before a gap is closed."""
URGENT: Final = int(Level.ERROR)
"""From this level on the disk is asked to confirm an entry at once."""
_WOKEN: Final = 1 << 64  # above every id: the inbox is about to be emptied
RESCUE_SECONDS: Final = 1.0
"""How long after a failed sync another one makes for another new segment."""

_log = logging.getLogger("asynclog.journal")


class Journal:
    """The append-only files of one data directory.

    Args:
        folder: where the segments lie; made if missing.
        floor: the highest record id the store knows; numbering goes on above it and above every record found here.
        wake: called, from any thread, when the inbox should be emptied, once until that is done; must not block.
        quota: bytes of all segments; above it entries stay in memory.
        budget: bytes of records in memory.
        segment_bytes: the size of one segment.
        disk: the file operations, for tests.

    Raises JournalError when the folder cannot be read or written at the start.
    """

    def __init__(
        self,
        folder: Path,
        *,
        floor: int = 0,
        wake: Callable[[], None] = lambda: None,
        quota: int = QUOTA_BYTES,
        budget: int = BUDGET_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
        disk: Disk | None = None,
    ) -> None:
        self._wake = wake
        self._budget = budget
        self._lock = threading.RLock()
        self._locked = quick(self._lock)
        self._holding = self._news = self._closed = self._forked = False
        self._deferred: deque[tuple[Feed | None, bytes, int, int]] = deque()
        self._interrupted: list[Feed | None] = []
        self._frames: list[Frame] = []
        self._feeds: list[Feed | None] = []
        self._wake_at = 0  # the first record id that the inbox does not wait with
        self._pending = self._spilling = 0
        self._rescue_at = 0.0
        self._trouble = Trouble()
        self.dropped = 0
        """Entries there was no room for."""
        self.lost = 0
        """Other records there was no room for."""
        self.spilled = 0
        """Records that were not put into the inbox, because memory was full."""
        self._syncer = Syncer(disk := disk or Disk(), folder, self._sync_failed, self._lock)
        self._shelf = Shelf(folder, segment_bytes, quota, disk, self._lock, self._syncer.watch)
        try:
            first, last = self._shelf.open()
            self._next_id = max(floor, last) + 1
            self._shelf.begin(self._next_id)
        except OSError as error:
            raise JournalError(f"the journal in {folder} cannot be opened: {error}") from error
        self._syncer.start()
        self.stored_id = (first or self._next_id) - 1
        """The watermark: records up to here are in the store, or were removed because they once were."""
        self.jump = (last, self._next_id - 1) if first else (0, 0)
        """Ids above the first and up to the second were never given out here: the store has seen another journal."""
        this = weakref.WeakMethod(self._after_fork)
        os.register_at_fork(after_in_child=lambda: (forked := this()) and forked())

    @property
    def journal_id(self) -> str:
        """Names this journal to the store, 32 hexadecimal digits."""
        return self._shelf.journal_id

    @property
    def last_id(self) -> int:
        """The id of the newest record."""
        return self._next_id - 1

    @property
    def size(self) -> int:
        """Bytes of the segments, as far as they are written."""
        return self._shelf.size

    @property
    def damaged_files(self) -> int:
        """Damaged or foreign segments, or parts of them, that were set aside."""
        return self._shelf.damaged_files

    @property
    def pending_bytes(self) -> int:
        """Bytes of records in memory that the store does not hold yet."""
        return self._pending

    @property
    def trouble(self) -> str | None:
        """Why the guarantee of DESIGN 6 does not hold now, as a sentence; None when it does."""
        return self._trouble.sentence(self.stored_id, full=not self._shelf.has_room(GAP_MEMORY))

    def append(
        self, feed: Feed | None, payload: bytes, level: int = 0, span: int = 1, levels: list[int] | None = None
    ) -> int:
        """Number a record and make it crash-safe. Never raises for what is wrong with the disk.

        What a signal handler raises in the middle comes out of here, and the record is there wholly or not at all.

        Args:
            feed: the entry's task; None for a record that takes no seq.
            payload: the encoded record.
            level: the entry's `Level` number; 0 where it is not one entry.
            span: how many entries it holds.
            levels: of a batch, its entries at ``level // 10``.

        Returns:
            The seq of its (first) entry, or its id without a feed; 0 when the feed is sealed, the entry was dropped,
            or the call came from inside another one (a finaliser) and is carried out right after it.
        """
        with self._locked:
            if self._holding:
                return self._put_off(feed, payload, level, span)
            self._holding = True
            try:
                number = self._put(feed, payload, level, span)
                if levels is not None and feed is not None and number:
                    feed.count(levels)
                while self._deferred:
                    feed, payload, level, span = self._deferred.popleft()
                    self._put(feed, payload, level, span)
            except BaseException:
                self._interrupted.append(feed)
                self._wake()
                raise
            finally:
                self._holding = self._closed
        if self._news:
            self._news = False
            self._wake()
            self._trouble.tell()
        return number

    def _put_off(self, feed: Feed | None, payload: bytes, level: int, span: int) -> int:
        """This very thread is at another record, which comes first; or the journal is closed."""
        if not self._closed:
            self._deferred.append((feed, payload, level, span))
        elif self._forked:
            self._forked = False  # said once
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write("asynclog: a forked child cannot log to its parent's journal; its calls do nothing\n")
        return 0

    def _put(  # noqa: C901, PLR0912  # the hot path: flat, each branch a reason
        self, feed: Feed | None, payload: bytes, level: int, span: int, reserve: int = RESERVE_BYTES
    ) -> int:
        if self._interrupted:
            self._reconcile()
        seq = 0
        if feed is not None:
            if feed.sealed:
                feed.late += span
                return 0
            if feed.dropping and not self._close_gap(feed, len(payload) + FRAME_MEMORY):
                return self._drop(feed, span, 0)
            seq = feed.next_seq
            reserve = 0
        record_id = self._next_id
        if self._trouble.error is None:
            try:
                safe = self._shelf.write(record_id, seq, span, payload, reserve)
            except OSError as error:
                safe, self._news = self._trouble.failed(error), True
        else:
            safe = self._retry(record_id, seq, span, payload, reserve)
        pending = self._pending + len(payload) + FRAME_MEMORY
        if not safe:
            if pending > self._budget + reserve:
                return self._drop(feed, span, reserve)
            self._trouble.volatile(record_id + span - 1)
        if feed is not None:
            feed.next_seq = seq + span
            feed.counts[level] += 1
        elif self._wake_at != _WOKEN:
            self._wake_at = record_id
        self._next_id = behind = record_id + span
        if behind > self._wake_at:
            self._wake_at, self._news = _WOKEN, True
        if pending <= self._budget + reserve:
            self._pending = pending
            self._frames.append((record_id, seq, span, payload))
            self._feeds.append(feed)
        else:
            if self._spilling != record_id:  # the first of a run
                self._shelf.bookmark(record_id - 1)
            self._spilling = behind
            self.spilled += 1
        if level >= URGENT:
            self._syncer.hurry()
        elif safe and not self._syncer.dirty:
            self._syncer.notice()
        return seq or record_id

    def _retry(self, record_id: int, seq: int, span: int, payload: bytes, reserve: int) -> bool:
        """After a failed write: try this one in a new segment, not too often."""
        if not self._trouble.may_retry:
            return False
        self._news = True
        try:
            self._shelf.renew(record_id)
            return self._shelf.write(record_id, seq, span, payload, reserve) and self._trouble.over()
        except OSError as error:
            return self._trouble.failed(error)

    def _drop(self, feed: Feed | None, span: int, reserve: int) -> int:
        if feed is None:
            self.lost += reserve >= 0  # a gap that cannot be named yet is tried again
        else:
            self.dropped += span
            feed.drop(span, f"{self._trouble.reason} and the memory for entries is full")
        return 0

    def _close_gap(self, feed: Feed, cost: int) -> bool:
        """Name what was dropped, if there is room again for that and for an entry."""
        fits = self._pending + cost + GAP_MEMORY <= self._budget
        if not fits and not self._shelf.has_room(cost + GAP_MEMORY):
            return False
        return self._name_gap(feed, RESERVE_BYTES if fits else -GAP_MEMORY - cost)

    def _name_gap(self, feed: Feed, reserve: int) -> bool:
        if self._put(None, records.encode(records.GapRecord(feed.task_id, feed.gap())), 0, 1, reserve):
            feed.dropping = 0
        return not feed.dropping

    def _reconcile(self) -> None:
        """A signal handler raised in an earlier call, or here: let the numbers agree with what the segment holds."""
        self._feeds += [self._interrupted[0]] * (len(self._frames) - len(self._feeds))
        self._syncer.watch(self._shelf.descriptor, None)
        with contextlib.suppress(OSError):  # the file cannot be read
            record_id, seq, span, payload = self._shelf.mend() or (0, 0, 0, b"")
            if record_id >= self._next_id:
                for feed in self._interrupted:
                    if feed is not None and seq >= feed.next_seq and records.decode(payload).task_id == feed.task_id:
                        feed.next_seq = seq + span
                self._next_id = record_id + span
        self.spilled += 1
        self._interrupted.clear()

    def seal(self, feed: Feed, make: Callable[[Sealed], bytes]) -> Sealed:
        """Take no more entries of a task, and append the record that says so (its payload is made here), as one act."""
        with self._lock:
            self._holding = True
            try:
                if feed.dropping:
                    self._name_gap(feed, RESERVE_BYTES)
                sealed = feed.seal()
                payload = make(sealed)
                if not self._closed:
                    self._put(None, payload, 0, 1)
                while self._deferred and not self._closed:
                    feed, payload, level, span = self._deferred.popleft()  # type: ignore[assignment]  # None, too
                    self._put(feed, payload, level, span)
            except BaseException:
                self._interrupted.append(feed)
                raise
            finally:
                self._holding = self._closed
        self._wake()
        self._trouble.tell()
        return sealed

    def take(self, patience: int = 0) -> tuple[list[Frame], list[Feed | None], int]:
        """Empty the inbox: records in order, beside them their feeds, and the newest id that is theirs or older.

        Every record up to that id is among those taken or lies in the segments. So many ids of entries as there is
        patience, but no other record, may follow before `wake` is called.
        """
        with self._lock:
            frames, feeds, last = self._frames, self._feeds, self.last_id
            self._frames, self._feeds, self._wake_at = [], [], self._next_id + patience
        return frames, feeds, last

    def release(self, count: int, size: int) -> None:
        """So many records, once taken from the inbox, with payloads of so many bytes, have left memory."""
        with self._lock:
            self._pending -= size + FRAME_MEMORY * count

    def read(self, after: int, through: int) -> Iterator[Frame]:
        """Records with ``after < id <= through`` from the segments, in order, streaming.

        A damaged remainder is set aside and counted; records only ever in memory are not found.
        """
        return self._shelf.read(after, through)

    def mark_stored(self, through: int) -> bool:
        """Records up to here are in the store; True when there are segments that may hold nothing else."""
        self.stored_id = max(self.stored_id, through)
        return self._shelf.has_closed

    def remove_stored(self) -> None:
        """Remove the segments that hold stored records only. Blocks; call it in a thread."""
        self._shelf.remove(self.stored_id)

    async def sync(self) -> bool:
        """Wait until every record appended before the call survives a power cut; False when one perhaps does not."""
        return await self._syncer.sync() and self._trouble.certain(self.stored_id)

    def _sync_failed(self, error: OSError) -> None:
        """After a failed fdatasync the file cannot be trusted: new records go to a new segment at once, and those not
        stored yet are copied from the page cache to another. Runs in the syncer's thread.
        """
        _log.error("the disk did not confirm the journal: %s", error)
        with self._lock:
            self._trouble.unconfirmed(self.last_id)
            now = time.monotonic()
            if now < self._rescue_at:
                return
            self._rescue_at = now + RESCUE_SECONDS
            if self._interrupted:
                self._reconcile()
            boundary, retired = self._next_id, self._shelf.descriptor
            try:
                self._shelf.begin(boundary)
            except OSError as failure:
                self._trouble.failed(failure)
                return
        try:
            self._shelf.rescue(self.stored_id, boundary, retired)
        except OSError as failure:
            _log.error("records not stored yet could not be written to a new segment: %s", failure)

    def close(self) -> None:
        """Sync and close the files; the last segment stays, its name tells the next number. Blocks."""
        with self._lock:
            if self._closed:
                return
            self._closed = self._holding = True
            if self._interrupted:
                self._reconcile()
            if self.stored_id >= self.last_id:
                with contextlib.suppress(OSError):
                    self._shelf.renew(self._next_id)
            self._shelf.close()
        self.remove_stored()
        self._syncer.close()
        os.close(self._shelf.descriptor)

    def _after_fork(self) -> None:
        self._lock = threading.RLock()
        self._locked = quick(self._lock)
        if not self._closed:
            self._closed = self._holding = self._forked = True
            self._shelf.forget()
            self._syncer.forget()
