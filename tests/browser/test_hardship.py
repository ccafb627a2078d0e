"""A page in real life: keys held down, words half typed, a wrong clock, two windows, a service that restarts."""

import asyncio
import re
from pathlib import Path

from playwright.async_api import BrowserContext, Page, Route, expect

from tests.browser.conftest import WAIT
from tests.browser.panel import Panel
from tests.browser.service import Service, serving, stop

HOUR = 3600


async def test_a_key_held_down_ends_where_the_address_says(page: Page, service: Service) -> None:
    """Hundreds of steps in a second or two move the chosen row by as many, the address names the last one, and the
    browser had no reason to hold the page back.
    """
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    task = await service.external("held", ({"message": f"n {n}"} for n in range(400)))
    await service.finish(task)
    panel = Panel(page, service.url)
    await panel.open(task, "seq=2")
    await panel.at(2)
    await panel.press(*["j"] * 300)
    await panel.at(302)
    await expect(page).to_have_url(re.compile("seq=302$"))
    assert not [text for text in said if "hrottling" in text]


async def test_what_is_half_typed_does_not_call_one_back(page: Page, service: Service) -> None:
    """Whoever types in a search and goes elsewhere at once stays there."""
    task = await service.external("half", [{"message": "n"}])
    for place in (f"/tasks/{task}", "/tasks"):
        await page.goto(f"{service.url}/#{place}")
        field = page.locator("input[type=search]")
        await field.fill("hal")
        await page.evaluate("location.hash = '#/settings'")
        await expect(page.get_by_role("heading", name="Settings")).to_be_visible()
        # Longer than the search waits for the next key.
        await page.wait_for_timeout(400)
        assert page.url.endswith("#/settings")


async def test_a_wrong_clock_makes_no_nonsense(page: Page, service: Service) -> None:
    """On a machine whose clock is an hour behind or ahead, a task that has just begun has just begun."""
    task = await service.call("POST", "/api/tasks", {"plugin": "hold", "name": "clocked"})
    try:
        for shift in (-HOUR, HOUR):
            await page.add_init_script(f"Date.now = (now => () => now() + {shift} * 1000)(Date.now)")
            await page.goto("about:blank")
            await page.goto(f"{service.url}/#/tasks?text=clocked")
            took = page.locator(f'[data-task="{task["id"]}"] td.num').first
            await expect(took).to_have_text(re.compile(r"^\d+(\.\d)? s$"))
            # Undone by the next one, which shifts what this one shifted.
            await page.add_init_script(f"Date.now = (now => () => now() - {shift} * 1000)(Date.now)")
    finally:
        await service.call("POST", f"/api/tasks/{task['id']}/cancel")


async def test_two_windows_keep_what_was_chosen_in_either(
    page: Page, context: BrowserContext, service: Service
) -> None:
    """Colours chosen in one window are used in the other at once, and its next choice takes nothing back."""
    await page.goto(f"{service.url}/#/tasks")
    other = await context.new_page()
    await other.goto(f"{service.url}/#/tasks")
    await page.get_by_role("button", name=re.compile("^Colours")).click()
    await expect(other.locator("html")).to_have_attribute("data-theme", "light")
    task = await service.external("windows", [{"message": "n"}])
    panel = Panel(other, service.url)
    await panel.open(task)
    await panel.press("t")
    await expect(other.get_by_role("button", name="local time")).to_be_visible()
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("data-theme", "light")


async def test_rows_stay_while_the_service_restarts_and_go_on_after_it(page: Page, tmp_path: Path) -> None:
    """Who scrolls on while the service is away keeps what is there, is told so, and gets the rest without asking."""
    async with serving(tmp_path / "data") as service:
        task = await service.external("away", ({"message": f"n {n}"} for n in range(3000)))
        await service.finish(task)
        port = int(service.url.rsplit(":", 1)[1])
        panel = Panel(page, service.url)
        await panel.open(task, "seq=1000")
        await panel.at(1000)
        await stop(service.process)
        await page.get_by_role("list", name="Entries").evaluate("node => (node.scrollTop = 0)")
        await page.get_by_role("list", name="Entries").evaluate("node => (node.scrollTop = node.scrollHeight)")
        await expect(page.get_by_text("More entries cannot be read just now")).to_be_visible()
        assert await panel.rows().count() > 10
    async with serving(tmp_path / "data", port):
        await expect(page.get_by_text("More entries cannot be read just now")).to_have_count(0)
        # Beyond the 500 rows on each side that were read before.
        async with asyncio.timeout(WAIT / 1000):
            while max(await panel.seqs()) <= 1501:
                await panel.wheel(5000)


async def test_the_chart_stays_the_same_while_it_changes(page: Page, service: Service) -> None:
    """New entries change the chart that is there: who drags over it is not left with another one."""
    task = await service.external("drawn", ({"message": f"n {n}"} for n in range(50)))
    panel = Panel(page, service.url)
    await panel.open(task)
    canvas = page.locator("figure canvas")
    await canvas.evaluate("node => (node.dataset.seen = 'yes')")
    await service.log(task, ({"message": f"m {n}", "level": "ERROR"} for n in range(50)))
    await expect(page.locator("figure table")).to_contain_text("50")
    await expect(page.get_by_role("button", name="50 errors")).to_be_visible()
    await expect(canvas).to_have_attribute("data-seen", "yes")
    await service.finish(task)


async def test_answers_that_come_late_undo_nothing(page: Page, service: Service) -> None:
    """A task that began, and one that was deleted, while the list was on its way are in it, and not in it."""
    gone = await service.external("late-gone")
    await service.finish(gone)
    began: list[str] = []

    async def hold(route: Route) -> None:
        answer = await route.fetch()
        if not began:
            began.append(await service.external("late-came"))
            await service.call("DELETE", f"/api/tasks/{gone}")
            # Until the list's socket has told of it.
            await expect(page.locator(f'[data-task="{began[0]}"]')).to_be_visible()
        await route.fulfill(response=answer)

    await page.route("**/api/tasks?*", hold)
    async with page.expect_response("**/api/tasks?*"):
        await page.goto(f"{service.url}/#/tasks?text=late-")
    await expect(page.locator("[data-task]")).to_have_count(1)
    await expect(page.locator(f'[data-task="{began[0]}"]')).to_be_visible()
    await service.finish(began[0])


async def test_another_filter_asked_for_while_a_task_opens_counts(page: Page, service: Service) -> None:
    """Whoever changes the address while the task is on its way sees the rows of the new one."""
    entries = [{"message": "it is a warning", "level": "WARNING"}, {"message": "it is info"}]
    task = await service.external("impatient", entries)
    await service.finish(task)

    async def hold(route: Route) -> None:
        async with page.expect_request("**/logs?min_level=WARNING*"):
            await page.evaluate("location.hash += '?min_level=WARNING'")
        await route.continue_()

    await page.route(f"**/api/tasks/{task}", hold, times=1)
    panel = Panel(page, service.url)
    await panel.open(task)
    await expect(panel.says("it is a warning")).to_be_visible()
    await expect(page.locator("footer")).to_contain_text("1 entry shown")
    await expect(panel.says("it is info")).to_have_count(0)


async def test_the_rows_are_within_reach_of_the_keyboard_and_of_large_print(page: Page, service: Service) -> None:
    """The first key press offers the way past all links and stages to the rows; at 200 % some rows are still seen."""
    await page.set_viewport_size({"width": 720, "height": 450})
    task = await service.run("staged")
    panel = Panel(page, service.url)
    await panel.open(task["id"])
    assert len(await panel.seqs()) >= 4
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="To the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("list", name="Entries")).to_be_focused()
