"""`make pictures`: the pictures of the README, taken of the local workspace, where the real processes run.

What is on them depends on nothing of this machine: no path, no token and no port is ever on the page. Only the time of
day differs from run to run.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Browser, Locator, Page, expect

from examples.local_stack import LocalStack, Ports
from examples.shop.traffic import Traffic
from simulator.seen import Seen
from tests.browser.visitor import CHROMIUM, SCRIPT_MS, Visitor, chromium

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
MOST_BYTES = 300_000
LIMIT_SECONDS = 240
REQUESTS_PER_SECOND = 10


async def take(directory: Path) -> None:
    """Set everything up, take all pictures, and leave nothing behind."""
    stack = LocalStack(directory / "local", Ports.free())
    try:
        await stack.start()
        await _bring_everywhere(stack)
        async with Traffic(stack.shop_url, REQUESTS_PER_SECOND), chromium() as browser:
            await _pictures(stack, browser)
    finally:
        await stack.stop()


async def _bring_everywhere(stack: LocalStack) -> None:
    """1.0.0 is everywhere and not watched any more: there is something to go back to."""
    await stack.announce("1.0.0", title="Open the shop", author="dave@example.com")
    card = await stack.workspace.until(lambda: _card(stack, "Approve", by_button=True), 60)
    await stack.workspace.person("carol").presses("Approve", on=card, confirm=True)
    await stack.workspace.until(lambda: (seen := _card(stack, "is everywhere")) and "watched" not in seen.plain, 90)


def _card(stack: LocalStack, words: str, *, by_button: bool = False) -> Seen | None:
    for message in stack.workspace.channel("#shop").messages:
        if message.text.startswith("shop 1.0.0 ") and words in (message.buttons if by_button else message.text):
            return message
    return None


async def _pictures(stack: LocalStack, browser: Browser) -> None:
    visitor = await Visitor.arrives(browser, stack.workspace.url, "ann")
    await visitor.opens_channel("shop")
    await stack.announce("1.1.0", title="Show prices with tax", author="bob@example.com")
    card = visitor.card("1.1.0")
    await expect(card.get_by_role("button", name="Approve shop 1.1.0")).to_be_visible(timeout=SCRIPT_MS)
    await visitor.opens_thread(card)
    await expect(visitor.told("needs an approval")).to_be_visible()
    await visitor.types("shop", "/release why shop")
    await expect(visitor.message("shop 1.1.0 waits to enter one-box")).to_be_visible()
    await _picture(visitor.page, "workspace", top=card)

    home = await Visitor.arrives(browser, stack.workspace.url, "ann")
    await home.page.get_by_role("link", name="Andon, app").click()
    await expect(home.page.locator("#home")).to_contain_text("asks for your approval")
    await _picture(home.page, "home")

    await card.get_by_role("button", name="Approve shop 1.1.0").click()
    await visitor.page.get_by_role("dialog").get_by_role("button", name="Approve").click()
    await expect(visitor.told("wave-1: its only target runs 1.1.0; it bakes")).to_be_visible(timeout=SCRIPT_MS)
    await visitor.chooses("Roll back…", card)
    dialog = visitor.page.get_by_role("dialog", name="Roll back")
    await dialog.get_by_role("textbox", name="Why?").fill("Customers cannot pay")
    await _picture(visitor.page, "modal")
    await dialog.get_by_role("button", name="Cancel").click()

    shop = await visitor.follows_link_to_shop()
    await shop.set_viewport_size({"width": 1440, "height": 900})
    await _picture(shop, "shop")
    await shop.locator("li", has_text="1.1.0").get_by_role("button", name="Break it").click()
    await shop.close()
    await expect(visitor.told("is being rolled back in")).to_be_visible(timeout=SCRIPT_MS)
    for stage in ("one-box", "wave-1"):
        await expect(visitor.told(f"was rolled back in {stage}")).to_be_visible(timeout=SCRIPT_MS)
    await expect(card.get_by_role("heading")).to_contain_text("↶ rolled back", timeout=SCRIPT_MS)
    await _picture(visitor.page, "rollback", top=card)


async def _picture(page: Page, name: str, *, top: Locator | None = None) -> None:
    """Take one, `top` standing on top of its column."""
    if top is not None:
        await page.mouse.move(700, 20)
        await top.evaluate("(node) => node.scrollIntoView({ block: 'start' })")
    path = PICTURES / f"{name}.png"
    await page.screenshot(path=path, animations="disabled", caret="hide")
    size = path.stat().st_size
    sys.stdout.write(f"docs/pictures/{path.name}: {size // 1000} kB\n")
    if size > MOST_BYTES:
        raise RuntimeError(f"{path.name} has {size} bytes; {MOST_BYTES} are the most a reader should load")


def main() -> int:
    """The command."""
    if not CHROMIUM.exists():
        sys.stderr.write("Pictures need a browser: apt-get update && apt-get install -y chromium\n")
        return 1
    PICTURES.mkdir(parents=True, exist_ok=True)

    async def all_of_it() -> None:
        async with asyncio.timeout(LIMIT_SECONDS):
            with tempfile.TemporaryDirectory(prefix="andon-pictures-") as directory:
                await take(Path(directory))

    asyncio.run(all_of_it())
    return 0


if __name__ == "__main__":
    sys.exit(main())
