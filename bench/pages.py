"""Pages of 1,000 entries in tasks of 10 thousand to 10 million, called and over HTTP, against sqlite3 and orjson.

Both doors are compared with the same done bare: the call with rows by sqlite3 and JSON by orjson in a thread, the
request with that behind uvicorn and Starlette, each server a process of its own and the client the same.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson

import asynclog
from bench.asking import asking
from bench.filled import TASK, data_directory
from bench.harness import Bench, Row, Sample, at_most
from bench.raw_pages import LIMIT, connect, raw_page
from bench.service import program, serving

SIZES: Final = (10_000, 1_000_000, 10_000_000)
ROUNDS: Final = 40
TARGET: Final = at_most(2)


def _places(entries: int) -> dict[str, tuple[dict[str, int], dict[str, Any]]]:
    """By name: the bare page's cursors, and what is asked of ours."""
    middle, last = entries // 2, entries - LIMIT
    return {
        "first": ({"after": 0}, {"after": 0}),
        "middle": ({"after": middle}, {"after": middle}),
        "last": ({"after": last}, {"after": last}),
        "newest first": ({"before": entries + 1}, {"order": "desc"}),
    }


def _query(asked: dict[str, Any]) -> str:
    return "&".join(f"{name}={value}" for name, value in asked.items())


async def _timed(call: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await call()
    return (time.perf_counter() - start) * 1000


async def _called(bench: Bench, folder: Path, entries: int) -> list[Row]:
    connection = connect(folder / "asynclog.db")
    rows = []
    async with asynclog.open(folder) as tasks:
        for name, (bare, asked) in _places(entries).items():
            page = await tasks.logs(TASK, limit=LIMIT, **asked)
            _check([orjson.loads(line) for line in page.lines], raw_page(connection, **bare))
            values = await bench.turns_async(
                {
                    "ours": partial(_timed, partial(tasks.logs, TASK, limit=LIMIT, **asked)),
                    "bare": partial(_timed, partial(asyncio.to_thread, raw_page, connection, **bare)),
                },
                bench.rounds(ROUNDS),
            )
            rows.append(_row(f"page of {LIMIT:,}, {name}, of {entries:,}: the call", values))
    connection.close()
    return rows


def _row(scenario: str, values: dict[str, list[float]]) -> Row:
    return Row(
        scenario, Sample("asynclog", "ms", values["ours"]), Sample("sqlite3 + orjson", "ms", values["bare"]), TARGET
    )


async def _requested(bench: Bench, folder: Path, entries: int) -> list[Row]:
    bare_server = (sys.executable, "-m", "bench.raw_pages", str(folder / "asynclog.db"))
    async with (
        program(serving(folder, "bench.burning")) as ours,
        program(bare_server) as bare,
        asking(ours.url) as service,
        asking(bare.url) as reference,
    ):
        rows = []
        for name, (cursors, asked) in _places(entries).items():
            mine, theirs = f"/api/tasks/{TASK}/logs?limit={LIMIT}&{_query(asked)}", f"/page?{_query(cursors)}"
            _check(orjson.loads(await service.get(mine))["entries"], await reference.get(theirs))
            values = await bench.turns_async(
                {"ours": partial(service.milliseconds, mine), "bare": partial(reference.milliseconds, theirs)},
                bench.rounds(ROUNDS),
            )
            rows.append(_row(f"page of {LIMIT:,}, {name}, of {entries:,}: over HTTP", values))
        return rows


def _check(entries: list[dict[str, Any]], bare: bytes) -> None:
    """Both pages have the same entries; but for their times, which the bare one leaves as they are stored."""
    mine, theirs = ([{**entry, "timestamp": 0} for entry in some] for some in (entries, orjson.loads(bare)["entries"]))
    assert len(mine) == LIMIT, f"{len(mine):,} entries"
    assert mine == theirs, "the two pages are not the same"


def run(bench: Bench) -> list[Row]:
    """First, middle, last and newest page, with its total, by both doors and in each size."""
    rows = []
    for entries in SIZES[:2] if bench.quick else SIZES:
        with data_directory(bench, entries, index=False) as folder:
            rows += asyncio.run(_called(bench, folder, entries))
            rows += asyncio.run(_requested(bench, folder, entries))
    return rows
