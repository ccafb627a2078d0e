"""The segment that is being written: a file with room, and up to where frames lie in it.

State owned here: where the newest frame begins and ends. Whoever writes holds the journal's lock.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from zlib import crc32

from asynclog import segments
from asynclog.disk import Disk, Memory
from asynclog.records import Frame
from asynclog.segments import HEAD_BYTES, MARK_BYTES, pack_mark, pack_numbers
from asynclog.syncer import Retired


class ActiveSegment:
    """One that has its head, and no frame yet.

    Args:
        disk: the file operations.
        path: where it lies.
        fd: its descriptor.
        memory: its room, mapped; None where it is written instead.
        capacity: up to where there is room.
        end: up to where it is written.
    """

    __slots__ = ("_disk", "_memory", "capacity", "end", "fd", "limit", "newest", "path")

    def __init__(
        self, disk: Disk, path: Path, fd: int, memory: Memory | None, capacity: int, end: int = HEAD_BYTES
    ) -> None:
        self._disk = disk
        self._memory = memory
        self.path = path
        self.fd = fd
        self.capacity = capacity
        self.limit = capacity
        """Up to where frames may lie as far as the quota goes, too."""
        self.newest = end
        """Where the newest frame begins, and"""
        self.end = end
        """where it ends, whatever has become of it: both are moved before it is written."""

    @property
    def is_unused(self) -> bool:
        """Whether it holds nothing yet, and can."""
        return self.end == HEAD_BYTES < self.capacity

    def write(self, record_id: int, seq: int, span: int, payload: bytes) -> bool:
        """Append a frame; False when it would lie beyond the limit.

        In memory the mark is put down last: until then there is no frame, whatever becomes of the process. Raises
        OSError, and there is none either, nor will there be another one here.
        """
        body = pack_numbers(record_id, seq, span) + payload
        start = self.end
        place = start + MARK_BYTES
        end = place + len(body)
        if end > self.limit:
            return False
        mark = pack_mark(len(payload), crc32(body))
        self.newest = start
        self.end = end
        memory = self._memory
        try:
            if memory is None:
                self._disk.write_all(self.fd, mark + body)
            else:
                memory[place:end] = body
                memory[start:place] = mark
        except OSError:
            self.end = start
            self.finish()
            raise
        return True

    def finish(self) -> None:
        """Take no more frames: the last one there is ends it."""
        self.capacity = self.limit = self.end
        if self._memory is None:
            with contextlib.suppress(OSError):
                self._disk.truncate(self.fd, self.end)

    def mend(self) -> Frame | None:
        """After an interrupted append: the frame that was written last; what was only begun is wiped out."""
        start, end = self.newest, self.end
        frame = segments.frame_at(os.pread(self.fd, end - start, start), 0)
        if isinstance(frame, tuple):
            return frame
        self.end = start
        try:
            if self._memory is None:
                raise OSError(errno.EIO, "nobody knows how much of it was written")
            self._memory[start:end] = bytes(end - start)
        except OSError:
            self.finish()
        return None

    def retired(self) -> Retired:
        """What is left of it when another one takes its place."""
        return Retired(self.fd, self.end, self._memory)

    def close(self) -> None:
        """Give back its room and its memory; the descriptor stays open. Nothing is written any more."""
        self._memory = None
        with contextlib.suppress(OSError):
            self._disk.truncate(self.fd, self.end)

    def forget(self) -> None:
        """In a forked child: let go of the memory."""
        self._memory = None
