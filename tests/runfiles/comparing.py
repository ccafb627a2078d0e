"""What run files have to hold, made from the database alone by another way than the one that writes them."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

from asynclog import TaskManager
from asynclog.model import Entry, Level, timestamp_text
from asynclog.rendering import text_line, visible_text
from asynclog.tasks.runname import component

DEADLINE = 30.0
"""Seconds after which a test gives up waiting."""


async def settled(tasks: TaskManager) -> None:
    """Return when the files of all ended tasks are finished."""
    end = time.monotonic() + DEADLINE
    await tasks.engine.settle(DEADLINE)
    for follower in tasks.run_files.followers:
        await follower.catch_up()
    while tasks.run_files.behind > sum(live.feed is not None for live in tasks.engine.hub):
        assert time.monotonic() < end, (tasks.run_files.behind, tasks.engine.troubles())
        for follower in tasks.run_files.followers:
            follower.wake()
        await asyncio.sleep(0.02)


def expected(folder: Path) -> dict[str, str]:
    """The content of every run file by its path below the root."""
    connection = sqlite3.connect(f"file:{folder / 'asynclog.db'}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    found: dict[str, str] = {}
    for task in connection.execute("SELECT * FROM tasks WHERE run_id IS NOT NULL AND deleted_at IS NULL"):
        place = "/".join(component(task[name]) for name in ("account", "site", "run_id"))
        for name, text in _files(connection, task).items():
            found[f"{place}/{name}"] = text
    connection.close()
    return found


def _files(connection: sqlite3.Connection, task: sqlite3.Row) -> dict[str, str]:
    rows = connection.execute("SELECT * FROM task_logs WHERE task_id = ? ORDER BY seq", (task["id"],)).fetchall()
    stages: dict[str, int] = {}
    query = "SELECT name, number FROM stages WHERE task_id = ? ORDER BY started_at, number"
    for name, number in connection.execute(query, (task["id"],)):
        stages.setdefault(name, number)
    files = {
        "automation_run.log": _head(task) + "".join(_text(row) for row in rows),
        "run_trace.jsonl": "".join(
            _trace(row)
            for row in connection.execute("SELECT * FROM trace_items WHERE task_id = ? ORDER BY id", (task["id"],))
        ),
    }
    for number in set(stages.values()):
        files[f"stage_{number}.log"] = "".join(_text(row) for row in rows if stages.get(row["stage"]) == number)
    return files


def _head(task: sqlite3.Row) -> str:
    return (
        f"# run {task['run_id']}, task {task['id']}\n# plugin   {task['plugin']}\n# name     {task['name']}\n"
        f"# account  {visible_text(task['account'] or '-')}\n# site     {visible_text(task['site'] or '-')}\n"
        f"# trigger  {task['trigger_type']}\n"
        f"# started  {timestamp_text(task['started_at'])}\n# params   {task['params']}\n"
    )


def _text(row: sqlite3.Row) -> str:
    values: dict[str, Any] = {**dict(row), "level": Level[row["level"]]}
    return f"{text_line(Entry(**values))}\n"


def _trace(row: sqlite3.Row) -> str:
    """The object with the data as it is stored, to the letter."""
    return (
        f'{{"id":{row["id"]},"task_id":"{row["task_id"]}","timestamp":"{timestamp_text(row["timestamp"])}",'
        f'"event":{json.dumps(row["event"])},"data":{row["data"] or "null"}}}\n'
    )


def actual(root: Path) -> dict[str, str]:
    """The content of every file there is."""
    return {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
        for path in root.rglob("*")
        if path.is_file() or path.is_symlink()
    }


def compare(folder: Path, root: Path) -> int:
    """Assert that the files below a root are exactly those the database means; how many lines they have."""
    wanted, found = expected(folder), actual(root)
    assert found.keys() == wanted.keys()
    lines = 0
    for name, text in wanted.items():
        mine, theirs = found[name].splitlines(), text.splitlines()
        for number, (one, other) in enumerate(zip(mine, theirs, strict=False)):
            assert one == other, f"{name}:{number + 1}"
        assert found[name] == text, name
        lines += len(mine)
    return lines
