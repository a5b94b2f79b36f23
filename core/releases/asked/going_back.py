"""`rollback`: back to the last known good, in the stages that are meant [13–16]."""

from __future__ import annotations

from core.errors import CommandRefused
from core.releases import rollback
from core.releases.asked.naming import known_place, reason_given
from core.releases.authority import require_on_call_or_team
from core.releases.draft import Draft
from core.releases.events import RollbackRequested
from core.releases.state import Installed, Release, RollingBack, StageRun
from core.releases.words import listed


def roll_back(draft: Draft, event: RollbackRequested) -> None:
    """Back to the last known good; nothing but the facts of the targets can refuse it."""
    require_on_call_or_team(draft.world, draft.definition, event.by, f"roll back {draft.definition.service}")
    reason = reason_given(event.reason, "rollback")
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
        scope = known_place(draft, event.scope_name)
        return [s.name for s in draft.definition.stages_in(scope)]
    moving = [
        s.name for s in draft.state.stages if (s.run is not None and not _goes_back_whole(s.run)) or s.watch is not None
    ]
    production = {s.name for s in draft.definition.stages if s.is_production}
    chosen = [name for name in moving if name in production] or moving
    if chosen:
        return chosen
    # Nothing is in motion: production is what people mean when something looks wrong.
    return [s for s in stages if s in production] or stages


def _release_in(draft: Draft, name: str) -> Release | None:
    occupied = draft.state.stage(name)
    if occupied.run is not None and _goes_back_whole(occupied.run):
        raise CommandRefused(f"A rollback is under way in {name} already.", mend="Ask `why` to see how far it is.")
    if occupied.run is not None:
        return draft.state.released(occupied.run.release)
    running = [i for t in draft.state.targets_of(name) for i in (t.current, t.mixed_with) if i is not None]
    newest: Installed | None = max(running, key=lambda c: c.sequence, default=None)
    return draft.state.release(newest.release) if newest is not None else None


def _goes_back_whole(run: StageRun) -> bool:
    """Whether the whole stage goes back; where a failed target does alone, the rest may follow it [12]."""
    return isinstance(run.phase, RollingBack) and not run.phase.ends_in_stop


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
