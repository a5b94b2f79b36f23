"""What is said in a release's thread: facts, questions and calls, each drawn once and never edited.

The sentence comes from the core as it is. Added here: whom it asks, by mention, and the buttons that answer it. These
buttons stay for ever, so they carry no fingerprint of the moment except where they name one request.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bot.cards import CHANGES_SHOWN, NO_LINKS, Asking, Links, asking, short_version, tests_stopped
from bot.render import Message, Templates, built_in
from commands.dialect import Slack
from commands.standing import OVER, PASSED, standing
from commands.subjects import Subject, drawn_from
from commands.words import listed
from core.releases.approvals import eligible, is_granted
from core.releases.authority import called
from core.releases.effects import Page, Tell
from core.releases.pipeline import Alarm
from core.releases.state import (
    ApprovalRequest,
    Change,
    OpenPage,
    PipelineState,
    Release,
)
from core.releases.statuses import Cancelled, Completed, Rejected, RolledBack, Superseded
from core.releases.world import World

BUTTONS: Final = ("approve", "reject", "acknowledge", "pause", "retry", "lift", "override")
"""What is offered as a button, most wanted first; rolling back stands in the menu, one thought further away."""
URGENT: Final = frozenset({"drift", "deployment_lost", "deployment_waits", "pause_reminder"})
"""What somebody must act on, although there is no button for it."""
BOUND: Final = frozenset({"approve", "reject"})


@dataclass(frozen=True, slots=True)
class Offer:
    """Something to press: its verb, what it is about, where, and what stands on it if not the verb's own words."""

    verb: str
    about: Subject
    place: str
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """All that the templates of thread messages may say."""

    service: str
    version: str
    sentence: str
    asks: tuple[str, ...]
    is_urgent: bool
    """Whether those who are asked should do something."""
    buttons: tuple[Offer, ...]
    menu: tuple[Offer, ...]
    about: Subject
    asking: Asking | None = None
    changes: tuple[Change, ...] = ()
    more_changes: int = 0
    links: Links = NO_LINKS


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """All that the template of a decided request may say: `fate` at `at`, because of `reason`."""

    service: str
    version: str
    place: str
    symbol: str
    fate: str
    at: datetime | None
    reason: str = ""
    changes: tuple[Change, ...] = ()
    more_changes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """All that the templates of calls to the on-call may say."""

    service: str
    version: str
    stage: str
    sentence: str
    page: OpenPage | None
    repetition: int
    times: int
    asks: tuple[str, ...]
    runbooks: tuple[tuple[str, str], ...]
    dashboards: tuple[tuple[str, str], ...]
    acknowledge: Subject
    about: Subject
    rollback: Subject


def told(
    tell: Tell, state: PipelineState, world: World, links: Links = NO_LINKS, *, templates: Templates | None = None
) -> Message:
    """A sentence of the thread; a request for approval shows what is to be approved."""
    release = state.release(tell.release)
    request = next((r for r in state.approvals if r.id == tell.subject), None) if "approve" in tell.offers else None
    shown = request is not None and release is not None
    view = Told(
        service=state.id,
        version=short_version(release.version) if release is not None else "",
        sentence=Slack(in_thread=bool(tell.release)).typed(tell.sentence),
        asks=tell.asks,
        is_urgent=bool(tell.offers) or tell.topic in URGENT,
        buttons=tuple(_offer(state, tell, verb) for verb in BUTTONS if verb in tell.offers),
        menu=tuple(_offer(state, tell, verb) for verb in ("rollback",) if verb in tell.offers),
        about=Subject(state.id, tell.release),
        # The request was asked just now, or this is a late delivery: then it shows what is still open.
        asking=asking(state, release, world, request.asked_at) if shown and release and request else None,
        changes=release.changes[:CHANGES_SHOWN] if shown and release else (),
        more_changes=len(release.changes) - CHANGES_SHOWN if shown and release else 0,
        links=links,
    )
    return (templates or built_in()).message("approval" if view.asking else "told", world, told=view)


