"""How often one caller may ask, and how many tasks and schedules one may have."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynclog.cli.recorder import Recorder
from asynclog.cli.remote import RemoteService
from asynclog.errors import TooManyError
from asynclog.model import EVERYTHING
from asynclog.principal import Role
from asynclog.server.limits import AHEAD_SECONDS, Begun, Limits, Requests
from tests.server.running import DEADLINE, running

EXTERNAL = {"external": True, "name": "x"}


async def test_a_schedule_has_a_size(tmp_path: Path) -> None:
    """Schedules stay in memory, so one of more than 256 KiB is 413, when it is made and when it is changed."""
    async with running(tmp_path) as service:
        body = {"plugin": "talk", "interval": 1000, "params": {"a": "x" * (200 << 10)}}
        made = await service.post("/api/schedules", body, 201)
        assert (await service.client.get("/api/schedules")).json()["schedules"][0]["id"] == made["id"]
        body["params"] = {"a": "x" * (256 << 10)}
        assert (await service.client.post("/api/schedules", json=body)).status_code == 413
        path = f"/api/schedules/{made['id']}"
        assert (await service.client.patch(path, json={"params": body["params"]})).status_code == 413


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 0.4)), max_size=300))
def test_requests_are_even_in_the_long_run(asked: list[tuple[str, float]]) -> None:
    """Whoever asks is let in so many times a second, and those of two seconds at once; what is refused does not count,
    and nobody pays for another.
    """
    now, a_second = 1000.0, 5
    requests = Requests(lambda: now, a_second)
    let_in: dict[str, list[float]] = {"a": [], "b": []}
    for caller, gap in asked:
        now += gap
        try:
            requests.take(caller)
        except TooManyError as error:
            assert error.seconds == 1  # noqa: PT017  # the other half of the claim
            recent = [moment for moment in let_in[caller] if moment > now - AHEAD_SECONDS]
            assert len(recent) >= a_second * AHEAD_SECONDS
        else:
            let_in[caller].append(now)
    for moments in let_in.values():
        for number, moment in enumerate(moments):
            later = [other for other in moments[number:] if other < moment + 4]
            assert len(later) <= a_second * (AHEAD_SECONDS + 4) + 1


async def test_who_asks_too_often_is_told(tmp_path: Path) -> None:
    """Beyond its rate a key gets 429 with Retry-After, and a WebSocket is closed with 4429; other keys, the page and
    the health of the service are asked as before, and after a while it is answered again.
    """
    async with running(tmp_path, limits=Limits(requests_per_second=5)) as service:
        keys = [(await service.tasks.keys.create(name, Role.ADMIN, EVERYTHING))[1] for name in ("one", "two")]
        fast, slow = ({"Authorization": f"Bearer {key}"} for key in keys)
        answers = [await service.client.get("/api/plugins", headers=fast) for _ in range(30)]
        assert {answer.status_code for answer in answers} == {200, 429}
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.headers["retry-after"] == "1"
        assert "at most 5 requests a second" in refused.json()["detail"]
        async with service.socket("/ws/tasks", additional_headers=fast) as socket, asyncio.timeout(DEADLINE):
            await socket.wait_closed()
        assert socket.close_code == 4429
        assert (await service.client.get("/api/plugins", headers=slow)).status_code == 200
        for address in ("/healthz", "/readyz"):
            for _ in range(12):
                assert (await service.client.get(address)).status_code == 200
        async with asyncio.timeout(DEADLINE):
            while (await service.client.get("/api/plugins", headers=fast)).status_code != 200:
                await asyncio.sleep(0.05)


async def test_a_command_waits_for_its_turn(tmp_path: Path) -> None:
    """Whoever records a command's lines sends them again where that was too often; none is lost, none comes twice."""
    async with running(tmp_path, limits=Limits(requests_per_second=2)) as service:
        task_id = (await service.post("/api/tasks", EXTERNAL, 201))["id"]
        with Recorder(RemoteService(lambda: service.url), task_id) as recorder:
            for number in range(40):
                recorder.add("stdout", f"line {number}")
                if number < 8:
                    await recorder._deliver(recorder._spool.take(1 << 20))
            async with asyncio.timeout(DEADLINE):
                await recorder.close(asyncio.create_task(recorder.run()))
            assert recorder.dropped == 0
            assert not recorder.ended.is_set()
        page = await service.tasks.logs(task_id, source="stdout", limit=100)
        assert [entry.message for entry in page.entries] == [f"line {number}" for number in range(40)]


