"""Tasks: how they run, end, fail, are cancelled and have children."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

import asynclog
from asynclog import ConflictError, InvalidError, NotFoundError, TaskContext, TaskManager, TaskQuery, current_context
from tests.library.reading import entries, messages, plugin_messages, until


async def nothing(params: Any) -> None:
    """Does nothing."""


async def test_a_task_tells_its_life(tasks: TaskManager) -> None:
    """A task has entries of source `system` at its start and end, times, a result and a seal."""

    async def plugin(params: dict[str, int]) -> dict[str, int]:
        return {"doubled": params["n"] * 2}

    task = await tasks.run(plugin, {"n": 21}, name="nightly", trigger_type="webhook", trigger_data={"by": "me"})
    assert (task.status, task.name, task.plugin, task.result) == ("success", "nightly", "plugin", {"doubled": 42})
    assert (task.trigger_type, task.trigger_data, task.parent_id, task.external) == (
        "webhook",
        {"by": "me"},
        None,
        False,
    )
    assert task.created_at <= (task.started_at or 0) <= (task.finished_at or 0)
    assert [(e.source, e.level.name) for e in await entries(tasks, task.id)] == [("system", "INFO")] * 2
    assert task.sealed is not None
    assert (task.sealed.count, task.sealed.last_seq, task.last_seq) == (2, 2, 2)


async def test_run_is_stored_on_return(tasks: TaskManager, folder: Path) -> None:
    """When `run` has returned, the database holds the task and its entries."""
    task = await tasks.run(nothing)
    with sqlite3.connect(f"{(folder / 'asynclog.db').as_uri()}?mode=ro", uri=True) as connection:
        assert connection.execute("SELECT status FROM tasks WHERE id = ?", (task.id,)).fetchone() == ("success",)
        assert connection.execute("SELECT count(*) FROM task_logs WHERE task_id = ?", (task.id,)).fetchone() == (2,)
    connection.close()


async def test_a_failure_is_kept_with_its_traceback(tasks: TaskManager) -> None:
    """A plugin that raises does not raise out of `run`: its task is failed, with message, stack and an ERROR entry."""

    async def plugin(params: object, context: TaskContext) -> None:
        context.logger.info("before")
        raise ValueError("the disk is upside down")

    task = await tasks.run(plugin)
    assert (task.status, task.error_message, task.result) == ("failed", "the disk is upside down", None)
    assert "in plugin" in (task.error_stack or "")
    last = (await entries(tasks, task.id, source="system", min_level="ERROR"))[-1]
    assert last.message.startswith("task failed after")
    assert last.metadata is not None
    assert last.metadata["traceback"] == task.error_stack


class HostileError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no str")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SystemExit(3), "SystemExit: 3"),
        (SystemExit(), "SystemExit"),
        (KeyError("rows"), "KeyError: 'rows'"),
        (KeyError(), "KeyError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit(), "GeneratorExit"),
        (BaseExceptionGroup("several", [SystemExit(1), ValueError("x")]), "several (2 sub-exceptions)"),
        (ExceptionGroup("two", [ValueError("a"), KeyError("b")]), "two (2 sub-exceptions)"),
        (HostileError(), "unprintable HostileError"),
        (StopAsyncIteration(), "StopAsyncIteration"),
        (asyncio.CancelledError(), "CancelledError"),
        (ValueError("nul \0 \ud800"), "nul \\x00 \\ud800"),
        (ValueError("https://me:hunter2@host"), "https://"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
@pytest.mark.parametrize("way", ["coroutine", "function", "function returning a coroutine"])
async def test_whatever_a_plugin_raises_is_its_failure(
    tasks: TaskManager, error: BaseException, said: str, way: str
) -> None:
    """Exits, interrupts, groups, hostile exceptions: the task fails, loop and service go on."""

    async def coroutine(params: object) -> None:
        raise error

    def function(params: object) -> None:
        raise error

    def returning(params: object) -> Any:
        return coroutine(params)

    plugin = {"coroutine": coroutine, "function": function}.get(way, returning)
    task = await tasks.run(plugin)
    assert task.status == "failed"
    assert said in (task.error_message or "")
    assert type(error).__name__ in (task.error_stack or "")
    assert "hunter2" not in msgspec.json.encode(task).decode()
    assert (await tasks.run(nothing)).status == "success"


async def test_a_call_that_does_not_fit_is_a_failure(tasks: TaskManager) -> None:
    """A plugin that takes other arguments than it is given fails as a task."""

    async def plugin(one: object, two: object) -> None: ...

    task = await tasks.run(plugin)
    assert task.status == "failed"
    assert "two" in (task.error_message or "")


async def test_params_default_to_an_empty_mapping(tasks: TaskManager) -> None:
    """A plugin that is started without parameters gets an empty dictionary, which is what is stored too."""
    seen: list[object] = []

    async def plugin(params: object) -> None:
        seen.append(params)

    task = await tasks.run(plugin)
    assert (seen, task.params) == ([{}], {})


async def test_the_plugin_gets_its_parameters_whole(tasks: TaskManager) -> None:
    """The plugin receives the very object; stored are params, trigger data, metadata and result normalised and cut."""
    await tasks.engine.change_settings({"max_data_size": 2000})
    given = {"rows": ["x" * 100] * 1000, "when": {1, 2}, "password": "hunter2"}
    seen: list[object] = []

    async def plugin(params: object) -> object:
        seen.append(params)
        return params

    task = await tasks.run(plugin, given, trigger_data=given, metadata=given)
    assert seen[0] is given
    for stored in (task.params, task.result, task.trigger_data, task.metadata):
        assert list(stored) == ["_truncated", "_originalSize", "_preview"]
        assert stored["_originalSize"] > 100_000
        assert len(stored["_preview"]) == 1003
    small = await tasks.run(plugin, {"odd": {float("nan")}, "password": "hunter2"})
    assert small.params == small.result == {"odd": '{"NaN"}', "password": "[redacted]"}


async def test_a_plugin_by_name_has_its_config(folder: Path) -> None:
    """Plugins given to `open` start by name and find their read-only configuration in the context."""

    async def plugin(params: object, context: TaskContext) -> object:
        with pytest.raises(TypeError):
            context.config["keep"] = 1  # type: ignore[index]  # on purpose
        return {"config": dict(context.config)}

    config = {"backup": {"keep": 7}, "other": {"keep": 8}}
    async with asynclog.open(folder, plugins={"backup": plugin, "plain": plugin}, config=config) as tasks:
        assert (await tasks.run("backup")).result == {"config": {"keep": 7}}
        assert (await tasks.run("plain")).result == {"config": {}}
        with pytest.raises(NotFoundError, match="nobody"):
            await tasks.start("nobody")
        with pytest.raises(InvalidError, match="trigger_type"):
            await tasks.start("plain", trigger_type="magic")


class Given(msgspec.Struct):
    n: int


async def test_parameters_of_a_wrong_shape_start_nothing(tasks: TaskManager) -> None:
    """A struct annotation refuses what does not fit before there is a task."""

    async def plugin(params: Given) -> int:
        return params.n

    with pytest.raises(InvalidError, match=r"n"):
        await tasks.start(plugin, {"n": "many"})
    assert (await tasks.reader.tasks(TaskQuery())).tasks == []
    task = await tasks.run(plugin, {"n": 5})
    assert (task.result, task.params) == (5, {"n": 5})


async def test_an_old_plugin_may_ask_for_its_context(tasks: TaskManager) -> None:
    """A plugin of the old signature gets lifecycle entries, and its context by `current_context()`."""

    def execute(params: object) -> None:
        context = current_context()
        assert context is not None
        context.logger.info("old but here")

    task = await tasks.run(execute)
    assert (task.status, await plugin_messages(tasks, task.id)) == ("success", ["old but here"])


async def test_a_coroutine_is_cancelled(tasks: TaskManager) -> None:
    """Cancelling ends a coroutine at its next await: the task is cancelled, its stage and step interrupted."""
    begun = asyncio.Event()

    async def plugin(params: object, context: TaskContext) -> None:
        async with context.stage("s"), context.step("n"):
            begun.set()
            await asyncio.Event().wait()

    task = await tasks.start(plugin)
    await begun.wait()
    assert (await tasks.cancel(task.id)).cancelling
    ended = await tasks.wait(task.id)
    assert (ended.status, ended.cancelling, ended.error_message) == ("cancelled", False, None)
    assert [view.stage and view.stage.status for view in await tasks.reader.stages(task.id)] == ["interrupted"]
    assert [step.status for step in await tasks.reader.steps(task.id)] == ["interrupted"]
    assert (await messages(tasks, task.id))[-1].startswith("task cancelled after")
    with pytest.raises(ConflictError, match="cancelled"):
        await tasks.cancel(task.id)


async def test_a_task_is_cancelled_before_it_begins(tasks: TaskManager) -> None:
    """A task that is cancelled at once after its start does not run at all, be it coroutine or function."""
    ran: list[int] = []

    async def coroutine(params: object) -> None:
        ran.append(1)

    def function(params: object) -> None:
        ran.append(2)

    for plugin in (coroutine, function):
        task = await tasks.start(plugin)
        await tasks.cancel(task.id)
        assert (await tasks.wait(task.id)).status == "cancelled"
    assert ran == []


async def test_a_function_in_a_thread_stays_running_until_it_returns(tasks: TaskManager) -> None:
    """A cancelled function goes on with `cancelling: true`, can ask for that, and is cancelled when it returns."""
    begun, go = threading.Event(), threading.Event()

    def plugin(params: object, context: TaskContext) -> str:
        asked = [context.cancelling]
        begun.set()
        go.wait(30)
        assert [*asked, context.cancelling] == [False, True]
        return "as far as I came"

    task = await tasks.start(plugin)
    await asyncio.to_thread(begun.wait, 30)
    await tasks.cancel(task.id)
    await tasks.cancel(task.id)
    running = await tasks.task(task.id)
    assert (running.status, running.cancelling) == ("running", True)
    go.set()
    ended = await tasks.wait(task.id)
    assert (ended.status, ended.cancelling, ended.result) == ("cancelled", False, "as far as I came")


async def test_a_coroutine_of_a_function_is_cancelled(tasks: TaskManager) -> None:
    """The coroutine that a function returned is cancelled as any other."""
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    def plugin(params: object) -> Any:
        return work()

    task = await tasks.start(plugin)
    await begun.wait()
    await tasks.cancel(task.id)
    assert (await tasks.wait(task.id)).status == "cancelled"


async def test_a_plugin_that_swallows_cancellation(tasks: TaskManager) -> None:
    """A plugin that ignores a cancellation and completes is a success; a second cancellation reaches it too."""
    caught: list[int] = []
    begun = asyncio.Event()

    async def plugin(params: object) -> str:
        for number in range(2):
            try:
                begun.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                caught.append(number)
        return "finished all the same"

    task = await tasks.start(plugin)
    for number in range(2):
        await begun.wait()
        begun.clear()
        await tasks.cancel(task.id)
        await until(lambda number=number: len(caught) > number)  # type: ignore[misc]  # bound at once
    ended = await tasks.wait(task.id)
    assert (ended.status, ended.result, ended.cancelling) == ("success", "finished all the same", False)


async def test_cancelling_run_cancels_the_task(tasks: TaskManager) -> None:
    """Who cancels the wait in `run` cancels the task; who cancels `wait` does not."""
    begun = asyncio.Event()

    async def plugin(params: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    task = await tasks.start(plugin)
    await begun.wait()
    waiting = asyncio.create_task(tasks.wait(task.id))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert (await tasks.task(task.id)).status == "running"
    await tasks.cancel(task.id)
    await tasks.wait(task.id)
    begun.clear()
    running = asyncio.create_task(tasks.run(plugin, name="second"))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    (second,) = (await tasks.reader.tasks(TaskQuery(text="second"))).tasks
    assert (await tasks.wait(second.id)).status == "cancelled"


async def test_many_wait_for_one(tasks: TaskManager) -> None:
    """Any number may wait, also after the end; an unknown task is none."""
    task = await tasks.start(nothing)
    found = await asyncio.gather(*(tasks.wait(task.id) for _ in range(20)))
    assert {one.status for one in found} == {"success"}
    assert await tasks.wait(task.id) == found[0]
    with pytest.raises(NotFoundError):
        await tasks.wait("nobody")


async def test_children_know_their_parent(tasks: TaskManager) -> None:
    """`context.start` sets parent, trigger and the account's scope; the child outlives its parent."""
    go = asyncio.Event()

    async def child(params: object, context: TaskContext) -> None:
        await go.wait()
        context.logger.info("child of %s", params)

    async def parent(params: object, context: TaskContext) -> str:
        return (await context.start(child, 5, name="kid", parent_id="forged")).id

    task = await tasks.run(parent, account="acme", site="north")
    go.set()
    kid = await tasks.wait(task.result)
    assert (kid.parent_id, kid.trigger_type, kid.account, kid.site) == (task.id, "internal_event", "acme", "north")
    assert [found.id for found in (await tasks.reader.tasks(TaskQuery(parent=task.id))).tasks] == [kid.id]


