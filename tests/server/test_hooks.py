"""Webhooks that are signed, as GitHub and Stripe sign theirs: who is let in, once, and what wrong ones bring about."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from asynclog.errors import ConflictError, ForbiddenError, TooManyError
from asynclog.server import body as body_module
from asynclog.server.body import UNPROVEN_BYTES, Bodies
from asynclog.server.failures import FAILURES
from asynclog.server.hooks import PLAIN, SECRET, SIGNATURE, TIMED
from asynclog.server.limits import Limits
from asynclog.server.problems import RefusedError
from asynclog.tasks import hooks as hooks_module
from asynclog.tasks.hooks import OFF_SECONDS, Hooks, hook_of
from asynclog.tasks.plugin import Plugin
from tests.server.raw import head, wire
from tests.server.running import Running, running, talk

KEY = "It's a Secret to Everybody"
HOOKS: dict[str, Any] = {
    "push": {"plugin": "talk", "secret": KEY},
    "other": {"plugin": "talk", "secret": "another secret"},
    "hashed": {"plugin": "talk", "secret": f"sha256:{hashlib.sha256(KEY.encode()).hexdigest()}"},
}
NOW = 1_800_000_000.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """A service with hooks."""
    async with running(tmp_path_factory.mktemp("data"), hooks=HOOKS) as found:
        yield found


def plain(body: bytes, key: str = KEY) -> str:
    """The signature of a body."""
    return f"sha256={hmac.digest(key.encode(), body, 'sha256').hex()}"


def timed(body: bytes, moment: float, key: str = KEY) -> str:
    """The signature of time and body."""
    return f"t={moment:.0f},v1={hmac.digest(key.encode(), b'%.0f.' % moment + body, 'sha256').hex()}"


def known() -> Hooks:
    """The hooks without a service."""
    return Hooks({name: hook_of(hook) for name, hook in HOOKS.items()}, {"talk": Plugin("talk", talk)})


async def call(service: Running, body: bytes, name: str = "push", **headers: str) -> httpx2.Response:
    """Call a hook; underscores stand for dashes."""
    sent = {header.replace("_", "-"): value for header, value in headers.items()}
    return await service.client.post(f"/api/hooks/{name}", content=body, headers=sent)


def test_a_signature_is_the_one_that_github_documents() -> None:
    """The example of GitHub's documentation is let in."""
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert known().signed("push", signature, b"Hello, World!").plugin == "talk"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_signed_body_starts_a_plugin(shared: Running) -> None:
    """A body that is signed with the secret starts the plugin, and is its trigger data; the signature is not in it."""
    body = b'{"ref": "main"}'
    signatures = [(header, plain(body)) for header in PLAIN] + [(name, _fresh(shared, body, name)) for name in TIMED]
    for header, signature in signatures:
        answer = await call(shared, body, **{header: signature, "content_type": "application/json"})
        assert answer.status_code == 201, answer.text
        data = answer.json()["trigger_data"]
        assert data["body"] == {"ref": "main"}
        assert signature not in str(data)


def _fresh(service: Running, body: bytes, name: str) -> str:
    return timed(body, service.tasks.engine.clock.now() / 1_000_000 - TIMED.index(name))


@pytest.mark.asyncio(loop_scope="module")
async def test_a_wrong_signature_starts_nothing(shared: Running) -> None:
    """Of another body, with another secret, in another form, or to a hook that cannot check it: 403. A secret that is
    shown decides alone, and an unknown hook is 404.
    """
    body, before = b"{}", shared.tasks.engine.journal.last_id
    for name, headers in (
        ("push", {SIGNATURE: plain(b"{ }")}),
        ("push", {SIGNATURE: plain(body, "another secret")}),
        ("push", {SIGNATURE: plain(body).removeprefix("sha256=")}),
        ("push", {SIGNATURE: ""}),
        ("push", {SIGNATURE: plain(body), SECRET: "wrong"}),
        ("push", {SIGNATURE: plain(body), TIMED[0]: "t=1,v1=00"}),
        ("other", {SIGNATURE: plain(body)}),
        ("hashed", {SIGNATURE: plain(body)}),
        ("push", {PLAIN[1]: f"sha1={hmac.digest(KEY.encode(), body, 'sha1').hex()}"}),
    ):
        answer = await call(shared, body, name, **headers)
        assert answer.status_code == 403, (name, headers)
    assert (await call(shared, body, "nobody", **{SIGNATURE: plain(body)})).status_code == 404
    assert shared.tasks.engine.journal.last_id == before


@pytest.mark.asyncio(loop_scope="module")
async def test_a_recorded_request_is_good_for_nothing(shared: Running) -> None:
    """What was signed with its time starts one task; sent again it is 409, and with another time 403."""
    body, now = b"{}", shared.tasks.engine.clock.now() / 1_000_000
    signature = timed(body, now - 7)
    assert (await call(shared, body, **{TIMED[0]: signature})).status_code == 201
    again = await call(shared, body, **{TIMED[0]: signature})
    assert (again.status_code, "came already" in again.json()["detail"]) == (409, True)
    later = signature.replace(f"t={now - 7:.0f}", f"t={now:.0f}")
    assert (await call(shared, body, **{TIMED[0]: later})).status_code == 403


def test_a_signature_with_its_time_is_none_of_a_body() -> None:
    """What was signed with its time is not taken as the signature of a body that is time, dot and body: it would count
    for ever.
    """
    recorded = timed(b"{}", NOW).partition(",v1=")[2]
    with pytest.raises(ForbiddenError, match="signed with its time"):
        known().signed("push", f"sha256={recorded}", b"%.0f.{}" % NOW)


