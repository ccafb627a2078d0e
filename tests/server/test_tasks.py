"""Tasks over HTTP: starting, listing, showing, cancelling, deleting; stages, steps and plugins."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from asynclog.server import shapes
from asynclog.tasks.context import TaskContext
from asynclog.tasks.reader import STEP_PAGE
from tests.server.running import Running, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_task_starts_in_the_background(shared: Running) -> None:
    """POST answers 201 with the task, where it is to be found, and what it was given; it ends by itself."""
    response = await shared.client.post(
        "/api/tasks",
        json={
            "plugin": "talk",
            "params": {"entries": [{"message": "hi"}]},
            "name": "nightly",
            "trigger_type": "webhook",
            "trigger_data": {"from": "test"},
            "account": "a1",
            "site": "s1",
        },
    )
    assert response.status_code == 201
    task = response.json()
    assert response.headers["location"] == f"/api/tasks/{task['id']}"
    ended = await shared.tasks.wait(task["id"])
    shown = await shared.get(f"/api/tasks/{task['id']}", shapes.Task)
    assert ended.ended
    assert (shown.name, shown.plugin, shown.account, shown.site) == ("nightly", "talk", "a1", "s1")
    assert (shown.trigger_type, shown.trigger_data) == ("webhook", {"from": "test"})
    assert (shown.status, shown.result) == ("success", {"entries": 1})
    assert shown.sealed == shapes.Sealed(count=3, last_seq=3)
    assert shown.counts.INFO == shown.last_seq == 3


async def test_a_failed_task_says_why(shared: Running) -> None:
    """A failed task has the error's message and traceback."""
    task = await shared.get(f"/api/tasks/{await shared.run('fail', why='no disk')}", shapes.Task)
    assert task.status == "failed"
    assert "no disk" in (task.error_message or "")
    assert "Traceback" in (task.error_stack or "")


async def test_a_list_is_paged_newest_first(shared: Running) -> None:
    """Pages by cursor hold every task once, newest first; asc is the exact reverse."""
    made = [await shared.post("/api/tasks", {"plugin": "talk", "account": "paging"}, 201) for _ in range(5)]
    ids = [task["id"] for task in made][::-1]
    found: list[str] = []
    cursor = None
    while True:
        query: dict[str, Any] = {"limit": 2, "account": "paging"} | ({"cursor": cursor} if cursor else {})
        page = await shared.get("/api/tasks", shapes.TaskPage, **query)
        found += [task.id for task in page.tasks]
        cursor = page.next
        if cursor is None:
            break
    assert found == ids
    reverse = await shared.get("/api/tasks", shapes.TaskPage, account="paging", order="asc")
    assert [task.id for task in reverse.tasks] == ids[::-1]


async def test_a_list_is_filtered(shared: Running) -> None:
    """Every parameter of the list narrows it; repeated ones are ORed, different ones ANDed."""
    good = await shared.post("/api/tasks", {"plugin": "talk", "account": "f", "name": "Good One"}, 201)
    bad = await shared.post("/api/tasks", {"plugin": "fail", "account": "f", "site": "x", "trigger_type": "api"}, 201)
    child = await shared.post("/api/tasks", {"plugin": "talk", "account": "f", "parent_id": good["id"]}, 201)
    for task in (good, bad, child):
        await shared.tasks.wait(task["id"])
    g, b, c = good["id"], bad["id"], child["id"]
    asked = {
        "status=failed": {b},
        "status=failed&status=success": {g, b, c},
        "plugin=talk": {g, c},
        "plugin=talk&plugin=fail": {g, b, c},
        "trigger_type=api": {b},
        "site=x": {b},
        f"parent={g}": {c},
        "schedule=none": set(),
        "text=gOOD": {g},
        "text=no reason": {b},
        "text=%": set(),
        "started_after=1999-01-01T00:00:00Z": {g, b, c},
        "started_before=1999-01-01T00:00:00Z": set(),
        "finished_after=2999-01-01T00:00:00Z": set(),
        "min_duration=1000": set(),
        "max_duration=1000": {g, b, c},
        "order_by=duration": {g, b, c},
        "order_by=started_at&order=asc": {g, b, c},
    }
    for query, expected in asked.items():
        response = await shared.client.get(f"/api/tasks?account=f&{query}")
        assert response.status_code == 200, response.text
        assert {task["id"] for task in response.json()["tasks"]} == expected, query


async def test_a_task_is_cancelled(shared: Running) -> None:
    """Cancelling answers 202, the task ends as cancelled, and cancelling it again is 409."""
    task = await shared.post("/api/tasks", {"plugin": "hold"}, 201)
    live = shared.tasks.engine.hub.get(task["id"])
    assert live is not None
    await eventually(lambda: live.head >= 2)
    assert (await shared.post(f"/api/tasks/{task['id']}/cancel", status=202))["cancelling"]
    await shared.tasks.wait(task["id"])
    assert (await shared.get(f"/api/tasks/{task['id']}", shapes.Task)).status == "cancelled"
    await shared.post(f"/api/tasks/{task['id']}/cancel", status=409)


