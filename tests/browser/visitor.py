"""A person in front of the local workspace: a real browser, driven by what is visible and by nothing else.

Used by the story of the page and by the pictures of the README.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from re import Pattern
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, Locator, Page, async_playwright, expect

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 10_000
SCRIPT_MS = 45_000
"""How long what the machines do by themselves may take: deploy, bake, roll back."""


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser without a window; it is closed at the end."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Visitor:
    """One browser window on the workspace; `faults` are script errors, `asked` the machines it spoke to."""

    page: Page
    faults: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)

    @classmethod
    async def arrives(
        cls, browser: Browser, url: str, who: str, *, width: int = 1440, height: int = 900, scheme: str = "light"
    ) -> Visitor:
        """Open the workspace as somebody."""
        context: BrowserContext = await browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="Europe/Dublin",
        )
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        visitor = cls(page)
        page.on("pageerror", lambda error: visitor.faults.append(str(error)))
        context.on("request", lambda request: visitor.asked.add(urlsplit(request.url).hostname or ""))
        await page.goto(f"{url}?as={who}")
        await expect(visitor.people).to_have_accessible_name(f"You are {who.capitalize()}. Change who you are")
        return visitor

    @property
    def people(self) -> Locator:
        """The button that says who one is."""
        return self.page.locator("#people")

    async def opens_channel(self, name: str) -> None:
        """Click a channel in the list."""
        await self.page.get_by_role("link", name=f"{name}, channel").click()
        await expect(self.page.get_by_role("heading", name=name, level=1)).to_be_visible()

    async def becomes(self, name: str) -> None:
        """Choose somebody else in the menu on top."""
        await self.people.click()
        await self.page.get_by_role("menuitemradio", name=name).click()
        await expect(self.people).to_have_accessible_name(f"You are {name}. Change who you are")

    async def types(self, channel: str, words: str) -> None:
        """Write into a channel's field and press Enter."""
        await self.page.get_by_role("combobox", name=f"Message #{channel}").fill(words)
        await self.page.keyboard.press("Enter")

    def message(self, words: str | Pattern[str]) -> Locator:
        """The newest message of the channel that shows these words."""
        return self.page.locator("#messages .message", has_text=words).last

    def card(self, version: str) -> Locator:
        """The card of a version: the message whose headline begins with it."""
        headline = self.page.get_by_role("heading", name=f"shop {version} ", level=3)
        return self.page.locator("#messages .message", has=headline).first

    def told(self, words: str | Pattern[str]) -> Locator:
        """The newest message of the open thread that shows these words."""
        return self.page.locator("#thread-messages .message", has_text=words).last

    async def opens_thread(self, card: Locator) -> None:
        """Click the number of replies under a message."""
        await card.locator("button.replies").click()
        await expect(self.page.locator("#thread")).to_be_visible()

    async def chooses(self, entry: str, message: Locator) -> None:
        """Open a message's menu, and choose in it."""
        await message.locator(".blocks").get_by_role("button", name="More actions").click()
        await self.page.get_by_role("menuitem", name=entry).click()

    async def tabs_to(self, name: str, *, most: int = 40) -> None:
        """Press Tab until something is focused whose name begins so; raises AssertionError where that never comes."""
        for _ in range(most):
            await self.page.keyboard.press("Tab")
            focused = await self.page.evaluate(
                "() => { const node = document.activeElement; "
                "return node.getAttribute('aria-label') ?? node.textContent ?? ''; }"
            )
            if str(focused).strip().startswith(name):
                return
        raise AssertionError(f"nothing called {name!r} comes within {most} presses of Tab")

    async def follows_link_to_shop(self) -> Page:
        """Click the shop's link on top of the page, which opens a window of its own."""
        async with self.page.expect_popup() as opening:
            await self.page.get_by_role("link", name="The shop").click()
        shop = await opening.value
        shop.set_default_timeout(PATIENCE_MS)
        return shop
