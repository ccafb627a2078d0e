"""Schedules and webhooks over HTTP, run files in readiness and metrics."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from asynclog import InvalidError, Task, TaskContext
from asynclog.live import Live
from asynclog.server import scheduleshapes, shapes
from asynclog.testing import FaultyDisk
from tests.server.running import DEADLINE, Running, running

SECRET = "correct horse"
HOOKS = {
    "push": {"plugin": "echo", "secret": SECRET, "params": {"why": "pushed", "token": "hidden"}, "account": "acme"},
    "hashed": {"plugin": "echo", "secret": "sha256:" + hashlib.sha256(SECRET.encode()).hexdigest()},
}
HEADER = {"X-Asynclog-Hook-Secret": SECRET}


async def echo(params: dict[str, Any], context: TaskContext) -> Any:
    """Gives back what it was started with."""
    return {"params": params, "trigger": context.trigger_data}


async def wait(_params: object, context: TaskContext) -> None:
    """Runs until it is cancelled."""
    context.logger.info("waiting")
    await asyncio.Event().wait()


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Running]:
    """A service with hooks."""
    async with running(tmp_path / "data", plugins={"echo": echo, "wait": wait}, hooks=HOOKS) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """The same, for all tests of this module that make no schedule."""
    async with running(tmp_path_factory.mktemp("data"), plugins={"echo": echo, "wait": wait}, hooks=HOOKS) as found:
        yield found


async def ended(service: Running, task_id: str) -> Any:
    """The task once it has ended."""
    await service.tasks.wait(task_id)
    return (await service.client.get(f"/api/tasks/{task_id}")).json()


async def test_a_schedule_from_making_to_removing(service: Running) -> None:
    """A schedule is made, listed, shown, run, paused, resumed and removed over HTTP, in its documented shape."""
    client = service.client
    body = {"plugin": "echo", "cron": "0 3 * * *", "time_zone": "Europe/Berlin", "params": {"password": "x", "n": 1}}
    made = await service.post("/api/schedules", body, 201)
    path = f"/api/schedules/{made['id']}"
    shown = await service.get(path, scheduleshapes.Schedule)
    assert (shown.cron, shown.interval, shown.time_zone, shown.paused) == ("0 3 * * *", None, "Europe/Berlin", False)
    assert shown.params == {"password": "[redacted]", "n": 1}
    assert shown.next_at is not None
    assert [one.id for one in (await service.get("/api/schedules", scheduleshapes.Schedules)).schedules] == [made["id"]]

    task = await service.post(f"{path}/run", None, 201)
    found = await ended(service, task["id"])
    assert (found["trigger_type"], found["schedule_id"], found["status"]) == ("schedule", made["id"], "success")
    assert found["result"]["params"]["n"] == 1
    listed = (await client.get("/api/tasks", params={"schedule": made["id"]})).json()["tasks"]
    assert [one["id"] for one in listed] == [task["id"]]

    paused = (await client.patch(path, json={"paused": True})).json()
    assert (paused["paused"], paused["next_at"]) == (True, None)
    resumed = (await client.patch(path, json={"paused": False, "interval": 90})).json()
    assert (resumed["cron"], resumed["interval"], resumed["paused"]) == (None, 90, False)
    assert (await client.delete(path)).status_code == 204
    for method in ("GET", "DELETE"):
        assert (await client.request(method, path)).status_code == 404
    assert (await client.patch(path, json={})).status_code == 404
    assert (await client.post(f"{path}/run")).status_code == 404


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({"plugin": "nobody", "interval": 60}, "plugin"),
        ({"plugin": "echo"}, "cron"),
        ({"plugin": "echo", "cron": "nonsense"}, "cron"),
        ({"plugin": "echo", "interval": 0.1}, "interval"),
        ({"plugin": "echo", "interval": 60, "time_zone": "Mars"}, "time_zone"),
        ({"plugin": "echo", "interval": 60, "missed": "twice"}, "missed"),
        ({"plugin": "echo", "interval": 60, "colour": "red"}, "colour"),
        ({"interval": 60}, "plugin"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_bad_schedule_is_refused(shared: Running, body: dict[str, Any], parameter: str) -> None:
    """What cannot be scheduled is 422 and names the field; nothing is."""
    response = await shared.client.post("/api/schedules", json=body)
    assert response.status_code == 422
    assert response.json()["parameter"] == parameter
    assert (await shared.client.get("/api/schedules")).json()["schedules"] == []


async def test_a_run_beside_another_is_refused(service: Running) -> None:
    """While a schedule's task runs, another by hand is 409; the schedule shows which one runs."""
    made = await service.post("/api/schedules", {"plugin": "wait", "interval": 3600}, 201)
    path = f"/api/schedules/{made['id']}"
    task = await service.post(f"{path}/run", None, 201)
    assert (await service.client.get(path)).json()["running_task_id"] == task["id"]
    assert (await service.client.post(f"{path}/run")).status_code == 409
    await service.client.post(f"/api/tasks/{task['id']}/cancel")
    await service.tasks.wait(task["id"])
    assert (await service.client.get(path)).json()["running_task_id"] is None


