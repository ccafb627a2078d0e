"""Every role against every route, and what a plugin may ask of its starter."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

import asynclog
from asynclog.errors import InvalidError
from asynclog.model import EVERYTHING
from asynclog.principal import Role
from asynclog.server.app import LOG_SOCKET, TASK_SOCKET
from asynclog.server.operation import Operation
from asynclog.server.routes import OPERATIONS
from asynclog.tasks.plugin import Plugin
from tests.server.access import SCOPES, Guarded, closed, guarded
from tests.server.running import PLUGINS, frames

pytestmark = pytest.mark.asyncio(loop_scope="module")

# What the contract says, beside the table of routes: reading is a viewer's, everything else an operator's, except:
NOBODY_IS_ASKED = {
    ("GET", "/"),
    ("GET", "/assets/{name}"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("POST", "/api/session"),
    ("POST", "/api/hooks/{name}"),
}
A_VIEWERS = {("DELETE", "/api/session"), ("POST", "/api/tickets")}
AN_ADMINS = {
    ("GET", "/api/keys"),
    ("POST", "/api/keys"),
    ("DELETE", "/api/keys/{key_id}"),
    ("GET", "/api/audit"),
    ("PUT", "/api/settings/logging"),
    ("POST", "/api/retention/run"),
}
OF_EVERYBODY = {("GET", "/metrics")}
"""What a viewer may see, but not one of one account."""


@asynclog.requires("admin")
async def dangerous(_params: dict[str, object]) -> None:
    """Does what an admin alone should begin."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    """A service that all tests of this module share."""
    plugins = {**PLUGINS, "dangerous": dangerous}
    async with guarded(tmp_path_factory.mktemp("data"), plugins=plugins) as found:
        yield found


def needed(operation: Operation) -> Role | None:
    """The role that the contract says an operation takes."""
    route = (operation.method, operation.path)
    if route in NOBODY_IS_ASKED:
        return None
    if route in AN_ADMINS:
        return Role.ADMIN
    return Role.VIEWER if operation.method == "GET" or route in A_VIEWERS else Role.OPERATOR


def allowed(operation: Operation, caller: str | None) -> bool:
    """Whether the contract lets a caller do it."""
    role = needed(operation)
    if role is None or caller is None:
        return role is None
    has, access = SCOPES[caller]
    beyond = role is Role.ADMIN or (operation.method, operation.path) in OF_EVERYBODY
    return has >= role and (access == EVERYTHING or not beyond)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: f"{operation.method} {operation.path}")
async def test_every_role_against_every_route(service: Guarded, operation: Operation) -> None:
    """Each caller gets through exactly where the contract says; a stranger is 401, too small a role 403 that names
    the one needed; both are told before the body is looked at.
    """
    path = re.sub(r"\{\w+\}", "none", operation.path)
    for caller in (None, *SCOPES):
        answer = await service.ask(caller, operation.method, path, content=b"{no json")
        if allowed(operation, caller):
            assert answer.status_code not in (401, 403), (caller, answer.text)
            continue
        assert answer.headers["content-type"] == "application/problem+json"
        if caller is None:
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            continue
        role = needed(operation)
        assert role is not None
        assert (answer.status_code, f"the role {role.label}" in answer.json()["detail"]) == (403, True), answer.text


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.method == "GET"], ids=lambda o: str(o.path))
async def test_head_is_as_get(service: Guarded, operation: Operation) -> None:
    """Nobody learns by HEAD what GET would not say."""
    path = re.sub(r"\{\w+\}", "none", operation.path)
    for caller in (None, *SCOPES):
        answer = await service.ask(caller, "HEAD", path)
        assert (answer.status_code in (401, 403)) == (not allowed(operation, caller)), caller


@pytest.mark.parametrize("path", [TASK_SOCKET, LOG_SOCKET.format(task_id="none")])
async def test_sockets_ask_too(service: Guarded, path: str) -> None:
    """A WebSocket of a stranger is closed with 4401 and told nothing before; each role may listen."""
    async with service.socket(path) as socket:
        assert await frames(socket) == []
        assert socket.close_code == 4401
    for caller in SCOPES:
        if path == TASK_SOCKET:
            async with service.socket(path, caller) as socket:
                await socket.recv()
        else:
            assert await closed(service.socket(path, caller)) == 4404


async def test_strangers_learn_no_reasons(service: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """/readyz tells everybody whether all is well, and why not only those who see all accounts and sites."""
    monkeypatch.setattr(service.service.tasks.engine.writer, "error", "the disk at /srv is full")
    for caller in (None, *SCOPES):
        answer = await service.ask(caller, "GET", "/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "degraded")
        assert ("/srv" in answer.text) == (caller in ("viewer", "operator", "admin"))


async def test_who_am_i(service: Guarded) -> None:
    """GET /api/session says what a page needs to offer only what may be done."""
    for caller, (role, access) in SCOPES.items():
        assert (await service.ask(caller, "GET", "/api/session")).json() == {
            "name": caller,
            "key_id": service.ids[caller],
            "role": role.label,
            "account": access.account,
            "site": access.site,
            "all_scopes": access == EVERYTHING,
            "open": False,
            "expires_at": None,
        }


# --- plugins that not everybody may start ---


async def test_a_plugin_may_ask_for_an_admin(service: Guarded) -> None:
    """A plugin that says so is started by an admin of everything alone, at once or by a schedule."""
    started = {"plugin": "dangerous"}
    planned = {"plugin": "dangerous", "interval": 3600}
    for caller in ("viewer", "operator", "admin of one account"):
        assert (await service.ask(caller, "POST", "/api/tasks", json=started)).status_code == 403
        assert (await service.ask(caller, "POST", "/api/schedules", json=planned)).status_code == 403
    assert (await service.ask("admin", "POST", "/api/tasks", json=started)).status_code == 201
    made = await service.ask("admin", "POST", "/api/schedules", json=planned)
    schedule = f"/api/schedules/{made.json()['id']}"
    assert (await service.ask("operator", "PATCH", schedule, json={"params": {"x": 1}})).status_code == 403
    assert (await service.ask("operator", "POST", f"{schedule}/run")).status_code == 403
    assert (await service.ask("admin", "POST", f"{schedule}/run")).status_code == 201
    assert (await service.ask("operator", "GET", schedule)).json()["params"] == {}


async def test_a_plugins_role_is_shown(service: Guarded) -> None:
    """The list of plugins names the role where it is an admin's, and only there."""
    found = (await service.ask("viewer", "GET", "/api/plugins")).json()["plugins"]
    roles = {plugin["name"]: plugin.get("role") for plugin in found}
    assert roles["dangerous"] == roles["command"] == "admin"
    assert roles["talk"] is roles["hold"] is None


async def test_what_reaches_into_the_machine_takes_an_admin(service: Guarded) -> None:
    """The plugins that come along and take a path or a command of the machine say that they take an admin."""
    plugins = service.service.tasks.plugins
    reaching = ("backup", "command", "git", "levels", "migration", "replay")
    assert {plugins[name].role for name in reaching} == {Role.ADMIN}


async def test_a_role_that_is_none_is_refused() -> None:
    """A slip in a plugin's role is an error, and never a plugin that everybody may start."""
    with pytest.raises(ValueError, match="'amdin' is not a role"):
        asynclog.requires("amdin")

    class Slip:
        role = "amdin"

        def execute(self, _params: object) -> None: ...

    with pytest.raises(InvalidError, match="'amdin' is not a role"):
        Plugin("slip", Slip())
    assert Plugin("viewer", asynclog.requires("viewer")(lambda _params: None)).role is Role.OPERATOR
