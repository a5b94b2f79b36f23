"""What people ask for. Each function authorises, applies, and answers; what cannot be done raises `CommandRefused`
with what would help, and then nothing has changed [24]."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from core.errors import CommandRefused
from core.releases import rollback
from core.releases.approvals import is_granted, rule_of, valid_votes, why_not
from core.releases.authority import require_on_call_or_team, require_owner, require_team
from core.releases.bake import health, missing
from core.releases.blockers import blockers, holding_marks, is_newer, missing_before, waits_at
from core.releases.draft import Draft
from core.releases.events import (
    AcknowledgeRequested,
    ApproveRequested,
    CancelRequested,
    LiftRequested,
    OverrideRequested,
    PauseRequested,
    PromoteRequested,
    ReconcileRequested,
    RejectRequested,
    ResumeRequested,
    RetryRequested,
    RollbackRequested,
)
from core.releases.pipeline import SERVICE, Order, Scope, Stage
from core.releases.state import (
    ApprovalRequest,
    Baking,
    Cancelled,
    Completed,
    Deploying,
    Installed,
    Live,
    Override,
    Pause,
    Rejected,
    Release,
    RolledBack,
    RollingBack,
    StageRun,
    StopCause,
    Stopped,
    Superseded,
    TargetState,
    Testing,
    Vote,
)
from core.releases.words import duration, listed, nearest, place, title
from core.releases.world import Actor

REASON_LENGTH = 300


# ---- promote --------------------------------------------------------------------------------------------------------


def promote(draft: Draft, event: PromoteRequested) -> None:
    """Move a release on where a person may: the table of `docs/release-rules.md`, row by row."""
    require_team(draft.world, draft.definition, event.by, f"promote {draft.definition.service}")
    release = _release_to_promote(draft, event.version)
    goal = _known_place(draft, event.to_stage).name if event.to_stage else ""
    match release.status:
        case RolledBack() as bad:
            raise CommandRefused(
                f"{release.version} is bad: it was rolled back in {bad.stage} ({bad.reason}).",
                mend=f"An owner can let it past with `lift {draft.definition.service} {release.version} REASON`.",
            )
        case Completed():
            raise CommandRefused(f"{release.version} is everywhere already.")
        case Superseded() | Rejected() | Cancelled():
            _revive(draft, release, event.by)
        case Live():
            _promote_live(draft, release, event.by, goal)
    if goal:
        draft.put_release(replace(draft.state.released(release.id), goal=goal))
        draft.answer += f" It goes on by itself up to {goal}, skipping nothing."


def _release_to_promote(draft: Draft, version: str) -> Release:
    if version:
        return _named(draft, version)
    live = [r for r in draft.state.releases if r.is_live]
    if live:
        return live[-1]
    if draft.state.releases:
        return draft.state.releases[-1]
    raise CommandRefused(
        f"No release of {draft.definition.service} is known.",
        mend=f"Announce one: `andon announce {draft.definition.service} VERSION --artifact …`.",
    )


def _promote_live(draft: Draft, release: Release, by: Actor, goal: str) -> None:
    name = title(draft.definition, release)
    entries = [s for s in draft.definition.stages if waits_at(draft.state, release, s)]
    for occupied in draft.state.stages:
        run = occupied.run
        if run is not None and run.release == release.id and not entries:
            raise CommandRefused(f"{name} is {_doing(draft, occupied.name, run)}.", mend=_mend_for(run))
    _refuse_older(draft, release, entries)
    _refuse_bad(draft, release, entries)
    if draft.definition.order is Order.MANUAL and not goal:
        for stage in entries:
            release = replace(release, picked=tuple(dict.fromkeys((*release.picked, stage.name))))
    draft.put_release(replace(release, goal=goal))
    draft.answer = f"{name} goes on to {listed(s.name for s in entries)}."
    for stage in entries:
        _explain_entry(draft, draft.state.released(release.id), stage, by)


def _explain_entry(draft: Draft, release: Release, stage: Stage, by: Actor) -> None:
    """Say what still holds it: an approval is asked for again, anything else refuses."""
    found = blockers(draft.state, release, stage, draft.world, draft.now)
    others = [b for b in found if b.kind != "approval"]
    if others:
        first = others[0]
        until = f" It ends by itself at {first.clears_at:%H:%M UTC}." if first.clears_at else ""
        raise CommandRefused(
            f"{title(draft.definition, release)} does not enter {stage.name}: {listed(b.sentence for b in others)}.",
            mend=(f"{first.who[0].upper()}{first.who[1:]} can clear it." if first.who else "") + until,
        )
    waiting = next((b for b in found if b.kind == "approval"), None)
    if waiting is None:
        return
    draft.answer = f"{title(draft.definition, release)} still needs an approval. I asked again: {waiting.who}."
    for request in draft.state.approvals:
        if request.release == release.id and not is_granted(draft.state, request, draft.world, draft.now):
            rule = rule_of(draft.definition, request.scope)
            draft.tell(
                release.id,
                "approval_asked",
                f"{by.name} asks again: {title(draft.definition, release)} waits for approval "
                f"for {place(request.scope)}.",
                asks=rule.by if rule else (),
                offers=("approve", "reject"),
                subject=request.id,
            )


def _refuse_older(draft: Draft, release: Release, entries: list[Stage]) -> None:
    for stage in entries:
        for target in draft.state.targets_of(stage.name):
            by = draft.state.release(target.current.release) if target.current else None
            if by is not None and by.id != release.id and is_newer(by, release):
                raise CommandRefused(
                    f"{release.version} is older than {by.version}, which runs in {stage.name}.",
                    mend=f"To go back, use `rollback {draft.definition.service} in {stage.name} "
                    f"to {release.version} REASON`.",
                )


def _refuse_bad(draft: Draft, release: Release, entries: list[Stage]) -> None:
    for stage in entries:
        if holding_marks(draft.state, release, stage):
            reason = next(b for b in blockers(draft.state, release, stage, draft.world, draft.now) if b.kind == "bad")
            raise CommandRefused(
                f"{title(draft.definition, release)} may not enter {stage.name}: {reason.sentence}.",
                mend=f"Ask {reason.who}.",
            )


def _revive(draft: Draft, release: Release, by: Actor) -> None:
    alive = replace(release, status=Live())
    draft.put_release(alive)
    entries = [s for s in draft.definition.stages if waits_at(draft.state, alive, s)]
    _refuse_older(draft, alive, entries)
    _refuse_bad(draft, alive, entries)
    if not entries:
        raise CommandRefused(f"{release.version} has no stage left to enter.")
    draft.put_release(replace(alive, picked=tuple(s.name for s in entries)))
    was = release.status.kind.replace("_", " ")
    draft.answer = f"{title(draft.definition, release)} is on the line again and waits at {entries[0].name}."
    draft.tell(
        release.id, "revived", f"{by.name} put {title(draft.definition, release)}, which was {was}, back on the line."
    )


def _doing(draft: Draft, name: str, run: StageRun) -> str:
    stage = draft.state.definition_of(run).by_name[name]
    match run.phase:
        case Deploying():
            done = sum(
                1 for t in draft.state.targets_of(name) if t.current is not None and t.current.release == run.release
            )
            return f"being deployed in {name} ({done} of {len(stage.targets)} targets)"
        case Testing() as testing:
            left = [t.name for t in testing.tests if not t.outcome]
            return f"being tested in {name}, {listed(left)} still runs"
        case Baking():
            lacks = missing(draft.state, run, stage, draft.now)
            parts = []
            if lacks.time:
                parts.append(f"{duration(lacks.time)} left")
            if lacks.points:
                parts.append(f"{lacks.points} data points missing")
            if lacks.unknown:
                parts.append(f"the alarm {listed(lacks.unknown)} is unknown")
            if lacks.red:
                parts.append(f"the alarm {listed(lacks.red)} is red")
            return f"baking in {name}: {listed(parts)}"
        case RollingBack() as going:
            return f"being rolled back in {name}: {going.reason}"
        case Stopped() as still:
            return f"standing still in {name}: {still.reason}"


def _mend_for(run: StageRun) -> str:
    return "Use retry, rollback or cancel." if isinstance(run.phase, Stopped) else "It goes on by itself."


# ---- the cord [21] --------------------------------------------------------------------------------------------------


def pause(draft: Draft, event: PauseRequested) -> None:
    """Anyone may pull the cord."""
    scope = _known_place(draft, event.scope_name) if event.scope_name else SERVICE
    reason = _reason(event.reason, "pause")
    if event.duration is not None and event.duration <= timedelta():
        raise CommandRefused("A pause lasts longer than nothing.", mend="Say for instance `for 2h`.")
    new = Pause(
        id=draft.name("pause"),
        by=event.by,
        reason=reason,
        at=draft.now,
        scope=scope,
        until=draft.now + event.duration if event.duration else None,
    )
    draft.change(lambda s: replace(s, pauses=(*s.pauses, new)))
    until = f" for {duration(event.duration)}" if event.duration else ""
    draft.answer = (
        f"{draft.definition.service} is paused{until}{_in(scope)} by {event.by.name}: {reason}. Nothing new is "
        "entered; what is in flight finishes, bakes run on, alarms and rollbacks stay live."
    )
    _tell_live(draft, "paused", f"{event.by.name} paused {_service_part(draft, scope)}{until}: {reason}.")


def resume(draft: Draft, event: ResumeRequested) -> None:
    """Lift one pause: two pauses need two resumes."""
    scope = _known_place(draft, event.scope_name) if event.scope_name else None
    candidates = [
        p
        for p in draft.state.pauses
        if (not event.pause_id or p.id == event.pause_id) and (scope is None or p.scope == scope)
    ]
    if not candidates:
        where = f" in {scope.name}" if scope else ""
        raise CommandRefused(f"{draft.definition.service} is not paused{where}.")
    chosen = next((p for p in candidates if p.by.id == event.by.id), candidates[0])
    if chosen.by.id != event.by.id:
        require_team(draft.world, draft.definition, event.by, f"resume {draft.definition.service}")
    draft.change(lambda s: replace(s, pauses=tuple(p for p in s.pauses if p.id != chosen.id)))
    left = draft.state.pauses
    rest = f" {len(left)} more pause{'s' if len(left) > 1 else ''} still hold it." if left else ""
    draft.answer = f"The pause by {chosen.by.name} ({chosen.reason}) is lifted.{rest}"
    _tell_live(
        draft,
        "resumed",
        f"{event.by.name} lifted the pause of {_service_part(draft, chosen.scope)} by {chosen.by.name}.{rest}",
    )


def _tell_live(draft: Draft, topic: str, sentence: str) -> None:
    """Into the thread of each release on its way; into the channel if there is none."""
    live = [r for r in draft.state.releases if r.is_live]
    for release in live[-3:]:
        draft.tell(release.id, topic, sentence)
    for release in live:
        draft.touch(release.id, at_once=True)
    if not live:
        draft.tell("", topic, sentence)


# ---- rollback [13–16] -----------------------------------------------------------------------------------------------


def roll_back(draft: Draft, event: RollbackRequested) -> None:
    """Back to the last known good; nothing but the facts of the targets can refuse it."""
    require_on_call_or_team(draft.world, draft.definition, event.by, f"roll back {draft.definition.service}")
    reason = _reason(event.reason, "rollback")
    names = _stages_to_roll_back(draft, event)
    plan = [(name, release) for name in names if (release := _release_in(draft, name)) is not None]
    if not plan:
        raise CommandRefused(f"Nothing that Andon deployed runs in {listed(names)}, so there is nothing to roll back.")
    doable = [(name, release) for name, release in plan if _can_go_back(draft, name, release, event.to_version)]
    if not doable:
        _refuse_rollback(draft, plan, event.to_version)
    for name, release in doable:
        rollback.roll_back(
            draft, name, release, reason=f"{event.by.name}: {reason}", by=event.by, to_version=event.to_version
        )
    for name, release in doable:
        for further in rollback.stages_rolled_back_with(draft.state, name, release):
            because = f"{event.by.name}: {reason} (it went bad in {name})"
            rollback.roll_back(draft, further, release, reason=because, by=event.by)
    left = [name for name, _ in plan if name not in {n for n, _ in doable}]
    rest = f" {listed(left)} cannot go back: no known good version is left there." if left else ""
    versions = listed(dict.fromkeys(release.version for _, release in doable))
    draft.answer = f"{versions} is being rolled back in {listed(n for n, _ in doable)}.{rest}"


def _stages_to_roll_back(draft: Draft, event: RollbackRequested) -> list[str]:
    stages = [s.name for s in draft.state.stages if draft.state.stage_definition(s.name) is not None]
    if event.everywhere:
        return stages
    if event.scope_name:
        scope = _known_place(draft, event.scope_name)
        return [s.name for s in draft.definition.stages_in(scope)]
    moving = [
        s.name
        for s in draft.state.stages
        if (s.run is not None and not isinstance(s.run.phase, RollingBack)) or s.watch is not None
    ]
    production = {s.name for s in draft.definition.stages if s.is_production}
    chosen = [name for name in moving if name in production] or moving
    if chosen:
        return chosen
    # Nothing is in motion: production is what people mean when something looks wrong.
    return [s for s in stages if s in production] or stages


def _release_in(draft: Draft, name: str) -> Release | None:
    occupied = draft.state.stage(name)
    if occupied.run is not None and isinstance(occupied.run.phase, RollingBack):
        raise CommandRefused(f"A rollback is under way in {name} already.", mend="Ask `why` to see how far it is.")
    if occupied.run is not None:
        return draft.state.released(occupied.run.release)
    running = [t.current for t in draft.state.targets_of(name) if t.current is not None]
    newest: Installed | None = max(running, key=lambda c: c.sequence, default=None)
    return draft.state.release(newest.release) if newest is not None else None


def _can_go_back(draft: Draft, name: str, release: Release, to_version: str) -> bool:
    for target in draft.state.targets_of(name):
        if to_version and any(g.version == to_version and g.digest != release.digest for g in target.good):
            return True
        if not to_version and rollback.good_for(draft.state, target, release.digest) is not None:
            return True
    return False


def _refuse_rollback(draft: Draft, plan: list[tuple[str, Release]], to_version: str) -> None:
    names = listed(name for name, _ in plan)
    known = sorted(
        {
            g.version
            for name, release in plan
            for t in draft.state.targets_of(name)
            for g in t.good
            if g.digest != release.digest
        }
    )
    if to_version:
        have = f"Known good there: {listed(known)}." if known else "No other known good version is there."
        raise CommandRefused(f"{to_version} did not finish its bake in {names}.", mend=have)
    raise CommandRefused(
        f"There is no known good version in {names} to go back to.",
        mend="Announce a fix, or deploy an earlier artifact as a new version.",
    )


# ---- approvals [19, 20] ---------------------------------------------------------------------------------------------


def approve(draft: Draft, event: ApproveRequested) -> None:
    """Count one person's approval."""
    request = _request(draft, event.request_id, event.version, event.by)
    refusal = why_not(draft.state, request, event.by, draft.world)
    if refusal:
        raise CommandRefused(refusal)
    if any(v.by.id == event.by.id for v in request.votes):
        raise CommandRefused("You approved this already.", mend="Somebody else must give the next approval.")
    voted = replace(request, votes=(*request.votes, Vote(event.by, draft.now)))
    draft.change(lambda s: replace(s, approvals=tuple(voted if r.id == voted.id else r for r in s.approvals)))
    release = draft.state.released(request.release)
    rule = rule_of(draft.definition, request.scope)
    assert rule is not None, "a request without a rule is void"
    given = valid_votes(draft.state, voted, draft.world)
    more = "" if given >= rule.count else f" ({given} of {rule.count})"
    draft.answer = f"{event.by.name} approved {title(draft.definition, release)} for {place(request.scope)}{more}."
    draft.tell(
        release.id,
        "approved",
        f"{event.by.name} approved {title(draft.definition, release)} for {place(request.scope)}{more}.",
    )


