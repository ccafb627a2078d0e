"""The API description and the routes are one."""

from __future__ import annotations

import re

import msgspec
import pytest

from asynclog.filters import FILTER_PARAMETERS
from asynclog.server import shapes
from asynclog.server.routes import OPERATIONS
from tests.server.running import Running

pytestmark = pytest.mark.asyncio(loop_scope="module")
# The contract's routes, as its page names them.
CONTRACT = """
GET /api/plugins · POST /api/tasks · POST /api/tasks/{task_id}/finish · POST /api/tasks/{task_id}/stages
POST /api/tasks/{task_id}/steps · POST /api/tasks/{task_id}/logs · GET /api/tasks · GET /api/plugins/{name}/stats
GET /api/logs · GET /api/tasks/{task_id} · POST /api/tasks/{task_id}/cancel · DELETE /api/tasks/{task_id}
GET /api/tasks/{task_id}/logs · GET /api/tasks/{task_id}/logs/stats · GET /api/tasks/{task_id}/logs/sources
GET /api/tasks/{task_id}/logs/histogram · GET /api/tasks/{task_id}/logs/export · GET /api/tasks/{task_id}/tail
GET /api/tasks/{task_id}/stages · GET /api/tasks/{task_id}/steps · GET /api/tasks/{task_id}/steps/{step_id}
GET /api/settings/logging · PUT /api/settings/logging · POST /api/retention/run
GET /api/schedules · POST /api/schedules · GET /api/schedules/{schedule_id} · PATCH /api/schedules/{schedule_id}
DELETE /api/schedules/{schedule_id} · POST /api/schedules/{schedule_id}/run · POST /api/hooks/{name}
GET /api/session · POST /api/session · DELETE /api/session · POST /api/tickets
GET /api/keys · POST /api/keys · DELETE /api/keys/{key_id} · GET /api/audit
GET /healthz · GET /readyz · GET /metrics · GET /openapi.json · GET / · GET /assets/{name}
"""


async def test_every_route_is_described_and_every_description_is_a_route(shared: Running) -> None:
    """The description has exactly the operations of the route table, and the table exactly those of the contract."""
    paths = (await shared.client.get("/openapi.json")).json()["paths"]
    described = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    table = {(operation.method, operation.path) for operation in OPERATIONS}
    contract = {tuple(route.split(" ")) for route in re.split(r" · |\n", CONTRACT.strip())}
    assert described == table == contract


async def test_every_described_route_answers(shared: Running) -> None:
    """Each described operation is there: asked without any sense it answers something else than 404 for its address."""
    for operation in OPERATIONS:
        path = re.sub(r"\{\w+\}", "none", operation.path)
        response = await shared.client.request(operation.method, path, content=b"{")
        assert "no address" not in response.text
        assert response.status_code != 405, path
        if response.status_code == 404:
            assert "{" in operation.path, path


async def test_the_parameters_are_described(shared: Running) -> None:
    """A described parameter is one the route takes, with its bounds; the filter's are on every route that filters."""
    paths = (await shared.client.get("/openapi.json")).json()["paths"]
    logs = {parameter["name"]: parameter for parameter in paths["/api/tasks/{task_id}/logs"]["get"]["parameters"]}
    assert logs["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 5000, "default": 200}
    assert set(FILTER_PARAMETERS) < set(logs)
    assert logs["task_id"]["in"] == "path"
    filtering = {operation.path for operation in OPERATIONS if operation.filtered}
    assert len(filtering) == 6
    for path in filtering:
        assert set(FILTER_PARAMETERS) <= {parameter["name"] for parameter in paths[path]["get"]["parameters"]}


async def test_the_schemas_are_whole(shared: Running) -> None:
    """Every reference in the description leads somewhere; an error is a Problem on every route."""
    text = (await shared.client.get("/openapi.json")).text
    described = msgspec.json.decode(text)
    schemas = described["components"]["schemas"]
    assert {name.rsplit("/", 1)[1] for name in re.findall(r'"\$ref":"([^"]+)"', text)} == set(schemas)
    assert set(schemas["Problem"]["properties"]) == set(shapes.Problem.__struct_fields__)
    for methods in described["paths"].values():
        for operation in methods.values():
            assert "application/problem+json" in operation["responses"]["422"]["content"]
