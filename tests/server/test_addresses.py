"""Addresses and methods of every kind: one address for each thing, the same answer to HEAD, and no byte of an id that
does more than name something that is not there.
"""

from __future__ import annotations

import asyncio
import random
import re

import pytest

from asynclog.server import ownlog
from asynclog.server.routes import OPERATIONS
from tests.server.raw import Answer, head, wire
from tests.server.running import DEADLINE, Running

pytestmark = pytest.mark.asyncio(loop_scope="module")
IDS = (
    "%00", "x%00", "..", "%2e%2e", "%2E%2E%2F", "a%2Fb", "a%5Cb", "%ff", "%c0%af", "%ed%a0%80", "%F0%9F%98%80",
    "%E2%80%AE", "%0d%0aX-Evil:%201", "%0a", "%20", "%", "%zz", "%u0041", "*", "a;b", "a,b", "'", "%22", "--", "_",
    "-1", "0", "null", "1e400", "%3Fx=1", "%23", "%3C/script%3E", "x" * 5000, "%25%30%30",
)  # fmt: skip
GETS = [operation for operation in OPERATIONS if operation.method == "GET"]


async def ask(shared: Running, method: str, path: str, body: bytes = b"") -> Answer:
    """The answer to a path as it is written here: no client tidies it up."""
    async with wire(shared.url) as client:
        headers = (f"Content-Length: {len(body)}", "Content-Type: application/json") if body else ()
        client.say(head(f"{method} {path}", *headers), body)
        return await client.answer(head=method == "HEAD")


@pytest.mark.parametrize("id_", IDS, ids=lambda id_: id_[:20])
async def test_an_odd_id_names_nothing(shared: Running, id_: str) -> None:
    """Whatever stands in the place of an id, on every route: 404, or what the route says to its body and query; the
    answer is a problem, and no header of it is the client's.
    """
    for operation in OPERATIONS:
        if "{" not in operation.path:
            continue
        path = re.sub(r"\{\w+\}", lambda _: id_, operation.path)
        answer = await ask(shared, operation.method, path, b"{}" if operation.body else b"")
        if answer.status != 204:
            assert answer.status in (404, 422), (operation.method, path[:80], answer)
            answer.problem()
        assert "x-evil" not in answer.headers


async def test_each_thing_has_one_address(shared: Running) -> None:
    """A slash more, a slash that is escaped, another case or a detour is another address, where there is nothing; none
    is led elsewhere.
    """
    task_id = await shared.say("hello")
    for path in (
        f"/api/tasks/{task_id}%2Flogs",
        f"/api/tasks%2F{task_id}",
        f"/api/tasks/{task_id}/",
        f"/api//tasks/{task_id}",
        f"//api/tasks/{task_id}",
        f"/api/./tasks/{task_id}",
        f"/x/../api/tasks/{task_id}",
        f"/api/tasks/{task_id};x",
        f"/API/tasks/{task_id}",
        f"/api/tasks/{task_id.upper()}X",
        f"/api/tasks/%20{task_id}",
        f"/api/tasks/{task_id}%00",
    ):
        answer = await ask(shared, "GET", path)
        assert answer.status == 404, path
        assert "location" not in answer.headers


async def test_head_answers_as_get_everywhere(shared: Running) -> None:
    """HEAD of every address, of the ones that are not there, too, has the status and type of GET, and no body."""
    task_id = await shared.say("hello")
    for operation in GETS:
        path = operation.path.replace("{task_id}", task_id).replace("{name}", "talk").replace("{step_id}", "x")
        path = re.sub(r"\{\w+\}", "x", path)
        got, told = await shared.client.get(path), await ask(shared, "HEAD", path)
        assert (told.status, told.headers.get("content-type")) == (got.status_code, got.headers.get("content-type")), (
            path
        )
        assert (await shared.client.head(path)).content == b""


async def test_options_answers_everywhere(shared: Running) -> None:
    """OPTIONS of every address says which methods it takes; none of them lets another site's page in."""
    for operation in OPERATIONS:
        path = re.sub(r"\{\w+\}", "x", operation.path)
        answer = await ask(shared, "OPTIONS", path)
        assert answer.status == 204
        assert operation.method in answer.headers["allow"].split(", ")
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert (await ask(shared, "OPTIONS", "/nothing")).status == 404


REQUESTS = (
    head("GET /api/tasks?limit=1").encode(),
    head("POST /api/tasks", "Content-Length: 31", "Content-Type: application/json").encode()
    + b'{"external": true, "name": "x"}',
    head("POST /api/tasks", "Transfer-Encoding: chunked").encode() + b"8\r\n12345678\r\n0\r\n\r\n",
    head("GET /ws/tasks", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==").encode() + b"\x81\x82\x00\x00\x00\x00{}",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
async def test_bytes_gone_wrong_harm_nobody(shared: Running, seed: int, caplog: pytest.LogCaptureFixture) -> None:
    """Requests and frames with bytes flipped, cut, doubled and mixed are answered or hung up on; nothing fails here,
    and the service works afterwards.
    """
    dice = random.Random(seed)
    for _ in range(120):
        said = bytearray(b"".join(dice.choices(REQUESTS, k=dice.randint(1, 3))))
        for _ in range(dice.randint(0, 8)):
            at = dice.randrange(len(said))
            match dice.randrange(4):
                case 0:
                    said[at] = dice.randrange(256)
                case 1:
                    del said[at : at + dice.randint(1, 20)]
                case 2:
                    said[at:at] = said[at : at + dice.randint(1, 40)] * dice.randint(1, 3)
                case _:
                    said[at:at] = dice.randbytes(dice.randint(1, 10))
            said = said or bytearray(b"\r")
        async with wire(shared.url) as client:
            client.say(bytes(said))
            try:
                async with asyncio.timeout(0.05):
                    first = await client.reader.read(1 << 16)
            except (TimeoutError, ConnectionError):
                first = b""
            assert not re.match(rb"HTTP/1.1 5\d\d", first), (bytes(said), first)
    async with asyncio.timeout(DEADLINE):
        assert (await shared.client.get("/healthz")).status_code == 200
    news = [record for record in caplog.records if ownlog._is_news(record)]
    failures = [record for record in news if record.exc_info or record.levelname == "ERROR"]
    assert not [record.getMessage() for record in failures]
