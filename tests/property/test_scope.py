"""What others have is as if it were not there: on every route, on every WebSocket, in every list.

Driven by the route table: a route whose path names something this test does not know fails it, as does a parameter.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import httpx2
import pytest
from hypothesis import Phase, given, settings
from starlette.routing import WebSocketRoute
from websockets.exceptions import ConnectionClosed

from asynclog.filters import FILTER_PARAMETERS
from asynclog.identity import new_id
from asynclog.principal import Role
from asynclog.server.app import LOG_SOCKET, TASK_SOCKET, _socket_routes
from asynclog.server.operation import Operation
from asynclog.server.routes import OPERATIONS
from asynclog.server.service import Service
from tests.property.worlds import Made, Plan, World, plans
from tests.server.running import DEADLINE, running

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None

NO_SCOPE = {("GET", "/assets/{name}"), ("POST", "/api/hooks/{name}")}
"""What their paths name belongs to no account: a file of the page, and a hook, which has a secret of its own."""
OF_A_TASK = {"task_id", "step_id"}
HARMLESS = {
    *("limit", "offset", "after", "before", "order", "total", "buckets", "format", "lines", "batch_id", "dry_run"),
    *("after_id", "before_id", "status", "plugin", "trigger_type", "account", "site", "text", "order_by", "cursor"),
    *("started_after", "started_before", "finished_after", "min_duration", "max_duration"),
    *FILTER_PARAMETERS,
}
"""Parameters that name nothing, or nothing but what a list is narrowed by."""
BODIES: dict[tuple[str, str], list[dict[str, Any] | bytes]] = {
    ("POST", "/api/tasks/{task_id}/logs"): [b'{"message": "intruder"}\n'],
    ("POST", "/api/tasks/{task_id}/finish"): [{"status": "failed"}],
    ("POST", "/api/tasks/{task_id}/stages"): [{"name": "intruder"}, {"id": "STAGE", "status": "error"}],
    ("POST", "/api/tasks/{task_id}/steps"): [{"node_id": "intruder"}, {"id": "STEP", "status": "error"}],
    ("PATCH", "/api/schedules/{schedule_id}"): [{"paused": True}],
}
Answer = tuple[int, dict[str, str], str]


def named(operation: Operation) -> list[str]:
    """What the operation's path names."""
    return re.findall(r"\{(\w+)\}", operation.path)


def things(world: World, operation: Operation) -> list[Made] | None:
    """Whose ids go into the path; None when it names nothing that belongs to somebody."""
    names = set(named(operation))
    if not names or (operation.method, operation.path) in NO_SCOPE:
        return None
    if names <= OF_A_TASK:
        return world.tasks
    if names == {"schedule_id"}:
        return world.schedules
    if names == {"key_id"}:
        return world.keys
    if (names, operation.path) == ({"name"}, "/api/plugins/{name}/stats"):
        lonely = [task for task in world.tasks if task.plugin not in ("staged", "talk")]
        return [Made(task.plugin, task.plugin, task.seen) for task in lonely]
    pytest.fail(f"say in this test what {operation.method} {operation.path} names, and whose it is")


def strange(like: Made) -> Made:
    """The same that nobody has."""
    width = len(like.id)
    return Made(new_id()[:width].ljust(width, "0"), new_id(), False, new_id(), new_id())


def test_every_route_is_known_here() -> None:
    """Each name in a path, and each query parameter, is one that this test tries or knows to be harmless."""
    world = World(None, None)  # type: ignore[arg-type]  # only the shape of the table is looked at
    for operation in OPERATIONS:
        things(world, operation)
        names = {parameter.name for parameter in operation.parameters}
        assert names <= HARMLESS | {"parent", "schedule", "task"}, operation.path
        if operation.body is not None and set(named(operation)) & {"task_id", "schedule_id"}:
            assert (operation.method, operation.path) in BODIES, (
                f"{operation.method} {operation.path} needs a body here"
            )
    service = Service.__new__(Service)
    sockets = {route.path for route in _socket_routes(service) if isinstance(route, WebSocketRoute)}
    assert sockets == {LOG_SOCKET, TASK_SOCKET}


@settings(max_examples=10, phases=[Phase.reuse, Phase.generate])  # a service for each example: shrinking takes minutes
@given(plans)
def test_what_others_have_is_as_if_it_were_not_there(plan: Plan) -> None:
    """Asking for it by id answers word for word as for an id that nobody has, and changes nothing; no list shows it."""
    asyncio.run(_try(plan))


