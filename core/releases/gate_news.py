"""Tells those on their way what freezes do to them, and keeps their cards true while windows open and close [22].

A pipeline remembers which gates its people were told are shut (`PipelineState.gates`), so that each is told once, also
after a crash between the freeze and its telling, and although nobody tells a pipeline of a planned one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from core.releases import gates
from core.releases.blockers import waiting
from core.releases.draft import Draft
from core.releases.pipeline import Pipeline
from core.releases.state import PipelineState, Release
from core.releases.words import clock
from core.releases.world import Freeze, World

MOST_TOLD = 3
"""Of many releases on their way the newest are told; the others have it on their cards."""
_REST = "Nothing new is entered; what is in flight finishes, bakes run on, alarms and rollbacks stay live."


def tell(draft: Draft) -> None:
    """Tell what became shut or open since the last look, in the threads it concerns, and draw their cards anew."""
    state, world = draft.state, draft.world
    if not state.gates and not world.freezes and not draft.definition.has_windows:
        return
    live = [release for release in state.releases if release.is_live]
    if not live:
        return
    told, shut = set(state.gates), tuple(_shut(state, draft.waiting(), world, draft.now))
    if told == set(shut):
        return
    known = {freeze.name: freeze for freeze in world.freezes}
    for key in shut:
        if key not in told and (freeze := _freeze_of(key, known)) is not None:
            until = f" until {clock(freeze.ends_at)}" if freeze.ends_at else ""
            sentence = gates.freeze_sentence(freeze)
            _say(draft, _concerned(live, draft.definition, freeze), "frozen", f"{sentence}{until}. {_REST}")
    for key in sorted(told - set(shut)):
        if (freeze := _freeze_of(key, known)) is not None:
            ended_at = freeze.ends_at or draft.now
            heard = [release for release in live if release.announced_at <= ended_at]
            _say(draft, _concerned(heard, draft.definition, freeze), "unfrozen", _ended(freeze))
    for release in live:
        draft.touch(release.id, at_once=True)
    draft.change(lambda s: replace(s, gates=shut))


def wakes(state: PipelineState, world: World, now: datetime) -> Iterator[datetime]:
    """When freezes and windows want this pipeline to be looked at again."""
    live = [release for release in state.releases if release.is_live]
    if not live:
        return
    for freeze in world.freezes:
        if gates.concerns(freeze, state.definition):
            yield freeze.starts_at
            if freeze.ends_at is not None:
                yield freeze.ends_at
    for name in waiting(state):
        look = gates.next_look(state.definition, state.definition.by_name[name], world, now)
        if look is not None:
            yield look


def _shut(state: PipelineState, entries: Iterable[str], world: World, now: datetime) -> Iterator[str]:
    """Keys of what is shut: each freeze over anything here, each stage outside its window that somebody waits for."""
    definition = state.definition
    for freeze in world.freezes:
        if freeze.is_on(now) and any(gates.covers(freeze, definition, stage) for stage in definition.stages):
            yield f"freeze {freeze.name}"
    if not definition.has_windows:
        return
    for name in entries:
        if any(gate.kind == "window" for gate in gates.shut(definition, definition.by_name[name], world, now)):
            yield f"window {name}"


def _freeze_of(key: str, known: dict[str, Freeze]) -> Freeze | None:
    kind, _, name = key.partition(" ")
    return known.get(name) if kind == "freeze" else None


def _concerned(live: list[Release], definition: Pipeline, freeze: Freeze) -> list[Release]:
    """Releases that have a stage before them which the freeze covers."""

    def has_it_before(release: Release) -> bool:
        return any(s.name not in release.passed and gates.covers(freeze, definition, s) for s in definition.stages)

    return [release for release in live if has_it_before(release)][-MOST_TOLD:]


def _ended(freeze: Freeze) -> str:
    what = gates.what_is_frozen(freeze) if freeze.by is not None else freeze.name
    if freeze.lifted_by is not None:
        over = f"{freeze.lifted_by.name} lifted the freeze of {what}"
    else:
        over = f"The freeze {'of ' if freeze.by is not None else ''}{what} is over"
    return f"{over}. What waited goes on by itself, spaced out over the services."


def _say(draft: Draft, releases: list[Release], topic: str, sentence: str) -> None:
    for release in releases:
        draft.tell(release.id, topic, sentence[:1].upper() + sentence[1:])
