"""Why a release may not enter a stage now: computed, never stored [25].

The same function opens the gate, in the transaction that would start the deployment, and answers `why`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from core.releases import gates
from core.releases.approvals import eligible, is_granted, scopes_of, valid_votes
from core.releases.bake import covers, has_anything_running, health
from core.releases.copies import quick
from core.releases.pipeline import ApprovalRule, Order, Pipeline, Scope, Stage
from core.releases.state import (
    ApprovalRequest,
    BadMark,
    Installed,
    Override,
    Pause,
    PipelineState,
    Release,
    StageRun,
    StopCause,
    Stopped,
)
from core.releases.words import duration, listed, place
from core.releases.world import World


@quick
@dataclass(frozen=True, slots=True)
class Blocker:
    """One reason: `sentence` says what, `who` can clear it (people's words), `clears_at` when it goes by itself."""

    kind: str
    sentence: str
    who: str = ""
    clears_at: datetime | None = None
    subject: str = ""
    """What it is about: an approval request, a pause, an alarm, a target."""


STRUCTURAL = frozenset({"occupied", "upstream", "bad", "order", "pick", "goal", "busy"})
"""While one of these stands nobody is asked to approve: the question could still change."""

WAIVED_BY_OVERRIDE = frozenset({"paused", "frozen", "window", "turn", "alarm", "unknown", "approval", "order", "goal"})


def blockers(state: PipelineState, release: Release, stage: Stage, world: World, now: datetime) -> tuple[Blocker, ...]:
    """Every reason why `release` may not enter `stage`; empty means that it enters now."""
    lacking = ungranted(state, release, stage, world, now)
    approvals = [_approval(state, scope, rule, request, world) for scope, rule, request in lacking]
    return (*other_blockers(state, release, stage, world, now), *approvals)


def other_blockers(
    state: PipelineState, release: Release, stage: Stage, world: World, now: datetime
) -> tuple[Blocker, ...]:
    """Every reason but the approvals it lacks, which cost the most to put into words."""
    found = [
        *_line(state, release, stage),
        *_bad(state, release, stage),
        *_targets(state, stage),
        *_people(state, release, stage, world, now),
        *_alarms(state, release, stage, now),
    ]
    if found and active_override(state, release, stage, now) is not None:
        return tuple(b for b in found if b.kind not in WAIVED_BY_OVERRIDE)
    return tuple(found)


# ---- the line [1–3] -------------------------------------------------------------------------------------------------


def waiting_at(state: PipelineState, stage: Stage) -> list[Release]:
    """The releases that stand at the entry of a stage, oldest first."""
    return waiting(state).get(stage.name, [])


def waiting(state: PipelineState) -> dict[str, list[Release]]:
    """The releases that stand at the entry of each stage, oldest first; only of stages where any does."""
    found: dict[str, list[Release]] = {}
    for release in state.releases:
        if release.is_live:
            for name in state.definition.entries(release.passed):
                run = state.stage(name).run
                if run is None or run.release != release.id:
                    found.setdefault(name, []).append(release)
    return found


def waits_at(state: PipelineState, release: Release, stage: Stage) -> bool:
    """Whether a release stands at the entry of a stage: live, all before passed, nothing after it passed."""
    if not release.is_live or stage.name not in state.definition.entries(release.passed):
        return False
    # Asked for every release at every stage of every decision: a plain loop costs a third of `any` over a generator.
    for occupied in state.stages:
        if occupied.name == stage.name and occupied.run is not None and occupied.run.release == release.id:
            return False
    return True


def missing_before(state: PipelineState, release: Release, stage: Stage) -> list[str]:
    """The stages before this one that a release has yet to pass; not those put in before one it passed [4]."""
    return state.definition.missing_before(stage, release.passed)


def is_newer(one: Release, other: Release) -> bool:
    """Whether `one` is newer: by ancestry where it is known, else by arrival [3]."""
    if one.ancestors is not None and other.version in one.ancestors:
        return True
    if other.ancestors is not None and one.version in other.ancestors:
        return False
    return one.sequence > other.sequence


def _is_older(state: PipelineState, release: Release, current: Installed) -> bool:
    other = state.release(current.release)
    return is_newer(other, release) if other is not None else current.sequence > release.sequence


def leader(state: PipelineState, stage: Stage, world: World, now: datetime) -> Release | None:
    """Who is next at the entry of a stage, by the pipeline's order; None where a person must pick."""
    waiting = waiting_at(state, stage)
    free = [r for r in waiting if not holding_marks(state, r, stage)] or waiting
    order = state.definition.order
    holds = next((r for r in free if order is Order.NEWEST and _holds_its_place(state, r, stage, world, now)), None)
    if holds is not None:
        return holds
    picked = [r for r in free if stage.name in r.picked]
    if picked:
        return picked[-1]
    match order:
        case Order.QUEUE:
            return min(free, key=lambda r: r.sequence, default=None)
        case Order.MANUAL:
            going = [r for r in free if r.goal and _goal_covers(state.definition, r.goal, stage)]
            return min(going, key=lambda r: r.sequence, default=None)
        case Order.NEWEST:
            best = None
            for candidate in free:
                if best is None or is_newer(candidate, best):
                    best = candidate
            return best
        case _:
            assert_never(order)


def _holds_its_place(state: PipelineState, release: Release, stage: Stage, world: World, now: datetime) -> bool:
    """Once a first approval of several is cast, the older keeps its place until decided or expired [3]."""
    for scope, rule in scopes_of(state.definition, stage):
        for request in state.approvals:
            if request.release == release.id and request.scope == scope and rule.count > 1:
                votes = valid_votes(state, request, world)
                # The last vote must not cost it the place the first one gave: what may enter now goes first.
                return 0 < votes < rule.count or (votes > 0 and not blockers(state, release, stage, world, now))
    return False


def _goal_covers(definition: Pipeline, goal: str, stage: Stage) -> bool:
    scope = definition.scope_named(goal)
    if scope is None:
        return False
    names = definition.names_in(scope)
    return stage.name in names or any(definition.follows(name, stage.name) for name in names)


def _line(state: PipelineState, release: Release, stage: Stage) -> list[Blocker]:
    found: list[Blocker] = []
    missing = missing_before(state, release, stage)
    if missing:
        found.append(Blocker("upstream", f"it has not passed {listed(missing)}"))
    occupied = state.stage(stage.name).run
    if occupied is not None and occupied.release != release.id and not may_overtake(state, occupied, release):
        other = state.released(occupied.release)
        found.append(Blocker("occupied", f"{stage.name} is occupied by {other.version}", subject=other.id))
    if release.goal and not _goal_covers(state.definition, release.goal, stage):
        found.append(
            Blocker("goal", f"it was promoted up to {release.goal}", f"the team {state.definition.team}: promote")
        )
    found.extend(_order(state, release, stage))
    for target in state.targets_of(stage.name):
        current = target.current
        if current is not None and current.release != release.id and _is_older(state, release, current):
            found.append(Blocker("older", f"{stage.name} runs {current.version}, which is newer"))
            break
    return found


def _order(state: PipelineState, release: Release, stage: Stage) -> list[Blocker]:
    order = state.definition.order
    team = f"the team {state.definition.team}"
    if stage.name in release.picked:
        return []
    if order is Order.MANUAL and not (release.goal and _goal_covers(state.definition, release.goal, stage)):
        return [Blocker("pick", "the order is manual: a person picks what goes on", f"{team}: promote")]
    if order is Order.QUEUE:
        ahead = [
            r
            for r in state.releases
            if r.sequence < release.sequence and waits_at(state, r, stage) and not _bad(state, r, stage)
        ]
        if ahead:
            return [Blocker("order", f"{ahead[0].version} is ahead in the queue", subject=ahead[0].id)]
    return []


def may_overtake(state: PipelineState, run: StageRun, release: Release) -> bool:
    """A stage that stands still is waiting: a newer release may take it, and levels its targets [3, 12]."""
    return isinstance(run.phase, Stopped) and is_newer(release, state.released(run.release))


# ---- bad versions [15] ----------------------------------------------------------------------------------------------


def holding_marks(state: PipelineState, release: Release, stage: Stage) -> tuple[BadMark, ...]:
    """The bad marks that hold a release at the entry of a stage."""
    return tuple([mark for mark in state.bad if _mark_holds(state, mark, release, stage)])


def _mark_holds(state: PipelineState, mark: BadMark, release: Release, stage: Stage) -> bool:
    from_stage = mark.stage
    if from_stage in state.definition.by_name and not (
        stage.name == from_stage or state.definition.follows(stage.name, from_stage)
    ):
        return False
    if release.id in mark.lifted_for:
        return False
    if release.digest == mark.digest:
        return True
    if mark.is_healed or mark.version in release.fixes:
        return False
    if release.ancestors is not None:
        return mark.version in release.ancestors
    return release.sequence > mark.sequence


def _bad(state: PipelineState, release: Release, stage: Stage) -> list[Blocker]:
    found = []
    for mark in holding_marks(state, release, stage):
        owners = f"an owner of the team {state.definition.team}: lift"
        if mark.digest == release.digest:
            sentence = f"{mark.version} is bad from {mark.stage} on: {mark.reason}"
        else:
            sentence = (
                f"it may still contain {mark.version}, which was rolled back in {mark.stage}; "
                f"announce it with fixes {mark.version}, or lift it"
            )
        found.append(Blocker("bad", sentence, owners, subject=mark.version))
    return found


# ---- targets [26, 27] -----------------------------------------------------------------------------------------------


def _targets(state: PipelineState, stage: Stage) -> list[Blocker]:
    found = []
    for target in state.targets_of(stage.name):
        if target.deployment is not None:
            at = target.deployment
            what = f"{at.what.version} is still being deployed to {target.name}"
            if at.phase == "unknown":
                what = f"it is not known how the deployment of {at.what.version} to {target.name} stands"
            found.append(
                Blocker("busy", what, f"the team {state.definition.team}: reconcile … dead", subject=target.name)
            )
        if target.drift:
            found.append(
                Blocker(
                    "drift",
                    f"{target.name}: {target.drift}",
                    f"the team {state.definition.team}: reconcile",
                    subject=target.name,
                )
            )
    return found


# ---- people [21–23] -------------------------------------------------------------------------------------------------


def pauses_over(state: PipelineState, stage: Stage, now: datetime) -> tuple[Pause, ...]:
    """The pauses that hold the entry of a stage."""
    return tuple(p for p in state.pauses if covers(p.scope, stage) and (p.until is None or now < p.until))


def _people(state: PipelineState, release: Release, stage: Stage, world: World, now: datetime) -> list[Blocker]:
    del release
    found = []
    for pause in pauses_over(state, stage, now):
        found.append(
            Blocker(
                "paused",
                f"{pause.by.name} paused {place(pause.scope)}: {pause.reason}",
                f"the team {state.definition.team}: resume",
                pause.until,
                pause.id,
            )
        )
    for gate in gates.shut(state.definition, stage, world, now):
        found.append(Blocker(gate.kind, gate.sentence, gate.who, gate.clears_at, gate.subject))
    return found


def active_override(state: PipelineState, release: Release, stage: Stage, now: datetime) -> Override | None:
    """The exception made for this release at this stage, if it is in force [23]."""
    for override in state.overrides:
        if override.release == release.id and override.stage == stage.name and now < override.expires_at:
            if stage.is_production and override.seconded_by is None:
                continue
            return override
    return None


def is_half_made(state: PipelineState, override: Override, now: datetime) -> bool:
    """Whether an override still waits for its second person, and so is not in force [23]."""
    stage = state.definition.by_name.get(override.stage)
    needs_two = stage is not None and stage.is_production
    return needs_two and override.seconded_by is None and now < override.expires_at


# ---- alarms [9, 10] -------------------------------------------------------------------------------------------------


def _alarms(state: PipelineState, release: Release, stage: Stage, now: datetime) -> list[Blocker]:
    found: list[Blocker] = []
    seen = health(state, state.definition, stage, now)
    if not seen.red and not seen.unknown:
        return found
    scopes: dict[str, Scope] = {r.name: r.scope for r in state.alarms}
    scopes |= {a.name: a.scope for a in state.definition.alarms}
    for name in seen.red:
        if not has_anything_running(state, scopes[name], state.definition):
            continue
        if _is_mended_by(state, release, stage, name):
            continue
        reading = state.reading(name)
        since = f" for {duration(now - reading.since)}" if reading is not None else ""
        found.append(
            Blocker("alarm", f"the alarm {name} is red{since}", "whoever mends it; an owner: override", subject=name)
        )
    for name in seen.unknown:
        if has_anything_running(state, scopes[name], state.definition):
            found.append(
                Blocker(
                    "unknown",
                    f"the alarm {name} is unknown: nothing was heard from its source",
                    "whoever runs the monitoring; an owner: override",
                    subject=name,
                )
            )
    return found


def _is_mended_by(state: PipelineState, release: Release, stage: Stage, alarm: str) -> bool:
    """A fix may enter a stage that its bad forerunner left standing in alarm; nothing else could ever clear it."""
    run = state.stage(stage.name).run
    bad = {mark.digest for mark in state.bad}
    running = [t.current for t in state.targets_of(stage.name) if t.current is not None]
    if running and all(c.digest in bad and c.version in release.fixes for c in running):
        return True
    return (
        run is not None
        and isinstance(run.phase, Stopped)
        and run.phase.cause == StopCause.ALARM
        and run.phase.alarm == alarm
        and state.released(run.release).version in release.fixes
    )


# ---- approvals [19, 20] ---------------------------------------------------------------------------------------------


def ungranted(
    state: PipelineState, release: Release, stage: Stage, world: World, now: datetime
) -> list[tuple[Scope, ApprovalRule, ApprovalRequest | None]]:
    """The approvals that the release lacks at the entry of a stage, with the request that is open, if it was asked."""
    found: list[tuple[Scope, ApprovalRule, ApprovalRequest | None]] = []
    for scope, rule in scopes_of(state.definition, stage):
        requests = [r for r in state.approvals if r.release == release.id and r.scope == scope]
        if not any(is_granted(state, r, world, now) for r in requests):
            found.append((scope, rule, requests[-1] if requests else None))
    return found if not found or active_override(state, release, stage, now) is None else []


def _approval(
    state: PipelineState, scope: Scope, rule: ApprovalRule, request: ApprovalRequest | None, world: World
) -> Blocker:
    if request is None:
        return Blocker("approval", f"it needs {_count(rule.count)} for {place(scope)}", listed(rule.by, "or"))
    given = valid_votes(state, request, world)
    rest = f" ({given} of {rule.count} given)" if rule.count > 1 else ""
    names = [world.name_of(key) for key in eligible(state, request, world)]
    return Blocker(
        "approval",
        f"it waits for {_count(rule.count)} for {place(scope)}{rest}",
        listed(names, "or") or listed(rule.by, "or"),
        None,
        request.id,
    )


def _count(count: int) -> str:
    return "an approval" if count == 1 else f"{count} approvals"
