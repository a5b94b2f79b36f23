"""The one place that constructs things: `build` wires the process together, `App` starts and ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from aiohttp import web

from bot.access import Access
from bot.alarms_in import AlarmsIn
from bot.callbacks_in import CallbacksIn
from bot.canaries import Canaries
from bot.clock import Clock, SystemClock
from bot.definitions import Definitions
from bot.definitions_in import DefinitionsIn
from bot.deployers import BuildDeployer, Deployers
from bot.deployments import Deployments
from bot.duties import Duty
from bot.engine import Engine, Rules, no_checkpoint
from bot.listening import Listening
from bot.outbox import Claimed, Courier, Delivered, Done, Outbox
from bot.pages import Pages
from bot.render import Templates, built_in
from bot.self_service import SelfService
from bot.settings import Settings
from bot.slack import Limits, SlackFace
from bot.slack_client import open_session
from bot.slack_link import LinkParts, SlackLink, with_members
from bot.slack_post import Pacing
from bot.sources_found import build_sources
from bot.stage_tests import StageTests
from bot.ticker import Ticker
from bot.web import WebFace
from commands.desk import Desk
from core.errors import AndonError, PortError
from core.ports import Deployer
from core.releases.decide import decide, new_pipeline, next_wake
from core.releases.effects import (
    CancelDeployment,
    Effect,
    EndPage,
    FollowDeployment,
    ObserveTarget,
    Page,
    RefreshCard,
    RunStageTest,
    StartDeployment,
    Tell,
)
from core.releases.events import DefinitionApplied
from core.releases.limits import OWN_ONLY
from core.releases.world import ANDON, World
from integrations.alertmanager import Alertmanager
from integrations.checks import CommandTest, HttpTest
from integrations.pager import Pager, PagerConfig
from integrations.registry import Kind, Registry
from integrations.webhook import Webhook
from storage.journal import Store
from storage.source_requests import SourceRequests

log = logging.getLogger("andon.app")

LOOK_AT_TARGETS_EVERY = 60.0
PRUNE_EVERY = 3_600.0
DELIVERED_KEPT = timedelta(days=30)
"""Longer than anybody repeats a delivery or asks for one; history itself is kept."""
RENEW_SLACK_EVERY = 60.0
TAKE_OVER_EVERY = 30.0
EVERYWHERE = frozenset({"0.0.0.0", "::"})


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What tests and the demonstration replace; the defaults are the real ones."""

    clock: Clock = field(default_factory=SystemClock)
    build_deployer: BuildDeployer | None = None
    checkpoint: Callable[[str], None] = no_checkpoint
    pacing: Pacing | None = None
    limits: Limits | None = None
    longest_gap: timedelta | None = timedelta(seconds=60)
    has_canaries: bool = True
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    """Where definition files name variables."""


