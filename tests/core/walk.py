"""A breadth-first walk through everything that can happen to a small pipeline.

States are told apart by what decisions depend on (`canonical`). Each step is checked for safety (`company.safety`);
at the end every state must be able to come to rest (liveness), or it is stuck.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from company.safety import problems
from core.errors import CommandRefused
from core.ports import AlarmState, TestOutcome
from core.releases import decide as decide_module
from core.releases.decide import Decision, new_pipeline, next_wake
from core.releases.events import (
    AcknowledgeRequested,
    AlarmReported,
    ApproveRequested,
    CancelRequested,
    DeploymentCancelled,
    DeploymentFailed,
    DeploymentLost,
    DeploymentStarted,
    DeploymentSucceeded,
    Event,
    LiftRequested,
    OverrideRequested,
    PauseRequested,
    PromoteRequested,
    ReconcileRequested,
    RejectRequested,
    ReleaseAnnounced,
    ResumeRequested,
    RetryRequested,
    RollbackRequested,
    RunningVersionObserved,
    StageTestReported,
    TimePassed,
    WorldChanged,
)
from core.releases.pipeline import Bake, Pipeline
from core.releases.state import (
    AlarmReading,
    Baking,
    Change,
    Deploying,
    PipelineState,
    RollingBack,
    StageRun,
    Stopped,
    TargetState,
    Testing,
    Watch,
)
from core.releases.world import Freeze, World
from tests.core.line import ANN, BOB, CAROL, CI, EVE, START, WORLD

Decide = Callable[[PipelineState, Event, World, datetime], Decision]
Step = tuple[int, Event] | None


@dataclass
class Walk:
    """What was visited: counts, and whatever was unsafe or stuck."""

    states: int = 0
    transitions: int = 0
    refused: int = 0
    unsafe: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    seen_phases: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        return (
            f"{self.states} states, {self.transitions} transitions ({self.refused} refused): "
            f"{len(self.unsafe)} unsafe, {len(self.stuck)} stuck"
        )


@dataclass(frozen=True, kw_only=True)
class Happenings:
    """What can happen besides what must: how many releases come, what people do, what goes wrong."""

    versions: int = 2
    people: frozenset[str] = frozenset()
    unknown: bool = False
    failures: bool = False
    starts: bool = False
    """Whether it is told apart if a deployment was taken already; it seldom matters."""
    drift: bool = False
    one_way: frozenset[str] = frozenset()


def walk(
    definition: Pipeline,
    *,
    versions: int = 2,
    with_people: frozenset[str] = frozenset(),
    with_unknown: bool = False,
    with_failures: bool = False,
    with_starts: bool = False,
    with_drift: bool = False,
    one_way: frozenset[str] = frozenset(),
    limit: int = 200_000,
    stop_at: str = "",
    decide: Decide = decide_module.decide,
) -> Walk:
    """Visit every reachable state; `with_people` names what people do besides what must be done.

    `stop_at`: end with the first problem that speaks of this.
    """
    can = Happenings(
        versions=versions,
        people=with_people,
        unknown=with_unknown,
        failures=with_failures,
        starts=with_starts,
        drift=with_drift,
        one_way=one_way,
    )
    found = Walk()
    start = (new_pipeline(definition), START)
    ids: dict[Any, int] = {canonical(*start): 0}
    queue = deque([(0, *start, WORLD)])
    came: list[Step] = [None]
    followers: list[list[int]] = [[]]
    at_rest = [is_at_rest(start[0])]
    while queue:
        number, state, now, before = queue.popleft()
        for event, at in possible(state, now, can, before):
            found.transitions += 1
            world = _world_after(before, event, at)
            try:
                decision = decide(state, event, world, at)
            except CommandRefused:
                found.refused += 1
                continue
            for problem in problems(state, event, decision, world, at):
                found.unsafe.append(f"{problem}: {_story(came, number, event)}")
            if stop_at and any(stop_at in problem for problem in found.unsafe):
                return found
            found.seen_phases.update(s.run.phase.kind for s in decision.state.stages if s.run)
            key = canonical(decision.state, at, world)
            if key not in ids:
                ids[key] = len(followers)
                followers.append([])
                came.append((number, event))
                at_rest.append(is_at_rest(decision.state))
                queue.append((ids[key], decision.state, at, world))
                assert len(followers) <= limit, f"more than {limit} states: make the pipeline smaller"
            followers[number].append(ids[key])
    found.states = len(followers)
    found.stuck = [_story(came, number) for number in _stuck(followers, at_rest)]
    return found


def _story(came: list[Step], number: int, last: Event | None = None) -> str:
    """How a state is reached, in as few events as can be."""
    events = [last] if last is not None else []
    while (step := came[number]) is not None:
        number = step[0]
        events.append(step[1])
    return " → ".join(_short(event) for event in reversed(events))


def _short(event: Event) -> str:
    names = ("version", "key", "alarm_state", "stage", "scope_name", "choice", "what")
    about = [getattr(event, name, "") for name in names]
    return f"{type(event).__name__}({', '.join(str(a) for a in about if a)})"


def is_at_rest(state: PipelineState) -> bool:
    """Nothing on its way and nothing in flight: where every story can end."""
    return not any(r.is_live for r in state.releases) and not any(s.run for s in state.stages)


def _stuck(followers: list[list[int]], at_rest: list[bool]) -> list[int]:
    before: list[list[int]] = [[] for _ in followers]
    for number, nexts in enumerate(followers):
        for other in nexts:
            before[other].append(number)
    reached = {n for n, rest in enumerate(at_rest) if rest}
    queue = deque(reached)
    while queue:
        for other in before[queue.popleft()]:
            if other not in reached:
                reached.add(other)
                queue.append(other)
    return [number for number in range(len(followers)) if number not in reached]


# ---- what can happen ------------------------------------------------------------------------------------------------


def _world_after(world: World, event: Event, at: datetime) -> World:
    """A freeze of everything is placed, or lifted; what is over for longer than the spread changes nothing more."""
    freezes = tuple(f for f in world.freezes if f.ends_at is None or at < f.ends_at + world.spread)
    if isinstance(event, WorldChanged) and event.what == "freeze":
        # What was lifted before opens nothing any more while this one is on, and less than it afterwards.
        freezes = (Freeze("f", at, None, "stop", by=CAROL),)
    if isinstance(event, WorldChanged) and event.what == "unfreeze":
        freezes = tuple(replace(f, ends_at=f.ends_at or at) for f in freezes)
    return replace(world, freezes=freezes) if freezes != world.freezes else world


def possible(
    state: PipelineState, now: datetime, can: Happenings, world: World = WORLD
) -> Iterator[tuple[Event, datetime]]:
    """Everything that can happen next, each with the moment at which it does."""
    if "freeze" in can.people:
        yield WorldChanged(what="unfreeze" if any(f.ends_at is None for f in world.freezes) else "freeze"), now
    wake = next_wake(state, world, now)
    if wake is not None:
        yield TimePassed(), wake
    for event in (*_announced(state, can), *_deployed(state, can), *_observed(state, now, can), *_asked(state, can)):
        yield event, now


def _announced(state: PipelineState, can: Happenings) -> Iterator[Event]:
    known = {r.version for r in state.releases}
    fresh = next((n for n in range(1, can.versions + 1) if f"v{n}" not in known), None)
    if fresh is not None:
        version = f"v{fresh}"
        yield ReleaseAnnounced(
            version=version,
            digest=version,
            artifact=version,
            by=CI,
            changes=(Change(id=version, authors=("dave@example.com",)),),
            fixes=tuple(f"v{k}" for k in range(1, fresh)),
            is_one_way=version in can.one_way,
        )


def _deployed(state: PipelineState, can: Happenings) -> Iterator[Event]:
    for target in state.targets:
        at = target.deployment
        if at is None:
            continue
        if can.starts and not at.ref:
            yield DeploymentStarted(key=at.key, ref=f"ref{at.key}")
        yield DeploymentSucceeded(key=at.key)
        if at.phase == "cancelling":
            yield DeploymentCancelled(key=at.key)
        if can.failures:
            yield DeploymentFailed(key=at.key, reason="no")
            if at.phase != "unknown" and not at.note:
                yield DeploymentLost(key=at.key, reason="time-out")


def _observed(state: PipelineState, now: datetime, can: Happenings) -> Iterator[Event]:
    for occupied in state.stages:
        if occupied.run is not None and isinstance(occupied.run.phase, Testing):
            for test in occupied.run.phase.tests:
                if not test.outcome:
                    for outcome in TestOutcome:
                        yield StageTestReported(key=test.key, outcome=outcome)
    for alarm in state.definition.alarms:
        reading = state.reading(alarm.name)
        firing = reading.firing if reading else ()
        for alarm_state in AlarmState:
            if alarm_state is AlarmState.UNKNOWN and not can.unknown:
                continue
            # Each episode is an alert of its own; what is over is the one that fires.
            key = firing[0][0] if firing else f"k{state.counter}"
            yield AlarmReported(
                alarm=alarm.name, key=key, alarm_state=alarm_state, observed_at=now, scope=alarm.scope, points=100
            )
    if can.drift:
        for target in state.targets:
            if target.current is not None:
                yield RunningVersionObserved(target=target.name, digest="by-hand", version="by-hand")
                yield RunningVersionObserved(target=target.name, digest=target.current.digest)


def _asked(state: PipelineState, can: Happenings) -> Iterator[Event]:
    people = can.people
    for request in state.approvals:
        yield ApproveRequested(by=BOB, request_id=request.id)
        if "second approver" in people:
            yield ApproveRequested(by=CAROL, request_id=request.id)
        if "reject" in people:
            yield RejectRequested(by=BOB, request_id=request.id, reason="no")
    stopped = [s.run for s in state.stages if s.run is not None and isinstance(s.run.phase, Stopped)]
    for occupied in state.stages:
        if occupied.run in stopped:
            yield RetryRequested(by=ANN, stage=occupied.name)
    if any(t.deployment is not None and t.deployment.phase in ("unknown", "cancelling") for t in state.targets):
        yield ReconcileRequested(by=ANN, choice="dead")
    if any(t.drift for t in state.targets):
        yield ReconcileRequested(by=ANN, choice="keep")
        yield ReconcileRequested(by=ANN, choice="restore")
    for release in state.releases:
        # Whatever is stopped for good can be taken off the line: the way out that a person always has.
        if ("cancel" in people and release.is_live) or any(run.release == release.id for run in stopped):
            yield CancelRequested(by=ANN, version=release.version, reason="no")
        if "promote" in people:
            yield PromoteRequested(by=ANN, version=release.version)
        if "lift" in people:
            yield LiftRequested(by=CAROL, version=release.version, reason="looked at")
        if "override" in people and release.is_live:
            for stage in (s for s in state.definition.stages if s.is_production):
                yield OverrideRequested(by=CAROL, version=release.version, stage=stage.name, reason="urgent")
                yield OverrideRequested(by=ANN, version=release.version, stage=stage.name, reason="urgent")
    if "rollback" in people:
        for stage in state.definition.stages:
            yield RollbackRequested(by=ANN, scope_name=stage.name, reason="looks wrong")
    if "pause" in people and not state.pauses:
        yield PauseRequested(by=EVE, reason="hold")
    if state.pauses:
        yield ResumeRequested(by=ANN)
    if state.pages:
        yield AcknowledgeRequested(by=ANN)


# ---- telling states apart -------------------------------------------------------------------------------------------


def canonical(state: PipelineState, now: datetime, world: World = WORLD) -> Any:
    """What decisions depend on, hashable and free of names and absolute time.

    Left out: words for people, and instants that are only told (when people are reminded of a pause). Names the core
    numbered are not needed: a deployment is known by its target, a request by release and scope. Alarms here have no
    starts of their own, hence neither the starts of episodes nor the entry of a run matter. Definitions do not change.
    """
    versions = {r.id: r.version for r in state.releases}
    calls = state.definition.page_times

    def away(at: datetime | None) -> float | None:
        return None if at is None else max(0.0, (at - now).total_seconds())

    return (
        tuple([(r.version, r.passed, r.goal, r.picked, r.status.kind) for r in state.releases]),
        tuple(
            [
                (
                    s.run and _run_key(s.run, versions, state.definition.by_name[s.name].bake, now),
                    s.watch and _watch_key(s.watch, versions, now),
                )
                for s in state.stages
            ]
        ),
        tuple([_target_key(t, state, now) for t in state.targets]),
        tuple([(m.version, m.stage, tuple([versions[r] for r in m.lifted_for]), m.is_healed) for m in state.bad]),
        state.missing_artifacts,
        tuple(
            [
                (versions[r.release], r.scope, r.replaces, away(r.expires_at), tuple([v.by.id for v in r.votes]))
                for r in state.approvals
            ]
        ),
        tuple([(p.by.id, p.scope, away(p.until)) for p in state.pauses]),
        tuple(
            [
                (versions[o.release], o.stage, o.by.id, o.seconded_by and o.seconded_by.id, away(o.expires_at))
                for o in state.overrides
                if any(r.id == o.release and r.is_live and o.stage not in r.passed for r in state.releases)
            ]
        ),
        tuple([_reading_key(r) for r in state.alarms]),
        frozenset([(p.stage, p.sent, p.sent < calls and away(p.next_at)) for p in state.pages]),
        tuple([f.ends_at and now - f.ends_at for f in world.freezes]),
        # Windows are daily on these walks: only the time of day matters.
        (now - START) % timedelta(days=1) if state.definition.calendars else None,
        state.gates,
    )


def _run_key(run: StageRun, versions: dict[str, str], bake: Bake, now: datetime) -> Any:
    phase = run.phase
    about: Any = ()
    match phase:
        case Deploying():
            about = tuple([name.partition(" ")[0] for name in phase.failed])
        case Testing():
            about = tuple([test.outcome for test in phase.tests])
        case Baking():
            # More than enough is enough; the ceiling is of no interest once people were asked.
            credit = min(bake.duration, phase.credited + (now - phase.credited_until))
            late = phase.asked or min(bake.ceiling, now - phase.since)
            about = (credit, min(bake.minimum_points, phase.points), late)
        case Stopped():
            about = (phase.cause, phase.alarm)
        case RollingBack():
            about = (phase.is_automatic, phase.ends_in_stop, tuple([(t, g.version) for t, g in phase.plan]))
    return (versions[run.release], phase.kind, about, run.red_at_entry, bool(run.override))


def _watch_key(watch: Watch, versions: dict[str, str], now: datetime) -> Any:
    left = max(timedelta(), watch.until - now)
    settles = None if watch.settles_at is None else watch.settles_at - now
    return (versions[watch.release], left, watch.red_at_entry, watch.spared, settles)


def _target_key(target: TargetState, state: PipelineState, now: datetime) -> Any:
    at = target.deployment
    back = target.rolled_back_at
    guarded = max(timedelta(), back + state.definition.rollback_guard - now) if back is not None else None
    return (
        target.current and target.current.version,
        tuple([g.version for g in target.good]),
        at and (at.what.version, at.is_rollback, at.is_automatic, at.phase, bool(at.ref), bool(at.note)),
        target.is_mixed,
        target.mixed_with and target.mixed_with.version,
        target.drift_digest,
        guarded,
    )


def _reading_key(reading: AlarmReading) -> Any:
    return (reading.name, bool(reading.firing), reading.is_unknown)
