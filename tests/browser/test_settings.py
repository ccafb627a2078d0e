"""The settings page, and what its changes do to the next task."""

from pathlib import Path

from playwright.async_api import Page, expect

from tests.browser.panel import Panel
from tests.browser.service import serving


async def test_a_change_says_what_it_will_do_and_does_it_at_once(page: Page, tmp_path: Path) -> None:
    """WARNING keeps only WARNING and ERROR of the next task; DEBUG shows a belief scope's entry and exit as well, which
    INFO hides; nothing is restarted.
    """
    async with serving(tmp_path / "data") as service:
        panel = Panel(page, service.url)

        async def choose(level: str) -> list[str]:
            await page.goto(f"{service.url}/#/settings")
            await page.get_by_label("Task log level").select_option(level)
            button = page.get_by_role("button", name="Apply")
            if await button.is_enabled():
                await expect(page.locator(".foot")).to_contain_text(f"→ {level}.")
                await button.click()
                await expect(page.locator(".done")).to_contain_text("Applied: Task log level")
            task = await service.run("levels")
            await panel.open(task["id"], "min_level=DEBUG")
            await expect(panel.rows()).to_have_count(task["sealed"]["count"])
            return await page.locator("[data-seq] .message").all_inner_texts()

        warning = await choose("WARNING")
        assert [text for text in warning if text.startswith("this is")] == ["this is warning", "this is error"]
        assert len(warning) == 2
        debug = " ".join(await choose("DEBUG"))
        for part in ("this is debug", "[weighing][Entry]", "[weighing][Coherence:OK]", "[weighing][Exit]"):
            assert part in debug
        info = " ".join(await choose("INFO"))
        assert "inside the scope" in info
        assert "[weighing]" not in info
        assert "this is debug" not in info


async def test_a_pinned_setting_is_locked_and_says_why(page: Page, tmp_path: Path) -> None:
    """What a flag decides cannot be changed on the page, which names the flag's variable."""
    async with serving(tmp_path / "data", flags=("--flush-interval", "1.5")) as service:
        await page.goto(f"{service.url}/#/settings")
        field = page.get_by_label("Flush interval")
        await expect(field).to_be_disabled()
        await expect(field).to_have_value("1.5")
        await expect(page.locator(".field", has=field)).to_contain_text("ASYNCLOG_FLUSH_INTERVAL")


async def test_a_wrong_value_cannot_be_applied(page: Page, tmp_path: Path) -> None:
    """A number that is none is marked, and undo brings the stored value back."""
    async with serving(tmp_path / "data") as service:
        await page.goto(f"{service.url}/#/settings")
        field = page.get_by_label("Message limit")
        before = await field.input_value()
        await field.fill("many")
        await expect(page.get_by_text("This has to be a whole number")).to_be_visible()
        await expect(page.get_by_role("button", name="Apply")).to_be_disabled()
        await page.get_by_role("button", name="Undo").click()
        await expect(field).to_have_value(before)
