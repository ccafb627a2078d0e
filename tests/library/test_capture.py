"""Where entries belong: the task, stage and unit follow the code through coroutines, threads and executors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import asynclog
from asynclog import TaskContext, TaskManager, belief_scope, current_context
from tests.library.reading import entries, messages, plugin_messages


async def test_the_example_of_the_contract(tasks: TaskManager) -> None:
    """The plugin that the documentation shows does what it says there."""

    async def reindex(params: dict[str, Any], context: TaskContext) -> dict[str, Any]:
        log = context.logger
        api = log.with_source("superset_api")
        api.info("fetched %d charts", 42, dashboard_id=7)
        async with context.stage("extract", number=1, pending=120) as stage:
            async with stage.step("fetch", node_type="http", input={"url": "…"}) as step:
                step.output = {"rows": 42}
            stage.progress(60, 120)
            stage.processed = 120
            stage.credits_used = 1.5
            stage.result = {"ok": True}
        log.progress(3, 10, "halfway")
        context.append_trace("item_done", item=7)
        with belief_scope(log, "reindex"):
            log.debug("working with %s", params)
        return {"charts": 42}

    task = await tasks.run(reindex, {"full": True})
    assert (task.status, task.result, task.params, task.plugin) == (
        "success",
        {"charts": 42},
        {"full": True},
        "reindex",
    )
    (fetched,) = await entries(tasks, task.id, source="superset_api")
    assert (fetched.message, fetched.metadata) == ("fetched 42 charts", {"dashboard_id": 7})
    system = await messages(tasks, task.id, source="system")
    assert [message.split(" in ")[0] for message in system] == [
        "task started: reindex",
        "stage extract started (120 pending)",
        "stage extract: 60 of 120",
        "stage extract finished",
        "task finished",
    ]
    (view,) = await tasks.reader.stages(task.id)
    assert view.stage is not None
    stage = view.stage
    assert (stage.number, stage.status, stage.pending, stage.processed, stage.credits_used) == (
        1,
        "success",
        120,
        120,
        1.5,
    )
    (step,) = await tasks.reader.steps(task.id)
    assert (step.node_name, step.stage, step.status) == ("fetch", "extract", "success")
    assert (task.progress and task.progress.current, task.last_seq, task.sealed and task.sealed.count) == (3, 11, 11)
    assert (await tasks.task(task.id)) == task


def log_inside() -> None:
    """Log for whatever task this code belongs to."""
    context = current_context()
    assert context is not None
    context.logger.info("inside")


async def log_inside_later() -> None:
    await asyncio.sleep(0)
    log_inside()


async def by_await() -> None:
    await log_inside_later()


async def by_gather() -> None:
    await asyncio.gather(log_inside_later())


async def by_task_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(log_inside_later())


async def by_callback() -> None:
    asyncio.get_running_loop().call_soon(log_inside)
    await asyncio.sleep(0)


async def by_to_thread() -> None:
    await asyncio.to_thread(log_inside)


async def by_default_executor() -> None:
    await asyncio.get_running_loop().run_in_executor(None, log_inside)


async def by_own_executor() -> None:
    context = current_context()
    assert context is not None
    with ThreadPoolExecutor(1) as pool:
        await asyncio.get_running_loop().run_in_executor(pool, context.wrap(log_inside))


async def by_own_thread() -> None:
    context = current_context()
    assert context is not None
    thread = threading.Thread(target=context.wrap(log_inside))
    thread.start()
    await asyncio.to_thread(thread.join)


@pytest.mark.parametrize(
    "way",
    [
        by_await,
        by_gather,
        by_task_group,
        by_callback,
        by_to_thread,
        by_default_executor,
        by_own_executor,
        by_own_thread,
    ],
)
async def test_place_and_task_follow_the_code(tasks: TaskManager, way: Callable[[], Awaitable[None]]) -> None:
    """Stage, unit and current task follow into coroutines, child tasks, threads, the default executor and `wrap`."""

    async def plugin(params: object, context: TaskContext) -> None:
        async with context.stage("outer"):
            with context.unit("u1"):
                await way()

    task = await tasks.run(plugin)
    assert task.status == "success", task.error_stack
    (entry,) = await entries(tasks, task.id, source="plugin")
    assert (entry.message, entry.stage, entry.unit) == ("inside", "outer", "u1")


async def test_a_plain_thread_holds_the_logger(tasks: TaskManager) -> None:
    """A thread that knows only the logger logs for its task, and has no current task of its own."""
    seen: list[object] = []

    async def plugin(params: object, context: TaskContext) -> None:
        def work() -> None:
            seen.append(current_context())
            context.logger.bind_unit("u").info("from a thread")

        thread = threading.Thread(target=work)
        thread.start()
        await asyncio.to_thread(thread.join)

    task = await tasks.run(plugin)
    (entry,) = await entries(tasks, task.id, source="plugin")
    assert (entry.message, entry.unit, seen) == ("from a thread", "u", [None])


async def test_a_function_runs_in_a_thread_with_everything(tasks: TaskManager) -> None:
    """A plain function runs beside the loop, with stages, steps and units as plain `with` blocks."""
    loop_thread = threading.get_ident()

    def plugin(params: object, context: TaskContext) -> int:
        assert threading.get_ident() != loop_thread
        assert current_context() is context
        with context.stage("s"), context.unit("u"), context.step("n") as step:
            context.logger.info("inside")
            step.output = 5
        return 7

    task = await tasks.run(plugin)
    assert (task.status, task.result) == ("success", 7), task.error_stack
    (entry,) = await entries(tasks, task.id, source="plugin")
    (step,) = await tasks.reader.steps(task.id)
    assert (entry.stage, entry.unit, entry.step_id) == ("s", "u", step.id)


async def test_outside_of_a_task_there_is_none(tasks: TaskManager) -> None:
    """The caller of `run` has no current task, before and after, and a child has its own."""
    seen: list[str] = []

    async def child(params: object, context: TaskContext) -> None:
        found = current_context()
        assert found is context
        seen.append(found.task_id)

    async def parent(params: object, context: TaskContext) -> str:
        async with context.stage("starting"):
            started = await context.start(child)
            await tasks.wait(started.id)
        return started.id

    assert current_context() is None
    task = await tasks.run(parent)
    assert current_context() is None
    assert seen == [task.result]
    assert {entry.stage for entry in await entries(tasks, task.result)} == {None}


async def test_a_generator_leaves_its_stage_where_it_ends(tasks: TaskManager) -> None:
    """A stage inside an async generator that is closed in another context disturbs nobody's place."""

    async def items(context: TaskContext) -> Any:
        async with context.stage("generating"):
            yield 1
            yield 2

    async def plugin(params: object, context: TaskContext) -> None:
        source = items(context)
        await asyncio.create_task(source.__anext__())
        async with context.stage("own"):
            await asyncio.create_task(source.aclose())
            context.logger.info("still here")
        context.logger.info("outside")

    task = await tasks.run(plugin)
    assert task.status == "success", task.error_stack
    assert [(e.message, e.stage) for e in await entries(tasks, task.id, source="plugin")] == [
        ("still here", "own"),
        ("outside", None),
    ]


