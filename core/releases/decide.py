"""What becomes true of a pipeline when something happens, and what must be done about it.

Theory of operation
-------------------
`decide(state, event, world, now)` is a pure function: no clock, no I/O, no randomness, no `async`. It has three parts:

1. *Credit.* Bakes are credited with the time since the last look, less what Andon was down or blind (`bake`). This
   comes first, because the event may end what the credit rests on: a reading that turns unknown
   ends it from now on only.
2. *Apply.* One function for each event writes down what it says. A person's command that cannot apply raises
   `CommandRefused` [24], and nothing has changed. A machine's stale or repeated report changes nothing, without a word.
3. *Settle.* What follows by itself is done to a fixed point: runs advance (`progress`, `rollback`), void requests are
   dropped, the next release enters each stage if `blockers` finds nothing. Gates are looked at only here, in the
   transaction that starts the deployment.

A stage is occupied by one *run* at a time. The phases of a run, and what moves it on:

    Deploying ──all targets──▶ Testing ──all passed──▶ Baking ──time and evidence──▶ (free; the release has passed)
        │                          │                      │
        │ target failed            │ failed, errored      │ alarm turned red (also: any phase, and the watch after it)
        ▼                          ▼                      ▼
    RollingBack ──every target back──▶ (free; the release is bad from here on)
        │ failed, forbidden, nowhere to go
        ▼
    Stopped ──retry, rollback, cancel, or a newer release──▶ …

A target has at most one deployment in flight, and nothing is ever started on top of one that may be alive: a rollback
asks the forward deployment to stop, and begins when its end is confirmed (or a person declares it dead).

Time comes in as `now`. `next_wake` says when the pipeline next wants to be looked at; a lost wake-up costs time only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from core.releases import alarmed, gate_news, progress, redefined, reported, rest
from core.releases.alarms import becomes_unknown_at
from core.releases.asked import (
    approving,
    cord,
    exceptions,
    going_back,
    promoting,
    reconciling,
    standing_still,
)
from core.releases.bake import credited, next_look
from core.releases.copies import quick, replace
from core.releases.draft import Draft
from core.releases.effects import Effect, Page
from core.releases.events import (
    AcknowledgeRequested,
    AlarmReported,
    AnnouncementFailed,
    ApproveRequested,
    CancelRequested,
    DefinitionApplied,
    DeploymentCancelled,
    DeploymentFailed,
    DeploymentLost,
    DeploymentProgressed,
    DeploymentStarted,
    DeploymentSucceeded,
    Event,
    HeartbeatHeard,
    LiftRequested,
    OverrideRequested,
    PauseRequested,
    PromoteRequested,
    ReconcileRequested,
    RejectRequested,
    ReleaseAnnounced,
    ResumeRequested,
    RetryRequested,
    RollbackRequested,
    RunningVersionObserved,
    StageTestReported,
    TimePassed,
    WorldChanged,
)
from core.releases.pipeline import Pipeline
from core.releases.state import Baking, PipelineState, StageRun, StageState, TargetState
from core.releases.words import duration, place
from core.releases.world import World

SETTLE_LIMIT = 200
"""Rounds after which a state that does not come to rest is our bug; a pipeline needs a few for each stage."""

REMIND_EVERY_DAYS = 1
RELEASES_REMEMBERED = 8


@quick
@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes true and what must be done: `answer` for the person who asked, `reasons` for everybody."""

    state: PipelineState
    effects: tuple[Effect, ...]
    answer: str
    reasons: tuple[str, ...]

    def __post_init__(self) -> None:
        occupied = [stage.name for stage in self.state.stages if stage.run is not None]
        stray = [t.name for t in self.state.targets if t.deployment is not None and t.stage not in occupied]
        assert not stray, f"{', '.join(stray)} is deployed to, but its stage is empty"


def decide(state: PipelineState, event: Event, world: World, now: datetime) -> Decision:
    """Return what becomes true and what must be done. Pure; raises CommandRefused, and then nothing has changed."""
    draft = Draft(credited(state, world, now), world, now, rest.known_of(state, world))
    _apply(draft, event)
    _settle(draft)
    effects = draft.effects()
    rest.lay(draft.state, world, draft.waiting())
    return Decision(draft.state, effects, draft.answer, tuple(draft.reasons))


def new_pipeline(definition: Pipeline) -> PipelineState:
    """The empty state of a pipeline under its first definition."""
    return PipelineState(
        id=definition.id,
        definition=definition,
        stages=tuple(StageState(name=s.name) for s in definition.stages),
        targets=tuple(TargetState(name=t.name, stage=s.name) for s in definition.stages for t in s.targets),
    )


