"""Nobody but the owner reads what is logged."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from asynclog.model import EVERYTHING
from asynclog.principal import Role
from asynclog.tasks.context import TaskContext
from asynclog.tasks.manager import TaskManager
from asynclog.tasks.opening import open_tasks


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """What the process would make of files whose maker says nothing."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


async def staged(_params: object, context: TaskContext) -> None:
    """Has a stage, a trace and entries."""
    async with context.stage("extract", number=1):
        context.logger.info("inside")
    context.append_trace("item", item=1)


def _modes(folder: Path) -> dict[str, int]:
    found = {}
    for path in [folder, *folder.rglob("*")]:
        with contextlib.suppress(FileNotFoundError):  # it was renamed or removed by those whose files these are
            found[path.relative_to(folder.parent).as_posix()] = path.lstat().st_mode
    return found


def _check(folder: Path) -> set[str]:
    """Every folder is 0700 and every file 0600; their names without numbers."""
    found = _modes(folder)
    for name, mode in found.items():
        expected = 0o700 if stat.S_ISDIR(mode) else 0o600
        assert stat.S_IMODE(mode) == expected, f"{name}: {mode:o}"
    return {Path(name).name for name in found}


async def _fill(tasks: TaskManager) -> None:
    await tasks.keys.create("admin", Role.ADMIN, EVERYTHING)
    await tasks.run(staged)
    await tasks.run_files.finish()
    await tasks.engine.settle()


async def test_everything_is_the_owners_alone(tmp_path: Path, umask: int) -> None:
    """Database, WAL, shared memory, journal, lock, marks, run files, mirror: 0600, and folders 0700, at any umask."""
    folder, mirror = tmp_path / "data", tmp_path / "mirror"
    async with open_tasks(folder, shared_log_dir=mirror) as tasks:
        await _fill(tasks)
        names = _check(folder)
        assert {"asynclog.db", "asynclog.db-wal", "asynclog.db-shm", "lock", "keyed", "runfiles.json"} <= names
        assert {"automation_run.log", "run_trace.jsonl", "stage_1.log", "journal"} <= names
        assert "automation_run.log" in _check(mirror)
    _check(folder)


async def test_what_is_set_aside_is_the_owners_alone(tmp_path: Path, umask: int) -> None:
    """Damaged parts of the journal and a damaged database are kept with no more rights than they had."""
    folder = tmp_path / "data"
    async with open_tasks(folder) as tasks:
        await _fill(tasks)
    (segment,) = (folder / "journal").glob("*.journal")
    data = segment.read_bytes()
    segment.write_bytes(data.rstrip(b"\0") + b"damage" * 50)
    (folder / "asynclog.db").write_bytes(b"no database" * 1000)
    async with open_tasks(folder) as tasks:
        await tasks.run(staged)
        names = _check(folder)
    assert any(name.endswith(".damaged") for name in names), names
    assert any(".db.damaged-" in name for name in names), names


async def test_a_restored_database_becomes_the_owners_alone(tmp_path: Path) -> None:
    """A database that a backup gave back readable by all is not so any more when it is used, nor its WAL."""
    folder = tmp_path / "data"
    async with open_tasks(folder) as tasks:
        await _fill(tasks)
    (folder / "asynclog.db").chmod(0o644)
    async with open_tasks(folder) as tasks:
        await tasks.run(staged)
        _check(folder)
