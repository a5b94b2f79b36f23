"""Who may do what, checked in the transaction that does it; seeing a button is no permission.

Anyone reads, asks why and pauses. The owning team promotes, resumes, rolls back, retries, cancels and reconciles; named
approvers approve; owners override and lift; the on-call may roll back and take pages. Administrators may do all of it.
"""

from __future__ import annotations

from core.errors import CommandRefused
from core.releases.pipeline import Pipeline
from core.releases.words import listed
from core.releases.world import Actor, World


def require_team(world: World, definition: Pipeline, by: Actor, act: str) -> None:
    """Refuse unless `by` belongs to the team that owns the service. `act` continues "may": `promote checkout`."""
    if by.id in _team(world, definition) | world.administrators and by.is_person:
        return
    _refuse(world, definition, act, _team(world, definition), f"the team {definition.team}")


def require_on_call_or_team(world: World, definition: Pipeline, by: Actor, act: str) -> None:
    """Refuse unless `by` is in the team or on call for it."""
    allowed = _team(world, definition) | on_call(world, definition) | world.administrators
    if by.id in allowed and by.is_person:
        return
    _refuse(world, definition, act, allowed, f"the team {definition.team} and its on-call")


def require_owner(world: World, definition: Pipeline, by: Actor, act: str) -> None:
    """Refuse unless `by` is an owner of the service."""
    team = world.teams.get(definition.team)
    owners = (team.owners if team else frozenset()) | world.administrators
    if by.id in owners and by.is_person:
        return
    _refuse(world, definition, act, owners, f"an owner of the team {definition.team}")


def on_call(world: World, definition: Pipeline) -> frozenset[str]:
    """The keys of the people who are on call for the service."""
    team = world.teams.get(definition.team)
    return world.expand((team.on_call,)) if team and team.on_call else frozenset()


def called(world: World, definition: Pipeline) -> tuple[str, ...]:
    """The names to mention when somebody must come: the on-call group, else the team."""
    team = world.teams.get(definition.team)
    if team is None:
        return ()
    return (team.on_call,) if team.on_call else (team.name,)


def _team(world: World, definition: Pipeline) -> frozenset[str]:
    team = world.teams.get(definition.team)
    return team.members | team.owners if team else frozenset()


def _refuse(world: World, definition: Pipeline, act: str, allowed: frozenset[str], who: str) -> None:
    names = sorted(world.name_of(key) for key in allowed)
    if definition.team not in world.teams:
        raise CommandRefused(
            f"Nobody may {act} yet: the organisation file has no team {definition.team}.",
            mend="Add the team with its members to org.yaml.",
        )
    some = listed(names[:6]) + (" and others" if len(names) > 6 else "")
    raise CommandRefused(f"Only {who} may {act}.", mend=f"Ask {some}." if names else "")
