"""Errors: each is application/problem+json with a sentence, and names the parameter at fault."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.server.running import Running

pytestmark = pytest.mark.asyncio(loop_scope="module")


def check(response: httpx2.Response, status: int, parameter: str | None = None) -> dict[str, Any]:
    """The problem in a response."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert set(body) == {"type", "title", "status", "detail"} | ({"parameter"} if parameter is not None else set())
    assert body["status"] == status
    assert body["type"] == "about:blank"
    assert len(body["detail"]) > 10
    assert body.get("parameter") == parameter
    return body


BAD_LOG_QUERIES = {
    "limit=0": "limit",
    "limit=5001": "limit",
    "limit=ten": "limit",
    "limit=": "limit",
    "limit=1&limit=2": "limit",
    "limit=%D9%A3": "limit",
    "after=-1": "after",
    "after=1.5": "after",
    "after=99999999999999999999": "after",
    "before=x": "before",
    "offset=-1": "offset",
    "offset=1&after=1": "offset",
    "offset=1&before=9": "offset",
    "order=up": "order",
    "total=maybe": "total",
    "level=LOUD": "level",
    "min_level=": "min_level",
    "since=yesterday": "since",
    "until=2026-13-01": "until",
    "search=" + "x" * 1001: "search",
    "search=%00": "search",
    "sources=api": "sources",
    "Level=INFO": "Level",
    "metadata=1": "metadata",
    "search=%FF": "query",
    "&".join(f"source={n}" for n in range(201)): "source",
}


@pytest.mark.parametrize("query", BAD_LOG_QUERIES, ids=lambda query: query[:30])
async def test_a_bad_query_names_the_parameter(shared: Running, query: str) -> None:
    """Unknown parameters and bad values are 422 and say which; the same holds on every logs route."""
    task_id = await shared.say()
    check(await shared.client.get(f"/api/tasks/{task_id}/logs?{query}"), 422, BAD_LOG_QUERIES[query])


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/api/tasks?status=done", "status"),
        ("/api/tasks?trigger_type=x", "trigger_type"),
        ("/api/tasks?limit=501", "limit"),
        ("/api/tasks?cursor=nonsense", "cursor"),
        ("/api/tasks?order_by=name", "order_by"),
        ("/api/tasks?min_duration=nan", "min_duration"),
        ("/api/tasks?min_duration=1_0", "min_duration"),
        ("/api/tasks?max_duration=%D9%A3", "max_duration"),
        ("/api/tasks?max_duration=%203", "max_duration"),
        ("/api/tasks?max_duration=1e400", "max_duration"),
        ("/api/tasks?started_after=x", "started_after"),
        ("/api/tasks?source=x", "source"),
        ("/api/tasks?text=%00", "text"),
        ("/api/logs?after=1", "after"),
        ("/api/logs?before_id=x", "before_id"),
        ("/api/logs?level=x", "level"),
        ("/api/plugins?x=1", "x"),
        ("/healthz?x=1", "x"),
        ("/api/tasks/{id}?x=1", "x"),
        ("/api/tasks/{id}/tail?lines=0", "lines"),
        ("/api/tasks/{id}/logs/stats?limit=1", "limit"),
        ("/api/tasks/{id}/logs/stats?level=x", "level"),
        ("/api/tasks/{id}/logs/sources?level=INFO", "level"),
        ("/api/tasks/{id}/logs/histogram?buckets=0", "buckets"),
        ("/api/tasks/{id}/logs/histogram?buckets=1001", "buckets"),
        ("/api/tasks/{id}/logs/export?format=xml", "format"),
        ("/api/tasks/{id}/logs/export?since=x", "since"),
    ],
)
async def test_every_route_checks_its_query(shared: Running, path: str, parameter: str) -> None:
    """What a route does not take, it refuses."""
    task_id = await shared.say()
    check(await shared.client.get(path.replace("{id}", task_id)), 422, parameter)


