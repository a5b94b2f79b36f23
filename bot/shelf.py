"""The states of all pipelines: those in use as they are, all others packed small.

A pipeline waits for hours and is at work for seconds. What was used last stays as the values that the rules work on;
the others are kept as the text that is stored, compressed against one of their own kind: a few hundred bytes instead of
ten thousand. Beside it stand the few things that are asked of all pipelines at once, so that nobody unpacks thousands
to find one: names, figures, and what should run where.

Only the loop changes it. The writing thread may look up one pipeline at any time: what it finds is whole, and newer
than any it took out of its own memory (`book.py` sees to that).
"""

from __future__ import annotations

import sys
import zlib
from collections import OrderedDict
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, ValuesView
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bot.deployers import Revisions, revisions_of
from core.releases.pipeline import Pipeline
from core.releases.roster import Figures, Named
from core.releases.state import PipelineState
from storage.codec import Codec
from storage.entries import Head
from storage.journal import Loaded

FEW: Final = 2_000
"""Pipelines of which none is packed that was used once: they fit in memory as they are."""
IN_USE: Final = 128
"""Of more than that, so many are kept as they are."""
EACH_TIME: Final = 4
"""Packed at once, where there are too many: nobody waits for hundreds."""
WINDOW: Final = 32_000
"""Bytes that compression looks back."""


@dataclass(frozen=True, slots=True)
class Known:
    """A pipeline as it is worked on."""

    state: PipelineState
    head: Head
    wake_at: datetime | None


@dataclass(frozen=True, slots=True)
class Watched:
    """What should run on a target; `is_odd` where something else was found, and people were told."""

    target: str
    digest: str | None
    is_odd: bool


@dataclass(frozen=True, slots=True)
class Looks:
    """Targets to look at by one deployer, nothing being in flight there."""

    revisions: Revisions
    deployer: str
    settings: str
    targets: tuple[Watched, ...]


@dataclass(frozen=True, slots=True)
class _Definition:
    """A definition, packed."""

    id: str
    service: str
    team: str
    channel: str
    revision: str
    has_canary: bool
    body: bytes


@dataclass(frozen=True, slots=True)
class _Packed:
    """A pipeline that nobody works on."""

    head: Head
    wake_at: datetime | None
    state: bytes
    definition: _Definition
    pinned: tuple[_Definition, ...]
    figures: Figures
    looks: tuple[Looks, ...]


