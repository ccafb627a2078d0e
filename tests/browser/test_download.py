"""Downloads from a task's page."""

from pathlib import Path

import msgspec
import pytest
from playwright.async_api import Page, expect

from tests.browser.panel import Panel
from tests.browser.service import Service


async def download(page: Page, group: int, name: str) -> str:
    """The text of one download of the menu."""
    await page.get_by_role("button", name="Download").click()
    async with page.expect_download() as waiting:
        await page.get_by_role("menuitem", name=name, exact=True).nth(group).click()
    found = await (await waiting.value).path()
    await page.keyboard.press("Escape")
    return Path(found).read_text()


@pytest.mark.parametrize("name", ["Text", "NDJSON", "CSV"])
async def test_everything_or_only_the_view_is_downloaded(page: Page, service: Service, name: str) -> None:
    """Each format gives all entries, or those the filter shows."""
    task = await service.external(
        "download", [{"message": f"m{n}-end", "source": "keep" if n % 2 else "drop"} for n in range(10)]
    )
    await service.finish(task)
    panel = Panel(page, service.url)
    await panel.open(task, "source=keep")
    await expect(panel.rows()).to_have_count(5)
    whole = await download(page, 0, name)
    part = await download(page, 1, name)
    assert all(f"m{n}-end" in whole for n in range(10))
    assert [n for n in range(10) if f"m{n}-end" in part] == [1, 3, 5, 7, 9]
    if name == "NDJSON":
        assert {msgspec.json.decode(line)["source"] for line in part.splitlines()} == {"keep"}
