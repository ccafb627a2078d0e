"""The numbers of /metrics that somebody is woken by: what tasks and schedules came to."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from asynclog.server.metrics import ENDS
from tests.server.running import DEADLINE, Running, hold, running, talk
from tests.server.test_process import process


async def number(service: Running, name: str) -> float:
    """What /metrics says."""
    text = (await service.client.get("/metrics")).text
    [line] = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


async def ended(service: Running) -> dict[str, float]:
    """How many tasks have ended, by status."""
    return {status: await number(service, f'asynclog_tasks_ended_total{{status="{status}"}}') for status in ENDS}


async def test_tasks_are_counted_by_how_they_end(service: Running) -> None:
    """Each end counts once, of tasks that run here and elsewhere; what has not happened is 0, as alarms need it."""
    assert await ended(service) == dict.fromkeys(ENDS, 0)
    for plugin in ("talk", "talk", "fail"):
        await service.run(plugin)
    held = await service.post("/api/tasks", {"plugin": "hold"}, 201)
    await service.post(f"/api/tasks/{held['id']}/cancel", status=202)
    await service.tasks.wait(held["id"])
    elsewhere = await service.post("/api/tasks", {"external": True, "name": "x"}, 201)
    await service.post(f"/api/tasks/{elsewhere['id']}/finish", {"status": "failed"})
    assert await ended(service) == {"success": 2, "failed": 2, "cancelled": 1, "interrupted": 0}


async def test_what_a_dead_process_left_is_counted(tmp_path: Path) -> None:
    """Tasks that ended with their process count as interrupted where that is found out."""
    async with process(tmp_path) as first:
        await first.start("ticking")
        await first.end(signal.SIGKILL)
    async with running(tmp_path) as second:
        assert (await ended(second))["interrupted"] == 1


async def test_schedules_that_start_nothing_are_counted(tmp_path: Path) -> None:
    """A schedule whose plugin is gone counts from its next due time on."""
    async with running(tmp_path, plugins={"talk": talk, "hold": hold}) as first:
        for plugin in ("talk", "hold"):
            await first.post("/api/schedules", {"plugin": plugin, "interval": 1}, 201)
        assert await number(first, "asynclog_schedules_failing") == 0
    async with running(tmp_path, plugins={"hold": hold}) as second, asyncio.timeout(DEADLINE):
        while await number(second, "asynclog_schedules_failing") != 1:
            await asyncio.sleep(0.05)
