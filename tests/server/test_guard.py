"""What a browser may do here: the page's own headers, and no other site's pages."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from asynclog.server import create_app, page, shapes
from asynclog.server.names import Names, is_loopback
from asynclog.tasks.opening import open_tasks
from tests.server.running import Running

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8700", "10.0.0.1", ""]
)
async def test_a_foreign_name_is_refused(shared: Running, host: str) -> None:
    """A request by a name that is not this machine's own is 403: no site can let its name point here."""
    response = await shared.client.get("/api/tasks", headers={"host": host})
    assert response.status_code == 403
    assert response.headers["content-type"] == "application/problem+json"
    port = int(shared.url.rsplit(":", 1)[1])
    with pytest.raises(InvalidStatus, match="403"):
        async with connect(f"ws://{host or 'x'}/ws/tasks", host="127.0.0.1", port=port, proxy=None):
            pass


async def test_two_names_are_none(shared: Running) -> None:
    """A request that says two hosts is 403."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(shared.url.rsplit(":", 1)[1]))
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n")
    assert (await reader.readline()).split()[1] == b"403"
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:9", "[::1]:8700"])
async def test_this_machines_names_are_ours(shared: Running, host: str) -> None:
    """Every name of the loopback is good, with any port, so that tunnels work."""
    assert (await shared.client.get("/healthz", headers={"host": host})).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://[", ""])
async def test_a_foreign_page_changes_nothing(shared: Running, origin: str) -> None:
    """A page of another site, or of another port, can neither write nor open a WebSocket."""
    response = await shared.client.post("/api/tasks", json={"plugin": "talk"}, headers={"origin": origin})
    assert response.status_code == 403
    with pytest.raises(InvalidStatus, match="403"):
        async with shared.socket("/ws/tasks", additional_headers={"origin": origin}):
            pass


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 201), ("none", 201)]
)
async def test_a_page_that_does_not_name_itself(shared: Running, site: str, status: int) -> None:
    """Where a browser tells no origin, it tells whether the page is of this site; one of another changes nothing."""
    headers = {"sec-fetch-site": site}
    response = await shared.client.post("/api/tasks", json={"plugin": "talk"}, headers=headers)
    assert response.status_code == status
    assert (await shared.client.get("/api/tasks", headers=headers)).status_code == 200, "a link may be followed"


async def test_our_own_page_may(shared: Running) -> None:
    """A page from this very address writes and opens WebSockets."""
    response = await shared.client.post("/api/tasks", json={"plugin": "talk"}, headers={"origin": shared.url})
    assert response.status_code == 201
    async with shared.socket("/ws/tasks", additional_headers={"origin": shared.url}) as socket:
        await socket.recv()


async def test_every_answer_is_dressed(shared: Running) -> None:
    """API answers, errors among them, are not cached, sniffed, framed or read by other sites."""
    for path in ("/api/tasks", "/nix", "/api/tasks?x=1", "/healthz", "/metrics"):
        headers = (await shared.client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in headers


async def test_the_page_and_its_files(shared: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page has a strict policy and is asked for anew each time; its files are kept for ever; nothing else is."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html>the page")
    (tmp_path / "assets" / "index-abc.js").write_text("1")
    (tmp_path / "secret.js").write_text("no")
    monkeypatch.setattr(page, "STATIC", tmp_path)
    shown = await shared.client.get("/")
    assert shown.text == "<!doctype html>the page"
    assert shown.headers["content-security-policy"] == page.POLICY
    assert "default-src 'none'" in page.POLICY
    assert "unsafe" not in page.POLICY
    assert shown.headers["cache-control"] == "no-cache"
    script = await shared.client.get("/assets/index-abc.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    for name in ("none.js", "..%2fsecret.js", ".hidden.js", "index-abc.exe", "x%00.js"):
        assert (await shared.client.get(f"/assets/{name}")).status_code == 404, name


async def test_an_unbuilt_page_says_so(shared: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a built page / says how to build it."""
    monkeypatch.setattr(page, "STATIC", tmp_path)
    assert "make web" in (await shared.client.get("/")).text


async def test_it_mounts_into_another_application(tmp_path: Path) -> None:
    """The service works below a path of somebody else's application, which decides about hosts itself."""
    async with open_tasks(tmp_path) as tasks:
        app = Starlette(routes=[Mount("/logs", app=create_app(tasks))])
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://their.example/logs") as client:
            created = await client.post("/api/tasks", json={"external": True, "name": "x"})
            assert created.status_code == 201
            place = created.headers["location"]
            assert place.startswith("/logs/api/tasks/")
            shown = await client.get(f"http://their.example{place}")
            assert shown.json()["id"] == created.json()["id"]
            assert (await client.get("/nix")).status_code == 404
            assert (await client.get("/")).status_code == 200
            assert set((await client.get("/readyz")).json()) == set(shapes.Readiness.__struct_fields__)


async def test_addresses_are_told_apart() -> None:
    """Loopback is what only this machine reaches; elsewhere the machine's names and any address are good."""
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost", "LocalHost"))
    assert not any(is_loopback(host) for host in ("10.0.0.1", "::", "example.org", "localhost.example"))
    assert Names.of("127.0.0.1").hosts == frozenset({"localhost", "127.0.0.1", "::1"})
    assert {"*", "0.0.0.0", "localhost"} <= (Names.of("0.0.0.0").hosts or set())  # noqa: S104 - compared only