async def _try(plan: Plan) -> None:
    folder = Path(mkdtemp(dir=MEMORY))
    try:
        async with running(folder / "data") as service:
            world = await World(service, plan).make()
            before = await world.state()
            for operation in OPERATIONS:
                for method in (operation.method, *(["HEAD"] if operation.method == "GET" else [])):
                    await _try_operation(world, operation, method)
            await _try_references(world)
            await _try_sockets(world)
            assert await world.state() == before
            await _try_lists(world)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _try_operation(world: World, operation: Operation, method: str) -> None:
    """Foreign is as unknown, and for somebody who may use the route at all it is 404."""
    targets = things(world, operation) or []
    for thing in [thing for thing in targets if not thing.seen]:
        nobody = strange(thing)
        for body in BODIES.get((operation.method, operation.path), [None]):
            foreign, unknown = [await _ask(world, operation, method, target, body) for target in (thing, nobody)]
            assert _alike(foreign, thing) == _alike(unknown, nobody), f"{method} {operation.path}"
            if operation.role is not None and operation.role <= world.plan.role and not operation.everywhere:
                assert foreign[0] == 404, f"{method} {operation.path}: {foreign}"
            else:
                assert foreign[0] == 403


async def _ask(world: World, operation: Operation, method: str, thing: Made, body: Any) -> Answer:
    path = operation.path.replace("{step_id}", thing.step)
    path = re.sub(r"\{\w+\}", thing.id, path)
    if isinstance(body, dict):
        body = {key: {"STAGE": thing.stage, "STEP": thing.step}.get(value, value) for key, value in body.items()}
    sent = {"content": body} if isinstance(body, bytes) else {} if body is None else {"json": body}
    return _answer(await world.service.client.request(method, path, headers=world.caller, **sent))


def _answer(response: httpx2.Response) -> Answer:
    headers = {name: value for name, value in response.headers.items() if name not in ("date", "server")}
    return response.status_code, headers, response.text


def _alike(answer: Answer, thing: Made) -> Answer:
    """The answer without the ids it was asked with."""
    status, headers, text = answer
    for name in (thing.id, thing.step, thing.stage):
        text = text.replace(name, "ID")
    return status, headers, text


async def _try_references(world: World) -> None:
    """Ids in queries and bodies: of a parent, a schedule, a task to search, a step or stage of another's task."""
    foreign_tasks = [task for task in world.tasks if not task.seen]
    own = [task for task in world.tasks if task.seen]
    for thing in foreign_tasks:
        nobody = strange(thing)
        for ask in (_search, _children, _scheduled, _child):
            foreign, unknown = [await ask(world, target) for target in (thing, nobody)]
            assert _alike(foreign, thing) == _alike(unknown, nobody), ask.__name__
        for mine in own:
            for ask_part in (_step_of, _change_step_of, _change_stage_of):
                foreign, unknown = [await ask_part(world, mine, target) for target in (thing, nobody)]
                assert _alike(foreign, thing) == _alike(unknown, nobody), ask_part.__name__
                assert foreign[0] in (403, 404, 409)
    for schedule in world.schedules:
        if not schedule.seen:
            nothing = '{"tasks":[],"next":null,"complete":true}'
            assert (await _get(world, "/api/tasks", schedule=schedule.id))[2] == nothing
    await _try_homes(world)


async def _get(world: World, path: str, **params: str) -> Answer:
    return _answer(await world.service.client.get(path, params=params, headers=world.caller))


async def _post(world: World, path: str, body: dict[str, Any]) -> Answer:
    return _answer(await world.service.client.post(path, json=body, headers=world.caller))


async def _search(world: World, thing: Made) -> Answer:
    return await _get(world, "/api/logs", task=thing.id)


async def _children(world: World, thing: Made) -> Answer:
    return await _get(world, "/api/tasks", parent=thing.id)


async def _scheduled(world: World, thing: Made) -> Answer:
    return await _get(world, "/api/tasks", schedule=thing.id)


async def _child(world: World, thing: Made) -> Answer:
    answer = await _post(world, "/api/tasks", {"external": True, "name": "child", "parent_id": thing.id})
    assert answer[0] == (404 if world.plan.role >= Role.OPERATOR else 403)
    return answer


async def _step_of(world: World, mine: Made, thing: Made) -> Answer:
    return await _get(world, f"/api/tasks/{mine.id}/steps/{thing.step}")


async def _change_step_of(world: World, mine: Made, thing: Made) -> Answer:
    return await _post(world, f"/api/tasks/{mine.id}/steps", {"id": thing.step, "status": "error"})


async def _change_stage_of(world: World, mine: Made, thing: Made) -> Answer:
    return await _post(world, f"/api/tasks/{mine.id}/stages", {"id": thing.stage, "status": "error"})