def reject(draft: Draft, event: RejectRequested) -> None:
    """One no of somebody who is asked takes the release off the line."""
    request = _request(draft, event.request_id, event.version)
    rule = rule_of(draft.definition, request.scope)
    assert rule is not None, "a request without a rule is void"
    if event.by.id not in draft.world.expand(rule.by) or not event.by.is_person:
        raise CommandRefused(
            f"This approval is asked of {listed(rule.by, 'or')}, so only they may reject it.",
            mend="You may pause the service instead.",
        )
    reason = _reason(event.reason, "reject")
    release = draft.state.released(request.release)
    draft.drop_requests(lambda r: r.release == release.id)
    draft.put_release(
        replace(
            release,
            status=Rejected(by=event.by, scope=request.scope.name, reason=reason, at=draft.now),
            goal="",
            picked=(),
        )
    )
    draft.answer = f"{title(draft.definition, release)} is rejected."
    draft.tell(
        release.id,
        "rejected",
        f"{event.by.name} rejected {title(draft.definition, release)} for {place(request.scope)}: {reason}.",
        is_broadcast=True,
    )


def _request(draft: Draft, request_id: str, version: str, by: Actor | None = None) -> ApprovalRequest:
    """The open request that is meant; of several, one that `by` may approve."""
    found = [
        r
        for r in draft.state.approvals
        if (not request_id or r.id == request_id)
        and (not version or draft.state.released(r.release).version == version)
    ]
    open_ones = [r for r in found if not is_granted(draft.state, r, draft.world, draft.now)]
    if open_ones:
        theirs = [r for r in open_ones if by is not None and not why_not(draft.state, r, by, draft.world)]
        return (theirs or open_ones)[-1]
    if found:
        names = listed(v.by.name for v in found[-1].votes)
        raise CommandRefused(f"This is approved already, by {names}.")
    if request_id:
        raise CommandRefused(
            "This request for approval is not open any more.", mend="Look at the card for what is now."
        )
    what = f"{draft.definition.service} {version}".strip()
    raise CommandRefused(f"{what} does not wait for an approval.", mend=f"Ask `why {draft.definition.service}`.")


