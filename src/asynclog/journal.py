"""The journal: where a record is numbered and becomes crash-safe, before the call that made it returns.

State owned here, all under one re-entrant lock: the next record id, every `Feed`, the active segment and the inbox
that hands records on to the event loop. Everything that costs is done before the lock is taken.

Memory is bounded by ``budget``: a record beyond it is not put into the inbox; ids are dense, so the writer sees the
hole and reads it from the segments. Only when the segments cannot be written either, records beyond the budget are
dropped, as a contiguous range of their task that is named by a gap record as soon as there is room.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import secrets
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from zlib import crc32

from asynclog import failpoints, records, segments
from asynclog.disk import Disk
from asynclog.errors import JournalError
from asynclog.feed import Feed
from asynclog.model import Level, Sealed
from asynclog.records import Frame
from asynclog.segments import FRAME_BYTES, HEAD_BYTES, pack_mark, pack_numbers
from asynclog.syncer import Syncer

SEGMENT_BYTES: Final = 16 << 20
"""A segment that reaches this size is closed and the next one begun."""

QUOTA_BYTES: Final = 1 << 30
"""All segments together, unless configured."""

BUDGET_BYTES: Final = 32 << 20
"""Records in memory between the log call and the commit."""

RESERVE_BYTES: Final = 8 << 20
"""What records that are no entries (task state, gaps) may take beyond quota and budget."""

FRAME_MEMORY: Final = 160
"""Bytes a frame takes in memory beside its payload, about."""

RETRY_SECONDS: Final = 0.25
"""How long after a failed write the next one is tried."""

_log = logging.getLogger("asynclog.journal")


class Journal:
    """The append-only files of one data directory.

    Args:
        folder: where the segments lie; made if missing.
        floor: the highest record id the store knows; numbering goes on above it and above every record found here.
        wake: called, from any thread, when the inbox is no longer empty; must not block.
        quota: bytes of all segments; above it entries stay in memory.
        budget: bytes of records in memory.
        disk: the file operations, for tests.

    Raises:
        JournalError: the folder cannot be read or written at the start.
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
        self._folder = folder
        self._wake = wake
        self._quota = quota
        self._budget = budget
        self._segment_bytes = segment_bytes
        self._disk = disk or Disk()
        self._lock = threading.RLock()
        self._holding = False
        self._deferred: deque[tuple[Feed | None, bytes, int, int, int]] = deque()
        self._frames: list[Frame] = []
        self._feeds: list[Feed | None] = []
        self._pending = 0
        self._error: OSError | None = None
        self._retry_at = 0.0
        self._volatile_id = 0
        self._unconfirmed_id = 0
        self._warned = False
        self._closed = False
        self._forked = False
        self.damaged_files = 0
        self.dropped = 0
        self.stored_id = 0
        """The watermark: records up to here are in the store."""
        self._syncer = Syncer(self._disk, folder, self._sync_failed)
        self.journal_id = ""
        """Names this journal to the store, 32 hexadecimal digits."""
        self._next_id = 1
        self._path = folder
        self._fd = -1
        self._size = 0
        self._closed_bytes = 0
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._recover(floor)
            self._begin_segment()
        except OSError as error:
            raise JournalError(f"the journal in {folder} cannot be opened: {error}") from error
        self._syncer.watch(self._fd)
        this = weakref.ref(self)

        def forked() -> None:
            journal = this()
            if journal is not None:
                journal.leave()

        os.register_at_fork(after_in_child=forked)

    @property
    def last_id(self) -> int:
        """The id of the newest record."""
        return self._next_id - 1

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return self._closed_bytes + self._size

    @property
    def pending_bytes(self) -> int:
        """Bytes of records in memory that the store does not hold yet."""
        return self._pending

    @property
    def trouble(self) -> str | None:
        """Why the guarantee of DESIGN 6 does not hold now, as a sentence; None when it does."""
        if self._error is not None:
            return f"the journal cannot be written: {self._error}; new entries are only in memory until it can"
        if self.stored_id < self._volatile_id:
            return "some entries are only in memory until they are stored"
        if self.stored_id < self._unconfirmed_id:
            return "the disk did not confirm a write; entries since then survive a crash but perhaps not a power cut"
        return None

    def append(
        self, feed: Feed | None, payload: bytes, level: int = 0, span: int = 1, levels: list[int] | None = None
    ) -> int:
        """Number a record and make it crash-safe. Never raises for what is wrong with the disk.

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
        crc = crc32(payload)
        with self._lock:
            if self._holding:
                self._deferred.append((feed, payload, level, span, crc))
                return 0
            if self._closed:
                return self._refuse()
            self._holding = True
            idle = not self._frames
            try:
                number = self._put(feed, payload, level, span, crc)
                if levels is not None and feed is not None and number:
                    feed.count(levels)
                while self._deferred:
                    self._put(*self._deferred.popleft())
            finally:
                self._holding = False
            wake = idle and bool(self._frames)
        if wake:
            self._wake()
        return number

    def _put(  # noqa: C901  # the hot path: short, flat, decided beforehand
        self, feed: Feed | None, payload: bytes, level: int, span: int, crc: int
    ) -> int:
        seq = 0
        if feed is not None:
            if feed.sealed:
                feed.late += span
                return 0
            if feed.dropping and not self._close_gap(feed):
                return self._drop(feed, span)
            seq = feed.next_seq
        record_id = self._next_id
        cost = len(payload) + FRAME_MEMORY
        if self._error is None and self._closed_bytes + self._size + cost <= self._quota:
            numbers = pack_numbers(record_id, seq, span)
            safe = self._write(pack_mark(len(payload), crc32(numbers, crc)) + numbers + payload)
        else:
            safe = self._rewrite(feed, (record_id, seq, span, payload))
        fits = self._pending + cost <= self._budget + (0 if feed else RESERVE_BYTES)
        if not safe and not fits:
            return self._drop(feed, span)
        if not safe:
            self._volatile_id = record_id + span - 1
        self._next_id = record_id + span
        if feed is not None:
            feed.next_seq = seq + span
            feed.counts[level // 10] += 1
        if fits:
            self._pending += cost
            self._frames.append((record_id, seq, span, payload))
            self._feeds.append(feed)
        if level >= Level.ERROR:
            self._syncer.hurry()
        elif safe and not self._syncer.dirty:
            self._syncer.notice()
        return seq or record_id

    def _write(self, data: bytes) -> bool:
        """Append to the active segment; on any failure leave it as it was."""
        if self._size + len(data) > self._segment_bytes and self._size > HEAD_BYTES:
            try:
                self._roll()
            except OSError as error:
                return self._fail(error)
        try:
            written = self._disk.write(self._fd, data)
        except OSError as error:
            self._cut()
            return self._fail(error)
        except BaseException:  # a signal handler raised: the record must be there wholly or not at all
            self._cut()
            raise
        if written != len(data):
            self._cut()
            return self._fail(OSError(28, "no space left for a whole record"))
        self._size += written
        return True

    def _cut(self) -> None:
        with contextlib.suppress(OSError):
            self._disk.truncate(self._fd, self._size)

    def _fail(self, error: OSError) -> bool:
        if self._error is None:
            _log.error("the journal cannot be written: %s", error)
        self._error = error
        self._retry_at = time.monotonic() + RETRY_SECONDS
        return False

    def _rewrite(self, feed: Feed | None, frame: Frame) -> bool:
        """Write a record when the last write failed or the quota is used up: in a new segment, not too often."""
        if self.size + len(frame[3]) + FRAME_BYTES > self._quota + (0 if feed else RESERVE_BYTES):
            return False
        if self._error is not None:
            if time.monotonic() < self._retry_at:
                return False
            try:
                self._roll()
            except OSError as error:
                return self._fail(error)
            self._error = None
        if not self._write(segments.encode_frame(frame)):
            return False
        _log.warning("the journal can be written again")
        return True

    def _drop(self, feed: Feed | None, span: int) -> int:
        self.dropped += span
        if feed is not None:
            what = "the journal cannot be written" if self._error else "the journal's quota is used up"
            feed.drop(span, f"{what} and the memory for entries is full")
        return 0

    def _close_gap(self, feed: Feed) -> bool:
        """Name what was dropped, if there is room again for that and for an entry."""
        if self._pending + FRAME_MEMORY * 64 > self._budget and (self._error or self.size >= self._quota):
            return False
        return self._name_gap(feed)

    def _name_gap(self, feed: Feed) -> bool:
        payload = records.encode(records.GapRecord(feed.task_id, feed.gap()))
        if not self._put(None, payload, 0, 1, crc32(payload)):
            return False
        feed.dropping = 0
        return True

    def _refuse(self) -> int:
        if self._forked and not self._warned:
            self._warned = True
            sys.stderr.write("asynclog: a forked child cannot log to its parent's journal; its log calls do nothing\n")
        return 0

    def seal(self, feed: Feed, make: Callable[[Sealed], bytes]) -> Sealed:
        """Take no more entries of a task, and append the record that says so, as one act.

        Args:
            feed: the task's.
            make: gives the payload of the closing record.
        """
        with self._lock:
            if feed.dropping:
                self._name_gap(feed)
            sealed = feed.seal()
            self.append(None, make(sealed))
        return sealed

    def take(self) -> tuple[list[Frame], list[Feed | None], int]:
        """Empty the inbox: records in order, beside them their feeds, and the newest id that is theirs or older.

        Every record up to that id is among those taken or lies in the segments.
        """
        with self._lock:
            frames, feeds, last = self._frames, self._feeds, self.last_id
            self._frames, self._feeds = [], []
        return frames, feeds, last

    def release(self, frames: list[Frame]) -> None:
        """These records, once taken from the inbox, have left memory."""
        freed = sum(len(frame[3]) for frame in frames) + FRAME_MEMORY * len(frames)
        with self._lock:
            self._pending -= freed

    def read(self, after: int, through: int) -> Iterator[Frame]:
        """Records with ``after < id <= through`` from the segments, in order, streaming.

        A damaged remainder is set aside and counted; records only ever in memory are not found.
        """
        files = segments.listed(self._folder)
        for index, (_, path) in enumerate(files):
            if index + 1 < len(files) and files[index + 1][0] <= after + 1:
                continue
            segment = segments.Segment(path)
            try:
                for frame in segment.frames(after):
                    if frame[0] > through:
                        return
                    after = frame[0] + frame[2] - 1
                    yield frame
            except FileNotFoundError:
                continue
            if segment.damaged and path != self._path:
                self._set_aside(segment)

    def mark_stored(self, through: int) -> bool:
        """Records up to here are in the store; True when there are segments that may hold nothing else."""
        self.stored_id = max(self.stored_id, through)
        return self._closed_bytes > 0

    def remove_stored(self) -> None:
        """Remove the segments that hold stored records only. Blocks; call it in a thread."""
        removed = 0
        files = segments.listed(self._folder)
        for (_, path), (next_first, _) in itertools.pairwise(files):
            if next_first > self.stored_id + 1 or path == self._path:
                break
            with contextlib.suppress(OSError):
                size = path.stat().st_size
                path.unlink()
                removed += size
            failpoints.hit("journal.removed")
        if removed:
            with self._lock:
                self._closed_bytes = max(0, self._closed_bytes - removed)

    def _recover(self, floor: int) -> None:
        """Find the journal's id and the newest record; cut a torn end."""
        last = floor
        files = segments.listed(self._folder)
        for index, (first_id, path) in enumerate(files):
            with path.open("rb") as file:
                head = segments.decode_head(file.read(HEAD_BYTES))
            if head is not None:
                self.journal_id = head[0].hex()
                last = max(last, first_id - 1)
            if index == len(files) - 1 or head is None:
                segment = segments.Segment(path)
                for frame in segment.frames():
                    last = max(last, frame[0] + frame[2] - 1)
                if segment.damaged:
                    self._set_aside(segment)
            with contextlib.suppress(FileNotFoundError):
                self._closed_bytes += path.stat().st_size
        self.journal_id = self.journal_id or secrets.token_hex(16)
        self._next_id = last + 1

    def _set_aside(self, segment: segments.Segment) -> None:
        aside = segments.set_aside(segment)
        if aside is not None:
            self.damaged_files += 1
            _log.error("a part of the journal is damaged and was set aside as %s", aside)

    def _begin_segment(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = segments.path_of(self._folder, self._next_id)
        if path.exists():  # a segment without a record: the same number again
            self._closed_bytes -= path.stat().st_size
        head = segments.encode_head(bytes.fromhex(self.journal_id), self._next_id)
        fd = self._disk.create(path)
        try:
            if self._disk.write(fd, head) != len(head):
                raise OSError(28, "no space left for a segment")
        except OSError:
            os.close(fd)
            raise
        self._path, self._fd, self._size = path, fd, len(head)

    def _roll(self) -> None:
        old, size = self._fd, self._size
        self._begin_segment()
        self._closed_bytes += size
        self._syncer.watch(self._fd, retired=old)
        failpoints.hit("journal.rolled")

    async def sync(self) -> bool:
        """Wait until every record appended before the call survives a power cut; False when the disk refuses."""
        return await self._syncer.sync()

    def _sync_failed(self, error: OSError) -> None:
        """After a failed fdatasync the file cannot be trusted: what is not stored yet goes to a new segment.

        Runs in the syncer's thread. New records go to a segment of their own at once; the older ones are read back
        from the page cache and written to a file that takes the place of the old segments.
        """
        _log.error("the disk did not confirm the journal: %s", error)
        with self._lock:
            self._unconfirmed_id = self.last_id
            boundary = self._next_id
            try:
                self._roll()
            except OSError as failure:
                self._fail(failure)
                return
        try:
            self._rescue(boundary)
        except OSError as failure:
            _log.error("records not stored yet could not be written to a new segment: %s", failure)

    def _rescue(self, boundary: int) -> None:
        """Copy the records in (stored, boundary) to a new file, synced, and remove the segments they came from."""
        old = [path for first_id, path in segments.listed(self._folder) if first_id < boundary]
        first = self.stored_id + 1
        draft = segments.path_of(self._folder, first).with_suffix(".rescue")
        fd = self._disk.create(draft)
        try:
            self._disk.write(fd, segments.encode_head(bytes.fromhex(self.journal_id), first))
            for frame in self.read(first - 1, boundary - 1):
                data = segments.encode_frame(frame)
                if self._disk.write(fd, data) != len(data):
                    raise OSError(28, "no space left for the rescued records")
            self._disk.sync(fd)
        finally:
            os.close(fd)
        final = segments.path_of(self._folder, first)
        draft.replace(final)
        for path in old:
            if path != final:
                path.unlink(missing_ok=True)
        self._disk.sync_folder(self._folder)

    def close(self) -> None:
        """Sync and close the files; the last segment stays, its name tells the next number. Blocks."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self.stored_id >= self.last_id and self._size > HEAD_BYTES:
                with contextlib.suppress(OSError):
                    self._roll()
        self.remove_stored()
        self._syncer.close()
        os.close(self._fd)

    def leave(self) -> None:
        """In a forked child: close the inherited files; log calls do nothing from here on."""
        self._lock = threading.RLock()
        self._holding = False
        if not self._closed:
            self._closed = self._forked = True
            self._syncer.forget()
            with contextlib.suppress(OSError):
                os.close(self._fd)
