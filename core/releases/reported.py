"""What machines report. Nothing here raises for a stale or repeated report; it changes nothing [28]."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from core.errors import CommandRefused
from core.ports import TestOutcome
from core.releases import ancestry, rollback
from core.releases.authority import called
from core.releases.copies import replace
from core.releases.draft import Draft
from core.releases.effects import CancelDeployment, FollowDeployment, ObserveTarget
from core.releases.events import (
    AnnouncementFailed,
    DeploymentCancelled,
    DeploymentFailed,
    DeploymentLost,
    DeploymentProgressed,
    DeploymentStarted,
    DeploymentSucceeded,
    ReleaseAnnounced,
    RunningVersionObserved,
    StageTestReported,
)
from core.releases.pipeline import Siblings, Stage
from core.releases.state import (
    Change,
    Deploying,
    Deployment,
    Installed,
    Release,
    RollingBack,
    Stopped,
    TargetState,
    Testing,
)
from core.releases.words import listed, title
from core.releases.world import ANDON

ONE_DAY = timedelta(days=1)
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
            _learn(draft, known, event)
            draft.answer = f"{title(draft.definition, known)} is known already."
            return
        if known.version == event.version:
            raise CommandRefused(
                f"{event.version} was announced before with another artifact ({known.digest[:19]}…).",
                mend="A version never changes: announce this artifact under a new version.",
            )
    fixes = ancestry.fixed(draft.state, event.fixes, event.reverts)
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
        fixes=fixes,
        ancestors=ancestry.complete(draft.state, event.version, event.ancestors),
        is_one_way=event.is_one_way,
    )
    draft.put_release(release)
    draft.change(lambda s: ancestry.with_parent(s, release))
    mends = f" It fixes {listed(fixes)}." if fixes else ""
    draft.answer = f"{title(draft.definition, release)} is on the line."
    draft.tell(release.id, "announced", f"{title(draft.definition, release)} was announced by {event.by.name}.{mends}")


def announcement_failed(draft: Draft, event: AnnouncementFailed) -> None:
    """Somebody waits for this release: the channel hears that it does not come, and why."""
    sentence = f"{draft.definition.id} {event.version} was built, but it is no release: {event.sentence}"
    draft.tell("", "announcement_failed", sentence)


def _learn(draft: Draft, known: Release, event: ReleaseAnnounced) -> None:
    """What a second announcement mends: authors, without whom nobody could approve [19], and ancestry [3]."""
    if not known.contributors and _behind(event):
        known = replace(known, changes=_changes(event), contributors=_behind(event))
    if known.ancestors is None and event.ancestors is not None:
        known = replace(known, ancestors=ancestry.complete(draft.state, event.version, event.ancestors))
    if known != draft.state.released(known.id):
        draft.put_release(known)
        draft.change(lambda s: ancestry.with_parent(s, known))


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
    """Units done so far; also a sign of life of one that was lost. What people must do elsewhere is told once."""
    found = _in_flight(draft, event.key)
    if found is None:
        return
    target, at, stage = found
    heard = replace(
        at,
        phase="running" if at.phase == "unknown" else at.phase,
        done_units=event.done_units,
        all_units=event.all_units,
        note=event.note,
    )
    if heard != at:
        draft.put_target(replace(target, deployment=heard))
    if event.waits and event.note != at.note:
        run = draft.state.stage(stage.name).run
        draft.tell(
            run.release if run else "",
            "deployment_waits",
            f"The deployment of {at.what.version} to {target.name} waits for somebody outside Andon: {event.note}",
            asks=called(draft.world, draft.definition),
        )


def deployment_succeeded(draft: Draft, event: DeploymentSucceeded) -> None:
    """The target runs it, even if it was asked to stop in the meantime."""
    found = _in_flight(draft, event.key)
    if found is None:
        return
    target, at, stage = found
    draft.put_target(
        replace(target, current=at.what, deployment=None, is_mixed=False, mixed_with=None, drift="", drift_digest="")
    )
    _tell_output(draft, stage, target, at, "is done", event.output)


def deployment_failed(draft: Draft, event: DeploymentFailed) -> None:
    """The world said no."""
    found = _in_flight(draft, event.key)
    if found is None:
        return
    target, at, stage = found
    if event.artifact_missing:
        draft.change(lambda s: replace(s, missing_artifacts=(*s.missing_artifacts, at.what.digest)[-20:]))
    ended = replace(target, deployment=None) if event.nothing_begun else _left_mixed(target, at)
    draft.put_target(ended)
    _deployment_ended_badly(draft, stage, ended, at, event.reason, untouched=event.nothing_begun)
    _tell_output(draft, stage, target, at, "failed", event.output)


def deployment_cancelled(draft: Draft, event: DeploymentCancelled) -> None:
    """Confirmed ended before it was done: as we asked, or by somebody else's hand."""
    found = _in_flight(draft, event.key)
    if found is None:
        return
    target, at, stage = found
    ended = _left_mixed(target, at)
    draft.put_target(ended)
    if at.phase != "cancelling":
        _deployment_ended_badly(draft, stage, ended, at, "it was cancelled outside Andon", untouched=False)
    _tell_output(draft, stage, target, at, "was cancelled", event.output)


def _tell_output(draft: Draft, stage: Stage, target: TargetState, at: Deployment, how: str, output: str) -> None:
    """Show what a deployment printed, in the thread of the release that it was for."""
    if output.strip():
        run = draft.state.stage(stage.name).run
        said = f"The deployment of {at.what.version} to {target.name} {how}."
        draft.tell(run.release if run is not None else "", "output", said, output=output)


def _left_mixed(target: TargetState, at: Deployment) -> TargetState:
    """A target on which an attempt ended neither here nor there."""
    return replace(target, deployment=None, is_mixed=True, mixed_with=target.mixed_with if at.is_rollback else at.what)


def _deployment_ended_badly(
    draft: Draft, stage: Stage, target: TargetState, at: Deployment, reason: str, *, untouched: bool
) -> None:
    """It goes back alone, or with its siblings, or the others end first: then the stage stands still [12]."""
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
    assert isinstance(run.phase, Deploying), "a stage is tested and baked when nothing is in flight there"
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
        f"`reconcile {draft.definition.service} keep` or `reconcile {draft.definition.service} restore`.",
        asks=called(draft.world, draft.definition),
        is_broadcast=True,
    )


def stage_test_reported(draft: Draft, event: StageTestReported) -> None:
    """A test ended; what it means is judged when all have [11]."""
    for occupied in draft.state.stages:
        run = occupied.run
        if run is None or not isinstance(run.phase, Testing):
            continue
        test = next((t for t in run.phase.tests if t.key == event.key and not t.outcome), None)
        if test is None:
            continue
        tests = tuple(
            replace(t, outcome=event.outcome.value, detail=event.detail, url=event.url) if t.key == event.key else t
            for t in run.phase.tests
        )
        draft.put_phase(occupied.name, replace(run.phase, tests=tests))
        if event.output.strip() and event.outcome is not TestOutcome.PASSED:
            how = "failed" if event.outcome is TestOutcome.FAILED else "could not tell"
            draft.tell(run.release, "output", f"The test {test.name} of {occupied.name} {how}.", output=event.output)
        if event.outcome is TestOutcome.PASSED and (event.url or event.tells):
            where = f" ({event.url})" if event.url else ""
            draft.tell(run.release, "tested", f"The test {test.name} of {occupied.name} passed: {event.detail}{where}")
