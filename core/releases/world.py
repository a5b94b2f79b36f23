"""What pipelines share: people, groups, teams, calendars, freezes, and when Andon itself was not looking.

A small snapshot with a revision, read in the transaction that decides; its revision is kept with the event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from core.releases.calendar import Calendar

FREEZE_REMEMBERED = timedelta(days=1)


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
class Freeze:
    """A time in which no stage it covers is entered [22]; `services`, `teams` and `scopes` empty mean all.

    `services` are services or pipelines, `scopes` stages or groups. Without `by` it is planned in the organisation
    file; without `ends_at` it lasts until somebody lifts it. One that is over is remembered for a day: what waited for
    its end goes on spaced out.
    """

    name: str
    starts_at: datetime
    ends_at: datetime | None = None
    reason: str = ""
    services: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    teams: frozenset[str] = frozenset()
    by: Actor | None = None
    lifted_by: Actor | None = None

    @property
    def is_everything(self) -> bool:
        """Whether it stops the whole organisation."""
        return not (self.services or self.teams or self.scopes)

    def is_on(self, at: datetime) -> bool:
        """Whether it is in force at an instant."""
        return self.starts_at <= at and not self.is_over(at)

    def is_over(self, at: datetime) -> bool:
        """Whether it has ended by an instant."""
        return self.ends_at is not None and self.ends_at <= at

    def is_remembered(self, at: datetime) -> bool:
        """Whether it is on, to come, or over for less than a day."""
        return self.ends_at is None or at < self.ends_at + FREEZE_REMEMBERED


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
    calendars: Mapping[str, Calendar] = field(default_factory=dict)
    freezes: tuple[Freeze, ...] = ()
    spread: timedelta = timedelta(minutes=5)
    """After an opening the pipelines go on within this time, each at its own moment [22]."""
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