async def test_a_leaked_thread_reaches_only_the_services_log(
    tasks: TaskManager, caplog: pytest.LogCaptureFixture
) -> None:
    """What a thread logs after its task's end is in no task; it is counted in the service's own log."""
    go, done = threading.Event(), threading.Event()

    async def plugin(params: object, context: TaskContext) -> None:
        def leak() -> None:
            go.wait(30)
            for number in range(3):
                context.logger.info("leaked %d", number)
            with context.stage("leaked"), context.step("leaked"):
                context.append_trace("leaked")
            done.set()

        threading.Thread(target=leak, daemon=True).start()
        context.logger.info("before")

    task = await tasks.run(plugin)
    go.set()
    await asyncio.to_thread(done.wait, 30)
    assert await plugin_messages(tasks, task.id) == ["before"]
    assert (await tasks.task(task.id)) == task
    assert await tasks.reader.stages(task.id) == []
    assert await tasks.reader.steps(task.id) == []
    late = [record.getMessage() for record in caplog.records if record.name == "asynclog.task"]
    assert len(late) == 5
    assert late[2] == f"entry 3 after the end of task {task.id}: leaked 2"


async def test_two_hundred_tasks_at_once_stay_apart(tasks: TaskManager) -> None:
    """Two hundred tasks at once, every message naming its task: each has its own, in order, and no other's."""
    start = asyncio.Event()

    async def plugin(params: dict[str, Any], context: TaskContext) -> None:
        await start.wait()
        log = context.logger.bind(task=context.task_id)
        for number in range(10):
            log.info("%s %d", context.task_id, number)
            with context.unit(context.task_id):
                await asyncio.to_thread(log.with_source("thread").info, "%s %d", context.task_id, number)
            await asyncio.sleep(0)

    started = [await tasks.start(plugin) for _ in range(200)]
    start.set()
    ended = [await tasks.wait(task.id) for task in started]
    assert {task.status for task in ended} == {"success"}
    for task in ended:
        expected = [f"{task.id} {number}" for number in range(10)]
        assert await messages(tasks, task.id, source="plugin") == expected
        assert await messages(tasks, task.id, source="thread", unit=task.id) == expected
        assert (task.last_seq, task.counts["INFO"]) == (22, 22)
    page = await tasks.reader.search(asynclog.EntryQuery(limit=5000))
    assert len(page.lines) == 200 * 22
