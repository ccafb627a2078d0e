"""Searches and numbers in a task of a million entries, index caught up, against reading all of them.

The reference is what SQLite takes to look at every message (LIKE), or to count every entry.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import asynclog
from asynclog import TaskManager
from asynclog.filters import LogFilter
from bench.filled import TASK, data_directory, index_all
from bench.harness import Bench, Row, Sample, at_most
from bench.raw_pages import all_rows, connect

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
            f"search, {name}": (partial(tasks.logs, TASK, limit=1000, search=text), text, 100.0)
            for name, text in SEARCHES.items()
        },
        "stats with a search, one hit": (partial(reader.stats, TASK, one), one.searches[0], 10),
        "stats": (partial(reader.stats, TASK, LogFilter()), "", 10),
        "stages with their units": (partial(reader.stages, TASK), "", 100),
        "sources": (partial(reader.sources, TASK), "", 10),
        "histogram of everything": (partial(reader.histogram, TASK, LogFilter(), 60), "", 100),
    }


async def _run(bench: Bench, folder: Path) -> list[Row]:
    connection = connect(folder / "asynclog.db")
    rows = []
    async with asynclog.open(folder) as tasks:
        for name, (call, text, target) in _calls(tasks).items():
            scan = (_SCAN, (TASK, f"%{text}%")) if text else (_COUNT, (TASK,))
            reading = partial(asyncio.to_thread, all_rows, connection, *scan)
            hits = (await tasks.logs(TASK, search=text)).total if text else None
            values = await bench.turns_async(
                {"ours": partial(_timed, call), "scan": partial(_timed, reading)}, bench.rounds(ROUNDS)
            )
            rows.append(
                Row(
                    f"{name} / a scan",
                    Sample("asynclog", "ms", values["ours"]),
                    Sample("sqlite3, every entry", "ms", values["scan"]),
                    at_most(target, "ms"),
                    "" if hits is None else f"{hits:,} hits",
                )
            )
    connection.close()
    return rows


def _indexed(bench: Bench, folder: Path, entries: int) -> Row:
    bench.say("indexing it …")
    found = index_all(folder / "asynclog.db")
    return Row(
        "indexing: a transaction on the writer's connection",
        Sample("asynclog", "ms", found.writing),
        None,
        at_most(50, "ms"),
        f"longest {max(found.writing):.0f} ms; {found.cpu_seconds / entries * 1e6:.1f} µs of CPU for an entry in all",
    )


def run(bench: Bench) -> list[Row]:
    """What indexing takes; searches that the index was made for, and one that it does not help; numbers."""
    entries = bench.amount(ENTRIES, 100_000)
    with data_directory(bench, entries, index=False) as folder:
        return [_indexed(bench, folder, entries), *asyncio.run(_run(bench, folder))]
