"""API keys over HTTP: made, shown once, revoked, expired, lost; and nothing of their secrets is kept."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from asynclog.errors import InvalidError
from asynclog.model import EVERYTHING, AccessScope
from asynclog.principal import PREFIX, Principal, Role
from asynclog.server import accessshapes, create_app
from asynclog.server.listening import listening
from asynclog.tasks.keyring import MARK
from asynclog.tasks.opening import open_tasks
from tests.server.access import Guarded, cookie, end, guarded
from tests.server.canaries import files_in
from tests.server.raw import head, wire
from tests.server.running import DEADLINE, Running, eventually, running

DAY = 86_400
OWN_LOGS = ("asynclog", "uvicorn", "aiosqlite")


@pytest.fixture
async def guard(tmp_path: Path) -> AsyncIterator[Guarded]:
    """A service with the key of an admin."""
    async with guarded(tmp_path / "data", {"admin": (Role.ADMIN, EVERYTHING)}) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def refusing(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    """The same for those tests of this module that are refused what they ask for."""
    async with guarded(tmp_path_factory.mktemp("data"), {"admin": (Role.ADMIN, EVERYTHING)}) as found:
        yield found


async def test_without_a_key_everything_is_open(service: Running) -> None:
    """On loopback and without keys everybody may do everything, whatever key they send."""
    who = await service.get("/api/session", accessshapes.Session)
    assert (who.name, who.key_id, who.role, who.all_scopes, who.open) == ("local", None, "admin", True, True)
    for headers in ({"Authorization": "Bearer x"}, {"X-API-Key": "x"}, {"Cookie": "asynclog_session=x"}):
        assert (await service.client.get("/api/keys", headers=headers)).status_code == 200


async def test_the_first_key_has_to_be_an_admins(service: Running) -> None:
    """No first key locks everybody out: a viewer's, or an admin's of one account, is 409 and leaves all open."""
    for body in (
        {"name": "v", "role": "viewer"},
        {"name": "o", "role": "operator"},
        {"name": "a", "role": "admin", "account": "acme"},
        {"name": "a", "role": "admin", "site": "north"},
    ):
        answer = await service.post("/api/keys", body, 409)
        assert "first key" in answer["detail"]
    assert (await service.get("/api/keys", accessshapes.Keys)).keys == []
    assert (await service.get("/api/session", accessshapes.Session)).open


async def test_the_first_key_closes_the_door(service: Running) -> None:
    """From the moment of the first key on everybody needs one: requests, and WebSockets that were open before."""
    async with service.socket("/ws/tasks") as socket:
        await socket.recv()
        made = await service.post("/api/keys", {"name": "root", "role": "admin"}, 201)
        assert await end(socket) == 4401
    assert (await service.client.get("/api/tasks")).status_code == 401
    assert (await service.client.post("/api/keys", json={"name": "mine", "role": "admin"})).status_code == 401
    service.client.headers["Authorization"] = f"Bearer {made['key']}"
    assert not (await service.get("/api/session", accessshapes.Session)).open


async def test_a_key_is_shown_once(guard: Guarded) -> None:
    """Making a key answers with its text; listing keys, afterwards, with all but that."""
    body = {"name": " Ann ", "role": "operator", "account": "acme", "site": "north", "expires_in_days": 90}
    answer = await guard.ask("admin", "POST", "/api/keys", json=body)
    made = accessshapes.MadeKey(**answer.json())
    assert (made.name, made.role, made.account, made.site, made.all_scopes) == (
        "Ann", "operator", "acme", "north", False,
    )  # fmt: skip
    assert (made.created_by, made.revoked_at, made.last_used_at) == ("admin", None, None)
    assert made.key.startswith(f"{PREFIX}{made.id}_")
    assert len(made.key) == len(PREFIX) + 12 + 1 + 43
    listed = await guard.ask("admin", "GET", "/api/keys")
    shown = {key["id"]: accessshapes.Key(**key) for key in listed.json()["keys"]}
    assert shown[made.id].expires_at == made.expires_at
    assert shown[made.id].created_at < (made.expires_at or "")
    assert made.key.split("_", 2)[2] not in listed.text
    assert "hash" not in listed.text


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({"role": "viewer"}, "name"),
        ({"name": "", "role": "viewer"}, "name"),
        ({"name": "  ", "role": "viewer"}, "name"),
        ({"name": "a\nb", "role": "viewer"}, "name"),
        ({"name": "x" * 201, "role": "viewer"}, "name"),
        ({"name": "Asynclog", "role": "viewer"}, "name"),
        ({"name": "local", "role": "viewer"}, "name"),
        ({"name": "x"}, "role"),
        ({"name": "x", "role": "root"}, "role"),
        ({"name": "x", "role": 3}, "role"),
        ({"name": "x", "role": "viewer", "account": ""}, "account"),
        ({"name": "x", "role": "viewer", "site": "a\u202eb"}, "site"),
        ({"name": "x", "role": "viewer", "account": "acme", "all_scopes": True}, "all_scopes"),
        ({"name": "x", "role": "viewer", "all_scopes": False}, "all_scopes"),
        ({"name": "x", "role": "viewer", "expires_in_days": 0}, "expires_in_days"),
        ({"name": "x", "role": "viewer", "expires_in_days": 1e300}, "expires_in_days"),
        ({"name": "x", "role": "viewer", "id": "0123456789ab"}, "id"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_key_that_cannot_be(refusing: Guarded, body: dict[str, Any], parameter: str) -> None:
    """What makes no key is 422 and named; none is made."""
    answer = await refusing.ask("admin", "POST", "/api/keys", json=body)
    assert (answer.status_code, answer.json()["parameter"]) == (422, parameter), answer.text
    assert len(refusing.service.tasks.keys.all()) == 1


async def test_only_the_whole_key_opens(guard: Guarded) -> None:
    """A key with anything changed, added or doubled is 401; so is one sent in two ways that differ."""
    key = guard.keys["admin"]
    other = await guard.make("other", Role.ADMIN)
    secret = key.rpartition(guard.ids["admin"] + "_")[2]
    swapped = f"{PREFIX}{guard.ids['other']}_{secret}"
    wrong = [
        "", "x", key[:-1], key + "A", key.upper(), key.replace(PREFIX, ""), f"{key} {key}", key + "\u00e9", swapped,
        key[:-1] + ("A" if key[-1] != "A" else "B"), f"{PREFIX}{guard.ids['admin']}_", f"{PREFIX}000000000000_{secret}",
    ]  # fmt: skip
    for text in wrong:
        for name, value in (("Authorization", f"Bearer {text}".rstrip()), ("X-API-Key", text)):
            answer = await guard.ask(None, "GET", "/api/session", headers={name: value.encode("latin-1")})
            assert answer.status_code == 401, (name, text)
    for several in (
        [("Authorization", f"Bearer {key}"), ("Authorization", f"Bearer {other}")],
        [("Authorization", f"Bearer {key}"), ("X-API-Key", other)],
        [("X-API-Key", key), ("X-API-Key", "")],
    ):
        assert (await guard.service.client.get("/api/session", headers=several)).status_code == 401
    for good in (
        {"X-API-Key": key},
        {"Authorization": f"bearer  {key}"},
        {"x-api-key": key, "Authorization": "Basic eA=="},
    ):
        assert (await guard.ask(None, "GET", "/api/session", headers=good)).status_code == 200
    async with wire(guard.service.url) as client:  # blanks around a header's value are not of it
        client.say(head("GET /api/session", f"X-API-Key: \t{key} \t "))
        assert (await client.answer()).status == 200


@pytest.mark.asyncio(loop_scope="module")
async def test_a_refusal_tells_nothing_shown_from_something_wrong(refusing: Guarded) -> None:
    """Who shows nothing is told how to say who they are; whose key or session does not count, that it does not."""
    nothing = await refusing.ask(None, "GET", "/api/session")
    assert (nothing.status_code, "Say who you are" in nothing.text) == (401, True)
    for wrong in ({"X-API-Key": "x"}, {"Authorization": "Bearer x"}, cookie("x")):
        answer = await refusing.ask(None, "GET", "/api/session", headers=wrong)
        assert (answer.status_code, "does not count" in answer.text) == (401, True), wrong


async def test_a_wrong_key_is_not_mended_by_a_cookie(guard: Guarded) -> None:
    """Whoever sends a key is judged by that, and not by a session that the browser sends along."""
    session = await guard.sign_in("admin")
    headers = {"X-API-Key": "wrong", "Cookie": f"asynclog_session={session}"}
    assert (await guard.ask(None, "GET", "/api/session", headers=headers)).status_code == 401


async def test_a_revoked_key_opens_nothing(guard: Guarded) -> None:
    """Revoking ends a key at once and for good, its WebSockets with it; it stays listed. Others are not touched."""
    await guard.make("ann", Role.OPERATOR)
    await guard.make("bob", Role.OPERATOR)
    task = (await guard.ask("ann", "POST", "/api/tasks", json={"plugin": "hold"})).json()
    logs = f"/ws/tasks/{task['id']}/logs"
    async with (
        guard.socket("/ws/tasks", "ann") as tasks_of_ann,
        guard.socket(logs, "ann") as logs_of_ann,
        guard.socket(logs, "bob") as logs_of_bob,
    ):
        for socket in (tasks_of_ann, logs_of_ann, logs_of_bob):
            await socket.recv()
        path = f"/api/keys/{guard.ids['ann']}"
        assert (await guard.ask("admin", "DELETE", path)).status_code == 204
        assert await end(tasks_of_ann) == await end(logs_of_ann) == 4401
        assert (await guard.ask("bob", "POST", f"/api/tasks/{task['id']}/cancel")).status_code == 202
        assert await end(logs_of_bob) == 1000
    assert (await guard.ask("ann", "GET", "/api/tasks")).status_code == 401
    assert (await guard.ask("admin", "DELETE", path)).status_code == 204, "once more changes nothing"
    listed = {key["name"]: key for key in (await guard.ask("admin", "GET", "/api/keys")).json()["keys"]}
    assert listed["ann"]["revoked_at"] is not None
    assert listed["bob"]["revoked_at"] is None


async def test_a_download_ends_with_the_key(guard: Guarded) -> None:
    """An export under way is broken off when its key is revoked, and does not look whole."""
    await guard.make("ann", Role.OPERATOR)
    entries = [{"message": "x", "times": 10_000}] * 4000
    body = {"plugin": "talk", "params": {"entries": entries}}
    task = (await guard.ask("ann", "POST", "/api/tasks", json=body)).json()["id"]
    await guard.service.tasks.wait(task)
    export = f"/api/tasks/{task}/logs/export"
    async with guard.service.client.stream("GET", export, headers=guard.headers("ann")) as answer:
        assert answer.status_code == 200
        parts = answer.aiter_raw()
        await anext(parts)
        await guard.ask("admin", "DELETE", f"/api/keys/{guard.ids['ann']}")
        with pytest.raises(httpx2.RemoteProtocolError):
            async for _ in parts:
                pass


async def test_an_expired_key_opens_nothing(guard: Guarded) -> None:
    """A key ends when its time has come, to requests and to WebSockets that are open."""
    await guard.make("ann", Role.VIEWER, days=2)
    async with guard.socket("/ws/tasks", "ann") as socket:
        await socket.recv()
        guard.clock.skip(2 * DAY - 60)
        who = await guard.ask("ann", "GET", "/api/session")
        assert (who.status_code, who.json()["expires_at"] is None) == (200, False)
        guard.clock.skip(60)
        assert (await guard.ask("ann", "GET", "/api/session")).status_code == 401
        assert await end(socket) == 4401


async def test_a_key_revoked_on_the_way_does_nothing(guard: Guarded) -> None:
    """A request whose body is still coming when its key is revoked changes nothing."""
    await guard.make("ann", Role.OPERATOR)
    body = b'{"external": true, "name": "late"}'
    reading = guard.service.tasks.keys

    async def parts() -> AsyncIterator[bytes]:
        yield body[:10]
        await eventually(lambda: any(key.name == "ann" and key.last_used_at for key in reading.all()))
        await reading.revoke(guard.ids["ann"])
        yield body[10:]

    answer = await guard.ask("ann", "POST", "/api/tasks", content=parts())
    assert answer.status_code == 401
    assert (await guard.ask("admin", "GET", "/api/tasks")).json()["tasks"] == []


async def test_the_last_admin_stays(guard: Guarded) -> None:
    """The last key that can make others is not revoked; one that has expired or sees one account is none of them."""
    await guard.make("of acme", Role.ADMIN, AccessScope("acme"))
    await guard.make("soon gone", Role.ADMIN, days=1)
    guard.clock.skip(2 * DAY)
    path = f"/api/keys/{guard.ids['admin']}"
    answer = await guard.ask("admin", "DELETE", path)
    assert (answer.status_code, "last key" in answer.json()["detail"]) == (409, True)
    await guard.make("heir", Role.ADMIN)
    assert (await guard.ask("admin", "DELETE", path)).status_code == 204
    assert (await guard.ask("heir", "DELETE", "/api/keys/nix")).status_code == 404


async def test_keys_outlive_the_process(tmp_path: Path) -> None:
    """After a restart the same keys open, revoked ones do not, and when each was used last is known to the minute."""
    async with guarded(tmp_path, {"admin": (Role.ADMIN, EVERYTHING)}) as first:
        ann = await first.make("ann", Role.VIEWER)
        bob = await first.make("bob", Role.VIEWER)
        await first.ask("ann", "GET", "/api/tasks")
        await first.ask("admin", "DELETE", f"/api/keys/{first.ids['bob']}")
        (used,) = [key.last_used_at for key in first.service.tasks.keys.all() if key.name == "ann"]
        await first.ask("ann", "GET", "/api/tasks")
    async with running(tmp_path) as again:
        assert [key.last_used_at for key in again.tasks.keys.all() if key.name == "ann"] == [used]
        for text, status in ((ann, 200), (bob, 401), ("", 401)):
            assert (await again.client.get("/api/tasks", headers={"X-API-Key": text})).status_code == status


async def test_nothing_of_a_secret_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The text of a key is in no file of the data directory, while the service runs and after, nor in its own log."""
    caplog.set_level(logging.DEBUG)
    async with guarded(tmp_path, {"admin": (Role.ADMIN, EVERYTHING)}) as found:
        made = (await found.ask("admin", "POST", "/api/keys", json={"name": "ann", "role": "operator"})).json()
        found.keys["ann"] = made["key"]
        await found.sign_in("ann")
        await found.ask("ann", "POST", "/api/tasks", json={"plugin": "talk"})
        await found.ask(None, "GET", "/api/tasks", headers={"X-API-Key": made["key"] + "x"})
        await found.ask(None, "POST", "/api/session", json={"key": made["key"] + "x"})
        await found.ask("admin", "DELETE", f"/api/keys/{made['id']}")
        ticket = (await found.ask("admin", "POST", "/api/tickets")).json()["ticket"]
        async with found.socket(f"/ws/tasks?ticket={ticket}") as socket:
            await socket.recv()
        secrets = [key.rpartition(PREFIX)[2].partition("_")[2] for key in found.keys.values()] + [ticket]
        while_running = b"".join(files_in(tmp_path))
    said = "".join(record.getMessage() for record in caplog.records if record.name.startswith(OWN_LOGS))
    assert "was revoked" in said
    for content in (while_running, b"".join(files_in(tmp_path)), said.encode(), "".join(capfd.readouterr()).encode()):
        for secret in secrets:
            assert secret.encode() not in content
    assert any(path.name == "asynclog.db" for path in tmp_path.iterdir())


