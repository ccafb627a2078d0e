"""Live rows: pushed, never moving under one's eyes, and honest about the connection."""

import asyncio
import re
from pathlib import Path

from playwright.async_api import Page, expect

from tests.browser.panel import Panel
from tests.browser.service import Service, serving, stop


def lines(first: int, last: int) -> list[dict[str, str]]:
    """Entries with a number each."""
    return [{"message": f"line {n}"} for n in range(first, last + 1)]


async def test_new_rows_are_followed_until_one_scrolls_or_selects(page: Page, service: Service) -> None:
    """At the end new rows appear; scrolled up nothing moves and a pill counts; the pill leads back to the end."""
    task = await service.external("follow", lines(2, 300))
    panel = Panel(page, service.url)
    await panel.open(task)
    await expect(panel.row(300)).to_be_in_viewport()
    await service.log(task, lines(301, 310))
    await expect(panel.row(310)).to_be_in_viewport()
    await panel.wheel(-400)
    await expect(panel.row(310)).not_to_be_in_viewport()
    still = await panel.seqs()
    await service.log(task, lines(311, 335))
    await expect(page.get_by_role("button", name="25 new")).to_be_visible()
    assert await panel.seqs() == still
    await page.get_by_role("button", name="25 new").click()
    await expect(panel.row(335)).to_be_in_viewport()
    await service.log(task, lines(336, 336))
    await expect(panel.row(336)).to_be_in_viewport()
    await panel.row(336).click()
    await service.log(task, lines(337, 340))
    await expect(page.get_by_role("button", name="4 new")).to_be_visible()


async def test_scrolling_back_to_the_end_follows_again(page: Page, service: Service) -> None:
    """Whoever scrolls down to the end gets what came meanwhile, without a hole, and then what comes."""
    task = await service.external("again", lines(2, 300))
    panel = Panel(page, service.url)
    await panel.open(task)
    await panel.wheel(-600)
    await expect(panel.row(300)).not_to_be_in_viewport()
    await service.log(task, lines(301, 1500))
    await expect(page.get_by_role("button", name="1,200 new")).to_be_visible()
    seen: set[int] = set()
    async with asyncio.timeout(60):
        while not await page.get_by_role("button", name="following").count():
            seen.update(await panel.seqs())
            await panel.wheel(250)  # a few of them are still less than what is shown at a time
            await asyncio.sleep(0.03)
    seen.update(await panel.seqs())
    assert {*range(300, 1501)} <= seen
    await service.log(task, lines(1501, 1501))
    await expect(panel.row(1501)).to_be_in_viewport()


async def test_the_end_of_a_task_is_told(page: Page, service: Service) -> None:
    """When the task ends the page says that all of it is there."""
    task = await service.external("ending", lines(1, 3))
    panel = Panel(page, service.url)
    await panel.open(task)
    await expect(page.locator("footer [role=status]")).to_have_text("live")
    await service.log(task, lines(4, 5))
    await service.finish(task)
    await expect(page.locator("header")).to_contain_text("complete")
    await expect(page.locator("footer [role=status]")).to_have_text("complete")
    await expect(panel.says("line 5")).to_be_visible()


async def test_a_lost_connection_is_told_and_nothing_is_missing_after_it(page: Page, tmp_path: Path) -> None:
    """While the service restarts the page says so and when it tries again; then every row is there, once."""
    async with serving(tmp_path / "data") as first:
        port = int(first.url.rpartition(":")[2])
        task = await first.external("restart", lines(1, 40))
        panel = Panel(page, first.url)
        await panel.open(task)
        await expect(panel.says("line 40")).to_be_visible()
        before = await page.locator("[data-seq]").last.get_attribute("data-seq")
        assert before is not None
        await stop(first.process)
        await expect(page.locator("footer [role=status]")).to_have_text(re.compile(r"connection lost, again in \d+ s"))
    async with serving(tmp_path / "data", port) as second:
        await second.log(task, lines(41, 50))
        await expect(panel.says("line 50")).to_be_visible()
        await expect(page.locator("footer [role=status]")).to_have_text("live")
        seqs = await panel.seqs()
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


async def test_after_a_restart_a_finished_task_shows_all_entries(page: Page, tmp_path: Path) -> None:
    """A finished task has all its entries and its seal after the service was stopped and started."""
    async with serving(tmp_path / "data") as first:
        task = await first.run("greet", {"who": "later", "times": 5})
    async with serving(tmp_path / "data") as second:
        panel = Panel(page, second.url)
        await panel.open(task["id"])
        await expect(page.locator("header")).to_contain_text(f"complete {task['sealed']['count']} entries")
        await expect(panel.rows()).to_have_count(task["sealed"]["count"])
        await expect(panel.says("hello, later")).to_have_count(5)


async def test_what_cannot_be_counted_is_not_said_to_be_hidden(page: Page, service: Service) -> None:
    """Where the counts are not answered any more, as when the service goes down, no entries are called hidden."""
    task = await service.external("uncounted", lines(2, 20))
    panel = Panel(page, service.url)
    await panel.open(task)
    footer = page.locator("footer")
    await expect(footer).to_contain_text("20 entries shown")
    await page.route("**/logs/stats*", lambda route: route.abort())
    async with page.expect_event("requestfailed"):
        await service.log(task, lines(21, 21))
        await expect(panel.row(21)).to_be_visible()
    await expect(footer).not_to_contain_text("shown")
    await expect(footer).not_to_contain_text("hidden")
