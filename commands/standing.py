"""Where a release stands, in words and symbols: the same for its card, for `status` and for the shell.

Nothing here says how long something takes or took: instants are given as such, and each reader's dialect shows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from commands.words import listed
from core.releases.bake import ceiling_at, missing
from core.releases.blockers import waits_at
from core.releases.pipeline import Stage
from core.releases.state import (
    Baking,
    Cancelled,
    Completed,
    Deploying,
    Live,
    PipelineState,
    Rejected,
    Release,
    RolledBack,
    RollingBack,
    StageRun,
    Stopped,
    Superseded,
    Testing,
)

PASSED, NOW, STANDS, BACK, WAITS, OVER = "✓", "▶", "■", "↩", "…", "–"


@dataclass(frozen=True, slots=True)
class Step:
    """One stage from a release's point of view. `words` is empty where nothing is to be said of it yet."""

    stage: str
    group: str
    symbol: str
    words: str = ""
    until: datetime | None = None
    is_now: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """A release as a whole: `kind` for programs, `words` to follow its name (`is …`), `until` when that should end."""

    kind: str
    symbol: str
    words: str
    stage: str = ""
    until: datetime | None = None
    at: datetime | None = None


def steps(state: PipelineState, release: Release, now: datetime) -> tuple[Step, ...]:
    """The release at every stage of the definition in force, and in one it still occupies by an older definition."""
    shown = [_step(state, release, stage, now) for stage in state.definition.stages]
    known = set(state.definition.by_name)
    for occupied in state.stages:
        if occupied.run is not None and occupied.run.release == release.id and occupied.name not in known:
            shown.append(_run_step(state, occupied.run, state.definition_of(occupied.run).by_name[occupied.name], now))
    return tuple(shown)


def _step(state: PipelineState, release: Release, stage: Stage, now: datetime) -> Step:
    occupied = next((s for s in state.stages if s.name == stage.name), None)
    if occupied is not None and occupied.run is not None and occupied.run.release == release.id:
        pinned = state.definition_of(occupied.run).by_name.get(stage.name, stage)
        return _run_step(state, occupied.run, pinned, now)
    if isinstance(release.status, RolledBack) and release.status.stage == stage.name:
        return Step(stage.name, stage.group, BACK, "rolled back")
    if stage.name in release.passed:
        watch = occupied.watch if occupied is not None else None
        if watch is not None and watch.release == release.id and now < watch.until:
            return Step(stage.name, stage.group, PASSED, "watched", watch.until)
        return Step(stage.name, stage.group, PASSED)
    if waits_at(state, release, stage):
        return Step(stage.name, stage.group, WAITS, "waits to enter", is_now=True)
    return Step(stage.name, stage.group, "")


def _run_step(state: PipelineState, run: StageRun, stage: Stage, now: datetime) -> Step:
    symbol, words, until = _phase(state, run, stage, now)
    return Step(stage.name, stage.group, symbol, words, until, is_now=True)


def _phase(state: PipelineState, run: StageRun, stage: Stage, now: datetime) -> tuple[str, str, datetime | None]:
    match run.phase:
        case Deploying(failed=failed):
            targets = state.targets_of(stage.name)
            digest = state.released(run.release).digest
            done = sum(t.current is not None and t.current.digest == digest and not t.deployment for t in targets)
            rest = f", {len(failed)} failed" if failed else ""
            return NOW, f"deploying, {done} of {len(targets)} targets done{rest}", None
        case Testing(tests=tests):
            waiting = [test.name for test in tests if not test.outcome]
            return NOW, f"testing ({listed(waiting)})" if waiting else "testing", None
        case Baking() as phase:
            return NOW, *_baking(state, run, phase, stage, now)
        case Stopped(reason=reason):
            return STANDS, f"stopped: {reason}", None
        case RollingBack(plan=plan, reason=reason):
            goals = listed(sorted({goal.version for _, goal in plan}))
            return BACK, f"rolling back to {goals}: {reason}" if goals else f"rolling back: {reason}", None


def _baking(
    state: PipelineState, run: StageRun, phase: Baking, stage: Stage, now: datetime
) -> tuple[str, datetime | None]:
    lacks = missing(state, run, stage, now)
    if lacks.unknown:
        return f"baking stands still, because {_alarms(lacks.unknown)} unknown", ceiling_at(run, stage)
    if lacks.time:
        return "baking", phase.credited_until + lacks.time
    if lacks.points:
        return f"baking, {lacks.points} more data points are needed", ceiling_at(run, stage)
    return "baking", None


def _alarms(names: tuple[str, ...]) -> str:
    return f"the alarm {names[0]} is" if len(names) == 1 else f"the alarms {listed(names)} are"


def standing(state: PipelineState, release: Release, now: datetime) -> Standing:
    """The one thing to say of a release."""
    busy = [step for step in steps(state, release, now) if step.is_now]
    runs = [step for step in busy if step.symbol != WAITS]
    if runs:
        # What stands or goes back matters more than what moves; further down the line more than before.
        step = max(enumerate(runs), key=lambda pair: (pair[1].symbol in (STANDS, BACK), pair[0]))[1]
        kind = {NOW: "moving", STANDS: "stopped", BACK: "rolling_back"}[step.symbol]
        return Standing(kind, step.symbol, f"in {step.stage}: {step.words}", step.stage, step.until)
    match release.status:
        case Live():
            if not busy:
                return Standing("waiting", WAITS, "waiting")
            names = [step.stage for step in busy]
            if not release.passed:
                return Standing("waiting", WAITS, f"waiting to enter {listed(names)}", names[0])
            return Standing("waiting", WAITS, f"past {release.passed[-1]}, waiting to enter {listed(names)}", names[0])
        case Superseded(by=by, at=at):
            return Standing("superseded", OVER, f"superseded by {by}", at=at)
        case Rejected(by=actor, scope=scope, reason=reason, at=at):
            return Standing("rejected", OVER, f"rejected by {actor.name} for {scope}: {reason}", at=at)
        case Cancelled(by=actor, reason=reason, at=at):
            return Standing("cancelled", OVER, f"cancelled by {actor.name}: {reason}", at=at)
        case RolledBack(stage=stage, reason=reason, at=at):
            return Standing("rolled_back", BACK, f"rolled back in {stage}: {reason}", stage, at=at)
        case Completed(at=at):
            return Standing("completed", PASSED, "everywhere", at=at)
