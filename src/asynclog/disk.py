"""The file operations of the journal, in one place so that a test can make each of them fail (`asynclog.testing`)."""

from __future__ import annotations

import os
from pathlib import Path


class Disk:
    """The operating system's own."""

    write = staticmethod(os.write)
    """Append bytes to a file; how many were written."""

    def create(self, path: Path) -> int:
        """An empty file open for appending, mode 0600, no link followed, not inherited by a child."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def truncate(self, fd: int, size: int) -> None:
        """Cut a file to a size."""
        os.ftruncate(fd, size)

    def sync(self, fd: int) -> None:
        """Return when the file's content survives a power cut. Raises OSError when the disk does not confirm it."""
        os.fdatasync(fd)

    def is_removed(self, fd: int) -> bool:
        """Whether the file has no name any more."""
        return os.fstat(fd).st_nlink == 0

    def sync_folder(self, path: Path) -> None:
        """Return when the names in a folder survive a power cut."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def free_name(path: Path) -> Path:
    """This name or, where it is taken, the next one with a number that is not."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free
