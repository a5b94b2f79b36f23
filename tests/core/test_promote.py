"""The table of `promote`, row by row, and who may do what if nothing else is said."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from core.releases.decide import decide
from core.releases.effects import StartDeployment
from core.releases.events import (
    AcknowledgeRequested,
    ApproveRequested,
    CancelRequested,
    Event,
    LiftRequested,
    OverrideRequested,
    PauseRequested,
    PromoteRequested,
    ReconcileRequested,
    RejectRequested,
    ResumeRequested,
    RetryRequested,
    RollbackRequested,
    RunningVersionObserved,
    WorldChanged,
)
from core.releases.pipeline import Bake, Order, StageTest
from core.releases.world import Actor, Freeze, Via
from tests.core.line import ANN, BOB, CAROL, CI, DAVE, EVE, WORLD, Line, in_other_world, pipeline, stage, with_approval

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def promote(version: str = "", to: str = "") -> PromoteRequested:
    return PromoteRequested(by=ANN, version=version, to_stage=to)


def test_promote_without_a_version_the_newest_on_its_way_is_meant():
    line = Line(pipeline(order=Order.MANUAL))
    line.announces("1.1")
    line.announces("1.2")
    line.hears(promote())
    assert line.occupant("beta") == ("1.2", "deploying")
    assert "No release of shop is known" in Line().refuses(promote())


def test_promote_without_a_version_and_nothing_on_its_way_it_is_the_last():
    line = Line()
    line.travels("1.1")
    assert "1.1 is everywhere already" in line.refuses(promote())


def test_promote_a_version_that_is_not_known_offers_the_nearest():
    line = Line()
    line.announces("1.1")
    assert "has no version 1.11 that is remembered. Did you mean 1.1?" in line.refuses(promote("1.11"))


def test_promote_what_waits_for_a_person_to_pick_it_starts():
    line = Line(pipeline(order=Order.MANUAL))
    line.announces("1.1")
    line.hears(promote("1.1"))
    assert line.answer == "shop 1.1 goes on to beta."
    assert line.occupant("beta") == ("1.1", "deploying")


def test_promote_what_needs_approval_asks_again_shows_whom_and_never_approves():
    line = Line(with_approval())
    line.announces("1.1")
    line.deploys()
    line.hears(promote())
    assert "still needs an approval. I asked again: Ann, Bob or Carol." in line.answer
    again = line.said("approval_asked")[-1]
    assert (again.asks, again.offers) == (("approvers",), ("approve", "reject"))
    assert line.occupant("one-box") == ("", "")
    assert line.state.approvals[0].votes == ()


def test_promote_what_is_deployed_is_refused_with_how_far_it_is():
    line = Line()
    line.announces("1.1")
    assert "being deployed in beta (0 of 1 targets). It goes on by itself." in line.refuses(promote())


def test_promote_what_is_tested_is_refused_with_what_is_missing():
    line = Line(pipeline(stage("beta", tests=(StageTest(name="smoke", uses="command"),)), groups=(), alarms=()))
    line.announces("1.1")
    line.deploys(one_at_a_time=True)
    assert "being tested in beta, smoke still runs" in line.refuses(promote())


def test_promote_what_bakes_is_refused_with_the_time_left_and_what_is_missing():
    bake = Bake(duration=10 * MINUTE, minimum_points=50)
    line = Line(pipeline(stage("beta", bake=bake), groups=()))
    line.announces("1.1")
    line.deploys()
    line.now += 4 * MINUTE
    assert "baking in beta: 6 min left and 50 data points missing" in line.refuses(promote())


def test_promote_what_is_rolled_back_or_stands_still_is_refused():
    line = Line()
    line.travels("1.0")
    line.passes(3 * HOUR)
    line.announces("1.1")
    line.deploys()
    line.alarm()
    assert "being rolled back in one-box: the alarm errors turned red" in line.refuses(promote("1.1"))
    line = Line()
    line.announces("1.1")
    line.deploys(fail=("beta",))
    assert "standing still in beta" in line.refuses(promote())
    assert "Use retry, rollback or cancel." in line.refuses(promote())


def paused(line: Line) -> None:
    line.hears(PauseRequested(by=EVE, reason="look", duration=HOUR))


def stopped(line: Line) -> None:
    line.world = in_other_world(WORLD, freezes=(Freeze("f", line.now, line.now + HOUR, "fire", by=BOB),))


def frozen(line: Line) -> None:
    line.world = in_other_world(WORLD, freezes=(Freeze("holidays", line.now, line.now + HOUR, "closed"),))


@pytest.mark.parametrize(
    ("block", "says"),
    [
        (
            paused,
            "The team shop: resume can clear it. It moves by itself at 2026-03-02 12:0",
        ),
        (
            stopped,
            "fire. An administrator: unfreeze; an owner: override can clear it. It moves by itself at 2026-03-02 12:",
        ),
        (
            frozen,
            "the freeze holidays is on: closed. An owner: override can clear it. It moves by itself at 2026-03-02 12:",
        ),
    ],
)
def test_promote_paused_or_frozen_is_refused_with_who_or_when(block, says: str):
    line = Line()
    line.passes(timedelta(hours=2))
    block(line)
    line.announces("1.1")
    line.hears(WorldChanged())
    assert says in line.refuses(promote())


def test_promote_in_alarm_is_refused_with_who():
    line = Line()
    line.travels("1.0")
    line.passes(3 * HOUR)
    line.alarm()
    line.announces("1.1")
    line.deploys()
    assert "the alarm errors is red for 0 s. Whoever mends it; an owner: override can clear it." in line.refuses(
        promote()
    )


def superseded() -> Line:
    line = Line()
    line.hears(PauseRequested(by=ANN, reason="look", scope_name="one-box"))
    for version in ("1.1", "1.2"):
        line.announces(version)
        line.deploys()
    assert line.release("1.1").status.kind == "superseded"
    return line


def test_promote_a_superseded_release_that_passed_the_stage_before_is_revived():
    line = superseded()
    line.state = line.hears(ResumeRequested(by=ANN)).state
    assert line.occupant("one-box") == ("1.2", "deploying")
    line.hears(CancelRequested(by=ANN, version="1.2", reason="no"))
    line.effects.clear()
    line.hears(promote("1.1"))
    assert "is on the line again and waits at one-box" in line.answer
    assert "which was superseded" in line.reasons[-1]
    assert line.release("1.1").is_live


def test_promote_a_revived_release_is_not_overtaken_by_what_overtook_it():
    line = superseded()
    line.hears(promote("1.1"))
    line.hears(ResumeRequested(by=ANN))
    assert line.occupant("one-box") == ("1.1", "deploying")
    assert line.release("1.2").is_live


def test_promote_a_bad_version_is_refused_until_it_is_lifted():
    line = Line()
    line.travels("1.0")
    line.travels("1.1")
    line.hears(RollbackRequested(by=ANN, scope_name="wave-1", reason="slow"))
    line.deploys()
    assert "1.1 is bad: it was rolled back in wave-1 (Ann: slow). An owner can let it past" in line.refuses(
        promote("1.1")
    )
    line.hears(LiftRequested(by=CAROL, version="1.1", reason="looked at"))
    assert line.occupant("wave-1") == ("1.1", "deploying")


def test_promote_what_is_older_than_what_runs_is_refused():
    line = Line()
    line.hears(PauseRequested(by=ANN, reason="look"))
    line.announces("1.0")
    line.hears(CancelRequested(by=ANN, version="1.0", reason="no"))
    line.hears(ResumeRequested(by=ANN))
    line.travels("1.1")
    refusal = line.refuses(promote("1.0"))
    assert "1.0 is older than 1.1, which runs in beta. To go back, use `rollback shop in beta to 1.0" in refusal


def test_promote_to_a_stage_it_goes_on_by_itself_skipping_nothing():
    line = Line(pipeline(order=Order.MANUAL))
    line.announces("1.1")
    line.hears(promote("1.1", to="one-box"))
    assert "goes on by itself up to one-box, skipping nothing" in line.answer
    line.deploys()
    line.passes(20 * MINUTE)
    assert line.release("1.1").passed == ("beta", "one-box")
    assert line.occupant("wave-1") == ("", "")
    line.hears(promote("1.1", to="production"))
    assert line.occupant("wave-1")[0] == "1.1"
    assert "has no stage or group nowhere" in line.refuses(promote("1.1", to="nowhere"))


def test_promote_up_to_a_stage_holds_where_releases_go_on_by_themselves_too():
    line = Line(with_approval())
    line.announces("1.1")
    line.deploys()
    line.hears(promote("1.1", to="one-box"))
    line.approves(BOB)
    line.deploys()
    line.passes(20 * MINUTE)
    assert line.release("1.1").passed == ("beta", "one-box")
    assert line.kinds("1.1", "wave-1") == ["goal"]


def test_promote_what_is_everywhere_is_refused():
    line = Line()
    line.travels("1.0")
    assert "1.0 is everywhere already" in line.refuses(promote("1.0"))


@pytest.mark.parametrize("how", ["rejected", "cancelled"])
def test_promote_rejected_and_cancelled_releases_can_be_revived(how: str):
    line = Line(with_approval())
    line.announces("1.1")
    line.deploys()
    if how == "rejected":
        line.hears(RejectRequested(by=BOB, reason="not now"))
    else:
        line.hears(CancelRequested(by=ANN, version="1.1", reason="not now"))
    assert line.release("1.1").status.kind == how
    line.hears(promote("1.1"))
    assert len(line.state.approvals) == 1, "it is asked anew"
    assert line.state.approvals[0].votes == ()


# ---- who may do what ----

GUEST = Actor("slack:U9", "Gus", Via.SLACK)
ADMIN = Actor("adm", "Ada", Via.SHELL)
ROBOT_ANN = Actor("ann", "a script of Ann's", Via.API, is_person=False)
EVERYBODY = {"team": ANN, "owner": CAROL, "on call": DAVE, "guest": GUEST, "machine": CI, "robot": ROBOT_ANN}
TEAM = {"team", "owner"}

ACTS: dict[str, tuple[Callable[[Actor], Event], set[str]]] = {
    "pause": (lambda by: PauseRequested(by=by, reason="x"), set(EVERYBODY)),
    "promote": (lambda by: PromoteRequested(by=by), TEAM),
    "resume": (lambda by: ResumeRequested(by=by), TEAM),
    "roll back": (lambda by: RollbackRequested(by=by, reason="x", scope_name="wave-1"), TEAM | {"on call"}),
    "retry": (lambda by: RetryRequested(by=by), TEAM),
    "cancel": (lambda by: CancelRequested(by=by, reason="x", version="2.0"), TEAM),
    "reconcile": (lambda by: ReconcileRequested(by=by, choice="keep"), TEAM),
    "approve": (lambda by: ApproveRequested(by=by), TEAM),
    "reject": (lambda by: RejectRequested(by=by, reason="x"), TEAM),
    "override": (lambda by: OverrideRequested(by=by, version="2.0", stage="beta", reason="x"), {"owner"}),
    "lift": (lambda by: LiftRequested(by=by, version="1.1", reason="x"), {"owner"}),
    "acknowledge": (lambda by: AcknowledgeRequested(by=by, page_id="wave-1"), TEAM | {"on call"}),
}


def anything_goes(act: str) -> Line:
    """A line on which the act would be possible, were it not for who asks."""
    line = Line(with_approval())
    for version in ("1.0", "1.1"):
        line.announces(version)
        line.deploys()
        line.approves(BOB)
        line.deploys()
        line.passes(30 * MINUTE)
    assert line.runs("a") == "1.1"
    if act == "lift":
        line.hears(RollbackRequested(by=ANN, scope_name="wave-1", reason="slow"))
        line.deploys()
        return line
    line.announces("2.0")
    if act == "retry":
        line.deploys(fail=("beta",))
        return line
    line.effects = [e for e in line.effects if not (act == "override" and isinstance(e, StartDeployment))]
    line.deploys()
    if act == "resume":
        line.hears(PauseRequested(by=EVE, reason="x"))
    if act == "reconcile":
        line.hears(RunningVersionObserved(target="a", digest="sha256:other"))
    return line


@pytest.mark.parametrize("who", EVERYBODY)
@pytest.mark.parametrize("act", ACTS)
def test_default_authority(act: str, who: str):
    make, allowed = ACTS[act]
    line = anything_goes(act)
    event: Event = make(EVERYBODY[who])
    if who in allowed:
        assert decide(line.state, event, line.world, line.now).state != line.state
    else:
        said = line.refuses(event)
        assert any(word in said for word in ("may", "asked of", "given by people")), said


@pytest.mark.parametrize("act", [a for a in ACTS if a not in ("approve", "reject")])
def test_administrators_may_do_all_of_it(act: str):
    line = anything_goes(act)
    line.world = in_other_world(WORLD, administrators=frozenset({"adm"}))
    decide(line.state, ACTS[act][0](ADMIN), line.world, line.now)


def test_whoever_paused_may_resume():
    line = Line()
    line.hears(PauseRequested(by=GUEST, reason="x"))
    assert "Only the team shop may resume shop. Ask Ann, Bob and Carol." in line.refuses(ResumeRequested(by=EVE))
    line.hears(ResumeRequested(by=GUEST))
    assert line.state.pauses == ()


def test_without_the_team_nobody_may_and_it_is_said_how_to_mend_it():
    line = Line(world=in_other_world(WORLD, teams={}))
    line.announces("1.1")
    assert "the organisation file has no team shop. Add the team" in line.refuses(promote())
    assert "has no team shop" in line.refuses(OverrideRequested(by=CAROL, version="1.1", stage="beta", reason="x"))
    assert "has no team shop" in line.refuses(RollbackRequested(by=DAVE, reason="x"))
