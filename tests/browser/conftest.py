"""A real Chromium over a real service. Everything here is asynchronous: the page and the test share one loop."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.browser.service import ROOT, Service, serving

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SHOTS = ROOT / "web" / "test-results"
WAIT = 15_000
"""Milliseconds a page gets to show what is expected."""

expect.set_options(timeout=WAIT)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder that need a browser share one loop with it."""
    for item in items:
        if item.path.parent == Path(__file__).parent and "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: Path) -> AsyncIterator[Browser]:
    """One browser for all tests; each has a context of its own in it."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield running
        await running.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def service(chromium: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """One service for all tests: each makes tasks of its own in it."""
    assert chromium
    assert (ROOT / "src/asynclog/server/static/index.html").is_file(), "the page is not built: `make web`"
    async with serving(tmp_path_factory.mktemp("browser") / "data") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """What one visitor has: storage, clipboard, downloads."""
    own = await browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    own.set_default_timeout(WAIT)
    yield own
    await own.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext, request: pytest.FixtureRequest) -> AsyncIterator[Page]:
    """A page that must not complain: an uncaught error or a refused script or style fails its test. A picture of its
    end is kept in web/test-results/.
    """
    own = await context.new_page()
    complaints: list[str] = []
    own.on("pageerror", lambda error: complaints.append(str(error)))
    own.on("console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None)
    yield own
    SHOTS.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "-", cast("str", request.node.name).lower()).strip("-")
    await own.screenshot(path=SHOTS / f"{name}.png")
    assert not complaints
