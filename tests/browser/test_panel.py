"""A task's page: is it all right, where did it break, what was going on just before."""

import re
from datetime import UTC, datetime, timedelta

from playwright.async_api import Page, expect

from tests.browser.panel import Panel
from tests.browser.service import Service


async def test_a_failed_task_opens_at_its_first_error(page: Page, service: Service) -> None:
    """The first error is chosen and on screen, though thousands of entries follow it; its traceback is one key away."""
    before = [{"message": f"before {n}"} for n in range(700)]
    error = {"message": "it broke", "level": "ERROR", "metadata": {"traceback": "Traceback:\n  line 1\nValueError: x"}}
    task = await service.external("first-error", [*before, error, *({"message": f"after {n}"} for n in range(2000))])
    await service.finish(task, "failed", error_message="ValueError: x")
    panel = Panel(page, service.url)
    await panel.open(task)
    await expect(panel.current()).to_contain_text("it broke")
    await expect(panel.current()).to_be_in_viewport()
    await expect(panel.current().get_by_role("button", name="3 lines")).to_be_visible()
    await panel.press("Enter")
    await expect(panel.current().locator(".trace")).to_contain_text("ValueError: x")


async def test_the_end_stays_in_view_while_the_page_fills(page: Page, service: Service) -> None:
    """A finished task opens at its last row, though stages and choices come later and take room from the rows."""
    entries = ({"message": f"entry {n}", "stage": "extract", "unit": f"dash-{n % 3}"} for n in range(300))
    task = await service.external("filling", entries)
    await service.finish(task)
    await page.set_viewport_size({"width": 1024, "height": 640})
    panel = Panel(page, service.url)
    await panel.open(task)
    await expect(page.get_by_role("button", name="unit", exact=True)).to_be_visible()
    await expect(page.get_by_role("navigation", name="Stages and steps")).to_be_visible()
    await expect(panel.row(302)).to_be_in_viewport(ratio=0.95)


async def test_a_running_task_s_stages_count_live(page: Page, service: Service) -> None:
    """While a stage runs its count grows, and stays when the stage ends."""
    task = await service.external("stages")
    stages = f"/api/tasks/{task}/stages"
    stage = await service.call("POST", stages, {"name": "extract", "number": 1})
    panel = Panel(page, service.url)
    await panel.open(task)
    item = page.get_by_role("navigation", name="Stages and steps").get_by_role("button", name="extract")
    await expect(item).to_have_attribute("title", re.compile("^0 entries|^1 entries"))
    await service.log(task, [{"message": f"m{n}", "stage": "extract"} for n in range(40)])
    await expect(item).to_have_attribute("title", re.compile("^4[0-2] entries"))
    await service.call("POST", stages, {"id": stage["id"], "status": "success", "processed": 40})
    await expect(item).to_have_attribute("title", re.compile("^4[0-2] entries · 40 processed"))


async def test_parent_and_child_tasks_lead_to_each_other(page: Page, service: Service) -> None:
    """A task names its children with their status; each is one click away, and so is the way back."""
    task = await service.run("staged")
    panel = Panel(page, service.url)
    await panel.open(task["id"])
    await page.get_by_text("1 child task").click()
    await page.get_by_role("link", name="greet").click()
    await expect(panel.says("hello, child")).to_be_visible()
    await page.get_by_role("link", name="parent task").click()
    await expect(page.get_by_role("heading", name="staged")).to_be_visible()
    assert page.url.endswith(f"/tasks/{task['id']}")


async def test_the_header_tells_how_it_ended(page: Page, service: Service) -> None:
    """Status, completeness, counts, parameters, error and traceback, and the child task stand in the header."""
    task = await service.run("staged")
    panel = Panel(page, service.url)
    await panel.open(task["id"])
    header = page.locator("header")
    await expect(header).to_contain_text("failed")
    await expect(header).to_contain_text(f"complete {task['sealed']['count']} entries")
    await expect(header).to_contain_text("row 17 is broken")
    await header.get_by_text("traceback", exact=True).click()
    await expect(header.locator("pre")).to_contain_text("ValueError: row 17 is broken")
    await header.get_by_text("1 child task").click()
    await header.get_by_role("link", name="greet").click()
    await expect(page.get_by_role("link", name="parent task")).to_be_visible()


