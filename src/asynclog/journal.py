"""The journal: where a record is numbered and becomes crash-safe, before the call that made it returns.

Here is who may come in, and when: threads, finalisers, signal handlers, forked children. What becomes of a record is
the `Ledger`'s affair, the files are the `Shelf`'s; both are used under one re-entrant lock. Everything that costs is
done before the lock is taken, and nothing is logged under it (a handler may wait for a lock of its own).
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

from asynclog.disk import Disk
from asynclog.errors import JournalError
from asynclog.feed import Feed
from asynclog.frames import Frames
from asynclog.ledger import Ledger
from asynclog.lock import quick
from asynclog.model import Sealed
from asynclog.records import Frame
from asynclog.shelf import Shelf
from asynclog.syncer import Syncer

SEGMENT_BYTES: Final = 16 << 20
"""A segment that reaches this size is closed and the next one begun."""
QUOTA_BYTES: Final = 1 << 30
"""All segments together, unless configured."""
BUDGET_BYTES: Final = 32 << 20
"""Records in memory between the log call and the commit."""
RESCUE_SECONDS: Final = 1.0
"""How long after a failed sync another one makes for another new segment."""
_FREE, _BUSY, _WAITED_FOR, _INTERRUPTED, _CLOSED = range(5)
"""What the journal is at: nothing; a record; nothing, but others were put off meanwhile, or a signal handler raised;
nothing any more."""

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
        self._lock = threading.RLock()
        self._locked = quick(self._lock)
        self._state = self._rest = _FREE
        """What it is at, and will be at when the call that holds it has ended."""
        self._deferred: deque[tuple[Feed | None, bytes, int, int]] = deque()
        self._interrupted: tuple[Feed | None, bytes] = None, b""
        """The record at which a signal handler raised."""
        self._forked = False
        self._rescue_at = 0.0
        self._syncer = Syncer(disk := disk or Disk(), folder, self._sync_failed, self._lock)
        self._shelf = Shelf(folder, segment_bytes, quota, disk, self._lock, self._syncer.watch)
        try:
            first, last = self._shelf.open()
            next_id = max(floor, last) + 1
            self._shelf.begin(next_id)
        except OSError as error:
            raise JournalError(f"the journal in {folder} cannot be opened: {error}") from error
        self._ledger = Ledger(self._shelf, self._syncer, budget, next_id)
        self._syncer.start()
        self.stored_id = (first or next_id) - 1
        """The watermark: records up to here are in the store, or were removed because they once were."""
        self.jump = (last, next_id - 1) if first else (0, 0)
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
        return self._ledger.next_id - 1

    @property
    def stated_id(self) -> int:
        """The id of the newest record that is no entry: up to it the records say how tasks are now."""
        return self._ledger.stated_id

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
        return self._ledger.pending

    @property
    def dropped(self) -> int:
        """Entries there was no room for."""
        return self._ledger.dropped

    @property
    def lost(self) -> int:
        """Other records there was no room for."""
        return self._ledger.lost

    @property
    def spilled(self) -> int:
        """Records that were not put into the inbox, because memory was full."""
        return self._ledger.spilled

    @property
    def is_volatile(self) -> bool:
        """Whether there are records in memory that neither a segment nor the store holds."""
        return self.stored_id < self._ledger.trouble.volatile_id

    @property
    def trouble(self) -> str | None:
        """Why the guarantee of DESIGN 6 does not hold now, as a sentence; None when it does."""
        return self._ledger.trouble.sentence(self.stored_id, full=self._ledger.is_full)

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
            if self._state and not self._enters(feed, payload, level, span):
                return 0
            self._state = _BUSY
            try:
                number = self._ledger.put(feed, payload, level, span)
                if levels is not None and feed is not None and number:
                    feed.count(levels)
            except BaseException:
                self._interrupt(feed, payload)
                raise
            finally:
                self._state = self._rest
        if self._ledger.news:
            self._tell()
        return number

    def _enters(self, feed: Feed | None, payload: bytes, level: int, span: int) -> bool:
        """Whether a record can be appended now: not when it has to wait for another one, nor when the end has come."""
        if self._state == _BUSY:
            self._deferred.append((feed, payload, level, span))
            self._rest = max(self._rest, _WAITED_FOR)
            self._ledger.news = True
        elif self._state != _CLOSED:
            self._catch_up()
            return True
        elif self._forked:
            self._forked = False  # said once
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write("asynclog: a forked child cannot log to its parent's journal; its calls do nothing\n")
        return False

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the journal, all that came before done; what is logged from inside comes after that."""
        with self._lock:
            if self._state == _BUSY:  # a signal handler's call, inside of another one
                yield
                return
            self._state = _BUSY
            try:
                if self._rest == _INTERRUPTED:
                    self._reconcile()
                self._carry_out()
                yield
                self._carry_out()
            except BaseException:
                self._interrupt(None, b"")
                raise
            finally:
                self._state = self._rest

    def _catch_up(self) -> None:
        """Do what is waited for."""
        with self._alone():
            pass

    def _carry_out(self) -> None:
        """Append what was put off, in order; each is forgotten once it is there."""
        while self._deferred and self._rest != _CLOSED:
            feed, payload, level, span = self._deferred[0]
            try:
                self._ledger.put(feed, payload, level, span)
            except BaseException:
                self._interrupt(feed, payload)
                raise
            self._deferred.popleft()
        if self._rest == _WAITED_FOR:
            self._rest = _FREE

    def _interrupt(self, feed: Feed | None, payload: bytes) -> None:
        """A signal handler raised while this record was appended: nobody knows how far that came."""
        if self._rest < _INTERRUPTED:
            self._interrupted = feed, payload
            self._rest = _INTERRUPTED
        self._wake()

    def _reconcile(self) -> None:
        """After an interruption let numbers, inbox and what was put off agree with what is written."""
        self._syncer.watch(self._shelf.active.fd, None)
        try:
            written = self._shelf.mend()
        except OSError:  # the file cannot be read
            written = None
        feed, payload = self._interrupted
        there = self._ledger.reconcile(feed, payload, written)
        if there and self._deferred and self._deferred[0][1] is payload:
            self._deferred.popleft()
        self._rest = _WAITED_FOR

    def _tell(self) -> None:
        """Whoever has to hear of something does; not under the lock."""
        self._ledger.news = False
        if self._deferred:
            self._catch_up()
        self._wake()
        self._ledger.trouble.tell()

    def seal(self, feed: Feed, make: Callable[[Sealed], bytes]) -> Sealed:
        """Take no more entries of a task, and append the record that says so (its payload is made here), as one act."""
        with self._alone():
            if feed.dropping:
                self._ledger.name_gap(feed)
            sealed = feed.seal()
            payload = make(sealed)
            if self._rest != _CLOSED:
                self._ledger.put(None, payload)
        self._tell()
        return sealed

    def take(self, patience: int = 0) -> tuple[Frames, list[Feed | None], int]:
        """Empty the inbox: records in order, beside them their feeds, and the newest id that is theirs or older.

        Every record up to that id is among those taken or lies in the segments. So many ids of entries as there is
        patience, but no other record, may follow before `wake` is called.
        """
        with self._alone():
            return self._ledger.take(patience)

    def release(self, count: int, size: int) -> None:
        """So many records, once taken from the inbox, with payloads of so many bytes, have left memory."""
        with self._lock:
            self._ledger.release(count, size)

    def read(self, after: int, through: int) -> Iterator[Frame]:
        """Records with ``after < id <= through`` from the segments, in order, streaming.

        A damaged remainder is set aside and counted; records only ever in memory are not found.
        """
        return self._shelf.read(after, through)

    def mark_stored(self, through: int) -> bool:
        """Records up to here are in the store; True when there are segments that may hold nothing else."""
        self.stored_id = max(self.stored_id, through)
        with self._lock:
            if self.stored_id >= self.last_id:
                self._ledger.rest()
        return self._shelf.has_closed

    def remove_stored(self) -> None:
        """Remove the segments that hold stored records only. Blocks; call it in a thread."""
        self._shelf.remove(self.stored_id)

    async def sync(self) -> bool:
        """Wait until every record appended before the call survives a power cut; False when one perhaps does not."""
        return await self._syncer.sync() and self._ledger.trouble.certain(self.stored_id)

    def _sync_failed(self, error: OSError) -> None:
        """After a failed fdatasync the file cannot be trusted: new records go to a new segment at once, and those not
        stored yet are copied from the page cache to another. Runs in the syncer's thread.
        """
        _log.error("the disk did not confirm the journal: %s", error)
        with self._alone():
            self._ledger.trouble.unconfirmed(self.last_id)
            now = time.monotonic()
            if now < self._rescue_at:
                return
            self._rescue_at = now + RESCUE_SECONDS
            boundary, retired = self._ledger.next_id, self._shelf.active.fd
            try:
                self._shelf.begin(boundary)
            except OSError as failure:
                self._ledger.failed(failure)
                return
        try:
            self._shelf.rescue(self.stored_id, boundary, retired)
        except OSError as failure:
            _log.error("records not stored yet could not be written to a new segment: %s", failure)

    def close(self) -> None:
        """Sync and close the files; the last segment stays, its name tells the next number. Blocks."""
        with self._alone():
            if self._rest == _CLOSED:
                return
            if self.stored_id >= self.last_id:
                with contextlib.suppress(OSError):
                    self._shelf.renew(self._ledger.next_id)
            self._carry_out()
            self._rest = _CLOSED
            self._shelf.active.close()
        self.remove_stored()
        self._syncer.close()
        os.close(self._shelf.active.fd)

    def _after_fork(self) -> None:
        self._lock = threading.RLock()
        self._locked = quick(self._lock)
        if self._rest != _CLOSED:
            self._state = self._rest = _CLOSED
            self._forked = True
            self._shelf.active.forget()
            self._syncer.forget()
