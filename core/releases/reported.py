"""What machines report. Nothing here raises for a stale or repeated report; it changes nothing [28]."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from core.errors import CommandRefused
from core.ports import AlarmState
from core.releases import rollback
from core.releases.alarms import applied
from core.releases.authority import called
from core.releases.bake import covers, has_anything_running
from core.releases.copies import replace
from core.releases.draft import Draft
from core.releases.effects import CancelDeployment, FollowDeployment, ObserveTarget
from core.releases.events import (
    AlarmReported,
    DeploymentCancelled,
    DeploymentFailed,
    DeploymentLost,
    DeploymentProgressed,
    DeploymentStarted,
    DeploymentSucceeded,
    HeartbeatHeard,
    ReleaseAnnounced,
    RunningVersionObserved,
    StageTestReported,
)
from core.releases.pipeline import OnAlarm, Siblings, Stage
from core.releases.state import (
    Baking,
    Change,
    Deploying,
    Deployment,
    Installed,
    Release,
    RollingBack,
    StopCause,
    Stopped,
    TargetState,
    Testing,
)
from core.releases.words import listed, place, title
from core.releases.world import ANDON

ONE_DAY = timedelta(days=1)
CLOCK_TOLERANCE = timedelta(seconds=5)
"""How far the clock of an alarm's source may be behind ours."""
TITLE_LENGTH = 200
CHANGES_KEPT = 100
FIRING_KEPT = 50


# ---- releases ----------------------------------------------------------------------------------------------------


def release_announced(draft: Draft, event: ReleaseAnnounced) -> None:
    """A version exists; announced twice it is one release [28]."""
    if not event.version.strip() or len(event.version) > 128 or not event.version.isprintable():
        raise CommandRefused("A version is 1 to 128 printable characters.", mend="Announce it under a shorter name.")
    for known in draft.state.releases:
        if known.digest == event.digest and known.version == event.version:
            if not known.contributors and _behind(event):
                # The one thing that a second announcement mends: nobody could approve without it [19].
                draft.put_release(replace(known, changes=_changes(event), contributors=_behind(event)))
            draft.answer = f"{title(draft.definition, known)} is known already."
            return
        if known.version == event.version:
            raise CommandRefused(
                f"{event.version} was announced before with another artifact ({known.digest[:19]}…).",
                mend="A version never changes: announce this artifact under a new version.",
            )
    draft.change(lambda s: replace(s, counter=s.counter + 1))
    sequence = draft.state.counter
    release = Release(
        id=f"{draft.state.id}-{sequence}",
        version=event.version,
        digest=event.digest,
        artifact=event.artifact,
        sequence=sequence,
        announced_at=draft.now,
        announced_by=event.by,
        commit=event.commit,
        url=event.url,
        changes=_changes(event),
        contributors=_behind(event),
        fixes=event.fixes,
        ancestors=event.ancestors,
        is_one_way=event.is_one_way,
    )
    draft.put_release(release)
    fixes = f" It fixes {listed(event.fixes)}." if event.fixes else ""
    draft.answer = f"{title(draft.definition, release)} is on the line."
    draft.tell(release.id, "announced", f"{title(draft.definition, release)} was announced by {event.by.name}.{fixes}")


def _changes(event: ReleaseAnnounced) -> tuple[Change, ...]:
    return tuple(replace(c, title=c.title[:TITLE_LENGTH]) for c in event.changes[:CHANGES_KEPT])


def _behind(event: ReleaseAnnounced) -> tuple[str, ...]:
    return tuple(sorted({identity for c in event.changes for identity in (*c.authors, c.merger) if identity}))


# ---- deployments ----------------------------------------------------------------------------------------------------


def _in_flight(draft: Draft, key: str) -> tuple[TargetState, Deployment, Stage] | None:
    for target in draft.state.targets:
        if target.deployment is not None and target.deployment.key == key:
            stage = draft.state.stage_definition(target.stage)
            assert stage is not None, "a stage that is deployed to is defined"
            return target, target.deployment, stage
    return None


def deployment_started(draft: Draft, event: DeploymentStarted) -> None:
    """The deployer took it: follow it to its end."""
    found = _in_flight(draft, event.key)
    if found is None:
        return
    target, at, stage = found
    if at.ref:
        if at.phase == "unknown":
            draft.put_target(replace(target, deployment=replace(at, phase="running", note="")))
        return
    phase: Literal["cancelling", "running"] = "cancelling" if at.phase == "cancelling" else "running"
    draft.put_target(replace(target, deployment=replace(at, phase=phase, ref=event.ref, url=event.url, note="")))
    where = {
        "target": target.name,
        "stage": stage.name,
        "deployer": stage.deployer,
        "deployer_settings": stage.deployer_settings,
    }
    draft.do(
        FollowDeployment(
            key=f"{at.key}/follow", deployment=at.key, ref=event.ref, timeout=stage.deployment_timeout, **where
        )
    )
    if phase == "cancelling":
        draft.do(CancelDeployment(key=f"{at.key}/cancel2", deployment=at.key, ref=event.ref, **where))


