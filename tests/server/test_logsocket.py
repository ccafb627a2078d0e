"""``WS /ws/tasks/{id}/logs``: frames, filters, ends, and clients that do not behave."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection

from asynclog.model import timestamp_text
from asynclog.server import listening, shapes
from asynclog.server.connection import FRAME_BYTES
from asynclog.tasks.context import TaskContext
from tests.server.running import DEADLINE, Running, eventually, frames, running, seqs

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _external(shared: Running) -> str:
    task = await shared.post("/api/tasks", {"external": True, "name": "live"}, 201)
    return str(task["id"])


async def _log(shared: Running, task_id: str, *messages: str, **fields: Any) -> int:
    body = b"".join(msgspec.json.encode({"message": message, **fields}) + b"\n" for message in messages)
    response = await shared.client.post(f"/api/tasks/{task_id}/logs", content=body)
    return int(response.json()["last_seq"])


async def _closed(socket: ClientConnection) -> int | None:
    await frames(socket)
    return socket.close_code


async def _through(socket: ClientConnection, seq: int) -> list[dict[str, Any]]:
    """Frames up to the one that says everything up to a seq was sent."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(DEADLINE):
        while not found or found[-1].get("through", 0) < seq:
            found.append(json.loads(await socket.recv()))
    return found


async def test_history_then_the_end(shared: Running) -> None:
    """A finished task: its state first, all entries as a page shows them, the end, then close 1000."""
    task_id = await shared.say("a", "b", "c")
    page = await shared.client.get(f"/api/tasks/{task_id}/logs")
    async with shared.socket(f"/ws/tasks/{task_id}/logs") as socket:
        first, *middle, last = await frames(socket)
    assert first["type"] == "task"
    assert msgspec.convert(first["task"], shapes.Task).status == "success"
    assert [entry for frame in middle for entry in frame["entries"]] == page.json()["entries"]
    assert middle[-1]["through"] == 5
    assert last == {"type": "end", "last_seq": 5}
    assert socket.close_code == 1000


async def test_history_and_live_are_one_sequence(shared: Running) -> None:
    """What was logged before and what comes after the connection follow each other without a seam."""
    task_id = await _external(shared)
    await _log(shared, task_id, *(f"before {n}" for n in range(50)))
    async with shared.socket(f"/ws/tasks/{task_id}/logs?after=10") as socket:
        found = await _through(socket, 51)
        for n in range(20):
            await _log(shared, task_id, f"live {n}")
        found += await _through(socket, 71)
        await shared.post(f"/api/tasks/{task_id}/finish", {"status": "success"})
        found += await frames(socket)
    assert seqs(found) == list(range(11, 73))
    assert found[-1] == {"type": "end", "last_seq": 72}
    tasks = [frame["task"]["status"] for frame in found if frame["type"] == "task"]
    assert (tasks[0], tasks[-1]) == ("running", "success")


async def test_a_sparse_filter_moves_too(shared: Running) -> None:
    """through tells how far was looked, also where nothing matches."""
    task_id = await _external(shared)
    async with shared.socket(f"/ws/tasks/{task_id}/logs?min_level=ERROR") as socket:
        last = await _log(shared, task_id, *(f"quiet {n}" for n in range(30)))
        found = await _through(socket, last)
        assert seqs(found) == []
        last = await _log(shared, task_id, "loud", level="ERROR")
        assert seqs(await _through(socket, last)) == [last]


async def test_a_filter_is_changed_on_the_way(shared: Running) -> None:
    """The new filter is acknowledged before its first entry and begins at the seq asked for."""
    task_id = await _external(shared)
    await _log(shared, task_id, "one", source="a")
    last = await _log(shared, task_id, "two", source="b")
    async with shared.socket(f"/ws/tasks/{task_id}/logs?source=a") as socket:
        assert seqs(await _through(socket, last)) == [2]
        request = {"type": "filter", "ref": "r1", "filter": {"source": ["b", "system"]}, "after": 0}
        await socket.send(json.dumps(request))
        found = await _through(socket, last)
        at = found.index({"type": "filter", "ref": "r1"})
        assert seqs(found[:at]) == []
        assert seqs(found[at:]) == [1, 3]


