"""A small pipeline to play on: builders, and `Line`, which applies events and lets effects come true by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from core.errors import CommandRefused
from core.ports import AlarmState, TestOutcome
from core.releases.blockers import Blocker
from core.releases.decide import Decision, decide, new_pipeline, next_wake
from core.releases.effects import CancelDeployment, Effect, RunStageTest, StartDeployment, Tell
from core.releases.events import (
    AlarmReported,
    ApproveRequested,
    DeploymentCancelled,
    DeploymentFailed,
    DeploymentStarted,
    DeploymentSucceeded,
    Event,
    ReleaseAnnounced,
    StageTestReported,
    TimePassed,
)
from core.releases.pipeline import (
    Alarm,
    ApprovalRule,
    Bake,
    Group,
    OnAlarm,
    Pipeline,
    Scope,
    ScopeKind,
    Stage,
    Target,
)
from core.releases.rest import shaken
from core.releases.state import Baking, Change, PipelineState, Release
from core.releases.why import why
from core.releases.world import Actor, PeopleGroup, Person, Team, Via, World

SomeEffect = TypeVar("SomeEffect", bound=Effect)

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

ANN = Actor("ann", "Ann", Via.SLACK)
BOB = Actor("bob", "Bob", Via.SLACK)
CAROL = Actor("carol", "Carol", Via.SLACK)
DAVE = Actor("dave", "Dave", Via.SLACK)
EVE = Actor("slack:UEVE", "Eve", Via.SLACK)
CI = Actor("ci", "CI", Via.API, is_person=False)

WORLD = World(
    revision=1,
    people={
        key: Person(
            key=key, name=key.capitalize(), slack=f"U{key.upper()}", identities=frozenset({f"{key}@example.com"})
        )
        for key in ("ann", "bob", "carol", "dave")
    },
    groups={
        "approvers": PeopleGroup(name="approvers", members=frozenset({"ann", "bob", "carol"})),
        "on-call": PeopleGroup(name="on-call", members=frozenset({"dave"})),
    },
    teams={
        "shop": Team(name="shop", members=frozenset({"ann", "bob"}), owners=frozenset({"carol"}), on_call="on-call")
    },
)

PRODUCTION = Scope(ScopeKind.GROUP, "production")


def stage(name: str, *targets: str, after: tuple[str, ...] = (), **more: object) -> Stage:
    """A stage on the named targets (one of its own name, if none is named)."""
    values: dict[str, object] = {
        "name": name,
        "targets": tuple(Target(name=t) for t in targets or (name,)),
        "after": after,
        "watch": timedelta(hours=1),
        "bake": Bake(duration=timedelta(minutes=10), ceiling=timedelta(minutes=40)),
    }
    return Stage(**(values | more))  # type: ignore[arg-type]


def pipeline(*stages: Stage, **more: object) -> Pipeline:
    """A pipeline of the service `shop`; beta → one-box → wave-1 with one alarm over production if nothing is said."""
    values: dict[str, object] = {
        "id": "shop",
        "service": "shop",
        "team": "shop",
        "channel": "#shop",
        "revision": "r1",
        "stages": stages
        or (
            stage("beta", bake=Bake(), on_alarm=OnAlarm.STOP, watch=timedelta()),
            stage("one-box", after=("beta",), group="production", is_production=True, is_one_box=True),
            stage("wave-1", "a", "b", "c", after=("one-box",), group="production", is_production=True),
        ),
        "groups": (Group(name="production"),),
        "alarms": (Alarm(name="errors", source="webhook", scope=PRODUCTION, silence_is_ok=True),),
    }
    return Pipeline(**(values | more))  # type: ignore[arg-type]


def with_approval(count: int = 1) -> Pipeline:
    """The usual pipeline, whose production needs approvals."""
    return pipeline(groups=(Group(name="production", approval=ApprovalRule(count=count, by=("approvers",))),))


class Line:
    """One pipeline and its clock. Effects wait in `effects` until the story lets them come true."""

    def __init__(self, definition: Pipeline | None = None, world: World = WORLD) -> None:
        self.state: PipelineState = new_pipeline(definition or pipeline())
        self.world = world
        self.now = START
        self.effects: list[Effect] = []
        self.told: list[Tell] = []
        self.answer = ""
        self.reasons: list[str] = []

    def hears(self, event: Event) -> Decision:
        """Decide one event, and keep what must be done."""
        decision = decide(self.state, event, self.world, self.now)
        # What a decision takes as known of a state at rest makes it quicker, and nothing else.
        assert decide(shaken(self.state), event, self.world, self.now) == decision
        self.state = decision.state
        self.effects.extend(decision.effects)
        self.told.extend(e for e in decision.effects if isinstance(e, Tell))
        self.reasons.extend(decision.reasons)
        self.answer = decision.answer
        return decision

    def announces(
        self, version: str, *, author: str = "dave@example.com", fixes: tuple[str, ...] = (), **more: object
    ) -> Release:
        """CI announces a version with one change."""
        change = Change(id=f"c{version}", title=f"Change {version}", authors=(author,) if author else ())
        values: dict[str, object] = {
            "version": version,
            "digest": f"sha256:{version}",
            "artifact": f"/artifacts/{version}",
            "by": CI,
            "changes": (change,),
            "fixes": fixes,
        }
        self.hears(ReleaseAnnounced(**(values | more)))  # type: ignore[arg-type]
        return self.release(version)

    def passes(self, span: timedelta | float) -> Decision:
        """Let time pass, waking whenever the pipeline asked to be woken on the way."""
        end = self.now + (span if isinstance(span, timedelta) else timedelta(seconds=span))
        while (wake := next_wake(self.state, self.world, self.now)) is not None and wake <= end:
            self.now = wake
            self.hears(TimePassed())
            self.deploys()
        self.now = end
        return self.hears(TimePassed())

    def deploys(self, *, fail: tuple[str, ...] = (), one_at_a_time: bool = False) -> None:
        """Let every deployment and test that was asked for come true, until nothing is left to do.

        `one_at_a_time`: only what is asked for by now, not what follows from it.
        """
        left = len(self.effects) if one_at_a_time else None
        while self.effects and left != 0:
            left = None if left is None else left - 1
            effect = self.effects.pop(0)
            match effect:
                case StartDeployment():
                    self.hears(DeploymentStarted(key=effect.key, ref=f"ref-{effect.key}"))
                    if effect.target in fail:
                        self.hears(DeploymentFailed(key=effect.key, reason="it does not start"))
                    else:
                        self.hears(DeploymentSucceeded(key=effect.key))
                case CancelDeployment():
                    self.hears(DeploymentCancelled(key=effect.deployment))
                case RunStageTest():
                    self.hears(StageTestReported(key=effect.key, outcome=TestOutcome.PASSED))
                case _:
                    pass

    def alarm(
        self, name: str = "errors", *, is_red: bool = True, scope: Scope = PRODUCTION, key: str = "k", **more: object
    ) -> Decision:
        """An alarm reports."""
        alarm_state = AlarmState.ALARM if is_red else AlarmState.OK
        return self.hears(
            AlarmReported(alarm=name, key=key, alarm_state=alarm_state, observed_at=self.now, scope=scope, **more)  # type: ignore[arg-type]
        )

    def release(self, version: str) -> Release:
        """The release of a version."""
        return next(r for r in self.state.releases if r.version == version)

    def runs(self, target: str) -> str:
        """The version recorded on a target, or nothing."""
        current = self.state.target(target).current
        return current.version if current else ""

    def occupant(self, name: str) -> tuple[str, str]:
        """Which version occupies a stage, and in which phase; empty words if it is free."""
        run = self.state.stage(name).run
        return (self.state.released(run.release).version, run.phase.kind) if run else ("", "")

    def refuses(self, event: Event) -> str:
        """What a person is told whose command cannot apply; nothing changes."""
        try:
            decide(self.state, event, self.world, self.now)
        except CommandRefused as refusal:
            return str(refusal)
        raise AssertionError(f"{event} was not refused")

    def approves(self, by: Actor, version: str = "") -> Decision:
        """Somebody approves."""
        return self.hears(ApproveRequested(by=by, version=version))

    def why(self, version: str, stage_name: str = "") -> tuple[Blocker, ...]:
        """The reasons for which a release does not move on (at one stage)."""
        found = why(self.state, self.world, self.now)
        return tuple(
            reason
            for reasons in found
            if reasons.release.version == version and stage_name in ("", reasons.stage)
            for reason in reasons.reasons
        )

    def kinds(self, version: str, stage_name: str = "") -> list[str]:
        """The kinds of those reasons."""
        return [reason.kind for reason in self.why(version, stage_name)]

    def said(self, topic: str) -> list[Tell]:
        """What was told on one topic, oldest first."""
        return [tell for tell in self.told if tell.topic == topic]

    def pending(self, kind: type[SomeEffect]) -> list[SomeEffect]:
        """Effects of one kind that wait to come true."""
        return [e for e in self.effects if isinstance(e, kind)]

    def travels(self, version: str, **more: object) -> None:
        """Announce a version and take it everywhere."""
        self.announces(version, **more)  # type: ignore[arg-type]
        for _ in range(20):
            self.deploys()
            if self.release(version).status.kind == "completed":
                return
            self.passes(timedelta(minutes=10))
        raise AssertionError(f"{version} did not arrive: {self.release(version)}")


def in_other_world(world: World, **changes: object) -> World:
    """The world with something changed."""
    return replace(world, **changes)  # type: ignore[arg-type]


def baking(line: Line, name: str = "beta") -> Baking:
    """The bake under way in a stage."""
    run = line.state.stage(name).run
    assert run is not None
    assert isinstance(run.phase, Baking)
    return run.phase


def one_stage(**more: object) -> Line:
    """A line of one stage that bakes for ten minutes, four times that at most."""
    values: dict[str, object] = {"alarms": (), "groups": ()}
    return Line(pipeline(stage("beta"), **(values | more)))
