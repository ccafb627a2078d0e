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


async def test_what_is_not_stored_yet_leaves_no_hole(page: Page, tmp_path: Path) -> None:
    """Opened while the database is locked, a running task shows what is stored, and the rest in order as soon as it is:
    live rows are not put behind others that are missing.
    """
    async with serving(tmp_path / "data") as service:
        task = await service.external("behind", ({"message": f"entry {n}"} for n in range(2, 7)))
        assert (await service.call("GET", f"/api/tasks/{task}/logs"))["complete"]
        database = sqlite3.connect(tmp_path / "data/asynclog.db", isolation_level=None)
        database.execute("BEGIN IMMEDIATE")
        await service.log(task, ({"message": f"entry {n}"} for n in range(7, 27)))
        panel = Panel(page, service.url)
        await panel.open(task)
        await expect(panel.row(6)).to_be_visible()
        await service.log(task, ({"message": f"entry {n}"} for n in range(27, 30)))
        await expect(page.locator("footer")).to_contain_text("live")
        assert await panel.rows().count() == 6
        database.execute("ROLLBACK")
        database.close()
        await expect(panel.row(29)).to_be_visible()
        assert await panel.seqs() == list(range(1, 30))
        await service.log(task, [{"message": "entry 30"}])
        await expect(panel.row(30)).to_be_visible()
