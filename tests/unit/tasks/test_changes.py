"""The stages and steps of external tasks, as they are now."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from asynclog.engine import Limits
from asynclog.model import EVERYTHING
from asynclog.tasks.opening import open_tasks

STEPS = 400
MEMORY = 1 << 20
ROOM = 50 << 20
"""Three batches on their way to the store, and as much again; all the steps would be 35 MB, encoded and decoded."""


async def test_the_end_of_a_task_takes_no_memory_for_all_its_open_steps(tmp_path: Path) -> None:
    """However many steps a task leaves open, and with however much data, they are ended one after the other."""
    async with open_tasks(tmp_path, limits=Limits(memory=MEMORY)) as tasks:
        task = tasks.external.start("leaves all open")
        for number in range(STEPS):
            given = {"node_id": str(number), "input_data": ["y" * 80] * 1_100}
            await tasks.external.put_step(task.id, given)
            if number % 50 == 49:
                assert await tasks.engine.settle(20)
        ended = {"id": (await tasks.reader.steps(task.id))[7].id, "status": "success"}
        await tasks.external.put_step(task.id, ended)
        tracemalloc.start()
        try:
            await tasks.external.finish(task.id, "success")
            assert await tasks.engine.settle(20)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        steps = await tasks.reader.steps(task.id)
        assert [step.status for step in steps].count("interrupted") == STEPS - 1
        assert steps[7].status == "success"
        last = await tasks.engine.store.step(task.id, steps[-1].id, EVERYTHING)
        assert last is not None
        assert len(last.input_json or "") > 80_000
        assert peak < ROOM
