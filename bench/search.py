"""Searches and numbers in a task of a million entries, index caught up, against reading all of them.

The reference is what SQLite takes to look at every message (LIKE), or to count every entry.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import asynclog
from asynclog import TaskManager
from asynclog.filters import NO_FILTER, LogFilter
from asynclog.queries import LogStats
from asynclog.tasks.pages import LogPage
from bench.filled import TASK, data_directory, index_all
from bench.harness import Bench, Row, Sample, at_most
from bench.raw_pages import LIMIT, all_rows, connect

ENTRIES: Final = 1_000_000
ROUNDS: Final = 12
SEARCHES: Final = {
    "no hit": "no such text",
    "no hit, of words that occur": "denied from dashboard, item",
    "one hit, a hexadecimal number": "item 9e3779b1",
    "twenty hits, a number": "77777",
    "a thousand hits, all in one place": "of run 555",
    "some hits, two frequent words together": "timeout in finished",
}
_SCAN: Final = "SELECT count(*) FROM task_logs WHERE task_id = ? AND message LIKE ?"
_COUNT: Final = "SELECT source, level, count(*) FROM task_logs WHERE task_id = ? GROUP BY source, level"


async def _timed(call: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await call()
    return (time.perf_counter() - start) * 1000


def _calls(tasks: TaskManager) -> dict[str, tuple[Callable[[], Awaitable[object]], str, float]]:
    """By name: ours, what is searched for ('' for nothing), and milliseconds to reach."""
    one = LogFilter.parse([("search", SEARCHES["one hit, a hexadecimal number"])])
    reader = tasks.reader
    return {
        **{
            f"search, {name}": (partial(tasks.logs, TASK, limit=LIMIT, search=text), text, 100.0)
            for name, text in SEARCHES.items()
        },
        "stats with a search, one hit": (partial(reader.stats, TASK, one), one.searches[0], 10),
        "stats": (partial(reader.stats, TASK, NO_FILTER), "", 10),
        "stages with their units": (partial(reader.stages, TASK), "", 100),
        "sources": (partial(reader.stats, TASK, NO_FILTER), "", 10),
        "histogram of everything": (partial(reader.histogram, TASK, NO_FILTER, 60), "", 100),
    }


def _check(answer: object, hits: int) -> None:
    """What was found quickly is as much as the scan has found."""
    if isinstance(answer, LogPage):
        assert len(answer.lines) == min(hits, LIMIT), f"{len(answer.lines):,} instead of {hits:,}"
    elif isinstance(answer, LogStats):
        assert answer.total == hits, f"{answer.total:,} instead of {hits:,}"


async def _run(bench: Bench, folder: Path) -> list[Row]:
    connection = connect(folder / "asynclog.db")
    rows = []
    async with asynclog.open(folder) as tasks:
        for name, (call, text, target) in _calls(tasks).items():
            scan = (_SCAN, (TASK, f"%{text}%")) if text else (_COUNT, (TASK,))
            reading = partial(asyncio.to_thread, partial(all_rows, connection, *scan))
            hits = sum(row[-1] for row in await reading())
            _check(await call(), hits)
            values = await bench.turns_async(
                {"ours": partial(_timed, call), "scan": partial(_timed, reading)}, bench.rounds(ROUNDS)
            )
            rows.append(
                Row(
                    f"{name} / a scan",
                    Sample("asynclog", "ms", values["ours"]),
                    Sample("sqlite3, every entry", "ms", values["scan"]),
                    at_most(target, "ms"),
                    f"{hits:,} hits" if text else "",
                )
            )
    connection.close()
    return rows


def _indexed(bench: Bench, folder: Path, entries: int) -> Row:
    bench.say("indexing it …")
    found = index_all(folder / "asynclog.db")
    usual, cpu = statistics.median(found.writing), found.cpu_seconds / entries * 1e6
    return Row(
        "indexing: the longest transaction on the writer's connection",
        Sample("asynclog", "ms", [max(found.writing)]),
        None,
        at_most(50, "ms"),
        f"{usual:.1f} ms is usual, of {len(found.writing):,}; {cpu:.1f} µs of CPU for an entry in all",
    )


def run(bench: Bench) -> list[Row]:
    """What indexing takes; searches that the index was made for, and one that it does not help; numbers."""
    entries = bench.amount(ENTRIES, 100_000)
    with data_directory(bench, entries, index=False) as folder:
        return [_indexed(bench, folder, entries), *asyncio.run(_run(bench, folder))]
