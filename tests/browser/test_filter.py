"""The filter bar: what is chosen is what is shown, and the address says it."""

import re

from playwright.async_api import Page, expect

from tests.browser.panel import Panel
from tests.browser.service import Service


async def test_choosing_a_source_shows_only_it_and_a_new_one_appears_at_once(page: Page, service: Service) -> None:
    """With superset_api chosen only its entries are there; of the new ones only the matching one appears."""
    task = await service.external(
        "sources", [{"message": f"m{n}", "source": "superset_api" if n % 3 == 0 else "plugin"} for n in range(60)]
    )
    panel = Panel(page, service.url)
    await panel.open(task)
    await panel.pick("source", "superset_api")
    await expect(page).to_have_url(re.compile("source=superset_api"))
    await expect(panel.rows()).to_have_count(20)
    await expect(page.locator("[data-seq] .source", has_text="plugin")).to_have_count(0)
    await service.log(
        task, [{"message": "not this", "source": "db"}, {"message": "but this", "source": "superset_api"}]
    )
    await expect(panel.says("but this")).to_be_visible()
    await expect(panel.says("not this")).to_have_count(0)
    await expect(panel.rows()).to_have_count(21)


async def test_a_source_is_left_out(page: Page, service: Service) -> None:
    """`not` hides a source, its count stays, and the address opens the same view elsewhere."""
    task = await service.external(
        "leave-out", [{"message": f"m{n}", "source": ["a", "b", "c"][n % 3]} for n in range(9)]
    )
    panel = Panel(page, service.url)
    await panel.open(task)
    await panel.pick("source", "b", "not")
    await expect(page).to_have_url(re.compile("exclude_source=b"))
    await expect(panel.rows()).to_have_count(7)
    await page.reload()
    await expect(panel.rows()).to_have_count(7)
    await page.get_by_role("button", name="Reset").click()
    await expect(panel.rows()).to_have_count(10)


async def test_debug_is_hidden_to_begin_with_and_the_page_says_so(page: Page, service: Service) -> None:
    """INFO and above is shown; how many are hidden by their level stands below, with a way to see them."""
    await service.call("PUT", "/api/settings/logging", {"task_log_level": "DEBUG"})
    try:
        task = await service.external("levels", [{"message": "quiet", "level": "DEBUG"}, {"message": "normal"}])
    finally:
        await service.call("PUT", "/api/settings/logging", {"task_log_level": "INFO"})
    panel = Panel(page, service.url)
    await panel.open(task)
    await expect(panel.says("normal")).to_be_visible()
    await expect(panel.says("quiet")).to_have_count(0)
    hidden = page.locator("footer", has_text="1 hidden by level")
    await hidden.get_by_role("button", name="show").click()
    await expect(panel.says("quiet")).to_be_visible()
    await expect(page).to_have_url(re.compile("min_level=DEBUG"))


async def test_search_filters_and_marks_and_steps_over_what_is_not_loaded(page: Page, service: Service) -> None:
    """A search filters with its total; as marks among all rows `n` and `N` go from one to the next, far apart."""
    needles = (100, 4_000, 9_900)
    task = await service.external(
        "search", [{"message": f"a Needle, {n}" if n in needles else f"hay {n}"} for n in range(2, 10_001)]
    )
    await service.finish(task)
    panel = Panel(page, service.url)
    await panel.open(task)
    await page.keyboard.press("/")
    await page.keyboard.type("needle")
    await expect(panel.rows()).to_have_count(3)
    await expect(page.locator(".search .count")).to_have_text("3")
    await page.get_by_role("button", name="Showing only matches").click()
    await expect(page).to_have_url(re.compile("find=needle"))
    await panel.press("g")
    await panel.at(1)
    for seq in needles:
        await panel.press("n")
        await panel.at(seq)
    await expect(page.locator(".search .count")).to_have_text("3 / 3")
    await expect(panel.current().locator(".mark")).to_have_text("Needle")
    await panel.press("n")
    await expect(page.get_by_text("No later match.")).to_be_visible()
    await panel.press("N")
    await panel.at(needles[1])


async def test_errors_are_stepped_through_from_where_one_looks(page: Page, service: Service) -> None:
    """`e` and `E` go to the next and previous error though thousands of entries lie between."""
    errors = (50, 3_000, 5_900)
    task = await service.external(
        "errors", [{"message": f"m{n}", "level": "ERROR" if n in errors else "INFO"} for n in range(2, 6_001)]
    )
    await service.finish(task)
    panel = Panel(page, service.url)
    await panel.open(task)
    await expect(panel.row(6_001)).to_be_in_viewport()
    await panel.press("g")
    await panel.at(1)
    for seq in errors:
        await panel.press("e")
        await panel.at(seq)
    await panel.press("E")
    await panel.at(errors[1])


async def test_a_metadata_value_is_a_filter_by_click(page: Page, service: Service) -> None:
    """A click on a value in an entry's details keeps the entries with that value, shown as a chip one can remove."""
    task = await service.external("metadata", [{"message": f"m{n}", "metadata": {"chart": n % 2}} for n in range(10)])
    panel = Panel(page, service.url)
    await panel.open(task)
    await panel.row(3).dblclick()
    await panel.row(3).locator(".meta").get_by_role("button", name="1").click()
    await expect(page).to_have_url(re.compile("metadata.chart=1"))
    await expect(panel.rows()).to_have_count(5)
    await page.get_by_role("button", name="Remove chart=1").click()
    await expect(panel.rows()).to_have_count(11)


async def test_a_filter_is_saved_and_used_on_another_task(page: Page, service: Service) -> None:
    """A named filter is kept in the browser and applies wherever it is chosen."""
    entries = [{"message": "one", "source": "keep"}, {"message": "two", "source": "drop"}]
    first = await service.external("saved-1", entries)
    second = await service.external("saved-2", entries)
    panel = Panel(page, service.url)
    await panel.open(first, "source=keep")
    await page.get_by_role("button", name="Saved filters").click()
    await page.get_by_role("menuitem", name="Save this filter").click()
    await page.get_by_role("dialog").get_by_label("Name").fill("kept ones")
    await page.get_by_role("dialog").get_by_role("button", name="Save").click()
    await panel.open(second)
    await expect(panel.rows()).to_have_count(3)
    await page.get_by_role("button", name="Saved filters").click()
    await page.get_by_role("menuitem", name="kept ones", exact=True).click()
    await expect(panel.rows()).to_have_count(1)
    await expect(page).to_have_url(re.compile(f"{second}.*source=keep"))


async def test_a_time_range_is_typed_or_cleared(page: Page, service: Service) -> None:
    """From and until, typed with the keyboard alone, become the filter and part of the address; one button ends it."""
    times = [{"message": f"at {n}", "timestamp": f"2026-02-07T12:00:{n:02}Z"} for n in range(10)]
    task = await service.external("ranged", times)
    panel = Panel(page, service.url)
    await panel.open(task)
    await page.get_by_role("button", name="time", exact=True).click()
    await page.get_by_label("from").fill("2026-02-07T12:00:03.000")
    await page.get_by_label("until").fill("2026-02-07T12:00:06.000")
    await page.keyboard.press("Enter")
    await expect(panel.rows()).to_have_text([re.compile(rf"at {n}\s*$") for n in (3, 4, 5)])
    await expect(page).to_have_url(re.compile("since=2026-02-07T12%3A00%3A03"))
    await page.get_by_role("button", name="time: 12:00:03").click()
    await page.get_by_role("button", name="Any time").click()
    await expect(panel.says("at 9")).to_be_visible()
    await expect(page).not_to_have_url(re.compile("since"))
