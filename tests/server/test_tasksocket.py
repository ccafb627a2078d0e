"""``WS /ws/tasks``: the list of tasks as it changes."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection

from asynclog.model import Task
from asynclog.queries import TaskQuery
from asynclog.server import shapes
from asynclog.server.listing import listed
from asynclog.server.tasksocket import PENDING, SHOWN, Lines, _Changes
from tests.server.running import DEADLINE, Running, frames, running

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Viewer:
    """What a page would show."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.tasks: dict[str, shapes.Task] = {}
        self.frames: list[dict[str, Any]] = []

    async def until(self, condition: Any) -> None:
        """Take frames until the condition holds."""
        async with asyncio.timeout(DEADLINE):
            while not condition(self.tasks):
                frame = json.loads(await self.socket.recv())
                self.frames.append(frame)
                for task in frame.get("tasks", []):
                    self.tasks[task["id"]] = msgspec.convert(task, shapes.Task)
                for task_id in frame.get("ids", []):
                    self.tasks.pop(task_id, None)


async def test_the_list_is_sent_and_then_follows(shared: Running) -> None:
    """First the current page; then tasks as they appear, change and go."""
    old = await shared.say("x")
    async with shared.socket("/ws/tasks") as socket:
        viewer = Viewer(socket)
        await viewer.until(lambda tasks: old in tasks)
        assert [frame["type"] for frame in viewer.frames] == ["tasks"]
        new = await shared.post("/api/tasks", {"plugin": "hold"}, 201)
        await viewer.until(lambda tasks: new["id"] in tasks and tasks[new["id"]].status == "running")
        await shared.post(f"/api/tasks/{new['id']}/cancel", status=202)
        await viewer.until(lambda tasks: tasks[new["id"]].status == "cancelled")
        await shared.client.delete(f"/api/tasks/{old}")
        await viewer.until(lambda tasks: old not in tasks)
        assert viewer.frames[-1] == {"type": "removed", "ids": [old]}


async def test_the_list_is_filtered(shared: Running) -> None:
    """A filtered list has its tasks only, and lets go of one that leaves the filter."""
    async with shared.socket("/ws/tasks?account=acme&status=running") as socket:
        viewer = Viewer(socket)
        await viewer.until(lambda _: bool(viewer.frames))
        assert viewer.frames == [{"type": "tasks", "tasks": []}]
        other = await shared.post("/api/tasks", {"plugin": "hold"}, 201)
        mine = await shared.post("/api/tasks", {"plugin": "hold", "account": "acme"}, 201)
        await viewer.until(lambda tasks: mine["id"] in tasks)
        for task in (other, mine):
            await shared.post(f"/api/tasks/{task['id']}/cancel", status=202)
        await viewer.until(lambda tasks: not tasks)
        assert all(other["id"] not in json.dumps(frame) for frame in viewer.frames)


async def test_a_running_task_is_listed_however_old(shared: Running) -> None:
    """The first frames hold every running task, though a hundred newer ones have ended."""
    held = await shared.post("/api/tasks", {"plugin": "hold", "account": "many"}, 201)
    tasks = [await shared.tasks.start("talk", {}, account="many") for _ in range(105)]
    for task in tasks:
        await shared.tasks.wait(task.id)
    async with shared.socket("/ws/tasks?account=many") as socket:
        viewer = Viewer(socket)
        await viewer.until(lambda _: bool(viewer.frames))
    assert held["id"] in viewer.tasks
    assert len(viewer.tasks) == 101


