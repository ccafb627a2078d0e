"""Pages over HTTP from a real service, in a database of many entries, against sqlite3 and orjson on the same rows."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2
import orjson
import uvicorn

import asynclog
from asynclog import TaskContext
from asynclog.server import create_app
from bench.harness import Bench, Row, Sample

ROUNDS = 15
OTHERS = 1_000_000
ENTRIES = 10_000


async def _fill(params: dict[str, Any], context: TaskContext) -> None:
    loggers = [context.logger.with_source(f"source_{number}") for number in range(5)]
    for number in range(params["count"]):
        loggers[number % 5].info("entry %d of a task with a message of ordinary length, as they come", number, n=number)
        if number % 1000 == 0:
            await asyncio.sleep(0)


def _raw(path: Path, task_id: str, after: int) -> float:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    start = time.perf_counter()
    rows = connection.execute(
        "SELECT id, task_id, seq, timestamp, level, source, stage, unit, step_id, message, metadata_json "
        "FROM task_logs WHERE task_id = ? AND seq > ? ORDER BY seq LIMIT 1000",
        (task_id, after),
    ).fetchall()
    orjson.dumps([{"row": row[:10], "metadata": orjson.loads(row[10])} for row in rows])
    seconds = time.perf_counter() - start
    connection.close()
    return seconds * 1000


async def _get(client: httpx2.AsyncClient, path: str) -> float:
    start = time.perf_counter()
    answer = await client.get(path)
    answer.raise_for_status()
    return (time.perf_counter() - start) * 1000


async def _run(bench: Bench) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        async with asynclog.open(folder) as tasks:
            await tasks.run(_fill, {"count": bench.amount(OTHERS, 50_000)})
            task = await tasks.run(_fill, {"count": ENTRIES})
            server = uvicorn.Server(uvicorn.Config(create_app(tasks), port=0, log_level="critical"))
            serving = asyncio.create_task(server.serve())
            while not server.started:
                await asyncio.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            try:
                async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                    return await _measure(client, Path(folder) / "asynclog.db", task.id, bench)
            finally:
                server.should_exit = True
                await serving


async def _measure(client: httpx2.AsyncClient, database: Path, task_id: str, bench: Bench) -> list[Row]:
    logs = f"/api/tasks/{task_id}/logs?limit=1000"
    pages = {
        "first": f"{logs}&total=false",
        "middle": f"{logs}&total=false&after={ENTRIES // 2}",
        "newest first": f"{logs}&total=false&order=desc",
        "with its total": logs,
        "by source": f"{logs}&source=source_3",
    }
    rows = []
    for name, path in pages.items():
        ours, theirs = [], []
        for _ in bench.track(range(bench.rounds(ROUNDS)), name):
            ours.append(await _get(client, path))
            theirs.append(await asyncio.to_thread(_raw, database, task_id, ENTRIES // 2))
        rows.append(
            Row(
                f"page of 1,000 over HTTP, {name}, {OTHERS:,} others / raw read",
                Sample("service", "ms", ours),
                Sample("sqlite3 + orjson", "ms", theirs),
                "< 200 ms; < 100 ms by source",
            )
        )
    return rows


def run(bench: Bench) -> list[Row]:
    """First, middle and last page, and one filtered by source."""
    return asyncio.run(_run(bench))
