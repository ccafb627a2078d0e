"""A queue of lines that may become long: in memory while it is short, in a temporary file when it is not."""

from __future__ import annotations

import tempfile
from typing import Final

MEMORY_BYTES: Final = 16 << 20
"""A longer queue goes on in a file, which vanishes with the process."""
SPOOL_BYTES: Final = 1 << 30
"""A queue that has held so much since it was last empty takes no more."""


class Spool:
    """First in, first out. Lives on one thread."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115 - closed by `close`
        self._read = 0
        self._written = 0
        self.lines = 0
        """How many are in it."""

    @property
    def size(self) -> int:
        """Bytes in it."""
        return self._written - self._read

    def put(self, line: bytes) -> bool:
        """Append a line that ends with a newline; False when it is full."""
        if self._written + len(line) > SPOOL_BYTES:
            return False
        self._file.seek(self._written)
        self._file.write(line)
        self._written += len(line)
        self.lines += 1
        return True

    def take(self, limit: int) -> bytes:
        """Remove as many whole lines as fit into so many bytes, and at least one; empty when there is none."""
        self._file.seek(self._read)
        data = self._file.read(min(limit, self.size))
        whole = data[: data.rfind(b"\n") + 1] or data + self._file.readline()
        self._read += len(whole)
        self.lines -= whole.count(b"\n")
        if self._read == self._written:
            self._file.seek(0)
            self._file.truncate()
            self._read = self._written = 0
        return whole

    def close(self) -> None:
        """Forget everything."""
        self._file.close()
