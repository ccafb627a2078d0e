"""Twenty tasks logging as fast as they can until all is stored, against the fastest plain insert of the same rows."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import asynclog
from asynclog import TaskContext
from asynclog.server.serve import SWITCH_SECONDS
from bench import plain
from bench.harness import Bench, Row, Sample, at_least

ROUNDS = 3
TASKS = 20
ENTRIES = 10_000


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
        await asyncio.gather(*(tasks.run(plugin) for _ in range(TASKS)))
        await tasks.engine.settle(60)
        seconds = time.perf_counter() - start
        stop.set()
        if spinner is not None:
            await spinner
    return TASKS * ENTRIES / seconds


async def _spin(stop: threading.Event) -> None:
    """Keep the loop busy with Python code."""
    while not stop.is_set():
        end = time.perf_counter() + 0.005
        while time.perf_counter() < end:
            pass
        await asyncio.sleep(0)


def run(bench: Bench) -> list[Row]:
    """With the loop free, and with the loop kept busy: as Python comes, and as `asynclog serve` sets it."""
    free: list[float] = []
    busy: list[float] = []
    served: list[float] = []
    inserted: list[float] = []
    default = sys.getswitchinterval()
    for _ in bench.track(range(bench.rounds(ROUNDS))):
        for found, is_busy, interval in (
            (free, False, default),
            (busy, True, default),
            (served, True, SWITCH_SECONDS),
        ):
            sys.setswitchinterval(interval)
            with tempfile.TemporaryDirectory() as folder:
                found.append(asyncio.run(_ours(folder, busy=is_busy)))
        sys.setswitchinterval(default)
        with tempfile.TemporaryDirectory() as folder:
            inserted.append(plain.insert(Path(folder) / "plain.db", TASKS * ENTRIES, TASKS))
    reference = Sample("plain insert", "entries/s", inserted)
    rows = (
        ("20 tasks until stored / plain insert", free, 0.75),
        ("the same, loop busy / plain insert", busy, 0.25),
        ("the same, loop busy, threads change as in serve / plain insert", served, 0.25),
    )
    return [
        Row(name, Sample("asynclog", "entries/s", found), reference, at_least(least)) for name, found, least in rows
    ]
