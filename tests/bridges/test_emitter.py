"""The emitter that captures: the base notices nothing, the task gets it all."""

from __future__ import annotations

import asyncio
import copy
import enum
import inspect
import threading
from pathlib import Path
from typing import Any

import pytest

import asynclog
from asynclog import Entry, LogCapturingEmitter, PlainEmitter, ProgressEmitter, Settings, Task, TaskContext, TaskManager


@pytest.fixture
async def tasks(tmp_path: Path) -> Any:
    """An open data directory that keeps entries from DEBUG on."""
    async with asynclog.open(tmp_path / "data", settings=Settings(file={"task_log_level": "DEBUG"})) as manager:
        yield manager


async def told(tasks: TaskManager, plugin: Any) -> tuple[Task, list[Entry]]:
    """Run a plugin; the task and what it logged itself."""
    task = await tasks.run(plugin)
    assert task.status == "success", task.error_stack
    return task, (await tasks.logs(task.id, source="plugin", limit=5000)).entries


class Recording:
    """An emitter as others write them: what it is told is kept."""

    colour = "red"

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def emit_info(self, message: str, data: dict[str, Any] | None = None) -> str:
        self.calls.append(("info", message, data))
        return "told"

    def emit_stage(self, stage: str, message: str = "") -> None:
        self.calls.append(("stage", stage, message))
        self.emit_info("from inside")

    def emit_progress(self, current: int, total: int, message: str = "", *, unit: str | None = None) -> None:
        self.calls.append(("progress", current, total, message, unit))

    async def emit_error(self, error: Exception, **context: Any) -> int:
        await asyncio.sleep(0)
        self.calls.append(("error", error, context))
        return 5

    def emit_complete(self, *args: Any, **kwargs: Any) -> None:
        self.calls.append(("complete", args, kwargs))

    def emit_candidate_scored(self, candidate: str, score: float) -> None:
        self.calls.append(("scored", candidate, score))

    def other(self) -> str:
        return "other"


async def test_each_call_is_an_entry_and_the_bases(tasks: TaskManager) -> None:
    """The base gets the same calls and its results come back; each call is one entry of its level."""
    base = Recording()
    boom = ValueError("boom")

    async def plugin(params: object, context: TaskContext) -> None:
        emitter = LogCapturingEmitter(base, context.logger)
        assert emitter.emit_info("hello", {"n": 1}) == "told"
        assert await emitter.emit_error(boom, attempt=2) == 5
        emitter.emit_complete("all done", rows=3)
        emitter.emit_complete()
        emitter.emit_candidate_scored("c-17", score=0.5)

    _, found = await told(tasks, plugin)
    assert base.calls == [
        ("info", "hello", {"n": 1}),
        ("error", boom, {"attempt": 2}),
        ("complete", ("all done",), {"rows": 3}),
        ("complete", (), {}),
        ("scored", "c-17", 0.5),
    ]
    assert [(entry.level.name, entry.message) for entry in found] == [
        ("INFO", "hello"),
        ("ERROR", "ValueError: boom"),
        ("INFO", "all done"),
        ("INFO", "complete"),
        ("INFO", "candidate_scored"),
    ]
    assert found[0].metadata == {"data": {"n": 1}}
    assert found[1].metadata is not None
    assert (found[1].metadata["attempt"], found[1].metadata["traceback"]) == (2, "ValueError: boom")
    assert found[2].metadata == {"rows": 3}
    assert found[4].metadata == {"candidate": "c-17", "score": 0.5}


async def test_emit_stage_moves_the_stage(tasks: TaskManager) -> None:
    """From `emit_stage` on the emitter's entries and the plugin's own carry the stage, until the next one."""

    class Phase(enum.Enum):
        LOAD = "load"

    async def plugin(params: object, context: TaskContext) -> None:
        emitter = LogCapturingEmitter(Recording(), context.logger)
        emitter.emit_info("0")
        emitter.emit_stage("extract")
        emitter.emit_info("1")
        context.logger.info("2")
        await asyncio.gather(asyncio.to_thread(emitter.emit_info, "3"))
        emitter.emit_stage(Phase.LOAD, "now loading")
        thread = threading.Thread(target=emitter.emit_info, args=("4",))
        thread.start()
        await asyncio.to_thread(thread.join)

    _, found = await told(tasks, plugin)
    assert [(entry.message, entry.stage) for entry in found] == [
        ("0", None),
        ("stage extract", "extract"),
        ("1", "extract"),
        ("2", "extract"),
        ("3", "extract"),
        ("now loading", "load"),
        ("4", "load"),
    ]


