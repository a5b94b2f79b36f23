"""The way forward: entering a stage, deploying in batches, testing, baking, passing [1–7, 11]."""

from __future__ import annotations

from datetime import timedelta
from typing import assert_never

from core.releases import rollback
from core.releases.approvals import running_digests, scopes_of, void_reason, votes_that_lapsed
from core.releases.authority import called
from core.releases.bake import ceiling_at, health, missing
from core.releases.batches import at_once_forward, striped
from core.releases.blockers import (
    STRUCTURAL,
    active_override,
    holding_marks,
    is_newer,
    leader,
    may_overtake,
    other_blockers,
    ungranted,
)
from core.releases.copies import replace
from core.releases.draft import Draft
from core.releases.effects import RunStageTest
from core.releases.pipeline import Order, Stage
from core.releases.state import (
    ApprovalRequest,
    Baking,
    Deploying,
    Release,
    RollingBack,
    StageRun,
    StopCause,
    Stopped,
    TargetState,
    Testing,
    TestRun,
    Watch,
)
from core.releases.statuses import Superseded
from core.releases.words import duration, listed, place, title


def advance(draft: Draft, name: str) -> bool:
    """Move the run of a stage on as far as it goes by itself; returns whether anything moved."""
    run = draft.state.stage(name).run
    assert run is not None, f"{name} is empty"
    match run.phase:
        case Deploying():
            return _deploy(draft, name, run, run.phase)
        case Testing():
            return _judge_tests(draft, name, run, run.phase)
        case Baking():
            return _bake(draft, name, run, run.phase)
        case RollingBack():
            return rollback.advance(draft, name, run, run.phase)
        case Stopped():
            return _leave_if_cancelled(draft, name, run, run.phase)
        case _:
            assert_never(run.phase)


# ---- entering -------------------------------------------------------------------------------------------------------


def admit(draft: Draft, stage: Stage) -> bool:
    """Let the next release into a stage if nothing speaks against it; returns whether anything moved."""
    moved = _supersede_older_than_running(draft, stage)
    first = leader(draft.state, stage, draft.world, draft.now)
    if first is None:
        return moved
    moved = _supersede_behind(draft, stage, first) or moved
    found = other_blockers(draft.state, first, stage, draft.world, draft.now)
    lacks_approval = bool(ungranted(draft.state, first, stage, draft.world, draft.now))
    if not found and not lacks_approval:
        _enter(draft, stage, first)
        return True
    if lacks_approval and not any(b.kind in STRUCTURAL for b in found):
        moved = _ask_approval(draft, stage, first) or moved
    return moved


def _supersede_behind(draft: Draft, stage: Stage, first: Release) -> bool:
    """In the order `newest` the newer takes the place of the older that waits at the same entry [3]."""
    if draft.definition.order is not Order.NEWEST or stage.name in first.picked:
        return False
    if holding_marks(draft.state, first, stage):
        return False
    moved = False
    for other in draft.waiting_at(stage):
        if other.id == first.id or not is_newer(first, other):
            continue
        _supersede(draft, other, first, f"{first.version} is newer and waits at {stage.name} as well")
        moved = True
    return moved


def _supersede_older_than_running(draft: Draft, stage: Stage) -> bool:
    moved = False
    running = dict.fromkeys(t.current.release for t in draft.state.targets_of(stage.name) if t.current is not None)
    for name in running:
        by = draft.state.release(name)
        if by is None:
            continue
        for other in draft.waiting_at(stage):
            if other.id != by.id and is_newer(by, other):
                _supersede(draft, other, by, f"{stage.name} already runs {by.version}, which is newer")
                moved = True
    return moved


def _supersede(draft: Draft, release: Release, by: Release, reason: str) -> None:
    draft.put_release(replace(release, status=Superseded(by=by.version, at=draft.now), goal="", picked=()))
    void = draft.drop_requests(lambda r: r.release == release.id)
    rest = " The open request for approval is void." if void else ""
    asked = tuple(dict.fromkeys(name for r in void for name in _asked(draft, r)))
    draft.tell(
        release.id,
        "superseded",
        f"{title(draft.definition, release)} is superseded: {reason}.{rest}",
        asks=asked,
    )


def _asked(draft: Draft, request: ApprovalRequest) -> tuple[str, ...]:
    stages = draft.definition.stages_in(request.scope)
    return next(
        (rule.by for s in stages for scope, rule in scopes_of(draft.definition, s) if scope == request.scope), ()
    )


