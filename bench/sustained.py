"""Twenty tasks logging as fast as they can until all is stored, against the fastest plain insert of the same rows.

Beside it the log calls alone, by nobody but one thread and with nothing stored: since every microsecond of Python code
holds the interpreter, whichever thread it runs in, that is what storing could reach if it needed no Python at all. And
what three threads reach that do nothing but log, take apart and insert (`bench.shortest`).
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

import asynclog
from asynclog import TaskContext
from asynclog.feed import Feed
from asynclog.filters import NO_FILTER
from asynclog.journal import Journal
from asynclog.logger import TaskLogger
from asynclog.server.serve import SWITCH_SECONDS
from asynclog.settings import Dials
from bench import plain, shortest
from bench.harness import Bench, Row, Sample, Target, at_least

ROUNDS = 7
TASKS = 20
ENTRIES = 10_000
TURN = 100
"""Entries of a task before those of the next."""
TARGETS: Final[tuple[Target | str, ...]] = (at_least(0.75), at_least(0.25), at_least(0.25), "shown", "shown")


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
            if number % TURN == 0:
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


def _logged() -> float:
    """Entries a second of the same log calls, when the journal has them all and nobody stores them."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal", quota=1 << 40)
        loggers = [TaskLogger(journal, Feed(f"{number:012}"), Dials(), time.time_ns) for number in range(TASKS)]
        start = time.perf_counter()
        for first in range(0, ENTRIES, TURN):
            shortest.log(loggers, first, first + TURN)
            frames, _, _ = journal.take()
            journal.release(len(frames), frames.size)
        seconds = time.perf_counter() - start
        assert journal.last_id == TASKS * ENTRIES
        assert not journal.spilled, "the memory for entries was full, as it is not while somebody takes them"
        journal.close()
    return TASKS * ENTRIES / seconds


def _shortest() -> float:
    with tempfile.TemporaryDirectory() as folder:
        return shortest.rate(Path(folder), TASKS, ENTRIES, TURN)


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
    """With the loop free, and with the loop kept busy: as Python comes, and as `asynclog serve` sets it; the limit."""
    default = sys.getswitchinterval()
    found = bench.turns(
        {
            "20 tasks until stored / plain insert": partial(_stored, default, busy=False),
            "the same, loop busy / plain insert": partial(_stored, default, busy=True),
            "the same, loop busy, threads change as in serve / plain insert": partial(
                _stored, SWITCH_SECONDS, busy=True
            ),
            "20 tasks, the log calls alone / plain insert": _logged,
            "20 tasks, logged and inserted by three threads, and nothing else / plain insert": _shortest,
            "plain insert": _inserted,
        },
        bench.rounds(ROUNDS),
    )
    reference = Sample("plain insert", "entries/s", found.pop("plain insert"))
    return [
        Row(name, Sample("asynclog", "entries/s", values), reference, target)
        for (name, values), target in zip(found.items(), TARGETS, strict=True)
    ]
