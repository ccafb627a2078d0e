"""Opening a task: its rows before anything else, none of them missed, on a desk and on a phone."""

import asyncio
import re

import pytest
from playwright.async_api import Page, Request, Route, expect

from tests.browser.panel import Panel
from tests.browser.service import Service

LONG = "the message of an entry that is told in full however narrow the screen is, up to its very last word"


async def test_the_rows_are_asked_for_before_everything_else(page: Page, service: Service) -> None:
    """Who one is, the task and its first rows are asked for at once; counts, stages and the chart when rows stand."""
    task = await service.external("asked", ({"message": f"entry {n}"} for n in range(2, 1_000)))
    await service.finish(task)
    asked: list[str] = []

    def note(request: Request) -> None:
        path = request.url.removeprefix(service.url).partition("?")[0]
        asked.append(re.sub(r"-[\w-]{8}\.", ".", path))

    page.on("request", note)
    held = asyncio.Event()

    async def hold(route: Route) -> None:
        await held.wait()
        await route.continue_()

    await page.route("**/api/**", hold)
    opening = asyncio.create_task(page.goto(f"{service.url}/#/tasks/{task}"))
    wanted = {"/api/session", f"/api/tasks/{task}", f"/api/tasks/{task}/logs"}
    async with asyncio.timeout(15):
        while wanted - set(asked):
            await asyncio.sleep(0.02)
    await opening
    assert {path for path in asked if path.startswith("/api/")} == wanted
    assert not [path for path in asked if re.search(r"Panel|Histogram|View", path)]
    held.set()
    await expect(page.locator('[data-seq="1000"]')).to_be_in_viewport()
    async with asyncio.timeout(15):
        while not any("Histogram" in path for path in asked):
            await asyncio.sleep(0.02)
    assert f"/api/tasks/{task}/logs/stats" in asked
    assert asked.count(f"/api/tasks/{task}/logs") == 1, "the rows beyond the screen can wait"
    assert not [path for path in asked if "Panel" in path], "menus and dialogs come when they are wanted"


@pytest.mark.parametrize("ended", [False, True])
async def test_what_comes_between_two_answers_is_not_missed(page: Page, service: Service, ended: bool) -> None:
    """The rows were read before the task was: what was logged in between is on screen too, in order, once."""
    task = await service.external("between", ({"message": f"entry {n}"} for n in range(2, 51)))

    async def late(route: Route) -> None:
        async with asyncio.timeout(15):
            await answered.wait()
        await service.log(task, [{"message": f"later {n}"} for n in range(51, 71)])
        if ended:
            await service.finish(task)
        await route.continue_()

    answered = asyncio.Event()
    page.on("requestfinished", lambda request: answered.set() if "/logs?" in request.url else None)
    await page.route(f"**/api/tasks/{task}", late, times=1)
    panel = Panel(page, service.url)
    await panel.open(task)
    last = 71 if ended else 70
    await expect(panel.row(last)).to_be_in_viewport()
    seqs = await panel.seqs()
    assert seqs == list(range(seqs[0], last + 1))
    await expect(panel.says("later 70")).to_have_count(1)


async def test_a_failed_task_opens_at_its_first_error(page: Page, service: Service) -> None:
    """Though its end was read first, what is shown is where it broke."""
    entries = [{"message": f"entry {n}", "level": "ERROR" if n in (300, 900) else "INFO"} for n in range(2, 1_000)]
    task = await service.external("broken", entries)
    await service.finish(task, "failed", error_message="it broke")
    panel = Panel(page, service.url)
    await panel.open(task)
    await panel.at(300)


async def test_details_are_shown_where_they_open(page: Page, service: Service) -> None:
    """The last row's details open below the edge of the list: it moves, and all of them are seen."""
    task = await service.external("details", ({"message": f"entry {n}", "metadata": {"n": n}} for n in range(2, 200)))
    panel = Panel(page, service.url)
    await panel.open(task)
    await panel.row(199).click()
    await panel.press("Enter")
    await expect(panel.row(199).get_by_role("button", name="Copy JSON")).to_be_in_viewport()
    await expect(panel.row(199).locator(".meta")).to_be_in_viewport(ratio=1)


async def test_on_a_phone_nothing_is_cut_off(page: Page, service: Service) -> None:
    """At 390 pixels every page is one touch away, nothing sticks out at the side, and messages are told in full."""
    task = await service.external("a name that is rather long for so narrow a screen", [{"message": LONG}])
    await page.set_viewport_size({"width": 390, "height": 844})
    panel = Panel(page, service.url)
    await panel.open(task)
    row = panel.says(LONG)
    await expect(row).to_be_in_viewport(ratio=1)
    fits = "(row) => [...row.querySelectorAll('.message')].every((each) => each.scrollWidth <= each.clientWidth)"
    assert await row.evaluate(fits)
    for view in ("tasks", "logs", "plugins", "schedules", "keys", "settings"):
        await page.get_by_role("link", name=view.capitalize(), exact=True).click()
        await expect(page.get_by_role("link", name=view.capitalize(), exact=True)).to_have_attribute(
            "aria-current", "page"
        )
        for link in await page.locator("nav .link").all():
            await expect(link).to_be_in_viewport(ratio=1)
        wide = "() => [...document.querySelectorAll('main *')].every((each) => each.clientWidth <= innerWidth)"
        assert await page.evaluate(wide), view


async def test_what_drops_down_gives_the_focus_back(page: Page, service: Service) -> None:
    """Opened by keyboard, also for the first time, a menu and a choice take the focus, and give it back at Escape."""
    task = await service.external("focus", [{"message": "m"}])
    panel = Panel(page, service.url)
    await panel.open(task)
    for name, inside in (("Download", page.get_by_role("menuitem").first), ("time", page.get_by_label("from"))):
        button = page.get_by_role("button", name=name, exact=True)
        for _ in range(2):
            await button.focus()
            await page.keyboard.press("Enter")
            await expect(inside).to_be_visible()
            await expect(button).not_to_be_focused()
            await page.keyboard.press("Escape")
            await expect(inside).to_have_count(0)
            await expect(button).to_be_focused()
