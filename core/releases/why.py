"""`why`: every reason a release does not move, who can clear each, and when it clears by itself [25]."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from core.releases import gates
from core.releases.bake import credited, missing
from core.releases.blockers import Blocker, blockers, is_half_made, leader, waits_at
from core.releases.copies import quick
from core.releases.pipeline import Stage
from core.releases.state import (
    Baking,
    Deploying,
    Deployment,
    PipelineState,
    Release,
    RollingBack,
    StageRun,
    Stopped,
    Testing,
)
from core.releases.words import duration, listed
from core.releases.world import World

LOOKS_AHEAD = 50
"""Gates that shut again before another has opened; after so many nobody can tell when it moves."""


@quick
@dataclass(frozen=True, slots=True)
class ReleaseReasons:
    """One release at one stage: what happens there, and what it waits for. `doing` is empty while it only waits.

    `moves_at` is when it enters by itself if nothing else happens; None where a person or something else must come.
    """

    release: Release
    stage: str
    doing: str
    reasons: tuple[Blocker, ...]
    moves_at: datetime | None = None


def why(state: PipelineState, world: World, now: datetime) -> tuple[ReleaseReasons, ...]:
    """All that is on its way or stands still, newest release first; never empty for a live release."""
    # What was baked since the last look counts: it says when the bake ends.
    state = credited(state, world, now)
    found: list[ReleaseReasons] = []
    for occupied in state.stages:
        if occupied.run is not None:
            found.append(_running(state, occupied.name, occupied.run, now))
    for release in state.releases:
        for stage in state.definition.stages if release.is_live else ():
            if not waits_at(state, release, stage):
                continue
            reasons = blockers(state, release, stage, world, now)
            first = leader(state, stage, world, now)
            is_first = first is None or first.id == release.id
            if not is_first and not any(b.kind == "order" for b in reasons):
                reasons = (*reasons, Blocker("order", f"{first.version} goes first", subject=first.id))  # type: ignore[union-attr]
            at = moves_at(state, release, stage, world, now) if is_first else None
            reasons = (*reasons, *_half_made_override(state, release, stage, now))
            found.append(ReleaseReasons(release, stage.name, "", reasons, at))
    return tuple(sorted(found, key=lambda r: -r.release.sequence))


def moves_at(
    state: PipelineState, release: Release, stage: Stage, world: World, now: datetime, *, looks: int = LOOKS_AHEAD
) -> datetime | None:
    """When a release enters a stage by itself if nothing but time passes; None if it does not, or enters now.

    What will hold it later counts as well: the window that has closed when the freeze ends, the alarm gone silent.
    """
    at = now
    for _ in range(looks):
        found = blockers(state, release, stage, world, at)
        if not found:
            return at if at > now else None
        clear = [blocker.clears_at for blocker in found]
        later = [moment for moment in clear if moment is not None and moment > at]
        if len(later) < len(clear):
            return None
        opens = gates.opens_at(state.definition, stage, world, max(later))
        if opens is None:
            return None
        at = opens
    return None


def _half_made_override(state: PipelineState, release: Release, stage: Stage, now: datetime) -> list[Blocker]:
    """An override that is not in force yet: no reason of its own, but somebody is waited for [23]."""
    return [
        Blocker(
            "second",
            f"{override.by.name}'s override ({override.reason}) is not in force: it waits for a second person",
            f"the team {state.definition.team}: override {release.version} {stage.name}",
            subject=override.id,
        )
        for override in state.overrides
        if override.release == release.id and override.stage == stage.name and is_half_made(state, override, now)
    ]


def _running(state: PipelineState, name: str, run: StageRun, now: datetime) -> ReleaseReasons:
    release = state.released(run.release)
    stage = state.definition_of(run).by_name[name]
    targets = state.targets_of(name)
    team = f"the team {state.definition.team}"
    busy = tuple(
        Blocker(
            "unknown_outcome",
            f"it is not known how the deployment to {t.name} stands: {t.deployment.note}",
            f"{team}: reconcile … dead, if it is surely over",
            subject=t.name,
        )
        for t in targets
        if t.deployment is not None and t.deployment.phase == "unknown"
    )
    match run.phase:
        case Deploying():
            done = [
                t for t in targets if t.current is not None and t.current.digest == release.digest and not t.is_mixed
            ]
            moving = [_moving(t.name, t.deployment) for t in targets if t.deployment is not None]
            doing = f"deploying, {len(done)} of {len(targets)} targets done"
            runs = "the deployment to {} runs" if len(moving) == 1 else "the deployments to {} run"
            more = Blocker("deploying", runs.format(listed(moving)), "", None) if moving else None
            return ReleaseReasons(release, name, doing, (*((more,) if more else ()), *busy))
        case Testing() as testing:
            left = [t.name for t in testing.tests if not t.outcome]
            still = f"{listed(left)} still {'runs' if len(left) == 1 else 'run'}"
            return ReleaseReasons(release, name, "testing", (Blocker("testing", still),))
        case Baking() as baking:
            lacks = missing(state, run, stage, now)
            reasons = []
            if lacks.time:
                ends = None if lacks.unknown or lacks.points or lacks.red else now + lacks.time
                reasons.append(
                    Blocker(
                        "bake",
                        f"{duration(lacks.time)} of {duration(stage.bake.duration)} bake time is left",
                        "an owner: override the next stage",
                        ends,
                    )
                )
            if lacks.points:
                reasons.append(
                    Blocker(
                        "points",
                        f"{baking.points} of {stage.bake.minimum_points} data points are in; traffic brings more",
                        "",
                    )
                )
            reasons += [
                Blocker(
                    "unknown",
                    f"the alarm {a} is unknown, so the bake clock stands still",
                    "whoever runs the monitoring",
                    subject=a,
                )
                for a in lacks.unknown
            ]
            reasons += [
                Blocker("alarm", f"the alarm {a} is red since before it entered", "whoever mends it", subject=a)
                for a in lacks.red
            ]
            reasons += [
                Blocker("drift", f"{t.name}: {t.drift}", f"{team}: reconcile", subject=t.name)
                for t in targets
                if t.drift
            ]
            return ReleaseReasons(release, name, "baking", tuple(reasons))
        case RollingBack() as going:
            back = [t for t, goal in going.plan if _is_on(state, t, goal.digest)]
            doing = f"rolling back, {len(back)} of {len(going.plan)} targets done"
            waits = tuple(
                Blocker(
                    "cancelling",
                    f"the deployment on {t.name} is being stopped first",
                    f"{team}: reconcile … dead, if it is surely over",
                    subject=t.name,
                )
                for t in targets
                if t.deployment is not None and t.deployment.phase == "cancelling"
            )
            return ReleaseReasons(release, name, doing, (Blocker("rollback", going.reason), *waits, *busy))
        case Stopped() as still:
            return ReleaseReasons(
                release,
                name,
                "standing still",
                (
                    Blocker("stopped", still.reason, f"{team}: {_way_out(state, release)}"),
                    *busy,
                ),
            )
        case _:
            assert_never(run.phase)


def _moving(target: str, deployment: Deployment) -> str:
    """A target with what its deployment does now, where that is known."""
    note = deployment.note if deployment.phase == "running" else ""
    return f"{target} ({note.rstrip('.')})" if note else target


def _way_out(state: PipelineState, release: Release) -> str:
    if any(mark.digest == release.digest for mark in state.bad):
        return "rollback or cancel; an owner may lift it, a newer release that fixes it may take over"
    return "retry, rollback or cancel; a newer release, which takes over"


def _is_on(state: PipelineState, target: str, digest: str) -> bool:
    facts = next((t for t in state.targets if t.name == target), None)
    return (
        facts is not None and facts.deployment is None and facts.current is not None and facts.current.digest == digest
    )
