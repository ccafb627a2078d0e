"""The service as a process: how it starts, what it says, how it ends, and what is there afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket as sockets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from asynclog.lockfile import read_owner
from asynclog.model import EVERYTHING
from asynclog.principal import Role
from asynclog.server import shapes
from asynclog.tasks.opening import open_tasks
from tests.server.raw import head, wire
from tests.server.running import DEADLINE, frames, running

PROGRAM = Path(__file__).with_name("serving.py")
END_SECONDS = 10.0
"""The contract's: from SIGTERM to the end of the process."""


class Process:
    """A service in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.url = ""

    async def start(self, plugin: str, key: str = "") -> str:
        """Start a task; its id."""
        headers = {"x-api-key": key} if key else {}
        async with httpx2.AsyncClient(base_url=self.url, trust_env=False, headers=headers) as client:
            response = await client.post("/api/tasks", json={"plugin": plugin})
            assert response.status_code == 201, response.text
            return str(response.json()["id"])

    async def end(self, *signals: signal.Signals) -> tuple[int, str]:
        """Send signals, one after the other; the exit code and what was said on stderr."""
        for number in signals:
            self.process.send_signal(number)
            await asyncio.sleep(0.05)
        async with asyncio.timeout(END_SECONDS):
            _, said = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, said.decode()


@asynccontextmanager
async def process(folder: Path, **options: Any) -> AsyncIterator[Process]:
    """A service process that listens, or has refused to."""
    pipe = asyncio.subprocess.PIPE
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    started = await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), str(folder), json.dumps(options), stdout=pipe, stderr=pipe, env=environment
    )
    found = Process(started)
    try:
        assert started.stdout is not None
        async with asyncio.timeout(DEADLINE):
            found.url = (await started.stdout.readline()).decode().strip()
        yield found
    finally:
        if started.returncode is None:
            started.kill()
            await started.communicate()


async def _watch(url: str, path: str, found: list[dict[str, Any]]) -> int | None:
    async with connect(url.replace("http:", "ws:") + path, proxy=None, max_size=None) as socket:
        try:
            while True:
                found.append(json.loads(await socket.recv()))
        except ConnectionClosed:
            return socket.close_code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM or Ctrl-C: WebSockets are closed with 1001, tasks interrupted, all is stored, exit code 0 within 10 s;
    what viewers were sent and what is there after a restart is the same.
    """
    async with process(tmp_path) as served:
        owner = read_owner(tmp_path)
        assert owner is not None
        assert owner.url == served.url
        task_id = await served.start("ticking")
        logs: list[dict[str, Any]] = []
        tasks: list[dict[str, Any]] = []
        watchers = [
            asyncio.create_task(_watch(served.url, f"/ws/tasks/{task_id}/logs", logs)),
            asyncio.create_task(_watch(served.url, "/ws/tasks", tasks)),
        ]
        async with asyncio.timeout(DEADLINE):
            while sum(len(frame.get("entries", ())) for frame in logs) < 30 or not tasks:
                await asyncio.sleep(0.01)
        code, said = await served.end(number)
        assert (code, "Traceback" in said) == (0, False), said
        assert await asyncio.gather(*watchers) == [1001, 1001]
    assert read_owner(tmp_path) is None
    seen = [entry for frame in logs for entry in frame.get("entries", ())]
    async with running(tmp_path) as service:
        task = await service.get(f"/api/tasks/{task_id}", shapes.Task)
        assert task.status == "interrupted"
        page = await service.client.get(f"/api/tasks/{task_id}/logs", params={"limit": 5000})
        assert page.json()["entries"][: len(seen)] == seen
        assert page.json()["entries"][-1]["source"] == "system"


async def test_a_restart_shows_ended_tasks_as_before(tmp_path: Path) -> None:
    """After a restart an ended task, its page, numbers, stages and export are byte for byte what they were."""
    paths = [
        "",
        "/logs",
        "/logs/stats",
        "/logs/sources",
        "/logs/histogram",
        "/logs/export",
        "/tail",
        "/stages",
        "/steps",
    ]
    before: dict[str, bytes] = {}
    async with running(tmp_path) as service:
        for plugin in ("staged", "fail"):
            task_id = await service.run(plugin)
            for path in paths:
                before[f"/api/tasks/{task_id}{path}"] = (
                    await service.client.get(f"/api/tasks/{task_id}{path}")
                ).content
        before["/api/tasks"] = (await service.client.get("/api/tasks")).content
        before["/api/logs"] = (await service.client.get("/api/logs")).content
    async with running(tmp_path) as service:
        for path, content in before.items():
            assert (await service.client.get(path)).content == content, path


@pytest.mark.parametrize("plugin", ["stubborn", "executor"])
async def test_a_thread_that_never_returns_keeps_nothing_up(tmp_path: Path, plugin: str) -> None:
    """A plugin that hangs in a thread is interrupted, and the process ends in time all the same."""
    async with process(tmp_path) as served:
        task_id = await served.start(plugin)
        code, said = await served.end(signal.SIGTERM)
        assert code == 0, said
    async with running(tmp_path) as service:
        assert (await service.get(f"/api/tasks/{task_id}", shapes.Task)).status == "interrupted"