class Shelf(Mapping[str, PipelineState]):
    """All states by id, decoded when asked for. A `Roster`."""

    def __init__(self, codec: Codec, *, few: int = FEW, in_use: int = IN_USE) -> None:
        """`codec` is this one's own: it remembers what it wrote, and is used on the loop only."""
        self._codec = codec
        self._few = few
        self._most_of_many = in_use
        self._in_use: OrderedDict[str, Known] = OrderedDict()
        self._packed: dict[str, _Packed | None] = {}
        """Every pipeline; None where it was never packed. What is in use may be packed in an older version."""
        self._order: tuple[str, ...] | None = ()
        self._states, self._definitions = _Press(), _Press()
        self._figures: dict[Figures, Figures] = {}
        self.defined: list[Callable[[Pipeline], None]] = []
        """Called with each definition that comes into force, those that were stored first."""

    @property
    def most_in_use(self) -> int:
        """How many are kept as they are; on any thread."""
        return self._few if len(self._packed) <= self._few else self._most_of_many

    # ---- looking up -------------------------------------------------------------------------------------------------

    def __getitem__(self, pipeline_id: str) -> PipelineState:
        """The newest state that was committed; on the loop."""
        known = self.known(pipeline_id)
        if known is None:
            raise KeyError(pipeline_id)
        self._use(pipeline_id, known)
        return known.state

    def __iter__(self) -> Iterator[str]:
        """The ids in order, as they are now."""
        order = self._order
        if order is None:
            order = self._order = tuple(sorted(self._packed))
        return iter(order)

    def __len__(self) -> int:
        return len(self._packed)

    def __contains__(self, pipeline_id: object) -> bool:
        return pipeline_id in self._packed

    def values(self) -> ValuesView[PipelineState]:
        """Every state, decoded one after the other; those in use stay in use."""
        return _States(self)

    def items(self) -> ItemsView[str, PipelineState]:
        """Every state with its id."""
        return _Items(self)

    def known(self, pipeline_id: str) -> Known | None:
        """A pipeline as it was committed last, or None; on any thread."""
        known = self._in_use.get(pipeline_id)
        if known is not None:
            return known
        packed = self._packed.get(pipeline_id)
        return self._in_use.get(pipeline_id) if packed is None else self._unpacked(packed)

    def version(self, pipeline_id: str) -> int:
        """At which version a pipeline is here, 0 if it is not known; on any thread."""
        known = self._in_use.get(pipeline_id) or self._packed.get(pipeline_id)
        return 0 if known is None else known.head.version

    def revision(self, pipeline_id: str) -> str:
        """The revision of the definition in force; empty if there is no such pipeline."""
        known, packed = self._in_use.get(pipeline_id), self._packed.get(pipeline_id)
        if known is not None:
            return known.state.definition.revision
        return "" if packed is None else packed.definition.revision

    def versions(self) -> dict[str, int]:
        """At which version each is."""
        return {pipeline_id: self.version(pipeline_id) for pipeline_id in self._packed}

    def definitions(self) -> Iterator[Pipeline]:
        """Every definition in force, by id, decoded one after the other; on any thread."""
        for pipeline_id in sorted(self._packed):
            known, packed = self._in_use.get(pipeline_id), self._packed.get(pipeline_id)
            if known is not None:
                yield known.state.definition
            elif packed is not None:
                yield self._definition(packed.definition)

    # ---- what is asked of all ---------------------------------------------------------------------------------------

    def names(self) -> Iterator[Named]:
        """How each is called, by id."""
        for pipeline_id in self:
            known, packed = self._in_use.get(pipeline_id), self._packed[pipeline_id]
            if known is not None:
                yield Named.of(known.state.definition)
            elif packed is not None:
                d = packed.definition
                yield Named(d.id, d.service, d.team, d.channel)

    def figures(self) -> Iterator[tuple[str, Figures]]:
        """How much is going on in each, by id."""
        for pipeline_id in self:
            known, packed = self._in_use.get(pipeline_id), self._packed[pipeline_id]
            if known is not None:
                yield pipeline_id, Figures.of(known.state)
            elif packed is not None:
                yield pipeline_id, packed.figures

    def looks(self) -> Iterator[tuple[str, tuple[Looks, ...]]]:
        """What should run where nothing is in flight, by id of its pipeline."""
        for pipeline_id in self:
            known, packed = self._in_use.get(pipeline_id), self._packed[pipeline_id]
            if known is not None:
                yield pipeline_id, looks_of(known.state)
            elif packed is not None and packed.looks:
                yield pipeline_id, packed.looks

    def with_canaries(self) -> Iterator[Pipeline]:
        """The definitions in force that ask for canaries."""
        for pipeline_id in self:
            known, packed = self._in_use.get(pipeline_id), self._packed[pipeline_id]
            if known is not None and _has_canary(known.state.definition):
                yield known.state.definition
            elif known is None and packed is not None and packed.definition.has_canary:
                yield self._definition(packed.definition)

    # ---- changing, on the loop --------------------------------------------------------------------------------------

    def put(self, pipeline_id: str, known: Known) -> None:
        """This was committed."""
        before = self._in_use.get(pipeline_id)
        packed = self._packed.get(pipeline_id)
        if pipeline_id not in self._packed:
            self._packed[pipeline_id] = None
            self._order = None
        now = known.state.definition
        if before is not None:
            is_new = before.state.definition is not now and before.state.definition.revision != now.revision
        else:
            is_new = packed is None or packed.definition.revision != now.revision
        self._use(pipeline_id, known)
        if is_new:
            self._tell(now)

    def put_away(self, pipeline_id: str, loaded: Loaded) -> None:
        """This was found in the database, and nobody works on it yet."""
        if pipeline_id not in self._packed:
            self._order = None
        self._in_use.pop(pipeline_id, None)
        known = Known(loaded.state, loaded.head, loaded.wake_at)
        text = loaded.text or self._codec.encode_state(loaded.state)
        self._codec.forget(pipeline_id)
        self._packed[pipeline_id] = self._packed_from(known, text, None)
        self._tell(loaded.state.definition)

    def _tell(self, definition: Pipeline) -> None:
        for follow in self.defined:
            follow(definition)

    def _use(self, pipeline_id: str, known: Known) -> None:
        in_use = self._in_use
        in_use[pipeline_id] = known
        in_use.move_to_end(pipeline_id)
        for _ in range(min(EACH_TIME, len(in_use) - self.most_in_use)):
            oldest = next(iter(in_use))
            # Packed first: whoever looks on another thread finds it in one place or the other.
            self._pack(oldest, in_use[oldest])
            del in_use[oldest]

    def _pack(self, pipeline_id: str, known: Known) -> None:
        before = self._packed[pipeline_id]
        if before is not None and before.head.version == known.head.version:
            if before.wake_at != known.wake_at:
                self._packed[pipeline_id] = _rewoken(before, known.wake_at)
            return
        text = self._codec.encode_state(known.state)
        self._codec.forget(pipeline_id)
        self._packed[pipeline_id] = self._packed_from(known, text, before)

    def _packed_from(self, known: Known, text: str, before: _Packed | None) -> _Packed:
        state = known.state
        old = {} if before is None else {d.revision: d for d in (before.definition, *before.pinned)}
        figures = Figures.of(state)
        return _Packed(
            head=known.head,
            wake_at=known.wake_at,
            state=self._states.pack(text),
            definition=self._kept_definition(state.definition, old),
            pinned=tuple([self._kept_definition(definition, old) for definition in state.pinned]),
            figures=self._figures.setdefault(figures, figures),
            looks=looks_of(state),
        )

    def _kept_definition(self, definition: Pipeline, old: Mapping[str, _Definition]) -> _Definition:
        known = old.get(definition.revision)
        if known is not None:
            return known
        d, intern = definition, sys.intern
        body = self._definitions.pack(self._codec.encode_definition(definition))
        words = (intern(d.id), intern(d.service), intern(d.team), intern(d.channel), intern(d.revision))
        return _Definition(*words, _has_canary(definition), body)

    # ---- unpacking, on any thread -----------------------------------------------------------------------------------

    def _unpacked(self, packed: _Packed) -> Known:
        definitions = {d.revision: self._definition(d) for d in (packed.definition, *packed.pinned)}
        text, codec = self._states.unpack(packed.state), self._codec
        state = codec.decode_state(text, codec.schema, packed.definition.revision, definitions)
        return Known(state, packed.head, packed.wake_at)

    def _definition(self, packed: _Definition) -> Pipeline:
        return self._codec.decode_definition(self._definitions.unpack(packed.body), self._codec.schema)


