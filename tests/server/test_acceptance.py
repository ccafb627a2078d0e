"""What readers are promised, with many entries, many tasks and readers that come, go and dawdle."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed

from asynclog.server import shapes
from asynclog.tasks.context import TaskContext
from tests.server.running import DEADLINE, Running, frames, seqs

SOURCES = ("api", "db", "fs", "cache", "stdout")
ENTRIES = 10_000


async def _burst(params: dict[str, Any], context: TaskContext) -> None:
    """Logs ten thousand entries from five sources within a few seconds, some of them from threads."""
    loggers = [context.logger.with_source(source) for source in SOURCES]

    def some(start: int) -> None:
        for number in range(start, start + 50):
            level = "ERROR" if number % 100 == 0 else "WARNING" if number % 10 == 0 else "INFO"
            loggers[number % 5].log(level, "entry %d", number, n=number)

    for start in range(0, ENTRIES, 100):
        some(start)
        await asyncio.to_thread(some, start + 50)
        await asyncio.sleep(0.01)


class Reader:
    """Follows a task as a page does, and keeps what it was sent."""

    def __init__(self, service: Running, task_id: str, query: str) -> None:
        self.service = service
        self.path = f"/ws/tasks/{task_id}/logs?{query}"
        self.cursor = 0
        self.got: list[int] = []
        self.ended = False

    async def _connection(self, frames_at_most: float, pause: float) -> None:
        count = 0
        async with self.service.socket(f"{self.path}&after={self.cursor}", max_queue=1) as socket:
            async for text in socket:
                frame = json.loads(text)
                if frame["type"] == "entries":
                    self.got += [entry["seq"] for entry in frame["entries"]]
                    self.cursor = frame["through"]
                self.ended = self.ended or frame["type"] == "end"
                count += 1
                if count >= frames_at_most:
                    socket.transport.abort()  # as when a cable is pulled
                    return
                await asyncio.sleep(pause)

    async def follow(self, dice: random.Random | None = None, pause: float = 0.0) -> None:
        """Read to the end; with dice, over connections that break at random."""
        async with asyncio.timeout(60):
            while not self.ended:
                try:
                    await self._connection(dice.randint(1, 12) if dice else float("inf"), pause)
                except ConnectionClosed:
                    continue


async def test_everybody_gets_exactly_theirs(service: Running) -> None:
    """Ten thousand entries from five sources: readers with different filters, one that reconnects at random, one
    very slow: each gets exactly its entries, in order, once, the same ones a page and an export show.
    """
    service.tasks.plugins = {**service.tasks.plugins, "burst": service.tasks._plugin(_burst)}
    task = await service.post("/api/tasks", {"plugin": "burst"}, 201)
    task_id = task["id"]
    dice = random.Random(7)
    asked = {
        "everything": "",
        "one source": "source=api",
        "trouble": "min_level=WARNING",
        "reconnecting": "exclude_source=db",
        "reconnecting too": "",
        "slow": "source=fs&source=cache",
    }
    readers = {name: Reader(service, task_id, query) for name, query in asked.items()}
    await asyncio.gather(
        *(
            reader.follow(dice if name.startswith("re") else None, 0.05 if name == "slow" else 0.0)
            for name, reader in readers.items()
        )
    )
    for name, query in asked.items():
        expected: list[int] = []
        after: int | None = 0
        while after is not None:
            response = await service.client.get(f"/api/tasks/{task_id}/logs?{query}&limit=5000&after={after}")
            page = msgspec.json.decode(response.content, type=shapes.LogPage)
            assert page.complete
            expected += [entry.seq for entry in page.entries]
            after = page.next_after
        assert readers[name].got == expected, name
        exported = await service.client.get(f"/api/tasks/{task_id}/logs/export?{query}")
        assert [json.loads(line)["seq"] for line in exported.content.splitlines()] == expected
    assert readers["everything"].got == list(range(1, ENTRIES + 3))


TASKS = 200


async def _named(params: dict[str, Any], context: TaskContext) -> None:
    """Every message names its task."""
    for number in range(20):
        context.logger.with_source(f"s{number % 3}").info("%s %d", context.task_id, number, owner=context.task_id)
        if number % 5 == 0:
            await asyncio.sleep(0.01)
    await asyncio.to_thread(context.logger.warning, "%s thread", context.task_id, owner=context.task_id)


async def test_nothing_appears_under_another_task(service: Running) -> None:
    """Two hundred tasks at once, every message naming its task: rows, pages, numbers, search and frames agree."""
    service.tasks.plugins = {**service.tasks.plugins, "named": service.tasks._plugin(_named)}
    started = [await service.post("/api/tasks", {"plugin": "named"}, 201) for _ in range(TASKS)]
    ids = [task["id"] for task in started]

    async def watch(task_id: str) -> list[dict[str, Any]]:
        async with service.socket(f"/ws/tasks/{task_id}/logs") as socket:
            return await frames(socket)

    async with asyncio.timeout(60):
        watched = dict(zip(ids[::4], await asyncio.gather(*(watch(task_id) for task_id in ids[::4])), strict=True))
        for task_id in ids:
            await service.tasks.wait(task_id)
    for task_id, found in watched.items():
        entries = [entry for frame in found if frame["type"] == "entries" for entry in frame["entries"]]
        assert seqs(found) == list(range(1, 24))
        assert all(entry["task_id"] == task_id for entry in entries)
        assert all(task_id in entry["message"] for entry in entries if entry["source"] != "system")
    for task_id in ids:
        page = await service.get(f"/api/tasks/{task_id}/logs", shapes.LogPage)
        assert [entry.seq for entry in page.entries] == list(range(1, 24))
        assert {entry.task_id for entry in page.entries} == {task_id}
        assert {(entry.metadata or {}).get("owner", task_id) for entry in page.entries} == {task_id}
        stats = await service.get(f"/api/tasks/{task_id}/logs/stats", shapes.LogStats)
        assert stats.by_source == {"plugin": 1, "s0": 7, "s1": 7, "s2": 6, "system": 2}
    mine = await service.client.get(f"/api/logs?metadata.owner={ids[3]}&limit=100")
    assert {entry["task_id"] for entry in mine.json()["entries"]} == {ids[3]}
    assert len(mine.json()["entries"]) == 21


@pytest.mark.parametrize("pieces", [1, 5])
async def test_accounts_stay_apart(service: Running, pieces: int) -> None:
    """A list and its live form by account hold that account's tasks alone."""
    for account in ("a", "b"):
        for _ in range(pieces):
            await service.post("/api/tasks", {"plugin": "talk", "account": account}, 201)
    async with asyncio.timeout(DEADLINE), service.socket("/ws/tasks?account=a") as socket:
        frame = json.loads(await socket.recv())
    page = await service.client.get("/api/tasks?account=a")
    for tasks in (frame["tasks"], page.json()["tasks"]):
        assert [task["account"] for task in tasks] == ["a"] * pieces
