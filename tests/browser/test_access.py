"""Who may use the page: signing in, what a role is offered, and the page of keys."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.panel import Panel
from tests.browser.service import Service, serving
from tests.browser.test_pages import faults

SAMPLE = [{"message": f"line {number}"} for number in range(5)]


async def sign_in(page: Page, service: Service, key: str, place: str = "/tasks") -> None:
    """Opens a place and signs in there."""
    await page.goto(f"{service.url}/#{place}")
    await page.get_by_label("API key").fill(key)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("button", name="Signed in as")).to_be_visible()


async def test_the_first_key_closes_the_service_and_signs_its_maker_in(page: Page, tmp_path: Path) -> None:
    """A page nobody has to sign in to says so; the first key has to be an admin of everything, is shown once, and its
    maker goes on working with it.
    """
    async with serving(tmp_path / "data") as service:
        await page.goto(f"{service.url}/#/keys")
        await expect(page.locator("p.open")).to_contain_text("open to everybody on this machine")
        await page.get_by_role("button", name="Make a key").click()
        await expect(page.get_by_role("radio", name="admin")).to_be_checked()
        await expect(page.get_by_role("radio", name="viewer")).to_be_disabled()
        await page.get_by_label("Name").fill("night shift")
        await page.get_by_role("button", name="Make the key").click()
        text = await page.locator("output").inner_text()
        assert re.fullmatch(r"asynclog_[0-9a-f]{12}_\S{40,}", text)
        await page.get_by_role("button", name="Done").click()
        await expect(page.locator("tbody tr")).to_contain_text("night shift")
        await expect(page.get_by_role("button", name="Signed in as night shift")).to_be_visible()
        await expect(page.locator("p.open")).to_have_count(0)
        with pytest.raises(AssertionError, match="401"):
            await service.call("GET", "/api/tasks")
        await page.reload()
        await expect(page.locator("tbody tr")).to_contain_text("night shift")
        assert text not in await page.content()
        assert text not in await page.evaluate("document.cookie + JSON.stringify({...localStorage, ...sessionStorage})")


async def test_signing_in_leads_to_the_place_one_came_for_and_out_again(page: Page, tmp_path: Path) -> None:
    """A wrong key is refused in a sentence, the right one opens the very task that was asked for, the menu says who one
    is, and after signing out nothing is shown.
    """
    async with serving(tmp_path / "data") as service:
        await service.make_key("admin", "admin")
        task = await service.external("asked for", SAMPLE)
        viewer = await service.make_key("reader", "viewer")
        await page.goto(f"{service.url}/#/tasks/{task}")
        await page.get_by_label("API key").fill("asynclog_000000000000_wrong")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_contain_text("no key of this service")
        assert await faults(page) == []
        await page.get_by_label("API key").fill(viewer["key"])
        await page.keyboard.press("Enter")
        await expect(Panel(page, service.url).says("line 4")).to_be_visible()
        await page.get_by_role("button", name="Signed in as reader").click()
        await expect(page.locator(".account-menu")).to_contain_text(re.compile("viewer.*everything", re.DOTALL))
        await page.get_by_role("menuitem", name="Sign out").click()
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        await expect(page.locator("[data-seq]")).to_have_count(0)
        await page.reload()
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_a_viewer_is_offered_nothing_that_is_refused(page: Page, tmp_path: Path) -> None:
    """Starting, cancelling, deleting, changes of schedules, settings and keys are not offered to a viewer, and the
    service refuses them to the viewer's own session all the same.
    """
    async with serving(tmp_path / "data") as service:
        await service.make_key("admin", "admin")
        task = await service.external("running", SAMPLE)
        await service.call("POST", "/api/schedules", {"plugin": "staged", "interval": 86400})
        viewer = await service.make_key("reader", "viewer")
        await sign_in(page, service, viewer["key"])
        await expect(page.locator(f'[data-task="{task}"]')).to_be_visible()
        await expect(page.get_by_role("button", name="Start a task")).to_have_count(0)
        await expect(page.get_by_role("link", name="Keys")).to_have_count(0)
        await Panel(page, service.url).open(task)
        await expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
        await page.get_by_role("button", name="More").click()
        await expect(page.get_by_role("menuitem")).to_have_text(["Copy the task's id"])
        await page.keyboard.press("Escape")
        await page.goto(f"{service.url}/#/plugins")
        await expect(page.locator(".plugin").first).to_be_visible()
        await expect(page.get_by_role("button", name="Start")).to_have_count(0)
        await page.goto(f"{service.url}/#/schedules")
        await expect(page.locator("tbody tr")).to_have_count(1)
        await expect(page.locator("main").get_by_role("button")).to_have_count(0)
        await page.goto(f"{service.url}/#/settings")
        await expect(page.get_by_label("Task log level")).to_be_disabled()
        await expect(page.get_by_role("button", name="Apply")).to_have_count(0)
        ask = """async ([method, path, body]) => (await fetch(path, {method, headers:
            {'content-type': 'application/json', 'x-asynclog': '1'}, body: body && JSON.stringify(body)})).status"""
        for method, path, body in (
            ("POST", "api/tasks", {"plugin": "staged"}),
            ("POST", f"api/tasks/{task}/cancel", None),
            ("DELETE", f"api/tasks/{task}", None),
            ("PUT", "api/settings/logging", {"task_log_level": "ERROR"}),
            ("POST", "api/keys", {"name": "mine", "role": "admin"}),
            ("GET", "api/keys", None),
        ):
            assert await page.evaluate(ask, [method, path, body]) == 403, path


async def test_an_operator_starts_and_cancels_but_changes_no_settings(page: Page, tmp_path: Path) -> None:
    """What an operator may do is offered: starting and cancelling, not settings, not keys."""
    async with serving(tmp_path / "data") as service:
        await service.make_key("admin", "admin")
        task = await service.external("to be cancelled", SAMPLE)
        operator = await service.make_key("driver", "operator")
        await sign_in(page, service, operator["key"], f"/tasks/{task}")
        await page.get_by_role("button", name="Cancel").click()
        await expect(page.locator("header")).to_contain_text("cancelled", ignore_case=True)
        await page.get_by_role("link", name="Tasks").click()
        await expect(page.get_by_role("button", name="Start a task")).to_be_enabled()
        await expect(page.get_by_role("link", name="Keys")).to_have_count(0)
        await page.get_by_role("link", name="Settings").click()
        await expect(page.get_by_text("Only an admin may change them")).to_be_visible()


async def test_revoking_a_key_ends_the_page_that_watches_with_it(page: Page, tmp_path: Path) -> None:
    """A page that follows a running task is back at the sign-in as soon as its key is revoked, untouched."""
    async with serving(tmp_path / "data") as service:
        await service.make_key("admin", "admin")
        task = await service.external("watched", SAMPLE)
        viewer = await service.make_key("reader", "viewer")
        await sign_in(page, service, viewer["key"], f"/tasks/{task}")
        await expect(Panel(page, service.url).says("line 4")).to_be_visible()
        await service.call("DELETE", f"/api/keys/{viewer['id']}")
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        await expect(page.locator("[data-seq]")).to_have_count(0)


async def test_an_admin_makes_a_key_for_one_account_and_revokes_it(page: Page, tmp_path: Path) -> None:
    """The page makes a key that sees one account only, shows it in the list, and revokes it after a question."""
    async with serving(tmp_path / "data") as service:
        admin = await service.make_key("admin", "admin")
        await service.call("POST", "/api/tasks", {"external": True, "name": "theirs", "account": "acme"})
        await service.call("POST", "/api/tasks", {"external": True, "name": "others", "account": "other"})
        await sign_in(page, service, admin["key"], "/keys")
        await page.get_by_role("button", name="Make a key").click()
        await page.get_by_label("Name").fill("acme's eyes")
        await page.get_by_role("radio", name="one account or site").check()
        await page.get_by_role("button", name="Make the key").click()
        await expect(page.get_by_role("alert")).to_contain_text("name an account or a site")
        await page.get_by_role("textbox", name="Account").fill("acme")
        await page.get_by_label("Expires in").fill("30")
        await page.get_by_role("button", name="Make the key").click()
        text = await page.locator("output").inner_text()
        await page.get_by_role("button", name="Done").click()
        row = page.locator("tbody tr", has_text="acme's eyes")
        await expect(row).to_contain_text("account acme")
        assert await faults(page) == []
        service.use(text)
        tasks = (await service.call("GET", "/api/tasks"))["tasks"]
        assert [task["name"] for task in tasks] == ["theirs"]
        await row.get_by_role("button", name="Revoke").click()
        await page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        await expect(row).to_contain_text("revoked")
        with pytest.raises(AssertionError, match="401"):
            await service.call("GET", "/api/tasks")


async def test_an_admin_reads_who_changed_what(page: Page, tmp_path: Path) -> None:
    """From the keys a link leads to the audit, which says who made a key and who changed a setting, from what to what;
    it can be neither cancelled nor deleted there.
    """
    async with serving(tmp_path / "data") as service:
        admin = await service.make_key("boss", "admin")
        await service.call("PUT", "/api/settings/logging", {"task_log_level": "WARNING"})
        await sign_in(page, service, admin["key"], "/keys")
        await page.get_by_role("link", name="Who changed what").click()
        panel = Panel(page, service.url)
        await expect(panel.says("key.create")).to_be_visible()
        row = panel.says("task_log_level")
        await row.click()
        await page.keyboard.press("Enter")
        await expect(page.locator(".details")).to_contain_text("INFO")
        await expect(page.locator(".details")).to_contain_text("WARNING")
        await expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
        await page.get_by_role("button", name="More").first.click()
        await expect(page.get_by_role("menuitem")).to_have_text(["Copy the task's id"])
