"""The whole of Andon in a strict workspace, on a clock that stands still: `async with story(tmp_path) as s: …`.

The workspace, the outside world (what runs where) and the receiver of pages and smoke tests outlive the bot; the bot
is built, stopped, thrown away and built anew on the same database file as often as a story likes. Nothing waits for
time: `settle` does what is due, `advance` goes from one due instant to the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from bot.app import App, Parts, build
from bot.clock import FakeClock
from bot.definitions import Definitions
from bot.engine import no_checkpoint
from bot.settings import Secret, Settings
from bot.slack import Limits
from bot.slack_post import EVENT_TYPE
from core.ports import Deployer
from core.releases.state import PipelineState
from integrations.scripted import OutsideWorld, ScriptedDeployer
from simulator.people import Seen, Simulator
from simulator.person import Person
from simulator.records import Message
from storage.journal import sqlite_url
from storage.source_requests import SourceRequests
from tests.scenarios.props import Played, Receiver, definitions, digest, shop, unhurried, workspace

ADMIN = "operator-token"
PAGER_SECRET = "pager-secret"
AS_OPERATOR = {"Authorization": f"Bearer {ADMIN}"}
PATIENCE = 10.0
"""Seconds, for what Slack gives 3: a busy machine that runs tests is no reason to fail them."""
MOST_STEPS = 2_000
"""Due instants that one `advance` may meet; more means that something never comes to rest."""


# ---- the story ------------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Story:
    """One bot at a time, and everything that it talks to."""

    path: Path
    simulator: Simulator
    clock: FakeClock
    outside: OutsideWorld
    script: Played
    receiver: Receiver
    files: Definitions
    parts: Parts
    settings: Settings
    bot: App | None = None

    # ---- the bot ----------------------------------------------------------------------------------------------------

    @property
    def app(self) -> App:
        """The bot, which runs."""
        assert self.bot is not None, "the bot is not started"
        return self.bot

    async def start_bot(self, **parts: Any) -> App:
        """Build a bot on the database file, and connect it."""
        assert self.bot is None, "the bot is started already"
        self.bot = build(self.settings, self.files, replace(self.parts, **parts))
        await self.bot.start()
        if self.settings.slack_app_token:
            await self.simulator.until_connected()
        return self.bot

    async def stop_bot(self) -> None:
        """Stop it; after a crash this only puts away what a dead process would not hold."""
        if self.bot is not None:
            bot, self.bot = self.bot, None
            await bot.close()

    async def restart(self, **parts: Any) -> App:
        await self.stop_bot()
        return await self.start_bot(**parts)

    async def settle(self) -> None:
        """Do all that is due: effects, wakes, answers in Slack. The clock does not move."""
        app = self.app
        for _ in range(MOST_STEPS):
            await self.simulator.settle()
            if app.slack is not None:
                await app.slack.drain()
            await app.sources.settle()
            effect_due = await self._effect_due()
            if effect_due is not None and effect_due <= self.clock.now():
                await app.outbox.settle()
            due = app.engine.next_wake()
            if due is None or due > self.clock.now():
                return
            await app.ticker.tick()
        raise AssertionError("this never comes to rest")

    async def advance(self, *, until: Callable[[], object] | None = None, **by: float) -> None:
        """Let time pass, from one due instant to the next; ends early once `until` is true, and must then be."""
        end = self.clock.now() + timedelta(**by)
        for _ in range(MOST_STEPS):
            await self.settle()
            if until is not None and until():
                return
            now = self.clock.now()
            if now >= end:
                assert until is None, f"it did not come to that:\n{self.simulator.transcript()}"
                return
            self.clock.advance(min(max(await self._next(), now + timedelta(milliseconds=1)), end) - now)
        raise AssertionError("this never comes to rest")

    async def _next(self) -> datetime:
        build_due = await self.app.engine.read(lambda transaction: SourceRequests(transaction).next_due())
        known = [at for at in (await self._effect_due(), build_due, self.app.engine.next_wake()) if at is not None]
        return min(known, default=self.clock.now() + timedelta(days=365))

    async def _effect_due(self) -> datetime | None:
        return await self.app.engine.read(lambda transaction: transaction.outbox.next_due())

    # ---- people and machines ----------------------------------------------------------------------------------------

    @property
    def ann(self) -> Person:
        return self.simulator.person("ann")

    @property
    def bob(self) -> Person:
        return self.simulator.person("bob")

    @property
    def carol(self) -> Person:
        return self.simulator.person("carol")

    @property
    def dave(self) -> Person:
        return self.simulator.person("dave")

    async def announce(
        self,
        version: str,
        *,
        author: str = "bob@example.com",
        title: str = "A change",
        settle: bool = True,
        **more: Any,
    ) -> dict[str, Any]:
        """CI announces a version with one change; returns the answer."""
        body = {
            "service": "shop",
            "version": version,
            "artifact": f"registry.example.com/shop:{version}",
            "digest": digest(version),
            "changes": [{"id": f"c-{version}"[:40], "title": title, "authors": [author]}],
            **more,
        }
        status, answer = await self.call("POST", "/api/releases", body)
        assert status == 201, answer
        if settle:
            await self.settle()
        return dict(answer)

    async def call(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None, raw: bytes = b""
    ) -> tuple[int, Any]:
        """A request to the bot's own API; as the operator, unless `headers` say otherwise."""
        given = AS_OPERATOR if headers is None else headers
        # In one piece where it is large, or the client warns.
        sent = io.BytesIO(raw) if raw else json.dumps(body).encode() if body is not None else None
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"http://127.0.0.1:{self.app.port}{path}", data=sent, headers=given) as answer,
        ):
            text = await answer.text()
            return answer.status, json.loads(text) if "json" in answer.content_type else text

    async def alarm(self, state: str = "alarm", *, name: str = "errors", settle: bool = True, **more: Any) -> Any:
        """The plain webhook reports an alarm; returns the facts of the answer."""
        status, answer = await self.call("POST", "/api/alarms/webhook", {"alarm": name, "state": state, **more})
        assert status == 200, answer
        if settle:
            await self.settle()
        return answer

    async def to_production(self, version: str, by: Person, **more: Any) -> None:
        """Announce a version and have somebody approve it; it enters one-box."""
        await self.announce(version, **more)
        await by.presses("Approve", on=self.card(version), confirm=True)
        await self.settle()

    async def everywhere(self, version: str, by: Person, **more: Any) -> None:
        """The whole journey; also past the watch of the last stage."""
        await self.to_production(version, by, **more)
        await self.advance(hours=3, until=lambda: "is everywhere" in self.card(version).text)

    # ---- what can be seen -------------------------------------------------------------------------------------------

    @property
    def state(self) -> PipelineState:
        """The shop's pipeline as it is recorded."""
        return self.app.engine.pipelines()["shop"]

    def stage_phase(self, name: str) -> Any:
        """The phase of the run in a stage; None if it is free."""
        run = self.state.stage(name).run
        return None if run is None else run.phase

    @property
    def running(self) -> dict[str, str | None]:
        """What really runs, by target."""
        return {target: seen.version for target, seen in sorted(self.outside.running.items())}

    def cards(self, version: str, service: str = "shop") -> list[Seen]:
        """The cards of a version; there must never be two."""
        return [
            message
            for message in self.simulator.channel(f"#{service}").messages
            if key_of(message.message).startswith(f"card:{service}:")
            and message.text.startswith(f"{service} {version} ")
        ]

    def card(self, version: str, service: str = "shop") -> Seen:
        """The card of a version."""
        found = self.cards(version, service)
        assert len(found) == 1, f"{len(found)} cards of {version}:\n{self.simulator.transcript()}"
        return found[0]

    def thread(self, version: str) -> list[str]:
        """What was told in a release's thread, in order."""
        return [message.text for message in self.simulator.thread(self.card(version))[1:]]

    def told(self, version: str, words: str) -> str:
        """The one sentence of a release's thread with these words."""
        found = [text for text in self.thread(version) if words in text]
        assert len(found) == 1, f"{len(found)} sentences with {words!r}:\n{self.simulator.transcript()}"
        return found[0]

    def privately(self, person: Person) -> list[str]:
        """What only this person was shown in the channel and its threads."""
        seen = [m for m in person.sees("#shop") if m.ephemeral]
        for message in self.simulator.channel("#shop").messages:
            if not message.message.is_reply:
                seen += [m for m in person.sees("#shop", thread=message) if m.ephemeral]
        return list(dict.fromkeys(m.text for m in sorted(seen, key=lambda m: float(m.ts))))

    def keys_posted(self) -> Counter[str]:
        """How often each key of a message was posted, in channels, threads and direct messages."""
        counted: Counter[str] = Counter()
        for channel in self.simulator.workspace.channels.values():
            for message in channel.messages.values():
                if key := key_of(message):
                    counted[key] += 1
        return counted

    def starts(self) -> Counter[str]:
        """How many starts reached the deployer, by key."""
        return Counter(call.subject for call in self.outside.calls if call.verb == "start")

    async def counts(self) -> tuple[int, int]:
        """Open effects, and buried ones."""
        return await self.app.outbox.counts()