def _rewoken(packed: _Packed, wake_at: datetime | None) -> _Packed:
    return _Packed(packed.head, wake_at, packed.state, packed.definition, packed.pinned, packed.figures, packed.looks)


def _has_canary(definition: Pipeline) -> bool:
    return any(alarm.source == "canary" for alarm in definition.alarms)


def looks_of(state: PipelineState) -> tuple[Looks, ...]:
    """What should run on the targets of a pipeline on which nothing is in flight."""
    found: dict[tuple[str, str], list[Watched]] = {}
    for target in state.targets:
        stage = state.stage_definition(target.stage)
        if target.deployment is not None or stage is None:
            continue
        current = target.current
        digest = None if current is None else sys.intern(current.digest)
        watched = Watched(sys.intern(target.name), digest, bool(target.drift))
        found.setdefault((sys.intern(stage.deployer), sys.intern(stage.deployer_settings)), []).append(watched)
    revisions = revisions_of((state.definition, *state.pinned))
    return tuple([Looks(revisions, *by, tuple(targets)) for by, targets in found.items()])


class _Press:
    """Compresses texts that resemble each other; the first one is what the others are compared with."""

    def __init__(self) -> None:
        self._like: bytes | None = None

    def pack(self, text: str) -> bytes:
        """A text made small; on one thread."""
        body = text.encode()
        if self._like is None:
            self._like = body[-WINDOW:]
        press = zlib.compressobj(level=3, wbits=-15, zdict=self._like)
        return press.compress(body) + press.flush()

    def unpack(self, packed: bytes) -> str:
        """The text; on any thread."""
        assert self._like is not None, "nothing was packed yet"
        return zlib.decompressobj(wbits=-15, zdict=self._like).decompress(packed).decode()


class _States(ValuesView[PipelineState]):
    def __init__(self, shelf: Shelf) -> None:
        super().__init__(shelf)
        self._shelf = shelf

    def __iter__(self) -> Iterator[PipelineState]:
        return (state for _, state in _walk(self._shelf))


class _Items(ItemsView[str, PipelineState]):
    def __init__(self, shelf: Shelf) -> None:
        super().__init__(shelf)
        self._shelf = shelf

    def __iter__(self) -> Iterator[tuple[str, PipelineState]]:
        return iter(_walk(self._shelf))


def _walk(shelf: Shelf) -> Iterable[tuple[str, PipelineState]]:
    """Everything once, without what is walked over driving out what is in use."""
    for pipeline_id in shelf:
        known = shelf.known(pipeline_id)
        if known is not None:
            yield pipeline_id, known.state
