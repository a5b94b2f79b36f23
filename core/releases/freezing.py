"""Freezes that people place and lift: who may, what they cover, and what the world is afterwards [22].

A freeze of everything is the organisation-wide stop. These acts belong to no pipeline: they change the world, and every
pipeline looks at its gates again. Pure, like `decide`; what cannot be done raises `CommandRefused`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from core.errors import CommandRefused
from core.releases.asked.naming import reason_given
from core.releases.gates import concerns, covers, what_is_frozen
from core.releases.pipeline import Pipeline
from core.releases.words import clock, listed, nearest
from core.releases.world import Actor, Freeze, World

LONGEST = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class Covered:
    """What a freeze is said of: a service (or pipeline), a team, or everything if both are empty; and where."""

    service: str = ""
    team: str = ""
    scope_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeRequested:
    """`freeze SERVICE|TEAM|everything [in STAGE|GROUP] [from T] [until T|for 2h] REASON`."""

    by: Actor
    what: Covered
    reason: str
    from_at: datetime | None = None
    until_at: datetime | None = None
    duration: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfreezeRequested:
    """`unfreeze SERVICE|TEAM|everything|NAME [in STAGE|GROUP]`: lifts one, the asker's own first, else the oldest."""

    by: Actor
    what: Covered = Covered()
    name: str = ""


OrganisationCommand = FreezeRequested | UnfreezeRequested


@dataclass(frozen=True, slots=True)
class WorldDecision:
    """The world as it becomes, the answer for who asked, and the sentence for the record."""

    world: World
    answer: str
    sentence: str


def act(world: World, definitions: Collection[Pipeline], command: OrganisationCommand, now: datetime) -> WorldDecision:
    """Decide on what somebody asks for the organisation; raises CommandRefused, and then nothing has changed."""
    if isinstance(command, FreezeRequested):
        return _freeze(world, definitions, command, now)
    return _unfreeze(world, definitions, command, now)


def in_sight(world: World, now: datetime) -> list[Freeze]:
    """The freezes that are on or to come, those that are on first."""
    alive = [freeze for freeze in world.freezes if not freeze.is_over(now)]
    return sorted(alive, key=lambda freeze: (freeze.starts_at > now, freeze.starts_at, freeze.name))


# ---- placing --------------------------------------------------------------------------------------------------------


def _freeze(world: World, definitions: Collection[Pipeline], command: FreezeRequested, now: datetime) -> WorldDecision:
    reason = reason_given(command.reason, "freeze")
    about = _about(definitions, command.what)
    _require_authority(world, about, command.what, command.by, "freeze")
    starts, ends = _times(command, now)
    new = replace(
        _covering(command.what),
        name=f"freeze-{world.revision + 1}",
        starts_at=starts,
        ends_at=ends,
        reason=reason,
        by=command.by,
    )
    kept = tuple(freeze for freeze in world.freezes if freeze.by is None or freeze.is_remembered(now))
    begins = f" from {clock(starts)}" if starts > now else ""
    until = f" until {clock(ends)}" if ends is not None else ""
    what = what_is_frozen(new)
    # Names are written as they are, also at the beginning.
    begun = what.replace("everything", "Everything", 1) if not (new.services or new.teams) else what
    is_or_will = "will be" if starts > now else "is"
    lift = "" if ends is not None else f" It lasts until somebody lifts it: `unfreeze {_words(command.what)}`."
    return WorldDecision(
        replace(world, freezes=(*kept, new)),
        f"{begun} {is_or_will} frozen{begins}{until}: {reason}. {_reach(about)} "
        f"Nothing new is entered; what is in flight finishes, bakes run on, alarms and rollbacks stay live.{lift}",
        f"{command.by.name} froze {what}{begins}{until}: {reason}.",
    )


def _covering(what: Covered) -> Freeze:
    """A freeze that covers this, at no time yet."""
    return Freeze(
        "",
        datetime.max.replace(tzinfo=UTC),
        services=frozenset({what.service} if what.service else ()),
        teams=frozenset({what.team} if what.team else ()),
        scopes=frozenset({what.scope_name} if what.scope_name else ()),
    )


def _times(command: FreezeRequested, now: datetime) -> tuple[datetime, datetime | None]:
    starts = max(command.from_at or now, now)
    ends = command.until_at
    if command.duration is not None:
        ends = starts + command.duration
    if ends is not None and ends <= now:
        raise CommandRefused(f"{clock(ends)} is over already.", mend="Times are UTC unless a zone is named.")
    if ends is not None and ends <= starts:
        raise CommandRefused("This freeze ends before it begins.", mend="Swap `from` and `until`.")
    if max(starts, ends or starts) > now + LONGEST:
        raise CommandRefused("A freeze lies within the next 400 days.", mend="Look at the year, or leave `until` out.")
    return starts, ends


def _about(definitions: Collection[Pipeline], what: Covered) -> list[Pipeline]:
    """The pipelines it covers; refuses what covers none."""
    probe = _covering(what)
    named = [definition for definition in definitions if concerns(probe, definition)]
    if not named:
        known = [d.service for d in definitions] + [d.team for d in definitions]
        raise CommandRefused(
            f"There is no service or team {what.service or what.team}.", mend=nearest(what.service or what.team, known)
        )
    about = [d for d in named if any(covers(probe, d, stage) for stage in d.stages)]
    if not about:
        places = [name for d in named for s in d.stages for name in (s.name, s.group) if name]
        raise CommandRefused(
            f"There is no stage or group {what.scope_name} there.", mend=nearest(what.scope_name, places)
        )
    return about


def _reach(about: list[Pipeline]) -> str:
    services = sorted({definition.service for definition in about})
    if len(services) == 1:
        return f"It holds {services[0]}."
    return f"It holds {len(services)} services."


# ---- lifting --------------------------------------------------------------------------------------------------------


def _unfreeze(
    world: World, definitions: Collection[Pipeline], command: UnfreezeRequested, now: datetime
) -> WorldDecision:
    alive = in_sight(world, now)
    found = [freeze for freeze in alive if _is_meant(freeze, command)]
    placed = [freeze for freeze in found if freeze.by is not None]
    if not placed:
        _refuse_none(found, alive, command)
    chosen = next((f for f in placed if f.by is not None and f.by.id == command.by.id), placed[0])
    _require_lifting(world, definitions, chosen, command.by)
    lifted = replace(chosen, ends_at=now, lifted_by=command.by)
    others = (f for f in world.freezes if f != chosen and (f.by is None or f.is_remembered(now)))
    # One that never began leaves no trace: nothing waited for it.
    freezes = (*others, *((lifted,) if chosen.starts_at < now else ()))
    what, by = what_is_frozen(chosen), chosen.by.name if chosen.by is not None else ""
    left = sum(1 for f in found if f != chosen and f.is_on(now))
    rest = f" {left} more freeze{'s' if left > 1 else ''} still {'hold' if left > 1 else 'holds'} it." if left else ""
    goes_on = "" if left else " What waited goes on by itself, spaced out over the services."
    return WorldDecision(
        replace(world, freezes=freezes),
        f"The freeze of {what} by {by} ({chosen.reason}) is lifted.{rest}{goes_on}",
        f"{command.by.name} lifted the freeze of {what} by {by}: {chosen.reason}.",
    )


def _is_meant(freeze: Freeze, command: UnfreezeRequested) -> bool:
    if command.name:
        return freeze.name == command.name
    what = command.what
    same_part = not what.scope_name or freeze.scopes == frozenset({what.scope_name})
    if what.service or what.team:
        return same_part and (
            freeze.services == frozenset({what.service} if what.service else ())
            and freeze.teams == frozenset({what.team} if what.team else ())
        )
    return same_part and not freeze.services and not freeze.teams


def _refuse_none(found: list[Freeze], alive: list[Freeze], command: UnfreezeRequested) -> None:
    if found:
        raise CommandRefused(
            f"The freeze {found[0].name} is planned in the organisation file; it ends there.",
            mend="Take it out of org.yaml, or let one release through with `override`.",
        )
    what = command.name or _words(command.what)
    there_is = listed(f"{f.name} ({what_is_frozen(f)})" for f in alive[:5])
    raise CommandRefused(
        f"No freeze of {what} is on or to come.", mend=f"There is {there_is}." if there_is else "`freezes` lists all."
    )


# ---- who may --------------------------------------------------------------------------------------------------------


def _require_authority(world: World, about: list[Pipeline], what: Covered, by: Actor, verb: str) -> None:
    """The owning team for its services, administrators for everything."""
    if by.is_person and by.id in world.administrators:
        return
    is_theirs = bool(what.service or what.team) and all(by.id in _team(world, d.team) for d in about)
    if by.is_person and is_theirs:
        return
    admins = sorted(world.name_of(key) for key in world.administrators)
    ask = f"Ask {listed(admins[:6], 'or')}." if admins else "The organisation file names no `administrators`."
    if not (what.service or what.team):
        pull = " Anyone may stop one service at once: `pause SERVICE REASON`."
        raise CommandRefused(f"Only administrators may {verb} everything.", mend=ask + pull)
    team = about[0].team
    members = sorted(world.name_of(key) for key in _team(world, team))
    who = listed(members[:6]) + (" and others" if len(members) > 6 else "")
    raise CommandRefused(
        f"Only the team {team} and administrators may {verb} {_words(what)}.",
        mend=(f"Ask {who}. " if who else "") + "Anyone may stop it at once: `pause`.",
    )


def _require_lifting(world: World, definitions: Collection[Pipeline], freeze: Freeze, by: Actor) -> None:
    """Whoever placed it, administrators, and the team if one of its own placed it."""
    placer = freeze.by
    if placer is None or (by.is_person and (by.id == placer.id or by.id in world.administrators)):
        return
    teams = {d.team for d in definitions if concerns(freeze, d)} if freeze.services or freeze.teams else set()
    if by.is_person and teams and all({by.id, placer.id} <= _team(world, team) for team in teams):
        return
    admins = sorted(world.name_of(key) for key in world.administrators)
    ask = listed(dict.fromkeys([placer.name, *admins[:5]]), "or")
    raise CommandRefused(
        f"{placer.name} placed this freeze ({freeze.reason}); you may not lift it.", mend=f"Ask {ask}."
    )


def _team(world: World, name: str) -> frozenset[str]:
    team = world.teams.get(name)
    return team.members | team.owners if team is not None else frozenset()


def _words(what: Covered) -> str:
    name = what.service or (f"team {what.team}" if what.team else "everything")
    return f"{name} in {what.scope_name}" if what.scope_name else name
