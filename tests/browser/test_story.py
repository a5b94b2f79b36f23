"""A release as people live it, through the page only: asked about, refused, approved, broken, back by itself, paused.

Nothing is simulated but Slack: the bot, the shop and its supervisors are processes, the browser is Debian's. At each
step a picture is kept under `tests/screenshots/`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from examples.local_stack import LocalStack, Ports
from simulator.seen import Seen
from tests.browser.visitor import CHROMIUM, SCRIPT_MS, Visitor, chromium

SCREENSHOTS = Path(__file__).parents[1] / "screenshots"
GOES_BACK = re.compile(r"shop 1[.]1[.]0 is being rolled back in .*wave-1.* to 1[.]0[.]0")
LIMIT_SECONDS = 170
"""The story takes half a minute on a quiet machine; this is for a busy one."""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(
        not CHROMIUM.exists(),
        reason="needs a browser: apt-get update && apt-get install -y chromium fonts-noto-color-emoji",
    ),
]


@asynccontextmanager
async def open_shop(directory: Path) -> AsyncIterator[LocalStack]:
    """The local stack with 1.0.0 everywhere, so that there is something to go back to."""
    stack = LocalStack(directory / "local", Ports.free())
    try:
        await stack.start()
        await stack.announce("1.0.0", title="Open the shop", author="dave@example.com")
        card = await stack.workspace.until(lambda: _card(stack, "1.0.0", button="Approve"), 60)
        await stack.workspace.person("carol").presses("Approve", on=card, confirm=True)
        await stack.workspace.until(lambda: _card(stack, "1.0.0", words="is everywhere"), 60)
        # Until its watch is over, an alarm over production would take 1.0.0 back as well.
        await stack.workspace.until(lambda: (old := _card(stack, "1.0.0")) and "watched" not in old.plain, 60)
        yield stack
    finally:
        await stack.stop()


def _card(stack: LocalStack, version: str, *, button: str = "", words: str = "") -> Seen | None:
    for message in stack.workspace.channel("#shop").messages:
        if message.text.startswith(f"shop {version} ") and words in message.text:
            return message if not button or button in message.buttons else None
    return None


async def _keep(page: Page, name: str) -> None:
    await page.screenshot(path=SCREENSHOTS / f"{name}.png", animations="disabled")


async def test_a_release_is_asked_about_approved_broken_and_back_by_itself(tmp_path: Path) -> None:
    async with asyncio.timeout(LIMIT_SECONDS), open_shop(tmp_path) as stack, chromium() as browser:
        visitor = await Visitor.arrives(browser, stack.workspace.url, "ann")
        await visitor.opens_channel("shop")
        await stack.announce("1.1.0", title="Show prices with tax", author="bob@example.com")
        await _it_waits_and_says_why(visitor)
        await _its_author_may_not_approve_it(visitor)
        await _somebody_else_does(visitor)
        await _it_breaks_in_the_shop(visitor)
        await _it_goes_back_by_itself(visitor)
        await _somebody_looks_into_it(visitor)
        await _the_cord_is_pulled_by_keyboard(visitor)
        assert visitor.faults == []
        assert visitor.asked == {"127.0.0.1"}


async def _it_waits_and_says_why(visitor: Visitor) -> None:
    card = visitor.card("1.1.0")
    await expect(card.get_by_role("button", name="Approve shop 1.1.0")).to_be_visible(timeout=SCRIPT_MS)
    await _keep(visitor.page, "01-it-waits-for-an-approval")
    await visitor.types("shop", "/release why shop")
    answer = visitor.message("Only visible to you")
    await expect(answer).to_contain_text("shop 1.1.0 waits to enter one-box")
    await expect(answer).to_contain_text("waits for an approval")
    await _keep(visitor.page, "02-ann-asks-why")


async def _its_author_may_not_approve_it(visitor: Visitor) -> None:
    await visitor.becomes("Bob")
    await expect(visitor.message("Only visible to you")).to_have_count(0)
    card = visitor.card("1.1.0")
    await card.get_by_role("button", name="Approve shop 1.1.0").click()
    await visitor.page.get_by_role("dialog").get_by_role("button", name="Approve").click()
    refusal = visitor.message("Only visible to you")
    await expect(refusal).to_contain_text("You had a part in a change it carries")
    await expect(card).to_contain_text("0 of 1 given")
    await _keep(visitor.page, "03-bob-wrote-it-and-is-refused")


async def _somebody_else_does(visitor: Visitor) -> None:
    await visitor.becomes("Carol")
    card = visitor.card("1.1.0")
    await card.get_by_role("button", name="Approve shop 1.1.0").click()
    dialog = visitor.page.get_by_role("dialog")
    await expect(dialog).to_contain_text("shop 1.1.0 then enters one-box of production, in place of 1.0.0.")
    await _keep(visitor.page, "04-carol-is-asked-once-more")
    await dialog.get_by_role("button", name="Approve").click()
    await visitor.opens_thread(card)
    await expect(visitor.told("Carol approved shop 1.1.0")).to_be_visible()
    await expect(card.get_by_role("button", name="Approve shop 1.1.0")).to_have_count(0)
    await expect(visitor.told("wave-1: its only target runs 1.1.0; it bakes")).to_be_visible(timeout=SCRIPT_MS)
    await _keep(visitor.page, "05-it-bakes-in-wave-1")


async def _it_breaks_in_the_shop(visitor: Visitor) -> None:
    shop = await visitor.follows_link_to_shop()
    await shop.get_by_role("button", name="Break it: version 1.1.0").click()
    await expect(shop.get_by_role("button", name="Mend it: version 1.1.0")).to_be_visible()
    await _keep(shop, "06-it-is-broken-in-the-shop")
    await shop.close()


async def _it_goes_back_by_itself(visitor: Visitor) -> None:
    card = visitor.card("1.1.0")
    told = visitor.told(GOES_BACK)
    await expect(told).to_be_visible(timeout=SCRIPT_MS)
    # Both canaries look at what is broken now; either may be the first.
    await expect(told).to_contain_text(re.compile(r"the alarms? .*canary.* turned red"))
    await expect(told).to_contain_text("@Dave")
    await _keep(visitor.page, "07-it-goes-back")
    for stage in ("one-box", "wave-1"):
        words = f"shop 1.1.0 was rolled back in {stage}, which runs 1.0.0 again"
        await expect(visitor.told(words)).to_be_visible(timeout=SCRIPT_MS)
    await expect(card.get_by_role("heading")).to_contain_text("shop 1.1.0 ↶ rolled back")
    await expect(card.get_by_role("button", name="Pause")).to_have_count(0)
    await _keep(visitor.page, "08-it-is-back")


async def _somebody_looks_into_it(visitor: Visitor) -> None:
    await visitor.becomes("Dave")
    told = visitor.told(GOES_BACK)
    await told.get_by_role("button", name="Acknowledge").click()
    await expect(visitor.told("Dave looks into the rollback")).to_be_visible()
    await visitor.chooses("History", visitor.card("1.1.0"))
    history = visitor.message("newest first")
    await expect(history).to_contain_text("Only visible to you")
    await expect(history).to_contain_text("asked and refused: ")
    await expect(history).to_contain_text("Carol approved shop 1.1.0 for the group production")
    await expect(history).to_contain_text("Dave looks into the rollback")
    await _keep(visitor.page, "09-dave-looks-into-it")


async def _the_cord_is_pulled_by_keyboard(visitor: Visitor) -> None:
    keyboard = visitor.page.keyboard
    await visitor.told(GOES_BACK).focus()
    await visitor.tabs_to("Pause shop")
    await keyboard.press("Enter")
    dialog = visitor.page.get_by_role("dialog", name="Pause shop")
    await expect(dialog.get_by_role("textbox", name="Why?")).to_be_focused()
    await keyboard.type("Let us look at the prices first")
    await _keep(visitor.page, "10-the-cord-asks-for-a-reason")
    await visitor.tabs_to("Pause")
    await keyboard.press("Enter")
    await expect(dialog).to_have_count(0)
    await expect(visitor.message("Dave paused shop: Let us look at the prices first")).to_be_visible()
    await _keep(visitor.page, "11-it-is-paused")
    await visitor.types("shop", "/release resume shop")
    await expect(visitor.message("Dave lifted the pause of shop")).to_be_visible()
    await _keep(visitor.page, "12-it-goes-on")
