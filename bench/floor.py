"""The least that an entry can cost in this interpreter: formatted, checksummed, mapped, synced and inserted, no more.

One thread, no lock, no label, no redaction, no count, no run file, nobody who could be told. What is left is what
nobody who keeps the promises can leave out: a line is made, copied with its checksum where `kill -9` cannot reach it,
asked of the disk within 250 ms and inserted by the plain loop of `bench.plain` within two seconds.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path
from typing import Final
from zlib import crc32

from bench import plain

SYNC_MICROSECONDS: Final = 250_000
COMMIT_MICROSECONDS: Final = 2_000_000
COMMIT_ENTRIES: Final = 12_000
SEGMENT: Final = 16 << 20
_ROWS: Final = (plain.ROWS, 100, 10, 1)
"""Of a statement: few sizes, so that each is prepared once."""


class Floor:
    """Keeps the entries of one task. Lives in one thread.

    Args:
        folder: where its files are made.
    """

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder / "floor.seg", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.posix_fallocate(self._fd, 0, SEGMENT)
        self._memory = mmap.mmap(self._fd, SEGMENT)
        self._pack = struct.Struct("<II").pack
        self._connection = plain.connect(folder / "floor.db", ["floor"])
        self._number = 0
        self.written = 0
        """Bytes of the segment that hold entries not stored yet."""
        self._values: list[object] = []
        self._sync_at = self._commit_at = 0

    def log(self, number: int) -> None:
        """Take an entry; `kill -9` cannot lose it afterwards."""
        now = time.time_ns() // 1000
        message = "handled chunk %d of the work" % number  # noqa: UP031  # as a log call gets it
        metadata = '{"chunk":%d}' % number  # noqa: UP031  # likewise
        data = f"{now} {message} {metadata}".encode()
        start = self.written
        self.written = end = start + 8 + len(data)
        self._memory[start:end] = self._pack(len(data), crc32(data)) + data
        self._number = seq = self._number + 1
        self._values += (seq, "floor", seq, now, message, metadata)
        if now >= self._sync_at:
            self._look(now)

    def _look(self, now: int) -> None:
        os.fdatasync(self._fd)
        self._sync_at = now + SYNC_MICROSECONDS
        if now >= self._commit_at or len(self._values) >= plain.WIDTH * COMMIT_ENTRIES:
            self._commit_at = now + COMMIT_MICROSECONDS
            self.commit()

    def commit(self) -> None:
        """Insert what there is, in one transaction."""
        values, self._values = self._values, []
        self._connection.execute("BEGIN")
        start = 0
        for rows in _ROWS:
            size = plain.WIDTH * rows
            while len(values) - start >= size:
                self._connection.execute(plain.statement(rows), values[start : start + size])
                start += size
        self._connection.execute("COMMIT")
        self.written = 0

    def close(self) -> None:
        """Close its files."""
        self._connection.close()
        self._memory.close()
        os.close(self._fd)
