"""What a restart finds: a process killed in the middle, and everything it had acknowledged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import asynclog
from asynclog import TaskManager, TaskQuery
from tests.library.reading import entries, messages, steps

PROGRAM = """
import asyncio, sys, threading
import asynclog

def say(line):
    sys.stdout.write(line + "\\n")  # in one piece: print writes the end of the line by itself
    sys.stdout.flush()

async def plugin(params, context):
    log = context.logger
    async with context.step("done", input=1) as step:
        step.output = 2
    async with context.stage("extract", pending=100) as stage:
        stage.progress(40, 100)
        stage.credits_used = 1.5
        async with stage.step("fetch", input={"url": "x"}):
            with context.unit("u"):
                for number in range(100):
                    log.info("line %d", number)
            log.progress(40, 100)
            context.append_trace("item", n=1)
            async with context.step("inner", input=[1, 2]):
                say(context.task_id)
                await asyncio.Event().wait()

def function(params, context):
    context.logger.error("in a thread")
    with context.step("thread"):
        say(context.task_id)
        threading.Event().wait()

async def main():
    settings = asynclog.Settings(file={"flush_interval": 60})
    async with asynclog.open(sys.argv[1], settings=settings) as tasks:
        await tasks.run(lambda params: 5, name="ended")
        await tasks.start(plugin)
        await tasks.start(function)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def killed_in_the_middle(folder: Path) -> list[str]:
    """Run the program until both tasks are deep inside, then kill it; their ids."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)], stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    assert process.stdout is not None
    try:
        return [process.stdout.readline().strip() for _ in range(2)]
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        process.stdout.close()


async def test_kill_9_leaves_everything_visible_as_interrupted(folder: Path) -> None:
    """After kill -9 the task, its begun stage and steps are interrupted, with all entries, inputs and counts."""
    ids = killed_in_the_middle(folder)
    async with asynclog.open(folder) as tasks:
        page = await tasks.reader.tasks(TaskQuery(status=("interrupted",)))
        assert {task.id for task in page.tasks} == set(ids)
        task = next(task for task in page.tasks if task.plugin == "plugin")
        assert task.error_message == "the service stopped while it ran"
        assert task.sealed is not None
        assert task.sealed.count == task.sealed.last_seq == task.last_seq
        lines = await entries(tasks, task.id, source="plugin", unit="u")
        assert [entry.message for entry in lines] == [f"line {number}" for number in range(100)]
        assert {entry.stage for entry in lines} == {"extract"}
        found = await entries(tasks, task.id)
        assert [entry.seq for entry in found] == list(range(1, task.last_seq + 1))
        assert found[-1].message == "task interrupted: the service stopped while it ran"
        await check_parts(tasks, task.id)
        other = next(task for task in page.tasks if task.plugin == "function")
        assert (await messages(tasks, other.id, min_level="ERROR")) == ["in a thread"]
        (ended,) = (await tasks.reader.tasks(TaskQuery(text="ended"))).tasks
        assert (ended.status, ended.result) == ("success", 5)


async def check_parts(tasks: TaskManager, task_id: str) -> None:
    done, fetch, inner = await steps(tasks, task_id)
    assert (done.status, done.input_json, done.output_json) == ("success", "1", "2")
    assert (fetch.status, fetch.input_json, fetch.stage) == ("interrupted", '{"url":"x"}', "extract")
    assert (inner.status, inner.input_json, inner.parent_id) == ("interrupted", "[1,2]", fetch.id)
    assert fetch.finished_at is not None
    (view,) = await tasks.reader.stages(task_id)
    assert view.stage is not None
    stage = view.stage
    assert (stage.status, stage.processed, stage.pending) == ("interrupted", 40, 100)
    assert (view.units, stage.finished_at is not None) == ({"u": 100}, True)


async def test_a_restart_shows_finished_tasks_as_before(folder: Path) -> None:
    """Tasks, entries, stages and steps of an ended task are the same after a restart, to the byte."""

    async def plugin(params: object, context: asynclog.TaskContext) -> None:
        async with context.stage("s"), context.step("n", input=1):
            for number in range(300):
                context.logger.info("line %d", number, number=number)

    async with asynclog.open(folder) as tasks:
        task = await tasks.run(plugin)
        before = (
            await tasks.task(task.id),
            (await tasks.logs(task.id, limit=5000)).lines,
            await tasks.reader.stages(task.id),
            await steps(tasks, task.id),
        )
    for _ in range(2):
        async with asynclog.open(folder) as tasks:
            after = (
                await tasks.task(task.id),
                (await tasks.logs(task.id, limit=5000)).lines,
                await tasks.reader.stages(task.id),
                await steps(tasks, task.id),
            )
            assert after == before
            assert tasks.engine.troubles() == []


async def test_a_restart_goes_on_numbering(folder: Path) -> None:
    """Record numbers rise over restarts; none is given twice."""
    found: list[int] = []
    for _ in range(3):
        async with asynclog.open(folder) as tasks:
            task = await tasks.run(lambda: None)
            found += [entry.id for entry in await entries(tasks, task.id)]
    assert found == sorted(set(found))
