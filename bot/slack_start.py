"""Find out at start what this workspace lets Andon do, say it in plain sentences, and go on with less.

Also keeps the members of Slack user groups fresh for the groups of the organisation file that name one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.manifest import SCOPES
from bot.slack_channels import Channels
from bot.slack_client import MENDS, TOKEN_TROUBLE, SlackRefused, slack_errors
from core.errors import AndonError, PortError
from core.releases.world import PeopleGroup, World

log = logging.getLogger("andon.slack.start")

GROUPS_EVERY: Final = 600.0

FORMS: Final = (
    ("bot token", "xoxb-", "It stands under OAuth & Permissions and begins with xoxb-."),
    ("app token", "xapp-", "It stands under Basic Information, App-Level Tokens, and begins with xapp-."),
)


class SlackNotReady(AndonError):
    """Slack cannot be used with these settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who Andon is in this workspace."""

    team_id: str
    team: str
    bot_user_id: str
    bot_id: str
    enterprise_id: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What Slack granted. `sentences` say what is missing, what is lost by it, and the mend."""

    identity: Identity
    scopes: frozenset[str]
    sentences: tuple[str, ...] = ()
    uninvited: tuple[str, ...] = ()

    @property
    def reads_history(self) -> bool:
        """Whether a message that Slack did not confirm can be looked for."""
        return "channels:history" in self.scopes

    @property
    def reads_groups(self) -> bool:
        """Whether members of Slack user groups can be read."""
        return "usergroups:read" in self.scopes

    @property
    def reads_email(self) -> bool:
        """Whether people can be known by their e-mail address."""
        return "users:read.email" in self.scopes

    @property
    def uploads_files(self) -> bool:
        """Whether files can be posted."""
        return "files:write" in self.scopes

    @property
    def reacts(self) -> bool:
        """Whether reactions can be added."""
        return "reactions:write" in self.scopes


def check_settings(
    *, bot_token: str, app_token: str = "", signing_secret: str = "", is_installed_by_oauth: bool = False
) -> None:
    """Refuse settings that cannot work, before anything is asked of Slack; never repeats what was given."""
    given = {"bot token": bot_token, "app token": app_token}
    for name, prefix, where in FORMS:
        value = given[name]
        if value and not value.startswith(prefix):
            raise SlackNotReady(f"The Slack {name} has not the form of one. {where}")
    if not bot_token and not is_installed_by_oauth:
        raise SlackNotReady(f"There is no Slack bot token. {FORMS[0][2]}")
    if not app_token and not signing_secret.strip():
        raise SlackNotReady(
            "Slack has no way to Andon: give an app token (Socket Mode) or the signing secret (HTTP),"
            " both from the app's Basic Information page."
        )


async def look_around(client: AsyncWebClient, channels: Channels, *, wanted: Iterable[str]) -> Capabilities:
    """Ask Slack once who Andon is and what it may; `wanted` are the channels of all pipelines.

    Raises `SlackNotReady` for a token that does not work, `TransientError` where Slack cannot be reached.
    """
    try:
        async with slack_errors():
            try:
                said = await client.auth_test()
            except SlackApiError as error:
                code = error.response.get("error", "") if isinstance(error.response.data, dict) else ""
                if code in TOKEN_TROUBLE:
                    raise SlackNotReady(MENDS.get(code, f"Slack does not accept the bot token ({code}).")) from None
                raise
    except SlackRefused as refusal:
        raise SlackNotReady(f"Slack does not let Andon in. {refusal.message}") from None
    identity = Identity(
        team_id=said.get("team_id", ""),
        team=said.get("team", ""),
        bot_user_id=said.get("user_id", ""),
        bot_id=said.get("bot_id", ""),
        enterprise_id=said.get("enterprise_id") or "",
        url=said.get("url", ""),
    )
    if not identity.bot_id:
        raise SlackNotReady("This token belongs to a person, not to the app. " + FORMS[0][2])
    scopes = _granted(said.headers)
    sentences = [*_about_scopes(scopes)] if scopes is not None else []
    uninvited: list[str] = []
    try:
        uninvited = await channels.missing(set(wanted))
    except SlackRefused as refusal:
        sentences.append(f"It cannot be seen which channels Andon is in. {refusal.message}")
    sentences += [f"Andon is not in #{name}: invite it there with /invite @andon." for name in uninvited]
    return Capabilities(
        identity=identity,
        scopes=scopes if scopes is not None else frozenset(scope.name for scope in SCOPES),
        sentences=tuple(sentences),
        uninvited=tuple(uninvited),
    )


def _granted(headers: Mapping[str, str]) -> frozenset[str] | None:
    for name, value in headers.items():
        if name.lower() == "x-oauth-scopes":
            return frozenset(scope.strip() for scope in value.split(",") if scope.strip())
    return None


def _about_scopes(granted: frozenset[str]) -> Iterable[str]:
    for scope in SCOPES:
        if scope.name in granted:
            continue
        if scope.is_optional:
            yield f"Without the optional scope {scope.name}, {scope.without}."
        else:
            yield (
                f"The app lacks the scope {scope.name}, needed for {scope.why}:"
                " add it under OAuth & Permissions (see `andon manifest`) and install the app again."
            )


# ---- user groups ----------------------------------------------------------------------------------------------------


async def read_groups(client: AsyncWebClient, world: World) -> dict[str, frozenset[str]]:
    """Return the members of the world's groups that name a Slack user group, by group name, as people's keys.

    Somebody the organisation file does not know is `slack:U…`. A group Slack refuses is left out, and said in the log.
    """
    by_slack = {person.slack: person.key for person in world.people.values() if person.slack}
    members: dict[str, frozenset[str]] = {}
    for group in _slack_groups(world):
        try:
            async with slack_errors():
                page = await client.usergroups_users_list(usergroup=group.slack)
        except SlackRefused as refusal:
            log.warning("The members of the group %s cannot be read. %s", group.name, refusal.message)
            continue
        users: list[str] = page.get("users", [])
        members[group.name] = frozenset(by_slack.get(user, f"slack:{user}") for user in users)
    return members


def _slack_groups(world: World) -> list[PeopleGroup]:
    return [group for group in world.groups.values() if group.slack]


class GroupWatch:
    """Reads the groups at start, every ten minutes, and at once when Slack says that one changed."""

    def __init__(
        self,
        client: AsyncWebClient,
        world: Callable[[], World],
        update: Callable[[Mapping[str, frozenset[str]]], Awaitable[None]],
        *,
        every: float = GROUPS_EVERY,
    ) -> None:
        self._client = client
        self._world = world
        self._update = update
        self._every = every
        self._changed = asyncio.Event()

    def hear(self, event: Mapping[str, object]) -> None:
        """Take note of `subteam_updated` and `subteam_members_changed`."""
        if str(event.get("type", "")).startswith("subteam_"):
            self._changed.set()

    async def refresh(self) -> None:
        """Read the groups once, and tell of those whose members differ."""
        world = self._world()
        read = await read_groups(self._client, world)
        changed = {name: members for name, members in read.items() if world.groups[name].members != members}
        if changed:
            await self._update(changed)

    async def run(self) -> None:
        """Refresh until cancelled; trouble is logged and tried again later."""
        while True:
            self._changed.clear()
            try:
                await self.refresh()
            except PortError as error:
                log.warning("Slack user groups could not be read: %s", error.message)
            try:
                async with asyncio.timeout(self._every):
                    await self._changed.wait()
            except TimeoutError:
                continue
