"""Connections that are slow, endless, malformed or greedy, byte by byte: each ends in a sentence, and harms nobody."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio

from asynclog.server import listening, protocol
from asynclog.server.limits import Limits
from asynclog.server.service import Service
from asynclog.server.wsprotocol import WebSocketProtocol
from tests.server.raw import Wire, head, wire
from tests.server.running import DEADLINE, Running, eventually, running

pytestmark = pytest.mark.asyncio(loop_scope="module")
UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
)
KIB = b"y" * 1024


@pytest_asyncio.fixture(loop_scope="module")
async def client(shared: Running) -> AsyncIterator[Wire]:
    """A connection; the service answers others after it."""
    async with wire(shared.url) as found:
        yield found
    assert (await shared.client.get("/healthz")).status_code == 200


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that waits only briefly."""
    monkeypatch.setattr(listening, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)


# --- what is no request ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"get / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"MADEUP / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /healthz HTTP/3.0\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /api/tasks/\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\x00b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\r\n b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\nHost: 127.0.0.1\n\n",
        head("GET /ws/tasks?text=\xff", *UPGRADE).encode("latin-1"),
        head("POST /api/tasks", "Transfer-Encoding: chunked").encode() + b"5\r\nabcde\r\nZZ\r\n",
    ],
)
async def test_what_is_no_request_is_400(client: Wire, said: bytes) -> None:
    """Bytes that are no HTTP/1.1, or that proxies and servers read in different ways, are 400 as a problem, dressed
    like every answer, and the connection ends.
    """
    client.say(said)
    answer = await client.answer()
    assert answer.status == 400
    answer.problem()
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-content-type-options"] == "nosniff"
    await client.closed()


@pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "PATCH", "M-SEARCH", "QUERY"])
async def test_other_methods_are_405(client: Wire, method: str) -> None:
    """A method that HTTP knows and the address does not is 405 with those it does, and the connection goes on."""
    client.say(head(f"{method} /healthz"))
    answer = await client.answer()
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    answer.problem()
    client.say(head("GET /healthz"))
    assert (await client.answer()).status == 200


async def test_the_faulty_request_is_answered_in_its_turn(client: Wire) -> None:
    """Answers to what came before a broken request are given first, whole; then comes the 400, and the end."""
    client.say(head("POST /api/tasks", "Content-Length: 2"), b'{}{"plugin": "talk"}\r\n\r\n')
    assert (await client.answer()).problem()["parameter"] == "plugin"
    assert (await client.answer()).status == 400
    await client.closed()


async def test_who_says_nothing_more_is_answered(shared: Running) -> None:
    """A client that ends its side of the connection behind its requests (`nc -N`) gets all answers, and then the end;
    one that does so within a request is gone.
    """
    task_id = await shared.say("one")
    ask = head(f"GET /api/tasks/{task_id}/logs")
    async with wire(shared.url) as client:
        client.say(ask, ask, ask)
        client.writer.write_eof()
        answers = [await client.answer() for _ in range(3)]
        assert [answer.status for answer in answers] == [200] * 3
        assert answers[2].headers["connection"] == "close"
        await client.closed()
    async with wire(shared.url) as client:
        client.say(head("POST /api/tasks", "Content-Length: 9"), "{")
        client.writer.write_eof()
        await client.closed()


async def test_http_1_0_is_answered(client: Wire) -> None:
    """Old clients get their answer, and the connection ends."""
    client.say("GET /healthz HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
    answer = await client.answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    await client.closed()


async def test_another_upgrade_is_passed_over(client: Wire) -> None:
    """Whoever asks for HTTP/2 is answered in HTTP/1.1, and told that the connection ends."""
    client.say(head("GET /healthz", "Upgrade: h2c", "Connection: Upgrade"))
    answer = await client.answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    await client.closed()


# --- size ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (head("GET /healthz", *(f"X-{n}: y" for n in range(150))), 431),
        (head("GET /healthz", f"X: {'y' * 70_000}"), 431),
        (head(f"GET /healthz?{'y' * 40_000}"), 414),
        (head("GET /ws/tasks", *UPGRADE, f"X: {'y' * 9000}"), 431),
        (head(f"GET /ws/tasks?text={'y' * 9000}", *UPGRADE), 431),
        (head("GET /ws/tasks", *UPGRADE, "Content-Length: 2") + "{}", 431),
    ],
    ids=["many lines", "a long line", "a long address", "a long line ws", "a long address ws", "a body ws"],
)
async def test_a_large_head_is_refused(client: Wire, said: str, status: int) -> None:
    """A head of more than 64 KiB or 100 lines is 431, an address of more than 32 KiB 414, for WebSockets a line of
    more than 8 KiB 431; each ends the connection.
    """
    client.say(said)
    answer = await client.answer()
    assert answer.status == status
    answer.problem()
    await client.closed()


