"""The system's own file operations: what may be mapped is."""

import errno
import os
import resource
from collections.abc import Iterator
from mmap import mmap
from pathlib import Path

import pytest

from asynclog.disk import Disk, _file_system


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    """An empty file."""
    found = Disk().create(tmp_path / "file")
    yield found
    os.close(found)


@pytest.fixture
def no_room() -> Iterator[None]:
    """The system refuses files of more than 100,000 bytes to this process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_room_is_mapped_where_it_lasts(fd: int) -> None:
    """On a file system that keeps a file's place its room is mapped, and has its size at once, of zeros."""
    if _file_system(os.fstat(fd).st_dev) not in ("ext4", "tmpfs", "xfs"):
        pytest.skip("the temporary folder is on a file system that copies on write")
    memory = Disk().allocate(fd, 70_000)
    assert isinstance(memory, mmap)
    assert os.pread(fd, 80_000, 0) == bytes(70_000)
    memory[10:14] = b"four"
    assert os.pread(fd, 6, 9) == b"\0four\0", "and what is copied to it is in the file"
    assert os.fstat(fd).st_blocks * 512 >= 70_000, "and has its place on the disk"


def test_the_file_system_of_a_device() -> None:
    """A device is known by the type of what is mounted from it; one that is not mounted is of no type."""
    assert _file_system(Path("/proc").stat().st_dev) == "proc"
    assert _file_system(os.makedev(4000, 1)) == ""
    fd = os.open("/proc/self/comm", os.O_RDWR)
    assert Disk().allocate(fd, 10) is None, "nothing is mapped on an unknown one"
    os.close(fd)


@pytest.mark.usefixtures("no_room")
def test_no_room_is_said_at_once(fd: int) -> None:
    """Room that the system does not have is refused when it is asked for."""
    with pytest.raises(OSError, match="large") as caught:
        Disk().allocate(fd, 200_000)
    assert caught.value.errno == errno.EFBIG
