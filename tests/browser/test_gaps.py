"""Entries that were dropped and declared: the page says where they would be."""

import sqlite3
from pathlib import Path

from playwright.async_api import Page, expect

from tests.browser.panel import Panel
from tests.browser.service import serving


async def test_a_declared_gap_is_a_row_of_its_own(page: Page, tmp_path: Path) -> None:
    """Where entries were dropped stands which, how many and why; the header counts them and claims no completeness."""
    async with serving(tmp_path / "data") as first:
        task = await first.external("gappy", ({"message": f"entry {n}"} for n in range(2, 31)))
        await first.finish(task)
    with sqlite3.connect(tmp_path / "data/asynclog.db") as database:
        database.execute("DELETE FROM task_logs WHERE task_id = ? AND seq BETWEEN 11 AND 15", (task,))
        database.execute("INSERT INTO gaps VALUES (?, 11, 15, 'the disk was full')", (task,))
        database.execute("UPDATE tasks SET dropped = 5 WHERE id = ?", (task,))
    database.close()
    async with serving(tmp_path / "data") as second:
        panel = Panel(page, second.url)
        await panel.open(task)
        gap = page.locator(".gap")
        await expect(gap).to_have_count(1)
        await expect(gap).to_contain_text("5 entries dropped · the disk was full")
        await expect(panel.row(16).locator(".gap + .line")).to_contain_text("entry 16")
        header = page.locator("header").last
        await expect(header).to_contain_text("5 entries dropped")
        await expect(header).not_to_contain_text("complete")
        await panel.press("g")
        await panel.at(1)
        assert [seq for seq in await panel.seqs() if 10 <= seq <= 16] == [10, 16]
