"""A workspace in which Andon answers: the real face, desk and rules over a floor in memory, by socket or by HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from aiohttp import web

from bot.slack import Limits, SlackFace
from bot.slack_answers import Answers
from bot.slack_channels import Channels
from bot.slack_client import Pace
from bot.slack_dispatch import Workspace
from bot.slack_faces import HttpFace, SocketFace
from bot.slack_people import People
from bot.slack_start import Capabilities, look_around
from bot.slack_windows import Windows
from commands.answers import Line
from commands.desk import Desk
from commands.subjects import Subject, drawn_from
from core.releases.decide import decide
from core.releases.events import Command
from core.releases.freezing import OrganisationCommand, act
from core.releases.state import PipelineState
from core.releases.world import World
from simulator.people import Person, Seen, Simulator
from tests import samples
from tests.bot.slack_stage import Clients, clients, config, section


@dataclass(frozen=True)
class Recorded:
    text: str
    is_repeat: bool = False


@dataclass
class FloorInMemory:
    """Decides as the engine does. `gate` holds everybody up while it is not set; `breaks` is raised at each submit."""

    states: dict[str, PipelineState]
    world: World
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    breaks: Exception | None = None
    seen: dict[str, Recorded] = field(default_factory=dict)
    acts: list[Command] = field(default_factory=list)
    waiting: list[Command] = field(default_factory=list)

    def now(self) -> datetime:
        return samples.NOW

    def pipelines(self) -> Mapping[str, PipelineState]:
        return self.states

    async def submit(self, pipeline_id: str, event: Command, *, dedupe: str = "") -> Recorded:
        self.waiting.append(event)
        await self.gate.wait()
        if self.breaks is not None:
            raise self.breaks
        if dedupe and dedupe in self.seen:
            return replace(self.seen[dedupe], is_repeat=True)
        decision = decide(self.states[pipeline_id], event, self.world, samples.NOW)
        self.states[pipeline_id] = decision.state
        self.acts.append(event)
        self.seen[dedupe] = Recorded(decision.answer)
        return self.seen[dedupe]

    async def act(self, command: OrganisationCommand, *, dedupe: str = "") -> Recorded:
        if dedupe and dedupe in self.seen:
            return replace(self.seen[dedupe], is_repeat=True)
        decision = act(self.world, [state.definition for state in self.states.values()], command, samples.NOW)
        self.world = decision.world
        self.seen[dedupe] = Recorded(decision.answer)
        return self.seen[dedupe]

    async def history(
        self, pipeline_id: str, *, limit: int = 20, before: int | None = None, release: str = ""
    ) -> Sequence[Line]:
        return []


@dataclass
class Office:
    """The workspace, and Andon in it."""

    simulator: Simulator
    pair: Clients
    floor: FloorInMemory
    face: SlackFace
    found: Capabilities
    threads: dict[tuple[str, str], tuple[str, str]]

    @property
    def ann(self) -> Person:
        return self.simulator.person("ann")

    @property
    def bob(self) -> Person:
        return self.simulator.person("bob")

    @property
    def carol(self) -> Person:
        return self.simulator.person("carol")

    async def card(self, *verbs: str, pipeline: str = "checkout", release: str = "r2", subject: str = "") -> Seen:
        """A card with a button for each verb, as the words room draws them."""
        state = self.floor.states[pipeline]
        buttons = []
        for number, verb in enumerate(verbs):
            about = Subject(pipeline, release, subject, drawn_from(state, verb, release, subject))
            text = {"type": "plain_text", "text": verb.capitalize()}
            action_id = f"andon:{verb}:{number}"
            buttons.append({"type": "button", "action_id": action_id, "text": text, "value": about.encoded()})
        return await self.post(f"{pipeline} {release}", [section("a card"), {"type": "actions", "elements": buttons}])

    async def post(self, text: str, blocks: list[dict[str, Any]] | None = None, thread: str | None = None) -> Seen:
        channel = self.simulator.channel("#checkout")
        said = await self.pair.client.chat_postMessage(channel=channel.id, text=text, blocks=blocks, thread_ts=thread)
        self.threads[(channel.id, said["ts"])] = ("checkout", "r2")
        return Seen(self.simulator.workspace, channel.channel.messages[str(said["ts"])])


def people_in(simulator: Simulator) -> World:
    """The world of the samples, with the Slack ids that this workspace gave."""
    known = {
        key: replace(person, slack=simulator.person(key).id) if key in {"ann", "bob", "carol"} else person
        for key, person in samples.WORLD.people.items()
    }
    return replace(samples.WORLD, people=known)


def settings(**more: Any) -> dict[str, Any]:
    users: list[dict[str, Any]] = [{"name": name} for name in ("ann", "bob", "carol", "zoe")]
    users += [{"name": "guest", "is_guest": True}, {"name": "eve", "is_external": True}]
    everyone = [user["name"] for user in users]
    channels = [
        {"name": "checkout", "members": [*everyone, "andon"], "is_ext_shared": True},
        {"name": "lounge", "members": everyone},
    ]
    return config(users=users, channels=channels, **more)


@contextlib.asynccontextmanager
async def office(
    *states: PipelineState,
    by: str = "socket",
    limits: Limits | None = None,
    setting: Mapping[str, Any] | None = None,
    ack_seconds: float = 3.0,
) -> AsyncIterator[Office]:
    """Open a workspace and connect Andon to it."""
    given = dict(setting or settings())
    async with (
        asyncio.timeout(60),
        Simulator.running(config=given, ack_seconds=ack_seconds, retry_delays=(0, 0, 0)) as simulator,
        clients(simulator) as pair,
    ):
        floor = FloorInMemory({state.id: state for state in states or (samples.baking(),)}, people_in(simulator))
        floor.gate.set()
        found = await look_around(pair.reader, Channels(pair.reader), wanted=["#checkout"])
        slack = Workspace(pair.client, found.identity)
        threads: dict[tuple[str, str], tuple[str, str]] = {}

        async def find_thread(channel: str, ts: str) -> tuple[str, str] | None:
            return threads.get((channel, ts))

        face = SlackFace(
            desk=Desk(floor),
            floor=floor,
            people=People(lambda: floor.world, pair.reader, home=slack.home),
            windows=Windows(pair.client),
            answers=Answers(pair.client, pair.session, Pace()),
            slack=slack,
            find_thread=find_thread,
            limits=limits or Limits(),
        )
        async with entrance(simulator, pair, face, by):
            yield Office(simulator, pair, floor, face, found, threads)
            floor.gate.set()
            await face.drain()


async def connected(door: SocketFace) -> None:
    """Wait until payloads come through."""
    async with asyncio.timeout(5):
        while not await door.is_connected():  # noqa: ASYNC110 - the library has no event for it
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def entrance(simulator: Simulator, pair: Clients, face: SlackFace, by: str) -> AsyncIterator[None]:
    """Let Slack in, by `socket` or by `http`."""
    app = simulator.workspace.app
    if by == "socket":
        door = SocketFace(face, app.app_token, pair.reader, lost=lambda: None)
        door.start()
        try:
            await connected(door)
            yield
        finally:
            await door.close()
        return
    application = web.Application()
    HttpFace(face, app.signing_secret).mount(application)
    runner = web.AppRunner(application, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        app.socket_mode = False
        app.request_url = f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
        yield
    finally:
        await runner.cleanup()
