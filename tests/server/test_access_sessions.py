"""Sessions of browsers and one-time tickets: what they open, when they end, and what other sites cannot do."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from itsdangerous import TimestampSigner
from websockets.asyncio.client import connect

from asynclog.model import EVERYTHING, AccessScope
from asynclog.principal import Role
from asynclog.server.failures import FAILURES
from asynclog.server.listening import listening
from asynclog.server.tickets import WAITING
from asynclog.tasks.opening import open_tasks
from tests.server.access import COOKIE, MARK, Guarded, closed, cookie, cookie_of, end, guarded
from tests.server.running import Running, running

HOUR = 3600
NAMES = {
    "admin": (Role.ADMIN, EVERYTHING),
    "ann": (Role.OPERATOR, EVERYTHING),
    "bob": (Role.VIEWER, AccessScope("acme")),
}


@pytest.fixture
async def guard(tmp_path: Path) -> AsyncIterator[Guarded]:
    """A service with an admin, an operator and a viewer of one account."""
    async with guarded(tmp_path / "data", NAMES) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def unchanged(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    """The same for those tests of this module that change nothing in it."""
    async with guarded(tmp_path_factory.mktemp("data"), NAMES) as found:
        yield found


async def _sign_in(guard: Guarded, key: str, **headers: str) -> Any:
    answer = await guard.service.client.post("/api/session", json={"key": key}, headers=headers)
    guard.service.client.cookies.clear()
    return answer


# --- signing in ---


async def test_a_browser_signs_in(guard: Guarded) -> None:
    """A key is exchanged for a cookie that no script can read and no other site makes a browser send."""
    answer = await _sign_in(guard, guard.keys["bob"])
    assert answer.json() == {
        "name": "bob", "key_id": guard.ids["bob"], "role": "viewer", "account": "acme", "site": None,
        "all_scopes": False, "open": False, "expires_at": answer.json()["expires_at"],
    }  # fmt: skip
    attributes = answer.headers["set-cookie"].split("; ")
    (age,) = [attribute for attribute in attributes if attribute.startswith("Max-Age=")]
    assert {*attributes[1:]} == {"HttpOnly", "Path=/", "SameSite=strict", age}
    assert 0 < int(age.partition("=")[2]) <= 12 * HOUR
    assert guard.keys["bob"].split("_", 2)[2] not in answer.headers["set-cookie"] + answer.text
    session = cookie(attributes[0].partition("=")[2])
    shown = await guard.ask(None, "GET", "/api/session", headers=session)
    assert shown.json() == answer.json()
    assert (await guard.ask(None, "GET", "/api/tasks", headers=session)).status_code == 200
    assert (await guard.ask(None, "GET", "/api/keys", headers=session)).status_code == 403


@pytest.mark.parametrize("header", [{"x-forwarded-proto": "https"}, {"origin": "https://127.0.0.1:{port}"}])
@pytest.mark.asyncio(loop_scope="module")
async def test_behind_https_the_cookie_keeps_to_it(unchanged: Guarded, header: dict[str, str]) -> None:
    """Where the browser speaks https, the cookie is never sent in the clear."""
    port = unchanged.service.url.rsplit(":", 1)[1]
    headers = {name: value.format(port=port) for name, value in header.items()}
    assert "Secure" in (await _sign_in(unchanged, unchanged.keys["ann"], **headers)).headers["set-cookie"].split("; ")


async def test_a_wrong_key_signs_nobody_in(guard: Guarded) -> None:
    """A wrong key is 401, too many of them 429 with a time to wait; the right one signs in all the same."""
    for _ in range(FAILURES):
        answer = await _sign_in(guard, guard.keys["ann"][:-1])
        assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
    answer = await _sign_in(guard, guard.keys["ann"][:-1])
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert (await _sign_in(guard, guard.keys["ann"])).status_code == 200
    guard.clock.skip(61)
    assert (await _sign_in(guard, "x")).status_code == 401


async def test_without_keys_there_is_nothing_to_sign_in_with(service: Running) -> None:
    """In a service that asks nobody signing in is 401, and signing out changes nothing."""
    assert (await service.client.post("/api/session", json={"key": "x"})).status_code == 401
    assert (await service.client.delete("/api/session")).status_code == 204


# --- what a cookie is good for ---


async def test_a_forged_cookie_opens_nothing(guard: Guarded) -> None:
    """A cookie that was changed anywhere, signed with another secret, or put together from two is 401."""
    text = await guard.sign_in("ann")
    other = await guard.sign_in("admin")
    name, stamp, signature = text.split(".")
    wrong = [
        "", ".", "..", "x", name, f"{name}.{stamp}", f"{name}.{stamp}.", f".{stamp}.{signature}", f"{text}.{text}",
        f"{guard.ids['admin']}{name[12:]}.{stamp}.{signature}",
        f"{other.split('.')[0]}.{stamp}.{signature}",
        f"{name}.{other.split('.')[1][:-1]}_.{signature}",
        f"{name}.{base64.urlsafe_b64encode((2**40).to_bytes(6)).decode()}.{signature}",
        f"{name}.{stamp}.{signature[:-2]}AA", f"{name}.{stamp}.{signature[:9]}!{signature[9:]}", f"{text}=",
        f"{name}.{stamp}.{signature[:-1]}{chr(ord(signature[-1]) + 1)}",
        TimestampSigner(b"", salt="asynclog.session").sign(name).decode(),
        TimestampSigner("x" * 32).sign(name).decode(),
        guard.keys["ann"],
    ]  # fmt: skip
    for forged in wrong:
        answer = await guard.ask(None, "GET", "/api/session", headers=cookie(forged))
        assert answer.status_code == 401, forged
    assert (await guard.ask(None, "GET", "/api/session", headers=cookie(text))).status_code == 200


async def test_our_signature_on_something_else_opens_nothing(guard: Guarded) -> None:
    """A text that we signed, but for no session, is none."""
    signer = guard.service.tasks.keys.session_secret
    for name in ("", "x", guard.ids["ann"], f"{guard.ids['ann']}-", f"{guard.ids['ann']}-{'0' * 31}"):
        for salt in ("asynclog.session", "itsdangerous.Signer"):
            forged = TimestampSigner(signer, salt=salt, key_derivation="hmac").sign(name).decode()
            assert (await guard.ask(None, "GET", "/api/session", headers=cookie(forged))).status_code == 401


async def test_a_session_lasts_twelve_hours(guard: Guarded) -> None:
    """A session ends by itself, for requests and for the WebSockets that it opened."""
    text = await guard.sign_in("ann")
    async with guard.socket("/ws/tasks", **cookie(text)) as socket:
        await socket.recv()
        guard.clock.skip(12 * HOUR - 60)
        assert (await guard.ask(None, "GET", "/api/session", headers=cookie(text))).status_code == 200
        guard.clock.skip(60)
        assert (await guard.ask(None, "GET", "/api/session", headers=cookie(text))).status_code == 401
        assert await end(socket) == 4401
    assert (await guard.ask("ann", "GET", "/api/session")).status_code == 200, "the key goes on"


async def test_a_session_ends_with_its_key(guard: Guarded) -> None:
    """No session outlives its key: neither its expiry nor its revocation."""
    await guard.make("short", Role.VIEWER, days=1 / 24)
    answer = await _sign_in(guard, guard.keys["short"])
    seconds = int(answer.headers["set-cookie"].partition("Max-Age=")[2].partition(";")[0])
    assert 0 < seconds <= HOUR
    short, ann = await guard.sign_in("short"), await guard.sign_in("ann")
    guard.clock.skip(HOUR)
    assert (await guard.ask(None, "GET", "/api/tasks", headers=cookie(short))).status_code == 401
    async with guard.socket("/ws/tasks", **cookie(ann)) as socket:
        await socket.recv()
        await guard.ask("admin", "DELETE", f"/api/keys/{guard.ids['ann']}")
        assert await end(socket) == 4401
    assert (await guard.ask(None, "GET", "/api/tasks", headers=cookie(ann))).status_code == 401


async def test_signing_out_ends_the_session(tmp_path: Path) -> None:
    """After signing out the cookie opens nothing, wherever it was kept, also after a restart; others go on."""
    async with guarded(tmp_path, NAMES) as guard:
        ann, again = await guard.sign_in("ann"), await guard.sign_in("ann")
        async with guard.socket("/ws/tasks", **cookie(ann)) as socket:
            await socket.recv()
            answer = await guard.ask(None, "DELETE", "/api/session", headers={**cookie(ann), **MARK})
            assert await end(socket) == 4401
        assert answer.status_code == 204
        assert answer.headers["set-cookie"].startswith(f'{COOKIE}=""; ')
        assert "Max-Age=0" in answer.headers["set-cookie"]
        for session, status in ((ann, 401), (again, 200)):
            assert (await guard.ask(None, "GET", "/api/session", headers=cookie(session))).status_code == status
    async with running(tmp_path) as service:
        for session, status in ((ann, 401), (again, 200)):
            assert (await service.client.get("/api/session", headers=cookie(session))).status_code == status


async def test_signing_in_anew_ends_the_former_session(guard: Guarded) -> None:
    """A browser that signs in again, as whomever, leaves no session behind; a wrong key ends none."""
    ann = await guard.sign_in("ann")
    assert (await _sign_in(guard, guard.keys["ann"][:-1], **cookie(ann))).status_code == 401
    assert (await guard.ask(None, "GET", "/api/session", headers=cookie(ann))).status_code == 200
    bob = await guard.sign_in("bob", **cookie(ann))
    for session, status in ((ann, 401), (bob, 200)):
        assert (await guard.ask(None, "GET", "/api/session", headers=cookie(session))).status_code == status


# --- other sites ---


async def test_a_session_changes_nothing_without_the_header(guard: Guarded) -> None:
    """A browser sends the cookie along whoever asks it to: only our page adds the header that writing takes."""
    session = cookie(await guard.sign_in("ann"))
    body = {"external": True, "name": "x"}
    refused = await guard.ask(None, "POST", "/api/tasks", json=body, headers=session)
    assert (refused.status_code, "X-Asynclog: 1" in refused.json()["detail"]) == (403, True)
    for value in ("", "0", "true", "1, 1"):
        answer = await guard.ask(None, "POST", "/api/tasks", json=body, headers={**session, "X-Asynclog": value})
        assert answer.status_code == 403, value
    assert (await guard.ask(None, "DELETE", "/api/session", headers=session)).status_code == 403
    assert (await guard.ask(None, "POST", "/api/tickets", headers=session)).status_code == 403
    made = await guard.ask(None, "POST", "/api/tasks", json=body, headers={**session, **MARK})
    assert made.status_code == 201
    logs = f"/api/tasks/{made.json()['id']}/logs"
    lines = {"content": b'{"message": "m"}\n'}
    for media, status in (
        ("application/x-ndjson", 200), ("application/json; charset=utf-8", 200), ("text/plain", 415), ("", 415),
        ("multipart/form-data; boundary=x", 415), ("application/x-www-form-urlencoded", 415),
    ):  # fmt: skip
        answer = await guard.ask(None, "POST", logs, headers={**session, **MARK, "Content-Type": media}, **lines)
        assert answer.status_code == status, media
    assert (await guard.ask("ann", "POST", logs, **lines)).status_code == 200, "a program with a key names no type"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_another_site_changes_nothing(unchanged: Guarded, headers: dict[str, str]) -> None:
    """A write that a page of another site makes is 403, with whatever it manages to send; so is its WebSocket."""
    ask, ann = unchanged.ask, unchanged.keys["ann"]
    session = {**cookie(await unchanged.sign_in("ann")), **MARK, **headers}
    body = {"external": True, "name": "x"}
    assert (await ask(None, "POST", "/api/tasks", json=body, headers=session)).status_code == 403
    assert (await ask("ann", "POST", "/api/tasks", json=body, headers=headers)).status_code == 403
    assert (await ask(None, "POST", "/api/session", json={"key": ann}, headers=headers)).status_code == 403
    with pytest.raises(Exception, match="HTTP 403"):
        async with unchanged.socket("/ws/tasks", **session):
            pass
    assert (await ask("admin", "GET", "/api/tasks")).json()["tasks"] == []


async def test_behind_a_proxy(tmp_path: Path) -> None:
    """By the names and from the origins it was given the service is used as by its own address, and by no others."""
    there = {"Host": "logs.example.org", "Origin": "https://logs.example.org"}
    rewritten = {"Origin": "https://logs.example.org"}  # a proxy that puts the address for the name
    async with open_tasks(tmp_path) as tasks:
        _, key = await tasks.keys.create("root", Role.ADMIN, EVERYTHING)
        async with (
            listening(tasks, hosts=["logs.example.org"], origins=["https://logs.example.org"]) as url,
            httpx2.AsyncClient(base_url=url, trust_env=False) as client,
        ):
            session: dict[str, str] = {}
            for headers in (there, rewritten):
                answer = await client.post("/api/session", json={"key": key}, headers=headers)
                client.cookies.clear()
                assert "; Secure" in answer.headers["set-cookie"]
                session = {**cookie(cookie_of(answer)), **MARK}
                body = {"external": True, "name": "x"}
                made = await client.post("/api/tasks", json=body, headers={**session, **headers})
                assert made.status_code == 201
                for changed in ({"Host": "evil.example"}, {"Origin": "http://logs.example.org"}):
                    answer = await client.post("/api/tasks", json=body, headers={**session, **headers, **changed})
                    assert answer.status_code == 403, changed
            place = url.replace("http:", "ws:") + "/ws/tasks"
            async with connect(place, additional_headers={**session, **rewritten}, proxy=None) as socket:
                await socket.recv()


@pytest.mark.parametrize(
    "media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"]
)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_form_changes_nothing_where_all_is_open(shared: Running, media: str) -> None:
    """Without keys, too, a page's form is refused, even our own page's; a program may send any type or none."""
    body = b'{"external": true, "name": "x"}'
    for browser in ({"Origin": shared.url}, {"Sec-Fetch-Site": "same-origin"}):
        answer = await shared.client.post("/api/tasks", content=body, headers={"Content-Type": media, **browser})
        assert answer.status_code == 415
    assert (await shared.client.post("/api/tasks", content=body, headers={"Content-Type": media})).status_code == 201
    assert (await shared.client.post("/api/tasks", content=body)).status_code == 201


# --- tickets ---


async def _ticket(guard: Guarded, name: str) -> str:
    answer = await guard.ask(name, "POST", "/api/tickets")
    assert answer.status_code == 201, answer.text
    return str(answer.json()["ticket"])


async def test_a_ticket_lets_one_socket_in(guard: Guarded) -> None:
    """A ticket opens one WebSocket, as its maker; the second time, or with anything changed, it is 4401."""
    foreign = (await guard.ask("ann", "POST", "/api/tasks", json={"external": True, "name": "x"})).json()["id"]
    ticket = await _ticket(guard, "ann")
    async with guard.socket(f"/ws/tasks/{foreign}/logs?after=0&ticket={ticket}") as socket:
        await socket.recv()
    for wrong in (ticket, ticket + "x", "", "%00", f"x&ticket={ticket}"):
        assert await closed(guard.socket(f"/ws/tasks?ticket={wrong}")) == 4401
    of_bob = await _ticket(guard, "bob")
    assert await closed(guard.socket(f"/ws/tasks/{foreign}/logs?ticket={of_bob}")) == 4404


async def test_two_tickets_are_none(guard: Guarded) -> None:
    """A WebSocket that shows two tickets gets in with neither."""
    first, second = await _ticket(guard, "ann"), await _ticket(guard, "ann")
    assert await closed(guard.socket(f"/ws/tasks?ticket={first}&ticket={second}")) == 4401


async def test_a_late_ticket_opens_nothing(guard: Guarded) -> None:
    """A ticket counts for 30 seconds."""
    late, early = await _ticket(guard, "ann"), await _ticket(guard, "ann")
    guard.clock.skip(29)
    async with guard.socket(f"/ws/tasks?ticket={early}") as socket:
        await socket.recv()
    guard.clock.skip(1)
    assert await closed(guard.socket(f"/ws/tasks?ticket={late}")) == 4401


async def test_a_ticket_ends_with_what_made_it(guard: Guarded) -> None:
    """A ticket of a revoked key, or of a session that was signed out of, opens nothing; what it opened is closed."""
    session = cookie(await guard.sign_in("ann"))
    made = await guard.ask(None, "POST", "/api/tickets", headers={**session, **MARK})
    again = await guard.ask(None, "POST", "/api/tickets", headers={**session, **MARK})
    async with guard.socket(f"/ws/tasks?ticket={made.json()['ticket']}") as socket:
        await socket.recv()
        await guard.ask(None, "DELETE", "/api/session", headers={**session, **MARK})
        assert await end(socket) == 4401
    assert await closed(guard.socket(f"/ws/tasks?ticket={again.json()['ticket']}")) == 4401
    ticket = await _ticket(guard, "ann")
    await guard.ask("admin", "DELETE", f"/api/keys/{guard.ids['ann']}")
    assert await closed(guard.socket(f"/ws/tasks?ticket={ticket}")) == 4401


async def test_a_ticket_is_for_sockets_alone(guard: Guarded) -> None:
    """No route takes a ticket in its address, nor as a key; and nobody hoards them."""
    ticket = await _ticket(guard, "ann")
    assert (await guard.ask(None, "GET", f"/api/tasks?ticket={ticket}")).status_code == 401
    refused = await guard.ask("ann", "GET", f"/api/tasks?ticket={ticket}")
    assert (refused.status_code, ticket in refused.text) == (422, False)
    assert (await guard.ask(None, "GET", "/api/tasks", headers={"X-API-Key": ticket})).status_code == 401
    for _ in range(WAITING - 1):
        await _ticket(guard, "ann")
    assert (await guard.ask("ann", "POST", "/api/tickets")).status_code == 429
    assert (await guard.ask("bob", "POST", "/api/tickets")).status_code == 201, "others are not touched"
    guard.clock.skip(30)
    await _ticket(guard, "ann")


async def test_without_keys_a_ticket_is_not_looked_at(service: Running) -> None:
    """Where nobody is asked, a client that brings a ticket gets in like one that brings none."""
    made = await service.post("/api/tickets", None, 201)
    for ticket in (made["ticket"], "any"):
        async with service.socket(f"/ws/tasks?ticket={ticket}") as socket:
            await socket.recv()
