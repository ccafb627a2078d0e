"""The end of the activity log: the same from the file and from the store, whatever the size."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import asynclog
from asynclog import Settings
from asynclog.engine import open_engine
from asynclog.tasks import activity, rundir
from asynclog.tasks.reader import Reader
from asynclog.tasks.runfiles import RunFiles, open_run_files
from tests.runfiles.comparing import settled
from tests.runfiles.plugins import staged


async def test_file_and_store_give_the_same(tmp_path: Path) -> None:
    """For every number of lines, head and tracebacks included, the file's tail is the one made from the store."""
    async with asynclog.open(tmp_path / "data", settings=Settings(file={"task_log_level": "DEBUG"})) as tasks:
        task = await tasks.run(staged, {"number": 4}, account="acme")
        await settled(tasks)
        [log] = tasks.run_files.followers[0].root.rglob("automation_run.log")
        whole = log.read_bytes()
        for lines in range(1, whole.count(b"\n") + 3):
            from_file = await activity.tail(tasks.reader, tasks.run_files, task.id, lines)
            assert from_file == await activity.tail(tasks.reader, RunFiles(), task.id, lines)
            assert from_file == b"".join(whole.splitlines(keepends=True)[-lines:])


async def test_a_tail_of_the_store_is_cut_as_one_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where more lines are asked for than a tail holds, both begin with the same line, which is whole."""
    monkeypatch.setattr(rundir, "BLOCK", 64)
    for module in (rundir, activity):
        monkeypatch.setattr(module, "TAIL_BYTES", 1024)
    async with asynclog.open(tmp_path / "data") as tasks:
        task = await tasks.run(staged, {"number": 4})
        await settled(tasks)
        from_file = await activity.tail(tasks.reader, tasks.run_files, task.id, 1000)
        assert 900 < len(from_file) <= 1024
        assert await activity.tail(tasks.reader, RunFiles(), task.id, 1000) == from_file


async def test_what_is_logged_now_is_in_the_tail(tmp_path: Path) -> None:
    """While a task runs ahead of its file, the tail holds its newest entries all the same."""

    async def tail_oneself(_params: object, context: asynclog.TaskContext) -> list[str]:
        found = []
        for number in range(5):
            context.logger.info("number %d", number)
            text = await activity.tail(tasks.reader, tasks.run_files, context.task_id, 1)
            found.append(text.decode().strip().rpartition(" ")[2])
        return found

    async with asynclog.open(tmp_path / "data") as tasks:
        task = await tasks.run(tail_oneself)
        assert task.result == ["0", "1", "2", "3", "4"]


async def test_a_file_that_a_killed_process_left_unfinished_is_no_whole(tmp_path: Path) -> None:
    """Until it is known after a start which files are not finished, no tail is taken from them."""
    folder = tmp_path / "data"
    async with asynclog.open(folder) as tasks:
        task = await tasks.run(staged, {"number": 4})
        await settled(tasks)
    [log] = folder.rglob("automation_run.log")
    whole = log.read_bytes()
    os.truncate(log, len(whole) // 2)
    (folder / "runfiles.json").unlink()  # it was killed before it saved how far it was
    async with open_engine(folder) as engine:
        run_files = await open_run_files(engine, "runs", "")
        for _ in range(2):
            assert await activity.tail(Reader(engine), run_files, task.id, 1000) == whole
            await run_files.followers[0].catch_up()
        assert log.read_bytes() == whole


def _read_so_far() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


async def test_the_end_of_a_huge_file_is_read_alone(tmp_path: Path) -> None:
    """Of a log of 1 GB with a hundred lines at its end, 200 KB are read, not a gigabyte."""
    async with asynclog.open(tmp_path / "data") as tasks:
        task = await tasks.run(staged, {"number": 1})
        await settled(tasks)
        [log] = tasks.run_files.followers[0].root.rglob("automation_run.log")
        lines = [f"line {number} {'x' * 1000}\n".encode() for number in range(200)]
        with log.open("ab") as file:
            file.truncate(1 << 30)
            file.seek(0, os.SEEK_END)
            file.write(b"\n" + b"".join(lines))
        before = _read_so_far()
        found = await tasks.run_files.tail(task, 100)
        assert _read_so_far() - before < 300_000
        assert found == b"".join(lines[-100:])


def test_lines_without_end_are_cut(tmp_path: Path) -> None:
    """Where one line is larger than a tail may be, its end is given, and no more is read."""
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(1 << 28)
    with path.open("rb") as file:
        found = rundir.last_lines(file.fileno(), 5)
    assert rundir.TAIL_BYTES <= len(found) <= rundir.TAIL_BYTES + rundir.BLOCK


def test_blocks_do_not_show(tmp_path: Path) -> None:
    """Lines that lie across the blocks in which a file is read are whole."""
    path = tmp_path / "file"
    lines = [b"%d " % number + b"y" * (number * 997 % 150_000) + b"\n" for number in range(40)]
    path.write_bytes(b"".join(lines) + b"without a break")
    with path.open("rb") as file:
        for count in range(1, 45):
            assert rundir.last_lines(file.fileno(), count) == b"".join([*lines, b"without a break"][-count:])
