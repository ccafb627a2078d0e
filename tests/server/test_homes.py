"""Where what somebody starts or makes belongs: to their own account and site, or to its parent's."""

from __future__ import annotations

from typing import Any

import pytest

from asynclog.model import AccessScope
from asynclog.principal import Role
from tests.server.running import Running

BOTH = AccessScope(account="a", site="s")
ACCOUNT = AccessScope(account="a")


async def operator(service: Running, access: AccessScope) -> dict[str, str]:
    """The headers of an operator with this scope; there is an admin before."""
    if service.tasks.keys.open:
        await service.tasks.keys.create("root", Role.ADMIN, AccessScope())
    _, text = await service.tasks.keys.create("op", Role.OPERATOR, access)
    return {"Authorization": f"Bearer {text}"}


def home(made: dict[str, Any]) -> tuple[str | None, str | None]:
    """Where it is."""
    return made["account"], made["site"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/tasks", {"plugin": "talk"}),
        ("/api/tasks", {"external": True, "name": "n"}),
        ("/api/schedules", {"plugin": "talk", "interval": 3600}),
    ],
)
async def test_what_is_made_belongs_to_its_maker(service: Running, path: str, body: dict[str, Any]) -> None:
    """Without account and site it gets the caller's own; what the caller's scope leaves open may be named."""
    both, account = await operator(service, BOTH), await operator(service, ACCOUNT)
    assert home(await service.post(path, body, 201, headers=both)) == ("a", "s")
    assert home(await service.post(path, {**body, "account": "a"}, 201, headers=both)) == ("a", "s")
    assert home(await service.post(path, body, 201, headers=account)) == ("a", None)
    assert home(await service.post(path, {**body, "site": "x"}, 201, headers=account)) == ("a", "x")
    for named in ({"account": "b"}, {"site": "t"}, {"account": "a", "site": "t"}):
        refused = await service.client.post(path, json={**body, **named}, headers=both)
        assert refused.status_code == 404, refused.text


async def test_a_schedule_cannot_be_moved_to_another_account(service: Running) -> None:
    """A change may name the caller's own account and no other; none means one's own."""
    both = await operator(service, BOTH)
    made = await service.post("/api/schedules", {"plugin": "talk", "interval": 3600}, 201, headers=both)
    path = f"/api/schedules/{made['id']}"
    for change, status in (
        ({"account": "b"}, 404),
        ({"site": "t"}, 404),
        ({"account": "a"}, 200),
        ({"site": None}, 200),
    ):
        response = await service.client.patch(path, json=change, headers=both)
        assert response.status_code == status, response.text
    assert home((await service.client.get(path, headers=both)).json()) == ("a", "s")
    task = await service.post(f"{path}/run", None, 201, headers=both)
    assert home(task) == ("a", "s")


async def test_a_child_belongs_where_its_parent_does(service: Running) -> None:
    """Whoever starts it: a child of a task that nobody says more of is its parent's account's."""
    both, account = await operator(service, BOTH), await operator(service, ACCOUNT)
    everybody = await operator(service, AccessScope())
    parent = await service.post("/api/tasks", {"external": True, "name": "parent"}, 201, headers=both)
    for headers in (both, account, everybody):
        for body in ({"external": True, "name": "child"}, {"plugin": "talk"}):
            child = await service.post("/api/tasks", {**body, "parent_id": parent["id"]}, 201, headers=headers)
            assert (home(child), child["parent_id"]) == (("a", "s"), parent["id"])
    elsewhere = {"external": True, "name": "child", "parent_id": parent["id"], "account": "b"}
    assert home(await service.post("/api/tasks", elsewhere, 201, headers=everybody)) == ("b", "s")
    assert (await service.client.post("/api/tasks", json=elsewhere, headers=account)).status_code == 404


async def test_a_foreign_parent_is_none(service: Running) -> None:
    """The answer is that for a task that nobody has, and nothing is started."""
    both = await operator(service, BOTH)
    foreign = await operator(service, AccessScope(account="b"))
    parent = await service.post("/api/tasks", {"external": True, "name": "parent"}, 201, headers=foreign)
    told = []
    for parent_id in (parent["id"], "nobody"):
        body = {"plugin": "talk", "parent_id": parent_id}
        response = await service.client.post("/api/tasks", json=body, headers=both)
        told.append((response.status_code, response.text.replace(parent_id, "ID")))
    assert told[0] == told[1]
    assert told[0][0] == 404
    assert (await service.client.get("/api/tasks", headers=both)).json()["tasks"] == []
