"""How much one caller may have at a time, and what the next one is told."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from asynclog.config import load
from asynclog.errors import TooManyError, UnavailableError
from asynclog.model import EVERYTHING
from asynclog.principal import Role
from asynclog.server import logsocket
from asynclog.server.limits import EXPORTS_EACH, Limits, Pace, Places
from tests.server.raw import head, wire
from tests.server.running import DEADLINE, Running, frames, running


async def _closed(socket: ClientConnection) -> tuple[int | None, str | None]:
    async with asyncio.timeout(DEADLINE):
        await socket.wait_closed()
    return socket.close_code, socket.close_reason


async def _admitted(service: Running, stack: AsyncExitStack, **headers: str) -> ClientConnection:
    """A WebSocket that is served, once there is room: the service learns a moment later than we that one is closed."""
    async with asyncio.timeout(DEADLINE):
        while True:
            socket = await stack.enter_async_context(service.socket("/ws/tasks", additional_headers=headers))
            try:
                await socket.recv()
            except ConnectionClosed:
                await asyncio.sleep(0.01)
            else:
                return socket


async def test_subscriptions_are_bounded(tmp_path: Path) -> None:
    """One key, or one address where nobody has a key, has so many WebSockets at a time: the next one is closed with
    4429 and a reason. Beyond what there may be in all it is 1013. What was closed makes room.
    """
    limits = Limits(subscriptions=3, subscriptions_per_key=2)
    async with running(tmp_path, limits=limits) as service, AsyncExitStack() as stack:
        first = await stack.enter_async_context(service.socket("/ws/tasks"))
        task_id = (await service.post("/api/tasks", {"external": True, "name": "x"}, 201))["id"]
        second = await stack.enter_async_context(service.socket(f"/ws/tasks/{task_id}/logs"))
        await frames(first, "tasks")
        await frames(second, "task")
        code, reason = await _closed(await stack.enter_async_context(service.socket("/ws/tasks")))
        assert code == 4429
        assert "at most 2 subscriptions" in str(reason)
        await second.close()
        third = await _admitted(service, stack)

        keys = [
            (await service.tasks.keys.create(name, Role.ADMIN, EVERYTHING))[1] for name in ("one", "two")
        ]  # ends open mode
        await _closed(first)
        await _closed(third)
        for key, code in ((keys[0], None), (keys[0], None), (keys[0], 4429), (keys[1], None), (keys[1], 1013)):
            authorised = {"Authorization": f"Bearer {key}"}
            if code is None:
                await _admitted(service, stack, **authorised)
            else:
                socket = await stack.enter_async_context(service.socket("/ws/tasks", additional_headers=authorised))
                assert (await _closed(socket))[0] == code


async def test_exports_are_bounded(service: Running) -> None:
    """One client has eight exports at a time, however slowly it reads them; the next one is 429 and says so."""
    task_id = await service.say(*({"message": "x" * 1000, "times": 100} for _ in range(150)))
    async with AsyncExitStack() as stack:
        for _ in range(EXPORTS_EACH):
            client = await stack.enter_async_context(wire(service.url))
            client.say(head(f"GET /api/tasks/{task_id}/logs/export"))
            assert (await client.reader.readline()).split()[1] == b"200"
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it reads
        refused = await service.client.get(f"/api/tasks/{task_id}/logs/export")
        assert refused.status_code == 429, refused.text
        assert "at most 8 exports" in refused.json()["detail"]
        assert refused.headers["retry-after"] == "10"
    async with asyncio.timeout(DEADLINE):
        while (await service.client.get(f"/api/tasks/{task_id}/logs/export")).status_code != 200:
            await asyncio.sleep(0.01)


async def test_an_export_that_is_only_looked_at_takes_no_place(service: Running) -> None:
    """HEAD of an export leaves nothing behind."""
    task_id = await service.say("hello")
    for _ in range(EXPORTS_EACH + 2):
        assert (await service.client.head(f"/api/tasks/{task_id}/logs/export")).status_code == 200


async def test_a_client_that_talks_too_fast_waits(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames beyond the pace are answered later, in order, and none is lost."""
    told: list[float] = []

    class Told(Pace):
        def delay(self) -> float:
            told.append(super().delay())
            return min(told[-1], 0.001)

    monkeypatch.setattr(logsocket, "Pace", Told)
    task_id = (await service.post("/api/tasks", {"external": True, "name": "x"}, 201))["id"]
    async with service.socket(f"/ws/tasks/{task_id}/logs") as socket:
        for n in range(250):
            await socket.send(json.dumps({"type": "filter", "ref": str(n), "filter": {}, "after": 0}))
        for n in range(250):
            assert (await frames(socket, "filter"))[-1]["ref"] == str(n)
    assert not any(told[:200])
    assert told[-1] > 0


@given(gaps=st.lists(st.floats(0, 3), max_size=200))
def test_the_pace_is_kept(gaps: list[float]) -> None:
    """Whoever waits as told goes on at most so many times at once, and then so many times a second."""
    now = 0.0
    pace = Pace(lambda: now, at_once=5, a_second=2.0)
    moments = []
    for gap in gaps:
        now += gap
        now += pace.delay()
        moments.append(now)
    for number, moment in enumerate(moments):
        later = [other for other in moments[number:] if other < moment + 10]
        assert len(later) <= 5 + 20 + 1


def test_places_are_given_back() -> None:
    """A place is the caller's inside the block only, whatever happens there."""
    places = Places("things", in_all=2, each=1)
    with pytest.raises(RuntimeError), places.taken("a"):
        raise RuntimeError
    with places.taken("a"), places.taken("b"):
        with pytest.raises(TooManyError, match="at most 1 things"), places.taken("a"):
            pass
        with pytest.raises(UnavailableError, match="at most 2 things"), places.taken("c"):
            pass
    assert not places._taken


def test_the_limits_can_be_configured(tmp_path: Path) -> None:
    """[server] of asynclog.toml, and variables, say how much there may be."""
    file = tmp_path / "asynclog.toml"
    file.write_text("[server]\nconnections = 7\nsubscriptions = 5\n", encoding="utf-8")
    server = load({}, {"ASYNCLOG_SUBSCRIPTIONS_PER_KEY": "3"}, file).server
    assert Limits.of(server) == Limits(connections=7, subscriptions=5, subscriptions_per_key=3)
    assert Limits.of(load({}, {}).server) == Limits()


async def test_a_page_of_tasks_ends_at_8_mib(service: Running) -> None:
    """However large tasks are and however many are asked for, a page holds 8 MiB of them, and the pages together each
    task once, in order; one that is larger than all that comes alone.
    """
    large = "x" * 90_000
    made = []
    for number in range(50):
        sent = {"external": True, "name": f"n{number}", "params": large, "trigger_data": large, "metadata": [large]}
        made.append((await service.post("/api/tasks", sent, 201))["id"])
    for order in ("asc", "desc"):
        found: list[str] = []
        sizes = []
        cursor: dict[str, str] = {}
        while True:
            answer = await service.client.get("/api/tasks", params={"limit": "500", "order": order, **cursor})
            sizes.append(len(answer.content))
            found += [task["id"] for task in answer.json()["tasks"]]
            if answer.json()["next"] is None:
                break
            cursor = {"cursor": answer.json()["next"]}
        assert found == (made if order == "asc" else made[::-1])
        assert len(sizes) == 2
        assert max(sizes) < (8 << 20) + 4 * len(large)
