"""Behind a reverse proxy: who is believed to say who asks."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from asynclog.errors import InvalidError
from asynclog.server.failures import FAILURES
from asynclog.server.limits import Limits
from tests.server.raw import head, wire
from tests.server.running import Running, running

FAR = "203.0.113.7"


async def audited(service: Running) -> str:
    """From where a key was made, by what the audit says."""
    made = await service.client.post(
        "/api/keys", json={"name": "first", "role": "admin"}, headers={"X-Forwarded-For": FAR}
    )
    service.client.headers["Authorization"] = f"Bearer {made.json()['key']}"
    audit = (await service.client.get("/api/audit")).json()
    return str(audit["entries"][0]["metadata"]["address"])


async def test_a_proxy_that_is_trusted_says_who_asks(tmp_path: Path) -> None:
    """The audit names the address that the proxy saw; what a client itself put before it is not believed."""
    async with running(tmp_path, proxies=["127.0.0.0/8"]) as service:
        assert await audited(service) == FAR
        forged = f"198.51.100.1, {FAR}"
        for _ in range(FAILURES):
            answer = await service.client.post(
                "/api/session", json={"key": "wrong"}, headers={"X-Forwarded-For": forged}
            )
            assert answer.status_code == 401
        answer = await service.client.post("/api/session", json={"key": "wrong"}, headers={"X-Forwarded-For": FAR})
        assert answer.status_code == 429
        answer = await service.client.post("/api/session", json={"key": "wrong"}, headers={"X-Forwarded-For": "::1"})
        assert answer.status_code == 401


async def test_nobody_else_is_believed(tmp_path: Path) -> None:
    """Without a trusted proxy, or from elsewhere than there, the header means nothing."""
    async with running(tmp_path / "none") as service:
        assert await audited(service) == "127.0.0.1"
    async with running(tmp_path / "other", proxies=["10.0.0.0/8"]) as service:
        assert await audited(service) == "127.0.0.1"


async def test_all_of_a_proxys_connections_are_not_one_clients(tmp_path: Path) -> None:
    """The half of all connections that one address may have does not bind the proxy, the whole does."""
    limits = Limits(connections=10)
    async with running(tmp_path, limits=limits, proxies=["127.0.0.1"]) as service, AsyncExitStack() as stack:
        for _ in range(10):
            client = await stack.enter_async_context(wire(service.url))
            client.say(head("GET /healthz"))
            assert (await client.answer()).status == 200
        async with wire(service.url) as one_more:
            assert (await one_more.answer()).status == 503


@pytest.mark.parametrize("proxy", ["", "proxy.example.org", "10.0.0.1/8", "*"])
async def test_what_is_no_address_is_refused(tmp_path: Path, proxy: str) -> None:
    """A proxy is given by its address or a network, and a name or a star stops the start with a sentence."""
    with pytest.raises(InvalidError, match="give an address"):
        async with running(tmp_path, proxies=[proxy]):
            pass
