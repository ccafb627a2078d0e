"""The file operations of the journal, in one place so that a test can make each of them fail (`asynclog.testing`)."""

from __future__ import annotations

import errno
import functools
import os
from mmap import mmap
from pathlib import Path
from typing import Final, Protocol

_KEEPING_PLACES: Final = frozenset({"ext2", "ext3", "ext4", "tmpfs", "xfs"})
"""File systems on which space once allocated is there for every later write. Those that copy on write (btrfs, ZFS,
overlays of them) may need more, and a copy into a mapped page that gets no place ends the process (SIGBUS)."""
_NOT_HERE: Final = frozenset({errno.EINVAL, errno.ENODEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})
"""A file system, or a system, that does not allocate or map."""


class Memory(Protocol):
    """The mapped room of a file: bytes copied to a place are in the page cache and outlive the process."""

    def __setitem__(self, place: slice, data: bytes, /) -> None:
        """Copy to the file. Raises OSError (in tests; a mapping itself does not), and nothing was copied."""


class Disk:
    """The operating system's own."""

    write = staticmethod(os.write)
    """Write bytes to a file, behind what was written before; how many were written."""

    def create(self, path: Path) -> int:
        """An empty file, mode 0600, no link followed, not inherited by a child."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def allocate(self, fd: int, size: int) -> Memory | None:
        """Room for so many bytes, all of them zero, in an empty file, mapped; None where that would not be safe.

        Copying into it cannot fail, but nobody may cut the file. Raises OSError when the disk has not got it.
        """
        if _file_system(os.fstat(fd).st_dev) not in _KEEPING_PLACES:
            return None
        try:
            os.posix_fallocate(fd, 0, size)
            return mmap(fd, size)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
        os.ftruncate(fd, 0)
        return None

    def write_all(self, fd: int, data: bytes) -> None:
        """Write all of the bytes. Raises OSError, and perhaps some are written."""
        if self.write(fd, data) != len(data):
            raise OSError(errno.ENOSPC, "no space left for a whole record")

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


@functools.lru_cache(maxsize=16)
def _file_system(device: int) -> str:
    """The type of the file system with this device number; empty where the system does not say, or has no such."""
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for mount in mounts:
        fields = mount.split()
        if fields[2] == number:
            return fields[fields.index("-") + 1]
    return ""


def free_name(path: Path) -> Path:
    """This name or, where it is taken, the next one with a number that is not."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free