# ---- exceptions [15, 23, 27] ----------------------------------------------------------------------------------------


def override(draft: Draft, event: OverrideRequested) -> None:
    """Let one release into one stage against what blocks it; in production a second person must say so too."""
    service = draft.definition.service
    release = _named(draft, event.version)
    stage = draft.definition.by_name.get(event.stage)
    if stage is None:
        raise CommandRefused(
            f"{service} has no stage {event.stage}.", mend=nearest(event.stage, draft.definition.by_name)
        )
    reason = _reason(event.reason, "override")
    if not release.is_live:
        raise CommandRefused(
            f"{release.version} is not on the line.", mend=f"`promote {service} {release.version}` first."
        )
    pending = next(
        (
            o
            for o in draft.state.overrides
            if o.release == release.id and o.stage == stage.name and draft.now < o.expires_at
        ),
        None,
    )
    if pending is not None and stage.is_production and pending.seconded_by is None and pending.by.id != event.by.id:
        require_team(draft.world, draft.definition, event.by, f"second an override of {service}")
        seconded = replace(pending, seconded_by=event.by)
        draft.change(lambda s: replace(s, overrides=tuple(seconded if o.id == pending.id else o for o in s.overrides)))
        draft.answer = f"You seconded the override: {title(draft.definition, release)} may enter {stage.name}."
        draft.tell(
            release.id,
            "overridden",
            f"{event.by.name} seconded {pending.by.name}'s override of {title(draft.definition, release)} for "
            f"{stage.name}: {reason}.",
            is_broadcast=True,
        )
        return
    if pending is not None:
        raise CommandRefused(
            f"This override stands already, by {pending.by.name}.",
            mend="A second person of the team must give the same command." if stage.is_production else "",
        )
    require_owner(draft.world, draft.definition, event.by, f"override {service}")
    _refuse_skipping(draft, release, stage)
    new = Override(
        id=draft.name("override"),
        release=release.id,
        stage=stage.name,
        by=event.by,
        reason=reason,
        at=draft.now,
        expires_at=draft.now + draft.definition.override_expires,
    )
    draft.change(lambda s: replace(s, overrides=(*s.overrides, new)))
    second = (
        f" It is in force when a second person of the team {draft.definition.team} says so too."
        if stage.is_production
        else ""
    )
    draft.answer = (
        f"{title(draft.definition, release)} may enter {stage.name} against what blocks it, for "
        f"{duration(draft.definition.override_expires)}.{second}"
    )
    draft.tell(
        release.id,
        "overridden",
        f"{event.by.name} overrides what keeps {title(draft.definition, release)} out of {stage.name}: "
        f"{reason}.{second}",
        asks=(draft.definition.team,) if stage.is_production else (),
        is_broadcast=True,
        offers=("override",) if stage.is_production else (),
        subject=stage.name,
    )


