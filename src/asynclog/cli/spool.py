"""A queue of lines that may become long: in memory while it is short, in a temporary file when it is not."""

from __future__ import annotations

import tempfile
from collections import deque
from typing import IO, Final

MEMORY_BYTES: Final = 16 << 20
"""What a longer queue holds besides is in a file, which vanishes with the process."""
SPOOL_BYTES: Final = 1 << 30
"""A queue that has held so much since it was last empty takes no more."""


class Spool:
    """First in, first out. Lives on one thread."""

    def __init__(self) -> None:
        self._memory: deque[bytes] = deque()
        self._file: IO[bytes] | None = None
        self._read = 0
        self._written = 0
        """Both count what was in memory, too; the file begins where ``_begin`` says."""
        self._begin = 0
        self.lines = 0
        """How many are in it."""

    @property
    def size(self) -> int:
        """Bytes in it."""
        return self._written - self._read

    def put(self, line: bytes) -> bool:
        """Append a line that ends with a newline; False when it is full, or the disk is."""
        if self._written + len(line) > SPOOL_BYTES:
            return False
        if self._file is None and self.size + len(line) <= MEMORY_BYTES:
            self._memory.append(line)
        elif not self._wrote(line):
            return False
        self._written += len(line)
        self.lines += 1
        return True

    def _wrote(self, line: bytes) -> bool:
        try:
            if self._file is None:
                self._file, self._begin = tempfile.TemporaryFile(buffering=0), self._written  # noqa: SIM115  # see `close`
            self._file.seek(self._written - self._begin)
            return self._file.write(line) == len(line)  # what a full disk took of it is written over
        except OSError:
            return False

    def take(self, limit: int) -> bytes:
        """Remove as many whole lines as fit into so many bytes, and at least one; empty when there is none."""
        whole = self._from_memory(limit) or self._from_file(limit)
        self._read += len(whole)
        self.lines -= whole.count(b"\n")
        if self._read == self._written:
            self.close()
            self._read = self._written = 0
        return whole

    def _from_memory(self, limit: int) -> bytes:
        taken: list[bytes] = []
        while self._memory and (not taken or len(self._memory[0]) <= limit):
            taken.append(self._memory.popleft())
            limit -= len(taken[-1])
        return b"".join(taken)

    def _from_file(self, limit: int) -> bytes:
        if self._file is None:
            return b""
        self._file.seek(self._read - self._begin)
        data = self._file.read(min(limit, self.size))
        return data[: data.rfind(b"\n") + 1] or data + self._file.readline()

    def close(self) -> None:
        """Forget everything that is in the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