def _apply(draft: Draft, event: Event) -> None:  # noqa: C901, PLR0912 - the table of all events, one line each
    match event:
        case DefinitionApplied():
            redefined.definition_applied(draft, event)
        case ReleaseAnnounced():
            reported.release_announced(draft, event)
        case AnnouncementFailed():
            reported.announcement_failed(draft, event)
        case DeploymentStarted():
            reported.deployment_started(draft, event)
        case DeploymentProgressed():
            reported.deployment_progressed(draft, event)
        case DeploymentSucceeded():
            reported.deployment_succeeded(draft, event)
        case DeploymentFailed():
            reported.deployment_failed(draft, event)
        case DeploymentCancelled():
            reported.deployment_cancelled(draft, event)
        case DeploymentLost():
            reported.deployment_lost(draft, event)
        case RunningVersionObserved():
            reported.running_version_observed(draft, event)
        case StageTestReported():
            reported.stage_test_reported(draft, event)
        case AlarmReported():
            alarmed.alarm_reported(draft, event)
        case HeartbeatHeard():
            alarmed.heartbeat_heard(draft, event)
        case TimePassed() | WorldChanged():
            pass
        case PromoteRequested():
            promoting.promote(draft, event)
        case PauseRequested():
            cord.pause(draft, event)
        case ResumeRequested():
            cord.resume(draft, event)
        case RollbackRequested():
            going_back.roll_back(draft, event)
        case ApproveRequested():
            approving.approve(draft, event)
        case RejectRequested():
            approving.reject(draft, event)
        case OverrideRequested():
            exceptions.override(draft, event)
        case LiftRequested():
            exceptions.lift(draft, event)
        case ReconcileRequested():
            reconciling.reconcile(draft, event)
        case RetryRequested():
            standing_still.retry(draft, event)
        case CancelRequested():
            standing_still.cancel(draft, event)
        case AcknowledgeRequested():
            standing_still.acknowledge(draft, event)
        case _:
            assert_never(event)


# ---- what follows by itself -----------------------------------------------------------------------------------------


def _settle(draft: Draft) -> None:
    _let_time_pass(draft)
    rounds = 0
    while _moves(draft):
        rounds += 1
        assert rounds < SETTLE_LIMIT, f"{draft.state.id} does not come to rest"
    gate_news.tell(draft)
    _call_again(draft)
    _forget(draft)


def _moves(draft: Draft) -> bool:
    """One round of everything that can follow, in order; returns whether anything did.

    What was looked at since the last change of what it depends on would be found as it was, and is passed over.
    """
    # While a run is pinned to an older definition, targets may change hands at its every step.
    moved = draft.is_due("fit", draft.changes if draft.state.pinned else draft.rest_at) and redefined.fit(draft)
    if draft.state.approvals and _is_asking_due(draft):
        moved = progress.void_requests(draft) or moved
    for rank in range(len(draft.state.stages)):
        occupied = draft.state.stages[rank]
        if occupied.run is not None and draft.is_run_due(occupied.name, occupied.run):
            moved = _advances(draft, occupied.name, occupied.run) or moved
    for occupied in draft.state.stages:
        if occupied.watch is not None and occupied.watch.spared:
            moved = (draft.is_new("judge what was spared") and alarmed.judge_spared(draft)) or moved
            break
    if draft.waiting():
        for stage in draft.definition.stages:
            if stage.name in draft.waiting() and draft.is_new(f"admit {stage.name}"):
                moved = progress.admit(draft, stage) or moved
    if draft.is_due("complete", max(draft.rest_at, draft.releases_at, draft.runs_at)):
        moved = redefined.complete(draft) or moved
    return moved


def _advances(draft: Draft, name: str, run: StageRun) -> bool:
    if not progress.advance(draft, name):
        return False
    after = draft.state.stage(name).run
    if after is not None and after.phase is run.phase:
        # It began as much as it can at once: asked again it would find nothing.
        draft.looked_at(name)
    return True


def _is_asking_due(draft: Draft) -> bool:
    """Whether an open request may have become void: what it is bound to changed, or its time is over."""
    changed_at = max(draft.rest_at, draft.releases_at, draft.appeared_at)
    return draft.is_due("void requests", changed_at) or any(draft.now >= r.expires_at for r in draft.state.approvals)


def _let_time_pass(draft: Draft) -> None:
    """Drop what has run out, each with a word: pauses, overrides, watches; ask daily about pauses without end [21]."""
    now = draft.now
    for pause in draft.state.pauses:
        if pause.until is not None and now >= pause.until:
            draft.change(lambda s, over=pause: replace(s, pauses=tuple(p for p in s.pauses if p.id != over.id)))  # type: ignore[misc]
            draft.tell("", "resumed", f"The pause of {place(pause.scope)} by {pause.by.name} ended as planned.")
            _touch_all(draft)
        elif pause.until is None and (now - (pause.reminded_at or pause.at)).days >= REMIND_EVERY_DAYS:
            reminded, where = replace(pause, reminded_at=now), place(pause.scope)
            draft.change(
                lambda s, new=reminded: replace(s, pauses=tuple(new if p.id == new.id else p for p in s.pauses))  # type: ignore[misc]
            )
            draft.tell(
                "",
                "pause_reminder",
                f"{where[:1].upper()}{where[1:]} has been paused for {duration(now - pause.at)} "
                f"({pause.by.name}: {pause.reason}). Is it still needed? Resume it, or leave it.",
                asks=(pause.by.id,),
            )
    gone = [o for o in draft.state.overrides if now >= o.expires_at]
    if gone:
        draft.change(lambda s: replace(s, overrides=tuple(o for o in s.overrides if o not in gone)))
        for override in gone:
            draft.tell(override.release, "override_expired", f"The override for {override.stage} expired.")
    for occupied in draft.state.stages:
        # One that was spared is judged first, though its time is over meanwhile: the alarm turned while it lasted [8].
        if occupied.watch is not None and now >= occupied.watch.until and not occupied.watch.spared:
            draft.touch(occupied.watch.release)
            draft.put_stage(replace(occupied, watch=None))