async def _try_homes(world: World) -> None:
    """Nothing can be put into another's account or site, whether anybody has it or not."""
    scope = world.plan.scope
    for account, site in itertools.product(("a", "b", "nobody's"), ("s", "nobody's")):
        if scope.allows(account, site):
            continue
        asked: list[tuple[str, str, dict[str, Any]]] = [
            ("POST", "/api/tasks", {"external": True, "name": "n"}),
            ("POST", "/api/tasks", {"plugin": "talk"}),
            ("POST", "/api/schedules", {"plugin": "talk", "interval": 60}),
            *[("PATCH", f"/api/schedules/{own.id}", {}) for own in world.schedules if own.seen],
        ]
        for method, path, body in asked:
            sent = {**body, "account": account, "site": site}
            response = await world.service.client.request(method, path, json=sent, headers=world.caller)
            assert response.status_code == (404 if world.plan.role >= Role.OPERATOR else 403), response.text


async def _try_sockets(world: World) -> None:
    for thing in [task for task in world.tasks if not task.seen]:
        nobody = strange(thing)
        ends = []
        for target in (thing, nobody):
            path = LOG_SOCKET.replace("{task_id}", target.id)
            async with asyncio.timeout(DEADLINE), world.service.socket(path, additional_headers=world.caller) as socket:
                with pytest.raises(ConnectionClosed) as closed:
                    await socket.recv()
            assert closed.value.rcvd is not None
            ends.append((closed.value.rcvd.code, closed.value.rcvd.reason.replace(target.id, "ID")))
        assert ends[0] == ends[1]
        assert ends[0][0] == 4404


async def _try_lists(world: World) -> None:
    """Lists hold all of what is the caller's, in pages of any size, and nothing else; so do numbers and live lists."""
    seen = {task.id for task in world.tasks if task.seen}
    assert await _listed(world) == seen
    entries = (await world.service.client.get("/api/logs", params={"limit": 5000}, headers=world.caller)).json()
    assert {entry["task_id"] for entry in entries["entries"]} == seen
    for account, site in itertools.product(("a", "b", "A"), ("s", "t")):
        found = (
            await world.service.client.get(f"/api/tasks?account={account}&site={site}", headers=world.caller)
        ).json()
        assert {task["id"] for task in found["tasks"]} <= seen
    schedules = (await world.service.client.get("/api/schedules", headers=world.caller)).json()["schedules"]
    assert {schedule["id"] for schedule in schedules} == {own.id for own in world.schedules if own.seen}
    stats = (await world.service.client.get("/api/plugins/staged/stats", headers=world.caller)).json()
    own = [task for task in world.tasks if task.seen and task.plugin == "staged"]
    assert stats["total"] == len(own)
    assert sum(node["total"] for node in stats["nodes"]) == len(own)
    plugins = (await world.service.client.get("/api/plugins", headers=world.caller)).text
    assert "plugin-" not in plugins  # only what can be started is listed, not what external tasks call themselves
    await _try_live_list(world, seen)


async def _listed(world: World) -> set[str]:
    """The ids in the list, page by page; with the cursors of everybody's list, too, it shows nothing else."""
    found: set[str] = set()
    for headers in (world.caller, world.root):
        cursor = dict[str, str]()
        for _ in range(len(world.tasks) + 1):
            params = cursor | {"limit": "1"}
            page = (await world.service.client.get("/api/tasks", params=params, headers=world.caller)).json()
            found |= {task["id"] for task in page["tasks"]}
            place = (await world.service.client.get("/api/tasks", params=params, headers=headers)).json()["next"]
            if place is None:
                break
            cursor = {"cursor": place}
    return found


async def _try_live_list(world: World, seen: set[str]) -> None:
    """The live list begins with what is the caller's; of what others start later it is told nothing."""
    scope = world.plan.scope
    known = set(seen)
    async with asyncio.timeout(DEADLINE), world.service.socket(TASK_SOCKET, additional_headers=world.caller) as socket:
        shown = set(_ids(await socket.recv()))
        assert shown == seen
        for account, site in _places(world):
            body = {"external": True, "name": "late", "account": account, "site": site}
            late = await world.post("/api/tasks", 201, **body)
            if scope.allows(account, site):
                known.add(late["id"])
        while shown != known:
            shown |= set(_ids(await socket.recv()))
            assert shown <= known


def _places(world: World) -> Iterator[tuple[str | None, str | None]]:
    """Another's account and site, then the caller's own."""
    yield "other", "other"
    scope = world.plan.scope
    yield scope.account or "any", scope.site or "any"


def _ids(frame: str | bytes) -> list[str]:
    return re.findall(r'\{"id":"([^"]+)"', frame.decode() if isinstance(frame, bytes) else frame)
