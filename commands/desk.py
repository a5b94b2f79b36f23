"""The desk: takes what people ask, in words or by button, and answers; never raises for what they typed.

Reads and refusals are for the one who asked, acts are for everybody. What could not be recorded is not this file's
business: such errors pass through, and whoever brought the question says that nothing happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Protocol, assert_never

from commands.answers import Line, freezes_of, help_with, history_of, status_of, status_of_all, why_of
from commands.catalogue import owner_of, services_of
from commands.dialect import Dialect, dialect_of
from commands.grammar import parse
from commands.intents import Act, ForAll, Freezes, Help, History, Init, Owner, Services, Status, Why
from commands.pieces import REASON_LENGTH, Context, pipelines_named, unhurried
from commands.standing import standing
from commands.subjects import EVERYWHERE, Subject, drawn_from
from commands.words import tidy
from core.errors import CommandRefused, UsageError
from core.releases.events import (
    AcknowledgeRequested,
    ApproveRequested,
    CancelRequested,
    Command,
    LiftRequested,
    OverrideRequested,
    PauseRequested,
    PromoteRequested,
    RejectRequested,
    ResumeRequested,
    RetryRequested,
    RollbackRequested,
)
from core.releases.freezing import OrganisationCommand
from core.releases.state import PipelineState
from core.releases.world import Actor, World

NEEDS_REASON: Final = frozenset({"pause", "reject", "rollback", "cancel", "lift", "override"})


class Answered(Protocol):
    """What the floor says of an act it recorded."""

    @property
    def text(self) -> str:
        """The sentence for the person."""

    @property
    def is_repeat(self) -> bool:
        """Whether it was recorded before."""


class Floor(Protocol):
    """Where pipelines are: the engine, seen from here."""

    def now(self) -> datetime:
        """What time it is."""

    @property
    def world(self) -> World:
        """What pipelines share."""

    def pipelines(self) -> Mapping[str, PipelineState]:
        """All pipelines by id, as last recorded."""

    async def submit(self, pipeline_id: str, event: Command, *, dedupe: str = "") -> Answered:
        """Do it, durably; raises `CommandRefused`."""

    async def act(self, command: OrganisationCommand, *, dedupe: str = "") -> Answered:
        """Do it to what pipelines share, durably; raises `CommandRefused`."""

    async def history(
        self, pipeline_id: str, *, limit: int = 20, before: int | None = None, release: str = ""
    ) -> Sequence[Line]:
        """What happened, newest first."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question or order in plain words (`commands.words` made them plain); `pipeline`, `release`: of its thread."""

    text: str
    actor: Actor
    dedupe: str = ""
    pipeline: str = ""
    release: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer in the asker's dialect; `facts` says the same for programs, `whole` all of what had to be cut."""

    text: str
    is_public: bool
    is_refusal: bool = False
    pipeline: str = ""
    release: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
    whole: str = ""


