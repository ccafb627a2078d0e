"""Every page: honest when there is nothing or an error, usable when narrow, and free of serious faults of access."""

import re
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.panel import Panel
from tests.browser.service import ROOT, Service, serving

SHOTS = ROOT / "web/test-results"
AXE = ROOT / "web/node_modules/axe-core/axe.min.js"
SERIOUS = {"serious", "critical"}


async def faults(page: Page) -> list[str]:
    """What axe finds serious on the page, with the first element of each. The page's own policy lets no script in, so
    axe goes in through the debugger.
    """
    await page.evaluate(AXE.read_text() + ";0")
    found: dict[str, Any] = await page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        f"{fault['id']}: {fault['nodes'][0]['html'][:200]} {fault['nodes'][0]['failureSummary'][:300]}"
        for fault in found["violations"]
        if fault["impact"] in SERIOUS
    ]


async def filled(service: Service) -> str:
    """A task with a bit of everything."""
    if not (await service.call("GET", "/api/schedules"))["schedules"]:
        await service.call("POST", "/api/schedules", {"plugin": "staged", "interval": 86400, "name": "once a day"})
    return str((await service.run("staged"))["id"])


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (1024, "dark"), (400, "light")])
async def test_axe_finds_nothing_serious(
    browser: Browser, service: Service, width: int, theme: Literal["light", "dark"]
) -> None:
    """No page has a serious fault of access, at any width, light and dark, and none scrolls sideways."""
    task = await filled(service)
    context = await browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme)
    page = await context.new_page()
    places = {
        "/tasks": "[data-task]",
        f"/tasks/{task}": "[data-seq][aria-current]",
        "/logs": "[data-seq]",
        "/plugins": ".plugin canvas",
        "/schedules": ".list tbody tr",
        "/keys": ".open",
        "/settings": "fieldset",
    }
    try:
        for place, ready in places.items():
            await page.goto(f"{service.url}/#{place}")
            await expect(page.locator(ready).first).to_be_visible()
            if place.endswith(task):
                await page.keyboard.press("Enter")
                await expect(page.locator(".details")).to_be_visible()
            assert await faults(page) == [], place
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), place
            name = place.replace(task, "one").strip("/").replace("/", "-")
            await page.screenshot(path=SHOTS / f"page-{name}-{theme}-{width}.png")
        await page.goto(f"{service.url}/#/plugins")
        await page.get_by_role("button", name="Start").first.click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        assert await faults(page) == [], "dialog"
    finally:
        await context.close()


async def test_nothing_is_said_plainly(page: Page, tmp_path: Path) -> None:
    """A service without tasks says so, on the list and over the logs."""
    async with serving(tmp_path / "data") as service:
        await page.goto(service.url)
        await expect(page.get_by_text("No tasks yet")).to_be_visible()
        await page.get_by_role("link", name="Logs").click()
        await expect(page.get_by_text("Nothing logged")).to_be_visible()


async def test_the_logs_of_all_tasks_bring_what_is_new(page: Page, service: Service) -> None:
    """New entries of any task appear at the top by themselves; whoever has scrolled down stays there, with a pill."""
    task = await service.external("news", [{"message": f"news {n}"} for n in range(200)])
    panel = Panel(page, service.url)
    await page.goto(f"{service.url}/#/logs?task={task}")
    await expect(panel.says("news 199")).to_be_in_viewport()
    await service.log(task, [{"message": "hot off the press"}, {"message": "not for us", "level": "DEBUG"}])
    await expect(panel.rows().first).to_contain_text("hot off the press")
    await panel.rows().first.hover()
    await panel.wheel(2_000)
    await expect(panel.says("hot off the press")).not_to_be_in_viewport()
    still = await panel.seqs()
    await service.log(task, [{"message": "while reading"}])
    pill = page.get_by_role("button", name="1 new")
    await expect(pill).to_be_visible()
    assert await panel.seqs() == still
    await pill.click()
    await expect(panel.says("while reading")).to_be_in_viewport()
    await expect(pill).to_have_count(0)


async def test_a_task_that_is_not_there_and_a_page_that_is_not(page: Page, service: Service) -> None:
    """Both have a page that says what is wrong, with a way on."""
    await page.goto(f"{service.url}/#/tasks/no-such-task")
    await expect(page.get_by_role("alert")).to_contain_text("This task is not here")
    await page.goto(f"{service.url}/#/nowhere")
    await expect(page.get_by_role("alert")).to_contain_text("There is no such page")
    await page.get_by_role("link", name="All tasks").click()
    await expect(page).to_have_url(re.compile("#/tasks$"))


async def test_a_service_that_does_not_answer_is_told(page: Page, tmp_path: Path) -> None:
    """With the service gone the page says so instead of staying empty."""
    async with serving(tmp_path / "data") as service:
        await page.goto(service.url)
        await expect(page.get_by_text("No tasks yet")).to_be_visible()
    await page.get_by_role("link", name="Settings").click()
    await expect(page.get_by_text("The service does not answer")).to_be_visible()
    await expect(page.get_by_role("button", name="Try again")).to_be_visible()


async def test_a_filter_that_fits_nothing_offers_a_way_out(page: Page, service: Service) -> None:
    """No entry fits: the page says so, and resetting the filter shows the entries."""
    task = await service.external("nothing-fits", [{"message": "here"}])
    panel = Panel(page, service.url)
    await panel.open(task, "search=nowhere")
    await expect(page.get_by_text("No entry fits the filter")).to_be_visible()
    await page.get_by_role("button", name="Reset the filter").click()
    await expect(panel.row(2)).to_be_visible()


async def test_the_keys_are_explained_and_the_theme_is_kept(page: Page, service: Service) -> None:
    """`?` shows the keys; a chosen theme stays after a reload."""
    task = await service.external("keys", [{"message": "m"}])
    panel = Panel(page, service.url)
    await panel.open(task)
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keys")).to_contain_text("next, previous error")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Colours: as the system").click()
    await page.get_by_role("button", name="Colours: light").click()
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
