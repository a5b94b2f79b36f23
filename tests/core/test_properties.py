"""Larger pipelines, random events in random order, repeated and stale: what holds on every walk holds here too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from company.safety import problems
from core.errors import CommandRefused
from core.ports import AlarmState, TestOutcome
from core.releases.blockers import blockers
from core.releases.decide import decide, new_pipeline, next_wake
from core.releases.events import (
    AcknowledgeRequested,
    AlarmReported,
    ApproveRequested,
    CancelRequested,
    DefinitionApplied,
    DeploymentCancelled,
    DeploymentFailed,
    DeploymentLost,
    DeploymentProgressed,
    DeploymentStarted,
    DeploymentSucceeded,
    Event,
    HeartbeatHeard,
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
from core.releases.pipeline import (
    SERVICE,
    Alarm,
    ApprovalRule,
    Bake,
    Batch,
    Group,
    OnAlarm,
    Order,
    Pipeline,
    Scope,
    ScopeKind,
    Siblings,
    Stage,
    StageTest,
    Target,
)
from core.releases.rest import shaken
from core.releases.state import Change, PipelineState
from core.releases.state import Testing as InTests
from core.releases.why import why
from core.releases.world import Freeze, World
from tests.core.line import ANN, BOB, CAROL, CI, DAVE, EVE, START, WORLD

Draw = Callable[[Any], Any]
"""Draws a value from a strategy; Hypothesis gives it to what it composes, and `data.draw` is one."""

MINUTE = timedelta(minutes=1)
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
BAKES = [Bake(), Bake(duration=5 * MINUTE, ceiling=20 * MINUTE), Bake(duration=MINUTE, minimum_points=5)]
PEOPLE = (ANN, BOB, CAROL, DAVE, EVE)

# ---- pipelines ----


@st.composite
def stages(draw: st.DrawFn) -> tuple[Stage, ...]:
    """Up to six stages with branches and fan-in, of one to six targets each."""
    made: list[Stage] = []
    for n in range(draw(st.integers(1, 6))):
        before = [s.name for s in made]
        after = draw(st.sets(st.sampled_from(before), min_size=1, max_size=2)) if before else set()
        group = draw(st.sampled_from(["", "production"])) if n else ""
        made.append(
            Stage(
                name=f"s{n}",
                targets=tuple(
                    Target(name=f"s{n}t{k}", zone=draw(st.sampled_from("ab"))) for k in range(draw(st.integers(1, 6)))
                ),
                after=tuple(sorted(after)),
                group=group,
                is_production=bool(group),
                is_one_box=draw(st.booleans()),
                tests=(StageTest(name="smoke", uses="command"),) if draw(st.integers(0, 3)) == 0 else (),
                bake=draw(st.sampled_from(BAKES)),
                watch=draw(st.sampled_from([timedelta(), 10 * MINUTE])),
                on_alarm=draw(st.sampled_from(list(OnAlarm))),
                siblings=draw(st.sampled_from(list(Siblings))),
                batch=draw(st.sampled_from([Batch(), Batch(forward_percent=100, back_percent=100, healthy_percent=0)])),
                approval=ApprovalRule(by=("approvers",)) if draw(st.integers(0, 5)) == 0 else None,
            )
        )
    return tuple(made)


@st.composite
def pipelines(draw: st.DrawFn, revision: str = "r1") -> Pipeline:
    line = draw(stages())
    has_group = any(s.group for s in line)
    rule = draw(st.sampled_from([None, ApprovalRule(by=("approvers",)), ApprovalRule(count=2, by=("approvers",))]))
    scopes = [SERVICE, Scope(ScopeKind.STAGE, line[-1].name), Scope(ScopeKind.TARGET, line[-1].targets[0].name)]
    if has_group:
        scopes.append(Scope(ScopeKind.GROUP, "production"))
    alarms = [Alarm(name="errors", source="webhook", scope=draw(st.sampled_from(scopes)), silence_is_ok=True)]
    if draw(st.integers(0, 3)) == 0:
        alarms.append(Alarm(name="canary", source="canary", counts_as_evidence=True, stale_after=10 * MINUTE))
    return Pipeline(
        id="shop", service="shop", team="shop", channel="#shop", revision=revision, stages=line,
        groups=(Group(name="production", approval=rule),) if has_group else (), alarms=tuple(alarms),
        order=draw(st.sampled_from(list(Order))), page_times=2,
    )  # fmt: skip


# ---- what happens ----


@dataclass
class Play:
    """One story under way: the state, the clock, and what was already said (to say it again)."""

    definition: Pipeline
    world: World = WORLD
    now: datetime = START
    said: list[Event] = field(default_factory=list)
    state: PipelineState = field(init=False)

    def __post_init__(self) -> None:
        self.state = new_pipeline(self.definition)

    def happens(self, event: Event) -> None:
        """Decide it; check all that must hold; two times the same is the same."""
        try:
            decision = decide(self.state, event, self.world, self.now)
        except CommandRefused:
            assert hasattr(event, "by"), "only people are refused"
            return
        assert decide(shaken(self.state), event, self.world, self.now) == decision, "nothing but time is saved at rest"
        found = list(problems(self.state, event, decision, self.world, self.now))
        assert found == [], found
        assert len({e.key for e in decision.effects}) == len(decision.effects)
        self.state = decision.state
        self.said.append(event)


def next_event(draw: Draw, play: Play) -> Event:
    """Something that can happen: mostly what makes sense now, sometimes what was said before."""
    state, now = play.state, play.now
    person = draw(st.sampled_from(PEOPLE))
    version = f"v{draw(st.integers(1, 5))}"
    names = ["", *(s.name for s in play.state.definition.stages), "production", "nowhere"]
    name = draw(st.sampled_from(names))
    keys = [t.deployment.key for t in state.targets if t.deployment is not None] or ["shop:d0"]
    key = draw(st.sampled_from(keys))
    tests = [t.key for s in state.stages if s.run and isinstance(s.run.phase, InTests) for t in s.run.phase.tests] or [
        "shop:test0"
    ]
    target = draw(st.sampled_from([t.name for t in state.targets]))
    alarm = draw(st.sampled_from(state.definition.alarms))
    began = draw(st.sampled_from([None, now, now - timedelta(hours=1)]))
    makers: dict[str, Callable[[], Any]] = {
        "again": lambda: draw(st.sampled_from(play.said)) if play.said else TimePassed(),
        "announced": lambda: ReleaseAnnounced(
            version=version, digest=f"sha256:{version}", artifact=version, by=CI,
            changes=(Change(id="c", authors=("dave@example.com",)),),
            fixes=draw(st.sampled_from([(), ("v1", "v2", "v3", "v4")])),
            ancestors=draw(st.sampled_from([None, (), ("v1",)])),
            is_one_way=draw(st.integers(0, 8)) == 0,
        ),
        "started": lambda: DeploymentStarted(key=key, ref="r"),
        "progressed": lambda: DeploymentProgressed(key=key, done_units=1, all_units=2),
        "succeeded": lambda: DeploymentSucceeded(key=key),
        "failed": lambda: DeploymentFailed(
            key=key, reason="no", nothing_begun=draw(st.booleans()), artifact_missing=draw(st.booleans())
        ),
        "cancelled": lambda: DeploymentCancelled(key=key),
        "lost": lambda: DeploymentLost(key=key, reason="time-out"),
        "observed": lambda: RunningVersionObserved(
            target=target, digest=draw(st.sampled_from([None, "sha256:v1", "sha256:by-hand"]))
        ),
        "tested": lambda: StageTestReported(
            key=draw(st.sampled_from(tests)), outcome=draw(st.sampled_from([*TestOutcome, TestOutcome.PASSED]))
        ),
        "alarm": lambda: AlarmReported(
            alarm=alarm.name, key="k", alarm_state=draw(st.sampled_from(list(AlarmState))), observed_at=now,
            scope=alarm.scope, started_at=began, points=10,
        ),
        "heartbeat": lambda: HeartbeatHeard(alarm=alarm.name, at=now),
        "time": TimePassed,
        "world": WorldChanged,
        "promote": lambda: PromoteRequested(by=person, version=draw(st.sampled_from(["", version])), to_stage=name),
        "pause": lambda: PauseRequested(
            by=person, reason="hold", scope_name=name, duration=draw(st.sampled_from([None, 5 * MINUTE]))
        ),
        "resume": lambda: ResumeRequested(by=person),
        "rollback": lambda: RollbackRequested(
            by=person, reason="slow", scope_name=name, everywhere=draw(st.booleans()),
            to_version=draw(st.sampled_from(["", "", version])),
        ),
        "approve": lambda: ApproveRequested(by=person),
        "reject": lambda: RejectRequested(by=person, reason="no"),
        "override": lambda: OverrideRequested(by=person, version=version, stage=name, reason="urgent"),
        "lift": lambda: LiftRequested(by=person, version=version, reason="looked"),
        "reconcile": lambda: ReconcileRequested(by=person, choice=draw(st.sampled_from(["keep", "restore", "dead"]))),
        "retry": lambda: RetryRequested(by=person, stage=draw(st.sampled_from(["", name]))),
        "cancel": lambda: CancelRequested(by=person, reason="no", version=version),
        "acknowledge": lambda: AcknowledgeRequested(by=person),
    }  # fmt: skip
    likely = ["announced", "succeeded", "succeeded", "succeeded", "succeeded", "time", "time", "approve", "tested"]
    made: Event = makers[draw(st.sampled_from([*makers, *likely, *likely]))]()
    return made


def time_moves(draw: Draw, play: Play) -> None:
    """On by a little, or to where the pipeline wants to be woken."""
    wake = next_wake(play.state, play.world, play.now)
    steps = [timedelta(), timedelta(seconds=1), MINUTE, 3 * MINUTE]
    if wake is not None:
        assert wake > play.now
        steps += [wake - play.now, wake - play.now]
    play.now += draw(st.sampled_from(steps))


@QUICK
@given(st.data())
def test_whatever_happens_it_is_safe_and_only_people_are_refused(data: st.DataObject):
    play = Play(data.draw(pipelines()))
    for _ in range(data.draw(st.integers(10, 60))):
        time_moves(data.draw, play)
        play.happens(next_event(data.draw, play))


@settings(parent=QUICK, max_examples=30)
@given(st.data())
def test_whatever_happens_while_definitions_change(data: st.DataObject):
    play = Play(data.draw(pipelines()))
    for n in range(data.draw(st.integers(10, 40))):
        time_moves(data.draw, play)
        if data.draw(st.integers(0, 6)) == 0:
            event: Event = DefinitionApplied(definition=data.draw(pipelines(f"r{n + 2}")), by=ANN)
        else:
            event = next_event(data.draw, play)
        play.happens(event)


# ---- time ----


def quiet_line(data: st.DataObject) -> Play:
    """A story that has come to where nothing but time is waited for: deployments and tests all end well."""
    definition = data.draw(pipelines())
    # Canaries fall silent when nothing else happens, and then nothing comes true by time alone.
    definition = replace(definition, alarms=tuple(a for a in definition.alarms if a.silence_is_ok))
    play = Play(definition)
    if data.draw(st.booleans()):
        scopes = frozenset({data.draw(st.sampled_from(["s1", "production"]))})
        play.world = replace(WORLD, freezes=(Freeze("f", START, START + 7 * MINUTE, scopes=scopes),))
    for n in range(1, data.draw(st.integers(2, 3))):
        authors = (Change(id="c", authors=("dave@example.com",)),)
        play.happens(ReleaseAnnounced(version=f"v{n}", digest=f"sha256:v{n}", artifact="x", by=CI, changes=authors))
    for _ in range(data.draw(st.integers(0, 2))):
        scope = data.draw(st.sampled_from(["", *(s.name for s in definition.stages)]))
        minutes = data.draw(st.integers(1, 9))
        play.happens(PauseRequested(by=EVE, reason="hold", scope_name=scope, duration=minutes * MINUTE))
    ends_well(play)
    return play


def ends_well(play: Play) -> None:
    """Every deployment and test under way succeeds, until there is none."""
    while True:
        keys = [t.deployment.key for t in play.state.targets if t.deployment is not None]
        runs = [s.run.phase.tests for s in play.state.stages if s.run and isinstance(s.run.phase, InTests)]
        for key in keys:
            play.happens(DeploymentSucceeded(key=key))
        for tests in runs:
            for test in tests:
                play.happens(StageTestReported(key=test.key, outcome=TestOutcome.PASSED))
        if not keys and not runs:
            return


@QUICK
@given(st.data())
def test_what_is_said_to_clear_at_a_time_is_gone_by_then(data: st.DataObject):
    play = quiet_line(data)
    waiting = [
        (found.release.id, found.stage, reason)
        for found in why(play.state, play.world, play.now)
        for reason in found.reasons
        if reason.clears_at is not None
    ]
    assume(waiting)
    release, name, reason = data.draw(st.sampled_from(waiting))
    assert reason.clears_at is not None
    while (wake := next_wake(play.state, play.world, play.now)) is not None and wake <= reason.clears_at:
        play.now = wake
        play.happens(TimePassed())
    play.now = reason.clears_at
    play.happens(TimePassed())
    left = [
        r
        for found in why(play.state, play.world, play.now)
        for r in found.reasons
        if found.release.id == release and found.stage == name
    ]
    assert (reason.kind, reason.subject, reason.sentence) not in [(r.kind, r.subject, r.sentence) for r in left]


@QUICK
@given(st.data())
def test_a_release_enters_as_soon_as_its_last_reason_goes(data: st.DataObject):
    play = Play(data.draw(pipelines()))
    for _ in range(data.draw(st.integers(5, 40))):
        time_moves(data.draw, play)
        play.happens(next_event(data.draw, play))
        play.happens(TimePassed())
        state = play.state
        for stage in state.definition.stages:
            for found in why(state, play.world, play.now):
                waits = found.stage == stage.name and not found.doing
                assert not (waits and not found.reasons), f"{found.release.version} could enter {stage.name}"
                if waits and [r.kind for r in found.reasons] != ["order"]:
                    assert blockers(state, found.release, stage, play.world, play.now)


@settings(parent=QUICK, max_examples=30)
@given(st.data())
def test_waking_when_asked_does_what_waking_every_second_does(data: st.DataObject):
    slow = quiet_line(data)
    often = replace_clock(slow)
    end = slow.now + data.draw(st.integers(1, 12)) * MINUTE
    while (wake := next_wake(slow.state, slow.world, slow.now)) is not None and wake <= end:
        slow.now = wake
        slow.happens(TimePassed())
        ends_well(slow)
    slow.now = end
    slow.happens(TimePassed())
    while often.now < end:
        often.now += timedelta(seconds=1)
        decision = decide(often.state, TimePassed(), often.world, often.now)
        if decision.effects:
            often.happens(TimePassed())
            ends_well(often)
        else:
            often.state = decision.state
    assert often.state == slow.state


def replace_clock(play: Play) -> Play:
    """The same story, to be told once more."""
    other = Play(play.definition, play.world, play.now)
    other.state = play.state
    return other
