"""The page and its files: nothing inline, nothing from elsewhere, nothing but its own files."""

from __future__ import annotations

import gzip
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from asynclog.server import page
from tests.server.raw import head, wire
from tests.server.running import Running

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "web" / "index.html"


class Inline(HTMLParser):
    """What a page does not take from a file of its own."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.files: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        given = dict(attrs)
        self.found += [f"{tag} {name}" for name in given if name.startswith("on") or name == "style"]
        for name in ("src", "href"):
            address = given.get(name) or ""
            self.files.append(address)
            if re.match(r"(?i)\s*(javascript|data|https?):|//", address):
                self.found.append(f"{tag} {name}={address}")
        if tag == "style":
            self.found.append("style")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside.removesuffix(tag)

    def handle_data(self, data: str) -> None:
        if self._inside == "script" and data.strip():
            self.found.append(f"script {data[:60]}")


@pytest.mark.parametrize("path", [TEMPLATE, page.STATIC / "index.html"], ids=["source", "built"])
async def test_nothing_is_inline(path: Path) -> None:
    """The page has neither script nor style of its own, no handlers, and no address elsewhere: the policy forbids them,
    and nothing in it needs an exception.
    """
    if not path.is_file():
        pytest.skip("the page was not built; make web builds it")
    parsed = Inline(path.read_text(encoding="utf-8"))
    assert any(file.endswith((".js", ".ts")) for file in parsed.files)
    assert not parsed.found


async def test_the_unbuilt_page_needs_nothing() -> None:
    """Nor has the page that says how to build it."""
    assert not Inline(page._UNBUILT).found


async def test_the_policy_is_strict(shared: Running) -> None:
    """The page runs its own files and no text as code, is shown in no frame, and asks for nothing it does not need."""
    headers = (await shared.client.get("/")).headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "camera=()" in headers["permissions-policy"]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/assets/..%2f..%2fapp.py",
        "/assets/../app.py",
        "/assets/%2e%2e/app.py",
        "/assets/..%5c..%5capp.py",
        "/assets/....//app.py",
        "/assets/%252e%252e%252fapp.py",
        "/assets//etc/passwd",
        "/assets/%00index.js",
        "/assets/index.js%00.css",
        "/assets/.",
        "/assets/..",
        "/assets/%2e",
        "/assets/index.html",
        "/assets/" + "a" * 20_000 + ".js",
        "/assets/C:%5cwindows.js",
        "/static/index.html",
        "/index.html",
        "/..%2f..%2f..%2fetc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
    ],
    ids=lambda path: path[:40],
)
async def test_no_other_file_is_served(shared: Running, path: str) -> None:
    """However a path is written, nothing but a file of the build is given out: everything else is 404."""
    async with wire(shared.url) as client:
        client.say(head(f"GET {path}"))
        answer = await client.answer()
    assert answer.status == 404
    answer.problem()


async def test_ranges_of_a_file_are_bounded(shared: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever parts of a file are asked for, thousands of overlapping ones or none there are, it is sent whole."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "x.js").write_bytes(b"x" * 10_000)
    monkeypatch.setattr(page, "STATIC", tmp_path)
    many = ",".join(f"{start}-" for start in range(2000))
    for ranges in (f"bytes={many}", "bytes=-1-", "bytes=9-1", "lines=1-2", "bytes=" + "9" * 5000 + "-"):
        answer = await shared.client.get("/assets/x.js", headers={"range": ranges})
        assert (answer.status_code, answer.headers["accept-ranges"]) == (200, "none"), ranges
        assert len(answer.content) < 11_000


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip, deflate, br, zstd", True),
        ("br, GZIP;q=0.5", True),
        ("gzip; q=0, br", False),
        ("gzip;q=0.000", False),
        ("xgzip", False),
        ("identity", False),
    ],
)
async def test_files_come_packed_to_those_who_can_unpack(
    shared: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accepted: str, packed: bool
) -> None:
    """Whoever takes gzip gets what the build packed, and all the same bytes in the end; caches keep both apart."""
    text = b"export const x = 1\n" * 1000
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "x.js").write_bytes(text)
    (tmp_path / "assets" / "x.js.gz").write_bytes(gzip.compress(text))
    monkeypatch.setattr(page, "STATIC", tmp_path)
    answer = await shared.client.get("/assets/x.js", headers={"accept-encoding": accepted})
    assert answer.content == text
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["vary"] == "Accept-Encoding"
    assert (answer.headers.get("content-encoding") == "gzip") is packed
    assert (await shared.client.get("/assets/x.js.gz")).status_code == 404
