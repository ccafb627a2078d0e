"""A task manager with the plugins that come along, on a data directory of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import asynclog
from asynclog import Entry, Task, TaskManager
from asynclog.plugins import PLUGINS

DEADLINE = 20.0
"""Seconds until something that is waited for counts as not happening."""


class Runner:
    """Runs plugins and reads what they logged."""

    def __init__(self, tasks: TaskManager) -> None:
        self.tasks = tasks

    async def run(self, plugin: Any, **params: Any) -> tuple[Task, list[Entry]]:
        """The task at its end, and all its entries."""
        task = await self.tasks.run(plugin, params)
        return task, await self.entries(task)

    async def shell(self, line: str, **params: Any) -> tuple[Task, list[Entry]]:
        """The same for a line of the shell."""
        return await self.run("command", **{"shell": line, **params})

    async def entries(self, task: Task) -> list[Entry]:
        """All entries of a task so far."""
        found: list[Entry] = []
        while True:
            page = await self.tasks.logs(task.id, after=found[-1].seq if found else 0, limit=5000)
            found += page.entries
            if page.next_after is None:
                return found

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Return when the condition holds."""
        deadline = time.monotonic() + DEADLINE
        while not await condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            await asyncio.sleep(0.02)

    async def until_logged(self, task: Task, message: str, source: str = "stdout") -> Entry:
        """The first entry of this source whose message contains this, once there is one."""
        found: list[Entry] = []

        async def there() -> bool:
            found[:] = (await self.tasks.logs(task.id, source=source, search=message, limit=1, total=False)).entries
            return bool(found)

        await self.until(there)
        return found[0]


@pytest.fixture
async def runner(tmp_path: Path) -> AsyncIterator[Runner]:
    """The plugins that come along, ready to run."""
    async with asynclog.open(tmp_path / "data", plugins=PLUGINS) as tasks:
        await tasks.engine.change_settings({"task_log_level": "DEBUG"})
        yield Runner(tasks)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder for a test's own files."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder
