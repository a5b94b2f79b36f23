"""The gates of time at the entry of a stage: freezes and windows, and whose turn it is after they open [22].

All of them are computed from the definition, the world and the instant; nothing is stored. Deny beats allow: a stage is
open only while no freeze covers it and every calendar named for it or its group is open. After an opening the pipelines
go on spaced out, each at a moment of its own that follows from its id; that moment always lies in the first half of the
time for which it is open, so a short opening is no trap.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from core.releases.calendar import Calendar, changes_between, is_open, next_closed, next_open
from core.releases.pipeline import Pipeline, Stage
from core.releases.words import clock, listed
from core.releases.world import Freeze, World

STEPS = 100
"""Openings of one gate that fall into another's closing; two calendars that never meet are given up after these."""
_MOMENT = timedelta(microseconds=1)
_FRACTIONS = 2**32


@dataclass(frozen=True, slots=True)
class Shut:
    """A gate that is shut, in the words of a blocker; `clears_at` is exact, None where nothing but people clear it."""

    kind: str
    sentence: str
    who: str
    clears_at: datetime | None
    subject: str


def shut(definition: Pipeline, stage: Stage, world: World, now: datetime) -> tuple[Shut, ...]:
    """The gates that are shut for a stage, or that it is not this pipeline's turn yet; empty means open."""
    if not world.freezes and not windows_of(definition, stage):
        return ()
    found = [_frozen(freeze, definition, world) for freeze in freezes_over(definition, stage, world, now)]
    calendars, unknown = calendars_over(definition, stage, world)
    for name in unknown:
        sentence = f"its window {name} is not known: the organisation file has no calendar of this name"
        found.append(Shut("window", sentence, "whoever keeps org.yaml; an owner: override", None, name))
    for calendar in calendars:
        if not is_open(calendar, now):
            opens = next_open(calendar, now)
            rest = "" if opens is not None else " and does not open within a year"
            sentence = f"the window {calendar.name} is closed{rest}"
            found.append(Shut("window", sentence, "an owner: override", opens, calendar.name))
    if found:
        return tuple(found)
    turn = _turn(definition, stage, world, now)
    if turn is not None and now < turn[1]:
        sentence = f"what waited for the opening at {clock(turn[0])} goes on spaced out, and it is not its turn yet"
        return (Shut("turn", sentence, "an owner: override", turn[1], ""),)
    return ()


def is_shut(definition: Pipeline, stage: Stage, world: World, at: datetime) -> bool:
    """Whether a freeze or a window keeps releases out of a stage at an instant."""
    if any(True for _ in freezes_over(definition, stage, world, at)):
        return True
    calendars, unknown = calendars_over(definition, stage, world)
    return bool(unknown) or not all(is_open(calendar, at) for calendar in calendars)


def opens_at(definition: Pipeline, stage: Stage, world: World, now: datetime) -> datetime | None:
    """The first instant from `now` on at which no freeze and no window shuts a stage; None if none is in sight."""
    calendars, unknown = calendars_over(definition, stage, world)
    if unknown:
        return None
    at: datetime | None = now
    for _ in range(STEPS):
        assert at is not None
        ends = [freeze.ends_at for freeze in freezes_over(definition, stage, world, at)]
        ends += [next_open(calendar, at) for calendar in calendars]
        if any(end is None for end in ends):
            return None
        latest = max((end for end in ends if end is not None), default=at)
        if latest == at:
            return at
        at = latest
    return None


def next_look(definition: Pipeline, stage: Stage, world: World, now: datetime) -> datetime | None:
    """When a stage that somebody waits for should be looked at again: it opens, its turn comes, or it shuts."""
    if not world.freezes and not windows_of(definition, stage):
        return None
    opens = opens_at(definition, stage, world, now)
    if opens is None or opens > now:
        return opens
    turn = _turn(definition, stage, world, now)
    return turn[1] if turn is not None and turn[1] > now else shuts_at(definition, stage, world, now)


def shuts_at(definition: Pipeline, stage: Stage, world: World, at: datetime) -> datetime | None:
    """The first instant after `at`, at which a stage is open, when it shuts."""
    starts = [f.starts_at for f in world.freezes if covers(f, definition, stage) and f.starts_at > at]
    calendars, _ = calendars_over(definition, stage, world)
    starts += [closes for calendar in calendars if (closes := next_closed(calendar, at)) is not None]
    return min(starts, default=None)


def turn_after(definition: Pipeline, opened: datetime, world: World, until: datetime | None = None) -> datetime:
    """When a pipeline's turn comes after an opening that lasts `until`: its own second within the spread."""
    longest = world.spread if until is None else min(world.spread, (until - opened) / 2)
    return opened + timedelta(seconds=int(longest.total_seconds()) * _fraction(definition.id) // _FRACTIONS)


@lru_cache(maxsize=16_384)
def _fraction(pipeline: str) -> int:
    """Where in the spread a pipeline stands: spread evenly over ids, and always the same for one."""
    return int.from_bytes(hashlib.sha256(pipeline.encode()).digest()[:4], "big")


def _turn(definition: Pipeline, stage: Stage, world: World, now: datetime) -> tuple[datetime, datetime] | None:
    """When a stage, open now, opened within the spread, and when the pipeline's turn comes; None if before that."""
    opened = max(_openings(definition, stage, world, now), default=None)
    if opened is None:
        return None
    return opened, turn_after(definition, opened, world, shuts_at(definition, stage, world, opened))


def _openings(definition: Pipeline, stage: Stage, world: World, now: datetime) -> Iterator[datetime]:
    since = now - world.spread
    edges = {
        f.ends_at for f in world.freezes if f.ends_at and since < f.ends_at <= now and covers(f, definition, stage)
    }
    for calendar in calendars_over(definition, stage, world)[0]:
        edges.update(changes_between(calendar, since, now))
    yield from (edge for edge in edges if is_shut(definition, stage, world, edge - _MOMENT))


# ---- freezes --------------------------------------------------------------------------------------------------------


def covers(freeze: Freeze, definition: Pipeline, stage: Stage) -> bool:
    """Whether a freeze speaks of a stage."""
    return concerns(freeze, definition) and (
        not freeze.scopes or stage.name in freeze.scopes or stage.group in freeze.scopes
    )


def concerns(freeze: Freeze, definition: Pipeline) -> bool:
    """Whether a freeze speaks of a pipeline's service or team; its stages are another question."""
    if freeze.services and not freeze.services & {definition.service, definition.id}:
        return False
    return not freeze.teams or definition.team in freeze.teams


def freezes_over(definition: Pipeline, stage: Stage, world: World, at: datetime) -> Iterator[Freeze]:
    """The freezes in force over a stage."""
    return (freeze for freeze in world.freezes if freeze.is_on(at) and covers(freeze, definition, stage))


def what_is_frozen(freeze: Freeze) -> str:
    """What a freeze covers, in words: `everything`, `the team payments in production`."""
    parts = [f"the team {name}" for name in sorted(freeze.teams)] + sorted(freeze.services)
    where = f" in {listed(sorted(freeze.scopes))}" if freeze.scopes else ""
    return (listed(parts) or "everything") + where


def freeze_sentence(freeze: Freeze) -> str:
    """Who froze what, and why."""
    reason = f": {freeze.reason}" if freeze.reason else ""
    if freeze.by is None:
        return f"the freeze {freeze.name} is on{reason}"
    return f"{freeze.by.name} froze {what_is_frozen(freeze)}{reason}"


def _frozen(freeze: Freeze, definition: Pipeline, world: World) -> Shut:
    who = "an owner: override"
    if freeze.by is not None:
        team = world.teams.get(definition.team)
        is_ours = team is not None and freeze.by.id in team.members | team.owners
        may_lift = f"the team {definition.team}" if is_ours and not freeze.is_everything else "an administrator"
        who = f"{may_lift}: unfreeze; {who}"
    return Shut("frozen", freeze_sentence(freeze), who, freeze.ends_at, freeze.name)


# ---- windows --------------------------------------------------------------------------------------------------------


def windows_of(definition: Pipeline, stage: Stage) -> tuple[str, ...]:
    """The names of the calendars that must be open for a stage: its group's and its own."""
    group = definition.group_by_name.get(stage.group)
    if group is None or not group.windows:
        return stage.windows
    return tuple(dict.fromkeys((*group.windows, *stage.windows)))


def calendars_over(definition: Pipeline, stage: Stage, world: World) -> tuple[list[Calendar], list[str]]:
    """The calendars that must be open for a stage, and the names that nobody knows: unknown is not open."""
    own = {calendar.name: calendar for calendar in definition.calendars}
    found: list[Calendar] = []
    unknown: list[str] = []
    for name in windows_of(definition, stage):
        calendar = own.get(name) or world.calendars.get(name)
        if calendar is None:
            unknown.append(name)
        else:
            found.append(calendar)
    return found, unknown