# --- the database cannot be written ---


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program holds the database."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


async def test_a_key_that_cannot_be_kept_is_not_made(service: Running) -> None:
    """Without a way to write it down there is no first key, and the service stays as open as it was."""
    body = {"name": "root", "role": "admin"}
    with locked(service.tasks.engine.folder / "asynclog.db"):
        assert (await service.client.post("/api/keys", json=body)).status_code == 503
    assert (await service.get("/api/keys", accessshapes.Keys)).keys == []
    assert not service.tasks.keys.lost
    await service.post("/api/keys", body, 201)


async def test_a_revocation_that_cannot_be_kept_counts(guard: Guarded) -> None:
    """Revoking answers 503 while it cannot be written down, counts all the same, and is written down later."""
    await guard.make("ann", Role.VIEWER)
    path = guard.service.tasks.engine.folder / "asynclog.db"
    with locked(path):
        assert (await guard.ask("admin", "DELETE", f"/api/keys/{guard.ids['ann']}")).status_code == 503
        assert (await guard.ask("ann", "GET", "/api/session")).status_code == 401

    def is_kept() -> bool:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            (kept,) = database.execute("SELECT revoked_at IS NOT NULL FROM api_keys WHERE name = 'ann'").fetchone()
        return bool(kept)

    await eventually(is_kept)