async def test_a_stuck_reader_keeps_nothing_up(tmp_path: Path) -> None:
    """A WebSocket and a download whose clients read nothing do not delay the end beyond 10 s."""
    async with process(tmp_path) as served:
        host, port = served.url.removeprefix("http://").split(":")
        async with httpx2.AsyncClient(base_url=served.url, trust_env=False, timeout=DEADLINE) as client:
            task = (await client.post("/api/tasks", json={"external": True, "name": "big"})).json()["id"]
            body = b"".join(b'{"message":"%s"}\n' % (b"x" * 10_000) for _ in range(700))
            for _ in range(3):
                await client.post(f"/api/tasks/{task}/logs", content=body)
        stuck = [sockets.create_connection((host, int(port))) for _ in range(2)]
        upgrade = (
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        )
        stuck[0].sendall(f"GET /ws/tasks/{task}/logs HTTP/1.1\r\nHost: {host}\r\n{upgrade}\r\n".encode())
        stuck[1].sendall(f"GET /api/tasks/{task}/logs/export HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        for one in stuck:
            assert await asyncio.to_thread(one.recv, 100)
        code, said = await served.end(signal.SIGTERM)
        for one in stuck:
            one.close()
        assert (code, "Traceback" in said) == (0, False), said


async def test_who_is_not_answered_in_time_is_told(tmp_path: Path) -> None:
    """What goes on when the service has to end is answered with 503, and leaves no traceback in its log."""
    async with process(tmp_path) as served, wire(served.url) as slow, wire(served.url) as other:
        slow.say(head("POST /api/tasks", "Content-Length: 10"), "{")
        for _ in range(5):
            other.say(head("GET /healthz"))
            assert (await other.answer()).status == 200
        answer, (code, said) = await asyncio.gather(slow.answer(), served.end(signal.SIGTERM))
        assert (answer.status, "going down" in answer.problem()["detail"]) == (503, True)
        assert (code, "Traceback" in said) == (0, False), said


async def test_a_failing_server_ends_the_service(tmp_path: Path) -> None:
    """When uvicorn itself fails, everything ends in order, and with 1, so that whoever watches starts it again: a
    service that goes on without it would look after no connection any more.
    """
    async with process(tmp_path) as served:
        task_id = await served.start("ticking")
        watcher = asyncio.create_task(_watch(served.url, f"/ws/tasks/{task_id}/logs", []))
        await served.start("breaking")
        code, said = await served.end()
        assert (code, said.splitlines()[-1]) == (
            1,
            "refused: the server has failed: no time; its own log says where",
        ), said
        assert await watcher == 1001
    assert read_owner(tmp_path) is None
    async with running(tmp_path) as service:
        task = await service.get(f"/api/tasks/{task_id}", shapes.Task)
        assert (task.status, task.error_message) == ("interrupted", "the service was stopped while it ran")


async def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    """The second SIGINT does not wait; what was logged is there at the next start."""
    async with process(tmp_path) as served:
        task_id = await served.start("stubborn")
        begun = time.monotonic()
        code, _ = await served.end(signal.SIGINT, signal.SIGINT)
        assert code == -signal.SIGINT
        assert time.monotonic() - begun < END_SECONDS
    async with running(tmp_path) as service:
        assert (await service.get(f"/api/tasks/{task_id}", shapes.Task)).status == "interrupted"


async def test_only_this_machine_unless_told(tmp_path: Path) -> None:
    """A host that other machines reach is refused with a sentence, and served once there is a key."""
    async with process(tmp_path, host="0.0.0.0") as served:  # noqa: S104 - that it is refused is the point
        code, said = await served.end()
        assert (code, f"asynclog keys add NAME --role admin --data {tmp_path}" in said) == (1, True)
        assert not (tmp_path / "asynclog.db").exists()
    async with open_tasks(tmp_path) as tasks:
        _, key = await tasks.keys.create("root", Role.ADMIN, EVERYTHING)
    async with process(tmp_path, host="0.0.0.0") as served:  # noqa: S104 - a test's own port
        assert served.url.startswith("http://127.0.0.1:")
        await served.start("ticking", key)
        code, said = await served.end(signal.SIGTERM)
        assert (code, key in said) == (0, False)


async def test_what_is_taken_is_refused(tmp_path: Path) -> None:
    """A second service on the directory, or on the port, does not start and says who or what is in the way."""
    async with process(tmp_path / "a") as first:
        async with process(tmp_path / "a") as second:
            code, said = await second.end()
            assert (code, first.url in said) == (1, True), said
        port = int(first.url.rsplit(":", 1)[1])
        async with process(tmp_path / "b", port=port) as third:
            code, said = await third.end()
            assert code == 1
            assert f"port {port}" in said
            assert "Traceback" not in said


async def test_its_own_log_has_no_secrets(tmp_path: Path) -> None:
    """The log is one JSON object a line where asked, and holds no query string, no secret and no client's garbage."""
    async with process(tmp_path, log_format="json") as served:
        async with httpx2.AsyncClient(base_url=served.url, trust_env=False) as client:
            await client.get("/api/tasks?text=hunter2")
            await client.put("/api/settings/logging", json={"log_level": "DEBUG"})
            await client.get("/api/tasks?token=hunter2")
        async with connect(served.url.replace("http:", "ws:") + "/ws/tasks?text=hunter2", proxy=None) as socket:
            await socket.send(b"\xff\xfe", text=True)
            await frames(socket)
        code, said = await served.end(signal.SIGTERM)
        assert code == 0
        lines = [json.loads(line) for line in said.splitlines()]
        assert {"timestamp", "level", "logger", "message"} <= set(lines[0])
        assert any("serving" in line["message"] for line in lines)
        assert "hunter2" not in said
        assert not [line for line in lines if line["level"] == "ERROR"], said