async def test_a_task_is_deleted(shared: Running) -> None:
    """A running task is not deleted (409); an ended one is gone from every route at once (204, then 404)."""
    task = await shared.post("/api/tasks", {"plugin": "hold", "account": "d"}, 201)
    place = f"/api/tasks/{task['id']}"
    assert (await shared.client.delete(place)).status_code == 409
    await shared.post(f"{place}/cancel", status=202)
    await shared.tasks.wait(task["id"])
    answer = await shared.client.delete(place)
    assert (answer.status_code, answer.content) == (204, b"")
    for path in ("", "/logs", "/logs/stats", "/logs/sources", "/logs/histogram", "/logs/export", "/tail", "/stages"):
        assert (await shared.client.get(place + path)).status_code == 404, path
    assert (await shared.client.delete(place)).status_code == 404
    assert not (await shared.get("/api/tasks", shapes.TaskPage, account="d")).tasks
    async with shared.socket(f"/ws/tasks/{task['id']}/logs") as socket:
        await asyncio.wait_for(socket.wait_closed(), 10)
    assert socket.close_code == 4404


async def test_stages_and_steps_are_shown(shared: Running) -> None:
    """Stages come with counts, results and units; steps in order without data, one step with it."""
    task_id = await shared.run("staged")
    extract, load = (await shared.get(f"/api/tasks/{task_id}/stages", shapes.Stages)).stages
    assert (extract.name, extract.number, extract.status) == ("extract", 1, "success")
    assert (extract.pending, extract.processed, extract.result) == (2, 2, {"ok": True})
    assert load.log_count >= 1
    assert load.units == [shapes.UnitCount(unit="u1", log_count=1)]
    [step] = (await shared.get(f"/api/tasks/{task_id}/steps", shapes.Steps)).steps
    assert (step.node_id, step.node_type, step.stage, step.status) == ("fetch", "http", "extract", "success")
    response = await shared.client.get(f"/api/tasks/{task_id}/steps")
    assert "input_data" not in response.text
    whole = await shared.get(f"/api/tasks/{task_id}/steps/{step.id}", shapes.Step)
    assert (whole.input_data, whole.output_data) == ({"url": "u"}, {"rows": 42})
    assert (await shared.client.get(f"/api/tasks/{task_id}/steps/none")).status_code == 404


async def many_steps(params: dict[str, Any], context: TaskContext) -> None:
    """Has so many steps."""
    for number in range(params["steps"]):
        with context.step(f"node {number}"):
            pass


async def test_steps_come_by_pages(shared: Running) -> None:
    """`limit` and `after` page through a task's steps: each comes once, in order, and the last page says so."""
    task = await shared.tasks.run(many_steps, {"steps": 25})
    path = f"/api/tasks/{task.id}/steps"
    pages = [await shared.get(path, shapes.Steps, limit=10)]
    while (after := pages[-1].next_after) is not None:
        assert after == pages[-1].steps[-1].id
        pages.append(await shared.get(path, shapes.Steps, limit=10, after=after))
    assert [len(page.steps) for page in pages] == [10, 10, 5]
    found = [step for page in pages for step in page.steps]
    assert [step.node_id for step in found] == [f"node {number}" for number in range(25)]
    assert (await shared.get(path, shapes.Steps)).steps == found
    assert (await shared.get(path, shapes.Steps, after=found[19].id)).steps == found[20:]
    assert not (await shared.get(path, shapes.Steps, after=found[-1].id, limit=1)).steps
    other = await shared.run("staged")
    [foreign] = (await shared.get(f"/api/tasks/{other}/steps", shapes.Steps)).steps
    for query in ({"after": "nobody"}, {"after": foreign.id}, {"limit": 0}, {"limit": 5001}):
        problem = await shared.get(path, shapes.Problem, 422, **query)
        assert problem.parameter == next(iter(query))


async def test_any_number_of_steps_is_one_answer(shared: Running) -> None:
    """Without a limit all steps come, and are never held as one: they are sent a page at a time."""
    task = await shared.tasks.run(many_steps, {"steps": 2 * STEP_PAGE + 1})
    path = f"/api/tasks/{task.id}/steps"
    async with shared.client.stream("GET", path) as response:
        assert "content-length" not in response.headers
        content = await response.aread()
    steps = msgspec.json.decode(content, type=shapes.Steps)
    assert [step.node_id for step in steps.steps] == [f"node {number}" for number in range(2 * STEP_PAGE + 1)]
    assert steps.next_after is None
    head = await shared.client.head(path)
    assert (head.status_code, head.headers["content-type"]) == (200, "application/json")


async def test_a_label_on_entries_alone_is_a_stage_too(shared: Running) -> None:
    """A stage that occurs only on entries is listed by name and count, without number and status."""
    task = await shared.post("/api/tasks", {"external": True, "name": "labels"}, 201)
    await shared.client.post(f"/api/tasks/{task['id']}/logs", content=b'{"message":"m","stage":"loose"}\n')
    [stage] = (await shared.get(f"/api/tasks/{task['id']}/stages", shapes.Stages)).stages
    assert (stage.name, stage.number, stage.status, stage.log_count) == ("loose", None, None, 1)


async def test_plugins_are_listed(shared: Running) -> None:
    """Plugins have name and description, and the schema of their parameters where they declare one."""
    plugins = {p.name: p for p in (await shared.get("/api/plugins", shapes.Plugins)).plugins}
    assert plugins["talk"].description == "Logs the entries it is given."
    assert plugins["talk"].params_schema is None
    assert "number" in str(plugins["numbered"].params_schema)


async def test_a_plugin_in_numbers(shared: Running) -> None:
    """Statistics count a plugin's tasks by status, with its nodes; an unknown plugin is 404."""
    await shared.run("staged")
    stats = await shared.get("/api/plugins/staged/stats", shapes.PluginStats)
    assert stats.total == stats.by_status["success"] > 0
    assert stats.success_rate == 1.0
    assert stats.p50 is not None
    assert [node.node_id for node in stats.nodes] == ["fetch"]
    assert (await shared.client.get("/api/plugins/nobody/stats")).status_code == 404
