"""What the writing thread knows of pipelines: what is committed, and what the batch under way makes of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any, Protocol, get_args

from bot.clock import Clock
from bot.shelf import Known, Shelf
from bot.writer import Publish
from core.errors import AndonError, CommandRefused
from core.releases.effects import Effect, Tell
from core.releases.events import AlarmReported, Command, DefinitionApplied, Event, HeartbeatHeard
from core.releases.freezing import OrganisationCommand, WorldDecision, act
from core.releases.pipeline import Pipeline
from core.releases.state import PipelineState
from core.releases.world import ANDON, Actor, Outage, Via, World
from storage.codec import mended
from storage.entries import Entry
from storage.errors import CodecError
from storage.journal import Loaded, Transaction
from storage.lanes import Birth, Born
from storage.records import OUTAGES_KEPT

log = logging.getLogger("andon.decisions")

NEVER_TWICE_WITHIN = timedelta(seconds=1)
"""A wake-up asked for now or earlier comes after this: the present has just been settled."""
_COMMANDS: tuple[type, ...] = get_args(Command)


Line = tuple[str, int, str, str, str]
"""For the log: pipeline, number of the event, its kind, who, and the topics that were told; never what was said."""


class UnknownPipeline(AndonError):
    """There is no pipeline of this name."""


class Decided(Protocol):
    """What `decide` returns."""

    @property
    def state(self) -> PipelineState: ...  # noqa: D102
    @property
    def effects(self) -> Sequence[Effect]: ...  # noqa: D102
    @property
    def answer(self) -> str: ...  # noqa: D102
    @property
    def reasons(self) -> Sequence[str]: ...  # noqa: D102


Decide = Callable[[PipelineState, Event, World, datetime], Decided]
NextWake = Callable[[PipelineState, World, datetime], datetime | None]


@dataclass(frozen=True, slots=True)
class Rules:
    """The core's functions, as the engine needs them."""

    decide: Decide
    next_wake: NextWake
    new_pipeline: Callable[[Pipeline], PipelineState]
    act: Callable[[World, Collection[Pipeline], OrganisationCommand, datetime], WorldDecision] = act


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an event. `is_repeat`: it had come before, and this is what was answered then."""

    text: str
    state: PipelineState
    is_repeat: bool = False


@dataclass(frozen=True, slots=True)
class ActAnswer:
    """What came of something asked for the organisation; `what` is the sentence for the record, empty for a repeat."""

    text: str
    what: str
    is_repeat: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal that was recorded; it is raised at whoever asked, after the commit."""

    error: CommandRefused


