"""`reconcile`: what runs against what is recorded [27], and deployments that are lost [14, 26]."""

from __future__ import annotations

from core.errors import CommandRefused
from core.releases import rollback
from core.releases.authority import require_team
from core.releases.copies import replace
from core.releases.draft import Draft
from core.releases.events import ReconcileRequested
from core.releases.state import Baking, Deploying, Installed, Release, RollingBack, StageRun, TargetState, Testing
from core.releases.words import listed, nearest
from core.releases.world import Actor


def reconcile(draft: Draft, event: ReconcileRequested) -> None:
    """Settle what runs against what is recorded, or declare a lost deployment dead."""
    require_team(draft.world, draft.definition, event.by, f"reconcile {draft.definition.service}")
    targets = _targets_named(draft, event.target)
    match event.choice:
        case "keep":
            _keep(draft, event.by, [t for t in targets if t.drift])
        case "restore":
            _restore(draft, event.by, [t for t in targets if t.drift])
        case "dead":
            _declare_dead(draft, event, [t for t in targets if t.deployment is not None])
        case _:
            raise CommandRefused(
                f"`{event.choice}` is no way to reconcile.",
                mend="Say keep (what runs is right), restore (the recorded version back) or dead (a lost deployment).",
            )


def _keep(draft: Draft, by: Actor, drifted: list[TargetState]) -> None:
    _refuse_without(draft, drifted)
    for target in drifted:
        known = next((r for r in draft.state.releases if r.digest == target.drift_digest), None)
        kept = (
            known.installed
            if known
            else Installed("", target.drift_digest[:19] or "nothing", target.drift_digest, "", 0)
        )
        draft.put_target(
            replace(target, current=kept if target.drift_digest else None, drift="", drift_digest="", is_mixed=False)
        )
    names = listed(t.name for t in drifted)
    draft.answer = f"What runs on {names} is recorded as right."
    draft.tell("", "reconciled", f"{by.name} keeps what runs on {names}.")


def _restore(draft: Draft, by: Actor, drifted: list[TargetState]) -> None:
    _refuse_without(draft, drifted)
    for name in dict.fromkeys(t.stage for t in drifted):
        mine = [t for t in drifted if t.stage == name and t.current is not None and t.current.artifact]
        release = next((r for t in mine if t.current and (r := draft.state.release(t.current.release))), None)
        run = draft.state.stage(name).run
        is_its_own = release is not None and run is not None and run.release == release.id
        if release is not None and run is not None and is_its_own and isinstance(run.phase, Testing | Baking):
            _deploy_again(draft, name, release, mine, by)
            continue
        if release is None or run is not None:
            raise CommandRefused(f"{name} cannot be restored now.", mend="Wait until nothing moves there, or keep.")
        plan = tuple((t.name, t.current) for t in mine if t.current is not None)
        for target in mine:
            # What runs is not what is recorded; until the deployment ends the target is neither.
            draft.put_target(replace(target, is_mixed=True, drift="", drift_digest=""))
        draft.put_run(
            name,
            StageRun(
                release=release.id,
                revision=draft.definition.revision,
                entered_at=draft.now,
                phase=RollingBack(
                    since=draft.now, reason=f"{by.name} restores it", by=by, is_automatic=False, plan=plan
                ),
            ),
        )
        draft.tell(release.id, "restoring", f"{by.name} restores {release.version} on {listed(t.name for t in mine)}.")
    draft.answer = f"{listed(t.name for t in drifted)} is being restored."


def _deploy_again(draft: Draft, name: str, release: Release, drifted: list[TargetState], by: Actor) -> None:
    """What was tested or baked is not there any more: it is deployed, tested and baked once more."""
    for target in drifted:
        draft.put_target(replace(target, is_mixed=True, drift="", drift_digest=""))
    draft.put_phase(name, Deploying(since=draft.now))
    draft.tell(
        release.id, "restoring", f"{by.name} restores {release.version} on {listed(t.name for t in drifted)} in {name}."
    )


def _refuse_without(draft: Draft, drifted: list[TargetState]) -> None:
    if not drifted:
        raise CommandRefused(f"Nothing of {draft.definition.service} differs from what is recorded.")


def _declare_dead(draft: Draft, event: ReconcileRequested, busy: list[TargetState]) -> None:
    lost = [t for t in busy if t.deployment is not None and t.deployment.phase in ("unknown", "cancelling")]
    if not lost:
        raise CommandRefused(
            "No deployment is lost or being stopped there.", mend="One that runs is ended with cancel or rollback."
        )
    for target in lost:
        at = target.deployment
        assert at is not None, "a lost deployment is there"
        mixed_with = target.mixed_with if at.is_rollback else at.what
        draft.put_target(replace(target, deployment=None, is_mixed=True, mixed_with=mixed_with))
        run = draft.state.stage(target.stage).run
        assert run is not None, "a stage that is deployed to is occupied"
        release, ended = draft.state.released(run.release), draft.state.target(target.name)
        because = f"{event.by.name} declared its deployment dead"
        if at.is_rollback:
            if isinstance(run.phase, RollingBack):
                rollback.failed(draft, target.stage, release, target.name, because)
        elif isinstance(run.phase, Deploying):
            rollback.roll_back_target(draft, target.stage, release, ended, because)
        else:
            rollback.another_failed(draft, target.stage, release, ended, because)
    names = listed(t.name for t in lost)
    draft.answer = f"The deployment on {names} counts as dead."
    draft.tell(
        "",
        "declared_dead",
        f"{event.by.name} declared the deployment on {names} dead." + (f" {event.reason}" if event.reason else ""),
    )


def _targets_named(draft: Draft, name: str) -> list[TargetState]:
    if not name:
        return list(draft.state.targets)
    found = [t for t in draft.state.targets if name in (t.name, t.stage)]
    if not found:
        raise CommandRefused(
            f"{draft.definition.service} has no target {name}.",
            mend=nearest(name, (t.name for t in draft.state.targets)),
        )
    return found
