"""One service and its people, at the moments of a release's life that messages and answers are about.

`checkout` of the team payments: beta → gamma → production (one-box → wave-1 → wave-2). 1.4.1 runs everywhere, good;
Ann's 1.4.2 is on its way. Eve and Carol may approve, Carol owns, Dora is on call; Bob merged it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

from core.releases.calendar import ALL_DAYS, Calendar, Span
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
    StageTest,
    Target,
)
from core.releases.state import (
    AlarmReading,
    ApprovalRequest,
    BadMark,
    Baking,
    Change,
    Deploying,
    Deployment,
    Installed,
    OpenPage,
    Override,
    Pause,
    PipelineState,
    Release,
    RollingBack,
    StagePhase,
    StageRun,
    StageState,
    StopCause,
    Stopped,
    TargetState,
    Testing,
    TestRun,
    Vote,
    Watch,
)
from core.releases.statuses import Completed, Rejected, RolledBack, Superseded
from core.releases.world import ANDON, Actor, Freeze, PeopleGroup, Person, Team, Via, World

NOW = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)

ANN = Actor("ann", "Ann", Via.SLACK)
BOB = Actor("bob", "Bob", Via.SLACK)
CAROL = Actor("carol", "Carol", Via.SHELL)
EVE = Actor("eve", "Eve", Via.SLACK)
CI = Actor("ci", "CI", Via.API, is_person=False)

WORLD = World(
    revision=1,
    people={
        "ann": Person(key="ann", name="Ann", slack="U0ANN", identities=frozenset({"ann@example.com"})),
        "bob": Person(key="bob", name="Bob", slack="U0BOB", identities=frozenset({"bob@example.com"})),
        "carol": Person(key="carol", name="Carol", identities=frozenset({"carol@example.com"})),
        "eve": Person(key="eve", name="Eve", slack="U0EVE"),
        "dora": Person(key="dora", name="Dora", slack="U0DORA"),
    },
    groups={
        "payments-oncall": PeopleGroup(name="payments-oncall", members=frozenset({"dora"}), slack="S0ONCALL"),
        "reviewers": PeopleGroup(name="reviewers", members=frozenset({"bob", "carol", "eve"})),
    },
    teams={
        "payments": Team(
            name="payments",
            members=frozenset({"ann", "bob", "carol"}),
            owners=frozenset({"carol"}),
            on_call="payments-oncall",
        )
    },
)

ONE_BOX = Scope(ScopeKind.STAGE, "one-box")
PRODUCTION = Scope(ScopeKind.GROUP, "production")


def definition(service: str = "checkout", name: str = "") -> Pipeline:
    """The pessimistic pipeline, small."""

    def wave(stage: str, before: str, *targets: str) -> Stage:
        return Stage(
            name=stage,
            targets=tuple(Target(name=target) for target in targets),
            after=(before,),
            group="production",
            bake=Bake(duration=HOUR, minimum_points=100, ceiling=4 * HOUR),
            is_production=True,
            is_one_box=stage == "one-box",
        )

    return Pipeline(
        id=f"{service}/{name}" if name else service,
        service=service,
        team="payments",
        channel=f"#{service}",
        revision="rev-1",
        stages=(
            Stage(
                name="beta",
                targets=(Target(name="beta-1"),),
                tests=(StageTest(name="smoke", uses="command"),),
                on_alarm=OnAlarm.STOP,
            ),
            Stage(
                name="gamma",
                targets=(Target(name="gamma-1"),),
                after=("beta",),
                bake=Bake(duration=15 * MINUTE),
            ),
            wave("one-box", "gamma", "eu-1-box"),
            wave("wave-1", "one-box", "eu-1"),
            wave("wave-2", "wave-1", "eu-2", "us-1"),
        ),
        groups=(Group(name="production", approval=ApprovalRule(count=1, by=("reviewers",))),),
        alarms=(
            Alarm(
                name="orders-5xx",
                source="alertmanager",
                scope=PRODUCTION,
                silence_is_ok=True,
                runbook="https://runbooks.example/orders-5xx",
                dashboard="https://charts.example/orders",
            ),
        ),
        runbook="https://runbooks.example/checkout",
        dashboard="https://charts.example/checkout",
    )


CHANGES = (
    Change(
        id="a1b2c3d",
        title="Round prices half to even",
        authors=("ann@example.com",),
        merger="bob@example.com",
        url="https://code.example/c/a1b2c3d",
    ),
    Change(id="b2c3d4e", title="Show the tax in the basket", authors=("ann@example.com", "dependency-bot")),
)

OLD = Release(
    id="r1",
    version="1.4.1",
    digest="sha256:1111",
    artifact="builds/1.4.1",
    sequence=1,
    announced_at=NOW - 48 * HOUR,
    announced_by=CI,
    passed=("beta", "gamma", "one-box", "wave-1", "wave-2"),
    status=Completed(at=NOW - 24 * HOUR),
)
NEW = Release(
    id="r2",
    version="1.4.2",
    digest="sha256:2222",
    artifact="builds/1.4.2",
    sequence=2,
    announced_at=NOW - 2 * HOUR,
    announced_by=CI,
    url="https://code.example/releases/1.4.2",
    changes=CHANGES,
    contributors=("ann@example.com", "bob@example.com"),
    ancestors=("1.4.1",),
)


def start(pipeline: Pipeline | None = None) -> PipelineState:
    """1.4.1 everywhere; 1.4.2 announced."""
    pipeline = pipeline or definition()
    return PipelineState(
        id=pipeline.id,
        definition=pipeline,
        releases=(OLD, NEW),
        stages=tuple(StageState(name=stage.name) for stage in pipeline.stages),
        targets=tuple(
            TargetState(name=target.name, stage=stage.name, current=OLD.installed, good=(OLD.installed,))
            for stage in pipeline.stages
            for target in stage.targets
        ),
        counter=2,
    )


# ---- how to say what differs from the start -------------------------------------------------------------------------


def with_release(state: PipelineState, release: Release) -> PipelineState:
    """The same with this release instead of the one of its id."""
    others = tuple(r for r in state.releases if r.id != release.id)
    return replace(state, releases=tuple(sorted((*others, release), key=lambda r: r.sequence)))


def in_stage(state: PipelineState, stage: str, phase: StagePhase, release: Release = NEW) -> PipelineState:
    """The same with a release in a stage, having passed all before it."""
    order = [s.name for s in state.definition.stages]
    passed = tuple(order[: order.index(stage)])
    run = StageRun(
        release=release.id,
        revision=state.definition.revision,
        entered_at=NOW - 20 * MINUTE,
        phase=phase,
        reached=tuple(t.name for t in state.targets_of(stage)),
    )
    state = with_release(state, replace(release, passed=passed))
    arrived = (*passed, stage) if isinstance(phase, Testing | Baking | Stopped) else passed
    return replace(
        state,
        stages=tuple(replace(s, run=run) if s.name == stage else s for s in state.stages),
        targets=tuple(replace(t, current=release.installed) if t.stage in arrived else t for t in state.targets),
    )


def passed(state: PipelineState, *stages: str, release: Release = NEW) -> PipelineState:
    """The same with a release that passed these stages and is in none."""
    state = with_release(state, replace(release, passed=stages))
    return replace(
        state,
        targets=tuple(
            replace(t, current=release.installed, good=(release.installed, *t.good)) if t.stage in stages else t
            for t in state.targets
        ),
    )


# ---- moments --------------------------------------------------------------------------------------------------------


def testing() -> PipelineState:
    """The smoke test of beta runs."""
    run = TestRun(name="smoke", key="t1")
    return in_stage(start(), "beta", Testing(since=NOW - MINUTE, tests=(run,)))


def deploying() -> PipelineState:
    """One of wave-2's two targets is being given 1.4.2."""
    state = in_stage(start(), "wave-2", Deploying(since=NOW - 5 * MINUTE))
    deployment = Deployment(
        key="d9",
        what=NEW.installed,
        is_rollback=False,
        is_automatic=False,
        requested_at=NOW - MINUTE,
        phase="running",
        ref="7",
        done_units=1,
        all_units=3,
    )
    return replace(
        state,
        targets=tuple(
            replace(t, current=NEW.installed)
            if t.name == "eu-2"
            else replace(t, deployment=deployment)
            if t.name == "us-1"
            else t
            for t in state.targets
        ),
    )


