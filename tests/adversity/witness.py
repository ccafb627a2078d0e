"""What the tests of adversity share: a task that numbers its entries, and a look at what is kept of them."""

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asynclog
from asynclog import TaskContext, TaskManager
from asynclog.settings import Settings

DEADLINE_SECONDS = 40.0
SETTINGS: dict[str, object] = {"flush_interval": 0.05, "task_log_level": "DEBUG", "retention_days": 0}


class Numbering:
    """A plugin that logs numbers while it is told to, and what it was told by each call."""

    def __init__(self) -> None:
        self.number = 0
        self.context: TaskContext | None = None
        self._enough = asyncio.Event()

    async def execute(self, _params: dict[str, Any], context: TaskContext) -> int:
        self.context = context
        await self._enough.wait()
        return self.number

    def log(self, count: int, size: int = 20) -> None:
        """Log so many entries, from the outside of the task; no call may raise or wait."""
        assert self.context is not None
        for _ in range(count):
            self.number += 1
            self.context.logger.info("%d %s", self.number, "x" * size)

    def enough(self) -> None:
        self._enough.set()


@asynccontextmanager
async def numbering(folder: Path, **options: Any) -> AsyncIterator[tuple[TaskManager, Numbering, str]]:
    """A running task in a data directory, the plugin that waits to be told, and the task's id."""
    plugin = Numbering()
    async with asynclog.open(folder, settings=Settings(pinned=SETTINGS), **options) as tasks:
        task = await tasks.start(plugin)
        await until(lambda: plugin.context is not None, "the task starts")
        yield tasks, plugin, task.id


async def finished(tasks: TaskManager, plugin: Numbering, task_id: str) -> asynclog.Task:
    """Let the task end, and wait until the store has it."""
    plugin.enough()
    ended = await asyncio.wait_for(tasks.wait(task_id), DEADLINE_SECONDS)
    await until(lambda: stored_up_to_date(tasks), "everything is stored")
    return ended


def stored_up_to_date(tasks: TaskManager) -> bool:
    return tasks.engine.journal.stored_id >= tasks.engine.journal.last_id


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition, with a deadline."""
    end = asyncio.get_running_loop().time() + DEADLINE_SECONDS
    while not condition():
        assert asyncio.get_running_loop().time() < end, what
        await asyncio.sleep(0.005)


def numbers(folder: Path, task_id: str) -> list[int]:
    """The numbers of the stored entries of the plugin, by seq; the seqs must be as many and rise."""
    with contextlib.closing(sqlite3.connect(folder / "asynclog.db")) as connection:
        rows = connection.execute(
            "SELECT seq, message FROM task_logs WHERE task_id = ? AND source = 'plugin' ORDER BY seq", (task_id,)
        ).fetchall()
    assert len({seq for seq, _ in rows}) == len(rows)
    return [int(message.split()[0]) for _, message in rows]


def accounted(folder: Path, task_id: str) -> tuple[int, int, int]:
    """Stored, dropped (by the gaps), and the last seq of a task; stored and dropped must make it up exactly."""
    with contextlib.closing(sqlite3.connect(folder / "asynclog.db")) as connection:
        seqs = {row[0] for row in connection.execute("SELECT seq FROM task_logs WHERE task_id = ?", (task_id,))}
        gaps = connection.execute("SELECT from_seq, to_seq FROM gaps WHERE task_id = ?", (task_id,)).fetchall()
        last, dropped, counted = connection.execute(
            "SELECT last_seq, dropped, debug_count + info_count + warning_count + error_count FROM tasks WHERE id = ?",
            (task_id,),
        ).fetchone()
    missing = [seq for first, end in gaps for seq in range(first, end + 1)]
    assert sorted([*seqs, *missing]) == list(range(1, last + 1)), "each seq is stored or in one gap"
    assert (dropped, counted) == (len(missing), len(seqs))
    return len(seqs), len(missing), last


HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(path: Path) -> Iterator[Callable[[], None]]:
    """Another process holds the database; the value lets it go."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin is not None
    assert holder.stdout is not None

    def release() -> None:
        assert holder.stdin is not None
        holder.stdin.close()
        holder.wait()

    try:
        assert holder.stdout.readline() == b"held\n"
        yield release
    finally:
        release()
        holder.stdout.close()
