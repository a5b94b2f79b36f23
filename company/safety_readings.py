"""Small readings of a state that `safety` judges by; written without those of the core that decide."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from core.releases.calendar import Calendar, Span
from core.releases.pipeline import Scope, ScopeKind, Stage
from core.releases.state import Baking, Deploying, Override, PipelineState, Release, StageRun, TargetState, Testing

MOVING = Deploying | Testing | Baking


def run_of(state: PipelineState, name: str) -> StageRun | None:
    """Who occupies a stage."""
    return next((s.run for s in state.stages if s.name == name), None)


def covers(scope: Scope, stage: Stage) -> bool:
    """Whether what is said of a scope is said of a stage."""
    return (
        scope.kind is ScopeKind.SERVICE
        or (scope.kind is ScopeKind.GROUP and scope.name == stage.group)
        or (scope.kind is ScopeKind.STAGE and scope.name == stage.name)
        or (scope.kind is ScopeKind.TARGET and scope.name in {t.name for t in stage.targets})
    )


def is_open_by_the_clock(calendar: Calendar, at: datetime) -> bool:
    """Whether a calendar is open, read off the clock on its wall; of hours that begin and end on one day only."""
    local = at.astimezone(ZoneInfo(calendar.zone))
    hours, day = local.time(), local.date()

    def is_in(span: Span) -> bool:
        return span.is_on(day) and span.since <= hours < span.until

    return (not calendar.opens or any(map(is_in, calendar.opens))) and not any(map(is_in, calendar.closed))


def is_simple(calendar: Calendar) -> bool:
    """Whether all of its hours begin and end on one day."""
    return all(span.since < span.until for span in (*calendar.opens, *calendar.closed))


def targets_under(state: PipelineState, scope: Scope) -> Iterator[TargetState]:
    """The targets of which a scope speaks."""
    stages = {s.name for s in state.definition.stages if covers(scope, s)}
    for target in state.targets:
        if target.stage in stages and (scope.kind is not ScopeKind.TARGET or target.name == scope.name):
            yield target


def override_of(state: PipelineState, release: Release, stage: Stage, now: datetime) -> Override | None:
    """The exception that is in force for a release at a stage."""
    for override in state.overrides:
        is_seconded = override.seconded_by is not None and override.seconded_by.id != override.by.id
        is_about = override.release == release.id and override.stage == stage.name
        if is_about and now < override.expires_at and (is_seconded or not stage.is_production):
            return override
    return None
