"""Going back [12–17]: to which version, when not, and what stands still instead.

No freeze, window, pause, missing approval or alarm is looked at here: nothing of that kind ever blocks a rollback.
"""

from __future__ import annotations

from datetime import datetime

from core.releases.authority import called
from core.releases.batches import at_once_back, striped
from core.releases.copies import replace
from core.releases.draft import Draft
from core.releases.effects import CancelDeployment
from core.releases.pipeline import Stage
from core.releases.state import (
    BadMark,
    Installed,
    PipelineState,
    Release,
    RollingBack,
    StageRun,
    StopCause,
    Stopped,
    TargetState,
)
from core.releases.statuses import RolledBack
from core.releases.words import duration, listed, title
from core.releases.world import ANDON, Actor

BAD_MARKS_KEPT = 40
"""More are kept only of versions that something here could still bring back, or that are not mended."""
BAD_MARKS_MOST = 400


def good_for(state: PipelineState, target: TargetState, away_from: str) -> Installed | None:
    """The newest other version that finished its bake on a target, is not bad there and still available [13]."""
    for installed in target.good:
        if installed.digest != away_from and _is_usable(state, installed, target.stage):
            return installed
    return None


def _is_usable(state: PipelineState, installed: Installed, stage: str) -> bool:
    """Whether a target of a stage may go back to it."""
    if installed.digest in state.missing_artifacts:
        return False
    return not any(_is_bad_in(state, mark, installed, stage) for mark in state.bad)


def good_with(state: PipelineState, target: TargetState, keep: int) -> tuple[Installed, ...]:
    """The good versions of a target when the one that runs there is good, newest first; `keep` besides that one [13].

    What it could not go back to makes place first: bad versions that had baked well there push out no good one.
    """
    assert target.current is not None, "what bakes runs on every target"
    others = [g for g in target.good if g.digest != target.current.digest]
    if len(others) > keep:
        usable = [g for g in others if _is_usable(state, g, target.stage)]
        kept = (usable + [g for g in others if g not in usable])[:keep]
        others = [g for g in others if g in kept]
    return (target.current, *others)


def _is_bad_in(state: PipelineState, mark: BadMark, installed: Installed, stage: str) -> bool:
    return mark.digest == installed.digest and (
        mark.stage == stage or state.definition.follows(stage, mark.stage) or mark.stage not in state.definition.by_name
    )


def roll_back(
    draft: Draft, name: str, release: Release, *, reason: str, by: Actor, to_version: str = "", alarm: str = ""
) -> None:
    """Take `release` off every target of a stage, each to its own last known good (or to a version a person names)."""
    is_automatic = by is ANDON
    stage = draft.state.stage_definition(name)
    assert stage is not None, f"{name} is in no definition"
    mark_bad(draft, release, name, reason)
    draft.put_release(_has_not_passed(draft, release, name))
    touched = [t for t in draft.state.targets_of(name) if _is_touched(t, release)]
    alone = _going_alone(draft, name, release)
    fresh = [t for t in touched if alone is None or t.name not in dict(alone.plan)]
    if is_automatic and (cause := _forbidden(draft, release, fresh)):
        cause_name, sentence = cause
        if alone is None:
            stand_still(draft, name, release, cause_name, f"{reason}; {sentence}", alarm=alarm, page=True)
        else:
            # The one that failed goes on back; the stage stands still, with it, when that is done.
            draft.page(name, release.id, f"{title(draft.definition, release)} in {name}: {reason}; {sentence}.")
        return
    plan: list[tuple[str, Installed]] = []
    lost: list[str] = []
    for target in touched:
        goal = _goal(draft.state, target, release, to_version)
        if goal is None:
            lost.append(target.name)
        else:
            plan.append((target.name, goal))
    if lost and not plan:
        no_good = f"there is no known good version on {listed(lost)} to go back to"
        stand_still(draft, name, release, StopCause.NO_KNOWN_GOOD, f"{reason}; {no_good}", alarm=alarm, page=True)
        return
    cancel_in_flight(draft, stage)
    _begin(
        draft,
        name,
        release,
        RollingBack(
            since=alone.since if alone is not None else draft.now,
            reason=reason,
            by=by,
            is_automatic=is_automatic,
            plan=tuple(plan),
        ),
    )
    _tell_going_back(draft, name, release, is_automatic=is_automatic)
    if lost:
        draft.page(name, release.id, f"{listed(lost)} in {name} cannot go back: no known good version is left there.")


def _going_alone(draft: Draft, name: str, release: Release) -> RollingBack | None:
    """The rollback of single targets of this release that is under way in a stage [12]; the whole stage may join it."""
    run = draft.state.stage(name).run
    if run is None or run.release != release.id or not isinstance(run.phase, RollingBack):
        return None
    return run.phase if run.phase.ends_in_stop else None


