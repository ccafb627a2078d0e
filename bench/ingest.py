"""NDJSON over HTTP into a service in a process of its own, against a raw insert of the same rows and against peers.

Acknowledged means crash-safe: the journal has it. Stored means that SQL can read it. Prefect's server takes its lines
over HTTP too; Dagster's event log is asked without any server in between.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import httpx2
import msgspec

from bench import peers, plain
from bench.harness import Bench, Row, Sample, at_least
from bench.peers import Dagster, Prefect
from bench.service import program, serving

ROUNDS: Final = 7
ENTRIES: Final = 200_000
LINES: Final = 5000
"""Of one batch."""
TASKS: Final = 4
PREFECT_ENTRIES: Final = 6000
DAGSTER_ENTRIES: Final = 600


def _body(first: int) -> bytes:
    """A batch, as any program would write it."""
    lines = []
    for number in range(first + 1, first + LINES + 1):
        line: dict[str, object] = {"message": plain.MESSAGE % number}
        if (metadata := plain.metadata_of(number)) is not None:
            line["metadata"] = metadata
        lines.append(msgspec.json.encode(line))
    return b"\n".join(lines)


async def _feed(client: httpx2.AsyncClient, task: str, bodies: list[bytes]) -> None:
    for body in bodies:
        answer = await client.post(f"/api/tasks/{task}/logs?batch_id={uuid.uuid4().hex}", content=body)
        answer.raise_for_status()
        accepted = answer.json()["accepted"]
        assert accepted == LINES, answer.text


async def _stored(client: httpx2.AsyncClient, task: str) -> None:
    """Return once everything of the task can be read."""
    complete = False
    while not complete:
        answer = await client.get(f"/api/tasks/{task}/logs?limit=1&order=desc&total=false")
        answer.raise_for_status()
        complete = answer.json()["complete"]


async def _ours(folder: Path, count: int) -> tuple[float, float]:
    """Entries a second until acknowledged, and until stored."""
    bodies = [_body(first) for first in range(0, count // TASKS, LINES)]
    async with (
        program(serving(folder / "data", "bench.emitting")) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as client,
    ):
        tasks = []
        for number in range(TASKS):
            answer = await client.post("/api/tasks", json={"external": True, "name": f"ingest {number}"})
            answer.raise_for_status()
            tasks.append(answer.json()["id"])
        start = time.perf_counter()
        await asyncio.gather(*(_feed(client, task, bodies) for task in tasks))
        acknowledged = time.perf_counter() - start
        await asyncio.gather(*(_stored(client, task) for task in tasks))
        stored = time.perf_counter() - start
        sent = len(bodies) * LINES * TASKS
        for task in tasks:
            answer = await client.get(f"/api/tasks/{task}/logs/stats")
            assert answer.json()["by_source"]["plugin"] == sent // TASKS, answer.text
    return sent / acknowledged, sent / stored


async def _run(bench: Bench) -> list[Row]:
    count = bench.amount(ENTRIES, 40_000)
    acknowledged: list[float] = []
    async with AsyncExitStack() as stack:
        prefect, dagster = await _peers(bench, stack)

        async def ours() -> float:
            with tempfile.TemporaryDirectory() as folder:
                first, second = await _ours(Path(folder), count)
            acknowledged.append(first)
            return second

        async def raw() -> float:
            with tempfile.TemporaryDirectory() as folder:
                return await asyncio.to_thread(plain.insert, Path(folder) / "plain.db", count, TASKS)

        async def theirs() -> float:
            assert prefect is not None
            start = time.perf_counter()
            await prefect.store(PREFECT_ENTRIES)
            return PREFECT_ENTRIES / (time.perf_counter() - start)

        async def events() -> float:
            assert dagster is not None
            return DAGSTER_ENTRIES / await asyncio.to_thread(dagster.store, DAGSTER_ENTRIES)

        contenders = {"stored": ours, "raw insert": raw}
        if prefect is not None:
            contenders |= {"Prefect server": theirs, "Dagster event log": events}
        values = await bench.turns_async(contenders, bench.rounds(ROUNDS))
    samples = {name: Sample(name, "entries/s", found) for name, found in values.items()}
    return _rows(Sample("acknowledged", "entries/s", acknowledged), samples)


async def _peers(bench: Bench, stack: AsyncExitStack) -> tuple[Prefect | None, Dagster | None]:
    why = peers.missing()
    if why is not None:
        bench.miss(why)
        return None, None
    folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
    prefect = await stack.enter_async_context(peers.prefect(folders[0]))
    dagster = stack.enter_context(peers.dagster(folders[1]))
    await prefect.store(peers.PREFECT_BATCH)  # their first calls make tables and fill caches
    await asyncio.to_thread(dagster.store, 10)
    return prefect, dagster


def _rows(acknowledged: Sample, samples: dict[str, Sample]) -> list[Row]:
    stored, raw = samples["stored"], samples["raw insert"]
    rows = [
        Row("HTTP ingest acknowledged / raw insert", acknowledged, raw, at_least(0.8)),
        Row("HTTP ingest stored / raw insert", stored, raw, at_least(0.5)),
    ]
    if "Prefect server" in samples:
        versions = peers.versions()
        for name, bound in (("Prefect server", 50), ("Dagster event log", 500)):
            note = f"{name.split()[0]} {versions[name.split()[0].lower()]}, SQLite"
            rows.append(Row(f"HTTP ingest stored / {name}", stored, samples[name], at_least(bound), note))
    return rows


def run(bench: Bench) -> list[Row]:
    """Ours, the raw insert and the peers in turn."""
    return asyncio.run(_run(bench))