class App:
    """The running process. `start` raises AndonError where something needed is missing; `close` leaves nothing."""

    def __init__(self, settings: Settings, definitions: Definitions, parts: Parts) -> None:
        self.settings = settings
        self.sentences: list[str] = []
        """What it can and cannot do, said at start."""
        self.ended = asyncio.Event()
        """Set when the process should end by itself, to be started anew."""
        self.link: SlackLink | None = None
        self.port = 0
        self._definitions = definitions
        self._parts = parts
        self._tasks: list[asyncio.Task[None]] = []
        self._closers: list[Callable[[], Any]] = []

        self.store = Store(settings.database_url)
        self.engine = Engine(
            self.store,
            Rules(decide, next_wake, new_pipeline),
            parts.clock,
            checkpoint=parts.checkpoint,
            longest_gap=parts.longest_gap,
        )
        self.deployers = Deployers(parts.build_deployer or _build_deployer)
        self.deployments = Deployments(self.engine, self.deployers)
        self.desk = Desk(self.engine)
        self.access = Access(self.engine, settings.admin_token)
        limits = definitions.organisation.limits if definitions.organisation is not None else OWN_ONLY
        self.self_service = SelfService(self.engine, settings.config, definitions.files, limits)
        self.alarms = AlarmsIn(self.engine, {"alertmanager": Alertmanager(), "webhook": Webhook()})
        self.templates = Templates(settings.templates) if settings.templates is not None else built_in()

    # ---- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load, apply the configuration, connect, serve."""
        await self.engine.start()
        await self._apply(self._definitions)
        self.session = open_session()
        if self.settings.has_slack:
            # Before anybody can ask: Slack waits three seconds, and the first card is drawn among their questions.
            self.templates.compile()
            self.link = self._slack_link()
            self._closers.append(self.link.close)
            await self.link.begin()
        else:
            self.sentences.append("No Slack workspace is configured; the shell and the API do all that chat can.")
        self.sources = build_sources(
            self._definitions,
            self.engine,
            self.deployers,
            self.session,
            self._parts.environment,
            cache=self.settings.state / "code",
            lease=self.settings.lease,
        )
        # They are in the database now: thousands of them need not be here twice.
        self._definitions = Definitions()
        self.outbox = Outbox(self.engine, self._couriers(), _never_delivered, lease=self.settings.lease)
        self.canaries = Canaries(self.engine, self.session, broke=self.ended.set)
        self.ticker = Ticker(self.engine, beat_every=timedelta(seconds=5))
        self.ticker.every(PRUNE_EVERY, "prune", self._prune)
        self.ticker.every(LOOK_AT_TARGETS_EVERY, "look at targets", self.look_at_targets)
        if self.engine.is_shared:
            self.ticker.every(TAKE_OVER_EVERY, "take over alarms", self._take_over_alarms)
        self.web = WebFace(
            engine=self.engine,
            desk=self.desk,
            access=self.access,
            deployers=self.deployers,
            alarms=self.alarms,
            sources=self.sources,
            outbox=self.outbox,
            definitions=DefinitionsIn(self.engine, self.access, self.self_service),
        )
        callbacks = CallbacksIn(self.engine, self.deployers, self.deployments)
        self.web.application.router.add_routes(callbacks.routes())
        if self.link is not None:
            self.web.application.router.add_routes(self.link.routes())
            self.ticker.every(RENEW_SLACK_EVERY, "renew the Slack token", self.link.renew, everywhere=True)
        await self._serve()
        if self.link is not None and (waits := await self.link.waits(self._address())):
            self.sentences.append(waits)
        await self.alarms.resume()
        await self.sources.resume()

    def run(self) -> None:
        """Begin to deliver, to wake and to look; returns at once. Tests settle by hand instead."""
        self._tasks += [
            asyncio.create_task(self._until_it_ends(self.outbox.run()), name="outbox"),
            asyncio.create_task(self._until_it_ends(self.ticker.run()), name="ticker"),
            asyncio.create_task(self._until_it_ends(self.sources.run()), name="release sources"),
            asyncio.create_task(self.look_at_targets(), name="first look"),
        ]
        if self._parts.has_canaries:
            duty = Duty(self.engine, ("canaries",), self.canaries.follow, self.canaries.close)
            self._tasks.append(asyncio.create_task(self._until_it_ends(duty.run()), name="canaries"))
        if self.store.shared is not None:
            self.listening = Listening(self.engine, self.store.shared)
            self._tasks.append(asyncio.create_task(self._until_it_ends(self.listening.run()), name="listening"))

    async def close(self) -> None:
        """Take nothing more in, finish what is in hand, close everything. Deployments go on without us."""
        for close in reversed(self._closers):
            with contextlib.suppress(PortError):
                await close()
        self._closers.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if hasattr(self, "canaries"):
            await self.canaries.close()
        await self.engine.close()
        if hasattr(self, "session"):
            await self.session.close()
        self.store.close()

    async def _until_it_ends(self, work: Any) -> None:
        """What must always run, ends the process if it ends: a supervisor starts it anew, and it resumes."""
        try:
            await work
        finally:
            self.ended.set()

    async def _serve(self) -> None:
        runner = web.AppRunner(self.web.application, access_log=None, handle_signals=False, shutdown_timeout=5)
        await runner.setup()
        self._closers.append(runner.cleanup)
        try:
            await web.TCPSite(runner, self.settings.host, self.settings.port).start()
        except OSError as error:
            raise AndonError(
                f"Port {self.settings.port} on {self.settings.host} cannot be used: {error.strerror or error}. "
                "Set PORT to a free one."
            ) from error
        self.port = runner.addresses[0][1]

    # ---- configuration ----------------------------------------------------------------------------------------------

    async def _apply(self, definitions: Definitions) -> None:
        """Bring people and pipelines up to date with the files; what did not change is not touched."""
        organisation = definitions.organisation
        if organisation is not None:
            old, now = self.engine.world, self.engine.now()
            if _with_slack_members(old, organisation.applied_to(old, now)) != old:
                await self.engine.change_world(
                    lambda world: _with_slack_members(world, organisation.applied_to(world, now)),
                    what="The organisation file was applied.",
                )
        revision = self.engine.pipelines().revision
        for pipeline in definitions.pipelines.values():
            if revision(pipeline.id) != pipeline.revision:
                text = definitions.texts.get(pipeline.id, "")
                await self.engine.submit(pipeline.id, DefinitionApplied(definition=pipeline, by=ANDON, text=text))
                self.sentences.append(f"The definition of {pipeline.id} is in force.")
        if organisation is not None:
            self.sentences += await self.self_service.catch_up(organisation.policy)

    # ---- Slack ------------------------------------------------------------------------------------------------------

    @property
    def slack(self) -> SlackFace | None:
        """The face that answers in Slack; None while there is no connection."""
        return self.link.face if self.link is not None else None

    def _slack_link(self) -> SlackLink:
        parts = LinkParts(
            engine=self.engine,
            desk=self.desk,
            self_service=self.self_service,
            session=self.session,
            templates=self.templates,
            pacing=self._parts.pacing or Pacing.of(self.settings.slack_every),
            limits=self._parts.limits or Limits(),
            ended=self.ended.set,
        )
        return SlackLink(self.settings, parts, say=self._say)

    def _say(self, sentence: str) -> None:
        """Report it: with the start, or in the log if that is past."""
        if self.port:
            log.info("%s", sentence)
        else:
            self.sentences.append(sentence)

    def _address(self) -> str:
        host = "localhost" if self.settings.host in EVERYWHERE else self.settings.host
        return f"http://{host}:{self.port}"

    # ---- delivering -------------------------------------------------------------------------------------------------

    def _couriers(self) -> dict[type[Effect], Courier]:
        pages = Pages(self.engine, self._pager(), self.link.deliver if self.link is not None else None)
        runners: Mapping[str, Any] = {"http": HttpTest(self.session), "command": CommandTest()}
        registry = Registry()
        tests = StageTests(self.engine, lambda name: runners.get(name) or registry.load(Kind.STAGE_TEST, name)())
        say = self.link.deliver if self.link is not None else _say_nowhere
        return {
            StartDeployment: self.deployments.deliver,
            FollowDeployment: self.deployments.deliver,
            CancelDeployment: self.deployments.deliver,
            ObserveTarget: self.deployments.deliver,
            RunStageTest: tests.run,
            RefreshCard: say,
            Tell: say,
            Page: pages.page,
            EndPage: pages.end,
        }

    def _pager(self) -> Pager | None:
        settings = self.settings
        if not settings.pager_url:
            return None
        config = PagerConfig.model_validate({"url": settings.pager_url, "secret": settings.pager_secret.reveal()})
        return Pager(config, self.session, clock=self.engine.now)

    async def _prune(self) -> None:
        before = self.engine.now() - DELIVERED_KEPT
        gone = await self.engine.run(lambda tx: tx.history.prune(before))
        gone += await self.engine.run(lambda tx: SourceRequests(tx).prune(before))
        if gone:
            log.info("%d deliveries of more than %d days ago were dropped.", gone, DELIVERED_KEPT.days)

    async def _take_over_alarms(self) -> None:
        """Act on deliveries that a replica stored and then died."""
        await self.alarms.resume(older_than=self.settings.lease)

    async def look_at_targets(self) -> None:
        """Compare what runs with what is recorded."""
        await self.deployments.look_at_all()


def build(settings: Settings, definitions: Definitions, parts: Parts | None = None) -> App:
    """Construct everything; nothing runs yet."""
    return App(settings, definitions, parts or Parts())


@contextlib.asynccontextmanager
async def running(settings: Settings, definitions: Definitions, parts: Parts | None = None) -> AsyncIterator[App]:
    """The whole process, until the block ends."""
    app = build(settings, definitions, parts)
    del definitions
    try:
        await app.start()
        app.run()
        yield app
    finally:
        await app.close()


def _with_slack_members(old: World, new: World) -> World:
    """Keep the members that were read from Slack, where the file leaves them to Slack."""
    members = {
        name: old.groups[name].members
        for name, group in new.groups.items()
        if group.slack and not group.members and name in old.groups
    }
    return with_members(new, members)


def _build_deployer(name: str, settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]) -> Deployer:
    found: Deployer = Registry().load(Kind.DEPLOYER, name).from_settings(settings, targets)
    return found


async def _say_nowhere(_claimed: Claimed) -> Delivered:
    return Done()


async def _never_delivered(claimed: Claimed, reason: str) -> None:
    log.error("%s %s of %s will never be delivered: %s", claimed.kind, claimed.key, claimed.pipeline_id, reason)