def _tell_going_back(draft: Draft, name: str, release: Release, *, is_automatic: bool) -> None:
    """Say that a release goes back; of several stages that turn back in one decision, in one sentence."""
    asks = called(draft.world, draft.definition) if is_automatic else ()
    is_told = draft.untell(release.id, "rolling_back", asks)
    begun = {
        s.name: s.run.phase
        for s in draft.state.stages
        if s.run is not None and s.run.release == release.id and isinstance(s.run.phase, RollingBack)
        if s.name == name or (is_told and s.run.phase.since == draft.now and not s.run.phase.ends_in_stop)
    }
    goals = listed(sorted({goal.version for phase in begun.values() for _, goal in phase.plan})) or "what runs there"
    # The first of them down the line says why; the others go with it.
    reason = next(iter(begun.values())).reason
    draft.tell(
        release.id,
        "rolling_back",
        f"{title(draft.definition, release)} is being rolled back in {listed(begun)} to {goals}: {reason}.",
        asks=asks,
        is_broadcast=True,
        offers=("acknowledge", "pause", "rollback") if is_automatic else (),
        subject=next(iter(begun)),
    )


def _has_not_passed(draft: Draft, release: Release, name: str) -> Release:
    """What was rolled back in a stage has passed neither it nor what follows; lifted, it goes through them again."""
    now = draft.state.released(release.id)
    left = tuple(p for p in now.passed if p != name and not draft.definition.follows(p, name))
    return replace(now, passed=left)


def _is_touched(target: TargetState, release: Release) -> bool:
    at = target.deployment
    return (
        target.is_mixed
        or (at is not None and at.what.digest == release.digest)
        or (target.current is not None and target.current.digest == release.digest)
    )


def _goal(state: PipelineState, target: TargetState, release: Release, to_version: str) -> Installed | None:
    if to_version:
        return next((g for g in target.good if g.version == to_version and g.digest != release.digest), None)
    return good_for(state, target, release.digest)


def _forbidden(draft: Draft, release: Release, touched: list[TargetState]) -> tuple[str, str] | None:
    """Why an automatic rollback does not start [16, 17]."""
    if release.is_one_way:
        return StopCause.ONE_WAY, f"{release.version} is one-way and is never rolled back by itself: fix it forward"
    guard = draft.definition.rollback_guard
    for target in touched:
        if target.rolled_back_at is not None and draft.now - target.rolled_back_at < guard:
            ago = duration(draft.now - target.rolled_back_at)
            return StopCause.GUARD, f"{target.name} was rolled back automatically {ago} ago; a person must decide now"
    return None


def roll_back_target(draft: Draft, name: str, release: Release, target: TargetState, reason: str) -> None:
    """A failed target goes back alone; the stage stops, mixed, when it has [12]."""
    goal = good_for(draft.state, target, release.digest)
    sentence = f"{title(draft.definition, release)} failed on {target.name} in {name}: {reason}"
    forbidden = _forbidden(draft, release, [target])
    if goal is None or forbidden is not None:
        rest = forbidden[1] if forbidden else f"there is no known good version on {target.name} to go back to"
        cause = forbidden[0] if forbidden else StopCause.NO_KNOWN_GOOD
        stand_still(draft, name, release, cause, f"{sentence}; {rest}", page=True)
        return
    _begin(
        draft,
        name,
        release,
        RollingBack(
            since=draft.now,
            reason=sentence,
            by=ANDON,
            is_automatic=True,
            plan=((target.name, goal),),
            ends_in_stop=True,
        ),
    )
    draft.tell(
        release.id,
        "rolling_back",
        f"{sentence}. {target.name} alone goes back to {goal.version}; the other targets stay as they are.",
        asks=called(draft.world, draft.definition),
        is_broadcast=True,
        offers=("retry", "rollback"),
        subject=name,
    )


def another_failed(draft: Draft, name: str, release: Release, target: TargetState, reason: str) -> None:
    """A target fails when its stage already stands still, or rolls another one back alone: it goes back as well [12].

    Where the whole stage goes back the plan has it already; what was cancelled or left for diagnosis stays.
    """
    run = draft.state.stage(name).run
    assert run is not None, "a stage that is deployed to is occupied"
    match run.phase:
        case RollingBack(ends_in_stop=True) as phase:
            goal = good_for(draft.state, target, release.digest)
            forbidden = _forbidden(draft, release, [target])
            if goal is None or forbidden is not None:
                rest = forbidden[1] if forbidden else f"there is no known good version on {target.name} to go back to"
                sentence = f"{title(draft.definition, release)} failed on {target.name} in {name} as well: {reason}"
                draft.page(name, release.id, f"{sentence}; {rest}")
                return
            draft.put_phase(name, replace(phase, plan=(*phase.plan, (target.name, goal))))
            draft.tell(
                release.id,
                "rolling_back",
                f"{title(draft.definition, release)} failed on {target.name} as well: {reason}. It goes back to "
                f"{goal.version}.",
            )
        case Stopped(cause=StopCause.TARGET_FAILED | StopCause.NO_KNOWN_GOOD | StopCause.GUARD | StopCause.ONE_WAY):
            roll_back_target(draft, name, release, target, reason)
        case _:
            pass


