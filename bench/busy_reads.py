"""Reads over HTTP while a plugin's thread runs Python code without pause, against the same reads of an idle service.

The service has a task of a million entries, indexed. Each request finds the other thread at work: they come with
pauses, not one after another. How long a thread holds the interpreter is for its switch interval to say.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import httpx2

from bench.asking import Asker, asking
from bench.filled import TASK, data_directory
from bench.harness import Bench, Row, Sample, at_most
from bench.service import program, serving

ENTRIES: Final = 1_000_000
ROUNDS: Final = 60
PAUSE_SECONDS: Final = 0.013
_TASK: Final = f"/api/tasks/{TASK}"
READS: Final = {
    "page of 1,000": f"{_TASK}/logs?limit=1000&after=50000",
    "page of 200": f"{_TASK}/logs?after=50000",
    "search, one hit": f"{_TASK}/logs?search=item%209e3779b1",
    "stats": f"{_TASK}/logs/stats",
    "sources": f"{_TASK}/logs/sources",
    "list of tasks": "/api/tasks",
}


async def _read(asker: Asker, path: str) -> float:
    await asyncio.sleep(PAUSE_SECONDS)
    return await asker.milliseconds(path)


async def _burnt(client: httpx2.AsyncClient, task: str) -> None:
    """Return when the thread has ended; it has to have been at work."""
    while (found := (await client.get(f"/api/tasks/{task}")).json())["finished_at"] is None:
        await asyncio.sleep(0.1)
    assert found["status"] == "success", found
    assert found["result"]["turns"], found


async def _measure(bench: Bench, folder: Path) -> list[Row]:
    done = folder.parent / "done"
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(program(serving(folder, "bench.burning")))
        asker = await stack.enter_async_context(asking(service.url))
        client = await stack.enter_async_context(httpx2.AsyncClient(base_url=service.url, trust_env=False))
        values: dict[str, dict[str, list[float]]] = {name: {"idle": [], "busy": []} for name in READS}
        for turn in bench.track(range(2 * bench.rounds(6)), "turns"):
            state = ("idle", "busy")[turn % 2]
            done.unlink(missing_ok=True)
            task = None
            if state == "busy":
                answer = await client.post("/api/tasks", json={"plugin": "burn", "params": {"until": str(done)}})
                task = answer.raise_for_status().json()["id"]
            for name, path in READS.items():
                await _read(asker, path)
                values[name][state] += [await _read(asker, path) for _ in range(ROUNDS // 6)]
            done.touch()
            if task is not None:
                await _burnt(client, task)
        return [
            Row(
                f"{name} beside a thread that computes / the same idle",
                Sample("busy", "ms", found["busy"]),
                Sample("idle", "ms", found["idle"]),
                at_most(5),
                f"p90 {sorted(found['busy'])[len(found['busy']) * 9 // 10]:.1f} ms",
            )
            for name, found in values.items()
        ]


def run(bench: Bench) -> list[Row]:
    """Pages, a search, numbers and lists."""
    with data_directory(bench, bench.amount(ENTRIES, 100_000), index=True) as folder:
        return asyncio.run(_measure(bench, folder))
