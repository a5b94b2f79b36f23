"""A new definition [4]: it applies at the next entry; what is under way ends as it began."""

from __future__ import annotations

from operator import attrgetter

from core.errors import CommandRefused
from core.releases.authority import require_team
from core.releases.copies import replace
from core.releases.difference import Changed, difference
from core.releases.draft import Draft
from core.releases.events import DefinitionApplied
from core.releases.pipeline import Pipeline
from core.releases.state import PipelineState, StageState, Stopped, TargetState
from core.releases.statuses import Completed
from core.releases.words import listed, title
from core.releases.world import ANDON, Actor, World

MOST_TOLD = 6
"""Changes that the thread is told one by one."""


def may_define(world: World, old: Pipeline, new: Pipeline, by: Actor) -> None:
    """Refuse unless `by` may put this definition in force: of the team that owns the service now, and of the next.

    Machines were let in by a token for this service, Andon reads what its operator wrote; neither is in a team.
    """
    if not by.is_person:
        return
    require_team(world, old, by, f"change the definition of {old.id}")
    if new.team != old.team:
        require_team(world, new, by, f"take {new.id} into the team {new.team}")
    if new.team not in world.teams:
        raise CommandRefused(
            f"The organisation file has no team {new.team}.", mend=f"There is {listed(sorted(world.teams)) or 'none'}."
        )


def definition_applied(draft: Draft, event: DefinitionApplied) -> None:
    """A definition is in force from the next entry on; runs stay pinned to theirs."""
    new, old = event.definition, draft.definition
    assert new.id == draft.state.id, "a definition is applied to its own pipeline"
    may_define(draft.world, old, new, event.by)
    if new.revision == old.revision:
        draft.answer = f"{new.id} already has this definition."
        return
    pinned = tuple(p for p in (*draft.state.pinned, old) if p.revision != new.revision)
    draft.change(lambda s: replace(s, definition=new, pinned=pinned))
    draft.drop_unused_definitions()
    draft.answer = f"The definition of {new.id} is in force from the next entry on."
    by = f", applied by {event.by.name}," if event.by.id != ANDON.id else ""
    changed = f"A new definition of {new.id}{by} is in force from the next entry on: {_told(difference(old, new))}."
    if any(r.is_live for r in draft.state.releases):
        draft.tell("", "definition_applied", changed)
    else:
        draft.reasons.append(changed)


def _told(changes: tuple[Changed, ...]) -> str:
    """The changes in one sentence, those that make it less careful first."""
    ordered = sorted(changes, key=lambda change: not change.is_less_careful)
    rest = len(ordered) - MOST_TOLD
    return "; ".join(map(str, ordered[:MOST_TOLD])) + (f"; and {rest} more" if rest > 0 else "")


_name = attrgetter("name")
_place = attrgetter("name", "stage")


def fit(draft: Draft) -> bool:
    """Give the state the stages and targets it ought to have; returns whether anything changed.

    A stage that is occupied keeps its targets as its run is pinned; a stage that is gone lives on while its run moves
    or anything is in flight there.
    """
    state = draft.state
    names, places = state.definition.layout
    if tuple(map(_name, state.stages)) == names:
        # Where no run is pinned to an older definition the targets stand as in the one in force.
        wanted = tuple(_wanted(state)) if state.pinned else places
        if tuple(map(_place, state.targets)) == wanted:
            assert len(set(map(_name, state.targets))) == len(state.targets), "a target is there twice"
            return False
    known = {s.name: s for s in state.stages}
    stages = [known.get(s.name, StageState(name=s.name)) for s in state.definition.stages]
    stages += [
        replace(s, watch=None) for s in state.stages if s.name not in state.definition.by_name and _stays(state, s)
    ]
    draft.change(lambda s: replace(s, stages=tuple(stages)))
    targets = {t.name: t for t in state.targets}
    kept = tuple(
        replace(targets[name], stage=place) if name in targets else TargetState(name=name, stage=place)
        for name, place in _wanted(draft.state)
    )
    draft.change(lambda s: replace(s, targets=kept))
    draft.drop_unused_definitions()
    return draft.state != state


def _wanted(state: PipelineState) -> list[tuple[str, str]]:
    """Which targets belong to which stage now: first those that a run holds, then as the definition in force says."""
    found: dict[str, str] = {}
    occupied = [s.name for s in state.stages if s.run is not None]
    free = [s.name for s in state.definition.stages if s.name not in occupied]
    for name in (*occupied, *free):
        stage = state.stage_definition(name)
        assert stage is not None, "a stage is defined, or its run is pinned"
        for target in stage.targets:
            found.setdefault(target.name, name)
    ranks = {name: rank for rank, name in enumerate(s.name for s in state.stages)}
    return sorted(found.items(), key=lambda place: ranks[place[1]])


def _stays(state: PipelineState, occupied: StageState) -> bool:
    if occupied.run is None:
        return False
    is_busy = any(t.deployment is not None for t in state.targets_of(occupied.name))
    return is_busy or not isinstance(occupied.run.phase, Stopped)


def complete(draft: Draft) -> bool:
    """A release that passed whatever stages are left is everywhere."""
    last = draft.definition.last_stages
    done = [
        r
        for r in draft.state.releases
        if last.issubset(r.passed)
        and r.is_live
        and not any(s.run is not None and s.run.release == r.id for s in draft.state.stages)
    ]
    for release in done:
        draft.put_release(replace(release, status=Completed(at=draft.now), goal="", picked=()))
        draft.drop_requests(lambda request, r=release: request.release == r.id)  # type: ignore[misc]
        draft.tell(release.id, "completed", f"{title(draft.definition, release)} is everywhere.", is_broadcast=True)
    return bool(done)