async def test_the_list_looks_at_each_running_task_once(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a list of schedules costs grows with the schedules and the running tasks, not with one times the other."""
    for number in range(20):
        await service.tasks.scheduler.create({"plugin": "echo", "interval": 86_400.0, "name": f"every day {number}"})
        service.tasks.external.start(f"running {number}")
    looks = 0
    task: property = vars(Live)["task"]

    def looked_at(live: Live) -> Task:
        nonlocal looks
        looks += 1
        found: Task = task.__get__(live)
        return found

    await service.tasks.engine.settle()
    monkeypatch.setattr(Live, "task", property(looked_at))
    assert len((await service.get("/api/schedules", scheduleshapes.Schedules)).schedules) == 20
    assert looks < 60


async def test_a_webhook_starts_a_plugin(service: Running) -> None:
    """With its secret a hook starts its plugin; body, query and safe headers are the trigger data, secrets are not."""
    headers = HEADER | {
        "Authorization": "Bearer abcdefghijklmnop",
        "Cookie": "session=1",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": "72d3162e",
        "X-Forwarded-For": "10.0.0.1",
        "User-Agent": "sender",
    }
    response = await service.client.post("/api/hooks/push?branch=main&tag=1&tag=2", json={"n": [1, 2]}, headers=headers)
    assert response.status_code == 201
    task = response.json()
    assert task == shapes_checked(response.content)
    assert (task["trigger_type"], task["account"]) == ("webhook", "acme")
    found = await ended(service, task["id"])
    data = found["trigger_data"]
    assert data["hook"] == "push"
    assert data["query"] == {"branch": "main", "tag": ["1", "2"]}
    assert data["body"] == {"n": [1, 2]}
    assert set(data["headers"]) == {"content-type", "user-agent", "x-github-event", "x-github-delivery"}
    assert found["result"]["trigger"] == data
    assert found["result"]["params"]["why"] == "pushed"
    for said in (SECRET, "abcdefghijklmnop", "session=1", "10.0.0.1", "hidden"):
        assert said not in json.dumps(found)


def shapes_checked(content: bytes) -> Any:
    """The object, which has exactly a task's fields."""
    msgspec.json.decode(content, type=shapes.Task)
    return json.loads(content)


@pytest.mark.parametrize(
    ("content", "media", "wanted"),
    [
        (b"", "application/json", None),
        (b"a=1&b=2&b=3", "application/x-www-form-urlencoded", {"a": "1", "b": ["2", "3"]}),
        (b"plain \xff", "text/plain", "plain \ufffd"),
        (b'{"a": 1}', "application/cloudevents+json; charset=utf-8", {"a": 1}),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_bodies_of_every_kind(shared: Running, content: bytes, media: str, wanted: Any) -> None:
    """JSON and forms are decoded, everything else is text."""
    headers = HEADER | {"Content-Type": media}
    response = await shared.client.post("/api/hooks/hashed", content=content, headers=headers)
    assert response.json()["trigger_data"]["body"] == wanted


async def test_a_form_of_nothing_but_fields_is_refused(service: Running) -> None:
    """A form of millions of fields is 400 and keeps nobody waiting; one of thousands is taken."""
    headers = HEADER | {"Content-Type": "application/x-www-form-urlencoded"}
    for count, status in ((2_000_000, 400), (9_000, 201)):
        response = await service.client.post("/api/hooks/hashed", content=b"a=1&" * count, headers=headers)
        assert response.status_code == status, response.text[:200]


async def test_a_webhook_without_its_secret_starts_nothing(service: Running) -> None:
    """No secret, a wrong one or one in the query is 403; an unknown hook 404; bad JSON 400; nothing is started."""
    client = service.client
    for headers in ({}, {"X-Asynclog-Hook-Secret": "wrong"}, {"X-Asynclog-Hook-Secret": SECRET + "x"}):
        assert (await client.post("/api/hooks/push?secret=correct+horse", headers=headers)).status_code == 403
    assert (await client.post("/api/hooks/nobody", headers=HEADER)).status_code == 404
    assert (await client.get("/api/hooks/push", headers=HEADER)).status_code == 405
    bad = HEADER | {"Content-Type": "application/json"}
    assert (await client.post("/api/hooks/push", content=b"{", headers=bad)).status_code == 400
    assert (await client.get("/api/tasks")).json()["tasks"] == []


@pytest.mark.parametrize(
    ("hook", "parameter"),
    [
        ({"plugin": "nobody", "secret": SECRET}, "hooks.x.plugin"),
        ({"plugin": "echo", "secret": "sha256:abc"}, "hooks.x.secret"),
        ({"plugin": "echo", "secret": "short"}, "hooks"),
        ({"plugin": "echo"}, "hooks"),
    ],
)
async def test_a_bad_hook_stops_the_start(tmp_path: Path, hook: dict[str, Any], parameter: str) -> None:
    """A hook that could never work is refused when the data directory is opened, naming it."""
    with pytest.raises(InvalidError) as refused:
        async with running(tmp_path / "data", plugins={"echo": echo}, hooks={"x": hook}):
            pass
    assert refused.value.parameter == parameter


async def test_run_files_that_cannot_be_written_are_shown(tmp_path: Path) -> None:
    """A full disk for run files is among the reasons of /readyz, which stays ready, and counted in /metrics."""
    disk = FaultyDisk()
    disk.room = 0
    async with running(tmp_path / "data", plugins={"echo": echo}, run_disk=disk) as service:
        await service.run("echo")
        async with asyncio.timeout(DEADLINE):
            while not (ready := await service.get("/readyz", shapes.Readiness)).reasons:
                await asyncio.sleep(0.01)
        assert ready.status == "ready"
        assert "run files" in ready.reasons[0]
        metrics = (await service.client.get("/metrics")).text
        counted = [line for line in metrics.splitlines() if line.startswith("asynclog_run_file_failures_total")]
        assert float(counted[0].split()[1]) >= 1
        assert "asynclog_run_files_behind 1.0" in metrics