def _ask_approval(draft: Draft, stage: Stage, release: Release) -> bool:
    asked = False
    for scope, rule in scopes_of(draft.definition, stage):
        if any(r.release == release.id and r.scope == scope for r in draft.state.approvals):
            continue
        replaces = running_digests(draft.state, scope, release.digest)
        request = ApprovalRequest(
            id=draft.name("approval"),
            release=release.id,
            scope=scope,
            digest=release.digest,
            revision=draft.definition.revision,
            replaces=tuple(sorted(replaces)),
            asked_at=draft.now,
            expires_at=draft.now + rule.expires,
        )
        draft.change(lambda s, new=request: replace(s, approvals=(*s.approvals, new)))  # type: ignore[misc]
        count = "an approval" if rule.count == 1 else f"{rule.count} approvals"
        draft.tell(
            release.id,
            "approval_asked",
            f"{title(draft.definition, release)} needs {count} before it enters {place(scope)}.",
            asks=rule.by,
            is_broadcast=True,
            offers=("approve", "reject"),
            subject=request.id,
        )
        asked = True
    return asked


def void_requests(draft: Draft) -> bool:
    """Drop the requests whose subject changed [20]; people are told, and asked again if it still waits."""
    moved = False
    for request in draft.state.approvals:
        because = void_reason(draft.state, request, draft.now)
        if not because:
            moved = _drop_votes(draft, request) or moved
            continue
        draft.drop_requests(lambda r, void=request: r.id == void.id)  # type: ignore[misc]
        release = draft.state.release(request.release)
        if release is not None and release.is_live:
            draft.tell(
                release.id,
                "approval_void",
                f"The request for approval of {title(draft.definition, release)} for {place(request.scope)} is void: "
                f"{because}.",
            )
        moved = True
    return moved


def _drop_votes(draft: Draft, request: ApprovalRequest) -> bool:
    """An approver who is not asked any more, or turns out to have had a part in it, does not count [20]."""
    void = votes_that_lapsed(draft.state, request, draft.world)
    if not void:
        return False
    left = replace(request, votes=tuple(vote for vote in request.votes if vote not in void))
    draft.change(lambda s: replace(s, approvals=tuple(left if r.id == left.id else r for r in s.approvals)))
    release = draft.state.released(request.release)
    given = listed(f"{vote.by.name}'s approval" for vote in void)
    draft.tell(
        release.id,
        "approval_void",
        f"{given} of {title(draft.definition, release)} for "
        f"{place(request.scope)} does not count any more: whoever gave it may not approve it now.",
        asks=_asked(draft, request),
        offers=("approve", "reject"),
        subject=request.id,
    )
    return True


def _enter(draft: Draft, stage: Stage, release: Release) -> None:
    before = draft.state.stage(stage.name)
    if before.run is not None:
        assert may_overtake(draft.state, before.run, release), f"{stage.name} is occupied"
        _overtake(draft, stage, draft.state.released(before.run.release), release)
    override = active_override(draft.state, release, stage, draft.now)
    red = health(draft.state, draft.definition, stage, draft.now).red
    draft.put_stage(replace(draft.state.stage(stage.name), watch=None, run=None))
    draft.put_run(
        stage.name,
        StageRun(
            release=release.id,
            revision=draft.definition.revision,
            entered_at=draft.now,
            phase=Deploying(since=draft.now),
            red_at_entry=red,
            override=override.id if override else "",
        ),
    )
    notes = _entry_notes(draft, stage, release, red, forced=override is not None)
    draft.tell(
        release.id,
        "entered",
        f"{title(draft.definition, release)} enters {stage.name}.{notes}",
    )


def _entry_notes(draft: Draft, stage: Stage, release: Release, red: tuple[str, ...], *, forced: bool) -> str:
    notes = ""
    if forced:
        notes += " It was let in by override."
    if red:
        notes += f" {listed(red)} was red before: only what turns red from now on counts."
    lost = [
        t.name for t in draft.state.targets_of(stage.name) if rollback.good_for(draft.state, t, release.digest) is None
    ]
    if lost and stage.on_alarm == "rollback":
        notes += f" It cannot be rolled back on {listed(lost)}: no known good version is there yet."
    return notes


def _overtake(draft: Draft, stage: Stage, old: Release, new: Release) -> None:
    """The release that stood still here makes place; the newer levels all targets [12]."""
    if old.is_live:
        _supersede(draft, old, new, f"{new.version} takes its place in {stage.name}")
    for page in draft.state.pages:
        if page.stage == stage.name:
            draft.end_page(page, f"{title(draft.definition, new)} takes over in {stage.name}.")


# ---- deploying ------------------------------------------------------------------------------------------------------


