"""The library on a data directory of its own, without any server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import asynclog
from asynclog import Settings, TaskManager


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the data are."""
    return tmp_path / "data"


@pytest.fixture
async def tasks(folder: Path) -> AsyncIterator[TaskManager]:
    """An open data directory that keeps entries from DEBUG on."""
    async with asynclog.open(folder, settings=Settings(file={"task_log_level": "DEBUG"})) as manager:
        yield manager