@pytest.mark.parametrize(
    "frame",
    [
        "nonsense",
        "[]",
        "null",
        b"binary",
        "[" * 100_000,
        '{"type": "hello"}',
        '{"type": "filter", "filter": 1}',
        '{"type": "filter", "filter": {"level": "LOUD"}}',
        '{"type": "filter", "filter": {"nix": 1}}',
        '{"type": "filter", "filter": {"source": {}}}',
        '{"type": "filter", "after": -1}',
        '{"type": "filter", "after": "1"}',
        '{"type": "filter", "after": 1e99}',
        '{"type": "filter", "ref": 1}',
        '{"type": "filter", "more": 1}',
    ],
    ids=lambda frame: str(frame)[:40],
)
async def test_a_bad_frame_is_answered_and_the_old_filter_stays(
    shared: Running, frame: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a client sends, it gets an error frame with a sentence; the conversation and the filter go on."""
    task_id = await _external(shared)
    async with shared.socket(f"/ws/tasks/{task_id}/logs?exclude_source=system") as socket:
        await socket.send(frame)
        found = await frames(socket, "error")
        assert found[-1]["ref"] is None
        assert len(found[-1]["detail"]) > 10
        last = await _log(shared, task_id, "still here")
        assert seqs(await _through(socket, last)) == [last]
    assert not [record for record in caplog.records if record.exc_info]


async def test_an_error_names_its_request(shared: Running) -> None:
    """An error frame carries the ref of the request it is about."""
    task_id = await _external(shared)
    async with shared.socket(f"/ws/tasks/{task_id}/logs") as socket:
        await socket.send('{"type": "filter", "ref": "mine", "filter": {"level": "x"}}')
        assert (await frames(socket, "error"))[-1]["ref"] == "mine"


async def test_a_stubborn_client_is_shown_the_door(shared: Running) -> None:
    """After a hundred bad frames the connection is closed with 1008; a frame too large closes it with 1009."""
    task_id = await _external(shared)
    async with shared.socket(f"/ws/tasks/{task_id}/logs") as socket:
        for _ in range(101):
            await socket.send("nonsense")
        assert await _closed(socket) == 1008
    async with shared.socket(f"/ws/tasks/{task_id}/logs") as socket:
        await socket.send("x" * (FRAME_BYTES + 1))
        assert await _closed(socket) == 1009


async def test_many_filters_at_once(shared: Running) -> None:
    """A flood of filters is answered one by one, in order."""
    task_id = await _external(shared)
    async with shared.socket(f"/ws/tasks/{task_id}/logs") as socket:
        for n in range(200):
            await socket.send(json.dumps({"type": "filter", "ref": str(n), "filter": {"search": f"{n}"}, "after": 0}))
        refs: list[str] = []
        while len(refs) < 200:
            refs += [frame["ref"] for frame in await frames(socket, "filter") if frame["type"] == "filter"]
    assert refs == [str(n) for n in range(200)]


@pytest.mark.parametrize(
    ("query", "code"),
    [("level=LOUD", 4422), ("after=-1", 4422), ("limit=3", 4422), ("since=x", 4422), ("search=%FF", 4422)],
)
async def test_a_bad_query_is_closed(shared: Running, query: str, code: int) -> None:
    """A bad query is accepted and closed with 4422 and a sentence that names the parameter."""
    task_id = await _external(shared)
    async with shared.socket(f"/ws/tasks/{task_id}/logs?{query}") as socket:
        assert await _closed(socket) == code
    assert (socket.close_reason or "").strip()


async def test_no_such_task_and_a_deleted_one(shared: Running) -> None:
    """An unknown task is closed with 4404; so is everybody who watches a task when it is deleted."""
    async with shared.socket("/ws/tasks/nobody/logs") as socket:
        assert await _closed(socket) == 4404
    task_id = await _external(shared)
    async with shared.socket(f"/ws/tasks/{task_id}/logs") as first, shared.socket("/ws/tasks") as second:
        await first.recv()
        await second.recv()
        await shared.post(f"/api/tasks/{task_id}/finish", {"status": "success"})
        await frames(first, "end")
    task_id = await shared.say("x")
    # a finished task ends by itself, so its viewer is one that has not read that yet
    deleted = await shared.client.delete(f"/api/tasks/{task_id}")
    assert deleted.status_code == 204
    async with shared.socket(f"/ws/tasks/{task_id}/logs") as socket:
        assert await _closed(socket) == 4404


async def test_stages_steps_and_progress_are_told(shared: Running) -> None:
    """A task's socket tells its stages and steps, without data, as they change, and its progress."""
    task_id = await _external(shared)
    place = f"/api/tasks/{task_id}"
    async with shared.socket(f"/ws/tasks/{task_id}/logs") as socket:
        await frames(socket, "task")
        stage = await shared.post(f"{place}/stages", {"name": "load"})
        found = await frames(socket, "stage")
        assert msgspec.convert(found[-1]["stage"], shapes.Stage).id == stage["id"]
        await shared.post(f"{place}/steps", {"node_id": "n", "input_data": {"secret": 1}})
        [step] = [frame["step"] for frame in await frames(socket, "step") if frame["type"] == "step"]
        assert msgspec.convert(step, shapes.Step).node_id == "n"
        assert "input_data" not in step
        await shared.post(f"{place}/stages", {"id": stage["id"], "status": "success"})
        found = await frames(socket, "stage")
        assert "task" not in {frame["type"] for frame in found}  # neither status nor progress changed


async def test_progress_is_told(shared: Running) -> None:
    """A task frame comes when its progress changes, with the numbers of that moment."""
    seen = asyncio.Semaphore(0)

    async def steadily(_params: object, context: TaskContext) -> None:
        for number in range(1, 4):
            context.logger.progress(number, 3, f"part {number}")
            await seen.acquire()

    shared.tasks.plugins = {**shared.tasks.plugins, "steadily": shared.tasks._plugin(steadily)}
    task = await shared.post("/api/tasks", {"plugin": "steadily"}, 201)
    told: dict[str, Any] = {"current": 0}
    async with shared.socket(f"/ws/tasks/{task['id']}/logs") as socket:
        for number in range(1, 4):
            while told["current"] < number:
                told = (await frames(socket, "task"))[-1]["task"]["progress"] or told
            assert told == {"current": number, "total": 3, "message": f"part {number}"}
            seen.release()
        ended = [frame["task"] for frame in await frames(socket) if frame["type"] == "task"]
    assert [(task["status"], task["progress"]) for task in ended] == [("success", told)]


async def test_frames_are_bounded(shared: Running) -> None:
    """A frame holds at most 256 KiB unless one entry is larger; through says how far each one goes."""
    task_id = await _external(shared)
    last = await _log(shared, task_id, *("x" * 60_000 for _ in range(20)))
    async with shared.socket(f"/ws/tasks/{task_id}/logs") as socket:
        await frames(socket, "entries")
        last = await _log(shared, task_id, *("y" * 60_000 for _ in range(20)), "z" * 600_000, "end")
        sizes: list[tuple[int, int]] = []
        found: list[dict[str, Any]] = []
        async with asyncio.timeout(DEADLINE):
            while not found or found[-1].get("through", 0) < last:
                text = await socket.recv()
                found.append(json.loads(text))
                if found[-1]["type"] == "entries":
                    sizes.append((len(text), len(found[-1]["entries"])))
    assert all(size <= FRAME_BYTES or count == 1 for size, count in sizes)
    for frame in found:
        if frame["type"] == "entries" and frame["entries"]:
            assert frame["through"] >= frame["entries"][-1]["seq"]
    assert max(size for size, _ in sizes) > 600_000


async def test_equal_filters_share_one_encoding(shared: Running) -> None:
    """Subscriptions with equal filters are sent the very same frames."""
    task_id = await _external(shared)
    path = f"/ws/tasks/{task_id}/logs?source=plugin&after=1"
    async with shared.socket(path) as first, shared.socket(path) as second:
        for socket in (first, second):
            await frames(socket, "task")
        last = await _log(shared, task_id, *(f"{n}" for n in range(10)))
        one, two = [await _through(socket, last) for socket in (first, second)]
        assert seqs(one) == seqs(two) == list(range(2, 12))
        live = shared.tasks.engine.hub.get(task_id)
        assert live is not None
        assert live.tail.covers(1)


def _deaf(url: str, task_id: str) -> sockets.socket:
    """A WebSocket client that never reads."""
    host, port = url.removeprefix("http://").split(":")
    deaf = sockets.create_connection((host, int(port)))
    deaf.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    deaf.sendall(
        f"GET /ws/tasks/{task_id}/logs HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    return deaf


@pytest.mark.asyncio(loop_scope="function")
async def test_a_client_that_answers_no_ping_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that neither reads nor goes away is dropped after a while, with what was kept for it."""
    monkeypatch.setattr(listening, "PING_SECONDS", 0.1)
    monkeypatch.setattr(listening, "PONG_SECONDS", 0.3)
    async with running(tmp_path) as service:
        task_id = await _external(service)
        deaf = _deaf(service.url, task_id)
        try:
            for _ in range(8):
                await _log(service, task_id, *("x" * 100_000 for _ in range(20)))
            live = service.tasks.engine.hub.get(task_id)
            assert live is not None
            await eventually(lambda: not live.watchers)
        finally:
            deaf.close()


async def test_a_client_that_stops_reading_holds_nobody_up(shared: Running) -> None:
    """Beside a client that reads nothing a fast one gets everything, and the server keeps nothing for the slow one."""
    task_id = await _external(shared)
    stuck = _deaf(shared.url, task_id)
    try:
        async with shared.socket(f"/ws/tasks/{task_id}/logs") as fast:
            last = 0
            for _ in range(12):
                last = await _log(shared, task_id, *("x" * 100_000 for _ in range(20)))
                await _through(fast, last)
        assert last == 241
        # 24 MB went by; what uvicorn holds for the stuck client is one frame and its buffer
        transports = [protocol.transport for protocol in _protocols()]
        assert max(transport.get_write_buffer_size() for transport in transports) < 1 << 20
    finally:
        stuck.close()
    await eventually(
        lambda: not [live for live in shared.tasks.engine.hub if live.task.id == task_id and live.watchers]
    )


def _protocols() -> list[Any]:
    import gc

    from asynclog.server.wsprotocol import WebSocketProtocol as Protocol

    return [found for found in gc.get_objects() if type(found) is Protocol and not found.transport.is_closing()]


async def test_invalid_text_is_closed_in_silence(shared: Running, caplog: pytest.LogCaptureFixture) -> None:
    """A text frame that is not UTF-8 closes the connection with 1007."""
    task_id = await _external(shared)
    async with shared.socket(f"/ws/tasks/{task_id}/logs") as socket:
        await socket.send(b"\xff\xfe", text=True)
        assert await _closed(socket) == 1007
    assert not [record for record in caplog.records if record.name.startswith("asynclog")]


async def test_times_filter_live_entries_as_stored_ones(shared: Running) -> None:
    """since and until mean the same for history and for what comes."""
    task_id = await _external(shared)
    day = 86_400_000_000
    since = timestamp_text(1_770_465_600_000_000)
    async with shared.socket(f"/ws/tasks/{task_id}/logs?since={since}&source=plugin") as socket:
        await frames(socket, "task")
        last = 0
        for offset in (-day, 0, day):
            last = await _log(shared, task_id, "x", timestamp=timestamp_text(1_770_465_600_000_000 + offset))
        live = seqs(await _through(socket, last))
    page = await shared.get(f"/api/tasks/{task_id}/logs", shapes.LogPage, since=since, source="plugin")
    assert live == [entry.seq for entry in page.entries] == [3, 4]
