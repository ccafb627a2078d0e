"""Twenty tasks logging as fast as they can until all is stored, against the fastest plain insert of the same rows."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import asynclog
from asynclog import TaskContext
from asynclog.filters import NO_FILTER
from asynclog.server.serve import SWITCH_SECONDS
from bench import plain
from bench.harness import Bench, Row, Sample, at_least

ROUNDS = 3
TASKS = 20
ENTRIES = 10_000
TARGETS = (0.75, 0.25, 0.25)


async def _ours(folder: str, *, busy: bool) -> float:
    """Entries a second from the first call until everything is stored."""
    message = plain.MESSAGE

    async def plugin(params: dict[str, Any], context: TaskContext) -> None:
        log = context.logger
        for number in range(1, ENTRIES + 1):
            if number % 3 == 0:
                log.info(message, number, n=1)
            else:
                log.info(message, number)
            if number % 100 == 0:
                await asyncio.sleep(0)

    async with asynclog.open(folder) as tasks:
        stop = threading.Event()
        spinner = asyncio.create_task(_spin(stop)) if busy else None
        start = time.perf_counter()
        ended = await asyncio.gather(*(tasks.run(plugin) for _ in range(TASKS)))
        assert await tasks.engine.settle(60)
        seconds = time.perf_counter() - start
        stop.set()
        if spinner is not None:
            await spinner
        for task in ended:
            stored = (await tasks.reader.stats(task.id, NO_FILTER)).by_source
            assert stored["plugin"] == ENTRIES, f"{stored} instead of {ENTRIES:,} entries"
    return TASKS * ENTRIES / seconds


async def _spin(stop: threading.Event) -> None:
    """Keep the loop busy with Python code."""
    while not stop.is_set():
        end = time.perf_counter() + 0.005
        while time.perf_counter() < end:
            pass
        await asyncio.sleep(0)


def _inserted() -> float:
    with tempfile.TemporaryDirectory() as folder:
        return plain.insert(Path(folder) / "plain.db", TASKS * ENTRIES, TASKS)


def _stored(switch_seconds: float, *, busy: bool) -> float:
    """Entries a second, while waiting threads ask for the interpreter after so long."""
    default = sys.getswitchinterval()
    sys.setswitchinterval(switch_seconds)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return asyncio.run(_ours(folder, busy=busy))
    finally:
        sys.setswitchinterval(default)


def run(bench: Bench) -> list[Row]:
    """With the loop free, and with the loop kept busy: as Python comes, and as `asynclog serve` sets it."""
    default = sys.getswitchinterval()
    found = bench.turns(
        {
            "20 tasks until stored / plain insert": partial(_stored, default, busy=False),
            "the same, loop busy / plain insert": partial(_stored, default, busy=True),
            "the same, loop busy, threads change as in serve / plain insert": partial(
                _stored, SWITCH_SECONDS, busy=True
            ),
            "plain insert": _inserted,
        },
        bench.rounds(ROUNDS),
    )
    reference = Sample("plain insert", "entries/s", found.pop("plain insert"))
    return [
        Row(name, Sample("asynclog", "entries/s", values), reference, at_least(least))
        for (name, values), least in zip(found.items(), TARGETS, strict=True)
    ]