def _deploy(draft: Draft, name: str, run: StageRun, phase: Deploying) -> bool:
    stage = draft.state.definition_of(run).by_name[name]
    release = draft.state.released(run.release)
    targets = draft.state.targets_of(name)
    left = [t for t in targets if t.deployment is not None or not _runs(t, release)]
    in_flight = [t for t in left if t.deployment is not None]
    if not left:
        _deployed(draft, name, run, stage, release)
        return True
    if phase.failed:
        if not in_flight:
            rollback.stand_still(
                draft,
                name,
                release,
                StopCause.TARGET_FAILED,
                f"{listed(phase.failed)} refused it; the other targets stay as they are",
            )
            return True
        return False
    places = at_once_forward(stage, len(targets)) - len(in_flight)
    left = [t for t in left if t.deployment is None]
    if places <= 0 or not left:
        return False
    begun = striped(draft.state.definition_of(run), name, left, places)
    draft.put_run(name, replace(run, reached=(*run.reached, *[target.name for target in begun])))
    what = release.installed
    for target in begun:
        draft.start(stage, target, what, is_rollback=False, is_automatic=True)
    return True


def _runs(target: TargetState, release: Release) -> bool:
    return target.current is not None and target.current.digest == release.digest and not target.is_mixed


def _deployed(draft: Draft, name: str, run: StageRun, stage: Stage, release: Release) -> None:
    where = _all_run(stage)
    if stage.tests:
        tests = tuple(TestRun(name=test.name, key=draft.name("test")) for test in stage.tests)
        draft.put_phase(name, Testing(since=draft.now, tests=tests))
        draft.tell(
            release.id,
            "testing",
            f"{name}: {where} {release.version}; {listed(t.name for t in stage.tests)} begins.",
        )
        for test, planned in zip(tests, stage.tests, strict=True):
            draft.do(
                RunStageTest(
                    key=test.key,
                    stage=name,
                    test=test.name,
                    uses=planned.uses,
                    settings=planned.settings,
                    timeout=planned.timeout,
                    version=release.version,
                    digest=release.digest,
                )
            )
        return
    _start_bake(draft, name, run, stage, release, where)


def _all_run(stage: Stage) -> str:
    count = len(stage.targets)
    return "its only target runs" if count == 1 else f"all {count} targets run"


def _start_bake(draft: Draft, name: str, run: StageRun, stage: Stage, release: Release, done: str) -> None:
    del run
    draft.put_phase(name, Baking(since=draft.now, credited_until=draft.now))
    if stage.bake.duration or stage.bake.minimum_points:
        points = f" and {stage.bake.minimum_points} data points" if stage.bake.minimum_points else ""
        draft.tell(
            release.id,
            "baking",
            f"{name}: {done} {release.version}; it bakes for {duration(stage.bake.duration)}{points}.",
        )


# ---- testing --------------------------------------------------------------------------------------------------------


def _judge_tests(draft: Draft, name: str, run: StageRun, phase: Testing) -> bool:
    if any(not test.outcome for test in phase.tests):
        return False
    release = draft.state.released(run.release)
    stage = draft.state.definition_of(run).by_name[name]
    bad = [t for t in phase.tests if t.outcome == "failed"]
    unclear = [t for t in phase.tests if t.outcome == "errored"]
    if bad or unclear:
        worst = bad or unclear
        said = "failed" if bad else "could not tell"
        why = listed(f"{t.name} {said}{': ' + t.detail if t.detail else ''}{_linked(t)}" for t in worst)
        cause = StopCause.TEST_FAILED if bad else StopCause.TEST_ERRORED
        rollback.stand_still(draft, name, release, cause, why)
        return True
    names = listed(t.name for t in phase.tests)
    _start_bake(draft, name, run, stage, release, f"{names} passed; {_all_run(stage)}")
    return True


def _linked(test: TestRun) -> str:
    """Where its result can be looked at."""
    return f" ({test.url})" if test.url else ""


# ---- baking and passing ---------------------------------------------------------------------------------------------


