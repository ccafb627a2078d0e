"""What a process finds that a former one left: its last records, and tasks that were running."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from asynclog.engine import Engine
from asynclog.errors import StoreError
from asynclog.model import Task
from asynclog.queries import TaskQuery
from asynclog.tasks.changes import Changes
from asynclog.tasks.ending import interrupt

REPLAY_SECONDS: Final = 300.0
"""How long the replay of the journal may take before the start is given up."""
_PAGE: Final = 200


async def replay(engine: Engine) -> None:
    """Store what the journal still holds; nobody knows what was before until then.

    Raises:
        StoreError: the store cannot take the journal's records.
    """
    if not await engine.writer.barrier(REPLAY_SECONDS):
        raise StoreError(f"the journal could not be stored within {REPLAY_SECONDS:g} s: {engine.writer.error}")


async def recover(engine: Engine) -> list[Task]:
    """End tasks that ran when the former process did not end them. To be called after `replay`.

    Returns:
        The external tasks that go on: their code runs elsewhere.

    Raises:
        StoreError: the store cannot be read.
    """
    external, changes = [], Changes(engine)
    query = TaskQuery(status=("pending", "running"), limit=_PAGE, descending=False)
    while True:
        page = await engine.store.tasks(query)
        external += [task for task in page.tasks if task.external]
        lost = [task for task in page.tasks if not task.external]
        await asyncio.gather(*(_end(engine, changes, task) for task in lost))
        if page.next is None:
            break
        query = msgspec.structs.replace(query, cursor=page.next)
    return external


async def _end(engine: Engine, changes: Changes, task: Task) -> None:
    await interrupt(engine, task, changes.running(task.id), "the service stopped while it ran")