def baking() -> PipelineState:
    """1.4.2 bakes in one-box; 12 minutes are left."""
    phase = Baking(since=NOW - 48 * MINUTE, credited_until=NOW, credited=48 * MINUTE, points=160)
    return in_stage(start(), "one-box", phase)


def waiting_for_approval(version: str = "1.4.2") -> PipelineState:
    """1.4.2 passed gamma and waits for one of the reviewers."""
    state = passed(start(), "beta", "gamma", release=replace(NEW, version=version))
    request = ApprovalRequest(
        id="q7",
        release="r2",
        scope=PRODUCTION,
        digest=NEW.digest,
        revision="rev-1",
        replaces=(OLD.digest,),
        asked_at=NOW - 10 * MINUTE,
        expires_at=NOW + timedelta(days=7) - 10 * MINUTE,
    )
    return replace(state, approvals=(request,))


def half_approved() -> PipelineState:
    """Two must approve, Eve has."""
    state = waiting_for_approval()
    rule = replace(state.definition.groups[0], approval=ApprovalRule(count=2, by=("reviewers",)))
    request = replace(state.approvals[0], votes=(Vote(EVE, NOW - MINUTE),))
    return replace(state, definition=replace(state.definition, groups=(rule,)), approvals=(request,))


def approved() -> PipelineState:
    """Eve, who alone must, has approved; it enters at the next look."""
    state = waiting_for_approval()
    return replace(state, approvals=(replace(state.approvals[0], votes=(Vote(EVE, NOW - MINUTE),)),))


