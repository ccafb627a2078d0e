"""Asking the history: tasks by what they were, in which order, and numbers per plugin and per node."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest

import asynclog
from asynclog import InvalidError, Node, Task, TaskContext, TaskManager, TaskQuery, Workflow
from asynclog.filters import NO_FILTER
from asynclog.live import TaskChanged
from asynclog.subscription import Changed, End
from asynclog.tail import Entries
from asynclog.testing import ManualClock
from tests.library.reading import entries

SECOND = 1_000_000


async def work(params: dict[str, Any], context: TaskContext) -> None:
    """Takes as long as it is told, on a clock that stands still otherwise."""
    clock = params["clock"]
    clock.set_wall(clock.now() + int(params["seconds"] * SECOND))
    if params.get("fail"):
        raise ValueError(f"broken by {params['fail']}")


class Past:
    """Twelve tasks of three plugins, ten seconds apart; the n-th took n seconds, every fourth failed."""

    def __init__(self, tasks: TaskManager, start: int) -> None:
        self.tasks = tasks
        self.start = start
        self.all: list[Task] = []

    async def ask(self, **query: Any) -> list[int]:
        """The numbers of the tasks of a page."""
        page = await self.tasks.reader.tasks(TaskQuery(**query))
        numbers = {task.id: number for number, task in enumerate(self.all)}
        return [numbers[task.id] for task in page.tasks]


@pytest.fixture
async def past(tmp_path: Path) -> AsyncIterator[Past]:
    """That history."""
    clock = ManualClock()
    plugins = {"a": work, "b": work, "c": work}
    async with asynclog.open(tmp_path / "data", clock=clock, plugins=plugins) as tasks:
        found = Past(tasks, clock.now())
        for number in range(12):
            clock.set_wall(found.start + number * 10 * SECOND)
            task = await tasks.run(
                "abc"[number % 3],
                {"clock": clock, "seconds": number, "fail": "night" if number % 4 == 3 else None},
                name=f"run {number}%_",
                trigger_type="schedule" if number % 2 else "manual",
                account="acme" if number < 6 else None,
            )
            found.all.append(task)
        yield found


async def test_tasks_are_found_by_what_they_were(past: Past) -> None:
    """Plugin, status, trigger, account, time, duration and text, alone and together, newest first."""
    assert await past.ask() == list(range(12))[::-1]
    assert await past.ask(plugin=("a",)) == [9, 6, 3, 0]
    assert await past.ask(plugin=("a", "b"), status=("failed",)) == [7, 3]
    assert await past.ask(status=("failed",)) == [11, 7, 3]
    assert await past.ask(status=("running",)) == []
    assert await past.ask(trigger_type=("schedule",), account="acme") == [5, 3, 1]
    assert await past.ask(started_after=past.start + 30 * SECOND, started_before=past.start + 60 * SECOND) == [5, 4, 3]
    assert await past.ask(finished_after=past.start + 121 * SECOND) == [11]
    assert await past.ask(min_duration=3, max_duration=5) == [5, 4, 3]
    assert await past.ask(text="RUN 1") == [11, 10, 1]
    assert await past.ask(text="by night") == [11, 7, 3]
    assert await past.ask(text="%_") == list(range(12))[::-1]
    assert await past.ask(text="1_") == []
    assert await past.ask(text=past.all[5].id) == [5]


async def test_tasks_come_in_the_order_asked_for(past: Past) -> None:
    """By creation, start or duration, both ways, paged by a cursor that loses and repeats nothing."""
    orders: tuple[Literal["created_at", "started_at", "duration"], ...] = ("created_at", "started_at", "duration")
    for order, descending in itertools.product(orders, (True, False)):
        expected = list(range(12))[:: -1 if descending else 1]
        assert await past.ask(order_by=order, descending=descending) == expected
        found: list[str] = []
        cursor: str | None = None
        while True:
            query = TaskQuery(order_by=order, descending=descending, limit=5, cursor=cursor)
            page = await past.tasks.reader.tasks(query)
            found += [task.id for task in page.tasks]
            cursor = page.next
            if cursor is None:
                break
        assert found == [past.all[number].id for number in expected]
    with pytest.raises(InvalidError, match="cursor"):
        await past.ask(cursor="nonsense")


async def test_a_plugin_in_numbers(past: Past) -> None:
    """Counts by status, the share that succeeded, and durations at the middle and the upper end."""
    stats = await past.tasks.reader.plugin_stats("a")
    assert stats.total == sum(stats.by_status.values()) == 4
    assert (stats.by_status["success"], stats.by_status["failed"]) == (3, 1)
    assert stats.success_rate == 0.75
    assert stats.p50 is not None
    assert stats.p95 is not None
    assert 3 <= stats.p50 <= 6
    assert 6 <= stats.p95 <= 9
    nobody = await past.tasks.reader.plugin_stats("nobody")
    assert (nobody.total, nobody.success_rate, nobody.p50) == (0, None, None)
    theirs = await past.tasks.reader.plugin_stats("a", asynclog.AccessScope(account="acme"))
    assert theirs.total == 2


async def test_the_nodes_of_a_workflow_in_numbers(past: Past) -> None:
    """Each node's runs by status, over all tasks of the workflow."""

    async def second(fail: bool) -> None:
        if fail:
            raise ValueError("boom")

    flow = Workflow(
        "flow",
        Node("first", lambda: 1, type="source"),
        Node("second", second, inputs={"fail": "params.fail"}, after=("first",)),
        Node("third", lambda: 3, after=("second",)),
    )
    for number in range(6):
        await past.tasks.run(flow, {"fail": number % 3 == 0})
    stats = {one.node_id: one for one in await past.tasks.reader.node_stats("flow")}
    assert {node: one.by_status for node, one in stats.items()} == {
        "first": {"success": 6},
        "second": {"success": 4, "error": 2},
        "third": {"success": 4, "skipped": 2},
    }
    assert (stats["first"].node_type, stats["first"].total) == ("source", 6)
    assert stats["second"].p95 is not None


async def test_following_has_no_seam(tasks: TaskManager) -> None:
    """A reader that begins in the middle gets history, live entries and changes as one sequence, up to the end."""

    async def plugin(params: object, context: TaskContext) -> None:
        for number in range(300):
            context.logger.info("line %d", number)
            if number % 50 == 0:
                async with context.stage(f"s{number}"), context.step("n"):
                    await tasks.engine.clock.sleep(0)

    task = await tasks.start(plugin)
    lines: list[bytes] = []
    kinds: set[type] = set()
    async with tasks.reader.follow(task.id, NO_FILTER) as subscription:
        async for event in subscription.events():
            kinds.add(type(event))
            if isinstance(event, Entries):
                lines += event.lines
    assert kinds >= {Entries, TaskChanged, End}
    assert Changed in kinds
    page = await tasks.logs(task.id, limit=5000)
    assert lines == page.lines
    assert [entry.seq for entry in await entries(tasks, task.id)] == list(range(1, len(lines) + 1))
