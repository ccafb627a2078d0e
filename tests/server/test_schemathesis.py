"""The API description taken at its word by a foreign fuzzer: whatever it asks of a real server, as whomever, every
answer is one that the description promises: its status, its type, its shape; and none is a failure of ours.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from asynclog.config import Configuration, Hook
from asynclog.model import EVERYTHING, AccessScope
from asynclog.principal import Role
from asynclog.server.hooks import SECRET
from tests.server.running import Running, running

CHECKS: Any = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
CALLERS = {
    "everybody": 8,
    "admin": 4,
    "operator": 3,
    "viewer": 3,
    "operator of one account": 3,
    "stranger": 1,
}
"""Examples for each operation, half of them against its description; where all is open everybody does what an admin
does.
"""
ROLES = {
    "admin": (Role.ADMIN, EVERYTHING),
    "operator": (Role.OPERATOR, EVERYTHING),
    "viewer": (Role.VIEWER, EVERYTHING),
    "operator of one account": (Role.OPERATOR, AccessScope("acme")),
}
ENDS_OPEN_MODE = {"POST /api/keys"}
"""What makes a key: with it everybody would be a stranger for the rest of the test."""

HOOK = Hook(plugin="talk", secret="known to its caller")
LAST = ("/cancel", "/finish")
"""What ends the tasks that the others ask about."""


@schemathesis.serializer("application/x-ndjson")
def _lines(_context: Any, value: Any) -> bytes:
    """The description says no more of NDJSON than that it is text."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


class Served:
    """A service in a thread of its own, with what there is to ask about in it."""

    def __init__(self, url: str, ids: dict[str, list[str]], keys: dict[str, str]) -> None:
        self.url = url
        self.ids = ids
        self.keys = keys


@contextmanager
def served(folder: Path, *, open_: bool) -> Iterator[Served]:
    """A service that runs beside the test."""
    ready: threading.Event = threading.Event()
    found: list[Served] = []

    async def main() -> None:
        async with running(folder, configuration=Configuration(hooks={"nightly": HOOK})) as service:
            ids = await _furnish(service)
            keys = {} if open_ else {name: await _key(service, name) for name in ROLES}
            found.append(Served(service.url, ids, keys))
            loop, stop = asyncio.get_running_loop(), asyncio.Event()
            stops.append(lambda: loop.call_soon_threadsafe(stop.set))
            ready.set()
            await stop.wait()

    stops: list[Any] = []
    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert ready.wait(60)
    try:
        yield found[0]
    finally:
        stops[0]()
        thread.join(60)
        assert not thread.is_alive()


async def _key(service: Running, name: str) -> str:
    role, access = ROLES[name]
    return (await service.tasks.keys.create(name, role, access))[1]


async def _furnish(service: Running) -> dict[str, list[str]]:
    """Tasks, stages, steps and schedules to ask about, by the name of the path's parameter."""
    ended = await service.run("staged")
    external = await service.post("/api/tasks", {"external": True, "name": "x", "account": "acme"}, 201)
    place = f"/api/tasks/{external['id']}"
    step = await service.post(f"{place}/steps", {"node_id": "fetch", "input_data": {"a": 1}})
    await service.client.post(f"{place}/logs", content=b'{"message": "one"}\n{"message": "two", "level": "ERROR"}')
    schedule = await service.post("/api/schedules", {"name": "s", "plugin": "talk", "interval": 3600}, 201)
    return {
        "task_id": [ended, external["id"]],
        "step_id": [step["id"]],
        "schedule_id": [schedule["id"]],
        "name": ["talk", "nightly"],
    }


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.filterwarnings("ignore")  # of the fuzzer and what it uses
def test_every_answer_is_described(caller: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Random requests, made after the description and against it, on things that exist and that do not: no 5xx, no
    undescribed status, type, header or shape, and no failure in the service's own log.
    """
    with served(tmp_path / "data", open_=caller == "everybody") as service, requests.Session() as session:
        session.trust_env = False
        schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json", headers=_shown(service, "admin"))
        operations: list[Any] = [cast("Any", result).ok() for result in schema.get_all_operations()]
        for operation in sorted(operations, key=lambda operation: operation.path.endswith(LAST)):
            if caller != "everybody" or operation.label not in ENDS_OPEN_MODE:
                _try(operation, CALLERS[caller], service.ids, session, _shown(service, caller))
        assert session.get(f"{service.url}/healthz", timeout=20).status_code == 200
    assert not [record for record in caplog.records if record.exc_info]


def _shown(service: Served, caller: str) -> dict[str, str]:
    key = service.keys.get(caller)
    return {SECRET: HOOK.secret} | ({} if key is None else {"Authorization": f"Bearer {key}"})


def _try(operation: Any, examples: int, ids: dict[str, list[str]], session: Any, headers: dict[str, str]) -> None:
    known = [name for name in ids if f"{{{name}}}" in operation.path]
    modes = list(schemathesis.GenerationMode)
    cases = st.one_of([operation.as_strategy(generation_mode=mode) for mode in modes])
    real = st.fixed_dictionaries({name: st.sampled_from(ids[name]) for name in known})

    @seed(7)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, chosen=st.none() | real)
    def ask(case: Any, chosen: dict[str, str] | None) -> None:
        if chosen and operation.method != "delete":
            case.path_parameters = {**case.path_parameters, **chosen}
        case.call_and_validate(session=session, headers=headers, checks=CHECKS, timeout=30)

    ask()