async def test_access_hides_other_accounts(tasks: TaskManager) -> None:
    """A caller of another account finds no task, no entries, and can neither cancel nor delete."""
    task = await tasks.run(nothing, account="acme")
    foreign = asynclog.AccessScope(account="other")
    for call in (tasks.task, tasks.cancel, tasks.delete, tasks.reader.stages, tasks.reader.steps):
        with pytest.raises(NotFoundError):
            await call(task.id, access=foreign)
    with pytest.raises(NotFoundError):
        await tasks.logs(task.id, access=foreign)
    assert (await tasks.reader.tasks(TaskQuery(access=foreign))).tasks == []
    assert (await tasks.task(task.id, asynclog.AccessScope(account="acme"))).id == task.id


async def test_parts_left_open_end_with_the_task(tasks: TaskManager) -> None:
    """A stage or step that is never left is interrupted when its task ends."""

    async def plugin(params: object, context: TaskContext) -> None:
        await context.stage("leaked", pending=3).__aenter__()
        await context.step("leaked", input=1).__aenter__()

    task = await tasks.run(plugin)
    assert task.status == "success"
    (view,) = await tasks.reader.stages(task.id)
    (step,) = await tasks.reader.steps(task.id)
    assert view.stage is not None
    assert (view.stage.status, step.status) == ("interrupted", "interrupted")
    assert view.stage.finished_at == step.finished_at == task.finished_at