def decided(
    state: PipelineState,
    release_id: str,
    request_id: str,
    world: World,
    now: datetime,
    *,
    templates: Templates | None = None,
) -> Message | None:
    """What became of a request for approval, to stand in its place; None while it is open, or nothing is known."""
    release = state.release(release_id)
    request = next((r for r in state.approvals if r.id == request_id), None)
    if release is None or (request is not None and not is_granted(state, request, world, now)):
        return None
    symbol, fate, at, reason = _fate(state, release, request, world)
    rejected = release.status.scope if isinstance(release.status, Rejected) else ""
    over = Over(
        service=state.id,
        version=short_version(release.version),
        place=request.scope.name if request is not None else rejected,
        symbol=symbol,
        fate=fate,
        at=at,
        reason=reason,
        changes=release.changes[:CHANGES_SHOWN],
        more_changes=len(release.changes) - CHANGES_SHOWN,
    )
    return (templates or built_in()).message("approval_over", world, over=over)


def _fate(
    state: PipelineState, release: Release, request: ApprovalRequest | None, world: World
) -> tuple[str, str, datetime | None, str]:
    """A symbol, the word for it, when, and why."""
    if request is not None:
        votes = [vote for vote in request.votes if vote.by.id in eligible(state, request, world)]
        names = listed(list(dict.fromkeys(vote.by.name for vote in votes)))
        return PASSED, f"approved by {names}", max(vote.at for vote in votes), ""
    match release.status:
        case Rejected(by=by, reason=reason, at=at):
            return OVER, f"rejected by {by.name}", at, reason
        case Superseded() | Cancelled() | RolledBack():
            stands = standing(state, release, release.status.at)
            return OVER, "closed", stands.at, f"it was {stands.brief}"
        case Completed():
            return PASSED, "approved", None, "it is everywhere by now"
        case _:
            return OVER, "closed", None, "the card says what is now"


def paged(page: Page, state: PipelineState, world: World, *, templates: Templates | None = None) -> Message:
    """The call in the thread: it mentions the on-call."""
    return (templates or built_in()).message("page", world, page=_call(page, state, world))


def paged_directly(page: Page, state: PipelineState, world: World, *, templates: Templates | None = None) -> Message:
    """The same call as a direct message: it mentions nobody, and names the service first."""
    return (templates or built_in()).message("page_direct", world, page=_call(page, state, world))


def people_to_call(state: PipelineState, world: World) -> tuple[str, ...]:
    """The Slack ids of everybody on call for a service, for direct messages; people without one are left out."""
    keys = sorted(world.expand(called(world, state.definition)))
    return tuple(world.people[key].slack for key in keys if key in world.people and world.people[key].slack)


def _offer(state: PipelineState, tell: Tell, verb: str) -> Offer:
    # The cord stops the whole service, wherever it is pulled.
    subject = "" if verb == "pause" else tell.subject
    print_ = drawn_from(state, verb, tell.release, subject) if verb in BOUND else ""
    words = "Run the tests again" if verb == "retry" and tests_stopped(state, tell.subject) else ""
    return Offer(verb, Subject(state.id, tell.release, subject, print_), tell.subject, words)


def _call(page: Page, state: PipelineState, world: World) -> Called:
    release = state.release(page.release)
    return Called(
        service=state.id,
        version=short_version(release.version) if release is not None else "",
        stage=page.stage,
        sentence=page.sentence,
        page=next((p for p in state.pages if p.id == page.page), None),
        repetition=page.repetition,
        times=state.definition.page_times,
        asks=called(world, state.definition),
        runbooks=_places(state, "runbook"),
        dashboards=_places(state, "dashboard"),
        acknowledge=Subject(state.id, page.release, page.page),
        about=Subject(state.id, page.release),
        rollback=Subject(state.id, page.release, page.stage),
    )


def _places(state: PipelineState, kind: str) -> tuple[tuple[str, str], ...]:
    """(words, address) of the red alarms' pages, then of the service's."""
    found: dict[str, str] = {}
    for alarm in state.definition.alarms:
        reading = state.reading(alarm.name)
        if reading is None or not reading.firing:
            continue
        url = (reading.runbook if kind == "runbook" else "") or _of_alarm(alarm, kind)
        if url:
            found.setdefault(url, f"{kind} of {alarm.name}")
    own = state.definition.runbook if kind == "runbook" else state.definition.dashboard
    if own:
        found.setdefault(own, f"{kind} of {state.definition.service}")
    return tuple((words, url) for url, words in found.items())


def _of_alarm(alarm: Alarm, kind: str) -> str:
    return alarm.runbook if kind == "runbook" else alarm.dashboard
