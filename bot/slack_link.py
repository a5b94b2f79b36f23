"""The link to one Slack workspace: made at start or when Slack is there, given up when the app is removed, made anew.

The token is the one of the settings, or the one of an installation by OAuth. Without either there is no link, and all
that would be said in Slack waits in the outbox.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

import aiohttp
from aiohttp import web
from slack_sdk.web.async_client import AsyncWebClient

from bot.duties import Duty
from bot.engine import Engine
from bot.manifest import EVENTS_PATH, INSTALL_PATH
from bot.outbox import Again, Claimed, Courier, Delivered
from bot.render import Templates
from bot.sealing import CannotOpen, Seal
from bot.self_service import SelfService
from bot.settings import Secret, Settings
from bot.slack import Limits, SlackFace
from bot.slack_answers import Answers
from bot.slack_channels import Channels
from bot.slack_client import API_URL, Pace, web_client
from bot.slack_couriers import ReleaseWords, SlackCouriers, StoredCards
from bot.slack_dispatch import Workspace
from bot.slack_faces import HttpFace, SocketFace
from bot.slack_init import FirstLines
from bot.slack_install import Installer
from bot.slack_people import People
from bot.slack_post import Pacing, SlackPost
from bot.slack_start import Capabilities, GroupWatch, check_settings, look_around
from bot.slack_tokens import AppCredentials, Tokens
from bot.slack_windows import Windows
from commands.desk import Desk
from core.errors import AndonError, TransientError
from core.releases.world import World

log = logging.getLogger("andon.slack.link")

CONNECT_AGAIN_AFTER: Final = 5.0
SHORTEST_WAIT: Final = timedelta(seconds=5)
LONGEST_WAIT: Final = timedelta(minutes=1)
NOT_CONNECTED: Final = "Slack is not connected yet."
CONNECTIONS: Final = tuple(f"Slack connection {number}" for number in range(1, 11))
"""An app may have ten at once; further replicas answer over HTTP only, or wait for a place."""
GONE: Final = frozenset({"app_uninstalled", "tokens_revoked"})


@dataclass(frozen=True, kw_only=True)
class LinkParts:
    """What `bot/app.py` gives: `ended` is called when the process should be started anew."""

    engine: Engine
    desk: Desk
    self_service: SelfService
    session: aiohttp.ClientSession
    templates: Templates
    pacing: Pacing
    limits: Limits
    ended: Callable[[], None]


@dataclass(slots=True)
class _Live:
    """What hangs on one connection."""

    face: SlackFace
    courier: Courier
    capabilities: Capabilities
    http: HttpFace | None = None
    socket: SocketFace | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class SlackLink:
    """At most one connection at a time. `say` takes what `andon run` reports at start."""

    def __init__(self, settings: Settings, parts: LinkParts, *, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._parts = parts
        self._say = say
        self._api_url = settings.slack_api_url or API_URL
        self._live: _Live | None = None
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._tokens: Tokens | None = None
        self._installer: Installer | None = None
        if settings.has_oauth:
            app = AppCredentials(client_id=settings.slack_client_id, client_secret=settings.slack_client_secret)
            client, engine = web_client("", session=parts.session, api_url=self._api_url), parts.engine
            self._tokens = Tokens(engine, app, Seal(settings.secret_key.reveal()), client)
            self._installer = Installer(
                engine, self._tokens, app, client, public_url=settings.public_url, changed=self._reconnect
            )

    @property
    def face(self) -> SlackFace | None:
        """The face that answers at present."""
        return self._live.face if self._live is not None else None

    # ---- life -------------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Connect, or go on without and connect when Slack is there: releases and rollbacks do not wait for it [29].

        Raises AndonError for settings that cannot work.
        """
        settings = self._settings
        check_settings(
            bot_token=settings.slack_bot_token.reveal(),
            app_token=settings.slack_app_token.reveal(),
            signing_secret=settings.slack_signing_secret.reveal(),
            is_installed_by_oauth=self._tokens is not None,
        )
        try:
            async with self._changing:
                await self._connect()
        except TransientError as error:
            self._say(f"{error.message} Andon goes on without Slack, and connects when it is there.")
            self._follow(self._connect_later(), "connect to Slack")
        except CannotOpen:
            self._say(
                "The stored Slack installation cannot be read with ANDON_SECRET_KEY: set the key it was sealed with"
                " (several, separated by commas, may be given), or install the app again."
            )

    async def close(self) -> None:
        """Take nothing more in from Slack, and give the answers that are on their way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._disconnect()

    async def settle(self) -> None:
        """Wait until what Slack said of the installation has been looked at."""
        await asyncio.gather(*self._tasks)

    def routes(self) -> list[web.RouteDef]:
        """Return where Slack, and people who install the app, come in."""
        events = [web.post(EVENTS_PATH, self._take)] if self._settings.slack_signing_secret else []
        return [*events, *(self._installer.routes() if self._installer is not None else [])]

    async def deliver(self, claimed: Claimed) -> Delivered:
        """Bring an effect to Slack; while there is no link nothing is sent, and it waits."""
        if self._live is not None:
            return await self._live.courier(claimed)
        now = self._parts.engine.now()
        # As long again as it has waited, so that a bot nobody installs does not keep its database busy.
        pause = min(max(now - claimed.created_at, SHORTEST_WAIT), LONGEST_WAIT)
        if claimed.attempts > 1:
            # An earlier attempt may have arrived: the count must stay, so that it is looked for.
            raise TransientError(NOT_CONNECTED, retry_after=pause)
        return Again(now + pause, NOT_CONNECTED)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        if self._live is None or self._live.http is None:
            return web.Response(status=503, text="Andon is not connected to Slack yet.")
        return await self._live.http.take(request)

    def _follow(self, work: Awaitable[None], name: str) -> None:
        async def followed() -> None:
            await work

        task = asyncio.create_task(followed(), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ---- connecting -------------------------------------------------------------------------------------------------

    async def _connect(self) -> bool:
        """Connect with the token of the settings, or the one of the installation; False where there is none."""
        token = await self._tokens.token() if self._tokens is not None else self._settings.slack_bot_token
        if token is not None:
            self._live = await self._connected(token)
        return token is not None

    async def _connect_later(self) -> None:
        while True:
            await asyncio.sleep(CONNECT_AGAIN_AFTER)
            try:
                async with self._changing:
                    if self._live is not None or not await self._connect():
                        return
            except AndonError as error:
                log.warning("%s %s", NOT_CONNECTED, error.message)

    async def _reconnect(self) -> None:
        """Connect anew: with a new token, or not at all."""
        async with self._changing:
            await self._disconnect()
            try:
                await self._connect()
            except AndonError as error:
                log.warning("%s %s", NOT_CONNECTED, error.message)
                self._follow(self._connect_later(), "connect to Slack")

    async def _disconnect(self) -> None:
        live, self._live = self._live, None
        if live is None:
            return
        if live.socket is not None:
            await live.socket.close()
            live.socket = None
        for task in live.tasks:
            task.cancel()
        await asyncio.gather(*live.tasks, return_exceptions=True)
        await live.face.drain()

    async def _connected(self, token: Secret) -> _Live:
        parts, engine = self._parts, self._parts.engine
        client = web_client(token.reveal(), session=parts.session, api_url=self._api_url)
        reader = web_client(token.reveal(), session=parts.session, api_url=self._api_url, is_patient=True)
        if self._tokens is not None:
            self._tokens.follow(client, reader)
        channels = Channels(reader)
        wanted = {named.channel for named in engine.pipelines().names() if named.channel}
        found = await look_around(reader, channels, wanted=wanted)
        for sentence in (f"Connected to the Slack workspace {found.identity.team}.", *found.sentences):
            self._say(sentence)
        workspace = Workspace(client, found.identity)
        cards = StoredCards(engine)
        post = SlackPost(
            client=client,
            reader=reader,
            words=ReleaseWords(engine, templates=parts.templates),
            cards=cards,
            channels=channels,
            pacing=parts.pacing,
            may_upload=found.uploads_files,
        )
        face = SlackFace(
            desk=parts.desk,
            floor=engine,
            people=People(lambda: engine.world, reader, home=workspace.home),
            windows=Windows(client),
            answers=Answers(client, parts.session, Pace(), may_upload=found.uploads_files),
            slack=workspace,
            find_thread=cards.about,
            limits=parts.limits,
        )
        FirstLines(parts.self_service, engine, face).join()
        live = _Live(face, SlackCouriers(post, engine.now).deliver, found)
        await self._listen(live, channels, reader)
        return live

    async def _listen(self, live: _Live, channels: Channels, reader: AsyncWebClient) -> None:
        engine, me = self._parts.engine, live.capabilities.identity.bot_user_id
        groups = GroupWatch(reader, lambda: engine.world, self._groups_changed)
        live.face.switchboard.heard.extend(
            [groups.hear, lambda event: channels.hear(event, me=me), self._hear_of_removal]
        )
        if self._settings.slack_signing_secret:
            live.http = HttpFace(live.face, self._settings.slack_signing_secret.reveal())
        if live.capabilities.reads_groups and any(group.slack for group in engine.world.groups.values()):
            await groups.refresh()
            live.tasks.append(asyncio.create_task(groups.run(), name="user groups"))
        if app_token := self._settings.slack_app_token.reveal():

            async def follow() -> None:
                if live.socket is None:
                    live.socket = SocketFace(live.face, app_token, reader, lost=self._parts.ended)
                    live.socket.start()

            async def end() -> None:
                socket, live.socket = live.socket, None
                if socket is not None:
                    await socket.close()

            if engine.is_shared:
                live.tasks.append(asyncio.create_task(Duty(engine, CONNECTIONS, follow, end).run(), name="Socket Mode"))
            else:
                await follow()

    async def _groups_changed(self, members: Mapping[str, frozenset[str]]) -> None:
        names = ", ".join(sorted(members))
        await self._parts.engine.change_world(
            lambda world: with_members(world, members), what=f"The members of {names} changed in Slack."
        )

    # ---- an installation --------------------------------------------------------------------------------------------

    def _hear_of_removal(self, event: Mapping[str, Any]) -> None:
        if event.get("type") in GONE:
            # Not at once: this is heard inside the connection that may have to be closed.
            self._follow(self._look_at_removal(), "look at the removal of the app")

    async def _look_at_removal(self) -> None:
        """Slack says it late, twice or of another token: it is asked whether ours still works."""
        if self._tokens is None:
            log.error("Slack says that the app was removed or a token revoked: set SLACK_BOT_TOKEN anew if it was.")
            return
        try:
            works = await self._tokens.still_works()
        except AndonError as error:
            log.warning("It cannot be seen whether the app is still installed: %s", error.message)
            return
        if not works:
            await self._reconnect()

    async def renew(self) -> None:
        """Renew the token before it expires; an installation that ended thereby ends the connection."""
        if self._tokens is None:
            return
        await self._tokens.renew()
        found = await self._tokens.installation()
        is_installed = found is not None and found.ended_at is None
        # An installation may also begin and end at another replica.
        if (self._live is not None and not is_installed) or (self._live is None and is_installed and not self._tasks):
            await self._reconnect()

    async def waits(self, address: str) -> str:
        """Return what to do where there is no link for want of an installation; `address` is where we listen."""
        if self._tokens is None or self._live is not None:
            return ""
        found = await self._tokens.installation()
        page = f"{self._settings.public_url or address}{INSTALL_PATH}"
        if found is not None and found.ended_at is None:
            return f"Andon is installed in the Slack workspace {found.team}; {page} installs it again."
        before = f"{found.ended_why} " if found is not None else ""
        return f"{before}Andon waits to be installed in Slack at {page} – the shell and the API work meanwhile."


def with_members(world: World, members: Mapping[str, frozenset[str]]) -> World:
    """Return the world with the members of some groups replaced."""
    groups = {
        name: replace(group, members=members[name]) if name in members else group
        for name, group in world.groups.items()
    }
    return replace(world, groups=groups)