def rejected() -> PipelineState:
    """Eve said no."""
    fate = Rejected(by=EVE, scope="production", reason="not before the sale", at=NOW - MINUTE)
    state = replace(waiting_for_approval(), approvals=())
    return with_release(state, replace(state.released("r2"), status=fate))


def paused() -> PipelineState:
    """Ann pulled the cord while one-box bakes."""
    pause = Pause(id="p3", by=ANN, reason="prices look wrong", at=NOW - MINUTE, until=NOW + 2 * HOUR)
    return replace(baking(), pauses=(pause,))


def red() -> PipelineState:
    """orders-5xx turned red in wave-1, which goes back; Dora is being called."""
    going = RollingBack(
        since=NOW - MINUTE,
        reason="the alarm orders-5xx turned red",
        by=ANDON,
        is_automatic=True,
        plan=(("eu-1", OLD.installed),),
    )
    state = in_stage(start(), "wave-1", going)
    reading = AlarmReading(
        name="orders-5xx",
        scope=PRODUCTION,
        firing=(("f1", NOW - 2 * MINUTE),),
        since=NOW - 2 * MINUTE,
        observed_at=NOW - MINUTE,
        title="More than 1 % of orders fail",
        url="https://alarms.example/orders-5xx",
    )
    page = OpenPage(
        id="g5",
        stage="wave-1",
        release="r2",
        reason="wave-1 is rolling back: the alarm orders-5xx turned red",
        first_at=NOW - MINUTE,
        next_at=NOW + 14 * MINUTE,
    )
    return replace(state, alarms=(reading,), pages=(page,))


def stopped() -> PipelineState:
    """The smoke test of beta failed."""
    phase = Stopped(since=NOW - MINUTE, cause=StopCause.TEST_FAILED, reason="the test smoke failed: 2 of 40 checks")
    return in_stage(start(), "beta", phase)


def overridden() -> PipelineState:
    """Carol let 1.4.2 past the freeze into wave-1; Bob seconded."""
    override = Override(
        id="o4",
        release="r2",
        stage="wave-1",
        by=CAROL,
        reason="the fix for the outage",
        at=NOW - HOUR,
        expires_at=NOW + 23 * HOUR,
        seconded_by=BOB,
    )
    return replace(baking(), overrides=(override,))


def rolled_back() -> PipelineState:
    """1.4.2 was rolled back in wave-1 and is bad from there on."""
    reason = "the alarm orders-5xx turned red"
    state = passed(start(), "beta", "gamma", "one-box")
    state = with_release(
        state,
        replace(state.released("r2"), status=RolledBack(stage="wave-1", reason=reason, at=NOW - MINUTE)),
    )
    mark = BadMark(
        release="r2", version="1.4.2", digest=NEW.digest, sequence=2, stage="wave-1", reason=reason, at=NOW - MINUTE
    )
    return replace(state, bad=(mark,))


def superseded() -> PipelineState:
    """1.4.3 took 1.4.2's place at gamma."""
    state = with_release(start(), replace(NEW, passed=("beta",), status=Superseded(by="1.4.3", at=NOW - MINUTE)))
    newer = replace(NEW, id="r3", version="1.4.3", digest="sha256:3333", sequence=3, changes=())
    return with_release(state, replace(newer, passed=("beta",)))


def completed() -> PipelineState:
    """1.4.2 passed every stage; wave-2 is still watched."""
    stages = [s.name for s in definition().stages]
    state = passed(start(), *stages)
    state = with_release(state, replace(state.released("r2"), status=Completed(at=NOW - MINUTE)))
    watch = Watch(release="r2", until=NOW + HOUR)
    return replace(state, stages=tuple(replace(s, watch=watch) if s.name == "wave-2" else s for s in state.stages))


def nowhere_to_go_back() -> PipelineState:
    """The first release of a service: nothing good is known anywhere."""
    state = baking()
    return replace(state, targets=tuple(replace(t, good=()) for t in state.targets))


def frozen() -> PipelineState:
    """Approved and next in the line, but Carol froze production (`WORLDS`)."""
    return approved()


def frozen_for_good() -> PipelineState:
    """The same under a freeze of everything, to which nobody gave an end."""
    return approved()


def outside_its_window() -> PipelineState:
    """Approved, on a Monday afternoon; production is entered in the mornings."""
    state = approved()
    group = replace(state.definition.groups[0], windows=("mornings",))
    return replace(state, definition=replace(state.definition, groups=(group,)))


