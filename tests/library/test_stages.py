"""Stages and units: labels on entries, rows with counts and results, however they are nested, repeated or left."""

from __future__ import annotations

import asyncio
import math
import threading
from typing import Any

import pytest

from asynclog import Stage, TaskContext, TaskManager
from asynclog.records import Record, StageRecord, encode
from tests.library.reading import entries, messages


async def stages(tasks: TaskManager, task_id: str) -> list[Stage]:
    """A task's stages by number."""
    return [view.stage for view in await tasks.reader.stages(task_id) if view.stage is not None]


async def test_a_stage_tells_its_life(tasks: TaskManager) -> None:
    """A stage is a row with counts, times and result, and an entry with its label for start, progress and end."""

    async def plugin(params: object, context: TaskContext) -> None:
        async with context.stage("extract", number=3, pending=1200) as stage:
            stage.progress(600, 1300)
            stage.credits_used = 2.5
            stage.processed = 1250
            stage.result = {"rows": {1}}

    task = await tasks.run(plugin)
    (stage,) = await stages(tasks, task.id)
    assert (stage.number, stage.name, stage.status, stage.pending, stage.processed) == (
        3,
        "extract",
        "success",
        1300,
        1250,
    )
    assert (stage.credits_used, stage.result_json, stage.error_message) == (2.5, '{"rows":"{1}"}', None)
    assert stage.started_at <= (stage.finished_at or 0)
    start, progress, end = await entries(tasks, task.id, stage="extract")
    assert {entry.source for entry in (start, progress, end)} == {"system"}
    assert (start.message, progress.message) == ("stage extract started (1,200 pending)", "stage extract: 600 of 1,300")
    assert progress.metadata == {"progress": {"current": 600, "total": 1300, "message": None}}
    assert end.message.startswith("stage extract finished in ")
    assert end.message.endswith(", 1,250 processed")
    assert end.metadata is not None
    assert (end.metadata["processed"], end.metadata["credits_used"]) == (1250, 2.5)
    assert task.progress is None


async def test_an_error_ends_a_stage_and_passes_on(tasks: TaskManager) -> None:
    """The stage is an error with message and traceback, as row and as ERROR entry; the exception goes on unchanged."""
    boom = ValueError("boom")

    async def failing(context: TaskContext) -> None:
        async with context.stage("load") as stage:
            stage.processed = 5
            raise boom

    async def plugin(params: object, context: TaskContext) -> str:
        with pytest.raises(ValueError, match="boom") as raised:
            await failing(context)
        assert raised.value is boom
        context.logger.info("after")
        return "recovered"

    task = await tasks.run(plugin)
    assert (task.status, task.result) == ("success", "recovered")
    (stage,) = await stages(tasks, task.id)
    assert (stage.status, stage.error_message, stage.processed) == ("error", "boom", 5)
    assert "ValueError: boom" in (stage.error_stack or "")
    (entry,) = await entries(tasks, task.id, min_level="ERROR")
    assert (entry.stage, entry.metadata and entry.metadata["traceback"]) == ("load", stage.error_stack)
    assert [e.stage for e in await entries(tasks, task.id, source="plugin")] == [None]


async def test_two_stages_at_once_do_not_mix(tasks: TaskManager) -> None:
    """Two stages that run at once, in coroutines and threads, each label their own entries; so do their units."""

    async def work(context: TaskContext, name: str, barrier: asyncio.Barrier) -> None:
        async with context.stage(name, pending=20) as stage:
            await barrier.wait()
            for number in range(20):
                with context.unit(f"{name}-{number % 2}"):
                    context.logger.info("%s %d", name, number)
                    await asyncio.to_thread(context.logger.info, "%s %d", name, number)
                await asyncio.sleep(0)
            stage.processed = 20

    async def plugin(params: object, context: TaskContext) -> None:
        barrier = asyncio.Barrier(2)
        await asyncio.gather(work(context, "a", barrier), work(context, "b", barrier))

    task = await tasks.run(plugin)
    for name in "ab":
        found = await messages(tasks, task.id, stage=name, source="plugin")
        assert found == [f"{name} {number}" for number in range(20) for _ in range(2)]
        assert len(await entries(tasks, task.id, unit=f"{name}-1", stage=name, level="INFO")) == 20
    views = {view.name: view for view in await tasks.reader.stages(task.id)}
    assert {name: (view.log_count, view.units) for name, view in views.items()} == {
        "a": (42, {"a-0": 20, "a-1": 20}),
        "b": (42, {"b-0": 20, "b-1": 20}),
    }
    assert {view.stage.processed for view in views.values() if view.stage} == {20}


async def test_stages_nest(tasks: TaskManager) -> None:
    """Inside a stage inside a stage the inner label counts; after it the outer one again; units cross stages."""

    async def plugin(params: object, context: TaskContext) -> None:
        log = context.logger
        with context.unit("u"):
            async with context.stage("outer"):
                log.info("1")
                async with context.stage("inner"):
                    log.info("2")
                log.info("3")
            log.info("4")
        log.info("5")
        log.bind_unit("v").info("6")

    task = await tasks.run(plugin)
    shown = [(e.message, e.stage, e.unit) for e in await entries(tasks, task.id, source="plugin")]
    assert shown == [
        ("1", "outer", "u"),
        ("2", "inner", "u"),
        ("3", "outer", "u"),
        ("4", None, "u"),
        ("5", None, None),
        ("6", None, "v"),
    ]
    assert [(stage.number, stage.name) for stage in await stages(tasks, task.id)] == [(1, "outer"), (2, "inner")]


