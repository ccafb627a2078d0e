"""The lock on a data directory."""

import fcntl
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from asynclog.errors import LockedError, StoreError
from asynclog.lockfile import DirectoryLock, Owner, read_owner

HOLDER = """
import sys
from pathlib import Path
from asynclog.lockfile import DirectoryLock
with DirectoryLock(Path(sys.argv[1])) as lock:
    lock.tell("http://127.0.0.1:1")
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(folder: Path) -> subprocess.Popen[bytes]:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    return holder


def test_nobody_owns_it(tmp_path: Path) -> None:
    """A directory without a lock file, or with one that nobody holds, has no owner."""
    assert read_owner(tmp_path) is None
    with DirectoryLock(tmp_path):
        pass
    assert read_owner(tmp_path) is None


def test_the_owner_is_named(tmp_path: Path) -> None:
    """Another process can read who owns the directory and where it serves; the error says both."""
    holder = hold(tmp_path)
    try:
        assert read_owner(tmp_path) == Owner(holder.pid, "http://127.0.0.1:1")
        with pytest.raises(LockedError, match=f"process {holder.pid} owns .* and serves it at http://127.0.0.1:1"):
            DirectoryLock(tmp_path).__enter__()
    finally:
        holder.communicate()
    with DirectoryLock(tmp_path):
        assert read_owner(tmp_path) == Owner(os.getpid())


def test_a_full_disk_does_not_keep_anybody_out(tmp_path: Path) -> None:
    """Where nothing can be written down the directory is owned all the same, and is free afterwards."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    (tmp_path / "lock").touch()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        with DirectoryLock(tmp_path) as lock:
            lock.tell("http://127.0.0.1:1")
            owner = read_owner(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert owner == Owner(pid=0)
    with DirectoryLock(tmp_path):
        assert read_owner(tmp_path) == Owner(os.getpid())


def test_what_is_no_directory_is_told(tmp_path: Path) -> None:
    """A path that cannot be a directory is an error of ours that names it."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/data cannot be used: .*Not a directory"):
        DirectoryLock(tmp_path / "file" / "data").__enter__()


def test_a_killed_owner_gives_it_up(tmp_path: Path) -> None:
    """After kill -9 the lock is free, whatever its file still says."""
    holder = hold(tmp_path)
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert (tmp_path / "lock").read_bytes()
    assert read_owner(tmp_path) is None
    with DirectoryLock(tmp_path):
        pass


def test_an_owner_that_has_not_said_who_it_is(tmp_path: Path) -> None:
    """Between taking the lock and writing it down there is an owner, without a number that would be wrong."""
    fd = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        assert read_owner(tmp_path) == Owner(0)
        with pytest.raises(LockedError, match=r"^another process owns"):
            DirectoryLock(tmp_path).__enter__()
    finally:
        os.close(fd)


def test_the_file_is_private(tmp_path: Path) -> None:
    """The directory is made with mode 0700, the file with 0600, and no link is followed."""
    with DirectoryLock(tmp_path / "new"):
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "new" / "lock").stat().st_mode & 0o777 == 0o600
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "lock").symlink_to(tmp_path / "target")
    with pytest.raises(StoreError, match="lock"):
        DirectoryLock(tmp_path / "other").__enter__()
    assert not (tmp_path / "target").exists()