def _refuse_skipping(draft: Draft, release: Release, stage: Stage) -> None:
    """It may skip waiting and blockers, never a stage."""
    for name in missing_before(draft.state, release, stage):
        run = next((s.run for s in draft.state.stages if s.name == name), None)
        is_baking = run is not None and run.release == release.id and isinstance(run.phase, Baking)
        if is_baking and not draft.definition.by_name[name].is_one_box:
            continue
        raise CommandRefused(
            f"{release.version} has not passed {name}; an override skips waiting and blockers, never a stage, "
            "a test or the one-box."
        )


def lift(draft: Draft, event: LiftRequested) -> None:
    """Let a version past the bad marks that hold it."""
    require_owner(draft.world, draft.definition, event.by, f"lift a bad version of {draft.definition.service}")
    reason = _reason(event.reason, "lift")
    release = _named(draft, event.version)
    own = [m for m in draft.state.bad if m.digest == release.digest]
    going = [s.name for s in draft.state.stages if s.run is not None and _goes_back(s.run, release)]
    if going and own:
        raise CommandRefused(
            f"{release.version} is being rolled back in {listed(going)}.", mend="Lift it when the rollback is over."
        )
    held = {m for s in draft.definition.stages for m in holding_marks(draft.state, release, s)}
    if not own and not held:
        raise CommandRefused(f"{release.version} is not bad, and nothing bad is known in it.")
    if own:
        draft.change(lambda s: replace(s, bad=tuple(m for m in s.bad if m.digest != release.digest)))
        if isinstance(release.status, RolledBack):
            draft.put_release(replace(release, status=Live()))
    draft.change(
        lambda s: replace(
            s,
            bad=tuple(
                replace(m, lifted_for=(*m.lifted_for, release.id)[-20:])
                if m in held and m.digest != release.digest
                else m
                for m in s.bad
            ),
        )
    )
    draft.answer = f"{title(draft.definition, release)} may go on."
    draft.tell(
        release.id,
        "lifted",
        f"{event.by.name} lets {title(draft.definition, release)} past its bad mark: {reason}.",
        is_broadcast=True,
    )