async def test_a_stage_is_entered_again(tasks: TaskManager) -> None:
    """The same name again is the same stage, which goes on from what it had reached; twice at once it is two."""

    async def plugin(params: object, context: TaskContext) -> None:
        for done in (10, 20):
            try:
                async with context.stage("extract", pending=20 if done == 10 else None) as stage:
                    assert stage.processed == (None if done == 10 else 10)
                    stage.processed = done
                    if done == 10:
                        raise OSError("try again")
            except OSError:
                continue
        again = context.stage("extract")
        async with again:
            pass
        async with again:
            pass
        async with context.stage("extract"), context.stage("extract"):
            pass

    task = await tasks.run(plugin)
    assert task.status == "success", task.error_stack
    first, second = await stages(tasks, task.id)
    assert (first.number, first.status, first.pending, first.processed, first.error_message) == (
        1,
        "success",
        20,
        20,
        None,
    )
    assert (second.number, second.name, second.processed) == (2, "extract", None)


async def test_numbers_are_the_next_free_ones(tasks: TaskManager) -> None:
    """Unnumbered stages take the number after the highest; one asked for is kept, also twice under other names."""

    async def plugin(params: object, context: TaskContext) -> None:
        for name, number in (("a", None), ("b", 7), ("c", None), ("d", 7), ("a", None), ("a", 2), ("e", 10**30)):
            async with context.stage(name, number=number) as stage:
                assert number in (None, stage.number) or number > 2**60

    task = await tasks.run(plugin)
    assert task.status == "success", task.error_stack
    assert [(stage.number, stage.name) for stage in await stages(tasks, task.id)] == [
        (1, "a"),
        (2, "a"),
        (7, "b"),
        (7, "d"),
        (8, "c"),
        (2**53, "e"),
    ]


async def test_a_stage_cannot_be_open_twice(tasks: TaskManager) -> None:
    """The same object entered while it is open is an error of the plugin, and says how to do it."""

    async def plugin(params: object, context: TaskContext) -> None:
        stage = context.stage("s")
        async with stage, stage:
            pass

    task = await tasks.run(plugin)
    assert (task.status, "context.stage" in (task.error_message or "")) == ("failed", True)


@pytest.mark.parametrize("leaves", [False, True])
async def test_an_end_counts_whatever_a_thread_says_meanwhile(
    tasks: TaskManager, monkeypatch: pytest.MonkeyPatch, *, leaves: bool
) -> None:
    """A stage, or a task, that ends while a thread is just about to say how far the stage is has ended."""
    reached, go = threading.Event(), threading.Event()
    reporting: list[asyncio.Future[None]] = []

    async def plugin(_params: object, context: TaskContext) -> None:
        recorder = context._recorder
        record = recorder.record

        def record_late(told: Record) -> None:
            """The thread is put aside at the worst moment."""
            if isinstance(told, StageRecord) and (told.stage.processed, told.stage.status) == (5, "running"):
                reached.set()
                assert go.wait(30)
                recorder._journal.append(None, encode(told))
            else:
                record(told)

        monkeypatch.setattr(recorder, "record", record_late)
        stage = context.stage("s")
        stage.__enter__()
        reporting.append(asyncio.ensure_future(asyncio.to_thread(stage.progress, 5)))
        await asyncio.to_thread(reached.wait, 30)
        if leaves:
            stage.__exit__(None, None, None)
            go.set()
            await reporting[0]

    task = await tasks.run(plugin)
    go.set()
    await reporting[0]
    (view,) = await tasks.reader.stages(task.id)
    assert view.stage is not None
    assert view.stage.status == ("success" if leaves else "interrupted")


async def test_labels_without_a_stage_are_listed_too(tasks: TaskManager) -> None:
    """A label that occurs only on entries is in the hierarchy, with its counts and units, and no stage."""

    async def plugin(params: object, context: TaskContext) -> None:
        context.logger.bind_stage("loose").bind_unit("u").info("x")
        async with context.stage("real"):
            pass

    task = await tasks.run(plugin)
    shown = [(view.name, view.stage is None, view.log_count, view.units) for view in await tasks.reader.stages(task.id)]
    assert shown == [("real", False, 2, {}), ("loose", True, 1, {"u": 1})]


@pytest.mark.parametrize(
    "odd",
    [math.nan, math.inf, 10**30, "many", object(), None, True],
    ids=["nan", "inf", "1e30", "many", "object", "None", "True"],
)
async def test_odd_numbers_in_a_stage_hurt_nobody(tasks: TaskManager, odd: Any) -> None:
    """What is no number a database holds is left out of the counts; the task and its entries go on."""

    async def plugin(params: object, context: TaskContext) -> None:
        async with context.stage("s\0\ud800", pending=odd) as stage:
            stage.progress(odd, odd)
            stage.processed = stage.credits_used = stage.result = odd

    task = await tasks.run(plugin)
    assert task.status == "success", task.error_stack
    (stage,) = await stages(tasks, task.id)
    assert (stage.name, stage.status) == ("s\\x00\\ud800", "success")
    assert stage.processed in (None, 1)
    assert len(await entries(tasks, task.id)) == 5