# --- the database is lost ---


async def test_a_lost_database_opens_nothing(tmp_path: Path) -> None:
    """Where there were keys and the database is gone, the service does not start open: it says how to make new ones."""
    async with guarded(tmp_path, {"admin": (Role.ADMIN, EVERYTHING)}):
        pass
    for path in tmp_path.glob("asynclog.db*"):
        path.unlink()
    assert (tmp_path / MARK).stat().st_mode & 0o777 == 0o600
    async with open_tasks(tmp_path) as tasks:
        assert (tasks.keys.open, tasks.keys.lost) == (False, True)
        with pytest.raises(InvalidError, match="asynclog keys add"):
            async with listening(tasks):
                pass
        _, text = await tasks.keys.create("root", Role.ADMIN, EVERYTHING)
    async with running(tmp_path) as again:
        assert (await again.client.get("/api/tasks")).status_code == 401
        assert (await again.client.get("/api/tasks", headers={"X-API-Key": text})).status_code == 200


async def test_a_service_in_another_application_asks_too(tmp_path: Path) -> None:
    """A mounted application asks for keys as soon as there are any, unless its owner says who everybody is."""
    async with open_tasks(tmp_path) as tasks:
        everybody = Principal(None, "theirs", Role.VIEWER, AccessScope("acme"))

        async def ask(application: Any, method: str, path: str) -> httpx2.Response:
            transport = httpx2.ASGITransport(app=application)
            async with httpx2.AsyncClient(transport=transport, base_url="http://their.example") as client:
                return await client.request(method, path)

        asking, theirs = create_app(tasks), create_app(tasks, everybody=everybody)
        assert (await ask(asking, "GET", "/api/keys")).status_code == 200
        await tasks.keys.create("root", Role.ADMIN, EVERYTHING)
        assert (await ask(asking, "GET", "/api/session")).status_code == 401
        who = (await ask(theirs, "GET", "/api/session")).json()
        assert (who["name"], who["role"], who["account"]) == ("theirs", "viewer", "acme")
        assert (await ask(theirs, "POST", "/api/tasks")).status_code == 403


async def test_a_lost_mark_is_made_again(tmp_path: Path) -> None:
    """The note that there are keys is written anew when it is missing."""
    async with guarded(tmp_path, {"admin": (Role.ADMIN, EVERYTHING)}):
        pass
    (tmp_path / MARK).unlink()
    async with open_tasks(tmp_path):
        assert (tmp_path / MARK).exists()


async def test_a_database_begun_anew_gets_the_keys(guard: Guarded) -> None:
    """When the database vanishes under the service, the keys go on to count, and are in the new one."""
    path = guard.service.tasks.engine.folder / "asynclog.db"
    for file in path.parent.glob("asynclog.db*"):
        file.unlink()

    def is_back() -> bool:
        if not path.exists():
            return False
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            try:
                return database.execute("SELECT name FROM api_keys").fetchall() == [("admin",)]
            except sqlite3.Error:
                return False

    async with asyncio.timeout(DEADLINE):
        while not is_back():
            assert (await guard.ask(None, "GET", "/api/tasks")).status_code == 401
            assert (await guard.ask("admin", "POST", "/api/tasks", json={"plugin": "talk"})).status_code == 201
            await asyncio.sleep(0.05)
