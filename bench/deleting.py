"""What deleting a task of a million entries costs another task that logs meanwhile: its log calls, its flushes."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import asynclog
from asynclog import Task, TaskContext, TaskManager
from bench import plain
from bench.harness import Bench, Row, Sample, at_most

ENTRIES: Final = 1_000_000
ROUNDS: Final = 3
RATE: Final = 1000
"""Entries a second of the other task."""
FLUSH_SECONDS: Final = 0.02
"""Between two flushes of the other task."""
QUIET_SECONDS: Final = 10.0
SECONDS: Final = 300.0


def _fill(params: dict[str, Any], context: TaskContext) -> None:
    info = context.logger.info
    for number in range(params["count"]):
        info(plain.MESSAGE, number)


class _Other:
    """The other task: how long its log calls and its flushes take, in milliseconds."""

    def __init__(self, context: TaskContext, tasks: TaskManager) -> None:
        self._log = context.logger.info
        self._tasks = tasks
        self.calls: list[float] = []
        self.flushes: list[float] = []
        self.emitted = 0
        """Entries since it began."""

    async def _emit(self, over: asyncio.Event) -> None:
        start, number = time.perf_counter(), 0
        while not over.is_set():
            while number < (time.perf_counter() - start) * RATE:
                before = time.perf_counter()
                self._log(plain.MESSAGE, number)
                self.calls.append((time.perf_counter() - before) * 1000)
                number += 1
            await asyncio.sleep(0.002)
        self.emitted += number

    async def _flush(self, over: asyncio.Event) -> None:
        while not over.is_set():
            self._log("flushed")
            self.emitted += 1
            before = time.perf_counter()
            assert await self._tasks.engine.settle(SECONDS)
            self.flushes.append((time.perf_counter() - before) * 1000)
            await asyncio.sleep(FLUSH_SECONDS)

    async def work(self, over: asyncio.Event) -> tuple[float, float]:
        """Log and flush until it is over; the 99th percentiles."""
        self.calls, self.flushes = [], []
        await asyncio.gather(self._emit(over), self._flush(over))
        return _p99(self.calls), _p99(self.flushes)


def _p99(values: list[float]) -> float:
    return sorted(values)[len(values) * 99 // 100]


async def _while_quiet(other: _Other, seconds: float) -> tuple[float, float]:
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, over.set)
    return await other.work(over)


async def _while_deleted(other: _Other, tasks: TaskManager, task_id: str) -> tuple[float, float, float]:
    over = asyncio.Event()
    work = asyncio.create_task(other.work(over))
    start = time.perf_counter()
    await tasks.delete(task_id)
    await tasks.sweeper.drained()
    seconds = time.perf_counter() - start
    over.set()
    calls, flushes = await work
    return calls, flushes, seconds


def _check(database: Path, ended: Task) -> None:
    """Of the deleted tasks nothing is left, and of the other one everything."""
    with closing(sqlite3.connect(database)) as connection:
        stored = connection.execute("SELECT task_id, count(*) FROM task_logs WHERE source = 'plugin' GROUP BY task_id")
        found = dict(stored.fetchall())
    assert isinstance(ended.result, dict), ended
    assert found == {ended.id: ended.result["emitted"]}, found


async def _run(bench: Bench) -> list[Row]:
    count = bench.amount(ENTRIES, 50_000)
    quiet: list[tuple[float, float]] = []
    deleting: list[tuple[float, float, float]] = []

    async def plugin(params: dict[str, Any], context: TaskContext) -> dict[str, int]:
        other = _Other(context, tasks)
        await _while_quiet(other, QUIET_SECONDS / 5)
        for _ in bench.track(range(bench.rounds(ROUNDS))):
            task = await tasks.run(_fill, {"count": count})
            await tasks.engine.settle(SECONDS)
            quiet.append(await _while_quiet(other, bench.amount(int(QUIET_SECONDS), 2)))
            deleting.append(await _while_deleted(other, tasks, task.id))
        return {"emitted": other.emitted}

    with tempfile.TemporaryDirectory() as folder:
        async with asynclog.open(folder) as tasks:
            ended = await tasks.run(plugin)
        _check(Path(folder) / "asynclog.db", ended)
    note = f"{count:,} entries are gone after {Sample('', '', [each[2] for each in deleting]).median:.1f} s"
    return [
        Row(
            f"p99 of {what} while a task of {count:,} is deleted / while nothing is",
            Sample("deleting", "ms", [each[place] for each in deleting]),
            Sample("quiet", "ms", [each[place] for each in quiet]),
            at_most(1.2),
            note,
        )
        for place, what in enumerate(("a log call", "a flush"))
    ]


def run(bench: Bench) -> list[Row]:
    """The other task's numbers with and without a deletion, in turn."""
    return asyncio.run(_run(bench))
