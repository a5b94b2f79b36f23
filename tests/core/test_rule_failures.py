"""Rules 11 and 12: what tests decide, and what becomes of a target that fails."""

from __future__ import annotations

from datetime import timedelta

from core.ports import TestOutcome
from core.releases.effects import Page, RunStageTest, StartDeployment
from core.releases.events import (
    DeploymentFailed,
    DeploymentSucceeded,
    PauseRequested,
    ResumeRequested,
    RetryRequested,
    StageTestReported,
)
from core.releases.pipeline import (
    Bake,
    Batch,
    Siblings,
    StageTest,
)
from tests.core.line import ANN, Line, pipeline, stage

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


# ---- 11: tests bind ----


def in_tests() -> Line:
    tests = (StageTest(name="smoke", uses="command"), StageTest(name="flow", uses="workflow"))
    line = Line(pipeline(stage("beta", tests=tests), stage("wave-1", after=("beta",)), groups=(), alarms=()))
    line.announces("1.1")
    line.hears(DeploymentSucceeded(key=line.pending(StartDeployment)[0].key))
    line.effects = [e for e in line.effects if not isinstance(e, StartDeployment)]
    return line


def ends(line: Line, *outcomes: TestOutcome) -> None:
    runs = line.pending(RunStageTest)
    line.effects.clear()
    for run, outcome in zip(runs, outcomes, strict=True):
        line.hears(StageTestReported(key=run.key, outcome=outcome, detail="see log"))


def test_rule_11_all_tests_run_and_must_pass_before_the_bake():
    line = in_tests()
    runs = line.pending(RunStageTest)
    assert [e.test for e in runs] == ["smoke", "flow"]
    line.hears(StageTestReported(key=runs[0].key, outcome=TestOutcome.PASSED))
    assert line.occupant("beta") == ("1.1", "testing")
    assert "flow still runs" in line.why("1.1")[0].sentence
    line.hears(StageTestReported(key=runs[1].key, outcome=TestOutcome.PASSED))
    assert line.occupant("beta") == ("1.1", "baking")


def test_rule_11_failed_blocks():
    line = in_tests()
    ends(line, TestOutcome.PASSED, TestOutcome.FAILED)
    assert line.occupant("beta") == ("1.1", "stopped")
    assert line.said("stopped")[0].asks == ("on-call",)
    assert "flow failed: see log" in line.why("1.1")[0].sentence
    line.passes(10 * HOUR)
    assert line.occupant("beta") == ("1.1", "stopped")


def test_rule_11_errored_asks():
    line = in_tests()
    ends(line, TestOutcome.ERRORED, TestOutcome.PASSED)
    assert line.occupant("beta") == ("1.1", "stopped")
    assert "smoke could not tell" in line.why("1.1")[0].sentence
    assert line.said("stopped")[0].asks == ("on-call",)


def test_rule_11_a_rerun_replaces():
    line = in_tests()
    old = line.pending(RunStageTest)
    ends(line, TestOutcome.FAILED, TestOutcome.PASSED)
    line.hears(RetryRequested(by=ANN))
    assert line.occupant("beta") == ("1.1", "testing")
    assert line.pending(StartDeployment) == [], "nothing is deployed twice"
    line.hears(StageTestReported(key=old[0].key, outcome=TestOutcome.FAILED))
    assert line.occupant("beta") == ("1.1", "testing"), "the earlier run does not count any more"
    ends(line, TestOutcome.PASSED, TestOutcome.PASSED)
    assert line.occupant("beta") == ("1.1", "baking")


# ---- 12: a failed target ----


def half_deployed(**more: object) -> Line:
    """wave-1 has four targets, two at a time; 1.0 is good on all, a and b are being given 1.1."""
    batch = Batch(forward_percent=50, healthy_percent=50)
    line = Line(
        pipeline(
            stage("beta", bake=Bake(), watch=timedelta()),
            stage("wave-1", "a", "b", "c", "d", after=("beta",), batch=batch, **more),
            stage("wave-2", "e", after=("wave-1",)),
            groups=(),
            alarms=(),
        )
    )
    line.travels("1.0")
    line.passes(3 * HOUR)
    line.hears(PauseRequested(by=ANN, scope_name="wave-1", reason="look"))
    line.announces("1.1")
    line.deploys()
    line.hears(ResumeRequested(by=ANN))
    return line


