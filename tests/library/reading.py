"""Short ways to read in tests what the library has kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from asynclog import Entry, Step, TaskManager

DEADLINE = 30.0
"""Seconds after which a condition that does not come true fails its test."""


async def entries(tasks: TaskManager, task_id: str, **filters: Any) -> list[Entry]:
    """All matching entries of a task, in order."""
    found: list[Entry] = []
    after: int | None = None
    while True:
        page = await tasks.logs(task_id, limit=5000, after=after, **filters)
        assert page.complete
        found += page.entries
        if page.next_after is None:
            return found
        after = page.next_after


async def messages(tasks: TaskManager, task_id: str, **filters: Any) -> list[str]:
    """Their messages."""
    return [entry.message for entry in await entries(tasks, task_id, **filters)]


async def plugin_messages(tasks: TaskManager, task_id: str) -> list[str]:
    """Those of the plugin itself."""
    return await messages(tasks, task_id, source="plugin")


async def steps(tasks: TaskManager, task_id: str) -> list[Step]:
    """A task's steps in order, with input and output."""
    return [await tasks.reader.step(task_id, step.id) for step in await tasks.reader.steps(task_id)]


async def until(condition: Callable[[], bool]) -> None:
    """Return once the condition holds."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.005)
