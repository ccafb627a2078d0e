"""Large values in bodies: what is kept of them is made beside the event loop, and is the same as of small ones."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from asynclog import values
from asynclog.model import EVERYTHING
from asynclog.principal import Role
from tests.server.raw import Wire, head, wire
from tests.server.running import DEADLINE, Running, running

SECRETS = {"a": [f"GET https://host/x?token=abc{number}" for number in range(10_000)]}
"""A quarter of a second of looking for secrets, about."""


async def _begun(service: Running) -> str:
    return str((await service.post("/api/tasks", {"external": True, "name": "x"}, 201))["id"])


def _posted(path: str, body: Any, *headers: str) -> tuple[bytes, bytes]:
    """A request but for its last byte, and that; the body is JSON, or comes as bytes and with its type."""
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    kind = [] if isinstance(body, bytes) else ["Content-Type: application/json"]
    first = head(f"POST {path}", f"Content-Length: {len(data)}", *kind, *headers)
    return first.encode() + data[:-1], data[-1:]


async def _answered_first(service: Running, path: str, body: Any, *headers: str) -> int:
    """Say so, and ask for something else until that is answered: the status. Others are answered before."""
    async with wire(service.url) as slow, wire(service.url) as other, asyncio.timeout(DEADLINE):
        most, last = _posted(path, body, *headers)
        await _send(slow, other, most)
        slow.say(last)
        answer = asyncio.create_task(slow.answer())
        for _ in range(3):
            await _ask(other)
            assert not answer.done(), "it was answered before what was asked later, or kept that waiting"
        return (await answer).status


async def _send(slow: Wire, other: Wire, data: bytes) -> None:
    """Send, and let the service read it."""
    slow.say(data)
    await slow.writer.drain()
    for _ in range(30):
        await _ask(other)


async def _ask(other: Wire) -> None:
    other.say(head("GET /healthz"))
    assert (await other.answer()).status == 200


@pytest.mark.parametrize("field", ["params", "trigger_data", "metadata"])
async def test_a_large_start_keeps_nobody_waiting(service: Running, field: str) -> None:
    """While it is looked through what a task is started with, here or elsewhere, others are answered."""
    begin = {"external": True, "name": "x"} if field == "metadata" else {"plugin": "talk"}
    assert await _answered_first(service, "/api/tasks", begin | {field: SECRETS}) == 201


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("stages", {"name": "load", "result": SECRETS}),
        ("steps", {"node_id": "fetch", "input_data": SECRETS}),
        ("steps", {"node_id": "fetch", "output_data": SECRETS}),
        ("steps", {"node_id": "fetch", "unit": " ".join(SECRETS["a"])}),
    ],
)
async def test_a_large_report_keeps_nobody_waiting(service: Running, path: str, body: Any) -> None:
    """While it is looked through what an external task tells, others are answered."""
    assert await _answered_first(service, f"/api/tasks/{await _begun(service)}/{path}", body) == 200


async def test_a_large_webhook_keeps_nobody_waiting(tmp_path: Path) -> None:
    """While a webhook's large form is read, and looked through, others are answered."""
    async with running(tmp_path, hooks={"form": {"plugin": "talk", "secret": "correct horse"}}) as service:
        headers = "X-Asynclog-Hook-Secret: correct horse", "Content-Type: application/x-www-form-urlencoded"
        body = b"text=" + b"%41" * (1 << 20)
        assert await _answered_first(service, "/api/hooks/form", body, *headers) == 201
        [task] = (await service.client.get("/api/tasks")).json()["tasks"]
        assert task["trigger_data"]["_truncated"] is True


async def test_a_large_value_is_kept_as_a_small_one(service: Running) -> None:
    """What is kept of a large value is what `capture` says, and the plugin gets all of it."""
    entries = [{"message": f"password=hunter2 {number}", "unit": "candidate"} for number in range(3000)]
    params = {"entries": entries, "password": "hunter2"}
    task = await service.post("/api/tasks", {"plugin": "talk", "params": params}, 201)
    assert task["params"] == msgspec.json.decode(values.capture(params, service.tasks.engine.settings["max_data_size"]))
    ended = await service.tasks.wait(task["id"])
    assert ended.result == {"entries": 3000}
    assert task["params"]["_truncated"] is True
    assert "hunter2" not in str(task)


async def test_whoever_is_gone_meanwhile_starts_nothing(service: Running) -> None:
    """A key that is revoked while its value is looked through starts nothing any more."""
    keys = service.tasks.keys
    await keys.create("boss", Role.ADMIN, EVERYTHING)
    key, text = await keys.create("gone", Role.OPERATOR, EVERYTHING)
    body = {"external": True, "name": "x", "params": [SECRETS] * 8}
    async with wire(service.url) as slow, wire(service.url) as other, asyncio.timeout(DEADLINE):
        most, last = _posted("/api/tasks", body, f"X-API-Key: {text}")
        await _send(slow, other, most)
        slow.say(last)
        answer = asyncio.create_task(slow.answer())
        for _ in range(3):
            await _ask(other)
        await keys.revoke(key.id)
        told = await answer
        assert (told.status, "in the middle" in told.body.decode()) == (401, True), told
    assert not [live.task for live in service.tasks.engine.hub if live.task.external]