def _goes_back(run: StageRun, release: Release) -> bool:
    return run.release == release.id and isinstance(run.phase, RollingBack)


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
        draft.put_target(replace(target, deployment=None, is_mixed=True))
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


# ---- retry, cancel, acknowledge -------------------------------------------------------------------------------------


def retry(draft: Draft, event: RetryRequested) -> None:
    """Once more: failed targets, failed tests, a failed rollback."""
    require_team(draft.world, draft.definition, event.by, f"retry {draft.definition.service}")
    still = [
        (s.name, s.run, s.run.phase)
        for s in draft.state.stages
        if s.run is not None
        and isinstance(s.run.phase, Stopped)
        and s.run.phase.cause != StopCause.CANCELLED
        and event.stage in ("", s.name)
    ]
    if event.stage and event.stage not in {s.name for s in draft.state.stages}:
        raise CommandRefused(f"There is no stage {event.stage}.", mend=nearest(event.stage, draft.definition.by_name))
    if not still:
        where = f" in {event.stage}" if event.stage else ""
        raise CommandRefused(
            f"Nothing of {draft.definition.service} stands still{where}, so there is nothing to retry."
        )
    name, run, phase = still[-1]
    release = draft.state.released(run.release)
    stage = draft.state.definition_of(run).by_name[name]
    for page in draft.state.pages:
        if page.stage == name:
            draft.end_page(page, f"{event.by.name} retries.")
    is_bad = any(m.digest == release.digest for m in holding_marks(draft.state, release, stage))
    match phase.cause:
        case StopCause.ROLLBACK_FAILED | StopCause.GUARD | StopCause.NO_KNOWN_GOOD | StopCause.ONE_WAY if is_bad:
            rollback.roll_back(draft, name, release, reason=f"{event.by.name} retries the rollback", by=event.by)
        case _ if is_bad:
            raise CommandRefused(
                f"{release.version} was rolled back in another stage since, and is bad.",
                mend="Roll it back here as well, or ask an owner to lift it.",
            )
        case StopCause.TEST_FAILED | StopCause.TEST_ERRORED if stage.tests:
            draft.put_phase(name, Deploying(since=draft.now))
        case _:
            _retry_forward(draft, name, run, stage)
    draft.answer = f"{title(draft.definition, release)} is tried again in {name}."
    draft.tell(release.id, "retried", f"{event.by.name} retries {title(draft.definition, release)} in {name}.")


