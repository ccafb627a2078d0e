"""A plugin of the old signature runs unchanged."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from asynclog.plugins import legacy


async def test_old_signature(runner: Any, work: Path) -> None:
    """`execute(self, params)` runs as it always did: its result is the task's, its lifecycle is logged for it."""
    log = work / "app.log"
    log.write_text("12:00 INFO up\n12:01 ERROR down\n12:02 INFO up\nno level\n")
    task, entries = await runner.run("levels", path=str(log))
    assert task.status == "success"
    assert task.result == {"lines": 4, "levels": {"INFO": 2, "ERROR": 1, "none": 1}}
    assert {entry.source for entry in entries} == {"system"}
    assert [entry.message.split(" in ")[0] for entry in entries] == ["task started: levels", "task finished"]


async def test_old_failure(runner: Any, work: Path) -> None:
    """What it raises fails the task, with its message and traceback."""
    task, entries = await runner.run("levels", path=str(work / "missing"))
    assert task.status == "failed"
    assert "No such file" in task.error_message
    assert "FileNotFoundError" in entries[-1].metadata["traceback"]


def test_knows_nothing_of_us() -> None:
    """It is the proof only while it does not import asynclog and takes nothing but its parameters."""
    assert "asynclog" not in inspect.getsource(legacy).split('"""', 2)[2]
    assert list(inspect.signature(legacy.LevelCount().execute).parameters) == ["params"]