def _begin(draft: Draft, name: str, release: Release, phase: RollingBack) -> None:
    """Occupy the stage with a rollback, whoever was there before."""
    before = draft.state.stage(name)
    if before.run is not None and before.run.release == release.id:
        run = replace(before.run, phase=phase)
    else:
        run = StageRun(
            release=release.id,
            revision=draft.definition.revision,
            entered_at=draft.now,
            phase=phase,
            reached=tuple(t.name for t in draft.state.targets_of(name)),
        )
    draft.put_stage(replace(before, watch=None))
    draft.put_run(name, run)


def stand_still(
    draft: Draft, name: str, release: Release, cause: str, reason: str, *, alarm: str = "", page: bool = False
) -> None:
    """Leave a stage as it is, until a person or a newer release moves it on."""
    before = draft.state.stage(name)
    phase = Stopped(since=draft.now, cause=cause, reason=reason, alarm=alarm)
    if before.run is not None and before.run.release == release.id:
        run = replace(before.run, phase=phase)
    else:
        run = StageRun(release=release.id, revision=draft.definition.revision, entered_at=draft.now, phase=phase)
    draft.put_stage(replace(before, watch=None))
    draft.put_run(name, run)
    sentence = f"{title(draft.definition, release)} stands still in {name}: {reason}."
    draft.tell(
        release.id,
        "stopped",
        sentence,
        asks=() if page else called(draft.world, draft.definition),
        is_broadcast=True,
        offers=("retry", "rollback"),
        subject=name,
    )
    if page:
        draft.page(name, release.id, sentence)


def cancel_in_flight(draft: Draft, stage: Stage) -> None:
    """Ask every forward deployment in a stage to stop; rollbacks go on."""
    for target in draft.state.targets_of(stage.name):
        at = target.deployment
        if at is None or at.is_rollback or at.phase == "cancelling":
            continue
        draft.put_target(replace(target, deployment=replace(at, phase="cancelling")))
        draft.do(
            CancelDeployment(
                key=f"{at.key}/cancel",
                deployment=at.key,
                ref=at.ref,
                target=target.name,
                stage=stage.name,
                deployer=stage.deployer,
                deployer_settings=stage.deployer_settings,
            )
        )


def mark_bad(draft: Draft, release: Release, stage: str, reason: str) -> None:
    """From this stage on automation never brings the version back [15]; the earliest stage counts."""
    for mark in draft.state.bad:
        if mark.digest == release.digest:
            if mark.stage == stage or draft.definition.follows(stage, mark.stage):
                return
            draft.change(lambda s, old=mark: replace(s, bad=tuple(m for m in s.bad if m != old)))  # type: ignore[misc]
    mark = BadMark(
        release=release.id,
        version=release.version,
        digest=release.digest,
        sequence=release.sequence,
        stage=stage,
        reason=reason,
        at=draft.now,
    )
    draft.change(lambda s: replace(s, bad=_remembered(s, (*s.bad, mark))))
    for other in draft.drop_requests(lambda r: r.release == release.id):
        draft.touch(other.release, at_once=True)


def _remembered(state: PipelineState, marks: tuple[BadMark, ...]) -> tuple[BadMark, ...]:
    """The marks less the oldest that can do no harm: mended, and of versions that nothing here knows any more [15]."""
    too_many = len(marks) - BAD_MARKS_KEPT
    if too_many <= 0:
        return marks
    known = {release.digest for release in state.releases}
    for target in state.targets:
        known.update(installed.digest for installed in (target.current, *target.good) if installed is not None)
    harmless = [mark for mark in marks if mark.is_healed and mark.digest not in known][:too_many]
    return tuple(mark for mark in marks if mark not in harmless)[-BAD_MARKS_MOST:]


def stages_rolled_back_with(state: PipelineState, name: str, release: Release) -> tuple[str, ...]:
    """Stages further down where the version is being deployed, tested or baked: they go back as well [8]."""
    found = []
    for occupied in state.stages:
        run = occupied.run
        if run is None or run.release != release.id or not is_undecided(run):
            continue
        if state.definition.follows(occupied.name, name):
            found.append(occupied.name)
    return tuple(found)


