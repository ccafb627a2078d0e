"""Settings at run time: they count at the next call, persist, and are pinned."""

from __future__ import annotations

from pathlib import Path

import pytest

import asynclog
from asynclog import ConflictError, InvalidError, Settings, TaskContext, TaskManager, belief_scope
from tests.library.reading import entries, messages, steps


async def test_the_threshold_counts_at_the_next_call(tasks: TaskManager) -> None:
    """`task_log_level` governs every entry of a running task from one call to the next, the system's included."""

    async def plugin(params: object, context: TaskContext) -> None:
        log = context.logger
        log.debug("kept")
        await tasks.engine.change_settings({"task_log_level": "ERROR"})
        log.warning("gone")
        log.progress(1, 2, "gone too")
        with belief_scope("gone"):
            log.error("kept too")
        async with context.stage("silent"):
            pass

    task = await tasks.run(plugin)
    assert await messages(tasks, task.id) == ["task started: plugin", "kept", "kept too"]
    assert (task.last_seq, task.progress and task.progress.current) == (3, 1)
    assert [view.name for view in await tasks.reader.stages(task.id)] == ["silent"]


async def test_belief_scope_can_be_switched_off(tasks: TaskManager) -> None:
    """With `belief_scope_enabled` off the scope is silent, also at DEBUG; the next one after switching on is not."""

    async def plugin(params: object, context: TaskContext) -> None:
        await tasks.engine.change_settings({"belief_scope_enabled": False})
        with belief_scope("silent"):
            pass
        await tasks.engine.change_settings({"belief_scope_enabled": True})
        with belief_scope("load"):
            pass

    task = await tasks.run(plugin)
    assert await messages(tasks, task.id, source="plugin") == ["[load][Entry]", "[load][Coherence:OK]", "[load][Exit]"]


async def test_what_was_changed_survives_a_restart(folder: Path) -> None:
    """A stored setting counts after a restart over the file, under what is pinned."""
    async with asynclog.open(folder) as tasks:
        await tasks.engine.change_settings({"task_log_level": "warn", "max_data_size": 1000, "capture_inputs": False})
    settings = Settings(pinned={"max_data_size": 77}, file={"task_log_level": "DEBUG"})
    async with asynclog.open(folder, settings=settings) as tasks:
        found = tasks.engine.settings
        assert (found["task_log_level"], found["max_data_size"], found["capture_inputs"]) == ("WARNING", 77, False)
        with pytest.raises(ConflictError, match="pinned"):
            await tasks.engine.change_settings({"max_data_size": 5, "task_log_level": "DEBUG"})
        assert found["task_log_level"] == "WARNING"
        with pytest.raises(InvalidError, match="task_log_level"):
            await tasks.engine.change_settings({"task_log_level": "loud"})


async def test_a_message_limit_counts_at_run_time(tasks: TaskManager) -> None:
    """The limit of messages can be changed while tasks run."""

    async def plugin(params: object, context: TaskContext) -> None:
        context.logger.info("x" * 5000)
        await tasks.engine.change_settings({"message_limit": 100})
        context.logger.info("x" * 5000)

    task = await tasks.run(plugin)
    whole, cut = await entries(tasks, task.id, source="plugin")
    assert (len(whole.message), len(cut.message.encode()) <= 100, cut.metadata) == (5000, True, {"original_size": 5000})


async def test_inputs_and_outputs_are_captured_as_set(tasks: TaskManager) -> None:
    """`capture_inputs` and `capture_outputs` decide each for itself, from the next step on."""

    async def plugin(params: object, context: TaskContext) -> None:
        for setting in ({}, {"capture_inputs": "0"}, {"capture_outputs": False}):
            await tasks.engine.change_settings(setting)
            async with context.step("s", input=1) as step:
                step.output = 2

    task = await tasks.run(plugin)
    assert [(step.input_json, step.output_json) for step in await steps(tasks, task.id)] == [
        ("1", "2"),
        (None, "2"),
        (None, None),
    ]


async def test_capture_off_leaves_no_rows(tasks: TaskManager) -> None:
    """With `capture_enabled` off there are no steps and no captured data; stages, tasks and logs go on."""
    await tasks.engine.change_settings({"capture_enabled": False})
    looked: list[str] = []

    class Watched:
        def __repr__(self) -> str:
            looked.append("repr")
            return "watched"

    @asynclog.step
    async def decorated(value: object) -> object:
        return value

    async def plugin(params: object, context: TaskContext) -> None:
        async with context.stage("s") as stage, stage.step("n", input=Watched()) as step:
            step.output = Watched()
            await decorated(Watched())
            context.logger.info("inside")
            assert step.id is None
            assert isinstance(step.output, Watched)

    task = await tasks.run(plugin)
    assert task.status == "success", task.error_stack
    assert await tasks.reader.steps(task.id) == []
    assert looked == []
    (entry,) = await entries(tasks, task.id, source="plugin")
    assert (entry.stage, entry.step_id) == ("s", None)
    assert [view.log_count for view in await tasks.reader.stages(task.id)] == [3]


async def test_the_library_reads_its_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a configuration given, asynclog.toml and the environment count; what `open` is given counts over them."""
    (tmp_path / "asynclog.toml").write_text(
        '[logging]\ntask_log_level = "DEBUG"\nflush_interval = 1.5\n[plugins.keeper]\nkeep = 7\nroom = "a"\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASYNCLOG_CAPTURE_INPUTS", "0")

    async def keeper(params: object, context: asynclog.TaskContext) -> dict[str, object]:
        return dict(context.config)

    async with asynclog.open("data", plugins={"keeper": keeper}, config={"keeper": {"room": "b"}}) as tasks:
        assert (await tasks.run("keeper")).result == {"keep": 7, "room": "b"}
        settings = tasks.engine.settings
        assert (settings["task_log_level"], settings["flush_interval"]) == ("DEBUG", 1.5)
        assert (settings["capture_inputs"], settings.pinned) == (False, ["capture_inputs"])