def _retry_forward(draft: Draft, name: str, run: StageRun, stage: Stage) -> None:
    red = health(draft.state, draft.state.definition_of(run), stage, draft.now).red
    if red:
        raise CommandRefused(f"The alarm {listed(red)} is still red.", mend="Mend it first, or roll back.")
    draft.put_run(name, replace(run, phase=Deploying(since=draft.now), red_at_entry=()))


def cancel(draft: Draft, event: CancelRequested) -> None:
    """Take a release off the line: what is deployed stays, nothing new starts."""
    require_team(draft.world, draft.definition, event.by, f"cancel {draft.definition.service}")
    release = _named(draft, event.version) if event.version else _only_live(draft)
    reason = _reason(event.reason, "cancel")
    mine = [(s, s.run) for s in draft.state.stages if s.run is not None and s.run.release == release.id]
    if not release.is_live and not any(isinstance(run.phase, Stopped) for _, run in mine):
        raise CommandRefused(f"{release.version} is not on the line any more.")
    for occupied, run in mine:
        if isinstance(run.phase, RollingBack):
            raise CommandRefused(
                f"{release.version} is being rolled back in {occupied.name}; a rollback is not cancelled.",
                mend="If it hangs for good, use reconcile … dead.",
            )
        stage = draft.state.definition_of(run).by_name[occupied.name]
        rollback.cancel_in_flight(draft, stage)
        draft.put_phase(occupied.name, Stopped(since=draft.now, cause=StopCause.CANCELLED, reason=reason))
    draft.drop_requests(lambda r: r.release == release.id)
    if release.is_live:
        off = Cancelled(by=event.by, reason=reason, at=draft.now)
        draft.put_release(replace(draft.state.released(release.id), status=off, goal="", picked=()))
    draft.answer = f"{title(draft.definition, release)} is off the line. What is deployed stays as it is."
    draft.tell(
        release.id,
        "cancelled",
        f"{event.by.name} cancelled {title(draft.definition, release)}: {reason}.",
        is_broadcast=True,
    )


