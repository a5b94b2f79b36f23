"""Bake time and evidence [7]: what counts, what is still missing, and when it may be over.

Bake time is credited event by event: the time since the last look, less what Andon was down (outages the world records,
and the moments after the last recorded sign of life), less what its alarms were unknown [10]. Nothing here reads a
clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from core.ports import AlarmState
from core.releases.alarms import alarm_state, becomes_unknown_at, reading_state, unknown_from
from core.releases.copies import quick, replace
from core.releases.pipeline import Alarm, Pipeline, Scope, ScopeKind, Stage
from core.releases.state import AlarmReading, Baking, PipelineState, StageRun, StageState
from core.releases.world import World


def covers(scope: Scope, stage: Stage) -> bool:
    """Whether what is said of `scope` is said of `stage` too."""
    match scope.kind:
        case ScopeKind.SERVICE:
            return True
        case ScopeKind.GROUP:
            return scope.name == stage.group
        case ScopeKind.STAGE:
            return scope.name == stage.name
        case ScopeKind.TARGET:
            return any(target.name == scope.name for target in stage.targets)
        case _:
            assert_never(scope.kind)


def alarms_over(definition: Pipeline, stage: Stage) -> tuple[Alarm, ...]:
    """The defined alarms that watch a stage."""
    if definition.by_name.get(stage.name) is stage:
        return definition.watched_by[stage.name]
    return tuple(alarm for alarm in definition.alarms if covers(alarm.scope, stage))


def readings_over(state: PipelineState, definition: Pipeline, stage: Stage) -> tuple[AlarmReading, ...]:
    """Readings of alarms nobody defined, but which speak of this stage [8]."""
    defined = definition.alarm_names
    return tuple([r for r in state.alarms if r.name not in defined and covers(r.scope, stage)])


@dataclass(frozen=True, slots=True)
class Health:
    """How the alarms over a stage stand: names by state. Alarms nobody defined count only while they are red."""

    red: tuple[str, ...]
    unknown: tuple[str, ...]


ALL_WELL = Health((), ())


def health(state: PipelineState, definition: Pipeline, stage: Stage, now: datetime) -> Health:
    """Look at all alarms over a stage."""
    red, unknown = [], []
    for alarm in alarms_over(definition, stage):
        stands = alarm_state(state, alarm, now)
        if stands is AlarmState.ALARM:
            red.append(alarm.name)
        elif stands is AlarmState.UNKNOWN:
            unknown.append(alarm.name)
    for reading in readings_over(state, definition, stage):
        if reading_state(reading, now) is AlarmState.ALARM:
            red.append(reading.name)
    return Health(tuple(sorted(red)), tuple(sorted(unknown))) if red or unknown else ALL_WELL


def has_anything_running(state: PipelineState, scope: Scope, definition: Pipeline) -> bool:
    """Whether any target under a scope runs something; an alarm over nothing says nothing."""
    stages = definition.names_in(scope)
    return any(
        t.current is not None
        for t in state.targets
        if t.stage in stages and (scope.kind is not ScopeKind.TARGET or t.name == scope.name)
    )


def credited(state: PipelineState, world: World, now: datetime) -> PipelineState:
    """The state with all bakes credited up to `now` (or up to Andon's last recorded sign of life)."""
    until = now if world.observed_until is None else min(now, world.observed_until)
    for occupied in state.stages:
        if occupied.run is not None and isinstance(occupied.run.phase, Baking):
            return replace(state, stages=tuple([_credit(state, world, s, until) for s in state.stages]))
    return state


def _credit(state: PipelineState, world: World, occupied: StageState, until: datetime) -> StageState:
    run = occupied.run
    if run is None or not isinstance(run.phase, Baking) or until <= run.phase.credited_until:
        return occupied
    start = run.phase.credited_until
    definition = state.definition_of(run)
    stage = definition.by_name[occupied.name]
    end = until
    for alarm in alarms_over(definition, stage):
        blind_from = unknown_from(state, alarm, until)
        if blind_from is not None:
            end = min(end, blind_from)
    gained = max(timedelta(), end - start)
    for outage in world.outages:
        overlap = min(end, outage.until_at) - max(start, outage.from_at)
        if overlap > timedelta():
            gained -= overlap
    phase = replace(run.phase, credited=run.phase.credited + max(timedelta(), gained), credited_until=until)
    return replace(occupied, run=replace(run, phase=phase))


@quick
@dataclass(frozen=True, slots=True)
class Missing:
    """What a bake still lacks; all of it empty means that it is done."""

    time: timedelta
    points: int
    unknown: tuple[str, ...]
    red: tuple[str, ...]

    @property
    def is_nothing(self) -> bool:
        """Whether the bake is complete."""
        return not (self.time or self.points or self.unknown or self.red)


def missing(state: PipelineState, run: StageRun, stage: Stage, now: datetime) -> Missing:
    """What the bake of `run` lacks at `now`, as credited so far."""
    phase = run.phase
    assert isinstance(phase, Baking)
    seen = health(state, state.definition_of(run), stage, now)
    # Red before an entry that a person forced does not hold the bake up: only what turns afterwards counts [9].
    red = tuple(name for name in seen.red if not (run.override and name in run.red_at_entry))
    return Missing(
        time=max(timedelta(), stage.bake.duration - phase.credited),
        points=max(0, stage.bake.minimum_points - phase.points),
        unknown=seen.unknown,
        red=red,
    )


def ceiling_at(run: StageRun, stage: Stage) -> datetime | None:
    """When people are asked about a bake that does not end; None where it has no ceiling."""
    assert isinstance(run.phase, Baking)
    return run.phase.since + stage.bake.ceiling if stage.bake.ceiling else None


def next_look(state: PipelineState, run: StageRun, stage: Stage, now: datetime) -> datetime | None:
    """When a bake should be looked at again: its time is over, its ceiling is reached, or an alarm falls silent."""
    phase = run.phase
    assert isinstance(phase, Baking)
    lacks = missing(state, run, stage, now)
    moments = [becomes_unknown_at(state, alarm, now) for alarm in alarms_over(state.definition_of(run), stage)]
    if lacks.time and not lacks.unknown:
        # What was not credited yet because no sign of life is recorded for it will be, a moment later.
        moments.append(max(phase.credited_until + lacks.time, now + timedelta(milliseconds=50)))
    if not phase.asked:
        moments.append(ceiling_at(run, stage))
    return min((m for m in moments if m is not None and m > now), default=None)
