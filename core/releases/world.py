"""What pipelines share: people, groups, teams, organisation-wide stops, and when Andon itself was not looking.

A small snapshot with a revision, read in the transaction that decides; its revision is kept with the event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Via(StrEnum):
    """Where an act came from."""

    SLACK = "slack"
    SHELL = "shell"
    API = "api"
    ALARM = "alarm"
    ANDON = "andon"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: `id` is a key of the organisation file, `slack:U…` for a person not in it, or a machine's name."""

    id: str
    name: str
    via: Via
    is_person: bool = True

    def __str__(self) -> str:
        return self.name


ANDON = Actor("andon", "Andon", Via.ANDON, is_person=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody the organisation file knows. `identities` are e-mail addresses and logins, in lower case."""

    key: str
    name: str
    slack: str = ""
    identities: frozenset[str] = frozenset()
    is_bot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleGroup:
    """People under one name; `slack` is the id of the Slack user group to mention and read members from, if any."""

    name: str
    members: frozenset[str] = frozenset()
    slack: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """Owns services. `owners` may override and lift; `on_call` is the name of a group, or empty."""

    name: str
    members: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()
    on_call: str = ""


@dataclass(frozen=True, slots=True)
class OrganisationPause:
    """A stop for everybody."""

    id: str
    by: Actor
    reason: str
    at: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Freeze:
    """A time in which no stage it covers is entered [22]; `services` and `stages` empty mean all."""

    name: str
    starts_at: datetime
    ends_at: datetime
    reason: str = ""
    services: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which Andon did not look; it is no bake time [7]."""

    from_at: datetime
    until_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The snapshot. `observed_until` is the last moment at which Andon is recorded to have been alive; None: no cap."""

    revision: int = 0
    people: Mapping[str, Person] = field(default_factory=dict)
    groups: Mapping[str, PeopleGroup] = field(default_factory=dict)
    teams: Mapping[str, Team] = field(default_factory=dict)
    administrators: frozenset[str] = frozenset()
    pauses: tuple[OrganisationPause, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    outages: tuple[Outage, ...] = ()
    observed_until: datetime | None = None

    def person_known_as(self, identity: str) -> Person | None:
        """The person with this key, e-mail address, login or Slack id."""
        if identity in self.people:
            return self.people[identity]
        wanted = identity.strip().lower()
        for person in self.people.values():
            if wanted in person.identities or (person.slack and person.slack.lower() == wanted):
                return person
        return None

    def expand(self, names: tuple[str, ...]) -> frozenset[str]:
        """The keys of the people meant by names of people, groups and teams."""
        members: set[str] = set()
        for name in names:
            if name in self.groups:
                members |= self.groups[name].members
            elif name in self.teams:
                members |= self.teams[name].members
            elif name in self.people:
                members.add(name)
        return frozenset(members)

    def name_of(self, key: str) -> str:
        """How to call a person, group or team in a sentence."""
        return self.people[key].name if key in self.people else key
