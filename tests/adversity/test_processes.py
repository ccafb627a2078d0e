"""Forks, second processes, restarts, and a burst that would fill the memory."""

import asyncio
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import asynclog
from asynclog import LockedError
from asynclog.settings import Settings
from tests.adversity.witness import SETTINGS, finished, numbering, numbers

HERE = Path(__file__).parent


@pytest.mark.timeout(400)  # a million entries, on whatever else the machine has to do
def test_a_million_entries_without_yielding(tmp_path: Path) -> None:
    """A plugin that logs a million entries without yielding stays within 100 MiB of memory, and all are stored."""
    done = subprocess.run(
        [sys.executable, HERE / "burst.py", tmp_path], capture_output=True, text=True, timeout=380, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["status"] == "success"
    assert report["counts"]["INFO"] == 1_000_002
    assert report["dropped"] == 0
    assert report["troubles"] == []
    assert report["grown"] < 100 << 20
    assert report["pending"] == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "asynclog.db")) as connection:
        row = connection.execute(
            "SELECT count(*), count(DISTINCT message), min(seq), max(seq) FROM task_logs WHERE source = 'plugin'"
        ).fetchone()
    assert row == (1_000_000, 1_000_000, 2, 1_000_001)


PARENT = """
import asyncio, os, sys, asynclog
sys.path.insert(0, {root!r})
from tests.adversity.witness import numbering, finished

async def main(folder):
    async with numbering(__import__("pathlib").Path(folder)) as (tasks, plugin, task_id):
        plugin.log(100)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writing)
            plugin.log(50)                       # what a child of a library does without knowing
            plugin.context.logger.error("from the child")
            os.read(reading, 1)                  # lives until the parent is gone, or lets it go
            os._exit(0)
        os.close(reading)
        plugin.log(100)
        assert await tasks.engine.settle(20)
        print(child, task_id, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        os.close(writing)
        os.waitpid(child, 0)
        plugin.log(100)
        await finished(tasks, plugin, task_id)

asyncio.run(main(sys.argv[1]))
"""


def forking(folder: Path) -> tuple[subprocess.Popen[str], int, str]:
    """A process with a child that has logged; its child's id, and the task."""
    code = PARENT.format(root=str(HERE.parents[1]))
    parent = subprocess.Popen(
        [sys.executable, "-c", code, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    line = parent.stdout.readline()
    if not line:
        raise AssertionError(parent.communicate()[1])
    child, task_id = line.split()
    return parent, int(child), task_id


def test_a_forked_child_harms_nothing(tmp_path: Path) -> None:
    """A forked child's log calls do nothing after one warning on stderr; the parent loses and notices nothing."""
    parent, _, task_id = forking(tmp_path)
    _, said = parent.communicate("go on\n", timeout=60)
    assert parent.returncode == 0, said
    assert said.count("a forked child cannot log") == 1
    assert numbers(tmp_path, task_id) == list(range(1, 301))


async def test_a_child_outlives_its_killed_parent(tmp_path: Path) -> None:
    """With the parent killed and its child still alive, another process can open the directory and has it all."""
    parent, child, task_id = forking(tmp_path)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    try:
        os.kill(child, 0)
        async with asynclog.open(tmp_path, settings=Settings(pinned=SETTINGS)) as tasks:
            assert (await tasks.task(task_id)).status == "interrupted"
            assert tasks.engine.troubles() == []
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        parent.communicate()
    assert numbers(tmp_path, task_id) == list(range(1, 201))


async def test_the_lock_is_still_held_after_a_fork(tmp_path: Path) -> None:
    """While the parent lives, its directory stays closed to others, whatever its child closed."""
    parent, _, _ = await asyncio.to_thread(forking, tmp_path)
    try:
        with pytest.raises(LockedError, match=f"process {parent.pid} owns the data directory"):
            async with asynclog.open(tmp_path):
                pass
    finally:
        await asyncio.to_thread(parent.communicate, "go on\n")
    assert parent.returncode == 0


async def test_a_second_process_is_refused(tmp_path: Path) -> None:
    """A second process on a directory is refused with a sentence that names the first and where it serves."""
    second = f"import asyncio, asynclog\nasync def main():\n    async with asynclog.open({str(tmp_path)!r}): pass\n"
    async with numbering(tmp_path) as (tasks, plugin, task_id):
        plugin.log(10)
        tasks.engine.lock.tell("http://127.0.0.1:12345")
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", second + "asyncio.run(main())"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert re.search(
            rf"LockedError: process {os.getpid()} owns .* serves it at http://127\.0\.0\.1:12345", done.stderr
        )
        plugin.log(10)
        await finished(tasks, plugin, task_id)
    assert numbers(tmp_path, task_id) == list(range(1, 21))


async def test_a_restart_loses_nothing(tmp_path: Path) -> None:
    """A clean restart shows ended tasks exactly as before, interrupts what ran, and leaves an empty journal."""
    async with numbering(tmp_path) as (tasks, plugin, task_id):
        plugin.log(500)
        ended = await finished(tasks, plugin, task_id)
        before = (await tasks.logs(task_id, limit=5000)).lines
        running = type(plugin)()
        left = await tasks.start(running)
    assert sum(path.stat().st_size for path in (tmp_path / "journal").iterdir()) < 100
    async with asynclog.open(tmp_path, settings=Settings(pinned=SETTINGS)) as tasks:
        assert await tasks.task(task_id) == ended
        assert (await tasks.logs(task_id, limit=5000)).lines == before
        interrupted = await tasks.task(left.id)
        assert interrupted.status == "interrupted"
        assert interrupted.sealed is not None
        assert interrupted.sealed.last_seq == interrupted.last_seq
        assert tasks.engine.troubles() == []


async def test_the_journal_is_deleted_between_two_lives(tmp_path: Path) -> None:
    """Without its journal, a database goes on: nothing is said to be missing, and numbers are not used again."""
    async with numbering(tmp_path) as (tasks, plugin, task_id):
        plugin.log(50)
        await finished(tasks, plugin, task_id)
        last = tasks.engine.journal.last_id
    for path in (tmp_path / "journal").iterdir():
        path.unlink()
    (tmp_path / "journal").rmdir()
    async with numbering(tmp_path) as (tasks, plugin, second):
        assert tasks.engine.journal.last_id > last
        plugin.log(50)
        await finished(tasks, plugin, second)
        assert tasks.engine.troubles() == []
    assert numbers(tmp_path, task_id) == numbers(tmp_path, second) == list(range(1, 51))
