"""Filters that one per cent of a million entries match, spread evenly or all at the end, against reading all of them.

The first page is that of 200 entries, as one gets it who asks for nothing else, and one of 1,000: where matches are
spread evenly, a hundred thousand entries lie between the first and the last of those.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import asynclog
from asynclog.filters import LogFilter
from asynclog.model import timestamp_text
from bench.filled import START, TASK, data_directory
from bench.harness import Bench, Row, Sample, at_most
from bench.raw_pages import all_rows, connect

ENTRIES: Final = 1_000_000
ROUNDS: Final = 12
LIMITS: Final = (200, 1000)
"""Entries of a page."""


def _filters(entries: int) -> dict[str, tuple[dict[str, Any], float]]:
    """By name: the conditions, and milliseconds to reach."""
    middle = START + entries * 1000 // 2
    window = {"since": timestamp_text(middle), "until": timestamp_text(middle + entries * 10)}
    return {
        "source, spread evenly": ({"source": "even"}, 20),
        "source, all at the end": ({"source": "late"}, 20),
        "stage": ({"stage": "cleanup"}, 20),
        "level": ({"level": "DEBUG"}, 20),
        "min_level": ({"min_level": "WARNING"}, 20),
        "unit": ({"unit": "dash-7"}, 20),
        "time, in the middle": (window, 20),
        "metadata": ({"metadata.dashboard_id": 7}, 50),
        "metadata, one entry at the end": ({"metadata.n": entries - (entries - 1) % 3}, 50),
    }


async def _timed(call: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await call()
    return (time.perf_counter() - start) * 1000


async def _run(bench: Bench, folder: Path, entries: int) -> list[Row]:
    connection = connect(folder / "asynclog.db")
    rows = []
    async with asynclog.open(folder) as tasks:
        for name, (conditions, target) in _filters(entries).items():
            where, params = LogFilter.parse_mapping(conditions).where()
            scan = f"SELECT count(*) FROM task_logs NOT INDEXED WHERE task_id = ? AND {where}"
            total = connection.execute(scan, (TASK, *params)).fetchone()[0]
            for limit in LIMITS:
                found = await tasks.logs(TASK, limit=limit, total=False, **conditions)
                assert len(found.lines) == min(limit, total), f"{len(found.lines):,} of {total:,}: {conditions}"
            ours = {
                str(limit): partial(_timed, partial(tasks.logs, TASK, limit=limit, total=False, **conditions))
                for limit in LIMITS
            }
            reading = partial(_timed, partial(asyncio.to_thread, all_rows, connection, scan, (TASK, *params)))
            values = await bench.turns_async({**ours, "scan": reading}, bench.rounds(ROUNDS))
            rows += [
                Row(
                    f"{name}: first page of {int(limit):,} / a scan",
                    Sample("asynclog", "ms", values[limit]),
                    Sample("sqlite3, every entry", "ms", values["scan"]),
                    at_most(target, "ms"),
                    f"{total:,} match",
                )
                for limit in ours
            ]
    connection.close()
    return rows


def run(bench: Bench) -> list[Row]:
    """Each kind of filter, index caught up."""
    entries = bench.amount(ENTRIES, 100_000)
    with data_directory(bench, entries, index=True) as folder:
        return asyncio.run(_run(bench, folder, entries))