def deployment_progressed(draft: Draft, event: DeploymentProgressed) -> None:
    """Units done so far; also a sign of life of one that was lost."""
    found = _in_flight(draft, event.key)
    if found is None:
        return
    target, at, _ = found
    heard = replace(
        at,
        phase="running" if at.phase == "unknown" else at.phase,
        done_units=event.done_units,
        all_units=event.all_units,
        note=event.note,
    )
    if heard != at:
        draft.put_target(replace(target, deployment=heard))


def deployment_succeeded(draft: Draft, event: DeploymentSucceeded) -> None:
    """The target runs it, even if it was asked to stop in the meantime."""
    found = _in_flight(draft, event.key)
    if found is None:
        return
    target, at, _ = found
    draft.put_target(replace(target, current=at.what, deployment=None, is_mixed=False, drift="", drift_digest=""))


def deployment_failed(draft: Draft, event: DeploymentFailed) -> None:
    """The world said no."""
    found = _in_flight(draft, event.key)
    if found is None:
        return
    target, at, stage = found
    if event.artifact_missing:
        draft.change(lambda s: replace(s, missing_artifacts=(*s.missing_artifacts, at.what.digest)[-20:]))
    ended = replace(target, deployment=None, is_mixed=target.is_mixed or not event.nothing_begun)
    draft.put_target(ended)
    _deployment_ended_badly(draft, stage, ended, at, event.reason, untouched=event.nothing_begun)


def deployment_cancelled(draft: Draft, event: DeploymentCancelled) -> None:
    """Confirmed ended before it was done: as we asked, or by somebody else's hand."""
    found = _in_flight(draft, event.key)
    if found is None:
        return
    target, at, stage = found
    ended = replace(target, deployment=None, is_mixed=True)
    draft.put_target(ended)
    if at.phase != "cancelling":
        _deployment_ended_badly(draft, stage, ended, at, "it was cancelled outside Andon", untouched=False)


def _deployment_ended_badly(
    draft: Draft, stage: Stage, target: TargetState, at: Deployment, reason: str, *, untouched: bool
) -> None:
    run = draft.state.stage(stage.name).run
    assert run is not None, "a stage that is deployed to is occupied"
    release = draft.state.released(run.release)
    if at.is_rollback:
        if isinstance(run.phase, RollingBack):
            _next_good_or_stop(draft, stage, release, run.phase, target, at, reason)
        return
    if isinstance(run.phase, RollingBack | Stopped):
        if not untouched:
            rollback.another_failed(draft, stage.name, release, target, reason)
        return
    if not isinstance(run.phase, Deploying):
        return
    if stage.siblings is Siblings.FOLLOW and not untouched:
        rollback.roll_back(draft, stage.name, release, reason=f"{target.name} failed: {reason}", by=ANDON)
    elif untouched:
        draft.put_phase(stage.name, replace(run.phase, failed=(*run.phase.failed, f"{target.name} ({reason})")))
    else:
        rollback.roll_back_target(draft, stage.name, release, target, reason)


def _next_good_or_stop(  # noqa: PLR0917 - the facts of one failure, named at the only call
    draft: Draft, stage: Stage, release: Release, phase: RollingBack, target: TargetState, at: Deployment, reason: str
) -> None:
    """A version whose artifact is gone is no good after all: go to the next; any other failure pages [13, 16]."""
    other = rollback.good_for(draft.state, target, release.digest)
    if at.what.digest in draft.state.missing_artifacts and other is not None and other.digest != at.what.digest:
        plan = tuple((name, _available(draft, name, release, goal)) for name, goal in phase.plan)
        draft.put_phase(stage.name, replace(phase, plan=plan))
        draft.tell(
            release.id,
            "rolling_back",
            f"The artifact of {at.what.version} is gone; {target.name} goes back to {other.version} instead.",
        )
        return
    rollback.failed(draft, stage.name, release, target.name, reason)