@pytest.mark.parametrize(
    "begun",
    [
        "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ",
        "GET /healthz?",
        head("POST /api/tasks", "Transfer-Encoding: chunked") + "1;",
        head("POST /api/tasks", "Transfer-Encoding: chunked") + "2\r\n{}\r\n0\r\nX: ",
    ],
    ids=["header", "address", "chunk extension", "trailer"],
)
async def test_what_never_ends_is_refused(client: Wire, begun: str) -> None:
    """A header, an address, a chunk's extension or a trailer without end is cut off, and no memory holds it."""
    client.say(begun)
    try:
        async with asyncio.timeout(DEADLINE):
            while not client.reader.at_eof() and not client.reader._buffer:  # type: ignore[attr-defined]  # peeked
                client.say(KIB * 16)
                await client.writer.drain()
                await asyncio.sleep(0)
    except ConnectionError:
        return  # it hung up while we went on talking
    assert (await client.answer()).status in (414, 431)


async def test_trailers_change_nothing(client: Wire) -> None:
    """What stands behind a chunked body is no header: nobody comes in by it, and the next request is its own."""
    client.say(head("POST /api/tasks", "Transfer-Encoding: chunked"), "2\r\n{}\r\n0\r\nHost: evil.example\r\n\r\n")
    client.say(head("GET /healthz"))
    assert (await client.answer()).status == 422
    assert (await client.answer()).status == 200


async def test_requests_that_wait_are_bounded(client: Wire) -> None:
    """Of requests that are sent without waiting for answers 32 may wait; the next one is 429, after their answers."""
    client.say(head("GET /healthz") * 32)
    for _ in range(32):
        assert (await client.answer()).status == 200
    client.say(head("GET /healthz") * 2000)
    statuses: list[int] = []
    while not statuses or statuses[-1] == 200:
        statuses.append((await client.answer()).status)
    assert (len(statuses), statuses[-1]) == (34, 429)
    await client.closed()


async def test_an_upgrade_waits_for_nobody(client: Wire) -> None:
    """A WebSocket asked for while answers are owed is 400 after them: two protocols never share a connection."""
    client.say(head("GET /healthz"), head("GET /ws/tasks", *UPGRADE))
    assert (await client.answer()).status == 200
    assert (await client.answer()).status == 400
    await client.closed()


# --- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("begun", "drop"),
    [("", ""), ("G", ""), ("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n", "X: y\r\n"), ("\r\n", "\r\n")],
)
async def test_a_head_that_does_not_come_is_not_waited_for(client: Wire, begun: str, drop: str) -> None:
    """Whoever connects and sends no whole head in time, dripping or silent, is hung up on; 408 if there was a part."""
    client.say(begun)
    dripping = asyncio.create_task(_drip(client, drop))
    try:
        if begun.strip():
            assert (await client.answer()).status == 408
        await client.closed()
    finally:
        dripping.cancel()


@pytest.mark.usefixtures("impatient")
async def test_a_kept_connection_is_not_kept_by_dripping(client: Wire) -> None:
    """After an answer the next head has as long as the first one: empty lines keep no connection open."""
    client.say(head("GET /healthz"))
    assert (await client.answer()).status == 200
    dripping = asyncio.create_task(_drip(client, "\r\n"))
    await client.closed()
    dripping.cancel()


@pytest.mark.usefixtures("impatient")
async def test_a_body_nobody_asked_for_is_not_taken_for_ever(client: Wire) -> None:
    """A request is answered without its body where it needs none; whoever goes on sending it is hung up on."""
    client.say(head("GET /healthz", "Transfer-Encoding: chunked"))
    assert (await client.answer()).status == 200
    dripping = asyncio.create_task(_drip(client, "1\r\nx\r\n"))
    await client.closed()
    dripping.cancel()


async def _drip(client: Wire, drop: str) -> None:
    while True:
        client.say(drop)
        await asyncio.sleep(0.05)


