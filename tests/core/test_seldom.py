"""What seldom happens, told so that every line and branch of the rules is walked by a story."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from core.errors import TransientError, UsageError
from core.ports import AlarmState, Outcome, TestOutcome
from core.releases.approvals import void_reason
from core.releases.bake import alarms_over
from core.releases.effects import Page, RunStageTest, StartDeployment, is_for_readers
from core.releases.events import (
    AlarmReported,
    ApproveRequested,
    CancelRequested,
    DeploymentFailed,
    DeploymentLost,
    DeploymentStarted,
    DeploymentSucceeded,
    PauseRequested,
    PromoteRequested,
    ReconcileRequested,
    ResumeRequested,
    RetryRequested,
    RollbackRequested,
    RunningVersionObserved,
    StageTestReported,
)
from core.releases.pipeline import (
    MOST_JOURNEYS,
    SERVICE,
    Alarm,
    ApprovalRule,
    Bake,
    Batch,
    Group,
    Scope,
    ScopeKind,
    StageTest,
)
from core.releases.state import Change
from tests.core.line import ANN, BOB, CI, EVE, PRODUCTION, Line, pipeline, stage, with_approval

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
ALL_AT_ONCE = Batch(forward_percent=100, back_percent=100, healthy_percent=0)


def key_of(line: Line, target: str) -> str:
    at = line.state.target(target).deployment
    assert at is not None
    return at.key


# ---- names and errors ----


def test_a_stage_or_target_that_is_none_is_our_mistake():
    line = Line()
    with pytest.raises(LookupError, match="nowhere"):
        line.state.stage("nowhere")
    with pytest.raises(LookupError, match="nowhere"):
        line.state.target("nowhere")


def test_errors_carry_what_would_help():
    assert UsageError("What?", mend="Say it again.").mend == "Say it again."
    assert TransientError("busy", retry_after=MINUTE).retry_after == MINUTE


def test_some_outcomes_are_final():
    assert [outcome for outcome in Outcome if outcome.is_final] == [
        Outcome.SUCCEEDED,
        Outcome.FAILED,
        Outcome.CANCELLED,
    ]


def test_a_stage_of_another_definition_has_the_alarms_that_cover_it():
    definition = pipeline()
    other = replace(definition.by_name["wave-1"], targets=())
    assert alarms_over(definition, other) == definition.alarms


def test_what_is_remembered_of_journeys_is_bounded():
    definition = pipeline()
    for n in range(MOST_JOURNEYS + 2):
        assert definition.entries((f"gone-{n}",)) == {"beta"}


# ---- the line ----


def test_rule_03_of_two_that_wait_the_newer_is_first_though_it_came_first():
    line = Line()
    line.hears(PauseRequested(by=EVE, scope_name="beta", reason="hold"))
    line.announces("1.2", ancestors=("1.1",))
    line.announces("1.1", ancestors=())
    assert line.release("1.1").status.kind == "superseded"
    line.hears(ResumeRequested(by=ANN))
    assert line.occupant("beta") == ("1.2", "deploying")


def test_rule_28_of_what_is_over_and_newer_than_what_runs_the_contributors_are_kept():
    line = Line()
    line.hears(PauseRequested(by=EVE, reason="hold"))
    for n in range(12):
        line.announces(f"1.{n}")
    over = [r for r in line.state.releases if not r.is_live]
    assert len(over) == 11
    assert [bool(r.changes) for r in over] == [False] * 3 + [True] * 8
    assert all(r.contributors for r in over)


# ---- approvals ----


def test_rule_19_an_author_may_be_named_by_the_key_of_the_organisation_file():
    line = Line(with_approval())
    line.announces("1.1", author="bob")
    line.deploys()
    assert "You had a part" in line.refuses(ApproveRequested(by=BOB))


def test_rule_20_what_has_expired_is_not_approved_before_anybody_looks():
    line = Line(with_approval())
    line.announces("1.1")
    line.deploys()
    line.now += timedelta(days=7)
    assert "is void: it expired" in line.refuses(ApproveRequested(by=BOB))


def test_rule_20_an_approval_is_for_one_artifact():
    line = Line(with_approval())
    release = line.announces("1.1")
    line.deploys()
    (request,) = line.state.approvals
    other = tuple(replace(r, digest="sha256:other") if r.id == release.id else r for r in line.state.releases)
    assert void_reason(replace(line.state, releases=other), request, line.now) == "the artifact changed"


def branches() -> Line:
    """beta, then a and b side by side; b asks for approval. 1.0 is everywhere, 1.1 bakes in a and waits at b."""
    rule = ApprovalRule(by=("approvers",))
    line = Line(
        pipeline(
            stage("beta", bake=Bake(), watch=timedelta()),
            stage("a", after=("beta",)),
            stage("b", after=("beta",), approval=rule),
            groups=(),
            alarms=(),
        )
    )
    line.announces("1.0")
    line.deploys()
    line.approves(BOB)
    line.deploys()
    line.passes(3 * HOUR)
    assert line.release("1.0").status.kind == "completed"
    line.announces("1.1")
    line.deploys()
    assert line.occupant("a") == ("1.1", "baking")
    assert len(line.state.approvals) == 1
    return line


def test_rule_20_what_goes_bad_asks_nobody_any_more():
    line = branches()
    line.alarm("odd", scope=Scope(ScopeKind.STAGE, "a"))
    line.deploys()
    assert line.release("1.1").status.kind == "rolled_back"
    assert line.state.approvals == ()


# ---- going back ----


def test_rule_14_a_rollback_declared_dead_when_another_failed_is_told_once():
    wide = stage("wave-1", "a", "b", batch=ALL_AT_ONCE)
    line = Line(pipeline(wide, groups=(), alarms=()))
    line.travels("1.0")
    line.passes(3 * HOUR)
    line.travels("1.1")
    line.hears(RollbackRequested(by=ANN, reason="slow"))
    line.hears(DeploymentFailed(key=key_of(line, "a"), reason="no"))
    assert line.occupant("wave-1") == ("1.1", "stopped")
    line.hears(DeploymentLost(key=key_of(line, "b"), reason="time-out"))
    before = len(line.state.pages)
    line.hears(ReconcileRequested(by=ANN, choice="dead"))
    assert line.state.target("b").is_mixed
    assert len(line.state.pages) == before


def test_rule_13_where_an_artifact_is_gone_what_is_back_already_stays():
    wide = stage("wave-1", "a", "b", "c", batch=ALL_AT_ONCE)
    line = Line(pipeline(wide, groups=(), alarms=()))
    for version in ("0.9", "1.0", "1.1"):
        line.travels(version)
        line.passes(3 * HOUR)
    line.hears(RollbackRequested(by=ANN, reason="slow"))
    line.hears(DeploymentSucceeded(key=key_of(line, "a")))
    line.hears(DeploymentFailed(key=key_of(line, "b"), reason="gone", artifact_missing=True))
    line.hears(DeploymentSucceeded(key=key_of(line, "c")))
    line.effects = [e for e in line.effects if isinstance(e, StartDeployment) and e.what.version == "0.9"]
    line.deploys()
    assert [line.runs(t) for t in "abc"] == ["1.0", "0.9", "1.0"], "c was being given it already"


def test_rule_17_a_watched_stage_that_may_not_go_back_stands_still():
    line = Line()
    line.travels("1.0")
    line.passes(3 * HOUR)
    line.travels("1.1", is_one_way=True)
    assert line.occupant("wave-1") == ("", "")
    line.alarm()
    assert line.occupant("wave-1") == ("1.1", "stopped")
    assert line.state.stage("wave-1").watch is None


def test_pages_say_the_same_thing_once():
    """b runs 1.1, which is one-way by now; a goes back alone; the alarm turns red twice meanwhile."""
    line = Line(pipeline(stage("wave-1", "a", "b", batch=ALL_AT_ONCE), groups=(), alarms=()))
    line.travels("1.0")
    line.passes(3 * HOUR)
    line.announces("1.1")
    line.effects.clear()
    line.hears(DeploymentSucceeded(key=key_of(line, "b")))
    line.hears(DeploymentFailed(key=key_of(line, "a"), reason="no"))
    one_way = tuple(replace(r, is_one_way=True) if r.version == "1.1" else r for r in line.state.releases)
    line.state = replace(line.state, releases=one_way)
    line.alarm("odd", scope=SERVICE)
    line.alarm("odd", scope=SERVICE, is_red=False)
    line.now += MINUTE
    line.alarm("odd", scope=SERVICE)
    assert len(line.pending(Page)) == 1


def two_that_stand_still() -> Line:
    """Two first stages, in both of which 1.1 failed where nothing good was: two pages."""
    line = Line(pipeline(stage("a"), stage("b"), groups=(), alarms=()))
    line.announces("1.1")
    line.deploys(fail=("a", "b"))
    assert [page.stage for page in line.state.pages] == ["a", "b"]
    return line


def test_rule_12_a_retry_ends_the_page_of_its_own_stage():
    line = two_that_stand_still()
    line.hears(RetryRequested(by=ANN, stage="a"))
    assert [page.stage for page in line.state.pages] == ["b"]


def test_rule_03_a_newer_release_ends_the_page_of_the_stage_it_takes():
    line = two_that_stand_still()
    line.hears(PauseRequested(by=EVE, scope_name="b", reason="look"))
    line.announces("1.2")
    assert line.occupant("a") == ("1.2", "deploying")
    assert [page.stage for page in line.state.pages] == ["b"]


def test_rule_12_a_fix_takes_over_where_a_rolled_back_release_stands_still():
    line = Line()
    line.travels("1.0")
    line.passes(3 * HOUR)
    line.announces("1.1")
    line.deploys()
    line.passes(10 * MINUTE)
    line.alarm()
    line.deploys(fail=("a",))
    line.alarm(is_red=False)
    assert line.occupant("wave-1") == ("1.1", "stopped")
    assert line.release("1.1").status.kind == "rolled_back"
    line.announces("1.2", fixes=("1.1",))
    line.deploys()
    line.passes(11 * MINUTE)
    assert line.occupant("wave-1") == ("1.2", "baking")
    assert line.release("1.1").status.kind == "rolled_back", "it keeps how its journey ended"


def test_rule_08_an_older_release_that_was_spared_goes_back_further_down_too():
    """1.1 is watched in wave-1 and bakes in far; 1.2 bakes in one-box; the alarm speaks of production only."""
    line = Line(
        pipeline(
            stage("one-box", group="production", is_production=True, is_one_box=True),
            stage("wave-1", after=("one-box",), group="production", is_production=True),
            stage("far", after=("wave-1",), bake=Bake(duration=HOUR, ceiling=4 * HOUR)),
        )
    )
    line.travels("1.0")
    line.passes(3 * HOUR)
    line.announces("1.1")
    line.deploys()
    line.passes(21 * MINUTE)
    assert line.occupant("far") == ("1.1", "baking")
    line.announces("1.2")
    line.deploys()
    line.alarm()
    assert line.occupant("far") == ("1.1", "baking")
    line.deploys()
    line.passes(5 * MINUTE)
    assert [line.runs(t) for t in ("one-box", "wave-1", "far")] == ["1.1", "1.0", "1.0"]


# ---- what is seen ----


def test_what_a_failed_deployment_wrote_is_attached():
    line = Line()
    release = line.announces("1.1")
    line.hears(DeploymentFailed(key=key_of(line, "beta"), reason="no", output="Traceback …"))
    (told,) = line.said("output")
    assert (told.release, told.output) == (release.id, "Traceback …")
    assert told.sentence == "The deployment of 1.1 to beta failed."


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (TestOutcome.FAILED, ["The test smoke of beta failed."]),
        (TestOutcome.ERRORED, ["The test smoke of beta could not tell."]),
        (TestOutcome.PASSED, []),
    ],
)
def test_what_a_test_wrote_is_attached_unless_it_passed(outcome: TestOutcome, said: list[str]):
    line = Line(pipeline(stage("beta", tests=(StageTest(name="smoke", uses="command"),)), groups=(), alarms=()))
    line.announces("1.1")
    line.hears(DeploymentSucceeded(key=key_of(line, "beta")))
    (asked,) = line.pending(RunStageTest)
    line.hears(StageTestReported(key=asked.key, outcome=outcome, output="one line"))
    assert [tell.sentence for tell in line.said("output")] == said


def test_what_is_only_read_may_share_a_commit():
    assert is_for_readers("slack:shop:shop-1")
    assert not is_for_readers("deploy:shop:a")


def test_rule_27_what_runs_as_recorded_is_nothing_new():
    line = Line()
    line.travels("1.0")
    before = line.state
    line.hears(RunningVersionObserved(target="a", digest="sha256:1.0"))
    assert line.state == before


def test_rule_20_an_expired_request_grants_nothing_even_if_nobody_looked():
    line = Line(with_approval())
    line.hears(PauseRequested(by=EVE, scope_name="production", reason="hold"))
    line.announces("1.1")
    line.deploys()
    line.approves(BOB)
    line.now += timedelta(days=7)
    assert "approval" in line.kinds("1.1")


def test_rule_09_an_episode_that_came_and_went_before_the_entry_does_nothing():
    line = Line()
    line.travels("1.0")
    line.passes(2 * HOUR)
    line.announces("1.1")
    line.deploys()
    line.hears(
        AlarmReported(
            alarm="errors",
            key="k",
            alarm_state=AlarmState.OK,
            observed_at=line.now,
            scope=PRODUCTION,
            started_at=line.now - HOUR,
        )
    )
    assert line.occupant("one-box") == ("1.1", "baking")
    assert line.kinds("1.1") == ["bake"]


def test_rule_27_nothing_runs_where_nothing_was_deployed():
    line = Line()
    before = line.state
    line.hears(RunningVersionObserved(target="beta", digest=None))
    assert line.state == before


def test_promote_what_bakes_may_lack_nothing_but_points():
    canary = Alarm(name="canary", source="canary", silence_is_ok=True, counts_as_evidence=True)
    bake = Bake(duration=MINUTE, minimum_points=10, ceiling=HOUR)
    line = Line(pipeline(stage("beta", bake=bake), groups=(), alarms=(canary,)))
    line.announces("1.1")
    line.deploys()
    line.passes(2 * MINUTE)
    assert "baking in beta: 10 data points missing." in line.refuses(PromoteRequested(by=ANN))


def test_rule_07_evidence_is_for_the_stage_it_speaks_of():
    canary = Alarm(name="canary", source="canary", scope=PRODUCTION, silence_is_ok=True, counts_as_evidence=True)
    bake = Bake(duration=MINUTE, minimum_points=10, ceiling=HOUR)
    line = Line(pipeline(stage("beta", bake=bake), alarms=(canary,), groups=(Group(name="production"),)))
    line.announces("1.1")
    line.deploys()
    line.now += MINUTE
    line.hears(
        AlarmReported(
            alarm="canary", key="c", alarm_state=AlarmState.OK, observed_at=line.now, scope=PRODUCTION, points=10
        )
    )
    assert line.kinds("1.1") == ["points"]


def test_rule_28_a_start_heard_of_again_changes_nothing():
    line = Line()
    line.announces("1.1", by=CI, changes=(Change(id="c"),))
    key = key_of(line, "beta")
    line.hears(DeploymentStarted(key=key, ref="r"))
    before = line.state
    line.hears(DeploymentStarted(key=key, ref="r"))
    assert line.state == before
    line.hears(CancelRequested(by=ANN, version="1.1", reason="no"))
