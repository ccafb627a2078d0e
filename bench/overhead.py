"""What logging costs a CPU-bound task: the same work with and without 1,000 entries a second, everything included."""

from __future__ import annotations

import asyncio
import tempfile
import time
from typing import Any

import asynclog
from asynclog import TaskContext
from bench.harness import Bench, Row, Sample

ROUNDS = 7
SECONDS = 1.0
RATES = (1_000, 10_000)


def _chunk(size: int) -> int:
    total = 0
    for number in range(size):
        total += number * number % 7
    return total


async def _work(context: TaskContext, chunks: int, size: int, *, entries: int) -> float:
    """CPU seconds of the process for so many chunks of work, with ``entries`` log calls after each."""
    start = time.process_time()
    for number in range(chunks):
        _chunk(size)
        for _ in range(entries):
            context.logger.info("handled chunk %d of the work", number, chunk=number)
        await asyncio.sleep(0)
    await context._manager.engine.settle(30)  # noqa: SLF001  # the writer's share belongs to the cost
    return time.process_time() - start


async def _measure(tasks: asynclog.TaskManager, rate: int, bench: Bench) -> tuple[list[float], list[float]]:
    chunks = 1000
    size = _calibrate(SECONDS / chunks)
    with_log: list[float] = []
    without: list[float] = []

    async def plugin(params: dict[str, Any], context: TaskContext) -> None:
        for _ in bench.track(range(bench.rounds(ROUNDS))):
            without.append(await _work(context, chunks, size, entries=0))
            with_log.append(await _work(context, chunks, size, entries=int(rate * SECONDS) // chunks))

    await tasks.run(plugin)
    return with_log, without


def _calibrate(seconds: float) -> int:
    size = 1000
    start = time.perf_counter()
    _chunk(size * 100)
    return max(1, int(size * 100 * seconds / (time.perf_counter() - start)))


async def _run(bench: Bench) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        async with asynclog.open(folder) as tasks:
            for rate in RATES:
                with_log, without = await _measure(tasks, rate, bench)
                entries = rate * SECONDS
                cost = [(mine - other) / entries * 1e6 for mine, other in zip(with_log, without, strict=True)]
                rows.append(
                    Row(
                        f"CPU-bound task logging {rate:,}/s / silent",
                        Sample("logging", "cpu s", with_log),
                        Sample("silent", "cpu s", without),
                        "<= 1.05" if rate == 1000 else "<= 1.10",
                        f"{Sample('', 'us', cost).median:.1f} us of CPU for each entry",
                    )
                )
    return rows


def run(bench: Bench) -> list[Row]:
    """At 1,000 and at 10,000 entries a second."""
    return asyncio.run(_run(bench))
