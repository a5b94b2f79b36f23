"""Going back [12–17]: to which version, when not, and what stands still instead.

No freeze, window, pause, missing approval or alarm is looked at here: nothing of that kind ever blocks a rollback.
"""

from __future__ import annotations

from dataclasses import replace

from core.releases.authority import called
from core.releases.draft import Draft
from core.releases.effects import CancelDeployment
from core.releases.pipeline import Stage
from core.releases.state import (
    BadMark,
    Installed,
    PipelineState,
    Release,
    RolledBack,
    RollingBack,
    StageRun,
    StopCause,
    Stopped,
    TargetState,
)
from core.releases.words import duration, listed, title
from core.releases.world import ANDON, Actor

BAD_MARKS_KEPT = 20


def good_for(state: PipelineState, target: TargetState, away_from: str) -> Installed | None:
    """The newest other version that finished its bake on a target, is not bad there and still available [13]."""
    for installed in target.good:
        if installed.digest == away_from or installed.digest in state.missing_artifacts:
            continue
        if any(_is_bad_in(state, mark, installed, target.stage) for mark in state.bad):
            continue
        return installed
    return None


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
    if is_bad:
        draft.put_release(
            replace(release, status=RolledBack(stage=name, reason=phase.reason, at=draft.now), goal="", picked=())
        )
    done = "was rolled back" if is_bad else "was restored"
    draft.tell(
        release.id,
        "rolled_back",
        f"{title(draft.definition, release)} {done} in {name}, which runs {back} again after {took}.",
        is_broadcast=not _goes_back_elsewhere(draft.state, release),
    )


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


def is_moving_forward(run: StageRun) -> bool:
    """Whether a run still takes its version forward."""
    return not isinstance(run.phase, RollingBack | Stopped)