def half_overridden() -> PipelineState:
    """Carol would let it past the freeze into one-box; a second person is waited for."""
    override = Override(
        id="o4",
        release="r2",
        stage="one-box",
        by=CAROL,
        reason="the fix for the outage",
        at=NOW - MINUTE,
        expires_at=NOW + 23 * HOUR,
    )
    return replace(frozen(), overrides=(override,))


def forced_in_red() -> PipelineState:
    """Carol and Bob let it into one-box while orders-5xx was red; it bakes there, and the alarm is red still."""
    override = replace(overridden().overrides[0], stage="one-box")
    state = replace(baking(), overrides=(override,), alarms=red().alarms)
    let_in = [
        replace(s, run=replace(s.run, override="o4", red_at_entry=("orders-5xx",))) if s.run is not None else s
        for s in state.stages
    ]
    return replace(state, stages=tuple(let_in))


MORNINGS = Calendar("mornings", "Europe/Berlin", (Span(ALL_DAYS[:5], time(9), time(12)),), ())
FREEZE = Freeze("sale", NOW - HOUR, NOW + 40 * HOUR, "the spring sale", scopes=frozenset({"production"}), by=CAROL)
WORLDS = {
    "frozen": replace(WORLD, freezes=(FREEZE,)),
    "half_overridden": replace(WORLD, freezes=(FREEZE,)),
    "frozen_for_good": replace(
        WORLD, freezes=(Freeze("everything", NOW - HOUR, None, "the payment provider is down", by=EVE),)
    ),
    "outside_its_window": replace(WORLD, calendars={"mornings": MORNINGS}),
}
"""What is true of the organisation at a moment; nothing special at the others."""


HOSTILE = {
    "quotes": "\"double\" 'single' “typographic” `back` \\ {{ 7*7 }} {% raw %}",
    "channel": "<!channel> <!here> <@U0ANN> <!subteam^S0ONCALL> &lt;!channel&gt; <https://evil.example|click>",
    "long": "x" * 5_000,
    "emoji": "🎉👩‍👩‍👧‍👦 :tada: " * 40,
    "right_to_left": "שלום \u202eevil\u202c مرحبا \u2067isolated",
    "message": ("Fix the thing\n\n" + "lorem <ipsum> & dolor\n" * 2_000)[:40_000],
    "shell": "$(rm -rf /); `id` && echo \u0000\u001b[31m",
}
"""Text as strangers may write it."""


def with_hostile_text(state: PipelineState, text: str) -> PipelineState:
    """The same with `text` wherever people or announcements may write."""

    def hostile(release: Release) -> Release:
        change = Change(id=text, title=text, authors=(text, text), merger=text, url=f"https://code.example/{text}")
        status = replace(release.status, reason=text) if isinstance(release.status, RolledBack) else release.status
        return replace(release, version=text, url=text, changes=(change,) * 30, contributors=(text,), status=status)

    stranger = Actor("slack:U9", text, Via.SLACK)
    stages = []
    for stage in state.stages:
        run = stage.run
        if run is not None and isinstance(run.phase, Stopped | RollingBack):
            run = replace(run, phase=replace(run.phase, reason=text))
        stages.append(replace(stage, run=run))
    return replace(
        state,
        releases=tuple(hostile(r) if r.id != "r1" else r for r in state.releases),
        stages=tuple(stages),
        targets=tuple(
            replace(t, current=replace(t.current, version=text)) if t.current and t.current.release != "r1" else t
            for t in state.targets
        ),
        pauses=tuple(replace(p, by=stranger, reason=text) for p in state.pauses),
        overrides=tuple(replace(o, by=stranger, reason=text) for o in state.overrides),
        alarms=tuple(replace(a, title=text, url=text, runbook=text) for a in state.alarms),
        bad=tuple(replace(b, version=text, reason=text) for b in state.bad),
        pages=tuple(replace(p, reason=text) for p in state.pages),
    )


def installed(version: str, sequence: int = 9) -> Installed:
    """A version as something on a target."""
    return Installed(f"r{sequence}", version, f"sha256:{sequence}", f"builds/{version}", sequence)


MOMENTS = {
    "announced": start,
    "testing": testing,
    "deploying": deploying,
    "baking": baking,
    "waiting_for_approval": waiting_for_approval,
    "half_approved": half_approved,
    "approved": approved,
    "rejected": rejected,
    "paused": paused,
    "red": red,
    "stopped": stopped,
    "overridden": overridden,
    "rolled_back": rolled_back,
    "superseded": superseded,
    "completed": completed,
    "nowhere_to_go_back": nowhere_to_go_back,
    "frozen": frozen,
    "frozen_for_good": frozen_for_good,
    "outside_its_window": outside_its_window,
    "half_overridden": half_overridden,
    "forced_in_red": forced_in_red,
}
"""Every moment, by name; the release looked at is always `r2`."""
