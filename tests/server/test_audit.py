"""The audit: what was changed, by whom, from what to what; for admins of everything alone, and for good."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from asynclog.model import AUDIT_PLUGIN, AUDIT_TASK, AccessScope
from asynclog.principal import SERVICE_NAME, Role
from asynclog.tasks.opening import open_tasks
from tests.server.running import DEADLINE, Running, running

HEADERS = "Authorization"


async def key_of(service: Running, name: str, role: Role, access: AccessScope | None = None) -> dict[str, str]:
    """The headers of somebody with a new key."""
    _, text = await service.tasks.keys.create(name, role, access or AccessScope())
    return {HEADERS: f"Bearer {text}"}


async def audit(service: Running, headers: dict[str, str] | None = None, **params: Any) -> list[dict[str, Any]]:
    """The audit's entries, newest first."""
    response = await service.client.get("/api/audit", params=params, headers=headers)
    assert response.status_code == 200, response.text
    entries: list[dict[str, Any]] = response.json()["entries"]
    return entries


async def newest(service: Running, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """What the newest entry says."""
    metadata: dict[str, Any] = (await audit(service, headers))[0]["metadata"]
    return metadata


async def test_a_change_of_settings_is_kept_with_who_and_from_what_to_what(service: Running) -> None:
    """Settings that change are noted with their former and new values; a PUT that changes nothing is not."""
    assert await audit(service) == []
    await service.client.put("/api/settings/logging", json={"flush_interval": 1.5, "message_limit": 1 << 20})
    entry = (await audit(service))[0]
    assert entry["metadata"] == {
        "action": "settings.change",
        "subject": "flush_interval",
        "who": "local",
        "key_id": None,
        "role": "admin",
        "address": "127.0.0.1",
        "from": {"flush_interval": 2.0},
        "to": {"flush_interval": 1.5},
    }
    assert (entry["task_id"], entry["source"], entry["level"]) == (AUDIT_TASK, "system", "INFO")
    assert entry["message"] == "settings.change flush_interval by local"
    await service.client.put("/api/settings/logging", json={"flush_interval": 1.5})
    assert len(await audit(service)) == 1


async def test_no_log_level_silences_the_audit(service: Running) -> None:
    """Whoever raises the threshold of entries is noted, and so is all that follows."""
    await service.client.put("/api/settings/logging", json={"task_log_level": "ERROR"})
    await service.client.put("/api/settings/logging", json={"task_log_level": "INFO"})
    assert [entry["metadata"]["to"] for entry in await audit(service)] == [
        {"task_log_level": "INFO"},
        {"task_log_level": "ERROR"},
    ]


async def test_keys_are_noted_without_their_secret(service: Running) -> None:
    """Who made and revoked which key is noted; the key's text is nowhere in the audit."""
    made = await service.post("/api/keys", {"name": "root", "role": "admin", "all_scopes": True}, 201)
    root = {HEADERS: f"Bearer {made['key']}"}
    assert (await newest(service, root)) | {"to": None} == {
        "action": "key.create",
        "subject": made["id"],
        "who": "local",
        "key_id": None,
        "role": "admin",
        "address": "127.0.0.1",
        "from": None,
        "to": None,
    }
    other = await service.post("/api/keys", {"name": "ci", "role": "viewer", "account": "a"}, 201, headers=root)
    noted = await newest(service, root)
    assert (noted["who"], noted["key_id"]) == ("root", made["id"])
    assert noted["to"] == {"name": "ci", "role": "viewer", "account": "a", "site": None, "expires_at": None}
    for _ in range(2):  # the second changes nothing
        await service.client.delete(f"/api/keys/{other['id']}", headers=root)
    entries = await audit(service, root)
    assert [entry["metadata"]["action"] for entry in entries] == ["key.revoke", "key.create", "key.create"]
    assert entries[0]["metadata"]["from"] == noted["to"]
    shown = (await service.client.get("/api/audit", headers=root)).text
    for text in (made["key"], other["key"]):
        assert text not in shown
        assert text.split("_", 2)[2] not in shown


async def test_a_deletion_is_noted(service: Running) -> None:
    """Who deleted a task is noted with what it was; what cannot be deleted is not."""
    await service.tasks.keys.create("root", Role.ADMIN, AccessScope())
    root = await key_of(service, "boss", Role.ADMIN)
    operator = await key_of(service, "op", Role.OPERATOR, AccessScope(account="a"))
    body = {"plugin": "talk", "params": {"entries": [{"message": "m"}]}, "name": "nightly"}
    task = await service.post("/api/tasks", body, 201, headers=operator)
    await service.tasks.wait(task["id"])
    assert (await service.client.delete("/api/tasks/nobody", headers=operator)).status_code == 404
    assert await audit(service, root) == []
    assert (await service.client.delete(f"/api/tasks/{task['id']}", headers=operator)).status_code == 204
    noted = await newest(service, root)
    assert (noted["action"], noted["subject"], noted["who"], noted["role"]) == (
        "task.delete",
        task["id"],
        "op",
        "operator",
    )
    assert noted["from"] == {
        "name": "nightly",
        "plugin": "talk",
        "account": "a",
        "site": None,
        "status": "success",
        "entries": 3,
    }
    assert noted["to"] is None


async def test_schedules_are_noted_without_the_values_of_their_parameters(service: Running) -> None:
    """A schedule made, changed and removed is noted with the fields that differ; of parameters only the names."""
    body = {"plugin": "talk", "interval": 3600, "params": {"who": "canary-5f2c"}}
    made = await service.post("/api/schedules", body, 201)
    path = f"/api/schedules/{made['id']}"
    await service.client.patch(path, json={"paused": True})
    await service.client.patch(path, json={"paused": True})
    await service.client.patch(path, json={"params": {"who": "canary-77aa"}})
    await service.client.delete(path)
    noted = [entry["metadata"] for entry in reversed(await audit(service))]
    assert [one["action"] for one in noted] == [
        "schedule.create",
        "schedule.change",
        "schedule.change",
        "schedule.remove",
    ]
    assert noted[0]["to"]["interval"] == 3600
    assert noted[0]["to"]["params"] == ["who"]
    assert (noted[1]["from"], noted[1]["to"]) == ({"paused": False}, {"paused": True})
    assert (noted[2]["from"], noted[2]["to"]) == ({"params": ["who"]}, {"params": ["who"]})
    assert (noted[3]["from"]["plugin"], noted[3]["to"]) == ("talk", None)
    assert "canary" not in str(noted)


async def test_retention_is_noted_and_spares_the_audit(service: Running) -> None:
    """A run of the retention is noted with what it removed, a dry run is not; the audit itself never expires."""
    for _ in range(3):
        await service.run("talk")
    await service.client.put("/api/settings/logging", json={"retention_max_tasks": 1})
    await service.client.post("/api/retention/run", params={"dry_run": "true"})
    assert len(await audit(service)) == 1
    await service.client.post("/api/retention/run")
    noted = await newest(service)
    assert (noted["action"], noted["tasks"], noted["by_plugin"]) == ("retention.run", 2, {"talk": 2})
    assert len(noted["task_ids"]) == 2
    await service.tasks.sweeper.drained()
    assert len(await audit(service)) == 2


async def test_what_the_retention_removes_by_itself_is_noted(tmp_path: Path) -> None:
    """The retention that nobody asked for, as the one at the start, is noted as the service's own, and once."""
    async with running(tmp_path) as service:
        for _ in range(3):
            await service.run("talk")
        await service.client.put("/api/settings/logging", json={"retention_max_tasks": 1})
    async with running(tmp_path) as service, asyncio.timeout(DEADLINE):
        while (noted := await newest(service))["action"] != "retention.run":
            await asyncio.sleep(0.01)
        assert (noted["who"], noted["tasks"], noted["by_plugin"]) == (SERVICE_NAME, 2, {"talk": 2})
        await service.tasks.sweeper.drained()
        assert [entry["metadata"]["action"] for entry in await audit(service)] == ["retention.run", "settings.change"]


async def test_the_audit_can_neither_be_deleted_nor_cancelled_nor_written(service: Running) -> None:
    """Even an admin is refused, and nobody else's task may take its plugin's name."""
    await service.client.put("/api/settings/logging", json={"flush_interval": 1.0})
    place = f"/api/tasks/{AUDIT_TASK}"
    assert (await service.client.delete(place)).status_code == 409
    assert (await service.client.post(f"{place}/cancel")).status_code == 409
    assert (await service.client.post(f"{place}/finish", json={"status": "success"})).status_code == 409
    assert (await service.client.post(f"{place}/logs", content=b'{"message": "forged"}')).status_code == 409
    assert (await service.client.post(f"{place}/stages", json={"name": "forged"})).status_code == 409
    body = {"external": True, "name": "n", "plugin": AUDIT_PLUGIN}
    assert (await service.client.post("/api/tasks", json=body)).status_code == 422
    assert len(await audit(service)) == 1


async def test_the_audit_is_in_no_list_that_does_not_name_it(service: Running) -> None:
    """An admin finds it by its id and by its plugin; lists and searches of tasks are as if it were not there."""
    await service.client.put("/api/settings/logging", json={"flush_interval": 1.0})
    assert (await service.client.get("/api/tasks")).json()["tasks"] == []
    assert (await service.client.get("/api/logs")).json()["entries"] == []
    named = {"plugin": AUDIT_PLUGIN}
    assert [task["id"] for task in (await service.client.get("/api/tasks", params=named)).json()["tasks"]] == [
        AUDIT_TASK
    ]
    assert len((await service.client.get("/api/logs", params=named)).json()["entries"]) == 1
    page = (await service.client.get(f"/api/tasks/{AUDIT_TASK}/logs")).json()
    assert (page["total"], page["entries"][0]["seq"]) == (1, 1)
    assert "asynclog_tasks_running 0.0" in (await service.client.get("/metrics")).text


@pytest.mark.parametrize(
    ("role", "access"),
    [
        (Role.VIEWER, AccessScope()),
        (Role.OPERATOR, AccessScope()),
        (Role.ADMIN, AccessScope(account="a")),
        (Role.ADMIN, AccessScope(site="s")),
    ],
)
async def test_nobody_else_sees_the_audit(service: Running, role: Role, access: AccessScope) -> None:
    """Without being an admin of everything one finds it no more than a task that is not there."""
    root = await key_of(service, "root", Role.ADMIN)
    headers = await key_of(service, "other", role, access)
    await service.client.put("/api/settings/logging", json={"flush_interval": 1.0}, headers=root)
    assert (await service.client.get("/api/audit", headers=headers)).status_code == 403
    for path in ("", "/logs", "/logs/stats", "/logs/sources", "/logs/histogram", "/logs/export", "/tail", "/stages"):
        found, unknown = [
            (await service.client.get(f"/api/tasks/{task}{path}", headers=headers)) for task in (AUDIT_TASK, "nobody")
        ]
        assert (found.status_code, found.text) == (404, unknown.text.replace("nobody", AUDIT_TASK))
    named = {"plugin": AUDIT_PLUGIN}
    assert (await service.client.get("/api/tasks", params=named, headers=headers)).json()["tasks"] == []
    for params in (named, {}):
        assert (await service.client.get("/api/logs", params=params, headers=headers)).json()["entries"] == []
    assert (await service.client.get(f"/api/plugins/{AUDIT_PLUGIN}/stats", headers=headers)).status_code == 404
    if role >= Role.OPERATOR:
        response = await service.client.delete(f"/api/tasks/{AUDIT_TASK}", headers=headers)
        assert response.status_code == 404


async def test_the_audit_goes_on_after_a_restart(tmp_path: Path) -> None:
    """The same task takes the next change of the next process, under the next seq, and is not taken for interrupted."""
    for number in (1.0, 2.5):
        async with running(tmp_path) as service:
            await service.client.put("/api/settings/logging", json={"flush_interval": number})
    async with running(tmp_path) as service:
        assert [entry["seq"] for entry in await audit(service)] == [2, 1]
        task = (await service.client.get(f"/api/tasks/{AUDIT_TASK}")).json()
        assert (task["status"], task["last_seq"], task["sealed"]) == ("running", 2, None)


async def test_a_lost_database_does_not_open_the_audit(tmp_path: Path) -> None:
    """Entries of the audit whose task's record was lost belong to the audit still, for nobody else to see."""
    async with open_tasks(tmp_path) as tasks:
        tasks.audit.note("settings.change", "before")
        await tasks.engine.settle()
        for path in tmp_path.glob("asynclog.db*"):
            path.unlink()
        tasks.audit.note("settings.change", "after")
    async with open_tasks(tmp_path) as tasks:
        everybody = AccessScope()
        assert await tasks.engine.store.task(AUDIT_TASK, everybody) is None
        page = await tasks.logs(AUDIT_TASK)
        assert [entry.metadata and entry.metadata["subject"] for entry in page.entries][-1] == "after"


async def test_audit_entries_are_filtered_and_paged(service: Running) -> None:
    """The filter and the cursors of a search count here too."""
    for number in range(5):
        await service.client.put("/api/settings/logging", json={"flush_interval": number + 3.0})
    first = (await service.client.get("/api/audit", params={"limit": 2})).json()
    assert [entry["seq"] for entry in first["entries"]] == [5, 4]
    second = await audit(service, limit=2, before_id=first["next_before"])
    assert [entry["seq"] for entry in second] == [3, 2]
    for who, count in (("local", 5), ("nobody", 0)):
        found = await service.client.get("/api/audit", params={"metadata.who": who})
        assert len(found.json()["entries"]) == count
