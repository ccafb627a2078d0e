"""Single rows: what they show, and what one can do with them."""

import re

from playwright.async_api import BrowserContext, Page, expect

from tests.browser.panel import Panel
from tests.browser.service import Service

BELL, ESC, RLO = "\u0007", "\u001b", "\u202e"
HOSTILE = [
    "<script>document.title = 'pwned'</script><img src=x onerror=\"document.title='pwned'\">",
    f"{ESC}[31mred{ESC}[0m and {ESC}]8;;http://evil.example/{BELL}not a link{ESC}]8;;{BELL} {ESC}[2J",
    f"a {RLO}gnp.exe and a bell {BELL}",
    "x" * 1_000_000,
    "W" * 10_000,
    "javascript:alert(1) data:text/html,x https://example.org/?a=<b>.",
    "first\nsecond\nthird",
    "{{constructor.constructor('alert(1)')()}} ${7*7} {@html x}",
]


async def test_hostile_text_is_only_ever_read(page: Page, service: Service) -> None:
    """Scripts, terminal codes, direction overrides, a megabyte and a 10,000-character word are shown, do nothing, and
    keep the page as wide as it is. Only http addresses are links.
    """
    entries = [{"message": message, "source": "<i>s</i>", "metadata": {"<b>": message[:99]}} for message in HOSTILE]
    task = await service.external("<u>hostile</u>", entries)
    panel = Panel(page, service.url)
    await panel.open(task)
    await expect(panel.rows()).to_have_count(len(HOSTILE) + 1)
    for wrapped in (False, True):
        await expect(panel.row(2)).to_contain_text(HOSTILE[0])
        await expect(panel.row(3).locator(".message .ansi-red")).to_have_text("red")
        await expect(panel.row(4)).to_contain_text("U+202E")
        assert RLO not in await panel.rows().nth(3).inner_text()
        assert await panel.row(3).locator(".message a").count() == 0
        assert await panel.row(7).locator(".message a").first.get_attribute("href") == "https://example.org/?a="
        await expect(page).to_have_title("<u>hostile</u> · asynclog")
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert await page.locator("#app script, #app img, #app b, #app i, #app u").count() == 0
        if not wrapped:
            await panel.press("w", "g")
    await panel.row(5).locator(".more").first.click()
    await expect(panel.row(5).locator(".details pre")).to_contain_text("980 kB more")


async def test_a_multi_line_message_is_folded_and_opens(page: Page, service: Service) -> None:
    """One line is shown with the number of the others, and a click shows them all."""
    task = await service.external("folded", [{"message": "first\nsecond\nthird"}])
    panel = Panel(page, service.url)
    await panel.open(task)
    await expect(panel.row(2)).not_to_contain_text("second")
    await panel.row(2).get_by_role("button", name="2 lines").click()
    await expect(panel.row(2).locator("pre")).to_contain_text("first\nsecond\nthird")


async def test_a_permalink_opens_at_its_entry_and_around_it(page: Page, service: Service) -> None:
    """The time of a row is its address; opened, that row is chosen, and `x` shows what its filter had hidden."""
    task = await service.external(
        "permalink", [{"message": f"m{n}", "source": "a" if n % 2 else "b"} for n in range(2, 3_001)]
    )
    panel = Panel(page, service.url)
    await panel.open(task, "source=a&seq=1501")
    await panel.at(1501)
    assert await panel.row(1502).count() == 0
    href = await panel.row(1503).locator(".time").get_attribute("href")
    assert href == f"#/tasks/{task}?source=a&seq=1503"
    await panel.press("x")
    await panel.at(1501)
    await expect(panel.row(1502)).to_be_in_viewport()
    await expect(page).to_have_url(re.compile("min_level=DEBUG"))


async def test_a_range_is_copied_by_seq(page: Page, context: BrowserContext, service: Service) -> None:
    """Shift and a click choose a range; what is copied is all of it, also what was never drawn."""
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    task = await service.external("copy", [{"message": f"m{n}"} for n in range(2, 2_001)])
    await service.finish(task)
    panel = Panel(page, service.url)
    await panel.open(task, "seq=3")
    await panel.at(3)
    await panel.press("G")
    await expect(panel.row(2_000)).to_be_in_viewport()
    await panel.row(1_999).click()
    await panel.open(task, "seq=3")
    await panel.row(12).click(modifiers=["Shift"])
    await expect(page.locator("footer")).to_contain_text(re.compile(r"3 . 12 selected"))
    await panel.press("c")
    await expect(page.get_by_text("Copied: 10 entries.")).to_be_visible()
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert [line.split()[-1] for line in copied.splitlines()] == [f"m{n}" for n in range(3, 13)]


async def test_times_are_shown_in_utc_local_and_since_the_start(page: Page, service: Service) -> None:
    """`t` goes through the three, and the full time is there on hover."""
    task = await service.external("times", [{"message": "m", "timestamp": "2026-02-07T12:00:00.123456Z"}])
    panel = Panel(page, service.url)
    await panel.open(task)
    time = panel.row(2).locator(".time")
    await expect(time).to_have_text("12:00:00.123")
    await expect(time).to_have_attribute("title", re.compile(r"2026-02-07 12:00:00\.123456 UTC"))
    await panel.press("t")
    await expect(page.locator("footer")).to_contain_text("local time")
    await panel.press("t")
    await expect(time).to_have_text(re.compile("^[+-]"))


async def test_a_progress_entry_has_a_bar(page: Page, service: Service) -> None:
    """An entry that reports progress shows it as a bar in its row."""
    task = await service.call("POST", "/api/tasks", {"plugin": "hold"})
    panel = Panel(page, service.url)
    await panel.open(task["id"])
    await expect(panel.says("three of ten").get_by_role("progressbar")).to_have_attribute("aria-valuenow", "30")
    await service.call("POST", f"/api/tasks/{task['id']}/cancel")