async def test_a_running_task_is_listed_though_it_is_not_stored(tmp_path: Path) -> None:
    """Whoever opens the list while the database is locked sees what runs."""
    async with running(tmp_path) as service:
        other = sqlite3.connect(tmp_path / "asynclog.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            new = await service.post("/api/tasks", {"plugin": "hold"}, 201)
            async with service.socket("/ws/tasks?status=running") as socket:
                viewer = Viewer(socket)
                await viewer.until(lambda tasks: new["id"] in tasks)
        finally:
            other.execute("ROLLBACK")
            other.close()


async def test_a_bad_query_and_a_talking_client(shared: Running) -> None:
    """A bad query is closed with 4422; a client that sends something is closed with 1008."""
    for path, sent, code in (("?status=x", None, 4422), ("?limit=1", None, 4422), ("", "hello", 1008)):
        async with shared.socket(f"/ws/tasks{path}") as socket:
            if sent:
                await socket.send(sent)
            await frames(socket)
        assert socket.close_code == code


async def test_what_waits_for_a_slow_client_is_bounded() -> None:
    """Beyond two thousand changed tasks nothing more is kept: the client is to be sent the page anew."""
    changes = _Changes(TaskQuery())
    changes.reset()
    for number in range(PENDING):
        changes.changed(Task(id=str(number), name="n", plugin="p", created_at=0))
    assert len(changes.take()[0]) == PENDING
    for number in range(PENDING):
        changes.changed(Task(id=str(number), name="n", plugin="p", created_at=0))
    changes.changed(Task(id="one more", name="n", plugin="p", created_at=0))
    assert changes.overflowed
    assert changes.take() == ([], [])
    for number in range(PENDING + SHOWN + 1):  # that came and went without having been shown
        changes.changed(Task(id=f"passing {number}", name="n", plugin="p", created_at=0))
        changes.removed(f"passing {number}")
    assert changes.take() == ([], [])


async def test_what_is_gone_is_told_though_the_page_is_sent_anew() -> None:
    """A client that is too slow, and is sent the page anew, is told of what it shows and is not there any more."""
    changes = _Changes(TaskQuery(status=("running",)))
    changes.reset()
    running = [
        Task(id=name, name="n", plugin="p", created_at=0, status="running") for name in ("stays", "ends", "goes")
    ]
    changes.show(running)
    changes.changed(msgspec.structs.replace(running[1], status="success"))
    for number in range(PENDING + 1):
        changes.changed(msgspec.structs.replace(running[0], id=str(number)))
    changes.removed("goes")
    assert changes.overflowed
    changes.reset()
    changes.begin(running[:1])
    assert changes.due.is_set()
    assert changes.take() == ([], ["ends", "goes"])


async def test_what_goes_while_the_page_is_read_is_told() -> None:
    """A task that ends or is deleted between the reading of a page and its sending does not stay on it."""
    changes = _Changes(TaskQuery(status=("running",)))
    running = [
        Task(id=name, name="n", plugin="p", created_at=0, status="running") for name in ("stays", "ends", "goes")
    ]
    changes.reset()
    changes.changed(msgspec.structs.replace(running[1], status="success"))
    changes.removed("goes")
    changes.removed("never shown")
    changes.begin(running)
    assert changes.due.is_set()
    assert changes.take() == ([], ["ends", "goes"])


async def test_a_state_of_a_task_is_encoded_once() -> None:
    """All clients get the same bytes of one state; a new state has its own, and only some are kept."""
    lines = Lines(limit=2)
    task = Task(id="1", name="one", plugin="p", created_at=0)
    assert lines.line(task) is lines.line(task)
    changed = msgspec.structs.replace(task, name="two")
    assert b'"two"' in lines.line(changed)
    assert lines.line(changed) is lines.line(changed)
    first = lines.line(changed)
    for number in range(2, 4):
        lines.line(Task(id=str(number), name="n", plugin="p", created_at=0))
    assert lines.line(changed) is not first


async def test_the_live_list_means_what_the_page_means() -> None:
    """The predicate's bounds are those of the page: from, up to but without, durations included, text A-Z folded."""
    task = Task(
        id="t1",
        name="Näme",
        plugin="p",
        created_at=0,
        started_at=10_000_000,
        finished_at=12_000_000,
        status="failed",
        error_message="No DISK",
    )
    yes: list[dict[str, Any]] = [
        {"started_after": 10_000_000},
        {"started_before": 10_000_001},
        {"finished_after": 12_000_000},
        {"min_duration": 2.0, "max_duration": 2.0},
        {"text": "no disk"},
        {"text": "NäM"},
        {"text": "T1"},
        {"status": ("running", "failed"), "plugin": ("p",)},
    ]
    no: list[dict[str, Any]] = [
        {"started_before": 10_000_000},
        {"finished_after": 12_000_001},
        {"min_duration": 2.1},
        {"max_duration": 1.9},
        {"text": "NÄM"},
        {"account": "a"},
        {"parent": "x"},
        {"trigger_type": ("api",)},
    ]
    assert all(listed(task, TaskQuery(**query)) for query in yes)
    assert not any(listed(task, TaskQuery(**query)) for query in no)