def _bake(draft: Draft, name: str, run: StageRun, phase: Baking) -> bool:
    stage = draft.state.definition_of(run).by_name[name]
    lacks = missing(draft.state, run, stage, draft.now)
    release = draft.state.released(run.release)
    targets = draft.state.targets_of(name)
    if any(t.drift for t in targets):
        return False  # What bakes is not what was deployed; nothing passes until somebody reconciles [27].
    if others := [t.name for t in targets if not _runs(t, release)]:
        reason = f"{listed(others)} was changed outside Andon, and it was kept"
        rollback.stand_still(draft, name, release, StopCause.TARGET_FAILED, reason)
        return True
    if lacks.is_nothing or _cut_short(draft, stage, release):
        _pass(draft, name, stage, release, phase, is_good=lacks.is_nothing)
        return True
    if phase.asked:
        return False
    late = ceiling_at(run, stage)
    silent = bool(lacks.unknown) and draft.now > phase.since
    if not silent and (late is None or draft.now < late):
        return False
    draft.put_phase(name, replace(phase, asked=True))
    what = _lacking(lacks.time, lacks.points, lacks.unknown, lacks.red)
    begin = "its clock stands still" if silent else f"it has not ended after {duration(draft.now - phase.since)}"
    draft.tell(
        release.id,
        "bake_asked",
        f"{title(draft.definition, release)} bakes in {name}, but {begin}: {what}. Please look; it neither passes nor "
        "rolls back by itself.",
        asks=called(draft.world, draft.definition),
        is_broadcast=True,
        offers=("pause", "rollback"),
        subject=name,
    )
    return True


def _lacking(time: timedelta, points: int, unknown: tuple[str, ...], red: tuple[str, ...]) -> str:
    parts = []
    if unknown:
        parts.append(f"the alarm {listed(unknown)} is unknown")
    if red:
        parts.append(f"the alarm {listed(red)} is red")
    if points:
        parts.append(f"{points} data points are missing")
    if time:
        parts.append(f"{duration(time)} of bake time is missing")
    return listed(parts)


def _cut_short(draft: Draft, stage: Stage, release: Release) -> bool:
    """An override of the next stage may skip the waiting here, but never the one-box's [23]."""
    if stage.is_one_box:
        return False
    following = [s for s in draft.definition.stages if stage.name in s.after]
    return any(active_override(draft.state, release, s, draft.now) is not None for s in following)


def _pass(draft: Draft, name: str, stage: Stage, release: Release, phase: Baking, *, is_good: bool) -> None:
    """The stage is free again. A bake that an override cut short makes nothing good [13]."""
    if is_good:
        keep = draft.definition.keep_good
        goods = {t.name: rollback.good_with(draft.state, t, keep) for t in draft.state.targets_of(name)}
        draft.put_goods(name, goods)
    run = draft.state.stage(name).run
    assert run is not None, "a passing release occupies its stage"
    watch = Watch(
        release=release.id,
        until=draft.now + stage.watch,
        red_at_entry=run.red_at_entry,
        entered_at=run.entered_at,
    )
    draft.put_run(name, None)
    draft.put_stage(replace(draft.state.stage(name), watch=watch if stage.watch else None))
    passed = replace(draft.state.released(release.id), passed=(*(p for p in release.passed if p != name), name))
    draft.put_release(passed)
    _heal(draft, name, passed)
    took = f" after {duration(draft.now - phase.since)} of baking" if stage.bake.duration else ""
    draft.tell(release.id, "passed", f"{title(draft.definition, release)} passed {name}{took}.")


def _heal(draft: Draft, name: str, release: Release) -> None:
    """What a newer release passed, later ones need not be suspected of any more [15]."""
    bad = tuple(
        replace(m, is_healed=True) if m.stage == name and m.sequence < release.sequence else m for m in draft.state.bad
    )
    if bad != draft.state.bad:
        draft.change(lambda s: replace(s, bad=bad))


def _leave_if_cancelled(draft: Draft, name: str, run: StageRun, phase: Stopped) -> bool:
    """A cancelled release leaves the stage as soon as nothing is in flight there."""
    if phase.cause != StopCause.CANCELLED:
        return False
    if any(t.deployment is not None for t in draft.state.targets_of(name)):
        return False
    draft.touch(run.release)
    draft.put_run(name, None)
    _say_left_uneven(draft, name, run)
    return True


def _say_left_uneven(draft: Draft, name: str, run: StageRun) -> None:
    """What a cancelled deployment leaves behind is nobody's surprise: say it, and what levels it [12]."""
    targets = draft.state.targets_of(name)
    mixed = [t.name for t in targets if t.is_mixed]
    parts = [f"{listed(mixed)} {'is' if len(mixed) == 1 else 'are'} half way"] if mixed else []
    by_version: dict[str, list[str]] = {}
    for target in targets:
        if target.current is not None and not target.is_mixed:
            by_version.setdefault(target.current.version, []).append(target.name)
    if len(by_version) > 1:
        parts += [f"{version} runs on {listed(names)}" for version, names in by_version.items()]
    if parts:
        draft.tell(
            run.release,
            "left_uneven",
            f"{name} is mixed now: {listed(parts)}. `rollback {draft.definition.service} in {name}` levels it, and so "
            "does the next release.",
        )