class Book:
    """What the writing thread knows: what is committed, and what the batch under way makes of it.

    Of what is committed it remembers what it worked on last; all else it finds on the shelf, where the loop put it.
    """

    def __init__(
        self,
        rules: Rules,
        clock: Clock,
        publish: Callable[..., None],
        birth: Callable[[], Birth | None],
        shelf: Shelf,
        *,
        is_shared: bool = False,
    ) -> None:
        """`birth` is asked on the writing thread: whether this process delivers, and how much it can take on.

        `is_shared`: other replicas write to the same database.
        """
        self.birth = birth
        self._shelf = shelf
        self._is_shared = is_shared
        self._rules = rules
        self._clock = clock
        self._publish = publish
        self._committed: dict[str, Known] = {}
        self._forgotten: set[str] = set()
        """What must be read from the database before anything is decided on it."""
        self._committed_world = World()
        self.begin()

    def begin(self) -> None:
        """A batch begins, or begins again."""
        self._batch: dict[str, Known] = {}
        self._looked_at: set[str] = set()
        self._answers: dict[tuple[str, str], tuple[str, bool]] = {}
        self._world = self._committed_world
        self._lines: list[Line] = []

    def look_again(self, transaction: Transaction, about: Sequence[tuple[str, str]]) -> None:
        """Read anew what is about to be decided on, and which deliveries came before."""
        transaction.expect([(pipeline_id, key) for pipeline_id, key in about if key])
        if self._is_shared:
            self.reload_world(transaction)
            self._batch |= self._loaded(transaction, {name for name, _ in about if not self._is_known(name)})

    def undo(self) -> None:
        """Nothing of the batch was written. What it touched is read again: somebody else may have changed it."""
        self.forget((*self._batch, *self._looked_at))

    def commit(self, born: Born) -> Publish:
        """It is on disk; returns what tells everybody."""
        for pipeline_id in self._batch:
            self._committed.pop(pipeline_id, None)
        self._committed |= self._batch
        self._forgotten.difference_update(self._batch)
        self._forget_old()
        self._committed_world = self._world
        return partial(self._publish, self._batch, self._world, born, self._lines)

    @staticmethod
    def log(lines: Iterable[Line]) -> None:
        """One line for each decision."""
        for line in lines:
            log.info("%s #%d %s by %s: %s", *line)

    def reload_world(self, transaction: Transaction) -> None:
        """Read what pipelines share."""
        self._world = transaction.worlds.load(self._clock.now())

    def learn(self, found: Mapping[str, Loaded], world: World | None) -> None:
        """Take over what another replica wrote, where it is newer than what is known here."""
        for name, loaded in found.items():
            if self.version(name) < loaded.head.version:
                self._batch[name] = Known(loaded.state, loaded.head, loaded.wake_at)
        if world is not None and world.revision >= self._world.revision:
            self._world = world

    def version(self, pipeline_id: str) -> int:
        """Of a pipeline as it is known here; 0 if it is not."""
        known = self._batch.get(pipeline_id) or self._committed.get(pipeline_id)
        if known is not None:
            return known.head.version
        return 0 if pipeline_id in self._forgotten else self._shelf.version(pipeline_id)

    def _is_known(self, pipeline_id: str) -> bool:
        is_here = pipeline_id in self._committed or pipeline_id in self._shelf
        return is_here and pipeline_id not in self._forgotten

    def _forget_old(self) -> None:
        """Keep what was worked on last, and what the loop has not put on the shelf yet."""
        for pipeline_id in tuple(islice(self._committed, max(0, len(self._committed) - self._shelf.most_in_use))):
            if self._shelf.version(pipeline_id) >= self._committed[pipeline_id].head.version:
                del self._committed[pipeline_id]

    def _loaded(self, transaction: Transaction, names: Collection[str]) -> dict[str, Known]:
        if not names:
            return {}
        found = transaction.load_some(names)
        return {name: Known(loaded.state, loaded.head, loaded.wake_at) for name, loaded in found.items()}

    def forget(self, pipelines: Iterable[str]) -> None:
        """Read these again before anything is decided on them: another replica may have written."""
        for pipeline_id in pipelines:
            self._committed.pop(pipeline_id, None)
            self._forgotten.add(pipeline_id)

    def beat(self, transaction: Transaction, replica: str, gap: timedelta | None) -> Outage | None:
        """Record a sign of life."""
        now = self._clock.now()
        outage = transaction.liveness.beat(replica, now, gap=gap)
        recent = tuple(o for o in self._world.outages if o.until_at >= now - OUTAGES_KEPT)
        outages = recent if outage is None else (*recent, outage)
        self._world = replace(self._world, observed_until=now, outages=outages)
        return outage

    def change_world(self, transaction: Transaction, change: Callable[[World], World], what: str) -> World:
        """Store the next revision of what pipelines share."""
        if self._is_shared:
            self.reload_world(transaction)
        now = self._clock.now()
        changed = replace(change(self._world), revision=self._world.revision)
        if self._is_shared and changed == self._world:
            return changed  # the other replicas read the same files
        self._world = transaction.worlds.put(changed, now, what)
        entry = _act_entry(now, ANDON, "WorldChanged", "", "", self._world)
        transaction.acts.append(replace(entry, answer=what, sentence=what))
        return self._world

    def act(self, transaction: Transaction, command: OrganisationCommand, dedupe: str) -> ActAnswer | Refused:
        """Decide on what somebody asks for the organisation: the next revision and its act, together."""
        if dedupe and (earlier := transaction.acts.earlier(dedupe)) is not None:
            text, was_refused = earlier
            return Refused(CommandRefused(text)) if was_refused else ActAnswer(text, "", is_repeat=True)
        if self._is_shared:
            self.reload_world(transaction)
        try:
            kind, body = transaction.codec.encode_act(command)
        except CodecError:
            command = mended(command)
            kind, body = transaction.codec.encode_act(command)
        now = self._clock.now()
        newer = {name: known.state.definition for name, known in sorted({**self._committed, **self._batch}.items())}
        definitions = [newer.pop(d.id, d) for d in self._shelf.definitions()] + list(newer.values())
        try:
            decision = self._rules.act(self._world, definitions, command, now)
        except CommandRefused as refusal:
            entry = _act_entry(now, command.by, kind, body, dedupe, self._world)
            transaction.acts.append(replace(entry, answer=str(refusal), sentence=str(refusal), refused=True))
            return Refused(refusal)
        changed = replace(decision.world, revision=self._world.revision)
        self._world = transaction.worlds.put(changed, now, decision.sentence)
        entry = _act_entry(now, command.by, kind, body, dedupe, self._world)
        transaction.acts.append(replace(entry, answer=decision.answer, sentence=decision.sentence))
        log.info("the organisation, revision %d: %s by %s", self._world.revision, kind, command.by.id)
        return ActAnswer(decision.answer, decision.sentence)

    def decide(self, transaction: Transaction, pipeline_id: str, event: Event, dedupe: str) -> Answer | Refused:
        """Decide on one event. Errors are raised before anything is written."""
        known = self._find(transaction, pipeline_id)
        earlier = self._earlier(transaction, pipeline_id, event, dedupe) if dedupe else None
        if earlier is not None and known is not None:
            text, was_refused = earlier
            return Refused(CommandRefused(text)) if was_refused else Answer(text, known.state, is_repeat=True)
        event, kind, body = _encode(transaction, event)
        now = self._clock.now()
        step = _Step(transaction, pipeline_id, event, kind, body, dedupe, now)
        if known is None:
            return self._create(step)
        self._looked_at.add(pipeline_id)
        transaction.confirm(pipeline_id, known.head, self._world)
        try:
            decision = self._rules.decide(known.state, event, self._world, now)
        except CommandRefused as refusal:
            entry = self._entry(step, str(refusal), str(refusal), _release_of(event, known.state, ()), refused=True)
            head = transaction.append(
                pipeline_id, known.head, entry, before=known.state, after=known.state, wake_at=known.wake_at
            )
            self._keep(step, replace(known, head=head), str(refusal), refused=True)
            self._lines.append((pipeline_id, head.version, step.kind, entry.actor.id, "refused"))
            return Refused(refusal)
        return self._record(step, known, decision)

    def _record(self, step: _Step, known: Known, decision: Decided) -> Answer:
        transaction, pipeline_id = step.transaction, step.pipeline_id
        state = known.state if decision.state == known.state else decision.state
        wake_at = self._wake_at(state, step.now)
        text = decision.answer or next(iter(decision.reasons), "")
        if state is known.state and not decision.effects and not isinstance(step.event, _COMMANDS):
            head = known.head
            if step.dedupe:
                transaction.put_seen(pipeline_id, step.dedupe, step.now, text)
            if wake_at != known.wake_at:
                transaction.rewake(pipeline_id, head, wake_at)
        else:
            transaction.put_effects(pipeline_id, decision.effects, step.now)
            sentence = " ".join(decision.reasons) or decision.answer
            entry = self._entry(step, text, sentence, _release_of(step.event, state, decision.effects))
            head = transaction.append(pipeline_id, known.head, entry, before=known.state, after=state, wake_at=wake_at)
            # What happened, never what was said: sentences hold people's words.
            topics = [effect.topic for effect in decision.effects if isinstance(effect, Tell)]
            if topics or isinstance(step.event, _COMMANDS):
                self._lines.append((pipeline_id, head.version, step.kind, entry.actor.id, " ".join(topics)))
        self._keep(step, Known(state, head, wake_at), text)
        return Answer(text, state)

    def _create(self, step: _Step) -> Answer | Refused:
        if not isinstance(step.event, DefinitionApplied):
            msg = f"There is no pipeline called {step.pipeline_id}."
            raise UnknownPipeline(msg)
        state = self._rules.new_pipeline(step.event.definition)
        assert state.id == step.pipeline_id, f"{step.pipeline_id} cannot be given the definition of {state.id}"
        try:
            # Whoever applies it must be allowed to; for the rest nothing has happened yet.
            self._rules.decide(state, step.event, self._world, step.now)
        except CommandRefused as refusal:
            return Refused(refusal)
        wake_at = self._wake_at(state, step.now)
        text = f"{state.id} has a pipeline now."
        head = step.transaction.create(state, self._entry(step, text, text, ""), wake_at)
        self._keep(step, Known(state, head, wake_at), text)
        return Answer(text, state)

    def _find(self, transaction: Transaction, pipeline_id: str) -> Known | None:
        known = self._batch.get(pipeline_id) or self._committed.get(pipeline_id)
        if known is None and pipeline_id not in self._forgotten:
            known = self._shelf.known(pipeline_id)
        if known is None and (loaded := transaction.load(pipeline_id)) is not None:
            known = Known(loaded.state, loaded.head, loaded.wake_at)
        return known

    def _earlier(
        self, transaction: Transaction, pipeline_id: str, event: Event, dedupe: str
    ) -> tuple[str, bool] | None:
        if (pipeline_id, dedupe) in self._answers:
            return self._answers[pipeline_id, dedupe]
        # Commands are recorded in any case, done or refused.
        stored = transaction.earlier(pipeline_id, dedupe, leaves_event=isinstance(event, _COMMANDS))
        return None if stored is None else (stored.answer, stored.refused)

    def _keep(self, step: _Step, known: Known, text: str, *, refused: bool = False) -> None:
        self._batch[step.pipeline_id] = known
        if step.dedupe:
            self._answers[step.pipeline_id, step.dedupe] = (text, refused)

    def _wake_at(self, state: PipelineState, now: datetime) -> datetime | None:
        at = self._rules.next_wake(state, self._world, now)
        return at if at is None or at > now else now + NEVER_TWICE_WITHIN

    def _entry(self, step: _Step, answer: str, sentence: str, release: str, *, refused: bool = False) -> Entry:
        return Entry(
            at=step.now,
            actor=_actor_of(step.event),
            kind=step.kind,
            body=step.body,
            answer=answer,
            sentence=sentence,
            release=release,
            refused=refused,
            dedupe_key=step.dedupe,
            world_revision=self._world.revision,
        )