class Desk:
    """Answers. One for all who ask."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor

    async def answer(self, ask: Ask) -> Reply:
        """Answer words."""
        d = dialect_of(ask.actor, in_thread=bool(ask.pipeline))
        try:
            context = Context(ask.pipeline, ask.release)
            intent = parse(tidy(ask.text), ask.actor, self._floor.pipelines(), context, self._floor.now())
        except UsageError as error:
            return _refusal(error, d, Subject(ask.pipeline, ask.release))
        if isinstance(intent, Act):
            return await self._act(intent, ask.dedupe, d, ask.release if intent.pipeline == ask.pipeline else "")
        if isinstance(intent, ForAll):
            return await self._act_for_all(intent, ask, d)
        return await self._tell(intent, d, release=ask.release)

    async def press(self, action: str, subject: Subject, actor: Actor, dedupe: str, reason: str = "") -> Reply:
        """Answer a button, menu entry or modal; a stale one does nothing and gets the present state."""
        d = dialect_of(actor, in_thread=True)
        state = self._floor.pipelines().get(subject.pipeline)
        if state is None:
            return _refusal(UsageError("This pipeline is gone.", mend="`/release status` lists all."), d, subject)
        match action:
            case "link":
                # Slack opened the page and tells of the click all the same.
                return Reply("", is_public=False, pipeline=state.id, release=subject.release)
            case "why":
                return await self._tell(Why(state.id), d, release=subject.release)
            case "status":
                return await self._tell(Status(state.id), d)
            case "history":
                release = state.release(subject.release)
                return await self._tell(History(state.id, release.version if release else ""), d)
        try:
            self._refuse_stale(action, subject, state)
            event = _pressed(action, subject, state, actor, reason.strip())
        except (UsageError, CommandRefused) as error:
            return self._with_present_state(_refusal(error, d, subject), d)
        reply = await self._act(Act(state.id, event), dedupe, d, subject.release)
        return self._with_present_state(reply, d) if reply.is_refusal else reply

    async def _act(self, act: Act, dedupe: str, d: Dialect, release: str) -> Reply:
        about = Subject(act.pipeline, self._release_of(act, release))
        try:
            answer = await self._floor.submit(act.pipeline, act.event, dedupe=dedupe)
        except CommandRefused as refusal:
            return _refusal(refusal, d, about)
        # A new release may have come to be meant; what the thread is about stays.
        facts = {"answer": answer.text, "is_repeat": answer.is_repeat, "pipeline": act.pipeline}
        return Reply(
            text=d.words(answer.text),
            is_public=not answer.is_repeat,
            pipeline=about.pipeline,
            release=about.release,
            facts=facts,
        )

    async def _act_for_all(self, intent: ForAll, ask: Ask, d: Dialect) -> Reply:
        about = Subject(ask.pipeline, ask.release)
        try:
            answer = await self._floor.act(intent.command, dedupe=ask.dedupe)
        except CommandRefused as refusal:
            return _refusal(refusal, d, about)
        facts = {"answer": answer.text, "is_repeat": answer.is_repeat}
        return Reply(
            d.words(answer.text), not answer.is_repeat, pipeline=about.pipeline, release=about.release, facts=facts
        )

    def _release_of(self, act: Act, release: str) -> str:
        """The release an act is about, for whoever wants to answer in its thread; empty if it names none."""
        state = self._floor.pipelines().get(act.pipeline)
        version = getattr(act.event, "version", "")
        if state is None or not version:
            return release
        return next((r.id for r in reversed(state.releases) if r.version == version), release)

    async def _tell(
        self, intent: Status | Why | History | Help | Freezes | Services | Owner | Init, d: Dialect, release: str = ""
    ) -> Reply:
        pipelines, now, world = self._floor.pipelines(), self._floor.now(), self._floor.world
        match intent:
            case Status(subject=""):
                states = [state async for state in unhurried(pipelines)]
                text, facts = status_of_all(states, world, now, d)
                return Reply(text, is_public=False, facts=facts)
            case Status(subject=subject):
                states = list(pipelines_named(subject, pipelines))
                text, facts = status_of(states, world, now, d)
                return Reply(text, is_public=False, pipeline=states[0].id, facts=facts)
            case Why(subject=subject):
                states = list(pipelines_named(subject, pipelines))
                text, facts = why_of(states, world, now, d, release)
                known = release if any(state.release(release) for state in states) else ""
                return Reply(text, is_public=False, pipeline=states[0].id, release=known, facts=facts)
            case History():
                return await self._history(intent, d)
            case Freezes():
                text, facts = freezes_of(world, now, d)
                return Reply(text, is_public=False, facts=facts)
            case Init():
                said = "`/release init` opens a window with five questions, in a channel; `andon init` asks in a shell."
                return Reply(said, is_public=False)
            case Services(subject=subject):
                text, facts = services_of(subject, pipelines, world, d)
                return Reply(text, is_public=False, facts=facts)
            case Owner(service=service):
                text, facts = owner_of(service, pipelines, world, d)
                return Reply(text, is_public=False, facts=facts)
            case Help(verb=verb):
                text, facts = help_with(verb, d)
                return Reply(text, is_public=False, facts=facts)
        assert_never(intent)

    async def _history(self, asked: History, d: Dialect) -> Reply:
        state = self._floor.pipelines()[asked.pipeline]
        release = next((r.id for r in reversed(state.releases) if r.version == asked.version), "")
        lines: Sequence[Line] = ()
        if release or not asked.version:
            lines = await self._floor.history(asked.pipeline, limit=asked.count, release=release)
        subject = f"{asked.pipeline} {asked.version}".strip()
        text, facts, whole = history_of(lines, subject, self._floor.now(), d)
        return Reply(text, is_public=False, pipeline=asked.pipeline, release=release, facts=facts, whole=whole)

    # ---- buttons ----------------------------------------------------------------------------------------------------

    def _refuse_stale(self, action: str, subject: Subject, state: PipelineState) -> None:
        if subject.drawn_from and subject.drawn_from != drawn_from(
            state, action, subject.release, _fingerprinted(action, subject)
        ):
            raise CommandRefused("This button was drawn before something changed, so nothing was done.")

    def _with_present_state(self, reply: Reply, d: Dialect) -> Reply:
        """The refusal and how things stand now, so that nobody needs to go and look."""
        state = self._floor.pipelines().get(reply.pipeline)
        release = state.release(reply.release) if state is not None else None
        if state is None or release is None:
            return reply
        now = self._floor.now()
        stands = standing(state, release, now)
        until = f" until {d.time(stands.until, now)}" if stands.until else ""
        present = f"Now: {d.words(f'{state.id} {release.version} is {stands.words}')}{until}."
        return replace(reply, text=f"{reply.text} {present}", facts={**reply.facts, "standing": stands.kind})


def _fingerprinted(action: str, subject: Subject) -> str:
    """What the fingerprint was made of: the scope of a rollback is chosen only after the button was drawn."""
    return "" if action == "rollback" else subject.subject


def _pressed(action: str, subject: Subject, state: PipelineState, by: Actor, reason: str) -> Command:
    """The event that a button, menu entry or modal asks for."""
    if action in NEEDS_REASON and not 1 <= len(reason) <= REASON_LENGTH:
        raise UsageError(f"A reason is asked, of 1 to {REASON_LENGTH} characters.", mend="A few words are enough.")
    about = subject.subject
    release = state.release(subject.release)
    version = release.version if release is not None else ""
    if action in ("lift", "override", "cancel", "promote") and not version:
        raise CommandRefused("This release is not remembered any more.")
    match action:
        case "approve":
            return ApproveRequested(by=by, version=version, request_id=about)
        case "reject":
            return RejectRequested(by=by, reason=reason, version=version, request_id=about)
        case "acknowledge" | "ack":
            # On a rollback's message the subject is the stage; the page it called for is told by that.
            page = next((p.id for p in state.pages if about in (p.id, p.stage)), about)
            return AcknowledgeRequested(by=by, page_id=page)
        case "pause":
            scope = about if about and state.definition.scope_named(about) is not None else ""
            return PauseRequested(by=by, reason=reason, scope_name=scope)
        case "resume":
            return ResumeRequested(by=by, pause_id=about)
        case "rollback":
            everywhere = about == EVERYWHERE
            return RollbackRequested(
                by=by, reason=reason, scope_name="" if everywhere else about, everywhere=everywhere
            )
        case "retry":
            return RetryRequested(by=by, stage=about)
        case "lift":
            return LiftRequested(by=by, version=version, reason=reason)
        case "override":
            return OverrideRequested(by=by, version=version, stage=about, reason=reason)
        case "cancel":
            return CancelRequested(by=by, version=version, reason=reason)
        case "promote":
            return PromoteRequested(by=by, version=version)
    raise UsageError("This button is from another time.", mend="The release's card has the present ones.")


def _refusal(error: UsageError | CommandRefused, d: Dialect, about: Subject) -> Reply:
    text = f"{error.message} {error.mend}".strip()
    return Reply(
        text=d.words(text),
        is_public=False,
        is_refusal=True,
        pipeline=about.pipeline,
        release=about.release,
        facts={"refusal": error.message, "mend": error.mend},
    )


__all__ = ["Ask", "Desk", "Floor", "Reply", "Subject"]
