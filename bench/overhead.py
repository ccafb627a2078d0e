"""CPU of an entry in a task that logs 1,000 and 10,000 of them a second, everything included, against the silent task.

The task wakes a thousand times a second and does little else, with and without its log calls in turn; what the whole
process takes more with them (log calls, journal, syncs, writer, run files) is divided by the number of entries. A task
that computed besides would hide some ten milliseconds for a thousand entries in the noise of seconds.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from typing import Any, Final

import asynclog
from asynclog import TaskContext
from bench.harness import Bench, Row, Sample, at_most
from bench.pace import due

ROUNDS: Final = 7
SECONDS: Final = 4
TARGETS: Final = {1_000: 10, 10_000: 5}
"""Microseconds of CPU for an entry, by entries a second."""


async def _work(context: TaskContext, rate: int, seconds: int, *, silent: bool) -> float:
    """CPU seconds of the process for so long, the writer's share included."""
    log = context.logger
    await context._manager.engine.settle(30)  # noqa: SLF001 - what was before does not count
    start = time.process_time()
    async for first, count, _ in due(rate, seconds):
        if not silent:
            for number in range(first, first + count):
                log.info("handled chunk %d of the work", number, chunk=number)
    await context._manager.engine.settle(30)  # noqa: SLF001 - the writer's share belongs to the cost
    return time.process_time() - start


async def _measure(bench: Bench, rate: int) -> Row:
    seconds = bench.amount(SECONDS, 1)
    values: dict[str, list[float]] = {}

    async def plugin(params: dict[str, Any], context: TaskContext) -> None:
        values.update(
            await bench.turns_async(
                {
                    "logging": lambda: _work(context, rate, seconds, silent=False),
                    "silent": lambda: _work(context, rate, seconds, silent=True),
                },
                bench.rounds(ROUNDS),
            )
        )

    with tempfile.TemporaryDirectory() as folder:
        async with asynclog.open(folder) as tasks:
            await tasks.run(plugin)
    pairs = zip(values["logging"], values["silent"], strict=True)
    cost = [(logging - silent) / (rate * seconds) * 1e6 for logging, silent in pairs]
    logging, silent = (Sample(name, "cpu s", found) for name, found in values.items())
    share = (logging.median - silent.median) / seconds
    return Row(
        f"CPU of an entry, {rate:,}/s, everything included",
        Sample("asynclog", "us", cost),
        None,
        at_most(TARGETS[rate], "us"),
        f"{share:.1%} of a core; {logging.median:.2f} s of CPU in {seconds} s, silent {silent.median:.2f} s",
        {"logging_cpu_s": logging.median, "silent_cpu_s": silent.median},
    )


async def _run(bench: Bench) -> list[Row]:
    return [await _measure(bench, rate) for rate in TARGETS]


def run(bench: Bench) -> list[Row]:
    """At 1,000 and at 10,000 entries a second."""
    return asyncio.run(_run(bench))