def _only_live(draft: Draft) -> Release:
    live = [r for r in draft.state.releases if r.is_live]
    if not live:
        raise CommandRefused(f"No release of {draft.definition.service} is on the line.")
    if len(live) > 1:
        raise CommandRefused(f"{listed(r.version for r in live)} are on the line.", mend="Name the version.")
    return live[0]


def acknowledge(draft: Draft, event: AcknowledgeRequested) -> None:
    """Somebody takes the page."""
    require_on_call_or_team(draft.world, draft.definition, event.by, f"acknowledge pages of {draft.definition.service}")
    pages = [p for p in draft.state.pages if event.page_id in ("", p.id)]
    stage = next((s for s in draft.state.stages if s.name == event.page_id), None)
    if not pages and stage is not None:
        # An automatic rollback calls nobody, but whoever looks into it says so.
        marks = [m.release for m in draft.state.bad if m.stage == stage.name]
        about = stage.run.release if stage.run is not None else next(reversed(marks), "")
        draft.tell(about, "acknowledged", f"{event.by.name} looks into the rollback.")
        draft.answer = f"{event.by.name} looks into the rollback."
        return
    if not pages:
        raise CommandRefused("There is no open page; somebody took it already, or it is over.")
    for page in pages:
        draft.end_page(page, f"{event.by.name} takes it.")
        draft.tell(page.release, "acknowledged", f"{event.by.name} takes it.")
    draft.answer = f"{event.by.name} has it. Nobody is called again for this."


# ---- shared ---------------------------------------------------------------------------------------------------------


def _named(draft: Draft, version: str) -> Release:
    found = [r for r in draft.state.releases if r.version == version]
    if not found:
        raise CommandRefused(
            f"{draft.definition.service} has no version {version} that is remembered.",
            mend=nearest(version, (r.version for r in reversed(draft.state.releases))),
        )
    return found[-1]


def _known_place(draft: Draft, name: str) -> Scope:
    scope = draft.definition.scope_named(name)
    if scope is None:
        places = [s.name for s in draft.definition.stages] + [g.name for g in draft.definition.groups]
        raise CommandRefused(f"{draft.definition.service} has no stage or group {name}.", mend=nearest(name, places))
    return scope


def _reason(text: str, verb: str) -> str:
    reason = " ".join(text.split())
    if not reason:
        raise CommandRefused(f"A {verb} needs a reason.", mend="Say it in a few words at the end.")
    if len(reason) > REASON_LENGTH:
        raise CommandRefused(
            f"The reason has {len(reason)} characters; {REASON_LENGTH} are the most.",
            mend="Put the details into the thread.",
        )
    return reason.rstrip(".")


def _in(scope: Scope) -> str:
    return f" in {scope.name}" if scope.name else ""


def _service_part(draft: Draft, scope: Scope) -> str:
    return f"{draft.definition.service} in {scope.name}" if scope.name else draft.definition.service
