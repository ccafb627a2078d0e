"""A large task: opened at any place without holding it."""

import asyncio
import re

import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.panel import Panel
from tests.browser.service import Service

ENTRIES = 100_000
DRAWN = 200
"""More rows than this are never in the document."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def large(service: Service) -> str:
    """A finished task with a hundred thousand entries, its own start and end included; every thousandth is an error."""
    task = await service.external(
        "large",
        (
            {"message": f"entry {n}", "source": ("a", "b", "c")[n % 3], "level": "INFO" if n % 1000 else "ERROR"}
            for n in range(2, ENTRIES)
        ),
    )
    await service.finish(task)
    return task


async def test_any_position_is_one_step_away(page: Page, service: Service, large: str) -> None:
    """End, start, the middle by the scrubber and a permalink: each shows its rows, and few are in the document."""
    panel = Panel(page, service.url)
    await panel.open(large)
    await expect(panel.row(ENTRIES)).to_be_in_viewport()
    await panel.press("g")
    await panel.at(1)
    box = await page.get_by_role("slider").bounding_box()
    assert box is not None
    await page.mouse.click(box["x"] + 9, box["y"] + box["height"] / 2)
    await expect(panel.row(ENTRIES // 2)).to_be_in_viewport()
    await panel.open(large, "seq=77777")
    await panel.at(77_777)
    assert await panel.rows().count() < DRAWN


async def test_scrolling_far_shows_every_row_once_in_order(page: Page, service: Service, large: str) -> None:
    """Through more pages than are held, and back, rows on screen are always neighbours; the document stays small."""
    panel = Panel(page, service.url)
    await panel.open(large, "seq=50000")
    await panel.at(50_000)
    for pixels, far in ((4_400, 11_500), (-4_400, 3_000)):
        start = (await panel.seqs())[0]
        async with asyncio.timeout(60):
            moved = 0
            while moved < far:
                await panel.wheel(pixels)
                seqs = await panel.seqs()
                assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
                moved = abs(seqs[0] - start)
        assert await panel.rows().count() < DRAWN


async def test_a_filter_s_rows_have_no_holes_either(page: Page, service: Service, large: str) -> None:
    """Filtered by source, all rows on screen are that source's, next to each other, wherever one scrolls."""
    panel = Panel(page, service.url)
    await panel.open(large, "source=b")
    for _ in range(30):
        await panel.wheel(-2_400)
        seqs = await panel.seqs()
        assert seqs == list(range(seqs[0], seqs[0] + 3 * len(seqs), 3))


async def test_a_flood_leaves_the_document_small_and_the_end_in_view(page: Page, service: Service) -> None:
    """While tens of thousands of entries stream in the page holds a bounded number of rows and follows the end."""
    task = await service.external("flood", [{"message": "first"}])
    panel = Panel(page, service.url)
    await panel.open(task)
    for part in range(8):
        await service.log(task, [{"message": f"flood {n}"} for n in range(part * 5_000, part * 5_000 + 5_000)])
        assert await panel.rows().count() < DRAWN
    await expect(panel.says("flood 39999")).to_be_in_viewport()
    first = (await panel.seqs())[0]
    await panel.wheel(-3_000)
    await expect(panel.row(first)).not_to_be_in_viewport()
    seqs = await panel.seqs()
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


async def test_a_large_running_task_counts_its_sources_live(page: Page, service: Service) -> None:
    """While a large task runs its sources' counts go on growing, choosing one shows only its rows, and new ones of it
    appear at once.
    """
    task = await service.external(
        "large-live", ({"message": f"entry {n}", "source": "abc"[n % 3]} for n in range(30_000))
    )
    panel = Panel(page, service.url)
    await panel.open(task)
    await page.get_by_role("button", name="source").first.click()
    option = page.locator(".facet-list li").filter(has=page.get_by_role("checkbox", name=re.compile("^b")))
    await expect(option).to_contain_text("10,000")
    await service.log(task, [{"message": "more", "source": "b"}] * 500)
    await expect(option).to_contain_text("10,500")
    await option.get_by_role("button", name="only").click()
    await page.keyboard.press("Escape")
    await expect(page.locator(".source").filter(has_text=re.compile("^[ac]$"))).to_have_count(0)
    await service.log(task, [{"message": "not chosen", "source": "a"}, {"message": "the newest", "source": "b"}])
    await expect(panel.says("the newest")).to_be_in_viewport()
    await expect(panel.says("not chosen")).to_have_count(0)
