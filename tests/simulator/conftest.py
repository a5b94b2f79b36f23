"""A running workspace, a real client for it, and real Bolt apps over both transports."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from simulator.people import Simulator

CONFIG: dict[str, Any] = {
    "users": [
        {"name": "ann", "real_name": "Ann Archer"},
        {"name": "bob"},
        {"name": "cleo"},
        {"name": "guest", "is_external": True},
    ],
    "channels": [
        {"name": "checkout", "members": ["ann", "bob", "app"]},
        {"name": "quiet", "members": ["ann", "bob"]},
        {"name": "secret", "kind": "private", "members": ["ann"]},
        {"name": "ops", "kind": "private", "members": ["ann", "app"]},
    ],
    "groups": [{"handle": "approvers", "members": ["bob"]}],
    "app": {
        "commands": [
            {"command": "/release", "should_escape": True, "usage_hint": "[why]"},
            {"command": "/raw"},
        ],
        "shortcuts": [
            {"type": "global", "name": "Release actions", "callback_id": "release_actions"},
            {"type": "message", "name": "Log as feedback", "callback_id": "feedback_add"},
        ],
    },
}


class Ticking:
    """A clock moved by hand."""

    def __init__(self, at: float = 1_700_000_000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += seconds


@pytest.fixture
def wall() -> Ticking:
    """Stands still, near the real time: Bolt refuses signatures older than five minutes."""
    return Ticking(time.time())


@pytest.fixture
async def workspace(wall: Ticking) -> AsyncIterator[Simulator]:
    """A workspace whose machine time stands still; the app answers within 0.5 s or not at all."""
    async with Simulator.running(
        config=CONFIG, clock=Ticking(), wall_clock=wall, ack_seconds=0.5, retry_delays=(0, 0.01, 0.01)
    ) as simulator:
        yield simulator


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def client(workspace: Simulator, session: aiohttp.ClientSession) -> AsyncWebClient:
    return AsyncWebClient("xoxb-test", base_url=workspace.api_url, session=session, retry_handlers=[])


Connect = Callable[..., Awaitable[Any]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connect a Bolt app to a workspace over `socket` or `http`, until the test ends."""
    async with AsyncExitStack() as stack:

        async def connected(simulator: Simulator, app: AsyncApp, transport: str = "socket") -> Any:
            if transport == "socket":
                handler = AsyncSocketModeHandler(app, "xapp-test")
                stack.push_async_callback(handler.close_async)
                await handler.connect_async()  # type: ignore[no-untyped-call]
                await simulator.until_connected()
                return handler
            runner = web.AppRunner(app.web_app(path="/slack/events"), access_log=None)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            simulator.workspace.app.socket_mode = False
            simulator.workspace.app.request_url = f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
            return runner

        yield connected


@pytest.fixture
async def bolt(workspace: Simulator, session: aiohttp.ClientSession) -> AsyncApp:
    """A Bolt app without listeners yet, pointed at the workspace."""
    client = AsyncWebClient("xoxb-test", base_url=workspace.api_url, session=session, retry_handlers=[])
    return AsyncApp(client=client, signing_secret="signing-secret", process_before_response=True)
