"""`override` and `lift`: what an owner lets through, and says why [15, 23]."""

from __future__ import annotations

from core.errors import CommandRefused
from core.releases.asked.naming import named, reason_given
from core.releases.authority import require_owner, require_team
from core.releases.blockers import holding_marks, missing_before
from core.releases.copies import replace
from core.releases.draft import Draft
from core.releases.events import LiftRequested, OverrideRequested
from core.releases.pipeline import Stage
from core.releases.state import (
    Baking,
    Override,
    Release,
    RollingBack,
    StageRun,
)
from core.releases.statuses import Live, RolledBack
from core.releases.words import duration, listed, nearest, title


def override(draft: Draft, event: OverrideRequested) -> None:
    """Let one release into one stage against what blocks it; in production a second person must say so too."""
    service = draft.definition.service
    release = named(draft, event.version)
    stage = draft.definition.by_name.get(event.stage)
    if stage is None:
        raise CommandRefused(
            f"{service} has no stage {event.stage}.", mend=nearest(event.stage, draft.definition.by_name)
        )
    reason = reason_given(event.reason, "override")
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
    name, lasts = title(draft.definition, release), duration(draft.definition.override_expires)
    if stage.is_production:
        second = f"It is in force when a second person of the team {draft.definition.team} says so too"
        draft.answer = f"{name} does not enter {stage.name} yet. {second}, within {lasts}."
        asks_to = f"asks to override what keeps {name} out of {stage.name}: {reason}"
        sentence = f"{event.by.name} {asks_to}. {second}, within {lasts}."
    else:
        draft.answer = f"{name} may enter {stage.name} against what blocks it, for {lasts}."
        sentence = f"{event.by.name} overrides what keeps {name} out of {stage.name}: {reason}."
    draft.tell(
        release.id,
        "overridden",
        sentence,
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
    reason = reason_given(event.reason, "lift")
    release = named(draft, event.version)
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
