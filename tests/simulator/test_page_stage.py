"""The stage of the page's stories: a workspace, a Bolt app in it and a real browser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from playwright.async_api import Browser, Locator, Page, async_playwright, expect
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from simulator.people import Simulator

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
in_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not CHROMIUM.exists(),
        reason="needs a browser: apt-get update && apt-get install -y chromium fonts-noto-color-emoji",
    ),
]
pytestmark = in_browser

CONFIG: dict[str, Any] = {
    "users": [
        {"name": "ann", "real_name": "Ann Archer"},
        {"name": "bob", "real_name": "Bob Baker"},
        {"name": "cleo", "real_name": "Cleo Carter"},
    ],
    "channels": [
        {"name": "checkout", "topic": "Releases of *checkout*", "members": ["ann", "bob", "andon"]},
        {"name": "general", "members": ["ann", "bob", "cleo"]},
        {"name": "random", "members": ["bob"]},
        {"name": "secret", "kind": "private", "members": ["ann"]},
    ],
    "groups": [{"handle": "approvers", "name": "Checkout approvers", "members": ["bob"]}],
    "app": {
        "name": "andon",
        "commands": [
            {"command": "/release", "usage_hint": "[why|status] [service]", "description": "See releases"},
            {"command": "/ops", "description": "Operations"},
        ],
        "shortcuts": [
            {"type": "global", "name": "Release actions", "callback_id": "release_actions"},
            {"type": "message", "name": "Log as feedback", "callback_id": "feedback_add"},
        ],
    },
}


def plain(text: str) -> dict[str, Any]:
    """Return a plain_text object."""
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str) -> dict[str, Any]:
    """Return a mrkdwn object."""
    return {"type": "mrkdwn", "text": text}


def button(text: str, action_id: str, **more: Any) -> dict[str, Any]:
    """Return a button."""
    return {"type": "button", "text": plain(text), "action_id": action_id, **more}


class Ticking:
    """A clock moved by hand; it starts on 14 November 2023, 22:13:20 UTC."""

    def __init__(self) -> None:
        self.at = 1_700_000_000.0

    def __call__(self) -> float:
        return self.at


@dataclass
class Stage:
    """A running workspace, the Bolt app in it, what the app heard, and browsers to look with."""

    simulator: Simulator
    app: AsyncApp
    client: AsyncWebClient
    clock: Ticking
    browser: Browser
    heard: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    faults: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)

    async def looks(self, who: str, place: str = "#checkout", *, scheme: str = "light", width: int = 1440) -> Page:
        """Open the page as `who` at a channel (`#name`) or another address, and wait until it stands."""
        context = await self.browser.new_context(
            viewport={"width": width, "height": 900 if width > 500 else 844},
            color_scheme="dark" if scheme == "dark" else "light",
            locale="en-GB",
            timezone_id="Europe/Berlin",
        )
        page = await context.new_page()
        page.set_default_timeout(8_000)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self.asked.add(urlsplit(request.url).hostname or ""))
        address = f"#/{self.simulator.channel(place).id}" if place.startswith("#") and place[1:2] != "/" else place
        await page.goto(f"{self.simulator.url}?as={who}{address}")
        await expect(page.locator("#people")).to_contain_text(who.capitalize())
        return page

    async def posts(self, text: str = "a card", *, channel: str = "#checkout", **more: Any) -> str:
        """Let the app post a message; returns its ts."""
        answer = await self.client.chat_postMessage(channel=self.simulator.channel(channel).id, text=text, **more)
        return str(answer["ts"])

    async def hears(self, kind: str) -> dict[str, Any]:
        """Return the next payload the app heard, which must be of this type."""
        payload = await asyncio.wait_for(self.heard.get(), 8)
        assert payload.get("type") == kind, payload
        return payload

    def keep(self, work: Callable[..., Any] | None = None) -> Callable[..., Any]:
        """Return a listener that acknowledges, keeps the payload and then lets `work(body, client)` act."""

        async def listener(ack: Any, body: dict[str, Any], client: AsyncWebClient) -> None:
            await ack()
            if work is not None:
                await work(body, client)
            self.heard.put_nowait(body)

        return listener


@asynccontextmanager
async def staged(*, ack_seconds: float = 3.0) -> AsyncIterator[Stage]:
    """Set everything up, and take it down again; a script error on the page or a request elsewhere fails the story."""
    async with AsyncExitStack() as stack:
        clock = Ticking()
        simulator = await stack.enter_async_context(
            Simulator.running(config=CONFIG, clock=clock, ack_seconds=ack_seconds, retry_delays=(0, 0.01, 0.01))
        )
        session = await stack.enter_async_context(aiohttp.ClientSession())
        client = AsyncWebClient("xoxb-test", base_url=simulator.api_url, session=session, retry_handlers=[])
        app = AsyncApp(client=client, signing_secret="signing-secret", process_before_response=True)
        for event in ("message", "app_mention", "app_home_opened"):
            app.event(event)(_nothing)
        handler = AsyncSocketModeHandler(app, "xapp-test")
        stack.push_async_callback(handler.close_async)
        await handler.connect_async()  # type: ignore[no-untyped-call]
        await simulator.until_connected()
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        stack.push_async_callback(browser.close)
        stage = Stage(simulator, app, client, clock, browser)
        yield stage
        assert stage.faults == []
        assert stage.asked <= {"127.0.0.1"}


async def _nothing() -> None:
    """Hear an event and do nothing: what is not heard is delivered again, which takes time."""


def message(page: Page, text: str, pane: str = "#messages") -> Locator:
    """Find the message that holds `text`."""
    return page.locator(f"{pane} .message", has_text=text)


async def test_the_page_stands_with_landmarks_and_a_name_for_everything_one_can_press() -> None:
    async with staged() as stage:
        await stage.posts(blocks=[{"type": "actions", "elements": [button("Approve", "approve")]}])
        page = await stage.looks("ann")
        for role in ("main", "banner", "navigation"):
            await expect(page.get_by_role(role).first).to_be_visible()
        await expect(page.get_by_role("heading", name="checkout", level=1)).to_be_visible()
        nameless = await page.evaluate(
            """() => [...document.querySelectorAll('button, a[href], input, textarea')]
                .filter((node) => node.offsetParent && !node.getAttribute('aria-label'))
                .filter((node) => !node.textContent.trim() && !node.labels?.length)
                .map((node) => node.outerHTML)"""
        )
        assert nameless == []


async def test_a_person_who_does_not_exist_is_told_so_and_may_try_again() -> None:
    async with staged() as stage:
        page = await (await stage.browser.new_context()).new_page()
        await page.goto(f"{stage.simulator.url}?as=nobody")
        await expect(page.locator("#failure")).to_contain_text("nobody")
        await expect(page.get_by_role("button", name="Try again")).to_be_visible()
