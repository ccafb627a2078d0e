"""The thread that makes the journal power-safe."""

import asyncio
import errno
import os
import threading
import time
from pathlib import Path

import pytest

from asynclog.syncer import SYNC_SECONDS, Retired, Syncer
from asynclog.testing import FaultyDisk

DEADLINE_SECONDS = 20.0


class Counting(FaultyDisk):
    """Says when a sync happened."""

    def __init__(self) -> None:
        super().__init__()
        self.synced = threading.Event()

    def sync(self, fd: int) -> None:
        super().sync(fd)
        self.synced.set()


@pytest.fixture
def disk() -> Counting:
    return Counting()


def segment(folder: Path, name: str) -> int:
    return os.open(folder / name, os.O_RDWR | os.O_CREAT)


async def test_waiting_for_a_sync(tmp_path: Path, disk: Counting) -> None:
    """Who waits is told once what was written before is synced, together with everybody else who waits."""
    syncer = Syncer(disk, tmp_path, lambda _error: None, threading.RLock())
    fd = segment(tmp_path, "a")
    syncer.watch(fd, None)
    syncer.start()
    assert all(await asyncio.gather(*(syncer.sync() for _ in range(50))))
    assert disk.syncs < 50
    syncer.close()
    assert not await syncer.sync(), "nobody is there any more"
    os.close(fd)


def test_a_write_is_synced_by_itself(tmp_path: Path, disk: Counting) -> None:
    """What was noticed is synced soon, without anybody asking, and then is not dirty any more."""
    assert SYNC_SECONDS <= 0.25
    syncer = Syncer(disk, tmp_path, lambda _error: None, threading.RLock())
    fd = segment(tmp_path, "a")
    syncer.watch(fd, None)
    syncer.start()
    for hasten in (syncer.notice, syncer.hurry):
        disk.synced.clear()
        hasten()
        assert disk.synced.wait(DEADLINE_SECONDS)
    syncer.close()
    assert not syncer.dirty
    os.close(fd)


def test_who_writes_all_the_time_wakes_nobody(tmp_path: Path) -> None:
    """While something is always written the thread looks by itself; when nothing was, it sleeps until it is called."""

    class Writing(Counting):
        """Something is written while the disk works, at the first syncs."""

        def sync(self, fd: int) -> None:
            if self.syncs < 2:
                with lock:
                    syncer.notice()
                    assert syncer._calls.empty()
            super().sync(fd)

    disk, lock, pause = Writing(), threading.RLock(), threading.Event()
    syncer = Syncer(disk, tmp_path, lambda _error: None, lock)
    fd = segment(tmp_path, "a")
    syncer.watch(fd, None)
    syncer.start()
    for synced in (3, 4):
        with lock:
            syncer.notice()
        until = time.monotonic() + DEADLINE_SECONDS
        while not (disk.syncs == synced and syncer._idle):
            assert time.monotonic() < until
            pause.wait(0.01)
        assert not syncer.dirty
    syncer.close()
    os.close(fd)


async def test_retired_segments(tmp_path: Path, disk: Counting) -> None:
    """A segment that was rolled away is cut, synced and closed, unless somebody has removed it: then only closed."""
    syncer = Syncer(disk, tmp_path, lambda _error: None, threading.RLock())
    descriptors = [segment(tmp_path, name) for name in "abc"]
    for fd in descriptors:
        os.truncate(fd, 1_000)
    syncer.watch(descriptors[0], None)
    syncer.watch(descriptors[1], Retired(descriptors[0], 10, None))
    syncer.watch(descriptors[2], Retired(descriptors[1], 10, None))
    (tmp_path / "b").unlink()
    syncer.start()
    assert await syncer.sync()
    assert disk.syncs == 2
    assert [(tmp_path / name).stat().st_size for name in "ac"] == [10, 1_000]
    for fd in descriptors[:2]:
        with pytest.raises(OSError, match="descriptor"):
            os.fstat(fd)
    syncer.close()
    os.close(descriptors[2])


@pytest.mark.parametrize("removed", [True, False])
async def test_a_sync_that_fails(tmp_path: Path, disk: Counting, *, removed: bool) -> None:
    """When the disk refuses, or the file has lost its name, the journal is told and who waits hears False."""
    failures: list[OSError] = []

    def failed(error: OSError) -> None:
        failures.append(error)
        raise RuntimeError("and that fails, too")

    syncer = Syncer(disk, tmp_path, failed, threading.RLock())
    fd = segment(tmp_path, "a")
    syncer.watch(fd, None)
    syncer.start()
    if removed:
        (tmp_path / "a").unlink()
    else:
        disk.sync_error = errno.EIO
    assert not await syncer.sync()
    assert [error.errno for error in failures] == [errno.ENOENT if removed else errno.EIO]
    assert not await syncer.sync(), "the thread lives on"
    syncer.close()
    os.close(fd)


def test_closing_syncs_once_more(tmp_path: Path, disk: Counting) -> None:
    """What was written last is synced when the journal closes, and the thread ends."""
    before = set(threading.enumerate())
    syncer = Syncer(disk, tmp_path, lambda _error: None, threading.RLock())
    fd = segment(tmp_path, "a")
    syncer.watch(fd, None)
    syncer.start()
    syncer.close()
    assert disk.syncs == 1
    assert not set(threading.enumerate()) - before
    os.close(fd)


async def test_a_forked_child_keeps_no_file(tmp_path: Path, disk: Counting) -> None:
    """What a child has inherited is closed there, and nobody waits in it for a sync that nobody does."""
    syncer = Syncer(disk, tmp_path, lambda _: None, threading.RLock())
    active, old = segment(tmp_path, "active"), segment(tmp_path, "old")
    syncer.watch(active, Retired(old, 0, None))
    syncer.forget()
    for fd in (active, old):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert not await syncer.sync()
    assert disk.syncs == 0
