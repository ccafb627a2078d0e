"""What is on the page, in the words of the tests."""

import re
from typing import cast

from playwright.async_api import Locator, Page, expect

VISIBLE = """() => {
  const view = document.querySelector('.viewport').getBoundingClientRect()
  return [...document.querySelectorAll('[data-seq]')]
    .filter((row) => {
      const box = row.getBoundingClientRect()
      return box.bottom > view.top + 1 && box.top < view.bottom - 1
    })
    .map((row) => Number(row.dataset.seq))
}"""


class Panel:
    """A task's page."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url

    async def open(self, task: str, query: str = "") -> None:
        """Goes to a task and waits for its rows."""
        await self.page.goto(f"{self.url}/#/tasks/{task}{f'?{query}' if query else ''}")
        await expect(self.page.locator("footer [role=status]")).to_be_visible()
        await expect(self.page.locator(".viewport")).to_have_attribute("aria-busy", "false")
        await self.page.locator(".viewport").hover()

    def rows(self) -> Locator:
        """The rows that are drawn."""
        return self.page.locator("[data-seq]")

    def row(self, seq: int) -> Locator:
        """One row."""
        return self.page.locator(f'[data-seq="{seq}"]')

    def says(self, text: str) -> Locator:
        """The rows with a text."""
        return self.rows().filter(has_text=text)

    def current(self) -> Locator:
        """The chosen row."""
        return self.page.locator("[data-seq][aria-current]")

    async def seqs(self) -> list[int]:
        """The seqs on screen, from top to bottom."""
        return cast("list[int]", await self.page.evaluate(VISIBLE))

    async def press(self, *keys: str) -> None:
        """Keys for the page, not for an input."""
        await self.page.evaluate("document.activeElement?.blur()")
        for key in keys:
            await self.page.keyboard.press(key)

    async def at(self, seq: int) -> None:
        """Waits until a row is the chosen one and on screen."""
        await expect(self.current()).to_have_attribute("data-seq", str(seq))
        await expect(self.row(seq)).to_be_in_viewport()

    async def wheel(self, pixels: int) -> None:
        """Scrolls the rows; the mouse is over them since the page was opened."""
        await self.page.mouse.wheel(0, pixels)

    async def pick(self, facet: str, value: str, action: str = "") -> None:
        """Chooses a value of a facet; `not` leaves it out, `only` chooses just it."""
        await self.page.get_by_role("button", name=re.compile(f"^{facet}")).first.click()
        item = self.page.locator(".facet-list li").filter(has_text=value)
        await (item.get_by_role("button", name=action) if action else item.get_by_role("checkbox")).click()
        await self.page.keyboard.press("Escape")
        await expect(self.page.locator(".facet-list")).to_have_count(0)