async def test_names_of_any_kind_are_stored(folder: Path) -> None:
    """Whatever is given as account, parent or schedule is kept as readable text; the task runs and is as stored."""
    async with asynclog.open(folder) as tasks:
        for given in ("\ud800", "a\0b", 5, "x" * 1000):
            names: dict[str, Any] = dict.fromkeys(("name", "account", "site", "parent_id", "schedule_id"), given)
            task = await tasks.run(nothing, **names)
            assert task.status == "success"
            assert {type(name) for name in (task.account, task.site, task.parent_id, task.schedule_id)} == {str}
            assert (await tasks.reader.tasks(TaskQuery(parent=task.parent_id))).tasks == [task]


async def test_results_of_any_kind_are_stored(tasks: TaskManager) -> None:
    """Whatever a plugin returns is kept in some form; None is no result."""

    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

    for result in (Odd(), object(), {1: {2, 3}}, b"\xff", float("inf"), "x" * 10**7, [Odd()] * 5):

        async def plugin(params: object, result: object = result) -> object:
            return result

        task = await tasks.run(plugin)
        assert task.status == "success"
        assert task.result is not None
    assert (await tasks.run(nothing)).result is None


async def test_closing_interrupts_what_runs(folder: Path) -> None:
    """Tasks that run when the directory is closed are interrupted, also before they have begun; no entry is lost."""
    begun, go = asyncio.Event(), threading.Event()

    async def coroutine(params: object, context: TaskContext) -> None:
        context.logger.info("waiting")
        begun.set()
        await asyncio.Event().wait()

    def function(params: object, context: TaskContext) -> None:
        while not context.cancelling:
            go.wait(0.001)

    async with asynclog.open(folder) as tasks:
        one, two = await tasks.start(coroutine), await tasks.start(function)
        await begun.wait()
        three = await tasks.start(coroutine)
    async with asynclog.open(folder) as tasks:
        assert [(await tasks.task(task.id)).status for task in (one, two, three)] == ["interrupted"] * 3
        assert await plugin_messages(tasks, one.id) == ["waiting"]
        assert await plugin_messages(tasks, three.id) == []
        last = (await messages(tasks, one.id))[-1]
        assert last.startswith("task interrupted after")
        assert last.endswith("the service was stopped while it ran")
        assert (await tasks.task(one.id)).error_message == "the service was stopped while it ran"


