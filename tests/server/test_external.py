"""Tasks whose code runs elsewhere, over HTTP."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from asynclog.server import shapes
from tests.server.running import Running, running


async def _begin(service: Running) -> str:
    task = await service.post("/api/tasks", {"external": True, "name": "elsewhere", "plugin": "etl"}, 201)
    assert task["external"]
    assert task["status"] == "running"
    return f"/api/tasks/{task['id']}"


async def _send(service: Running, place: str, *lines: object, **query: str) -> shapes.Ingested:
    body = b"".join(msgspec.json.encode(line) + b"\n" if not isinstance(line, bytes) else line for line in lines)
    response = await service.client.post(f"{place}/logs", content=body, params=query)
    assert response.status_code == 200, response.text
    return msgspec.json.decode(response.content, type=shapes.Ingested)


async def test_a_life_elsewhere(service: Running) -> None:
    """An external task takes entries, stages and steps, ends as told, and reads like any other."""
    place = await _begin(service)
    told = await _send(
        service,
        place,
        {"message": "one", "level": "warning", "source": "db", "unit": "u1", "metadata": {"a": 1}},
        {"message": "two", "timestamp": "2026-02-07T12:00:00Z", "stage": "load"},
        {"message": "below", "level": "DEBUG"},
    )
    assert (told.accepted, told.rejected, told.filtered, told.last_seq) == (2, 0, 1, 3)
    stage = await service.post(f"{place}/stages", {"name": "load", "number": 3, "pending": 5})
    step = await service.post(f"{place}/steps", {"node_id": "fetch", "stage": "load", "input_data": {"q": 1}})
    ended = await service.post(f"{place}/steps", {"id": step["id"], "status": "success", "output_data": [1]})
    assert (ended["status"], ended["input_data"], ended["output_data"]) == ("success", {"q": 1}, [1])
    await service.post(f"{place}/stages", {"id": stage["id"], "status": "success", "processed": 5})
    finished = await service.post(f"{place}/finish", {"status": "success", "result": {"rows": 2}})
    assert (finished["status"], finished["result"]) == ("success", {"rows": 2})
    page = await service.get(f"{place}/logs", shapes.LogPage)
    assert [entry.source for entry in page.entries] == ["system", "db", "plugin", "system"]
    assert page.entries[2].timestamp == "2026-02-07T12:00:00.000000Z"
    [shown] = (await service.get(f"{place}/stages", shapes.Stages)).stages
    assert (shown.name, shown.number, shown.status, shown.processed) == ("load", 3, "success", 5)
    assert shown.log_count == 1


async def test_steps_are_numbered(tmp_path: Path) -> None:
    """Steps count from 0 in the order they begin in, whatever ends meanwhile, and over a restart."""
    async with running(tmp_path) as service:
        place = await _begin(service)
        first = await service.post(f"{place}/steps", {"node_id": "a"})
        await service.post(f"{place}/steps", {"node_id": "b"})
        await service.post(f"{place}/steps", {"id": first["id"], "status": "success"})
        await service.post(f"{place}/steps", {"node_id": "c"})
    async with running(tmp_path) as service:
        for node in ("d", "e"):
            await service.post(f"{place}/steps", {"node_id": node})
        steps = (await service.get(f"{place}/steps", shapes.Steps)).steps
    assert [(step.step_index, step.node_id) for step in steps] == list(enumerate("abcde"))


async def test_bad_lines_are_named_and_the_others_taken(service: Running) -> None:
    """Only what is no object with a text message, or has a bad level or time, is rejected, with its line number."""
    place = await _begin(service)
    bad = [b"nonsense\n", b"[]\n", b'{"level":"INFO"}\n', b'{"message":1}\n', b'{"message":"x","level":"LOUD"}\n']
    bad.append(b'{"message":"x","timestamp":"soon"}\n')
    told = await _send(service, place, {"message": "good"}, *bad, {"message": "also good"})
    assert (told.accepted, told.rejected) == (2, 6)
    assert [error.line for error in told.errors] == [2, 3, 4, 5, 6, 7]
    told = await _send(service, place, *([b"x\n"] * 150))
    assert (told.rejected, len(told.errors)) == (150, 100)


async def test_a_batch_that_comes_again_adds_nothing(tmp_path: Path) -> None:
    """A repeated batch id gets its first answer: at once, after the end, and after a restart."""
    async with running(tmp_path) as service:
        place = await _begin(service)
        first = await _send(service, place, {"message": "once"}, batch_id="b1")
        assert await _send(service, place, {"message": "twice"}, batch_id="b1") == first
        await service.post(f"{place}/finish", {"status": "failed", "error_message": "gave up"})
        assert await _send(service, place, {"message": "thrice"}, batch_id="b1") == first
        refused = await service.client.post(f"{place}/logs", content=b'{"message":"late"}\n')
        assert refused.status_code == 409
    async with running(tmp_path) as service:
        assert await _send(service, place, {"message": "again"}, batch_id="b1") == first
        page = await service.get(f"{place}/logs", shapes.LogPage, source="plugin")
        assert [entry.message for entry in page.entries] == ["once"]
        assert (await service.get(place, shapes.Task)).error_message == "gave up"


async def test_a_restart_leaves_it_running(tmp_path: Path) -> None:
    """An external task goes on after a restart of the service, its seqs too."""
    async with running(tmp_path) as service:
        place = await _begin(service)
        await _send(service, place, {"message": "before"})
    async with running(tmp_path) as service:
        assert (await service.get(place, shapes.Task)).status == "running"
        assert (await _send(service, place, {"message": "after"})).last_seq == 3
        page = await service.get(f"{place}/logs", shapes.LogPage, source="plugin")
        assert [entry.message for entry in page.entries] == ["before", "after"]


async def test_only_external_tasks_are_fed(service: Running) -> None:
    """Entries, stages, steps and an end for a task of the service are 409; for none 404; a bad end is 422."""
    task_id = await service.say("mine")
    for path, body in (("logs", {"message": "x"}), ("stages", {"name": "s"}), ("steps", {"node_id": "n"})):
        assert (await service.client.post(f"/api/tasks/{task_id}/{path}", json=body)).status_code == 409, path
        assert (await service.client.post(f"/api/tasks/none/{path}", json=body)).status_code == 404, path
    place = await _begin(service)
    response = await service.client.post(f"{place}/finish", json={"status": "tired"})
    assert (response.status_code, response.json()["parameter"]) == (422, "status")
    response = await service.client.post(f"{place}/stages", json={"id": "none"})
    assert response.status_code == 404


@pytest.mark.parametrize("batch_id", ["", "x" * 201])
async def test_a_batch_id_has_a_length(service: Running, batch_id: str) -> None:
    """A batch id is 1 to 200 characters."""
    place = await _begin(service)
    response = await service.client.post(f"{place}/logs", content=b"", params={"batch_id": batch_id})
    assert (response.status_code, response.json()["parameter"]) == (422, "batch_id")


async def test_a_batch_has_a_size(service: Running) -> None:
    """A batch of more than 8 MiB is 413 and changes nothing."""
    place = await _begin(service)
    line = msgspec.json.encode({"message": "x" * 999}) + b"\n"
    response = await service.client.post(f"{place}/logs", content=line * 9000)
    assert response.status_code == 413
    assert (await service.get(place, shapes.Task)).last_seq == 1