async def test_shared_by_concurrent_work_stages_do_not_mix(tasks: TaskManager) -> None:
    """One emitter used by several coroutines at once: each is in the stage that it has told itself."""

    async def plugin(params: object, context: TaskContext) -> None:
        emitter = LogCapturingEmitter(PlainEmitter(), context.logger)
        barrier = asyncio.Barrier(5)

        async def work(name: str) -> None:
            for number in range(3):
                emitter.emit_stage(f"{name}-{number}")
                await barrier.wait()
                emitter.emit_info(f"{name}-{number}")
                await barrier.wait()

        await asyncio.gather(*(work(f"w{number}") for number in range(5)))

    _, found = await told(tasks, plugin)
    assert len(found) == 30
    assert all(entry.message.removeprefix("stage ") == entry.stage for entry in found)


async def test_progress_is_the_tasks(tasks: TaskManager) -> None:
    """`emit_progress` is an entry with the progress, and the task's."""

    async def plugin(params: object, context: TaskContext) -> None:
        emitter = LogCapturingEmitter(Recording(), context.logger)
        emitter.emit_progress(3, 10, "halfway", unit="u1")
        emitter.emit_progress(7, total=10)

    task, found = await told(tasks, plugin)
    assert task.progress is not None
    assert (task.progress.current, task.progress.total) == (7, 10)
    assert [(entry.message, entry.unit) for entry in found] == [("halfway", "u1"), ("7 of 10", None)]
    assert found[0].metadata == {"progress": {"current": 3, "total": 10, "message": "halfway"}}


async def test_progress_of_any_shape(tasks: TaskManager) -> None:
    """Whatever a base calls them, the numbers are found; without any it is a plain entry."""

    class Odd:
        def emit_progress(self, label: str, percent: float, extra: int = 0) -> None: ...

    class Odder:
        def emit_progress(self, n: int, m: int) -> None: ...

    class Anything:
        def emit_progress(self, *args: Any, **kwargs: Any) -> None: ...

    async def plugin(params: object, context: TaskContext) -> None:
        LogCapturingEmitter(Odd(), context.logger).emit_progress("a", 50.0, 3)
        LogCapturingEmitter(Odder(), context.logger).emit_progress(1, 2)
        LogCapturingEmitter(Anything(), context.logger).emit_progress(3, 4, "so far", 5)
        LogCapturingEmitter(Anything(), context.logger).emit_progress(message="no number")

    _, found = await told(tasks, plugin)
    progress = [entry.metadata and entry.metadata.get("progress") for entry in found]
    assert [one and (one["current"], one["total"]) for one in progress] == [(50, None), (1, 2), (3, 4), None]
    assert [entry.message for entry in found] == ["50", "1 of 2", "so far", "no number"]


async def test_a_configurable_key_names_the_unit(tasks: TaskManager) -> None:
    """The argument, or the key of a mapping among them, that `unit_key` names is the entry's unit."""

    async def plugin(params: object, context: TaskContext) -> None:
        emitter = LogCapturingEmitter(Recording(), context.logger, unit_key="candidate")
        emitter.emit_candidate_scored("c-17", 0.5)
        emitter.emit_info("in a mapping", {"candidate": 18, "n": 1})
        emitter.emit_info("without")
        emitter.emit_complete("by keyword", candidate="c-19")

    _, found = await told(tasks, plugin)
    assert [entry.unit for entry in found] == ["c-17", "18", None, "c-19"]