def _available(draft: Draft, name: str, release: Release, goal: Installed) -> Installed:
    """Where a target goes now that an artifact is gone; one that already gets or runs its version stays with it."""
    target = next((t for t in draft.state.targets if t.name == name), None)
    if goal.digest not in draft.state.missing_artifacts or target is None or target.deployment is not None:
        return goal
    if target.current == goal and not target.is_mixed:
        return goal
    return rollback.good_for(draft.state, target, release.digest) or goal


def deployment_lost(draft: Draft, event: DeploymentLost) -> None:
    """It could not be told how it stands; nothing is started on top of it, people are asked once [26]."""
    found = _in_flight(draft, event.key)
    if found is None:
        return
    target, at, stage = found
    if at.phase == "unknown" or at.note == event.reason:
        return
    phase: Literal["cancelling", "unknown"] = "cancelling" if at.phase == "cancelling" else "unknown"
    draft.put_target(replace(target, deployment=replace(at, phase=phase, note=event.reason)))
    run = draft.state.stage(stage.name).run
    draft.do(
        ObserveTarget(
            key=draft.name("look"),
            stage=stage.name,
            target=target.name,
            deployer=stage.deployer,
            deployer_settings=stage.deployer_settings,
        )
    )
    draft.tell(
        run.release if run else "",
        "deployment_lost",
        f"It is not known how the deployment of {at.what.version} to {target.name} stands: {event.reason}. Andon keeps "
        "looking for it and starts nothing on top of it. If it is surely over: reconcile … dead.",
        asks=called(draft.world, draft.definition),
    )


def running_version_observed(draft: Draft, event: RunningVersionObserved) -> None:
    """Compare what runs with what is recorded [27]."""
    target = next((t for t in draft.state.targets if t.name == event.target), None)
    if target is None or target.deployment is not None or target.is_mixed:
        return
    current = target.current
    if current is None:
        if event.digest is not None:
            adopted = Installed("", event.version or event.digest[:19], event.digest, "", 0)
            draft.put_target(replace(target, current=adopted))
        return
    if event.digest == current.digest and not event.is_mixed:
        if target.drift:
            draft.put_target(replace(target, drift="", drift_digest=""))
            draft.tell("", "drift_over", f"{target.name} runs {current.version} again, as recorded.")
        return
    runs = "a mix of versions" if event.is_mixed else (event.version or event.digest or "nothing")
    drift = f"{runs} runs there, but {current.version} is recorded"
    if drift == target.drift:
        return
    draft.put_target(replace(target, drift=drift, drift_digest=event.digest or ""))
    draft.tell(
        current.release if draft.state.release(current.release) else "",
        "drift",
        f"{target.name} was changed outside Andon: {drift}. Nothing new enters until somebody says "
        f"`reconcile {draft.definition.service} keep` or `restore`.",
        asks=called(draft.world, draft.definition),
        is_broadcast=True,
    )


def stage_test_reported(draft: Draft, event: StageTestReported) -> None:
    """A test ended; what it means is judged when all have [11]."""
    for occupied in draft.state.stages:
        run = occupied.run
        if run is None or not isinstance(run.phase, Testing):
            continue
        if not any(t.key == event.key and not t.outcome for t in run.phase.tests):
            continue
        tests = tuple(
            replace(t, outcome=event.outcome.value, detail=event.detail, url=event.url) if t.key == event.key else t
            for t in run.phase.tests
        )
        draft.put_phase(occupied.name, replace(run.phase, tests=tests))


# ---- alarms [8–10] --------------------------------------------------------------------------------------------------


def heartbeat_heard(draft: Draft, event: HeartbeatHeard) -> None:
    """The source of an alarm is alive."""
    before = dict(draft.state.heartbeats)
    if event.alarm in before and before[event.alarm] >= event.at:
        return
    before[event.alarm] = event.at
    draft.change(lambda s: replace(s, heartbeats=tuple(sorted(before.items()))))


def alarm_reported(draft: Draft, event: AlarmReported) -> None:
    """Note the reading and its evidence; act if it turned to alarm."""
    before = draft.state.reading(event.alarm)
    reading, turned = applied(before, event, draft.now)
    if reading != before:
        others = tuple(r for r in draft.state.alarms if r.name != event.alarm)
        draft.change(lambda s: replace(s, alarms=tuple(sorted((*others, reading), key=lambda r: r.name))))
    _count_evidence(draft, event)
    if turned.to_ok:
        _count_again_from_now_on(draft, event.alarm)
    if turned.to_alarm:
        _turned_red(draft, event)
    elif turned.to_ok:
        _say_green(draft, event)


