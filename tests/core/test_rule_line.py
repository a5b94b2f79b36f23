"""Rules 1–5, the line: order of stages, who occupies them, who overtakes, what a run is pinned to, batches."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from core.releases.effects import RunStageTest, StartDeployment
from core.releases.events import (
    ApproveRequested,
    CancelRequested,
    DefinitionApplied,
    DeploymentFailed,
    DeploymentStarted,
    DeploymentSucceeded,
    PauseRequested,
    PromoteRequested,
    ResumeRequested,
    RollbackRequested,
    TimePassed,
)
from core.releases.pipeline import ApprovalRule, Bake, Batch, Group, Order, Pipeline, StageTest, Target
from tests.core.line import ANN, BOB, CAROL, EVE, Line, pipeline, stage, with_approval

NO_BAKE = Bake()


def quick(name: str, *targets: str, after: tuple[str, ...] = (), **more: object):
    """A stage without bake and watch."""
    return stage(name, *targets, after=after, bake=NO_BAKE, watch=timedelta(), **more)


def started(line: Line, name: str) -> list[str]:
    """Targets of a stage for which a deployment was asked and has not come true."""
    return [e.target for e in line.pending(StartDeployment) if e.stage == name]


# ---- 1: an ordered list, branches and fan-in, one artifact ----------------------------------------------------------


def test_rule_01_a_release_goes_through_the_stages_in_order():
    line = Line()
    line.announces("1.1")
    assert line.occupant("beta") == ("1.1", "deploying")
    assert line.kinds("1.1", "one-box") == []
    line.deploys()
    assert line.release("1.1").passed == ("beta",)
    assert line.occupant("one-box") == ("1.1", "baking")
    assert line.occupant("wave-1") == ("", "")
    line.passes(timedelta(minutes=10))
    line.deploys()
    assert line.occupant("wave-1") == ("1.1", "baking")
    line.passes(timedelta(minutes=10))
    assert line.release("1.1").status.kind == "completed"
    assert line.release("1.1").passed == ("beta", "one-box", "wave-1")


def test_rule_01_a_stage_with_two_before_it_is_entered_by_what_passed_both():
    line = Line(
        pipeline(
            quick("beta"),
            stage("load-test", after=("beta",), watch=timedelta()),
            quick("gamma", after=("beta",)),
            quick("production", after=("load-test", "gamma")),
            groups=(),
            alarms=(),
        )
    )
    line.announces("1.1")
    line.deploys()
    assert line.release("1.1").passed == ("beta", "gamma"), "branches go on side by side"
    assert line.occupant("load-test") == ("1.1", "baking")
    assert line.occupant("production") == ("", "")
    line.passes(timedelta(minutes=10))
    assert line.release("1.1").passed == ("beta", "gamma", "load-test", "production")


def test_rule_01_only_a_release_that_passed_both_itself_enters():
    line = Line(
        pipeline(
            quick("left"),
            quick("right"),
            quick("production", after=("left", "right")),
            groups=(),
            alarms=(),
        )
    )
    line.announces("1.1")
    line.announces("1.2")
    assert (line.occupant("left"), line.occupant("right")) == (("1.1", "deploying"), ("1.1", "deploying"))
    left = next(e for e in line.pending(StartDeployment) if e.stage == "left")
    line.hears(DeploymentSucceeded(key=left.key))
    assert line.occupant("left") == ("1.2", "deploying")
    assert line.occupant("production") == ("", ""), "1.1 passed left only, 1.2 nothing"


def test_rule_01_every_stage_gets_the_very_artifact_that_was_announced():
    line = Line()
    line.announces("1.1", digest="sha256:abc", artifact="/artifacts/abc")
    asked = []
    while line.release("1.1").is_live:
        asked += [e for e in line.hears(TimePassed()).effects if isinstance(e, StartDeployment)]
        asked += line.pending(StartDeployment)
        line.deploys(one_at_a_time=True)
        line.now += timedelta(minutes=10)
    assert {(e.what.digest, e.what.artifact, e.what.version) for e in asked} == {
        ("sha256:abc", "/artifacts/abc", "1.1")
    }
    assert {e.stage for e in asked} == {"beta", "one-box", "wave-1"}


def test_rule_01_a_version_announced_with_another_artifact_is_refused():
    line = Line()
    line.announces("1.1")
    line.announces("1.1")
    assert [r.version for r in line.state.releases] == ["1.1"]
    with pytest.raises(Exception, match="A version never changes"):
        line.announces("1.1", digest="sha256:other")


@pytest.mark.parametrize("version", ["", "  ", "x" * 129, "1\n2"])
def test_rule_01_a_version_is_a_short_printable_word(version: str):
    with pytest.raises(Exception, match="1 to 128 printable"):
        Line().announces(version)


# ---- 2: one release in a stage --------------------------------------------------------------------------------------


def test_rule_02_a_stage_is_occupied_by_one_release_at_a_time():
    line = Line()
    line.announces("1.1")
    line.announces("1.2")
    assert line.occupant("beta") == ("1.1", "deploying")
    assert line.kinds("1.2") == ["occupied", "busy"]
    line.deploys()
    assert line.release("1.2").passed == ("beta",)
    assert line.occupant("one-box") == ("1.1", "baking")


def test_rule_02_what_passed_waits_at_the_exit_and_leaves_the_stage_free():
    line = Line()
    line.hears(PauseRequested(by=EVE, reason="look", scope_name="one-box"))
    line.announces("1.1")
    line.deploys()
    assert line.occupant("beta") == ("", "")
    assert line.occupant("one-box") == ("", "")
    line.announces("1.2")
    assert line.occupant("beta") == ("1.2", "deploying")


def test_rule_02_different_releases_are_in_different_stages_at_once():
    line = Line()
    line.announces("1.1")
    line.deploys()
    line.passes(timedelta(minutes=10))
    line.announces("1.2")
    line.deploys()
    assert line.occupant("wave-1") == ("1.1", "baking")
    assert line.occupant("one-box") == ("1.2", "baking")


# ---- 3: overtaking --------------------------------------------------------------------------------------------------


def waiting_behind(order: Order, *versions: str, definition: Pipeline | None = None) -> Line:
    """A line whose one-box is paused; the versions wait before it."""
    line = Line(replace(definition or pipeline(), order=order))
    line.hears(PauseRequested(by=ANN, reason="look", scope_name="one-box"))
    for version in versions:
        line.announces(version)
        if order is Order.MANUAL:
            line.hears(PromoteRequested(by=ANN, version=version))
        line.deploys()
    return line


def test_rule_03_newest_takes_the_place_of_the_older_that_waits():
    line = waiting_behind(Order.NEWEST, "1.1", "1.2")
    assert line.release("1.1").status.kind == "superseded"
    assert line.kinds("1.2", "one-box") == ["paused"]
    line.hears(ResumeRequested(by=ANN))
    assert line.occupant("one-box") == ("1.2", "deploying")


def test_rule_03_what_is_under_way_is_never_overtaken():
    line = Line()
    line.announces("1.1")
    line.deploys()
    assert line.occupant("one-box") == ("1.1", "baking")
    line.announces("1.2")
    line.deploys()
    assert line.occupant("one-box") == ("1.1", "baking")
    assert line.release("1.1").status.kind == "live"
    assert line.kinds("1.2", "one-box") == ["occupied"]


def test_rule_03_the_open_request_of_the_older_is_void_and_its_approvers_are_told():
    line = Line(with_approval())
    line.announces("1.1")
    line.deploys()
    request = line.state.approvals[0]
    line.announces("1.2")
    line.deploys()
    assert [r.release for r in line.state.approvals] == [line.release("1.2").id]
    told = line.said("superseded")[-1]
    assert told.asks == ("approvers",)
    assert "request for approval is void" in told.sentence
    assert "not open any more" in line.refuses(ApproveRequested(by=BOB, request_id=request.id))


def test_rule_03_once_one_approval_of_several_is_cast_the_older_keeps_its_place():
    line = Line(with_approval(2))
    line.announces("1.1")
    line.deploys()
    line.approves(BOB)
    line.announces("1.2")
    line.deploys()
    assert line.release("1.1").status.kind == "live"
    assert "order" in line.kinds("1.2", "one-box")
    line.approves(CAROL, "1.1")
    assert line.occupant("one-box") == ("1.1", "deploying")


def test_rule_03_the_older_keeps_its_place_until_its_request_expires():
    rule = ApprovalRule(count=2, by=("approvers",), expires=timedelta(hours=3))
    line = Line(pipeline(groups=(Group(name="production", approval=rule),)))
    line.announces("1.1")
    line.deploys()
    line.approves(BOB)
    line.announces("1.2")
    line.deploys()
    line.passes(timedelta(hours=3))
    assert line.release("1.1").status.kind == "superseded"
    assert [r.release for r in line.state.approvals] == [line.release("1.2").id]


def test_rule_03_even_a_picked_one_waits_for_what_holds_its_place():
    line = Line(with_approval(2))
    line.announces("1.1")
    line.deploys()
    line.announces("1.2")
    line.deploys()
    line.hears(CancelRequested(by=ANN, version="1.2", reason="later"))
    line.hears(PromoteRequested(by=ANN, version="1.1"))
    line.approves(BOB)
    line.hears(PromoteRequested(by=ANN, version="1.2"))
    assert line.release("1.2").passed == ("beta",)
    assert line.kinds("1.2", "one-box")[-1] == "order"
    line.approves(CAROL)
    assert line.occupant("one-box") == ("1.1", "deploying")


def test_rule_03_a_queue_lets_the_first_in_first():
    line = waiting_behind(Order.QUEUE, "1.1", "1.2")
    assert line.release("1.1").is_live
    assert set(line.kinds("1.2", "one-box")) == {"order", "paused"}
    line.hears(ResumeRequested(by=ANN))
    assert line.occupant("one-box") == ("1.1", "deploying")
    line.deploys()
    line.passes(timedelta(minutes=10))
    assert line.occupant("one-box")[0] == "1.2"


def test_rule_03_a_person_picks_where_the_order_is_manual():
    line = waiting_behind(Order.MANUAL, "1.1", "1.2")
    line.hears(ResumeRequested(by=ANN))
    assert line.occupant("one-box") == ("", "")
    assert line.kinds("1.1", "one-box") == ["pick"]
    line.hears(PromoteRequested(by=ANN, version="1.1"))
    assert line.occupant("one-box") == ("1.1", "deploying")
    assert line.release("1.2").is_live, "what waits for a person is not overtaken either"


def test_rule_03_newer_means_by_ancestry_where_it_is_known():
    line = Line(pipeline(order=Order.NEWEST))
    line.hears(PauseRequested(by=ANN, reason="look", scope_name="one-box"))
    line.announces("2.0", ancestors=("1.9",))
    line.deploys()
    line.announces("1.9", ancestors=())
    line.deploys()
    assert line.release("1.9").status.kind == "superseded", "built later, but it is the older"
    line.hears(ResumeRequested(by=ANN))
    assert line.occupant("one-box") == ("2.0", "deploying")


def test_rule_03_a_hotfix_by_ancestry_enters_over_what_was_built_later():
    line = Line(pipeline(quick("beta"), quick("wave-1", after=("beta",)), groups=(), alarms=()))
    line.hears(PauseRequested(by=ANN, reason="look"))
    line.announces("2.0", ancestors=("1.9",))
    line.hears(CancelRequested(by=ANN, version="2.0", reason="not yet"))
    line.announces("1.9", ancestors=())
    line.hears(ResumeRequested(by=ANN))
    line.deploys()
    assert line.runs("wave-1") == "1.9"
    line.hears(PromoteRequested(by=ANN, version="2.0"))
    line.deploys()
    line.deploys()
    assert line.runs("wave-1") == "2.0", "it arrived first, but contains 1.9"


def test_rule_03_a_newer_release_takes_a_stage_that_stands_still():
    line = Line()
    line.travels("1.0")
    line.announces("1.1")
    line.deploys(fail=("beta",))
    assert line.occupant("beta") == ("1.1", "stopped")
    line.announces("1.2")
    assert line.occupant("beta") == ("1.2", "deploying")
    assert line.release("1.1").status.kind == "superseded"


def test_rule_03_an_older_release_never_takes_it():
    line = Line(pipeline(quick("beta"), quick("wave-1", after=("beta",)), groups=(), alarms=(), order=Order.QUEUE))
    line.hears(PauseRequested(by=ANN, reason="look", scope_name="wave-1"))
    line.announces("1.1")
    line.deploys()
    line.announces("1.2")
    line.deploys(fail=("beta",))
    line.announces("1.0", ancestors=())
    assert line.kinds("1.1", "wave-1") == ["paused"]
    assert line.occupant("beta")[0] != "1.1"


# ---- 4: pinned to the definition ------------------------------------------------------------------------------------


def test_rule_04_a_run_is_pinned_to_the_definition_it_entered_under():
    line = Line()
    line.announces("1.1")
    line.deploys()
    assert line.occupant("one-box") == ("1.1", "baking")
    longer = tuple(
        replace(s, bake=replace(s.bake, duration=timedelta(hours=5))) if s.name != "beta" else s
        for s in line.state.definition.stages
    )
    line.hears(DefinitionApplied(definition=replace(pipeline(*longer), revision="r2"), by=ANN))
    line.passes(timedelta(minutes=10))
    assert line.release("1.1").passed == ("beta", "one-box"), "ten minutes, as when it entered"
    line.deploys()
    line.passes(timedelta(hours=4))
    assert line.occupant("wave-1") == ("1.1", "baking"), "the new definition is in force from this entry on"
    assert line.state.pinned == ()


def test_rule_04_the_same_definition_again_changes_nothing():
    line = Line()
    before = line.state
    line.hears(DefinitionApplied(definition=pipeline(), by=ANN))
    assert line.state == before
    assert "already has this definition" in line.answer


def test_rule_04_going_back_to_an_earlier_definition_mid_flight():
    line = Line()
    line.announces("1.1")
    line.deploys()
    line.hears(DefinitionApplied(definition=pipeline(revision="r2"), by=ANN))
    line.hears(DefinitionApplied(definition=pipeline(revision="r1"), by=ANN))
    line.passes(timedelta(minutes=10))
    line.deploys()
    line.passes(timedelta(minutes=10))
    assert line.release("1.1").status.kind == "completed"


def three_to_two() -> tuple[Pipeline, Pipeline]:
    beta, gamma = quick("beta"), stage("gamma", after=("beta",), watch=timedelta())
    return (
        pipeline(beta, gamma, quick("wave-1", after=("gamma",)), groups=(), alarms=()),
        pipeline(beta, quick("wave-1", after=("beta",)), groups=(), alarms=(), revision="r2"),
    )


def test_rule_04_a_release_whose_stage_is_gone_goes_on_after_the_last_it_passed():
    three, two = three_to_two()
    line = Line(three)
    line.hears(PauseRequested(by=ANN, reason="look", scope_name="gamma"))
    line.announces("1.1")
    line.deploys()
    line.hears(DefinitionApplied(definition=two, by=ANN))
    line.deploys()
    assert line.release("1.1").status.kind == "completed"
    assert line.release("1.1").passed == ("beta", "wave-1")


def test_rule_04_what_moves_in_a_stage_that_is_gone_ends_there():
    three, two = three_to_two()
    line = Line(three)
    line.announces("1.1")
    line.deploys()
    assert line.occupant("gamma") == ("1.1", "baking")
    line.hears(DefinitionApplied(definition=two, by=ANN))
    line.deploys()
    line.passes(timedelta(minutes=10))
    assert line.release("1.1").status.kind == "completed"
    assert [s.name for s in line.state.stages] == ["beta", "wave-1"], "the stage goes with its last run"
    assert [t.name for t in line.state.targets] == ["beta", "wave-1"]


def test_rule_04_a_stage_that_is_gone_and_stands_still_is_left_when_nothing_is_in_flight():
    three, two = three_to_two()
    line = Line(three)
    line.travels("1.0")
    line.announces("1.1")
    effect = line.pending(StartDeployment)[0]
    for _ in range(2):
        effect = line.pending(StartDeployment)[0]
        line.effects.clear()
        line.hears(DeploymentStarted(key=effect.key, ref="r"))
        if effect.stage == "beta":
            line.hears(DeploymentSucceeded(key=effect.key))
    line.hears(CancelRequested(by=ANN, version="1.1", reason="no"))
    assert line.occupant("gamma") == ("1.1", "stopped")
    line.hears(DefinitionApplied(definition=two, by=ANN))
    assert line.occupant("gamma") == ("1.1", "stopped"), "its deployment may still be alive"
    line.hears(DeploymentFailed(key=effect.key, reason="stopped"))
    assert [s.name for s in line.state.stages] == ["beta", "wave-1"]


def test_rule_04_a_stage_put_in_before_one_already_passed_holds_nothing_up():
    beta, one = quick("beta"), quick("one-box", after=("beta",))
    line = Line(pipeline(beta, one, quick("wave-1", after=("one-box",)), groups=(), alarms=()))
    line.hears(PauseRequested(by=ANN, reason="look", scope_name="wave-1"))
    line.announces("1.1")
    line.deploys()
    load, one2 = quick("load", after=("beta",)), quick("one-box", after=("load",))
    wave = quick("wave-1", after=("load", "one-box"))
    line.hears(
        DefinitionApplied(definition=pipeline(beta, load, one2, wave, groups=(), alarms=(), revision="r2"), by=ANN)
    )
    assert line.kinds("1.1") == ["paused"]
    line.hears(ResumeRequested(by=ANN))
    line.deploys()
    assert line.release("1.1").status.kind == "completed"


def test_rule_04_a_release_with_nothing_left_to_pass_is_complete():
    beta, one = quick("beta"), quick("one-box", after=("beta",))
    line = Line(pipeline(beta, one, quick("wave-1", after=("one-box",)), groups=(), alarms=()))
    line.hears(PauseRequested(by=ANN, reason="look", scope_name="wave-1"))
    line.announces("1.1")
    line.deploys()
    line.hears(DefinitionApplied(definition=pipeline(beta, one, groups=(), alarms=(), revision="r2"), by=ANN))
    assert line.release("1.1").status.kind == "completed"


def test_rule_04_targets_of_a_run_are_those_it_entered_under():
    beta = quick("beta")
    line = Line(pipeline(beta, stage("wave", "a", "b", after=("beta",)), groups=(), alarms=()))
    line.announces("1.1")
    line.effects, beta_effects = [], line.pending(StartDeployment)
    line.hears(DeploymentSucceeded(key=beta_effects[0].key))
    assert started(line, "wave") == ["a"]
    other = stage("wave", "b", "c", after=("beta",))
    line.hears(DefinitionApplied(definition=pipeline(beta, other, groups=(), alarms=(), revision="r2"), by=ANN))
    line.deploys()
    assert (line.runs("a"), line.runs("b")) == ("1.1", "1.1")
    line.passes(timedelta(minutes=10))
    assert line.release("1.1").status.kind == "completed"
    assert [t.name for t in line.state.targets] == ["beta", "b", "c"]
    assert line.runs("c") == "", "a target that came later waits for the next entry"


def test_rule_04_a_target_that_moves_to_another_stage_does_so_when_nothing_is_in_flight():
    beta = quick("beta")
    wave, rest = quick("wave", "a", "b", after=("beta",)), quick("rest", "c", after=("wave",))
    line = Line(pipeline(beta, wave, rest, groups=(), alarms=()))
    line.announces("1.1")
    key = line.pending(StartDeployment)[0].key
    line.effects.clear()
    line.hears(DeploymentSucceeded(key=key))
    assert started(line, "wave") == ["a"]
    moved = pipeline(
        beta,
        quick("wave", "b", after=("beta",)),
        quick("rest", "a", "c", after=("wave",)),
        groups=(),
        alarms=(),
        revision="r2",
    )
    line.hears(DefinitionApplied(definition=moved, by=ANN))
    line.deploys()
    assert {t.name: t.stage for t in line.state.targets} == {"beta": "beta", "a": "rest", "b": "wave", "c": "rest"}
    assert line.release("1.1").status.kind == "completed"


def test_rule_04_a_rollback_works_across_definitions():
    line = Line()
    line.travels("1.0")
    line.travels("1.1")
    other = tuple(replace(s, watch=timedelta(hours=2)) for s in pipeline().stages)
    line.hears(DefinitionApplied(definition=pipeline(*other, revision="r2"), by=ANN))
    line.hears(RollbackRequested(by=ANN, scope_name="wave-1", reason="slow"))
    line.deploys()
    assert [line.runs(t) for t in "abc"] == ["1.0", "1.0", "1.0"]


# ---- 5: batches -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "batch", "at_once"),
    [
        (1, Batch(), 1),
        (3, Batch(), 1),
        (6, Batch(), 1),
        (7, Batch(), 2),
        (9, Batch(), 2),
        (100, Batch(), 33),
        (10, Batch(forward_percent=50, healthy_percent=66), 3),
        (10, Batch(forward_percent=20, healthy_percent=0), 2),
        (10, Batch(forward_percent=100, healthy_percent=0), 10),
    ],
)
def test_rule_05_at_most_a_third_at_a_time_and_two_thirds_stay_healthy(count: int, batch: Batch, at_once: int):
    names = tuple(f"t{n:03}" for n in range(count))
    line = Line(pipeline(quick("beta", *names, batch=batch), groups=(), alarms=()))
    line.announces("1.1")
    assert len(started(line, "beta")) == at_once
    first = line.pending(StartDeployment)[0]
    assert isinstance(first, StartDeployment)
    assert (first.batch_percent, first.healthy_percent) == (batch.forward_percent, batch.healthy_percent)
    line.hears(DeploymentSucceeded(key=first.key))
    assert len(started(line, "beta")) == min(count, at_once + 1), "the next takes the place of what ended"


def test_rule_05_batches_take_one_of_each_zone_in_turn():
    zones = {"a1": "a", "a2": "a", "a3": "a", "b1": "b", "b2": "b", "c1": "c"}
    targets = tuple(Target(name=n, zone=z) for n, z in zones.items())
    all_at_once = Batch(forward_percent=100, healthy_percent=0)
    line = Line(pipeline(quick("beta", targets=targets, batch=all_at_once), groups=(), alarms=()))
    line.announces("1.1")
    assert started(line, "beta") == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_rule_05_a_rollback_takes_one_of_each_zone_in_turn_as_well():
    zones = tuple(Target(name=n, zone=z) for n, z in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b")))
    wide = replace(stage("wave-1"), targets=zones, batch=Batch(forward_percent=50, back_percent=50, healthy_percent=50))
    line = Line(pipeline(wide, groups=(), alarms=()))
    line.travels("1.0")
    line.passes(timedelta(hours=3))
    line.travels("1.1")
    line.hears(RollbackRequested(by=ANN, reason="slow"))
    assert [e.target for e in line.pending(StartDeployment)] == ["a1", "b1"]


def test_rule_05_a_rollback_may_use_its_own_larger_batch():
    names = tuple(f"t{n}" for n in range(6))
    batch = Batch(forward_percent=33, back_percent=50)
    line = Line(pipeline(quick("beta", *names, batch=batch), groups=(), alarms=()))
    line.travels("1.0")
    line.travels("1.1")
    line.hears(RollbackRequested(by=ANN, reason="slow"))
    assert len(started(line, "beta")) == 3
    back = line.pending(StartDeployment)[0]
    assert isinstance(back, StartDeployment)
    assert (back.is_rollback, back.batch_percent) == (True, 50)


def test_rule_05_tests_of_a_stage_begin_when_all_targets_have_it():
    line = Line(pipeline(quick("beta", "a", "b", tests=(StageTest(name="smoke", uses="http"),)), groups=(), alarms=()))
    line.announces("1.1")
    line.hears(DeploymentSucceeded(key=line.pending(StartDeployment)[0].key))
    assert line.pending(RunStageTest) == []
    line.hears(DeploymentSucceeded(key=line.pending(StartDeployment)[1].key))
    assert [e.digest for e in line.pending(RunStageTest)] == ["sha256:1.1"]


def test_rule_03_manual_up_to_a_stage_goes_on_by_itself():
    line = Line(pipeline(order=Order.MANUAL))
    line.announces("1.1")
    assert line.kinds("1.1") == ["pick"]
    line.hears(PromoteRequested(by=ANN, to_stage="one-box"))
    line.deploys()
    line.passes(timedelta(minutes=10))
    assert line.release("1.1").passed == ("beta", "one-box")
    assert set(line.kinds("1.1")) == {"goal", "pick"}


def test_rule_03_a_branch_still_to_be_picked_can_be_picked_while_the_other_bakes():
    line = Line(
        pipeline(
            quick("beta"),
            stage("left", after=("beta",)),
            stage("right", after=("beta",)),
            groups=(),
            alarms=(),
            order=Order.MANUAL,
        )
    )
    line.announces("1.1")
    line.hears(PromoteRequested(by=ANN, to_stage="left"))
    line.deploys()
    assert (line.occupant("left"), line.occupant("right")) == (("1.1", "baking"), ("", ""))
    line.hears(PromoteRequested(by=ANN))
    line.deploys()
    assert line.occupant("right") == ("1.1", "baking")
    assert "is baking in left" in line.refuses(PromoteRequested(by=ANN))