async def test_a_base_that_raises_raises(tasks: TaskManager) -> None:
    """The base's exceptions come through unchanged, plain and async ones, wrong calls too; the entry is there."""
    boom = RuntimeError("boom")

    class Raising:
        def emit_info(self, message: str) -> None:
            raise boom if message else ValueError

        async def emit_error(self, message: str) -> None:
            raise boom if message else ValueError

        def emit_progress(self, current: int) -> None:
            raise KeyboardInterrupt(current)

    async def plugin(params: object, context: TaskContext) -> None:
        emitter = LogCapturingEmitter(Raising(), context.logger)
        with pytest.raises(RuntimeError) as raised:
            emitter.emit_info("one")
        assert raised.value is boom
        with pytest.raises(RuntimeError) as raised:
            await emitter.emit_error("two")
        assert raised.value is boom
        with pytest.raises(KeyboardInterrupt):
            emitter.emit_progress(3)
        with pytest.raises(TypeError, match="unexpected keyword"):
            emitter.emit_info("four", nonsense=1)
        with pytest.raises(AttributeError, match="emit_nothing"):
            emitter.emit_nothing("five")

    _, found = await told(tasks, plugin)
    assert [(entry.message, entry.level.name) for entry in found] == [
        ("one", "INFO"),
        ("two", "ERROR"),
        ("3", "INFO"),
        ("four", "INFO"),
    ]


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no str")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no eq")

    def __bool__(self) -> bool:
        raise RuntimeError("no bool")

    __hash__ = None  # type: ignore[assignment]  # on purpose


async def test_hostile_arguments_reach_the_base(tasks: TaskManager) -> None:
    """Whatever is passed, the base gets it and an entry is made."""
    base, odd = Recording(), Hostile()

    async def plugin(params: object, context: TaskContext) -> None:
        emitter = LogCapturingEmitter(base, context.logger)
        emitter.emit_info(odd, odd)
        emitter.emit_stage(odd, odd)
        emitter.emit_progress(odd, odd, odd, unit=odd)
        emitter.emit_complete(odd, odd, unit=odd)
        await emitter.emit_error(odd, message=odd)

    _, found = await told(tasks, plugin)
    assert [call[0] for call in base.calls] == ["info", "stage", "info", "progress", "complete", "error"]
    assert base.calls[0][1] is odd
    assert len(found) == 5


async def test_everything_else_is_the_bases(tasks: TaskManager) -> None:
    """Attributes are read and set on the base, methods keep name, signature and kind; copies work."""
    base = Recording()

    async def plugin(params: object, context: TaskContext) -> None:
        emitter = LogCapturingEmitter(base, context.logger)
        assert (emitter.colour, emitter.other(), emitter.calls) == ("red", "other", base.calls)
        emitter.colour = "blue"
        del emitter.colour
        emitter.colour = "green"
        assert base.colour == "green"
        assert not hasattr(emitter, "nothing")
        assert asyncio.iscoroutinefunction(emitter.emit_error)
        assert not asyncio.iscoroutinefunction(emitter.emit_info)
        assert inspect.signature(emitter.emit_info) == inspect.signature(base.emit_info)
        assert emitter.emit_info.__name__ == "emit_info"
        assert "Recording" in repr(emitter)
        assert copy.copy(emitter).colour == "green"
        assert isinstance(emitter, ProgressEmitter)

    await told(tasks, plugin)


async def test_levels_by_name(tasks: TaskManager) -> None:
    """Warnings, debug messages and failures have their level, whatever the base's method looks like."""

    class More:
        def emit_warning(self, reason: str) -> None: ...
        def emit_debug(self, message: str) -> None: ...
        def emit_failure(self, why: str, error: Exception) -> None: ...

    async def plugin(params: object, context: TaskContext) -> None:
        emitter = LogCapturingEmitter(More(), context.logger)
        emitter.emit_warning("careful")
        emitter.emit_debug("100% %s")
        emitter.emit_failure("broken", OSError("disk"))

    _, found = await told(tasks, plugin)
    assert [(entry.level.name, entry.message) for entry in found] == [
        ("WARNING", "careful"),
        ("DEBUG", "100% %s"),
        ("ERROR", "broken"),
    ]
    assert found[2].metadata is not None
    assert found[2].metadata["traceback"] == "OSError: disk"


def test_the_plain_base_is_a_progress_emitter() -> None:
    """`PlainEmitter` has all five methods, tells nobody, and satisfies the protocol."""
    plain: ProgressEmitter = PlainEmitter()
    assert isinstance(plain, ProgressEmitter)
    assert plain.emit_info("x", a=1) is plain.emit_stage("s") is plain.emit_progress(1, 2) is None
    assert plain.emit_error("x") is plain.emit_complete() is None
    assert not isinstance(object(), ProgressEmitter)