def key_of(message: Message) -> str:
    """The key by which Andon finds a message again; empty for what carries none."""
    metadata = message.metadata or {}
    return str(metadata["event_payload"]["key"]) if metadata.get("event_type") == EVENT_TYPE else ""


@contextlib.asynccontextmanager
async def story(
    path: Path,
    *files: Mapping[str, Any],
    organisation: Mapping[str, Any] | None = None,
    scopes_missing: Sequence[str] = (),
    has_slack: bool = True,
    by_http: bool = False,
    has_pager: bool = True,
    channels: Sequence[str] = ("shop",),
    start: bool = True,
    smokes: Callable[[str], Mapping[str, Any]] = shop,
    deployer: Callable[[OutsideWorld], Deployer] = ScriptedDeployer,
    retry_delays: Sequence[float] = (0,),
    database: str = "",
    **parts: Any,
) -> AsyncIterator[Story]:
    """Open the workspace and the outside world, and start the bot; `smokes` makes the file from the test's address.

    `database` is the URL of one; without it, there is a SQLite file in `path`.
    """
    clock = FakeClock()
    script = Played()
    outside = OutsideWorld(script)
    async with (
        asyncio.timeout(60),
        Receiver().running() as receiver,
        Simulator.running(
            config=workspace(without=scopes_missing, channels=channels),
            clock=lambda: clock.now().timestamp(),
            retry_delays=retry_delays,
            ack_seconds=PATIENCE,
        ) as simulator,
    ):
        slack = simulator.workspace.app
        settings = Settings(
            config=path,
            database_url=database or sqlite_url(path / "andon.db"),
            port=0,
            state=path,
            slack_bot_token=Secret(slack.bot_token if has_slack else ""),
            slack_app_token=Secret(slack.app_token if has_slack and not by_http else ""),
            slack_signing_secret=Secret(slack.signing_secret if has_slack else ""),
            slack_api_url=simulator.api_url,
            admin_token=Secret(ADMIN),
            pager_url=f"{receiver.url}/pager" if has_pager else "",
            pager_secret=Secret(PAGER_SECRET if has_pager else ""),
        )

        def built(name: str, _settings: Mapping[str, Any], _targets: Mapping[str, Any]) -> Deployer:
            assert name == "scripted", name
            return deployer(outside)

        told = Story(
            path=path,
            simulator=simulator,
            clock=clock,
            outside=outside,
            script=script,
            receiver=receiver,
            files=definitions(*(files or (smokes(f"{receiver.url}/smoke"),)), organisation=organisation),
            parts=Parts(
                **{
                    "clock": clock,
                    "build_deployer": built,
                    "checkpoint": no_checkpoint,
                    "pacing": unhurried(clock),
                    "limits": Limits(answer=PATIENCE - 1),
                    "longest_gap": None,
                    "has_canaries": False,
                    **parts,
                }
            ),
            settings=settings,
        )
        try:
            if start:
                await told.start_bot()
                if by_http:
                    slack.socket_mode = False
                    slack.request_url = f"http://127.0.0.1:{told.app.port}/slack/events"
            yield told
        finally:
            simulator.faults.paused = False
            simulator.faults.clear()
            await told.stop_bot()
