"""The stages and steps of external tasks as they are now: as the store knows them, and over it what it does not yet.

State owned here, on the event loop: the changes that may not be stored. They are bounded; who makes more waits until
the store has them, or is told that it does not take them in time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from asynclog.engine import Engine
from asynclog.errors import StoreError
from asynclog.model import EVERYTHING, Stage, Step
from asynclog.records import StageRecord, StepRecord

KEPT: Final = 2000
"""Changes that may wait for the store,"""
KEPT_BYTES: Final = 8 << 20
"""and what they hold, about."""

Part = Stage | Step


class _Change(NamedTuple):
    record_id: int
    size: int
    part: Part


class Changes:
    """Of all external tasks. Whoever changes a part of one holds that task's lock.

    Args:
        engine: where they are recorded.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: OrderedDict[str, _Change] = OrderedDict()
        """By the id of the stage or step, the newest change last."""
        self._size = 0

    async def make_room(self) -> None:
        """Return when there is room for another change. Raises StoreError when the store does not make it in time."""
        self._let_go()
        if len(self._kept) >= KEPT or self._size >= KEPT_BYTES:
            if not await self._engine.settle_tasks():
                raise StoreError("the database does not answer in time; try again later")
            self._let_go()

    def record(self, part: Part) -> None:
        """The stage or step is like this from now on."""
        if isinstance(part, Stage):
            record_id, held = self._engine.record(StageRecord(part.task_id, part)), [part.result_json]
        else:
            record_id = self._engine.record(StepRecord(part.task_id, part))
            held = [part.input_json, part.output_json]
        self._drop(part.id)
        size = sum(len(text or "") for text in (*held, part.error_message, part.error_stack))
        self._kept[part.id] = _Change(record_id, size, part)
        self._size += size

    async def stages(self, task_id: str) -> list[Stage]:
        """A task's stages. Raises StoreError."""
        kept = {part.id: part for part in self._of(task_id) if isinstance(part, Stage)}  # before they may be let go
        stored = await self._engine.store.stages(task_id, EVERYTHING)
        return list(({stage.id: stage for stage in stored} | kept).values())

    async def step(self, task_id: str, step_id: str) -> Step | None:
        """One of its steps. Raises StoreError."""
        kept = self._kept.get(step_id)
        if kept is not None and isinstance(kept.part, Step) and kept.part.task_id == task_id:
            return kept.part
        return await self._engine.store.step(task_id, step_id, EVERYTHING)

    async def running(self, task_id: str) -> AsyncIterator[Part]:
        """The stages and steps that it has begun and not ended, a step at a time. Raises StoreError."""
        kept = {part.id: part for part in self._of(task_id)}
        stages = await self.stages(task_id)
        _, steps = await self._engine.store.open_steps(task_id, EVERYTHING)
        parts: list[Part] = [*stages, *(part for part in kept.values() if isinstance(part, Step))]
        for part in parts:
            if part.status == "running":
                yield part
        for step_id in steps:
            step = None if step_id in kept else await self._engine.store.step(task_id, step_id, EVERYTHING)
            if step is not None:
                yield step

    def _of(self, task_id: str) -> list[Part]:
        return [change.part for change in self._kept.values() if change.part.task_id == task_id]

    def _let_go(self) -> None:
        """Forget what is stored."""
        stored = self._engine.journal.stored_id
        while self._kept and next(iter(self._kept.values())).record_id <= stored:
            self._drop(next(iter(self._kept)))

    def _drop(self, part_id: str) -> None:
        change = self._kept.pop(part_id, None)
        self._size -= 0 if change is None else change.size
