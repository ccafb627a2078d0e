"""CPU of an entry in a task that logs 1,000 and 10,000 of them a second, everything included, against the silent task.

The task wakes some thousand times a second and does little else, with and without its log calls in turn; what the whole
process takes more with them (log calls, journal, syncs, writer, run files) is divided by the number of entries. A task
that computed besides would hide some ten milliseconds for a thousand entries in the noise of seconds. A turn begins
when a commit is just over, and ends when all of its own is stored, synced and written down: at 1,000/s after one
interval of the writer, at 10,000/s after two whole batches, so it has the commits that a task has which goes on for
hours. Who logs is late for the next wake-up by as long as that takes and has fewer of them, so what is taken off is
what so many wake-ups of the silent task took.

What else a machine has to do makes code that wakes up a thousand times a second dearer by half, and for seconds at a
time. So of the turns of a series only the cheapest of each contender counts. What comes more seldom than a turn is not
in it, on either side: a checkpoint of the database's log after some 80,000 entries.

Beside it the same task logs with the standard library to a file: what is called once a millisecond finds little of its
code and data in the caches, whoever wrote it, and how little depends on the machine and on who else uses it. And it
does the least that an entry can cost in this interpreter (`bench.floor`), which shows what the aim leaves; and it makes
the log calls into a journal from which nobody stores anything.

The search index is off meanwhile: it is built when the task rests, so a silent turn would pay for a logging one. What
it costs is measured at the end.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import asynclog
from asynclog import TaskContext, TaskManager
from asynclog.feed import Feed
from asynclog.filters import NO_FILTER
from asynclog.journal import Journal
from asynclog.logger import TaskLogger
from asynclog.settings import Dials
from bench.floor import Floor
from bench.harness import Bench, Row, Sample, at_most
from bench.pace import due

SERIES: Final = 5
TURNS: Final = 5
"""Of each contender, in a series."""
SECONDS: Final = {1_000: 1.9, 10_000: 1.6}
"""A little less than the writer's interval; two of its whole batches."""
MESSAGE: Final = "handled chunk %d of the work"
_LINE: Final = f"{MESSAGE} chunk=%d"
TARGETS: Final = {1_000: 10, 10_000: 5}
"""Microseconds of CPU for an entry, by entries a second."""
INDEXED: Final = 16_384
"""Entries that need not be indexed for the index to be there: the newest few thousand never are."""

_SHOWN: Final = ("asynclog", "FileHandler", "the floor", "the log calls alone")

Call = Callable[[int], object]


async def _nothing() -> None:
    pass


class _Contender(NamedTuple):
    """What is called for each entry, and what is done before a turn of it and, as part of its work, behind it."""

    call: Call | None = None
    begin: Callable[[], object] = lambda: None
    finish: Callable[[], Awaitable[None]] = _nothing


class _Turn(NamedTuple):
    cpu: float
    """Seconds of the whole process."""
    wakes: int
    """How often the task woke up."""


async def _rest(tasks: TaskManager) -> None:
    """Return when everything logged is stored, synced and in its run files."""
    assert await tasks.engine.settle(30)
    assert await tasks.engine.journal.sync()
    for follower in tasks.run_files.followers:
        await follower.settle()


async def _work(tasks: TaskManager, ours: Call, rate: int, contender: _Contender) -> _Turn:
    """A turn of it."""
    ours(0)  # its commit begins the writer's interval anew
    await _rest(tasks)
    contender.begin()
    start, wakes = time.process_time(), 0
    async for first, count, _ in due(rate, SECONDS[rate]):
        wakes += 1
        if contender.call is not None:
            for number in range(first, first + count):
                contender.call(number)
    await contender.finish()
    await _rest(tasks)
    return _Turn(time.process_time() - start, wakes)


