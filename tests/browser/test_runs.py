"""What other runs tell of a task, and running it again."""

import json
import re

from playwright.async_api import Page, expect

from tests.browser.panel import Panel
from tests.browser.service import Service


async def test_a_failed_task_tells_the_last_good_run_and_what_changed_since(page: Page, service: Service) -> None:
    """Beside the error stand the runs before it, the last good one as a link, the parameters that differ from its, and
    since when it fails; the last good run says that a newer one failed.
    """
    good = await service.run("brittle", {"level": 6})
    first = await service.run("brittle", {"level": 9, "break": True})
    task = await service.run("brittle", {"level": 9, "break": True})
    panel = Panel(page, service.url)
    await panel.open(task["id"])
    runs = page.get_by_role("group", name="Other runs")
    await expect(runs.get_by_role("link", name=re.compile("^(success|failed), "))).to_have_count(2)
    await expect(runs).to_contain_text("params since then: level 6 → 9, break none → true")
    await expect(runs).to_contain_text("failed 2 times in a row")
    assert await runs.locator(".bad a").get_attribute("href") == f"#/tasks/{first['id']}"
    await runs.get_by_role("link", name="last good run").click()
    await expect(page).to_have_url(re.compile(f"#/tasks/{good['id']}"))
    await expect(runs).to_contain_text(re.compile(r"newest run\s.*failed", re.DOTALL))


async def test_failing_for_longer_than_is_read_is_said(page: Page, service: Service) -> None:
    """Where more runs failed than are read, that is said, and the last good one is found all the same."""
    good = await service.run("brittle", {"level": 6})
    failed = [await service.run("brittle", {"break": True}) for _ in range(23)]
    await Panel(page, service.url).open(failed[-1]["id"])
    runs = page.get_by_role("group", name="Other runs")
    await expect(runs).to_contain_text(re.compile("failed at least 21 times in a row, since .* or longer", re.DOTALL))
    last_good = runs.get_by_role("link", name="last good run")
    assert await last_good.get_attribute("href") == f"#/tasks/{good['id']}"


async def test_a_task_is_run_again_with_its_parameters(page: Page, service: Service) -> None:
    """The dialog holds what the task was given, under its name; changed there, it starts the next run."""
    body = {"plugin": "brittle", "name": "again and again", "params": {"level": 3, "break": True}}
    task = await service.call("POST", "/api/tasks", body)
    panel = Panel(page, service.url)
    await panel.open(task["id"])
    await page.get_by_role("button", name="Run again").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("Task's name")).to_have_value("again and again")
    given = dialog.get_by_label("Parameters")
    assert json.loads(await given.input_value()) == body["params"]
    await given.fill('{"level": 4}')
    await dialog.get_by_role("button", name="Run again").click()
    await expect(panel.says("level 4")).to_be_visible()
    await expect(page.get_by_role("heading", name="again and again")).to_be_visible()
    await expect(page.get_by_role("group", name="Other runs")).to_be_visible()


async def test_a_secret_has_to_be_put_in_again(page: Page, service: Service) -> None:
    """Secrets are not kept: the dialog says so, and starts nothing with what stands in their place."""
    task = await service.run("brittle", {"level": 1, "password": "hunter2 and more"})
    panel = Panel(page, service.url)
    await panel.open(task["id"])
    await page.get_by_role("button", name="Run again").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Secrets are not kept")
    await dialog.get_by_role("button", name="Run again").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("has to be put in")
    await dialog.get_by_label("Parameters").fill('{"level": 2, "password": "hunter2 and more"}')
    await dialog.get_by_role("button", name="Run again").click()
    await expect(panel.says("level 2")).to_be_visible()


async def test_the_form_is_filled_with_what_a_task_was_given(page: Page, service: Service) -> None:
    """Where the plugin has a schema its form is filled; and an external task, which ran elsewhere, is not run again."""
    task = await service.run("greet", {"who": "Ada", "times": 3, "loudly": True})
    panel = Panel(page, service.url)
    await panel.open(task["id"])
    await page.get_by_role("button", name="Run again").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("who")).to_have_value("Ada")
    await expect(dialog.get_by_label("times")).to_have_value("3")
    await expect(dialog.get_by_label("loudly")).to_be_checked()
    await dialog.get_by_role("button", name="Close", exact=True).last.click()
    elsewhere = await service.external("elsewhere")
    await service.finish(elsewhere)
    await panel.open(elsewhere)
    await expect(page.get_by_role("button", name="Run again")).to_have_count(0)


async def test_a_task_says_how_many_of_its_children_failed(page: Page, service: Service) -> None:
    """The number of failed child tasks stands where one opens them, before anything is opened."""
    parent = await service.external("family")
    for status in ("success", "failed", "failed"):
        child = await service.call("POST", "/api/tasks", {"external": True, "name": "child", "parent_id": parent})
        await service.finish(child["id"], status)
    await Panel(page, service.url).open(parent)
    await expect(page.locator("summary", has_text="3 child tasks")).to_contain_text("2 failed")