@pytest.mark.parametrize(
    ("body", "status", "parameter"),
    [
        (b"", 422, "plugin"),
        (b"{", 400, None),
        (b"\xff", 400, None),
        (b'{"plugin": NaN}', 400, None),
        (b"[" * 100_000, 422, "body"),
        (b'{"params":' + b"[" * 100_000, 400, None),
        (b"[]", 422, "body"),
        (b"null", 422, "body"),
        (b'{"plugin": 1}', 422, "plugin"),
        (b'{"plugin": "talk", "nmae": "x"}', 422, "nmae"),
        (b'{"plugin": "nobody"}', 422, "plugin"),
        (b'{"plugin": "talk", "trigger_type": "moon"}', 422, "trigger_type"),
        (b'{"plugin": "talk", "parent_id": "nobody"}', 404, None),
        (b'{"external": true, "name": "n", "plugin": "asynclog.audit"}', 422, "plugin"),
        (b'{"plugin": "numbered", "params": {"number": "x"}}', 422, "params"),
        (b'{"external": true}', 422, "name"),
    ],
)
async def test_a_bad_body_is_refused(shared: Running, body: bytes, status: int, parameter: str | None) -> None:
    """What is no JSON is 400; JSON of another shape is 422 and names the field. However deep, it harms nobody."""
    check(await shared.client.post("/api/tasks", content=body), status, parameter)


async def test_deep_but_readable_params_are_cut(shared: Running) -> None:
    """Parameters nested beyond the stored depth start a task all the same."""
    deep = b'{"plugin":"talk","params":{"x":' + b"[" * 300 + b"]" * 300 + b"}}"
    assert (await shared.client.post("/api/tasks", content=deep)).status_code == 201


@pytest.mark.parametrize(
    "path", ["/nix", "/api", "/api/tasks/", "/api/tasks/x/y", "/assets/none.js", "/assets/..%2fx.js"]
)
async def test_an_unknown_address_is_not_found(shared: Running, path: str) -> None:
    """There is one address for each thing; everything else is 404."""
    check(await shared.client.get(path), 404)


@pytest.mark.parametrize(
    "path",
    ["", "/logs", "/logs/stats", "/logs/sources", "/logs/histogram", "/logs/export", "/tail", "/stages", "/steps"],
)
async def test_an_unknown_task_is_not_found(shared: Running, path: str) -> None:
    """An unknown id is 404 on every route of a task, also where the answer is no JSON."""
    check(await shared.client.get(f"/api/tasks/nobody{path}"), 404)


async def test_a_method_that_is_not_taken(shared: Running) -> None:
    """Another method is 405 and says which ones there are."""
    response = await shared.client.put("/api/tasks")
    assert response.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert "GET" in check(response, 405)["detail"]


async def test_too_large_a_body(shared: Running) -> None:
    """More than 8 MiB is 413, announced or not."""
    check(await shared.client.post("/api/tasks", content=b" " * ((8 << 20) + 1)), 413)

    async def unannounced() -> Any:
        for _ in range(9):
            yield b" " * (1 << 20)

    check(await shared.client.post("/api/tasks", content=unannounced()), 413)


async def test_head_and_options(shared: Running) -> None:
    """HEAD answers as GET without a body; OPTIONS says which methods there are."""
    task_id = await shared.say("hi")
    for path in (f"/api/tasks/{task_id}/logs", f"/api/tasks/{task_id}/logs/export", "/", "/metrics"):
        head, got = await shared.client.head(path), await shared.client.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
    options = await shared.client.options("/api/settings/logging")
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS, PUT")


@pytest.mark.asyncio(loop_scope="function")
async def test_our_own_failure_is_a_problem_too(service: Running, caplog: pytest.LogCaptureFixture) -> None:
    """What should not happen is 500 as a problem without any detail of ours; the log has the traceback, once."""
    del service.tasks.sweeper
    check(await service.client.post("/api/retention/run"), 500)
    records = [record for record in caplog.records if record.exc_info]
    assert [record.name for record in records] == ["asynclog.server"]
