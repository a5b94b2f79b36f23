"""`retry`, `cancel`, `acknowledge`: what people do about what does not move [11, 12, 16]."""

from __future__ import annotations

from core.errors import CommandRefused
from core.releases import rollback
from core.releases.asked.naming import named, reason_given
from core.releases.authority import require_on_call_or_team, require_team
from core.releases.bake import health
from core.releases.blockers import holding_marks
from core.releases.copies import replace
from core.releases.draft import Draft
from core.releases.events import AcknowledgeRequested, CancelRequested, RetryRequested
from core.releases.pipeline import Stage
from core.releases.state import (
    Deploying,
    Release,
    RollingBack,
    StageRun,
    StopCause,
    Stopped,
)
from core.releases.statuses import Cancelled
from core.releases.words import listed, nearest, title


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
    marks = [m for m in holding_marks(draft.state, release, stage) if m.digest == release.digest]
    is_bad = bool(marks)
    match phase.cause:
        case StopCause.ROLLBACK_FAILED | StopCause.GUARD | StopCause.NO_KNOWN_GOOD | StopCause.ONE_WAY if is_bad:
            rollback.roll_back(draft, name, release, reason=f"{event.by.name} retries the rollback", by=event.by)
        case _ if is_bad:
            raise CommandRefused(
                f"{release.version} is bad: {next(m.reason for m in marks)}.",
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
    release = named(draft, event.version) if event.version else _only_live(draft)
    reason = reason_given(event.reason, "cancel")
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