def advance(draft: Draft, name: str, run: StageRun, phase: RollingBack) -> bool:
    """Start what the plan still lacks, in batches; returns whether anything moved."""
    stage = draft.state.stage_definition(name)
    assert stage is not None, "a run is pinned to its definition"
    targets = {t.name: t for t in draft.state.targets_of(name)}
    open_targets = [(targets[t], goal) for t, goal in phase.plan if t in targets and not _is_back(targets[t], goal)]
    if not open_targets:
        if any(t.deployment is not None for t in targets.values()):
            return False
        _finish(draft, name, run, phase)
        return True
    at_once = at_once_back(stage, len(targets))
    in_flight = sum(1 for t in targets.values() if t.deployment is not None and t.deployment.is_rollback)
    moved = False
    goals = {target.name: goal for target, goal in open_targets}
    going = [target for target, _ in open_targets]
    for target in striped(draft.state.definition_of(run), name, going, len(going)):
        if target.deployment is not None or in_flight >= at_once:
            continue
        draft.start(stage, target, goals[target.name], is_rollback=True, is_automatic=phase.is_automatic)
        in_flight += 1
        moved = True
    return moved


def _is_back(target: TargetState, goal: Installed) -> bool:
    return (
        target.deployment is None
        and not target.is_mixed
        and target.current is not None
        and target.current.digest == goal.digest
    )


def _finish(draft: Draft, name: str, run: StageRun, phase: RollingBack) -> None:
    release = draft.state.released(run.release)
    back = listed(sorted({goal.version for _, goal in phase.plan})) or "what ran before"
    took = duration(draft.now - phase.since)
    if phase.ends_in_stop:
        stand_still(
            draft,
            name,
            release,
            StopCause.TARGET_FAILED,
            f"{phase.reason}; {listed(t for t, _ in phase.plan)} is back on {back} after {took}",
        )
        return
    is_bad = any(mark.digest == release.digest for mark in draft.state.bad)
    left = [t.name for t in draft.state.targets_of(name) if t.current and t.current.digest == release.digest]
    if is_bad and left:
        still = f"{listed(left)} could not go back and still {'runs' if len(left) == 1 else 'run'} it"
        rest = f"; {listed(t for t, _ in phase.plan)} is back on {back} after {took}" if phase.plan else ""
        stand_still(draft, name, release, StopCause.NO_KNOWN_GOOD, f"{phase.reason}; {still}{rest}")
        return
    draft.put_run(name, None)
    if is_bad:
        draft.put_release(
            replace(release, status=_rolled_back(release, name, phase.reason, draft.now), goal="", picked=())
        )
    done = "was rolled back" if is_bad else "was restored"
    draft.tell(
        release.id,
        "rolled_back",
        f"{title(draft.definition, release)} {done} in {name}, which runs {back} again after {took}.",
        is_broadcast=not _goes_back_elsewhere(draft.state, release),
    )


def _rolled_back(release: Release, stage: str, reason: str, now: datetime) -> RolledBack:
    """The status when one more stage is back; of a cause and what follows from it, the cause is said."""
    before = release.status
    if not isinstance(before, RolledBack):
        return RolledBack(stage=stage, reason=reason, at=now)
    also = tuple(name for name in (*before.also, before.stage) if name != stage)
    said = before.reason if reason.startswith(before.reason) else reason
    return RolledBack(stage=stage, reason=said, at=now, also=also)


def _goes_back_elsewhere(state: PipelineState, release: Release) -> bool:
    """Whether the channel will hear of it again: it is told once, when the last stage is back."""
    runs = (s.run for s in state.stages if s.run is not None and s.run.release == release.id)
    return any(isinstance(run.phase, RollingBack) for run in runs)


def failed(draft: Draft, name: str, release: Release, target: str, reason: str) -> None:
    """A rollback that fails pages and stops; nothing automatic follows [16]."""
    stand_still(
        draft,
        name,
        release,
        StopCause.ROLLBACK_FAILED,
        f"the rollback failed on {target}: {reason}; a person must decide how to go on",
        page=True,
    )


def is_undecided(run: StageRun) -> bool:
    """Whether an alarm still takes a run back: it goes forward, or stands still where nobody has decided yet.

    What goes back already goes on; what could not go back, or was cancelled, is a person's to decide [16].
    """
    match run.phase:
        case RollingBack() as going:
            return going.ends_in_stop
        case Stopped() as still:
            return still.cause in (
                StopCause.ALARM,
                StopCause.TARGET_FAILED,
                StopCause.TEST_FAILED,
                StopCause.TEST_ERRORED,
            )
        case _:
            return True
