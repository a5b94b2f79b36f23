"""Effects from the real engine and outbox to a strict workspace, with the words people see."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest

from bot.clock import FakeClock
from bot.engine import Engine, Rules
from bot.outbox import Claimed, Delivered, Done, Outbox
from bot.slack_channels import Channels
from bot.slack_client import Pace
from bot.slack_couriers import ReleaseWords, SlackCouriers, StoredCards
from bot.slack_places import Card
from bot.slack_post import Pacing, SlackPost
from core.releases.decide import decide, new_pipeline, next_wake
from core.releases.effects import Effect, Page, RefreshCard, Tell
from core.releases.events import DefinitionApplied, PauseRequested, ReleaseAnnounced
from core.releases.world import ANDON
from simulator.people import Seen, Simulator
from storage.journal import Store, sqlite_url
from tests import samples
from tests.bot.slack_office import people_in, settings
from tests.bot.slack_stage import Clients, clients


@dataclass
class Shop:
    """One process of Andon that has only Slack to deliver to; everything else is taken for done."""

    simulator: Simulator
    pair: Clients
    engine: Engine
    outbox: Outbox
    clock: FakeClock
    cards: StoredCards

    async def announce(self, version: str = "1.4.2") -> None:
        event = ReleaseAnnounced(
            version=version,
            digest=f"sha256:{version}",
            artifact=f"builds/{version}",
            by=samples.CI,
            changes=samples.CHANGES,
        )
        await self.engine.submit("checkout", event)

    async def pause(self, reason: str = "prices look wrong") -> None:
        await self.engine.submit("checkout", PauseRequested(by=samples.ANN, reason=reason))

    @property
    def messages(self) -> list[Seen]:
        return self.simulator.channel("#checkout").messages


async def _done(_claimed: Claimed) -> Delivered:
    return Done()


async def _buried(_claimed: Claimed, _reason: str) -> None:
    return


@contextlib.asynccontextmanager
async def shop(simulator: Simulator, file: Path, clock: FakeClock) -> AsyncIterator[Shop]:
    store = Store(sqlite_url(file))
    engine = Engine(store, Rules(decide, next_wake, new_pipeline), clock, longest_gap=None)
    try:
        async with asyncio.timeout(60), clients(simulator) as pair:
            await engine.start()
            if not engine.pipelines():
                await engine.change_world(lambda _: people_in(simulator), what="people")
                await engine.submit("checkout", DefinitionApplied(definition=samples.definition(), by=ANDON))
            cards = StoredCards(engine)
            post = SlackPost(
                client=pair.client,
                reader=pair.reader,
                words=ReleaseWords(engine),
                cards=cards,
                channels=Channels(pair.reader),
                pacing=Pacing(posts=Pace(every=0.001), edits=Pace(every=0.001), debounce=0.0),
            )
            slack = SlackCouriers(post, engine.now).deliver
            couriers = {kind: slack if kind in (RefreshCard, Tell, Page) else _done for kind in get_args(Effect)}
            yield Shop(simulator, pair, engine, Outbox(engine, couriers, _buried), clock, cards)
    finally:
        await engine.close()
        store.close()


@pytest.fixture
async def simulator():
    async with Simulator.running(config=settings()) as running:
        yield running


async def test_a_release_announced_is_a_card_with_a_thread_that_outlives_the_process(simulator, tmp_path):
    clock = FakeClock(samples.NOW)
    async with shop(simulator, tmp_path / "andon.db", clock) as before:
        await before.announce()
        await before.outbox.settle()
        (card,) = before.messages
        assert "1.4.2" in card.text
        assert len(card.blocks) > 1
        told = len(card.replies)

    async with shop(simulator, tmp_path / "andon.db", clock) as after:
        await after.pause()
        await after.outbox.settle()
        (card,) = after.messages
        assert "prices look wrong" in card.plain
        assert len(card.replies) > told
        (release,) = after.engine.pipelines()["checkout"].releases
        assert await after.cards.about(card.channel, card.ts) == ("checkout", release.id)


async def test_a_card_that_slack_did_not_confirm_is_found_again_by_the_outbox(simulator, tmp_path):
    async with shop(simulator, tmp_path / "andon.db", FakeClock(samples.NOW)) as s:
        simulator.faults.set("chat.postMessage", "drop_after", times=2)
        await s.announce()
        for _ in range(6):
            await s.outbox.settle()
            s.clock.advance(timedelta(seconds=30))
        (card,) = s.messages
        assert len({reply.text for reply in card.replies}) == len(card.replies)


async def test_a_pause_slack_asks_for_costs_only_time(simulator, tmp_path):
    async with shop(simulator, tmp_path / "andon.db", FakeClock(samples.NOW)) as s:
        simulator.faults.set("chat.postMessage", "rate_limited", times=1, retry_after=0)
        await s.announce()
        await s.outbox.settle()
        s.clock.advance(timedelta(seconds=1))
        await s.outbox.settle()
        assert len(s.messages) == 1
        assert simulator.faults.calls["conversations.history"] == 0, "what was surely not sent is not looked for"


async def test_what_cannot_be_posted_is_buried_with_the_mend_and_the_lane_goes_on(simulator, tmp_path):
    bot = simulator.workspace.app.bot_user
    simulator.workspace.leave(bot, simulator.workspace.channel("#checkout"))
    async with shop(simulator, tmp_path / "andon.db", FakeClock(samples.NOW)) as s:
        await s.announce()
        await s.outbox.settle()
        buried = await s.outbox.buried()
        assert buried
        assert all("/invite @andon" in one.reason for one in buried)


async def test_a_card_that_went_on_elsewhere_is_known_by_both_places(simulator, tmp_path):
    async with shop(simulator, tmp_path / "andon.db", FakeClock(samples.NOW)) as s:
        first = Card(channel="C1", ts="1.0", key="k", fingerprint="f")
        await s.cards.put("checkout", "r1", first)
        await s.cards.put("checkout", "r1", replace(first, fingerprint="g"))
        await s.cards.put("checkout", "r1", replace(first, ts="2.0"))

        assert (await s.cards.find("checkout", "r1")) == replace(first, ts="2.0")
        assert await s.cards.about("C1", "1.0") == ("checkout", "r1")
        assert await s.cards.about("C1", "2.0") == ("checkout", "r1")
        assert await s.cards.about("C1", "3.0") is None
        assert await s.cards.find("checkout", "r9") is None
