"""A wall clock that is set: nothing ends before it began."""

from __future__ import annotations

from pathlib import Path

import msgspec

import asynclog
from asynclog import TaskContext
from asynclog.records import TaskRecord
from asynclog.testing import ManualClock
from tests.library.reading import entries, steps

HOUR = 3_600_000_000


async def test_nothing_ends_before_it_began(folder: Path) -> None:
    """When the clock is set back while tasks, stages and steps run, they take no time; none takes less."""
    clock = ManualClock()

    async def plugin(_params: object, context: TaskContext) -> None:
        left = context.stage("left")
        left.__enter__()
        async with context.stage("s"), context.step("n"):
            context.step("left").__enter__()
            clock.set_wall(clock.now() - HOUR)

    async with asynclog.open(folder, clock=clock) as tasks:
        ended = [await tasks.run(plugin)]
        for status in ("success", "failed"):
            task = tasks.external.start("scrape")
            stage = await tasks.external.put_stage(task.id, {"name": "s"})
            step = await tasks.external.put_step(task.id, {"node_id": "n"})
            await tasks.external.put_stage(task.id, {"name": "left"})
            await tasks.external.put_step(task.id, {"node_id": "left"})
            clock.set_wall(clock.now() - HOUR)
            await tasks.external.put_stage(task.id, {"id": stage.id, "status": "success"})
            await tasks.external.put_step(task.id, {"id": step.id, "status": "success"})
            ended.append(await tasks.external.finish(task.id, status))
        for task in ended:
            assert task.duration == 0
            views = [view.stage for view in await tasks.reader.stages(task.id)]
            assert [(one.status, one.finished_at) for one in views if one] == [
                (status, task.started_at) for status in ("interrupted", "success")[:: 1 if task is ended[0] else -1]
            ]
            assert {one.finished_at for one in await steps(tasks, task.id)} == {task.started_at}
            assert not [entry.message for entry in await entries(tasks, task.id) if " -" in entry.message]
        stats = await tasks.reader.plugin_stats("external")
        assert (stats.p50, stats.p95) == (0, 0)
        longest = await tasks.reader.tasks(asynclog.TaskQuery(max_duration=0))
        assert {task.id for task in longest.tasks} == {task.id for task in ended}


async def test_what_a_restart_ends_takes_no_less_than_no_time(folder: Path) -> None:
    """A task that a killed process left is interrupted at its start when the clock is behind that now."""
    clock = ManualClock()
    async with asynclog.open(folder, clock=clock) as tasks:
        task = tasks.external.start("scrape")
        await tasks.external.put_step(task.id, {"node_id": "n"})
        live = tasks.engine.hub.get(task.id)
        assert live is not None
        here = msgspec.structs.replace(live.task, external=False)  # as one whose code ran in the process
        tasks.engine.record(TaskRecord(task.id, here))
    async with asynclog.open(folder, clock=ManualClock(clock.now() - HOUR)) as tasks:
        lost = await tasks.task(task.id)
        assert (lost.status, lost.duration) == ("interrupted", 0)
        assert [(step.status, step.finished_at) for step in await steps(tasks, task.id)] == [
            ("interrupted", step.started_at) for step in await steps(tasks, task.id)
        ]