def _count_evidence(draft: Draft, event: AlarmReported) -> None:
    alarm = next((a for a in draft.definition.alarms if a.name == event.alarm), None)
    if alarm is None or not alarm.counts_as_evidence or not event.points or event.alarm_state is AlarmState.UNKNOWN:
        return
    for occupied in draft.state.stages:
        run = occupied.run
        if run is None or not isinstance(run.phase, Baking):
            continue
        stage = draft.state.definition_of(run).by_name[occupied.name]
        if covers(event.scope, stage):
            draft.put_phase(occupied.name, replace(run.phase, points=run.phase.points + event.points))


def _count_again_from_now_on(draft: Draft, alarm: str) -> None:
    """An alarm that was red at an entry and has been ok since counts like any other."""
    for occupied in draft.state.stages:
        run, watch = occupied.run, occupied.watch
        if run is not None and alarm in run.red_at_entry:
            run = replace(run, red_at_entry=tuple(a for a in run.red_at_entry if a != alarm))
        if watch is not None and alarm in watch.red_at_entry:
            watch = replace(watch, red_at_entry=tuple(a for a in watch.red_at_entry if a != alarm))
        if (run, watch) != (occupied.run, occupied.watch):
            draft.put_stage(replace(occupied, run=run, watch=watch))


def _turned_red(draft: Draft, event: AlarmReported) -> None:
    said = f"the alarm {event.alarm} turned red" + (f" ({event.title})" if event.title not in ("", event.alarm) else "")
    if not has_anything_running(draft.state, event.scope, draft.definition):
        _was_red_over_nothing(draft, event)
        return
    acted = False
    for occupied in draft.state.stages:
        stage = draft.state.stage_definition(occupied.name)
        if stage is not None and covers(event.scope, stage):
            acted = _act_on_alarm(draft, occupied.name, stage, event, said) or acted
    if not acted:
        draft.tell(
            "",
            "alarm",
            f"{said[0].upper()}{said[1:]}. Nothing is being deployed, baking or watched in {place(event.scope)}, "
            "so nothing is rolled back for it.",
        )
    for release in draft.state.releases:
        if release.is_live:
            draft.touch(release.id)


def _was_red_over_nothing(draft: Draft, event: AlarmReported) -> None:
    """Where nothing ran yet an alarm says nothing of the release that comes first; its bake does not end in alarm."""
    for occupied in draft.state.stages:
        run, stage = occupied.run, draft.state.stage_definition(occupied.name)
        if run is None or stage is None or not covers(event.scope, stage) or event.alarm in run.red_at_entry:
            continue
        draft.put_run(occupied.name, replace(run, red_at_entry=(*run.red_at_entry, event.alarm)))


def _began_before(event: AlarmReported, entered_at: datetime | None) -> bool:
    """Whether an episode came before the deployment that it would undo [9]."""
    return event.started_at is not None and entered_at is not None and event.started_at < entered_at - CLOCK_TOLERANCE


def _act_on_alarm(draft: Draft, name: str, stage: Stage, event: AlarmReported, said: str) -> bool:
    alarm = event.alarm
    occupied = draft.state.stage(name)
    run, watch = occupied.run, occupied.watch
    entered_at = run.entered_at if run is not None else watch.entered_at if watch is not None else None
    if _began_before(event, entered_at):
        if run is not None and event.alarm_state is AlarmState.ALARM and alarm not in run.red_at_entry:
            # Heard late: it was red when the release entered. The bake does not end while it is.
            draft.put_run(name, replace(run, red_at_entry=(*run.red_at_entry, alarm)))
        return False
    if run is not None:
        if not rollback.is_moving_forward(run) or alarm in run.red_at_entry:
            return False
        release = draft.state.released(run.release)
    elif watch is not None:
        if alarm in watch.red_at_entry or stage.on_alarm is not OnAlarm.ROLLBACK:
            return False
        release = draft.state.released(watch.release)
    else:
        return False
    if stage.on_alarm is OnAlarm.STOP:
        rollback.stand_still(
            draft, name, release, StopCause.ALARM, f"{said}; it is left as it is, for diagnosis", alarm=alarm
        )
        return True
    rollback.roll_back(draft, name, release, reason=said, by=ANDON, alarm=alarm)
    for further in rollback.stages_rolled_back_with(draft.state, name, release):
        rollback.roll_back(draft, further, release, reason=f"{said}, and it went bad in {name}", by=ANDON, alarm=alarm)
    return True


def _say_green(draft: Draft, event: AlarmReported) -> None:
    about = next(
        (
            s.run.release
            for s in draft.state.stages
            if s.run is not None and (stage := draft.state.stage_definition(s.name)) and covers(event.scope, stage)
        ),
        "",
    )
    draft.tell(about, "alarm_over", f"The alarm {event.alarm} is ok again.")
