"""How a task ends: its log is sealed, the end made power-safe, and only then told."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from asynclog import records
from asynclog.engine import Engine
from asynclog.feed import Feed
from asynclog.model import Sealed, Stage, Step, Task, end_of
from asynclog.records import StageRecord, StepRecord, TaskRecord
from asynclog.store.shielding import to_its_end
from asynclog.tasks import trace
from asynclog.tasks.parts import interrupted

STORED_SECONDS: Final = 5.0
"""How long an end waits for the store where the journal cannot make it power-safe."""

_log = logging.getLogger("asynclog.tasks")


async def finish(engine: Engine, feed: Feed, ended: Task) -> Task:
    """Seal a task's log, make its end power-safe, and then tell everybody: all of it, whatever is cancelled meanwhile.

    Args:
        engine: where it runs.
        feed: the task's emitting state; takes nothing more.
        ended: the task in its last state; what is known only under the lock is filled in.
    """
    closed = ended

    def closing(sealed: Sealed) -> bytes:
        nonlocal closed
        closed = msgspec.structs.replace(
            ended, sealed=sealed, last_seq=feed.last_seq, counts=feed.by_level(), dropped=feed.dropped
        )
        return records.encode(TaskRecord(closed.id, closed))

    for event in trace.run_end(ended):
        engine.record(event)
    engine.journal.seal(feed, closing)
    engine.collect()
    engine.writer.flush()
    await to_its_end(_tell(engine, closed))  # who had sealed it and left would leave a task that never ends
    return closed


async def _tell(engine: Engine, closed: Task) -> None:
    if not await engine.journal.sync():  # the disk refuses: a commit of the store is the other way to be power-safe
        await engine.settle(STORED_SECONDS)
    engine.hub.end(closed, engine.journal.last_id)


async def end_parts(engine: Engine, running: AsyncIterator[Stage | Step], now: int) -> None:
    """End the stages and steps that a task had begun and whose code is gone."""
    async for part in running:
        if isinstance(part, Step):
            engine.record(StepRecord(part.task_id, interrupted(part, now)))
            continue
        stage = interrupted(part, now)
        engine.record(StageRecord(stage.task_id, stage))
        for event in trace.stage_change(stage, now):
            engine.record(event)


async def interrupt(
    engine: Engine, task: Task, running: AsyncIterator[Stage | Step], reason: str, feed: Feed | None = None
) -> Task:
    """End a task whose code is gone, with the stages and steps it had begun."""
    feed = feed or Feed.of(task)
    now = engine.clock.now()
    await end_parts(engine, running, now)
    engine.logger(feed, "system").warning("task interrupted: %s", reason)
    _log.warning("the task %s (%s) is interrupted: %s", task.id, task.name, reason)
    ended = msgspec.structs.replace(
        task,
        status="interrupted",
        cancelling=False,
        finished_at=end_of(task.started_at, now),
        error_message=reason,
        lease_until=None,
    )
    return await finish(engine, feed, ended)