async def test_a_strangers_requests_do_not_count_for_a_key(tmp_path: Path) -> None:
    """Whoever is turned away at the door takes nothing from those who are let in."""
    async with running(tmp_path, limits=Limits(requests_per_second=1)) as service:
        key = (await service.tasks.keys.create("one", Role.ADMIN, EVERYTHING))[1]
        for _ in range(10):
            assert (await service.client.get("/api/plugins")).status_code == 401
        answer = await service.client.get("/api/plugins", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 200


async def test_open_tasks_are_bounded(tmp_path: Path) -> None:
    """One caller begins so many tasks, here or elsewhere, and the next is 429 until one has ended; another caller is
    not kept from it.
    """
    async with running(tmp_path, limits=Limits(tasks_per_key=2)) as service:
        keys = [(await service.tasks.keys.create(name, Role.ADMIN, EVERYTHING))[1] for name in ("one", "two")]
        many, other = ({"Authorization": f"Bearer {key}"} for key in keys)

        async def begin(headers: dict[str, str], **body: object) -> int:
            answer = await service.client.post("/api/tasks", json=body, headers=headers)
            made.append(answer.json().get("id"))
            if answer.status_code == 429:
                assert "at most 2 open tasks" in answer.json()["detail"]
                assert answer.headers["retry-after"] == "10"
            return answer.status_code

        made: list[str] = []
        assert await begin(many, **EXTERNAL) == 201
        assert await begin(many, plugin="no such plugin") == 422
        assert await begin(many, plugin="hold") == 201
        assert await begin(many, **EXTERNAL) == 429
        assert await begin(many, plugin="hold") == 429
        assert await begin(other, **EXTERNAL) == 201
        await service.client.post(f"/api/tasks/{made[0]}/finish", json={"status": "success"}, headers=many)
        assert await begin(many, **EXTERNAL) == 201
        assert await begin(many, **EXTERNAL) == 429
        assert (await service.client.post(f"/api/tasks/{made[2]}/cancel", headers=many)).status_code == 202
        await service.tasks.wait(made[2])
        assert await begin(many, **EXTERNAL) == 201


async def test_many_at_once_are_no_way_around(tmp_path: Path) -> None:
    """Tasks that are begun at the same time count before they are begun."""
    async with running(tmp_path, limits=Limits(tasks_per_key=3)) as service:
        posts = (service.client.post("/api/tasks", json={"plugin": "hold"}) for _ in range(12))
        answers = await asyncio.gather(*posts)
        assert sorted(answer.status_code for answer in answers) == [201] * 3 + [429] * 9


def test_what_has_ended_is_forgotten() -> None:
    """Of callers whose tasks have ended nothing is kept, and what fails to begin does not count."""
    still_open: set[str] = set()
    begun = Begun(2, still_open.__contains__)
    for number in range(50):
        with begun.one_more(f"caller {number % 7}") as one:
            one(f"task {number}")
    with pytest.raises(RuntimeError), begun.one_more("caller 0"):
        raise RuntimeError
    still_open.update({"task 100", "task 101"})
    for number in (100, 101):
        with begun.one_more("caller 0") as one:
            one(f"task {number}")
    with pytest.raises(TooManyError), begun.one_more("caller 0"):
        pass
    assert begun._ids == {"caller 0": {"task 100", "task 101"}}


async def test_schedules_are_bounded(tmp_path: Path) -> None:
    """A caller who sees as many schedules as there may be makes no further one, until one is removed."""
    async with running(tmp_path, limits=Limits(schedules_per_key=2)) as service:
        body = {"plugin": "hold", "interval": 3600}
        made = [await service.post("/api/schedules", body, 201) for _ in range(2)]
        refused = await service.client.post("/api/schedules", json=body)
        assert refused.status_code == 429
        assert "there are 2 schedules" in refused.json()["detail"]
        assert (await service.client.delete(f"/api/schedules/{made[0]['id']}")).status_code == 204
        await service.post("/api/schedules", body, 201)


def test_whoever_has_too_much_costs_no_more_than_that() -> None:
    """A caller who has as many tasks as one may, and asks on, has only its own looked at, not everybody's."""
    looked_at: list[str] = []

    def is_open(task_id: str) -> bool:
        looked_at.append(task_id)
        return True

    begun = Begun(2, is_open)
    for number in range(20):
        with begun.one_more(f"caller {number // 2}") as one:
            one(f"task {number}")
    with pytest.raises(TooManyError), begun.one_more("caller 3"):
        pass
    assert sorted(looked_at) == ["task 6", "task 7"]
