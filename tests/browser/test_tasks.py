"""The list of tasks: what is wrong now, live."""

import re

from playwright.async_api import Page, expect

from tests.browser.service import Service


async def test_the_list_shows_a_task_with_its_counts_and_its_error(page: Page, service: Service) -> None:
    """A failed task stands in the list with its status, its error's message and its warnings and errors (its end is
    one) counted.
    """
    task = await service.external("list-me", [{"message": "w", "level": "WARNING"}, {"message": "e", "level": "ERROR"}])
    await service.finish(task, "failed", error_message="disk <b>full</b>")
    await page.goto(f"{service.url}/#/tasks?text=list-me")
    row = page.locator(f'[data-task="{task}"]')
    await expect(row).to_contain_text("failed")
    await expect(row).to_contain_text("disk <b>full</b>")
    await expect(row.locator("td.warn")).to_have_text("1")
    await expect(row.locator("td.err")).to_have_text("2")


async def test_the_list_is_live(page: Page, service: Service) -> None:
    """A task appears, reports progress, ends and disappears without anybody reloading the list."""
    await page.goto(f"{service.url}/#/tasks?text=live-one")
    await expect(page.get_by_text("No task fits the filter")).to_be_visible()
    task = await service.call("POST", "/api/tasks", {"plugin": "hold", "name": "live-one"})
    row = page.locator(f'[data-task="{task["id"]}"]')
    await expect(row.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "30")
    await expect(row).to_contain_text("three of ten")
    await service.call("POST", f"/api/tasks/{task['id']}/cancel")
    await expect(row).to_contain_text("cancelled")
    await service.call("DELETE", f"/api/tasks/{task['id']}")
    await expect(row).to_have_count(0)


async def test_the_list_s_filter_is_in_the_address(page: Page, service: Service) -> None:
    """Status, plugin and text filter the list and the address, and going back takes the last one away."""
    good = await service.external("filter-good")
    bad = await service.external("filter-bad")
    await service.finish(good)
    await service.finish(bad, "failed")
    await page.goto(f"{service.url}/#/tasks")
    await page.get_by_label("Name or error").fill("filter-")
    await expect(page).to_have_url(re.compile("text=filter-"))
    await expect(page.locator("[data-task]")).to_have_count(2)
    await page.get_by_role("button", name="failed").click()
    await expect(page).to_have_url(re.compile("status=failed"))
    await expect(page.locator("[data-task]")).to_have_count(1)
    await page.go_back()
    await expect(page.locator("[data-task]")).to_have_count(2)


async def test_a_plugin_is_started_with_the_form_of_its_schema(page: Page, service: Service) -> None:
    """The form has the schema's fields, refuses what does not fit with a sentence, and starts the task."""
    await page.goto(f"{service.url}/#/plugins")
    await page.locator(".plugin", has_text="Greets somebody").get_by_role("button", name="Start").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("who").fill("Ada")
    await dialog.get_by_label("times").fill("12")
    await dialog.get_by_role("button", name="Start").click()
    await expect(dialog.get_by_role("alert")).to_have_text("times has to be at most 9.")
    await dialog.get_by_label("times").fill("2")
    await dialog.get_by_label("loudly").check()
    await dialog.get_by_role("button", name="Start").click()
    await expect(page).to_have_url(re.compile("#/tasks/[^/?]+$"))
    await expect(page.locator("[data-seq]", has_text="hello, Ada!")).to_have_count(2)
    await expect(page.locator("header")).to_contain_text("complete")


async def test_a_plugin_without_a_schema_takes_json(page: Page, service: Service) -> None:
    """Without a schema there is a JSON editor; broken JSON is refused before anything is sent."""
    await page.goto(f"{service.url}/#/plugins")
    await page.locator(".plugin", has_text="Logs once at each level").get_by_role("button", name="Start").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Parameters").fill("{")
    await dialog.get_by_role("button", name="Start").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("no valid JSON")
    await dialog.get_by_label("Parameters").fill('{"any": [1, 2]}')
    await dialog.get_by_role("button", name="Start").click()
    await expect(page.locator("[data-seq]", has_text="this is error")).to_be_visible()


async def test_a_running_task_is_cancelled_and_then_deleted(page: Page, service: Service) -> None:
    """Cancelling asks nothing, deleting does; afterwards the task's own address says that it is gone."""
    task = await service.call("POST", "/api/tasks", {"plugin": "hold", "name": "to-go"})
    await page.goto(f"{service.url}/#/tasks/{task['id']}")
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator("header .status")).to_have_text("cancelled")
    await page.get_by_role("button", name="More").click()
    await page.get_by_role("menuitem", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page).to_have_url(re.compile("#/tasks$"))
    await page.go_back()
    await expect(page.get_by_role("alert")).to_contain_text("This task is not here")


async def test_a_plugin_s_figures_are_shown(page: Page, service: Service) -> None:
    """A plugin's card has its runs, success rate and durations, and a chart of the last ones."""
    await service.run("greet", {"who": "figures"})
    await page.goto(f"{service.url}/#/plugins")
    card = page.locator(".plugin", has_text="Greets somebody")
    await expect(card).to_contain_text(re.compile(r"success\s*100 %"))
    await expect(card.get_by_role("img")).to_have_attribute("aria-label", re.compile("success"))
    await expect(card.locator("canvas")).to_be_visible()