def _touch_all(draft: Draft) -> None:
    for release in draft.state.releases:
        if release.is_live:
            draft.touch(release.id)


def _call_again(draft: Draft) -> None:
    """Repeat the pages nobody took, so often and no more; end those whose stage moved on."""
    for page in draft.state.pages:
        run = draft.state.stage(page.stage).run if any(s.name == page.stage for s in draft.state.stages) else None
        if run is None:
            draft.end_page(page, f"{page.stage} is free again.")
        elif draft.now >= page.next_at and page.sent < draft.definition.page_times:
            again = replace(page, sent=page.sent + 1, next_at=draft.now + draft.definition.page_every)
            draft.change(
                lambda s, new=again: replace(s, pages=tuple(new if p.id == new.id else p for p in s.pages))  # type: ignore[misc]
            )
            draft.do(
                Page(
                    key=f"{page.id}/{again.sent}",
                    page=page.id,
                    release=page.release,
                    stage=page.stage,
                    sentence=page.reason,
                    repetition=again.sent,
                )
            )


def _forget(draft: Draft) -> None:
    """Keep the state bounded: releases that nothing names any more are left to the history."""
    state = draft.state
    # Soon is soon enough: they are looked through when one of them has come, gone or gone on.
    if len(state.releases) <= RELEASES_REMEMBERED or not max(draft.rest_at, draft.releases_at):
        return
    old = [r for r in state.releases if not r.is_live][:-RELEASES_REMEMBERED]
    if not old:
        return
    oldest = min([t.current.sequence if t.current else 0 for t in state.targets], default=0)
    unnamed = _unnamed(state, {r.id for r in old if r.sequence <= oldest})
    # Its contributors still decide who may approve what comes after it; the titles are in the history.
    shed = {r.id for r in old if r.changes}
    if unnamed or shed:
        kept = [replace(r, changes=()) if r.id in shed else r for r in state.releases if r.id not in unnamed]
        draft.change(lambda s: replace(s, releases=tuple(kept)))


def _unnamed(state: PipelineState, releases: set[str]) -> set[str]:
    """Those of the releases that nothing alive names."""
    releases -= {s.run.release for s in state.stages if s.run is not None}
    releases -= {s.watch.release for s in state.stages if s.watch is not None}
    releases -= {p.release for p in state.pages} | {o.release for o in state.overrides}
    releases -= {t.current.release for t in state.targets if t.current is not None}
    releases -= {t.deployment.what.release for t in state.targets if t.deployment is not None}
    for target in state.targets:
        releases.difference_update([good.release for good in target.good])
    return releases


# ---- time -----------------------------------------------------------------------------------------------------------


def next_wake(state: PipelineState, world: World, now: datetime) -> datetime | None:
    """When the pipeline next wants a TimePassed; always later than `now`, None if nothing waits for time."""
    moments: list[datetime] = []
    # Asked after every decision, and most of it is empty most of the time.
    for occupied in state.stages:
        run = occupied.run
        if run is not None and isinstance(run.phase, Baking):
            look = next_look(state, run, state.definition_of(run).by_name[occupied.name], now)
            if look is not None:
                moments.append(look)
        if occupied.watch is not None:
            moments.append(occupied.watch.until)
            if occupied.watch.settles_at is not None:
                moments.append(occupied.watch.settles_at)
    for pause in state.pauses:
        moments.append(pause.until or (pause.reminded_at or pause.at) + reported.ONE_DAY)
    if state.overrides:
        moments += [o.expires_at for o in state.overrides]
    if state.approvals:
        moments += [r.expires_at for r in state.approvals]
    if state.pages:
        moments += [p.next_at for p in state.pages if p.sent < state.definition.page_times]
    if world.freezes or state.definition.has_windows:
        moments += gate_news.wakes(state, world, now)
    fading = state.definition.fading_alarms
    if state.alarms and any(r.stale_after is not None for r in state.alarms):
        fading = state.definition.alarms
    if fading and any(r.is_live for r in state.releases):
        moments += [m for a in fading if (m := becomes_unknown_at(state, a, now)) is not None]
    moments = [m for m in moments if m > now]
    return min(moments) if moments else None
