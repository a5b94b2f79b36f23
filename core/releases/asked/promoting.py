"""`promote`: the table of `docs/release-rules.md`, row by row."""

from __future__ import annotations

from typing import assert_never

from core.errors import CommandRefused
from core.releases.approvals import is_granted, rule_of
from core.releases.asked.naming import known_place, named
from core.releases.authority import require_team
from core.releases.bake import missing
from core.releases.blockers import blockers, holding_marks, is_newer, waits_at
from core.releases.copies import replace
from core.releases.draft import Draft
from core.releases.events import PromoteRequested
from core.releases.pipeline import Order, Stage
from core.releases.state import (
    Baking,
    Deploying,
    Release,
    RollingBack,
    StageRun,
    Stopped,
    Testing,
)
from core.releases.statuses import Cancelled, Completed, Live, Rejected, RolledBack, Superseded
from core.releases.why import moves_at
from core.releases.words import clock, duration, listed, place, title
from core.releases.world import Actor


def promote(draft: Draft, event: PromoteRequested) -> None:
    """Move a release on where a person may: the table of `docs/release-rules.md`, row by row."""
    require_team(draft.world, draft.definition, event.by, f"promote {draft.definition.service}")
    release = _release_to_promote(draft, event.version)
    goal = known_place(draft, event.to_stage).name if event.to_stage else ""
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
        case _:
            assert_never(release.status)
    if goal:
        draft.put_release(replace(draft.state.released(release.id), goal=goal))
        draft.answer += f" It goes on by itself up to {goal}, skipping nothing."


def _release_to_promote(draft: Draft, version: str) -> Release:
    if version:
        return named(draft, version)
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
            raise CommandRefused(f"{name} is {_doing(draft, occupied.name, run)}.", mend=_mend_for(draft, release, run))
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
        at = moves_at(draft.state, release, stage, draft.world, draft.now)
        until = f" It moves by itself at {clock(at)}." if at else ""
        if not at and first.clears_at:
            until = f" That clears by itself at {clock(first.clears_at)}."
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
        case _:
            assert_never(run.phase)


def _mend_for(draft: Draft, release: Release, run: StageRun) -> str:
    if not isinstance(run.phase, Stopped):
        return "It goes on by itself."
    if any(mark.digest == release.digest for mark in draft.state.bad):
        return f"It is bad: use rollback, or an owner can `lift {draft.definition.service} {release.version} REASON`."
    return "Use retry, rollback or cancel."