async def test_the_tree_filters_and_shows_what_went_in_and_out(page: Page, service: Service) -> None:
    """Stages, steps and units are filters by click, with counts; a step's input and output is a JSON view."""
    task = await service.run("staged")
    panel = Panel(page, service.url)
    await panel.open(task["id"], "min_level=INFO")
    tree = page.get_by_role("navigation", name="Stages and steps")
    await tree.get_by_role("button", name="extract").click()
    await expect(page).to_have_url(re.compile("stage=extract"))
    await expect(panel.says("loading")).to_have_count(0)
    await expect(panel.says("fetching")).to_be_visible()
    await tree.get_by_role("button", name="extract").click()
    await tree.get_by_text("1 unit").click()
    await tree.get_by_role("button", name="dash-7").click()
    await expect(panel.rows()).to_have_count(1)
    await expect(panel.rows()).to_contain_text("about dash-7")
    await tree.get_by_role("button", name="Input and output of fetch").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("https://example.org/x")
    await expect(dialog).to_contain_text("42")


async def test_a_task_of_many_steps_shows_the_first_and_more_when_asked(page: Page, service: Service) -> None:
    """Of many steps the first are in the tree, the next ones come by a click; an entry's step opens in any case."""
    task = await service.run("stepping", {"steps": 720})
    panel = Panel(page, service.url)
    await panel.open(task["id"])
    tree = page.get_by_role("navigation", name="Stages and steps")
    opening = tree.get_by_role("button", name="Input and output of")
    await expect(opening).to_have_count(500)
    await panel.says("in the last step").click()
    await panel.press("Enter")
    await page.get_by_role("button", name="input and output", exact=True).click()
    await expect(page.get_by_role("dialog")).to_contain_text("719")
    await page.keyboard.press("Escape")
    await tree.get_by_role("button", name="More steps").click()
    await expect(opening).to_have_count(720)
    await expect(tree.get_by_role("button", name="More steps")).to_have_count(0)


async def test_dragging_over_the_chart_zooms_and_filters(page: Page, service: Service) -> None:
    """A stretch of the chart becomes since and until in the address, and one click shows the whole again."""
    now = datetime.now(UTC)
    stamps = [(minute, (now - timedelta(minutes=minute)).isoformat()) for minute in range(60, 0, -1)]
    entries = [{"message": f"{minute} minutes ago", "timestamp": stamp} for minute, stamp in stamps]
    task = await service.external("volume", entries)
    await service.finish(task)
    panel = Panel(page, service.url)
    await panel.open(task)
    await expect(page.locator("figure table tbody tr").first).to_be_attached()
    box = await page.locator("figure .chart").bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 30)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 30, steps=5)
    await page.mouse.up()
    await expect(page).to_have_url(re.compile("since=.*until="))
    await expect(panel.says("40 minutes ago")).to_be_visible()
    await expect(panel.says("20 minutes ago")).to_have_count(0)
    await page.get_by_text("Show the whole time again").click()
    await expect(panel.says("20 minutes ago")).to_be_visible()


async def test_entries_of_all_tasks_answer_what_went_wrong(page: Page, service: Service) -> None:
    """Errors of two tasks stand together, newest first, and each leads to its place in its task."""
    first = await service.external("cross-1", [{"message": "cross error one", "level": "ERROR"}])
    second = await service.external("cross-2", [{"message": "fine"}, {"message": "cross error two", "level": "ERROR"}])
    await page.goto(f"{service.url}/#/logs?level=ERROR&search=cross+error&age=1")
    rows = page.locator("[data-seq]")
    await expect(rows).to_have_count(2)
    await expect(rows.first).to_contain_text("cross error two")
    await expect(rows.first).to_contain_text("cross-2")
    await rows.first.get_by_role("link").first.click()
    await Panel(page, service.url).at(3)
    assert second in page.url
    assert first not in page.url


async def test_the_error_stays_in_view_while_the_page_fills(page: Page, service: Service) -> None:
    """A failed task opens at its first error, also where that is nearly the last row, and what is told later of the
    task and of other runs takes no room from it.
    """
    await service.finish(await service.external("filling and failing"))
    entries = [{"message": f"entry {n}", "stage": "extract", "unit": f"dash-{n % 3}"} for n in range(300)]
    task = await service.external("filling and failing", [*entries, {"message": "it broke", "level": "ERROR"}])
    await service.finish(task, "failed", error_message="it broke")
    await page.set_viewport_size({"width": 640, "height": 700})
    panel = Panel(page, service.url)
    await panel.open(task)
    await expect(page.get_by_role("group", name="Other runs")).to_be_visible()
    await expect(page.get_by_role("button", name="unit", exact=True)).to_be_visible()
    await expect(panel.current()).to_contain_text("it broke")
    await expect(panel.current()).to_be_in_viewport(ratio=0.95)
