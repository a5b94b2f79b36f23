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
    Deploying,
    PipelineState,
    Release,
    RollingBack,
    StageRun,
    StageState,
    Stopped,
    Testing,
)
from core.releases.statuses import Cancelled, Completed, Live, Rejected, RolledBack, Superseded

# None of these has a coloured twin among the emoji; each stands beside a word that says the same.
PASSED, NOW, STANDS, BACK, WAITS, OVER = "✓", "▸", "■", "↶", "…", "–"


@dataclass(frozen=True, slots=True)
class Step:
    """One stage from a release's point of view; `words` may be empty, `reason` follows `because`."""

    stage: str
    group: str
    symbol: str
    words: str = ""
    until: datetime | None = None
    is_now: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """A release as a whole: `kind` for programs, `brief` and `words` to follow `is`, `until` when it should end."""

    kind: str
    symbol: str
    brief: str
    words: str
    stage: str = ""
    until: datetime | None = None
    at: datetime | None = None
    reason: str = ""


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
    if isinstance(release.status, RolledBack) and stage.name in (release.status.stage, *release.status.also):
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
    symbol, words, reason, until = _phase(state, run, stage, now)
    return Step(stage.name, stage.group, symbol, words, until, is_now=True, reason=reason)


def _phase(state: PipelineState, run: StageRun, stage: Stage, now: datetime) -> tuple[str, str, str, datetime | None]:
    """Symbol, words, the reason if there is one, and until when."""
    match run.phase:
        case Deploying(failed=failed):
            targets = state.targets_of(stage.name)
            digest = state.released(run.release).digest
            done = sum(t.current is not None and t.current.digest == digest and not t.deployment for t in targets)
            rest = f", {len(failed)} failed" if failed else ""
            return NOW, f"deploying, {done} of {len(targets)} targets done{rest}", "", None
        case Testing(tests=tests):
            waiting = [test.name for test in tests if not test.outcome]
            return NOW, f"testing ({listed(waiting)})" if waiting else "testing", "", None
        case Baking() as phase:
            return NOW, *_baking(state, run, phase, stage, now)
        case Stopped(reason=reason):
            return STANDS, "stopped", reason, None
        case RollingBack(plan=plan, reason=reason):
            goals = listed(sorted({goal.version for _, goal in plan}))
            return BACK, f"rolling back to {goals}" if goals else "rolling back", reason, None


def _baking(
    state: PipelineState, run: StageRun, phase: Baking, stage: Stage, now: datetime
) -> tuple[str, str, datetime | None]:
    lacks = missing(state, run, stage, now)
    if lacks.unknown:
        return "the bake stands still", f"{_alarms(lacks.unknown)} unknown", None
    if lacks.time:
        return "baking", "", phase.credited_until + lacks.time
    if lacks.points:
        return "baking on", f"{lacks.points} more data points are needed", ceiling_at(run, stage)
    return "baking", "", None


def _alarms(names: tuple[str, ...]) -> str:
    return f"the alarm {names[0]} is" if len(names) == 1 else f"the alarms {listed(names)} are"


def standing(state: PipelineState, release: Release, now: datetime) -> Standing:
    """The one thing to say of a release."""
    runs = [s for s in state.stages if s.run is not None and s.run.release == release.id]
    if runs:
        # What stands or goes back matters more than what moves; further down the line more than before.
        occupied = max(reversed(runs), key=_is_urgent)
        assert occupied.run is not None
        pinned = state.definition_of(occupied.run).by_name[occupied.name]
        symbol, words, reason, until = _phase(state, occupied.run, pinned, now)
        kind, brief = _KINDS[occupied.run.phase.kind]
        brief = f"{brief} {occupied.name}"
        because = f", because {reason}" if reason else ""
        words = f"in {occupied.name}: {words}{because}"
        return Standing(kind, symbol, brief, words, occupied.name, until, reason=reason)
    return _at_rest(state, release)


_KINDS = {
    "deploying": ("moving", "being deployed to"),
    "testing": ("moving", "being tested in"),
    "baking": ("moving", "baking in"),
    "stopped": ("stopped", "stopped in"),
    "rolling_back": ("rolling_back", "rolling back in"),
}


def _is_urgent(occupied: StageState) -> bool:
    return occupied.run is not None and isinstance(occupied.run.phase, Stopped | RollingBack)


def _at_rest(state: PipelineState, release: Release) -> Standing:
    match release.status:
        case Live():
            entries = [stage.name for stage in state.definition.stages if waits_at(state, release, stage)]
            brief = f"waiting to enter {listed(entries)}" if entries else "waiting"
            words = f"past {release.passed[-1]}, {brief}" if release.passed else brief
            return Standing("waiting", WAITS, brief, words, entries[0] if entries else "")
        case Superseded(by=by, at=at):
            return Standing("superseded", OVER, f"superseded by {by}", f"superseded by {by}", at=at)
        case Rejected(by=actor, scope=scope, reason=reason, at=at):
            return Standing("rejected", OVER, "rejected", f"rejected by {actor.name} for {scope}: {reason}", at=at)
        case Cancelled(by=actor, reason=reason, at=at):
            return Standing("cancelled", OVER, "cancelled", f"cancelled by {actor.name}: {reason}", at=at)
        case RolledBack(stage=stage, reason=reason, at=at, also=also):
            left = {stage, *also}
            # In the order of the line; a stage that is gone from it is still named.
            known = [name for name in state.definition.by_name if name in left]
            brief = f"rolled back in {listed([*known, *sorted(left - set(known))])}"
            return Standing("rolled_back", BACK, brief, f"{brief}: {reason}", stage, at=at)
        case Completed(at=at):
            return Standing("completed", PASSED, "everywhere", "everywhere", at=at)


def begun(sentence: str, state: PipelineState) -> str:
    """A reason as a sentence begins: with a capital, unless it begins with a name, which is written as it is."""
    first = sentence.split(maxsplit=1)[0].rstrip(":,;") if sentence.strip() else ""
    return sentence if first in _names(state) else f"{sentence[:1].upper()}{sentence[1:]}"


def cleared_by(who: str) -> str:
    """Who can clear a reason, and how, in one piece: `the team shop: promote` is `the team shop (promote)`."""
    ways = [way.partition(": ") for way in who.split("; ")]
    return listed([f"{people} ({how})" if colon else people for people, colon, how in ways], "or")


def _names(state: PipelineState) -> set[str]:
    definition = state.definition
    return {
        state.id,
        definition.service,
        *(group.name for group in definition.groups),
        *(name for stage in definition.stages for name in (stage.name, *(test.name for test in stage.tests))),
        *(target.name for target in state.targets),
        *(alarm.name for alarm in definition.alarms),
        *(release.version for release in state.releases),
    }