async def test_closing_does_not_wait_for_ever(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A coroutine that swallows its cancellation and a function that never returns are left interrupted, once."""
    monkeypatch.setattr("asynclog.tasks.manager.GRACE_SECONDS", 0.05)
    go, stop = threading.Event(), asyncio.Event()
    begun = asyncio.Event()

    async def stubborn(params: object) -> None:
        begun.set()
        while not stop.is_set():
            try:
                await stop.wait()
            except asyncio.CancelledError:
                continue

    def endless(params: object) -> None:
        go.wait(30)

    async with asynclog.open(folder) as tasks:
        one, two = await tasks.start(stubborn), await tasks.start(endless)
        await begun.wait()
    go.set()
    stop.set()
    async with asynclog.open(folder) as tasks:
        for task in (one, two):
            assert (await tasks.task(task.id)).status == "interrupted"
            assert len([m for m in await messages(tasks, task.id) if m.startswith("task interrupted")]) == 1


async def test_no_task_starts_while_closing(folder: Path) -> None:
    """What is started while the directory closes is refused."""
    refused: list[bool] = []

    async with asynclog.open(folder) as tasks:

        async def plugin(params: object, context: TaskContext) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                try:
                    await context.start(nothing)
                except ConflictError:
                    refused.append(True)

        await tasks.start(plugin)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert refused == [True]


@pytest.mark.usefixtures("tasks")
async def test_two_cannot_own_a_directory(folder: Path) -> None:
    """A second opening of the same directory is refused while the first lasts."""
    with pytest.raises(asynclog.LockedError):
        async with asynclog.open(folder):
            pass