def fails(line: Line, target: str, **more: object) -> None:
    at = line.state.target(target).deployment
    assert at is not None
    line.effects = [e for e in line.effects if getattr(e, "target", "") != target]
    line.hears(DeploymentFailed(key=at.key, reason="it does not start", **more))  # type: ignore[arg-type]


def comes_true(line: Line, target: str) -> None:
    at = line.state.target(target).deployment
    assert at is not None
    line.effects = [e for e in line.effects if getattr(e, "target", "") != target]
    line.hears(DeploymentSucceeded(key=at.key))


def test_rule_12_a_failed_target_rolls_back_alone_and_its_siblings_stay():
    line = half_deployed()
    comes_true(line, "b")
    fails(line, "a")
    assert line.occupant("wave-1") == ("1.1", "rolling_back")
    line.deploys()
    assert line.occupant("wave-1") == ("1.1", "stopped")
    assert [line.runs(t) for t in "abcd"] == ["1.0", "1.1", "1.1", "1.0"], "c was begun when b was done"
    assert line.state.bad == ()
    assert line.occupant("wave-2") == ("", "")
    assert line.release("1.1").passed == ("beta",), "stages after it are blocked"


def test_rule_12_two_targets_that_fail_both_go_back():
    line = half_deployed()
    fails(line, "a")
    fails(line, "b")
    line.deploys()
    assert line.occupant("wave-1") == ("1.1", "stopped")
    assert [line.runs(t) for t in "abcd"] == ["1.0"] * 4
    assert not any(t.is_mixed for t in line.state.targets)


def test_rule_12_a_target_that_fails_when_the_first_is_back_already_goes_back_as_well():
    line = half_deployed()
    fails(line, "a")
    comes_true(line, "a")
    assert line.state.target("b").deployment is not None
    fails(line, "b")
    line.deploys()
    assert line.occupant("wave-1") == ("1.1", "stopped")
    assert [line.runs(t) for t in "abcd"] == ["1.0"] * 4
    assert not any(t.is_mixed for t in line.state.targets)


def test_rule_12_siblings_follow_by_policy():
    line = half_deployed(siblings=Siblings.FOLLOW)
    comes_true(line, "a")
    fails(line, "b")
    assert line.occupant("wave-1") == ("1.1", "rolling_back")
    line.deploys()
    assert [line.runs(t) for t in "abcd"] == ["1.0"] * 4
    assert line.release("1.1").status.kind == "rolled_back"


def test_rule_12_a_target_that_was_never_touched_needs_no_rollback():
    line = half_deployed()
    fails(line, "a", nothing_begun=True)
    assert line.occupant("wave-1") == ("1.1", "deploying")
    comes_true(line, "b")
    assert line.occupant("wave-1") == ("1.1", "stopped"), "nothing more is begun"
    assert not line.state.target("a").is_mixed
    assert "a (it does not start) refused it" in line.why("1.1")[0].sentence


def test_rule_12_a_retry_levels_every_target():
    line = half_deployed()
    fails(line, "a")
    line.deploys()
    line.hears(RetryRequested(by=ANN))
    line.deploys()
    assert [line.runs(t) for t in "abcd"] == ["1.1"] * 4
    assert line.occupant("wave-1") == ("1.1", "baking")


def test_rule_12_the_next_release_levels_every_target():
    line = half_deployed()
    comes_true(line, "b")
    fails(line, "a")
    line.deploys()
    line.announces("1.2")
    line.deploys()
    assert [line.runs(t) for t in "abcd"] == ["1.2"] * 4


def test_rule_12_a_first_deployment_that_fails_pages_and_a_retry_tries_again():
    line = Line(pipeline(stage("beta"), groups=(), alarms=()))
    line.announces("1.1")
    line.deploys(fail=("beta",))
    assert line.occupant("beta") == ("1.1", "stopped")
    assert any("no known good version on beta" in p.reason for p in line.state.pages)
    line.hears(RetryRequested(by=ANN))
    assert line.state.bad == (), "it failed to start; that is no reason never to try again"
    line.deploys()
    assert line.runs("beta") == "1.1"
    line.passes(10 * MINUTE)
    assert line.release("1.1").status.kind == "completed"


def test_rule_12_a_stage_that_stands_still_with_nothing_paged_says_who_is_asked():
    line = half_deployed()
    fails(line, "a")
    assert line.said("rolling_back")[-1].asks == ("on-call",)
    line.deploys()
    assert [e for e in line.effects if isinstance(e, Page)] == []
    assert "retry, rollback or cancel" in line.why("1.1")[0].who
