"""The page of schedules."""

import re
from pathlib import Path

from playwright.async_api import Page, expect

from tests.browser.service import serving


async def test_a_schedule_is_made_run_paused_and_removed(page: Page, tmp_path: Path) -> None:
    """A schedule made with a form fires when asked to, is paused and goes on, and is removed after a question; its task
    stays.
    """
    async with serving(tmp_path / "data") as service:
        await page.goto(f"{service.url}/#/schedules")
        await expect(page.get_by_role("heading", name="No schedules yet")).to_be_visible()
        await page.get_by_role("button", name="Make a schedule").click()
        await page.get_by_label("Plugin").select_option("levels")
        await page.get_by_role("textbox", name="Name").first.fill("now and then")
        await page.get_by_label("Every").fill("sometimes")
        await page.get_by_role("button", name="Make the schedule").click()
        await expect(page.get_by_role("alert")).to_contain_text("interval")
        await page.get_by_label("Every").fill("6h")
        await page.get_by_role("button", name="Make the schedule").click()
        row = page.locator("tbody tr")
        await expect(row).to_contain_text(re.compile(r"now and then.*every 6 h.*in 5h 59m", re.DOTALL))
        await row.get_by_role("button", name="Run now").click()
        await expect(page).to_have_url(re.compile("#/tasks/"))
        await expect(page.locator("header")).to_contain_text("success", ignore_case=True)
        await page.get_by_role("link", name="Schedules").click()
        await row.get_by_role("button", name="More about").click()
        await page.get_by_role("menuitem", name="Pause").click()
        await expect(row).to_contain_text("paused")
        await row.get_by_role("button", name="More about").click()
        await page.get_by_role("menuitem", name="Go on").click()
        await expect(row).to_contain_text("in 5h 59m")
        await row.get_by_role("button", name="More about").click()
        await page.get_by_role("menuitem", name="Remove").click()
        await page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        await expect(page.get_by_role("heading", name="No schedules yet")).to_be_visible()
        assert len((await service.call("GET", "/api/tasks"))["tasks"]) == 1


async def test_cron_is_of_the_zone_one_is_in(page: Page, tmp_path: Path) -> None:
    """By cron, the zone of the browser is proposed and can be changed; a wrong expression is refused in a sentence."""
    async with serving(tmp_path / "data") as service:
        await page.goto(f"{service.url}/#/schedules")
        await page.get_by_role("button", name="Make a schedule").click()
        await page.get_by_label("Plugin").select_option("levels")
        await page.get_by_label("When").select_option("by cron")
        await page.get_by_role("textbox", name="Cron").fill("61 2 * * *")
        await page.get_by_label("Time zone").select_option("Europe/Berlin")
        await page.get_by_role("button", name="Make the schedule").click()
        await expect(page.get_by_role("alert")).to_contain_text("cron")
        await page.get_by_role("textbox", name="Cron").fill("30 2 * * 1-5")
        await page.get_by_role("button", name="Make the schedule").click()
        await expect(page.locator("tbody tr")).to_contain_text("Monday to Friday at 02:30 (Europe/Berlin)")