@dataclass(frozen=True, slots=True)
class _Step:
    """One event being decided."""

    transaction: Transaction
    pipeline_id: str
    event: Event
    kind: str
    body: str
    dedupe: str
    now: datetime


def _act_entry(now: datetime, by: Actor, kind: str, body: str, dedupe: str, world: World) -> Entry:
    return Entry(
        at=now,
        actor=by,
        kind=kind,
        body=body,
        answer="",
        sentence="",
        release="",
        refused=False,
        dedupe_key=dedupe,
        world_revision=world.revision,
    )


def _encode(transaction: Transaction, event: Event) -> tuple[Event, str, str]:
    """The event as it will be stored; text that cannot be stored is mended before anything is decided on it."""
    try:
        return event, *transaction.codec.encode_event(event)
    except CodecError:
        whole = mended(event)
        return whole, *transaction.codec.encode_event(whole)


def _actor_of(event: Event) -> Actor:
    by = getattr(event, "by", None)
    if isinstance(by, Actor):
        return by
    if isinstance(event, AlarmReported | HeartbeatHeard):
        return Actor(event.alarm, event.alarm, Via.ALARM, is_person=False)
    return ANDON


def _release_of(event: Event, state: PipelineState, effects: Sequence[Effect]) -> str:
    """The release an event speaks of: named by its version or key, else by what is told of it; may be empty."""
    version, key = getattr(event, "version", ""), getattr(event, "key", "")
    named = next((r.id for r in reversed(state.releases) if version and r.version == version), "")
    if not named and key:
        flights: Sequence[Any] = [t.deployment for t in state.targets if t.deployment is not None]
        named = next((flight.what.release for flight in flights if flight.key == key), "")
    told = sorted(effects, key=lambda effect: not isinstance(effect, Tell))
    return named or next((r for effect in told if (r := getattr(effect, "release", ""))), "")