@asynccontextmanager
async def _running(folder: Path) -> AsyncIterator[tuple[TaskManager, TaskContext, Call, Call]]:
    """Tasks, one of them, a call of it that logs, and one that logs to a file by the standard library."""
    over = asyncio.Event()
    begun: asyncio.Future[TaskContext] = asyncio.get_running_loop().create_future()

    async def plugin(params: dict[str, Any], context: TaskContext) -> None:
        begun.set_result(context)
        await over.wait()

    handler = logging.FileHandler(folder / "std.log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    file = logging.Logger("bench.overhead", logging.INFO)  # noqa: LOG001 - nobody else's
    file.addHandler(handler)
    try:
        async with asynclog.open(folder / "data") as tasks:
            await tasks.engine.change_settings({"search_index": False})
            work = asyncio.ensure_future(tasks.run(plugin))
            context = await begun
            log = context.logger
            yield (
                tasks,
                context,
                lambda number: log.info(MESSAGE, number, chunk=number),
                lambda number: file.info(_LINE, number, number),
            )
            over.set()
            await work
    finally:
        handler.close()


class _Alone:
    """Log calls, safe when they return, and nobody who stores what they say."""

    def __init__(self, folder: Path) -> None:
        self._journal = Journal(folder, quota=1 << 40)
        self._logger = TaskLogger(self._journal, Feed("alone"), Dials(), time.time_ns)

    def log(self, number: int) -> None:
        self._logger.info(MESSAGE, number, chunk=number)

    async def finish(self) -> None:
        assert await self._journal.sync()
        assert not self._journal.spilled, "the memory for entries was full, as it is not while somebody takes them"
        frames, _, _ = self._journal.take()
        self._journal.release(len(frames), frames.size)

    def close(self) -> None:
        self._journal.close()


async def _measure(bench: Bench, rate: int) -> list[Row]:
    turns = bench.amount(TURNS, 1)
    entries = round(rate * SECONDS[rate])
    with tempfile.TemporaryDirectory() as folder:
        async with _running(Path(folder)) as (tasks, context, ours, theirs):
            floor, alone = (Floor(Path(folder), MESSAGE, "chunk"), _Alone(Path(folder) / "alone"))

            async def commit() -> None:
                floor.commit()

            contenders = {
                "asynclog": _Contender(ours),
                "silent": _Contender(),
                "FileHandler": _Contender(theirs),
                "the floor": _Contender(lambda number: floor.info(MESSAGE, number, chunk=number), floor.begin, commit),
                "the log calls alone": _Contender(alone.log, finish=alone.finish),
            }
            found: dict[str, list[_Turn]] = {name: [] for name in contenders}

            async def turn(name: str) -> float:
                found[name].append(await _work(tasks, ours, rate, contenders[name]))
                return found[name][-1].cpu

            await bench.turns_async({name: partial(turn, name) for name in contenders}, turns * bench.rounds(SERIES))
            floor.close()
            alone.close()
            stored = (await tasks.reader.stats(context.task_id, NO_FILTER)).by_source["plugin"]
            logged = len(found["asynclog"]) * (entries + len(contenders))
            assert stored == logged, f"{stored:,} instead of {logged:,} entries"
            assert floor.counts.total() == len(found["the floor"]) * entries, "the floor has lost entries"
            index = [await _index(tasks)] if rate == max(TARGETS) else []
    return [*_rows(rate, _costs(found, turns, entries)), *index]


def _costs(found: Mapping[str, list[_Turn]], turns: int, entries: int) -> dict[str, Sample]:
    """What an entry costs by each contender, in microseconds of CPU, series by series; of the silent one a wake-up."""
    costs: dict[str, list[float]] = {name: [] for name in found}
    for start in range(0, len(found["silent"]), turns):
        series = {name: values[start : start + turns] for name, values in found.items()}
        wake = min(turn.cpu / turn.wakes for turn in series.pop("silent"))
        costs["silent"].append(wake * 1e6)
        for name, values in series.items():
            costs[name].append(min(turn.cpu - wake * turn.wakes for turn in values) / entries * 1e6)
    return {name: Sample(name, "us", values) for name, values in costs.items()}


def _rows(rate: int, costs: Mapping[str, Sample]) -> list[Row]:
    ours, theirs, floor, calls = (costs[name] for name in _SHOWN)
    wake = costs["silent"].median
    return [
        Row(
            f"CPU of an entry, {rate:,}/s, everything included / FileHandler",
            ours,
            theirs,
            at_most(TARGETS[rate], "us"),
            f"{ours.median * rate / 1e6:.1%} of a core; a wake-up of the silent task takes {wake:.0f} us",
            {"silent_wake_us": wake},
        ),
        Row(
            f"the same / the least it can cost, {rate:,}/s",
            ours,
            floor,
            "shown",
            "what is promised of an entry, kept by one thread that does nothing else",
        ),
        Row(
            f"of it the log calls alone, {rate:,}/s / the least it can cost",
            calls,
            floor,
            "shown",
            "labelled, redacted, numbered and in the journal, which is synced; nothing is stored",
        ),
    ]


async def _index(tasks: TaskManager) -> Row:
    """Turn the search index on and wait until it is there."""
    indexer = tasks.engine.indexer
    start = time.process_time()
    await tasks.engine.change_settings({"search_index": True})
    async with asyncio.timeout(120):
        while not indexer.segments or indexer.lag > INDEXED:
            await asyncio.sleep(0.1)
    entries = tasks.engine.journal.stored_id - indexer.lag
    cost = (time.process_time() - start) / entries * 1e6
    note = "built behind the writer, when the task rests; not in the rows above"
    return Row("CPU of an entry's place in the search index", Sample("asynclog", "us", [cost]), None, "shown", note)


async def _run(bench: Bench) -> list[Row]:
    return [row for rate in TARGETS for row in await _measure(bench, rate)]


def run(bench: Bench) -> list[Row]:
    """At 1,000 and at 10,000 entries a second."""
    return asyncio.run(_run(bench))
