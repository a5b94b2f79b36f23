"""What must hold at every step, whatever happened: the rules said a second time, by looking at two states and effects.

Written without the functions that decide, as far as that goes, so that a slip there is not repeated here. Numbers in
brackets are those of `docs/release-rules.md`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from company.safety_alarms import of_alarm, of_spared
from company.safety_readings import MOVING, covers, is_open_by_the_clock, is_simple, override_of, run_of, targets_under
from core.releases.approvals import is_granted, scopes_of
from core.releases.bake import health
from core.releases.calendar import is_open
from core.releases.copies import replace
from core.releases.decide import Decision, next_wake
from core.releases.effects import StartDeployment
from core.releases.events import (
    AlarmReported,
    DefinitionApplied,
    DeploymentCancelled,
    DeploymentFailed,
    DeploymentSucceeded,
    Event,
    LiftRequested,
    PromoteRequested,
    ReconcileRequested,
    StageTestReported,
)
from core.releases.pipeline import Pipeline, Stage
from core.releases.state import (
    Baking,
    Deploying,
    Installed,
    PipelineState,
    Release,
    RollingBack,
    StageRun,
    Stopped,
    TargetState,
    Testing,
)
from core.releases.why import why
from core.releases.world import World


def problems(before: PipelineState, event: Event, decision: Decision, world: World, now: datetime) -> Iterator[str]:
    """Say what is unsafe about a step, one sentence each; nothing if all is well."""
    yield from stepped(before, event, decision, world, now)
    yield from standing(decision.state, world, now)


def stepped(before: PipelineState, event: Event, decision: Decision, world: World, now: datetime) -> Iterator[str]:
    """Say what is unsafe about the way from one state to the next."""
    after = decision.state
    for effect in decision.effects:
        if isinstance(effect, StartDeployment):
            yield from _start(before, event, after, effect, world, now)
    if isinstance(event, AlarmReported):
        yield from of_alarm(before, event, after, now)
    yield from of_spared(after, now)
    if before.releases is not after.releases or before.targets is not after.targets:
        yield from _passing(before, after, now)
    if before.releases is not after.releases or before.bad is not after.bad or before.pauses is not after.pauses:
        yield from _leaving(before, event, after)


# ---- what is started ------------------------------------------------------------------------------------------------


def _start(
    before: PipelineState, event: Event, after: PipelineState, effect: StartDeployment, world: World, now: datetime
) -> Iterator[str]:
    old = next(iter([t for t in before.targets if t.name == effect.target]), None)
    at = old.deployment if old is not None else None
    has_ended = at is None or any(
        isinstance(event, kind) and event.key == at.key
        for kind in (DeploymentSucceeded, DeploymentFailed, DeploymentCancelled)
    )
    if not has_ended and not (isinstance(event, ReconcileRequested) and event.choice == "dead"):
        yield f"a deployment on {effect.target} was started on top of one that may be alive [26]"
    run = after.stage(effect.stage).run
    if run is None:
        yield f"{effect.target} is deployed to, but nobody occupies {effect.stage} [2]"
        return
    if effect.is_rollback:
        yield from _back(before, after, effect, run, old, now)
        return
    release = after.released(effect.what.release)
    if run.release != release.id:
        yield f"{release.version} is deployed to {effect.stage}, which another release occupies [2]"
    for mark in after.bad:
        here = mark.stage == effect.stage or after.definition.follows(effect.stage, mark.stage)
        if mark.digest == release.digest and mark in before.bad and here:
            yield f"{release.version} is bad in {mark.stage} and was deployed to {effect.stage} again [15]"
    stage = after.definition_of(run).by_name[effect.stage]
    count = len(stage.targets)
    moving = len([t for t in after.targets_of(stage.name) if t.deployment is not None])
    most = max(1, min(count * stage.batch.forward_percent, count * (100 - stage.batch.healthy_percent)) // 100)
    if moving > most:
        yield f"{moving} of {count} targets of {stage.name} are deployed to at a time [5]"
    was = next((s.run for s in before.stages if s.name == effect.stage), None)
    if was is None or was.release != release.id:
        yield from _entry(before, after, release, stage, was, world, now)


def _entry(
    before: PipelineState,
    after: PipelineState,
    release: Release,
    stage: Stage,
    was: StageRun | None,
    world: World,
    now: datetime,
) -> Iterator[str]:
    who = f"{release.version} entered {stage.name}"
    for name in stage.after:
        passed_later = any(after.definition.follows(later, name) for later in release.passed)
        if name in after.definition.by_name and name not in release.passed and not passed_later:
            yield f"{who} without having passed {name} [1]"
    if was is not None and not isinstance(was.phase, Stopped) and was == run_of(after, stage.name):
        yield f"{who}, which is occupied [2]"
    for target in before.targets_of(stage.name):
        if target.drift and target.drift == after.target(target.name).drift:
            yield f"{who} though {target.name} was changed outside [27]"
    if override_of(after, release, stage, now) is not None:
        return
    for pause in after.pauses:
        if covers(pause.scope, stage) and (pause.until is None or pause.until > now):
            yield f"{who} in a pause [21]"
    for freeze in world.freezes:
        about = (not freeze.services or after.definition.service in freeze.services) and (
            not freeze.scopes or freeze.scopes & {stage.name, stage.group}
        )
        about = about and (not freeze.teams or after.definition.team in freeze.teams)
        if about and freeze.starts_at <= now and (freeze.ends_at is None or now < freeze.ends_at):
            yield f"{who} in a freeze [22]"
    group = after.definition.group_by_name.get(stage.group)
    for name in (*stage.windows, *(group.windows if group else ())):
        calendar = next((c for c in after.definition.calendars if c.name == name), world.calendars.get(name))
        if calendar is None or not (
            is_open_by_the_clock(calendar, now) if is_simple(calendar) else is_open(calendar, now)
        ):
            yield f"{who} outside the window {name} [22]"
    for scope, _ in scopes_of(after.definition, stage):
        asked = [r for r in after.approvals if r.release == release.id and r.scope == scope]
        if after.release(release.id) and not any(is_granted(after, r, world, now) for r in asked):
            yield f"{who} without approval [19]"
    seen = health(after, after.definition, stage, now)
    mended = was.phase.alarm if was is not None and isinstance(was.phase, Stopped) else ""
    for name in (*seen.red, *seen.unknown):
        defined = next((a.scope for a in after.definition.alarms if a.name == name), None)
        scope = defined or next(r.scope for r in after.alarms if r.name == name)
        runs = any(t.current is not None for t in targets_under(before, scope))
        if runs and name != mended and not _mends_all(after, release, stage):
            yield f"{who} while {name} was in alarm or unknown [9, 10]"


def _mends_all(after: PipelineState, release: Release, stage: Stage) -> bool:
    """Whether nothing but bad versions runs in a stage, all of which the release says it mends: nothing is lost."""
    running = [t.current for t in after.targets_of(stage.name) if t.current is not None]
    bad = {m.digest for m in after.bad}
    return all(c.digest in bad and c.version in release.fixes for c in running)


def _back(
    before: PipelineState,
    after: PipelineState,
    effect: StartDeployment,
    run: StageRun,
    old: TargetState | None,
    now: datetime,
) -> Iterator[str]:
    phase = run.phase
    assert old is not None
    if not isinstance(phase, RollingBack):
        yield f"{effect.target} goes back, but {effect.stage} is not being rolled back"
        return
    leaving = after.released(run.release)
    is_restored = old.current is not None and old.current.digest == effect.what.digest
    good = [g for g in old.good if g.digest != leaving.digest]
    if effect.what.digest not in {g.digest for g in good} and not is_restored:
        yield f"{effect.target} goes back to {effect.what.version}, which is not known good there [13]"
    if not phase.is_automatic:
        return
    usable = [g for g in good if g.digest not in after.missing_artifacts and not _is_bad(after, g, effect.stage)]
    if not usable or usable[0].digest != effect.what.digest:
        yield f"{effect.target} goes back to {effect.what.version}, not to the newest other good version [13]"
    if leaving.is_one_way:
        yield f"{leaving.version} is one-way and was rolled back automatically [17]"
    was = run_of(before, effect.stage)
    goes_on = was is not None and isinstance(was.phase, RollingBack) and was.phase.since == phase.since
    recent = old.rolled_back_at is not None and now - old.rolled_back_at < after.definition.rollback_guard
    if recent and not goes_on:
        yield f"{effect.target} is rolled back automatically for the second time within the guard [16]"


# ---- passing and leaving --------------------------------------------------------------------------------------------


def _passing(before: PipelineState, after: PipelineState, now: datetime) -> Iterator[str]:
    known = {r.id: r for r in before.releases} if before.releases is not after.releases else {}
    for release in after.releases if known else ():
        old = known.get(release.id)
        if release is old:
            continue
        gained = [name for name in release.passed if old is None or name not in old.passed]
        for name in gained:
            yield from _passed(before, after, release, name, now)
        if release.status.kind == "completed" and old is not None and old.status.kind != "completed":
            last = after.definition.last_stages
            if not last <= set(release.passed):
                yield f"{release.version} is complete without having passed {', '.join(sorted(last))}"
    is_like = len(before.targets) == len(after.targets)
    pairs = zip(before.targets, after.targets, strict=True) if is_like else ((None, t) for t in after.targets)
    judged: dict[tuple[str, str], bool] = {}
    for old_target, target in [(old, new) for old, new in pairs if old is not new]:
        if old_target is not None and old_target.name == target.name:
            was = old_target.good
        else:
            was = next((t.good for t in before.targets if t.name == target.name), ())
        if target.good is was:
            continue
        known_good = {g.digest for g in was}
        for good in target.good:
            if good.digest in known_good:
                continue
            bake = (target.stage, good.release)
            if bake not in judged:
                judged[bake] = _finished_bake(before, after, *bake, now)
            if not judged[bake]:
                yield f"{good.version} counts as good on {target.name} without having baked there [13]"
        if len(target.good) > after.definition.keep_good + 1:
            yield f"{len(target.good)} good versions are kept on {target.name} [13]"


def _passed(before: PipelineState, after: PipelineState, release: Release, name: str, now: datetime) -> Iterator[str]:
    if _finished_bake(before, after, name, release.id, now):
        return
    stage = after.definition.by_name.get(name)
    run = run_of(before, name)
    was_baking = run is not None and run.release == release.id and isinstance(run.phase, MOVING)
    following = [s for s in after.definition.stages if name in s.after]
    forced = any(override_of(after, release, s, now) is not None for s in following)
    if stage is None or not was_baking or not forced or stage.is_one_box:
        yield f"{release.version} passed {name} without having finished its bake there [7, 23]"


def _finished_bake(before: PipelineState, after: PipelineState, name: str, release: str, now: datetime) -> bool:
    """Whether a bake can be over at `now`, judged by what was known before; a stage without a bake need not begin."""
    run = run_of(before, name)
    if run is None or run.release != release:
        # Entered and passed in one step: nothing was to be deployed, tested or baked.
        stage = after.definition.by_name.get(name)
        return stage is not None and not (stage.tests or stage.bake.duration or stage.bake.minimum_points)
    stage = before.definition_of(run).by_name[name]
    digest = before.released(release).digest
    targets = {t.name for t in stage.targets}
    if any(not (t.current and t.current.digest == digest) for t in after.targets_of(name) if t.name in targets):
        return False
    if not isinstance(run.phase, Baking):
        needs_more = stage.bake.duration or stage.bake.minimum_points
        return isinstance(run.phase, MOVING) and not needs_more and (not stage.tests or isinstance(run.phase, Testing))
    most = run.phase.credited + (now - run.phase.credited_until)
    return most >= stage.bake.duration and _is_healthy(
        replace(after, definition=before.definition, pinned=before.pinned), run, stage, now
    )


def _is_healthy(state: PipelineState, run: StageRun, stage: Stage, now: datetime) -> bool:
    seen = health(state, state.definition_of(run), stage, now)
    return bool(run.override) or not (seen.red or seen.unknown)


def _leaving(before: PipelineState, event: Event, after: PipelineState) -> Iterator[str]:
    known = {r.id: r for r in before.releases} if before.releases is not after.releases else {}
    for release in after.releases if known else ():
        old = known.get(release.id)
        if old is None or old.status.kind == release.status.kind:
            continue
        if release.status.kind == "superseded":
            yield from _superseded(before, event, after, old)
        if release.status.kind == "live" and not isinstance(event, PromoteRequested | LiftRequested):
            yield f"{release.version} came back to the line by itself [15]"
        if release.status.kind == "rolled_back" and not any(m.digest == release.digest for m in after.bad):
            yield f"{release.version} was rolled back, and is not bad [15]"
    for mark in before.bad:
        # What is mended, and of a version that nothing here knows, can be brought back by nobody.
        is_known = after.release(mark.release) is not None or any(
            mark.digest == kept.digest for t in after.targets for kept in (t.current, *t.good) if kept is not None
        )
        allowed = isinstance(event, LiftRequested | DefinitionApplied) or (mark.is_healed and not is_known)
        if not allowed and not any(m.digest == mark.digest for m in after.bad):
            yield f"it was forgotten that {mark.version} is bad [15]"
    for pause in before.pauses:
        ended = pause.until is not None
        if not ended and pause.id not in {p.id for p in after.pauses} and "Resume" not in type(event).__name__:
            yield "a pause without an end was lifted by nobody [21]"


def _superseded(before: PipelineState, event: Event, after: PipelineState, release: Release) -> Iterator[str]:
    stopping = DeploymentFailed | DeploymentCancelled | StageTestReported | AlarmReported | ReconcileRequested
    if isinstance(event, stopping):
        return  # It came to stand still first, and what stands still waits.
    # A failed target that is back leaves its stage standing still; so does the last that succeeds beside one that was
    # refused. What stands still waits.
    moving = [
        s.name
        for s in before.stages
        if s.run is not None
        and s.run.release == release.id
        and not isinstance(s.run.phase, Stopped)
        and (isinstance(s.run.phase, MOVING) or run_of(after, s.name) == s.run)
        and not (isinstance(event, DeploymentSucceeded) and isinstance(s.run.phase, Deploying) and s.run.phase.failed)
    ]
    waits = any(
        stage.name not in release.passed and all(name in release.passed for name in stage.after)
        for stage in before.definition.stages
        if not any(s.name == stage.name and s.run is not None and s.run.release == release.id for s in before.stages)
    )
    if moving and not waits:
        yield f"{release.version} was overtaken while it moved [3]"


# ---- how things stand afterwards ------------------------------------------------------------------------------------


def standing(after: PipelineState, world: World, now: datetime) -> Iterator[str]:
    """Say what is unsafe about how things stand: nothing may be held without a reason."""
    for occupied in after.stages:
        run = occupied.run
        if run is None:
            continue
        busy = any(t.deployment is not None for t in after.targets_of(occupied.name))
        if isinstance(run.phase, RollingBack) and not busy:
            yield f"the rollback in {occupied.name} does not start [14]"
        if isinstance(run.phase, RollingBack) and not run.phase.ends_in_stop:
            leaving = after.released(run.release)
            is_bad = any(m.digest == leaving.digest for m in after.bad)
            if not is_bad and any(goal.digest != leaving.digest for _, goal in run.phase.plan):
                yield f"{leaving.version} is being rolled back, and is not bad [15]"
        if isinstance(run.phase, Deploying) and not busy:
            yield f"{occupied.name} is deploying, and nothing is in flight [25]"
    all_reasons = why(after, world, now)
    explained = {r.release.id for r in all_reasons if r.reasons}
    for release in after.releases:
        if release.is_live and release.id not in explained:
            yield f"{release.version} is held without a reason [25]"
    for found in all_reasons:
        if any(not reason.sentence for reason in found.reasons):
            yield f"a reason for {found.release.version} has no words [25]"
        if any(reason.clears_at is not None and reason.clears_at <= now for reason in found.reasons):
            yield f"a reason for {found.release.version} should be gone already [25]"
    if (wake := next_wake(after, world, now)) is not None and wake <= now:
        yield "it wants to be woken in the past"


def _is_bad(state: PipelineState, installed: Installed, stage: str) -> bool:
    definition: Pipeline = state.definition
    return any(
        m.digest == installed.digest
        and (m.stage == stage or definition.follows(stage, m.stage) or m.stage not in definition.by_name)
        for m in state.bad
    )
