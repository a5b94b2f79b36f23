"""A workspace on loopback and the pieces of Andon's Slack side, put together for a story."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient

from bot.manifest import SCOPES, manifest
from bot.render import Message
from bot.slack_channels import Channels
from bot.slack_client import Pace, open_session, web_client
from bot.slack_places import Card
from bot.slack_post import Call, Delivery, Pacing, SlackPost
from core.releases.effects import Page, RefreshCard, Tell
from simulator.people import Simulator

BORN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ALL = [scope.name for scope in SCOPES]


class Hands:
    """A clock that moves when somebody sleeps or says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def config(*, scopes: list[str] | None = None, without: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """A workspace in which Andon is installed and in #checkout."""
    plan = manifest()
    granted = [scope for scope in (scopes or ALL) if scope not in without]
    plan["oauth_config"]["scopes"] = {"bot": granted, "bot_optional": []}
    return {
        "manifest": plan,
        "users": [{"name": "ann"}, {"name": "bob"}, {"name": "cleo"}],
        "channels": [
            {"name": "checkout", "members": ["ann", "bob", "cleo", "andon"]},
            {"name": "elsewhere", "members": ["ann"]},
        ],
    } | more


@dataclass
class Clients:
    """Two clients of one session: one that repeats nothing, one for reads."""

    session: aiohttp.ClientSession
    client: AsyncWebClient
    reader: AsyncWebClient


@contextlib.asynccontextmanager
async def clients(simulator: Simulator, *, token: str = "xoxb-test") -> AsyncIterator[Clients]:
    async with open_session() as session:
        client = web_client(token, session=session, api_url=simulator.api_url)
        reader = web_client(token, session=session, api_url=simulator.api_url)
        yield Clients(session, client, reader)


@dataclass
class Script:
    """The words of a test: what a card says now, and in which channel."""

    channels: dict[str, str] = field(default_factory=lambda: {"checkout": "#checkout"})
    cards: dict[str, str] = field(default_factory=lambda: {"r1": "checkout 1.4.2 is deploying to beta"})
    drawn: int = 0
    on_call: tuple[str, ...] = ()
    fates: dict[str, str] = field(default_factory=dict)

    def channel(self, pipeline: str) -> str:
        return self.channels.get(pipeline, "")

    def card(self, pipeline: str, release: str) -> Message | None:
        self.drawn += 1
        said = self.cards.get(release)
        return None if said is None else Message(said, [section(said)])

    def told(self, pipeline: str, tell: Tell) -> Message | None:
        return Message(tell.sentence, [section(tell.sentence)])

    def decided(self, pipeline: str, release: str, request: str) -> Message | None:
        said = self.fates.get(request)
        return None if said is None else Message(said, [section(said)])

    def called(self, pipeline: str, page: Page) -> Call | None:
        direct = f"You are on call. {page.sentence}"
        return Call(Message(page.sentence, [section(page.sentence)]), Message(direct, [section(direct)]), self.on_call)


@dataclass
class Shelf:
    """Where cards stand, kept in memory; `breaks` makes the next `put` fail as a full disk would."""

    cards: dict[tuple[str, str], Card] = field(default_factory=dict)
    breaks: Exception | None = None
    asked: dict[tuple[str, str], dict[str, Card]] = field(default_factory=dict)

    async def questions(self, pipeline: str, release: str) -> Mapping[str, Card]:
        return dict(self.asked.get((pipeline, release), {}))

    async def put_question(self, pipeline: str, release: str, request: str, card: Card) -> None:
        self.asked.setdefault((pipeline, release), {})[request] = card

    async def find(self, pipeline: str, release: str) -> Card | None:
        return self.cards.get((pipeline, release))

    async def put(self, pipeline: str, release: str, card: Card) -> None:
        if self.breaks is not None:
            trouble, self.breaks = self.breaks, None
            raise trouble
        self.cards[(pipeline, release)] = card


def section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


@dataclass
class Stage:
    """One process of Andon that posts; `again()` is the process that comes after it."""

    simulator: Simulator
    pair: Clients
    script: Script
    shelf: Shelf
    hands: Hands
    post: SlackPost

    def again(self) -> Stage:
        return build(self.simulator, self.pair, self.script, self.shelf, self.hands)

    @property
    def seen(self) -> list[str]:
        """What stands in #checkout, threads indented."""
        lines = []
        for message in self.simulator.channel("#checkout").messages:
            if message.message.is_reply:
                lines.append(f"broadcast: {message.text}")
                continue
            lines.append(message.text)
            lines += [f"  {reply.text}" for reply in message.replies]
        return lines

    def calls(self, method: str) -> int:
        return self.simulator.faults.calls[method]


def build(simulator: Simulator, pair: Clients, script: Script, shelf: Shelf, hands: Hands) -> Stage:
    pacing = Pacing(
        posts=Pace(every=1.0, burst=100, monotonic=hands.monotonic, sleep=hands.sleep),
        edits=Pace(every=1.2, burst=100, monotonic=hands.monotonic, sleep=hands.sleep),
    )
    post = SlackPost(
        client=pair.client,
        reader=pair.reader,
        words=script,
        cards=shelf,
        channels=Channels(pair.reader, monotonic=hands.monotonic),
        pacing=pacing,
        may_upload="files:write" in simulator.workspace.app.scopes,
        monotonic=hands.monotonic,
    )
    return Stage(simulator, pair, script, shelf, hands, post)


@contextlib.asynccontextmanager
async def stage(setting: Mapping[str, Any] | None = None) -> AsyncIterator[Stage]:
    given = dict(setting) if setting is not None else config()
    async with asyncio.timeout(60), Simulator.running(config=given) as simulator, clients(simulator) as pair:
        yield build(simulator, pair, Script(), Shelf(), Hands())


def first(*, created_at: datetime = BORN) -> Delivery:
    return Delivery(pipeline="checkout", created_at=created_at, is_repeat=False)


def repeat(*, created_at: datetime = BORN) -> Delivery:
    return Delivery(pipeline="checkout", created_at=created_at, is_repeat=True)


def refresh(*, at_once: bool = False) -> RefreshCard:
    return RefreshCard(key="c1", release="r1", at_once=at_once)


def tell(
    sentence: str = "beta is baking",
    *,
    key: str = "t1",
    release: str = "r1",
    is_broadcast: bool = False,
    output: str = "",
    request: str = "",
) -> Tell:
    return Tell(
        key=key,
        release=release,
        topic="baking",
        sentence=sentence,
        is_broadcast=is_broadcast,
        output=output,
        offers=("approve", "reject") if request else (),
        subject=request,
    )
