"""The segments of one journal folder: how they are found, begun, read, mended and removed.

State owned here: which segment is active, the bytes of every other one, what was damaged. Writing is the journal's,
under its lock, which also guards the numbers; reading, removing and rescuing run beside it in other threads.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

from asynclog import failpoints, segments
from asynclog.active import ActiveSegment
from asynclog.disk import Disk, Memory, free_name
from asynclog.records import Frame
from asynclog.segments import FRAME_BYTES, HEAD_BYTES, MAGIC, Segment
from asynclog.syncer import Retired

FIRST_BYTES: Final = 256 << 10
"""Room of a process' first segment; each further one has twice that of the one before, up to the largest."""
BOOKMARKS: Final = 256
"""Places remembered at most."""
RESCUE_SUFFIX: Final = ".rescue"
"""Of a file that is still being written from the records of others."""

_log = logging.getLogger("asynclog.journal")


class Shelf:
    """The files of one journal.

    Args:
        folder: where they lie; made if missing.
        segment_bytes: a segment that would grow beyond this is closed and the next one begun.
        quota: bytes of all segments that entries may take.
        disk: the file operations.
        lock: the journal's; whoever writes holds it.
        watch: told the active file descriptor, and the segment it takes the place of, which it cuts, syncs and closes.
    """

    def __init__(
        self,
        folder: Path,
        segment_bytes: int,
        quota: int,
        disk: Disk,
        lock: threading.RLock,
        watch: Callable[[int, Retired | None], None],
    ) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._quota = quota
        self._disk = disk
        self._lock = lock
        self._watch = watch
        self._mending = threading.Lock()
        self._sizes: dict[Path, int] = {}
        self.active = ActiveSegment(disk, folder, -1, None, 0, 0)
        """The segment that is being written; none before the first is begun."""
        self._begun = folder
        self._room = min(FIRST_BYTES, segment_bytes)
        """Of the next segment."""
        self._closed_bytes = 0
        self._bookmarks: deque[tuple[Path, int, int]] = deque(maxlen=BOOKMARKS)
        """Where reading may go on: a segment, an id in it, and the place behind its record."""
        self.journal_id = ""
        """Names this journal to the store, 32 hexadecimal digits."""
        self.damaged_files = 0

    @property
    def size(self) -> int:
        """Bytes that were written to the segments; the room that the active one has beyond them is not counted."""
        return self._closed_bytes + self.active.end

    @property
    def has_closed(self) -> bool:
        """Whether there are segments beside the active one."""
        return self._closed_bytes > 0

    def open(self) -> tuple[int, int]:
        """Find out what a former process left, and set aside what is not ours or damaged.

        Returns:
            The first record id that can be here, and the last that is; 0 and 0 when there is no segment.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for draft in self._folder.glob(f"*{RESCUE_SUFFIX}"):
            draft.unlink()  # its records still lie where they came from
        found = [Segment(path) for _, path in segments.listed(self._folder)]
        for segment in found:
            segment.read_head()
        ours = [segment for segment in found if segment.journal_id]
        newest = ours[-1] if ours else None
        first, last = 0, 0
        if newest is not None and newest.journal_id is not None:
            self.journal_id = newest.journal_id.hex()
            last = max([newest.first_id - 1, *(frame[0] + frame[2] - 1 for frame in newest.frames())])
            if not newest.damaged:  # give back the room it had beyond
                os.truncate(newest.path, newest.offset)
        for segment in found:
            if segment.journal_id is None and not segment.damaged:
                segment.path.unlink()  # begun, but not even its head was written
            elif segment.damaged:
                self._set_aside(segment)
            elif newest is None or segment.journal_id != newest.journal_id or not segment.is_at_its_place:
                self._set_foreign_aside(segment)
            if segment.path.exists():
                first = first or segment.first_id
                self._keep(segment.path, segment.path.stat().st_size)
        self.journal_id = self.journal_id or secrets.token_hex(16)
        return first, last

    def _keep(self, path: Path, size: int) -> None:
        """From now on this closed segment counts with this size; 0 when it is gone."""
        with self._lock:
            before = self._sizes.pop(path, 0)
            if size:
                self._sizes[path] = size
            self._closed_bytes += size - before
            self._bound()

    def _bound(self) -> None:
        self.active.limit = min(self.active.capacity, self._quota - self._closed_bytes)

    def begin(self, first_id: int, size: int = 0) -> None:
        """Begin the segment whose first record has this id or a higher one, and so many bytes.

        Raises OSError, and nothing has changed.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = segments.path_of(self._folder, first_id)
        if path.exists():
            self._make_way(path)
        self._begun = path
        fd = self._disk.create(path)
        try:
            memory, capacity = self._allocate(fd, HEAD_BYTES + size)
            head = segments.encode_head(bytes.fromhex(self.journal_id), first_id)
            if memory is None:
                self._disk.write_all(fd, head)
            else:
                memory[len(MAGIC) : HEAD_BYTES] = head[len(MAGIC) :]
                memory[0 : len(MAGIC)] = head[: len(MAGIC)]  # last: until then it has none, whoever is killed
            begun = ActiveSegment(self._disk, path, fd, memory, capacity)
        except BaseException:
            os.close(fd)
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        begun.limit = min(capacity, self._quota - self._closed_bytes)
        former, self.active = self.active, begun
        if former.fd < 0:
            self._watch(fd, None)
        else:
            if former.path != path:
                self._keep(former.path, former.end)
            self._watch(fd, former.retired())
        failpoints.hit("journal.rolled")

    def _allocate(self, fd: int, size: int) -> tuple[Memory | None, int]:
        """Room for at least so many bytes in a new segment, and how much it is. Raises OSError."""
        least = min(FIRST_BYTES, self._segment_bytes)
        left = self._quota - self.size
        room = max(size, min(self._room, max(left, least)))
        try:
            memory = self._disk.allocate(fd, room)
        except OSError:
            room = max(size, least)
            memory = self._disk.allocate(fd, room)
        return memory, room

    def _make_way(self, path: Path) -> None:
        """Something has the name of the next segment: one without a record goes, any other is kept beside."""
        found = Segment(path)
        if any(True for _ in found.frames()) or found.damaged:
            path.replace(free_name(path.with_name(f"{path.name}.damaged")))
            self.damaged_files += 1
        else:
            path.unlink()  # not overwritten: the active one, which is mapped, may have this name too
        self._keep(path, 0)

    def has_room(self, size: int, reserve: int = 0) -> bool:
        """Whether the quota has room for so many bytes."""
        return self.size + size <= self._quota + reserve

    def write(self, record_id: int, seq: int, span: int, payload: bytes, reserve: int) -> bool:
        """Append a frame that lies beyond the limit of the active segment: to another one, or beyond the quota.

        False when the quota, and the reserve beyond it, has no room. Raises OSError, and there is no such frame.
        """
        size = FRAME_BYTES + len(payload)
        if not self.has_room(size, reserve):
            return False
        if self.active.end + size > self.active.capacity:
            self._room = min(2 * self._room, self._segment_bytes)
            self.begin(record_id, size)
        self.active.limit = self.active.capacity
        try:
            return self.active.write(record_id, seq, span, payload)
        finally:
            self._bound()

    def renew(self, first_id: int) -> None:
        """After a failed write: go on in a new segment, unless the active one is empty and in order. Raises OSError."""
        with contextlib.suppress(OSError):
            if self.active.is_unused and not self._disk.is_removed(self.active.fd):
                return
        self.begin(first_id)

    def mend(self) -> Frame | None:
        """After an interrupted append: the record that was written last; what was only begun is wiped out."""
        if self._begun != self.active.path:  # readers would look there for what the active one will hold
            with contextlib.suppress(OSError):
                self._begun.unlink()
        return self.active.mend()

    def read(self, after: int, through: int) -> Iterator[Frame]:
        """Records with ``after < id <= through``, in order, streaming. A damaged remainder is set aside and counted."""
        again = True
        while again:
            again = False
            for path in self._holding(after):
                growing = path == self.active.path  # asked first: what is retired meanwhile is whole by now
                segment = Segment(path)
                try:
                    for frame in segment.frames(after, self._place(path, after)):
                        if frame[0] > through:
                            return
                        after = frame[0] + frame[2] - 1
                        if after >= through:
                            self._bookmarks.append((path, after, segment.offset))
                        yield frame
                        if after >= through:
                            return
                except FileNotFoundError:  # a rescue has moved its records to another segment
                    again = True
                    break
                if segment.damaged and not growing:
                    self._set_aside(segment)

    def bookmark(self, last_id: int) -> None:
        """The newest append, behind the record with this id, will be read: remember where it lies."""
        self._bookmarks.append((self.active.path, last_id, self.active.newest))

    def _place(self, path: Path, after: int) -> int:
        """Where in a segment the record behind an id lies, as far as that is known; 0 where it is not."""
        return next((place for known, last, place in tuple(self._bookmarks) if last == after and known == path), 0)

    def _holding(self, after: int) -> list[Path]:
        """The segments that may hold records above an id, in order."""
        files = segments.listed(self._folder)
        ends = [first for first, _ in files[1:]]
        return [path for (_, path), end in zip(files, [*ends, after + 2], strict=False) if end > after + 1]

    def remove(self, stored_id: int) -> None:
        """Remove the segments that hold nothing above an id. Blocks; call it in a thread."""
        files = segments.listed(self._folder)
        for (_, path), (next_first, _) in pairwise(files):
            if next_first > stored_id + 1 or path == self.active.path:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                self._keep(path, 0)
            failpoints.hit("journal.removed")

    def rescue(self, stored_id: int, boundary: int, retired: int) -> None:
        """Copy the records between two ids to a new, synced file, and remove the segments they came from.

        They are read from the page cache, and from the retired file even if it has lost its name. Raises OSError.
        """
        if stored_id + 1 >= boundary:
            return  # all of it is stored; and the new file would take the name of the active segment
        old = [path for first, path in segments.listed(self._folder) if first < boundary]
        final = segments.path_of(self._folder, stored_id + 1)
        draft = final.with_suffix(RESCUE_SUFFIX)
        fd = self._disk.create(draft)
        try:
            self._disk.write_all(fd, segments.encode_head(bytes.fromhex(self.journal_id), stored_id + 1))
            last = stored_id
            for frame in self.read(stored_id, boundary - 1):
                self._disk.write_all(fd, segments.encode_frame(frame))
                last = frame[0] + frame[2] - 1
            if self._disk.is_removed(retired):
                for frame in _frames_of(retired, last):
                    self._disk.write_all(fd, segments.encode_frame(frame))
            size = os.fstat(fd).st_size
            self._disk.sync(fd)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)
        draft.replace(final)
        for path in old:
            if path != final:
                path.unlink(missing_ok=True)
            self._keep(path, 0)
        self._keep(final, size)
        self._disk.sync_folder(self._folder)

    def _set_aside(self, segment: Segment) -> None:
        """Keep a damaged remainder beside its segment; where that fails it stays, and is passed over again."""
        with self._mending:
            try:
                aside = segments.set_aside(segment)
                size = segment.path.stat().st_size if segment.path.exists() else 0
            except OSError as error:
                _log.error("a damaged part of the journal could not be set aside: %s", error)
                return
        if aside is not None:
            self.damaged_files += 1
            self._keep(segment.path, size)
            _log.error("a part of the journal is damaged and was set aside as %s", aside)

    def _set_foreign_aside(self, segment: Segment) -> None:
        aside = free_name(segment.path.with_name(f"{segment.path.name}.foreign"))
        segment.path.replace(aside)
        self.damaged_files += 1
        _log.error("a segment of another journal was set aside as %s", aside)


def _frames_of(fd: int, after: int) -> Iterator[Frame]:
    """The records of an open file without a name, where the system shows open files."""
    with contextlib.suppress(FileNotFoundError):
        yield from Segment(Path(f"/proc/self/fd/{fd}")).frames(after)
