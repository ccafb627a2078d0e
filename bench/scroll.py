"""The page over a real service in a real Chromium: opening, scrolling and filtering a million entries, and a stream.

A task of a million entries, filters in one of a hundred thousand, and a minute of ten thousand entries a second. Needs
the built page and a Chromium.

The trace is every single frame's time while the wheel turns, in the results' JSON; idle frames of the same browser
are what they are compared with.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
from playwright.async_api import Page, Request, async_playwright

from asynclog import TaskContext
from bench.harness import Bench, Row, Sample, SkippedError
from bench.service import program, serving

ROOT: Final = Path(__file__).resolve().parents[1]
MILLION: Final = 1_000_000
HUNDRED_THOUSAND: Final = 100_000
SOURCES: Final = ("superset_api", "git", "storage", "plugin", "db")
ROUNDS: Final = 15
WHEEL_SECONDS: Final = 20
WHEEL_PIXELS: Final = 480
"""Of one turn, some sixty a second: faster than anybody reads."""
RATE: Final = 10_000
LIVE_SECONDS: Final = 60
_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

_IDLE: Final = """(seconds) => new Promise((done) => {
  const frames = []
  let last = performance.now()
  const end = last + seconds * 1000
  const next = (now) => {
    frames.push(now - last)
    last = now
    if (now < end) requestAnimationFrame(next)
    else done(frames.slice(1))
  }
  requestAnimationFrame(next)
})"""
"""Milliseconds between one frame and the next, for so many seconds."""

_SHOWN: Final = """([address, text]) => new Promise((done) => {
  const began = performance.now()
  location.hash = address
  const look = () => {
    const rows = [...document.querySelectorAll('[data-seq]')]
    const right = rows.every((row) => row.textContent.includes(text))
    const quiet = document.querySelector('.viewport')?.getAttribute('aria-busy') === 'false'
    if (rows.length && right && quiet) done(performance.now() - began)
    else requestAnimationFrame(look)
  }
  requestAnimationFrame(look)
})"""
"""Milliseconds from a changed filter to the frame that shows nothing but its rows: those with a text."""


async def _fill(params: Mapping[str, Any], context: TaskContext) -> None:
    loggers = [context.logger.with_source(source) for source in SOURCES]
    for number in range(params["count"]):
        log = loggers[number % len(loggers)]
        if number % 5000 == 17:
            log.error("entry %d could not be written: no space left on device", number, path=f"/data/{number}")
        else:
            log.info("entry %d of a task, item %x, with a message of ordinary length", number, number * 2654435761)
        if number % 500 == 0:
            await asyncio.sleep(0)


async def _stream(params: Mapping[str, Any], context: TaskContext) -> None:
    loop = asyncio.get_running_loop()
    start, number = loop.time(), 0
    while (passed := loop.time() - start) < params["seconds"]:
        while number < passed * RATE:
            context.logger.info("entry %d of a stream", number, n=number)
            number += 1
        await asyncio.sleep(0.01)


PLUGINS: Mapping[str, object] = {"fill": _fill, "stream": _stream}
"""What the service under measurement runs: `asynclog serve --plugins bench.scroll`."""


def _chromium() -> str | None:
    for name in (os.environ.get("ASYNCLOG_CHROMIUM", ""), *_BROWSERS):
        if name and (found := shutil.which(name)):
            return found
    return None


@asynccontextmanager
async def _service(data: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        program(serving(data, "bench.scroll")) as service,
        httpx2.AsyncClient(base_url=service.url, timeout=60, trust_env=False) as client,
    ):
        yield client


async def _start(client: httpx2.AsyncClient, plugin: str, **params: object) -> str:
    answer = await client.post("/api/tasks", json={"plugin": plugin, "params": params})
    answer.raise_for_status()
    return str(answer.json()["id"])


async def _ended(client: httpx2.AsyncClient, task: str) -> str:
    while (found := (await client.get(f"/api/tasks/{task}")).json())["finished_at"] is None:
        await asyncio.sleep(0.5)
    assert found["status"] == "success", found
    return task


class _Visitor:
    """A tab, and what it still waits for: one turn's counts are over before the next begins, as with a person."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._pending: set[Request] = set()
        page.on("request", self._asked)
        page.on("requestfinished", self._answered)
        page.on("requestfailed", self._answered)

    def _asked(self, request: Request) -> None:
        self._pending.add(request)

    def _answered(self, request: Request) -> None:
        self._pending.discard(request)

    async def quiet(self) -> None:
        """Until nothing has been asked for a quarter of a second."""
        calm = 0
        while calm < 5:
            calm = 0 if self._pending else calm + 1
            await asyncio.sleep(0.05)


async def _open(visitor: _Visitor, address: str) -> float:
    """Milliseconds from an empty tab to the first row."""
    page = visitor.page
    await visitor.quiet()
    await page.goto("about:blank")
    began = asyncio.get_running_loop().time()
    await page.goto(address)
    await page.locator("[data-seq]").first.wait_for()
    return (asyncio.get_running_loop().time() - began) * 1000


async def _jump(visitor: _Visitor, key: str, seq: int) -> float:
    """Milliseconds from a key to the row it goes to."""
    page = visitor.page
    await visitor.quiet()
    began = asyncio.get_running_loop().time()
    await page.keyboard.press(key)
    await page.locator(f'[data-seq="{seq}"]').wait_for()
    return (asyncio.get_running_loop().time() - began) * 1000


async def _heap(page: Page) -> float:
    """Megabytes of the page's heap after a collection."""
    session = await page.context.new_cdp_session(page)
    await session.send("HeapProfiler.collectGarbage")
    used = await session.send("Runtime.getHeapUsage")
    await session.detach()
    return float(used["usedSize"]) / 1e6