async def test_who_reads_no_answer_is_let_go(shared: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that asks for a large answer and takes nothing of it is cut off, and what was held for it is free."""
    monkeypatch.setattr(listening, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(protocol, "STALL_SECONDS", 0.3)
    task_id = await shared.say(*({"message": "x" * 1000, "times": 100} for _ in range(150)))
    async with wire(shared.url) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it reads
        client.say(head(f"GET /api/tasks/{task_id}/logs/export"))
        exports = _service(shared).exports
        await eventually(lambda: bool(exports._taken))
        await eventually(lambda: not exports._taken)


def _service(shared: Running) -> Service:
    return cast("Service", next(found for found in _living(Service) if found.tasks is shared.tasks))


def _living(kind: type[Any]) -> list[Any]:
    return [found for found in gc.get_objects() if type(found) is kind]


async def test_answers_nobody_takes_are_bounded(
    shared: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Clients that ask for large answers and take nothing of them are cut off once that is more than the service can
    hold, long before each of them would have been; it says so, and others are answered.
    """
    task_id = await shared.say(*({"message": "x" * 1000, "times": 100} for _ in range(80)))
    monkeypatch.setattr(listening, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(protocol, "UNTAKEN_BYTES", 1 << 20)
    async with AsyncExitStack() as stack:
        stuck = [await stack.enter_async_context(wire(shared.url)) for _ in range(3)]
        for client in stuck:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it reads
            client.say(head(f"GET /api/tasks/{task_id}/logs?limit=5000"))
        await eventually(lambda: sum(_cut(record) for record in caplog.records) == 3)
        read = await shared.client.get(f"/api/tasks/{task_id}/logs?limit=10")
        assert len(read.json()["entries"]) == 10


def _cut(record: logging.LogRecord) -> int:
    """How many clients a record says were cut off."""
    found = re.match(r"(\d+) clients that took too little", record.getMessage())
    return int(found[1]) if found else 0


# --- how many --------------------------------------------------------------------------------------------------------


async def test_connections_are_bounded(tmp_path: Path) -> None:
    """Beyond the limit, and beyond half of it from one address, a connection is 503 and ends; the others go on, and
    when one ends there is room again.
    """
    async with running(tmp_path, limits=Limits(connections=10)) as service, AsyncExitStack() as stack:
        first = [await stack.enter_async_context(wire(service.url)) for _ in range(5)]
        for client in first:
            client.say(head("GET /healthz"))
            assert (await client.answer()).status == 200
        async with wire(service.url) as one_more:
            answer = await one_more.answer()
            assert answer.status == 503
            assert "connections" in answer.problem()["detail"]
            await one_more.closed()
        first[0].say(head("GET /healthz"))
        assert (await first[0].answer()).status == 200
        first[1].writer.close()
        await first[1].closed()
        async with wire(service.url) as again:
            again.say(head("GET /healthz"))
            assert (await again.answer()).status == 200


# --- WebSockets ------------------------------------------------------------------------------------------------------


async def test_pongs_are_not_kept_for_who_does_not_read(shared: Running) -> None:
    """A client that sends pings and reads no pongs costs a bounded amount of memory, however many it sends."""
    task_id = (await shared.post("/api/tasks", {"external": True, "name": "x"}, 201))["id"]
    async with wire(shared.url) as client:
        client.say(head(f"GET /ws/tasks/{task_id}/logs", *UPGRADE))
        assert (await client.answer()).status == 101
        (server,) = (found for found in _living(WebSocketProtocol) if not found.transport.is_closing())
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it reads
        # the kernel's buffers would hold it for long
        server.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        ping = b"\x89\xfd\x00\x00\x00\x00" + b"p" * 125
        for _ in range(100):
            client.say(ping * 500)
            await asyncio.wait_for(client.writer.drain(), DEADLINE)
        assert server.transport.get_write_buffer_size() < 1 << 19


@pytest.mark.parametrize(
    "flood",
    [
        b"\x81\x80\x00\x00\x00\x00" * 20_000,
        b"\x01\x80\x00\x00\x00\x00" + b"\x00\x80\x00\x00\x00\x00" * 20_000,
    ],
    ids=["empty frames", "empty pieces"],
)
async def test_frames_nobody_reads_are_bounded(shared: Running, flood: bytes) -> None:
    """Thousands of frames in one gulp, or of pieces of one frame, close the connection; they do not pile up."""
    task_id = (await shared.post("/api/tasks", {"external": True, "name": "x"}, 201))["id"]
    async with shared.socket(f"/ws/tasks/{task_id}/logs") as socket:
        socket.transport.write(flood)
        async with asyncio.timeout(DEADLINE):
            await socket.wait_closed()
        assert socket.close_code in (1008, 1006)


async def test_who_takes_no_goodbye_is_let_go(shared: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A WebSocket that has ended does not stay open because the client takes nothing of what was sent before."""
    monkeypatch.setattr(listening, "LOOK_SECONDS", 0.1)
    task_id = await shared.say(*({"message": "x" * 1000, "times": 100} for _ in range(150)))
    async with wire(shared.url) as client:
        client.say(head(f"GET /ws/tasks/{task_id}/logs", *UPGRADE))
        assert (await client.answer()).status == 101
        (server,) = (found for found in _living(WebSocketProtocol) if not found.transport.is_closing())
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it reads
        await eventually(lambda: server.transport.get_write_buffer_size() > 0)
        client.say(b"\x88\x80\x00\x00\x00\x00")  # it says goodbye, and waits for nothing
        await eventually(server.transport.is_closing)
        assert not server.disconnected
        monkeypatch.setattr(protocol, "STALL_SECONDS", 0.3)
        await eventually(lambda: server.disconnected)
