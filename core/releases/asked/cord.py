"""`pause` and `resume`: anyone may pull the cord; two pauses need two resumes [21]."""

from __future__ import annotations

from datetime import timedelta

from core.errors import CommandRefused
from core.releases.asked.naming import known_place, reason_given
from core.releases.authority import require_team
from core.releases.copies import replace
from core.releases.draft import Draft
from core.releases.events import PauseRequested, ResumeRequested
from core.releases.pipeline import SERVICE, Scope
from core.releases.state import Pause
from core.releases.words import duration


def pause(draft: Draft, event: PauseRequested) -> None:
    """Anyone may pull the cord."""
    scope = known_place(draft, event.scope_name) if event.scope_name else SERVICE
    reason = reason_given(event.reason, "pause")
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
    scope = known_place(draft, event.scope_name) if event.scope_name else None
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


def _in(scope: Scope) -> str:
    return f" in {scope.name}" if scope.name else ""


def _service_part(draft: Draft, scope: Scope) -> str:
    return f"{draft.definition.service} in {scope.name}" if scope.name else draft.definition.service