async def _wheel(page: Page) -> list[float]:
    """The frames while the wheel turns up through the rows, from the end."""
    await page.locator(".viewport").hover()
    measuring = asyncio.create_task(page.evaluate(_IDLE, WHEEL_SECONDS))
    while not measuring.done():
        await page.mouse.wheel(0, -WHEEL_PIXELS)
        await asyncio.sleep(1 / 60)
    return [float(frame) for frame in await measuring]


def _frames(scenario: str, frames: list[float], idle: list[float], note: str, **extra: float) -> Row:
    p99, without = (sorted(each)[len(each) * 99 // 100] for each in (frames, idle))
    count = min(len(frames), len(idle))
    return Row(
        scenario,
        Sample("page", "ms a frame", frames[:count]),
        Sample("idle", "ms a frame", idle[:count]),
        "p99 < 50 ms",
        f"p99 {p99:.0f} ms (idle {without:.0f}), longest {max(frames):.0f} ms{note}",
        {
            "p99_ms": p99,
            "idle_p99_ms": without,
            "longest_ms": max(frames),
            "over_50_ms": sum(frame > 50 for frame in frames),
            **extra,
        },
    )


async def _million(visitor: _Visitor, url: str, task: str) -> list[Row]:
    page = visitor.page
    address = f"{url}/#/tasks/{task}"
    opens = [await _open(visitor, address) for _ in range(ROUNDS // 3)]
    # The million and what the service says of their beginning and end.
    last = MILLION + 2
    jumps = [await _jump(visitor, key, seq) for key, seq in (("g", 1), ("G", last)) * (ROUNDS // 3)]
    await visitor.quiet()
    idle = [float(frame) for frame in await page.evaluate(_IDLE, WHEEL_SECONDS)]
    before = await _heap(page)
    frames = await _wheel(page)
    after = await _heap(page)
    return [
        Row("open a task of 1,000,000", Sample("page", "ms", opens), None, "< 500 ms"),
        Row("to its start and its end by key", Sample("page", "ms", jumps), None, "< 500 ms"),
        _frames(
            f"scroll through it, {WHEEL_SECONDS} s",
            frames,
            idle,
            f"; heap {before:.0f} -> {after:.0f} MB",
            heap_before_mb=before,
            heap_after_mb=after,
        ),
        await _by_source(visitor, task, MILLION, "< 500 ms"),
        await _search(visitor, task),
    ]


async def _by_source(visitor: _Visitor, task: str, entries: int, target: str) -> Row:
    times = []
    for turn in range(ROUNDS):
        source = SOURCES[turn % len(SOURCES)]
        await visitor.quiet()
        times.append(float(await visitor.page.evaluate(_SHOWN, [f"/tasks/{task}?source={source}", source])))
    return Row(f"another source in a task of {entries:,}", Sample("page", "ms", times), None, target)


async def _search(visitor: _Visitor, task: str) -> Row:
    times = []
    for turn in range(ROUNDS // 3):
        await visitor.quiet()
        text = f"entry {100_000 + turn * 170_007} of"
        address = f"/tasks/{task}?search={text.replace(' ', '%20')}"
        times.append(float(await visitor.page.evaluate(_SHOWN, [address, text])))
    return Row(f"search for one entry of {MILLION:,}", Sample("page", "ms", times), None, "< 1 s")


async def _live(visitor: _Visitor, client: httpx2.AsyncClient, idle: list[float]) -> list[Row]:
    task = await _start(client, "stream", seconds=LIVE_SECONDS)
    page = visitor.page
    await _open(visitor, f"{client.base_url}/#/tasks/{task}".replace("//#", "/#"))
    measuring = asyncio.create_task(page.evaluate(_IDLE, LIVE_SECONDS - 5))
    heap = []
    while not measuring.done():
        heap.append(await _heap(page))
        await asyncio.sleep(5)
    rows = await page.locator("[data-seq]").count()
    ended = (await client.get(f"/api/tasks/{await _ended(client, task)}")).json()
    await page.locator(f'[data-seq="{ended["last_seq"]}"]').wait_for()
    note = f"{ended['last_seq']:,} entries, {ended['dropped']} dropped, {rows} rows in the document"
    return [
        Row(f"heap while {RATE:,}/s stream in, {LIVE_SECONDS} s", Sample("page", "MB", heap), None, "flat", note),
        _frames("frames meanwhile", [float(frame) for frame in await measuring], idle, ""),
    ]


async def _run(bench: Bench, chromium: str) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        async with _service(Path(folder) / "data") as client, async_playwright() as playwright:
            large = await _ended(client, await _start(client, "fill", count=MILLION))
            small = await _ended(client, await _start(client, "fill", count=HUNDRED_THOUSAND))
            browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            page = await browser.new_page(viewport={"width": 1440, "height": 900})
            page.set_default_timeout(60_000)
            url = str(client.base_url).rstrip("/")
            visitor = _Visitor(page)
            rows = await _million(visitor, url, large)
            await _open(visitor, f"{url}/#/tasks/{small}")
            rows.append(await _by_source(visitor, small, HUNDRED_THOUSAND, "< 100 ms"))
            idle = rows[2].theirs
            assert idle is not None
            rows += await _live(visitor, client, list(idle.values))
            await browser.close()
            return rows


def run(bench: Bench) -> list[Row]:
    """Opening, jumping, scrolling, filtering and following; skipped without a Chromium."""
    chromium = _chromium()
    if chromium is None:
        raise SkippedError("there is no Chromium; install one, or name it in ASYNCLOG_CHROMIUM")
    if not (ROOT / "src/asynclog/server/static/index.html").is_file():
        raise SkippedError("the page is not built: `make web`")
    return asyncio.run(_run(bench, chromium))
