"""A breadth-first walk through everything that can happen to a small pipeline.

States are told apart by what decisions depend on: instants become distances from now, names the core numbered are
renumbered, words for people are left out. Each step is checked for safety; at the end every state must be able to come
to rest (liveness), or it is stuck.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from core.errors import CommandRefused
from core.ports import AlarmState, TestOutcome
from core.releases import decide as decide_module
from core.releases.approvals import is_granted, scopes_of
from core.releases.blockers import active_override, pauses_over
from core.releases.decide import Decision, new_pipeline, next_wake
from core.releases.effects import StartDeployment
from core.releases.events import (
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
    StageTestReported,
    TimePassed,
)
from core.releases.pipeline import OnAlarm, Pipeline
from core.releases.state import (
    Baking,
    Change,
    Deploying,
    PipelineState,
    RollingBack,
    Stopped,
    Testing,
)
from core.releases.why import why
from tests.core.line import ANN, BOB, CAROL, CI, EVE, PRODUCTION, START, WORLD

FORGOTTEN = frozenset(
    {
        "reason", "title", "url", "detail", "note", "runbook", "definition", "pinned", "artifact", "announced_at",
        "changes", "at", "since", "requested_at", "entered_at", "observed_at", "asked_at", "first_at", "counter", "by",
        "stale_after", "digest", "contributors", "done_units", "all_units", "resolved", "credited_until", "reminded_at",
    }
)  # fmt: skip
"""Fields that no decision here rests on: words, and instants that are only told."""

LONGEST = 3 * 3600


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


Decide = Callable[[PipelineState, Event, Any, datetime], Decision]


def walk(
    definition: Pipeline,
    *,
    versions: int = 2,
    with_people: frozenset[str] = frozenset(),
    with_unknown: bool = False,
    with_failures: bool = False,
    limit: int = 200_000,
    decide: Decide = decide_module.decide,
) -> Walk:
    """Visit every reachable state; `with_people` names what people do besides what must be done."""
    found = Walk()
    start = (new_pipeline(definition), START)
    ids: dict[Any, int] = {canonical(*start): 0}
    queue = deque([(0, *start)])
    came: list[tuple[int, Event] | None] = [None]
    followers: list[list[int]] = [[]]
    at_rest = [is_at_rest(start[0])]
    while queue:
        number, state, now = queue.popleft()
        for event, at in _possible(state, now, versions, with_people, with_unknown, with_failures):
            found.transitions += 1
            try:
                decision = decide(state, event, WORLD, at)
            except CommandRefused:
                found.refused += 1
                continue
            for problem in _problems(state, event, decision, at):
                found.unsafe.append(f"{problem}: {_story(came, number, event)}")
            found.seen_phases.update(s.run.phase.kind for s in decision.state.stages if s.run)
            key = canonical(decision.state, at)
            if key not in ids:
                ids[key] = len(followers)
                followers.append([])
                came.append((number, event))
                at_rest.append(is_at_rest(decision.state))
                queue.append((ids[key], decision.state, at))
                assert len(followers) <= limit, f"more than {limit} states: make the pipeline smaller"
            followers[number].append(ids[key])
    found.states = len(followers)
    stuck = _stuck(followers, at_rest)
    found.stuck = [_story(came, number) for number in stuck]
    return found


def _story(came: list[tuple[int, Event] | None], number: int, last: Event | None = None) -> str:
    """How a state is reached, in as few events as can be."""
    events = [last] if last is not None else []
    while (step := came[number]) is not None:
        number = step[0]
        events.append(step[1])
    return " → ".join(_short(event) for event in reversed(events))


def _short(event: Event) -> str:
    about = [getattr(event, name, "") for name in ("version", "key", "alarm_state", "stage", "scope_name", "choice")]
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


def _possible(
    state: PipelineState,
    now: datetime,
    versions: int,
    people: frozenset[str],
    with_unknown: bool,
    with_failures: bool,
) -> Iterator[tuple[Event, datetime]]:
    known = {r.version for r in state.releases}
    for n in range(1, versions + 1):
        version = f"v{n}"
        if version not in known:
            change = Change(id=version, authors=("dave@example.com",))
            yield ReleaseAnnounced(
                version=version, digest=version, artifact=version, by=CI, changes=(change,),
                fixes=tuple(f"v{k}" for k in range(1, n)),
            ), now
            break
    for target in state.targets:
        at = target.deployment
        if at is None:
            continue
        if not at.ref:
            yield DeploymentStarted(key=at.key, ref=f"ref{at.key}"), now
        yield DeploymentSucceeded(key=at.key), now
        if at.phase == "cancelling":
            yield DeploymentCancelled(key=at.key), now
        if with_failures:
            yield DeploymentFailed(key=at.key, reason="no"), now
            if at.phase == "running":
                yield DeploymentLost(key=at.key, reason="time-out"), now
    for occupied in state.stages:
        if occupied.run is not None and isinstance(occupied.run.phase, Testing):
            for test in occupied.run.phase.tests:
                if not test.outcome:
                    for outcome in TestOutcome:
                        yield StageTestReported(key=test.key, outcome=outcome), now
    for alarm in state.definition.alarms:
        for alarm_state in AlarmState:
            if alarm_state is AlarmState.UNKNOWN and not with_unknown:
                continue
            # A moment later, so that one episode can be told from the next.
            moment = now + timedelta(microseconds=1)
            yield AlarmReported(
                alarm=alarm.name, key="k", alarm_state=alarm_state, observed_at=moment, scope=PRODUCTION, points=100
            ), moment
    wake = next_wake(state, WORLD, now)
    if wake is not None and wake - START < timedelta(days=400):
        yield TimePassed(), wake
    yield from ((event, now) for event in _asked(state, people))


def _asked(state: PipelineState, people: frozenset[str]) -> Iterator[Event]:
    for request in state.approvals:
        yield ApproveRequested(by=BOB, request_id=request.id)
        if "second approver" in people:
            yield ApproveRequested(by=CAROL, request_id=request.id)
        if "reject" in people:
            yield RejectRequested(by=BOB, request_id=request.id, reason="no")
    for occupied in state.stages:
        if occupied.run is not None and isinstance(occupied.run.phase, Stopped):
            yield RetryRequested(by=ANN, stage=occupied.name)
    if any(t.deployment is not None and t.deployment.phase in ("unknown", "cancelling") for t in state.targets):
        yield ReconcileRequested(by=ANN, choice="dead")
    for release in state.releases:
        if "cancel" in people and release.is_live:
            yield CancelRequested(by=ANN, version=release.version, reason="no")
        if "promote" in people:
            yield PromoteRequested(by=ANN, version=release.version)
        if "lift" in people:
            yield LiftRequested(by=CAROL, version=release.version, reason="looked at")
        if "override" in people and release.is_live:
            for stage in state.definition.stages:
                yield OverrideRequested(by=CAROL, version=release.version, stage=stage.name, reason="urgent")
                yield OverrideRequested(by=ANN, version=release.version, stage=stage.name, reason="urgent")
    if "rollback" in people:
        for stage in state.definition.stages:
            yield RollbackRequested(by=ANN, scope_name=stage.name, reason="looks wrong")
    if "pause" in people and not state.pauses:
        yield PauseRequested(by=EVE, reason="hold")
    if state.pauses:
        yield ResumeRequested(by=ANN)
    # Whatever is stopped for good can be taken off the line: the way out that a person always has.
    if "cancel" not in people:
        for occupied in state.stages:
            if occupied.run is not None and isinstance(occupied.run.phase, Stopped):
                release = state.released(occupied.run.release)
                yield CancelRequested(by=ANN, version=release.version, reason="no")


# ---- what must hold at every step -----------------------------------------------------------------------------------


def _problems(before: PipelineState, event: Event, decision: Decision, now: datetime) -> Iterator[str]:
    after = decision.state
    old = {t.name: t for t in before.targets}
    started = [e for e in decision.effects if isinstance(e, StartDeployment)]
    for effect in started:
        at = old[effect.target].deployment
        ended = not at or any(
            isinstance(event, kind) and event.key == at.key
            for kind in (DeploymentSucceeded, DeploymentFailed, DeploymentCancelled)
        )
        if not ended and not (isinstance(event, ReconcileRequested) and event.choice == "dead"):
            yield f"a deployment on {effect.target} was started on top of one that may be alive [26]"
        if not effect.is_rollback:
            yield from _forward_problems(before, after, effect, now)
        elif effect.what.digest not in {g.digest for g in old[effect.target].good} | {
            old[effect.target].current.digest if old[effect.target].current else ""
        }:
            yield f"{effect.target} goes back to {effect.what.version}, which is not known good there [13]"
    yield from _alarm_problems(before, event, after)
    yield from _rest_problems(before, after, now)
    if (wake := next_wake(after, WORLD, now)) is not None and wake <= now:
        yield "it wants to be woken in the past"


def _forward_problems(
    before: PipelineState, after: PipelineState, effect: StartDeployment, now: datetime
) -> Iterator[str]:
    release = after.released(effect.what.release)
    stage = after.definition.by_name[effect.stage]
    was = before.stage(effect.stage).run
    for name in stage.after:
        if name not in release.passed:
            yield f"{release.version} entered {stage.name} without having passed {name} [1]"
    for mark in before.bad:
        here_or_later = mark.stage == stage.name or after.definition.follows(stage.name, mark.stage)
        if mark.digest == release.digest and here_or_later and mark in after.bad:
            yield f"{release.version} is bad in {mark.stage} and was deployed to {stage.name} again [15]"
    if was is not None and was.release == release.id:
        return
    if active_override(after, release, stage, now) is not None:
        return
    if pauses_over(after, stage, now):
        yield f"{release.version} entered {stage.name} in a pause [21]"
    for scope, _ in scopes_of(after.definition, stage):
        asked = [r for r in after.approvals if r.release == release.id and r.scope == scope]
        if not any(is_granted(after, r, WORLD, now) for r in asked):
            yield f"{release.version} entered {stage.name} without approval [19]"
    for reading in after.alarms:
        runs = any(t.current is not None for t in after.targets if after.definition.by_name[t.stage].group)
        if stage.group and reading.firing and runs and was is None:
            yield f"{release.version} entered {stage.name} in alarm [9]"


def _alarm_problems(before: PipelineState, event: Event, after: PipelineState) -> Iterator[str]:
    if not isinstance(event, AlarmReported) or event.alarm_state is not AlarmState.ALARM:
        return
    reading = before.reading(event.alarm)
    if reading is not None and reading.firing:
        return
    for occupied in before.stages:
        stage = before.definition.by_name[occupied.name]
        if not stage.group or stage.on_alarm is not OnAlarm.ROLLBACK:
            continue
        moving = occupied.run is not None and isinstance(occupied.run.phase, Deploying | Testing | Baking)
        if moving or occupied.watch is not None:
            now_there = after.stage(occupied.name).run
            was = occupied.run.release if occupied.run else occupied.watch.release if occupied.watch else ""
            if now_there is None:
                if any(
                    t.current and t.current.release == was and len(t.good) > 1 for t in after.targets_of(occupied.name)
                ):
                    yield f"{occupied.name} did not react to the alarm [8]"
            elif not isinstance(now_there.phase, RollingBack | Stopped):
                yield f"{occupied.name} goes on in alarm [8]"


def _rest_problems(before: PipelineState, after: PipelineState, now: datetime) -> Iterator[str]:
    for release in after.releases:
        if release.status.kind == "completed" and not after.definition.last_stages <= set(release.passed):
            yield f"{release.version} is complete without having passed the last stage"
    old = {t.name: {g.digest for g in t.good} for t in before.targets}
    for target in after.targets:
        for good in target.good:
            if good.digest in old[target.name]:
                continue
            was = before.stage(target.stage).run
            if was is None or not isinstance(was.phase, Baking | Deploying | Testing) or was.release != good.release:
                yield f"{good.version} counts as good on {target.name} without having baked there [13]"
    explained = {r.release.id for r in why(after, WORLD, now) if r.reasons or r.doing}
    for release in after.releases:
        if release.is_live and release.id not in explained:
            yield f"{release.version} is held without a reason [25]"


# ---- telling states apart -------------------------------------------------------------------------------------------

_FIELDS: dict[type, tuple[str, ...]] = {}


def canonical(state: PipelineState, now: datetime) -> Any:
    """What decisions depend on, hashable and free of names and absolute time."""
    names: dict[str, int] = {}
    return _canonical(state, now, names)


def _canonical(value: Any, now: datetime, names: dict[str, int]) -> Any:
    if isinstance(value, str):
        return names.setdefault(value, len(names)) if value.startswith("shop:") else value
    if isinstance(value, tuple):
        return tuple([_canonical(v, now, names) for v in value])
    if isinstance(value, datetime):
        return min(max(round((value - now).total_seconds()), 0), LONGEST)
    if isinstance(value, timedelta):
        return round(value.total_seconds())
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        fields = _FIELDS.get(kind)
        if fields is None:
            fields = _FIELDS[kind] = tuple(f.name for f in dataclasses.fields(kind) if f.name not in FORGOTTEN)
        if kind.__name__ == "TargetState":
            recent = value.rolled_back_at is not None and now - value.rolled_back_at < timedelta(hours=2)
            rest = tuple([_canonical(getattr(value, f), now, names) for f in fields if f != "rolled_back_at"])
            return (*rest, recent)
        if kind.__name__ == "AlarmReading":
            return (value.name, bool(value.firing), value.is_unknown)
        return (kind.__name__, *[_canonical(getattr(value, f), now, names) for f in fields])
    return value