async def test_a_request_for_which_there_is_no_room_may_be_repeated(tmp_path: Path) -> None:
    """A signature with its time is not used up where the hook has as many open tasks as it may: it starts one later."""
    hooks = {"hold": {"plugin": "hold", "secret": KEY}}
    async with running(tmp_path, hooks=hooks, limits=Limits(tasks_per_key=1)) as service:
        now = service.tasks.engine.clock.now() / 1_000_000
        first = await call(service, b"1", "hold", **{TIMED[0]: timed(b"1", now)})
        assert first.status_code == 201
        second = {TIMED[0]: timed(b"2", now)}
        assert (await call(service, b"2", "hold", **second)).status_code == 429
        await service.tasks.cancel(first.json()["id"])
        await service.tasks.wait(first.json()["id"])
        assert (await call(service, b"2", "hold", **second)).status_code == 201


@pytest.mark.parametrize("off", [-OFF_SECONDS - 1, OFF_SECONDS + 1])
def test_a_signature_grows_old(off: int) -> None:
    """A time that is off by more than five minutes, either way, is refused; by less it is not."""
    hooks = known()
    with pytest.raises(ForbiddenError, match="off by more than 300 seconds"):
        hooks.signed_now("push", timed(b"x", NOW + off), b"x", NOW)
    near = NOW + (off + 1 if off < 0 else off - 1)
    assert hooks.signed_now("push", timed(b"x", near), b"x", NOW).plugin == "talk"


def test_a_signature_is_remembered_as_long_as_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose time is ahead of ours is remembered until it is too old; then there is room for others."""
    monkeypatch.setattr(hooks_module, "REMEMBERED", 2)
    hooks = known()
    ahead = timed(b"x", NOW + OFF_SECONDS)
    hooks.signed_now("push", ahead, b"x", NOW)
    hooks.signed_now("push", timed(b"y", NOW), b"y", NOW)
    with pytest.raises(TooManyError):
        hooks.signed_now("push", timed(b"z", NOW), b"z", NOW)
    last = NOW + 2 * OFF_SECONDS
    with pytest.raises(ConflictError):
        hooks.signed_now("push", ahead, b"x", last)
    with pytest.raises(ForbiddenError):
        hooks.signed_now("push", ahead, b"x", last + 1)
    assert hooks.signed_now("push", timed(b"z", last + 1), b"z", last + 1).plugin == "talk"


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "t=1",
        "t=,v1=aa",
        "t=-1,v1=aa",
        "t=1,v1=" + "é" * 64,
        "v1=aa,t=1",
        "t=1,v1=" + "a" * 63,
        "t=1" + ",v1=a" * 99,
    ],
)
def test_what_is_no_signature(signature: str) -> None:
    """Anything else than a time and signatures is refused as a wrong one is."""
    with pytest.raises(ForbiddenError):
        known().signed_now("push", signature, b"", NOW)


def test_signatures_may_be_of_several_secrets() -> None:
    """While a secret is changed a sender signs with both; one that fits is enough, other versions are passed over."""
    old, new = timed(b"x", NOW, "the former secret"), timed(b"x", NOW)
    both = f"{old},v0={'0' * 64},{new.partition(',')[2]}"
    assert known().signed_now("push", both, b"x", NOW).plugin == "talk"


async def test_guessing_is_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Who sends wrong secrets or signatures on and on gets 429, and the service's own log says so once; the right one
    is taken all the same.
    """
    async with running(tmp_path, hooks=HOOKS) as service:
        with caplog.at_level(logging.WARNING, "asynclog"):
            headers = [{SECRET: "wrong"}, {SIGNATURE: plain(b"", "wrong")}] * FAILURES
            answers = [(await call(service, b"", **header)).status_code for header in headers]
        assert answers == [403] * FAILURES + [429] * FAILURES
        assert caplog.text.count("10 wrong secrets of webhooks came from 127.0.0.1 within a minute") == 1
        assert (await call(service, b"", **{SECRET: KEY})).status_code == 201
        assert (await call(service, b"", **{SIGNATURE: plain(b"")})).status_code == 201


@pytest.mark.asyncio(loop_scope="module")
async def test_of_a_packed_body_what_it_unpacks_to_is_signed(shared: Running) -> None:
    """Packing, which a proxy may do or undo, changes no signature."""
    packed = gzip.compress(b'{"a": 1}')
    sent = {"content_encoding": "gzip", "content_type": "application/json"}
    answer = await call(shared, packed, **sent, **{SIGNATURE: plain(b'{"a": 1}')})
    assert (answer.status_code, answer.json()["trigger_data"]["body"]) == (201, {"a": 1})
    assert (await call(shared, packed, **sent, **{SIGNATURE: plain(packed)})).status_code in (403, 429)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_body_that_stands_still_keeps_its_room_for_no_longer(
    shared: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much came of a body whose sender is not known yet, it has its twenty seconds and no more."""
    monkeypatch.setattr(body_module, "BODY_SECONDS", 0.2)
    async with wire(shared.url) as client:
        signed = f"{SIGNATURE}: {plain(b'')}"
        client.say(head("POST /api/hooks/push", f"Content-Length: {1 << 20}", signed), b"x" * ((1 << 20) - 1))
        assert (await client.answer()).status == 408
        await client.closed()


def test_strangers_bodies_are_bounded_by_themselves() -> None:
    """Bodies that have to be read to know who sends them take their own part of the room, and give it back."""
    bodies = Bodies()
    with bodies.held() as stranger, bodies.held() as other:
        stranger.unproven = True
        stranger.grow(UNPROVEN_BYTES)
        with pytest.raises(RefusedError):
            stranger.grow(1)
        other.grow(UNPROVEN_BYTES)
    with bodies.held() as stranger:
        stranger.unproven = True
        stranger.grow(UNPROVEN_BYTES)
