"""Who acts: from a Slack user id to an actor, and whether somebody of that kind may act at all.

The organisation file is asked first, so that nobody it knows by Slack id costs a call. Everyone else is looked up once
an hour: their e-mail address may be in the file, and guests and people of other companies are turned away here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from slack_sdk.web.async_client import AsyncWebClient

from bot.slack_client import SlackRefused, slack_errors
from core.errors import CommandRefused
from core.releases.world import Actor, Person, Via, World

KEEP_SECONDS: Final = 3600.0
KEEP_MOST: Final = 20_000


class NotAdmitted(CommandRefused):
    """People of other companies cannot act through Andon here."""


@dataclass(frozen=True, slots=True)
class Member:
    """What Slack says of a user. `team` is the workspace they belong to."""

    name: str
    email: str = ""
    team: str = ""
    is_guest: bool = False
    is_stranger: bool = False
    is_bot: bool = False
    until: float = 0.0


@dataclass(slots=True)
class _Index:
    world: World | None = None
    by_slack: dict[str, Person] = field(default_factory=dict)


class People:
    """Turns Slack users into actors. `home` are the ids of this workspace and, in a grid, of its organisation."""

    def __init__(
        self,
        world: Callable[[], World],
        client: AsyncWebClient,
        *,
        home: frozenset[str],
        admits_external: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._world = world
        self._client = client
        self._home = home
        self._admits_external = admits_external
        self._monotonic = monotonic
        self._members: dict[str, Member] = {}
        self._index = _Index()

    async def actor(self, user: str, *, name: str = "", team: str = "") -> Actor:
        """Return who this is; raises `NotAdmitted`, or `TransientError` where Slack had to be asked and did not answer.

        `team` is the workspace the payload says the user belongs to, where it says so.
        """
        known = self.known(user, team=team)
        if known is not None:
            return known
        person = self._by_slack_id(user)
        member = await self._member(user, name)
        self._admit(member, team, known=person is not None)
        if person is None and member.email and not member.is_stranger:
            person = self._world().person_known_as(member.email)
        if person is not None:
            return Actor(person.key, person.name, Via.SLACK, is_person=not person.is_bot)
        return Actor(f"slack:{user}", member.name or name or user, Via.SLACK, is_person=not member.is_bot)

    def known(self, user: str, *, team: str = "") -> Actor | None:
        """Return who this is where the organisation file says so; None where Slack must be asked."""
        person = self._by_slack_id(user)
        if person is None or (team and team not in self._home):
            return None
        return Actor(person.key, person.name, Via.SLACK, is_person=not person.is_bot)

    def name_of(self, user: str) -> str:
        """Return how to call a Slack user in words, without asking anybody."""
        person = self._by_slack_id(user)
        if person is not None:
            return person.name
        return self._members[user].name if user in self._members else user

    def slack_id(self, key: str) -> str:
        """Return the Slack id of a person's key, or an empty text where none is known."""
        if key.startswith("slack:"):
            return key.removeprefix("slack:")
        person = self._world().people.get(key)
        if person is None:
            return ""
        if person.slack:
            return person.slack
        mine = (user for user, member in self._members.items() if member.email and member.email in person.identities)
        return next(mine, "")

    def forget(self, user: str) -> None:
        """Ask Slack again when this user is next seen."""
        self._members.pop(user, None)

    def _by_slack_id(self, user: str) -> Person | None:
        world = self._world()
        if self._index.world is not world:
            known = {person.slack: person for person in world.people.values() if person.slack}
            self._index = _Index(world, known)
        return self._index.by_slack.get(user)

    def _admit(self, member: Member, team: str, *, known: bool) -> None:
        is_stranger = member.is_stranger or bool(team and team not in self._home)
        if is_stranger and not self._admits_external:
            raise NotAdmitted(
                "You belong to another company's workspace, and Andon takes no acts from there.",
                mend="Ask somebody of the team that owns the service.",
            )
        if member.is_guest and not known and not self._admits_external:
            raise NotAdmitted(
                "You are a guest in this workspace, and Andon takes acts only from members.",
                mend="An administrator of Andon can name you in the organisation file.",
            )

    async def _member(self, user: str, name: str) -> Member:
        now = self._monotonic()
        kept = self._members.get(user)
        if kept is not None and kept.until > now:
            return kept
        try:
            async with slack_errors():
                said = await self._client.users_info(user=user)
        except SlackRefused as refusal:
            if refusal.code in {"user_not_found", "user_not_visible"}:
                # People of other companies can be invisible to the app: unknown is not a member.
                return Member(name=name, is_stranger=True)
            raise
        member = _member(said.get("user") or {}, until=now + KEEP_SECONDS, name=name)
        if len(self._members) >= KEEP_MOST:
            self._members.clear()
        self._members[user] = member
        return member


def _member(said: Mapping[str, Any], *, until: float, name: str) -> Member:
    profile = said.get("profile") or {}
    return Member(
        name=str(profile.get("display_name") or said.get("real_name") or said.get("name") or name),
        email=str(profile.get("email") or "").lower(),
        team=str(said.get("team_id") or ""),
        is_guest=bool(said.get("is_restricted") or said.get("is_ultra_restricted")),
        is_stranger=bool(said.get("is_stranger")),
        is_bot=bool(said.get("is_bot")),
        until=until,
    )
