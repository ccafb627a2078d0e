"""A task is told to have ended once a power cut cannot undo that: by the disk's word, or else by the store's."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asynclog
from asynclog.tasks.manager import TaskManager
from asynclog.tasks.opening import open_tasks
from asynclog.testing import FaultyDisk

DEADLINE_SECONDS = 20.0


class HeldDisk(FaultyDisk):
    """Confirms nothing while it is held."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()
        self.free.set()
        self.waiting = False

    def sync(self, fd: int) -> None:
        """Sync a file, later."""
        self.waiting = not self.free.is_set()
        self.free.wait(DEADLINE_SECONDS)
        super().sync(fd)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The store takes nothing."""
    other = sqlite3.connect(folder / "asynclog.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


def is_told(tasks: TaskManager, task_id: str) -> bool:
    """Whether somebody who asks is told that the task has ended."""
    live = tasks.engine.hub.get(task_id)
    return live is None or live.task.ended or tasks.engine.hub.ended(task_id) is not None


@asynccontextmanager
async def begun(folder: Path, disk: FaultyDisk) -> AsyncIterator[tuple[TaskManager, asynclog.Task]]:
    """A task that runs, stored."""
    async with open_tasks(folder, disk=disk) as tasks:
        task = tasks.external.start("scrape")
        assert await tasks.engine.settle(DEADLINE_SECONDS)
        yield tasks, task


async def test_an_end_waits_for_the_disk(tmp_path: Path) -> None:
    """As long as the disk has not confirmed the journal, and the store has nothing of it, the task is not ended."""
    disk = HeldDisk()
    async with begun(tmp_path, disk) as (tasks, task):
        with locked(tmp_path):
            disk.free.clear()
            ending = asyncio.create_task(tasks.external.finish(task.id, "success"))
            await until(lambda: disk.waiting)
            for _ in range(50):
                await asyncio.sleep(0)
            assert not is_told(tasks, task.id)
            disk.free.set()
            await until(lambda: is_told(tasks, task.id))
            assert tasks.engine.journal.stored_id < tasks.engine.journal.last_id
        assert (await ending).status == "success"


async def test_an_end_that_the_disk_refuses_waits_for_the_store(tmp_path: Path) -> None:
    """Where the disk refuses to confirm the journal, the task has ended once the store has its last record."""
    disk = FaultyDisk()
    async with begun(tmp_path, disk) as (tasks, task):
        with locked(tmp_path):
            disk.sync_error = errno.EIO
            ending = asyncio.create_task(tasks.external.finish(task.id, "success"))
            await until(lambda: bool(tasks.engine.journal.trouble))
            assert not await tasks.engine.journal.sync()  # who asked before has its answer, too
            for _ in range(50):
                await asyncio.sleep(0)
            assert not is_told(tasks, task.id)
        await until(lambda: is_told(tasks, task.id))
        assert tasks.engine.journal.stored_id == tasks.engine.journal.last_id
        assert (await ending).status == "success"
        disk.sync_error = None
