"""The core's frozen values as text and back: deterministic JSON with a schema number, and upcasters for older text.

pydantic reads and writes the dataclasses themselves, so the core needs no twins of them. A pipeline's state leaves out
its definitions, which are stored once by revision: a snapshot stays small however long the definition is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass, replace
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, SchemaSerializer

from core.releases.effects import Effect
from core.releases.events import Event
from core.releases.freezing import OrganisationCommand
from core.releases.pipeline import Pipeline
from core.releases.state import PipelineState
from core.releases.world import World
from storage.errors import CodecError

T = TypeVar("T")
Raw = dict[str, Any]
Upcaster = Callable[[Raw], Raw]

SCHEMA = 1
"""The number written with everything now. Raise it when a stored shape changes, and add the upcasters."""

UPCASTERS: Mapping[tuple[str, int], Upcaster] = {}
"""(kind, schema) → function that lifts text of that schema to the next. Kinds without one are unchanged between them.

Kinds are class names of events and effects, `PipelineState`, `Pipeline` and `World`. They see plain JSON and never the
classes, which will have moved on.
"""

_EVENTS: Mapping[str, type] = {member.__name__: member for member in get_args(Event)}
_ACTS: Mapping[str, type] = {member.__name__: member for member in get_args(OrganisationCommand)}
_EFFECTS: Mapping[str, type] = {member.__name__: member for member in get_args(Effect)}
_LEFT_OUT = {"definition", "pinned", "rest"}
_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


Texts = dict[int, tuple[object, str]]
"""The parts of a field with their text, by identity; each part is held, so that no other can take its identity."""
Written = dict[str, tuple[object, str, Texts]]
"""The fields of a state, by name: what each held, its text, and that of its parts."""
NOTHING: Written = {}
NO_TEXTS: Texts = {}
MOST_WRITTEN = 256
"""Pipelines whose last text is remembered; from one event to the next most parts of a state are the same."""


class Codec:
    """Writes text of `schema` and reads any text up to it."""

    def __init__(self, schema: int = SCHEMA, upcasters: Mapping[tuple[str, int], Upcaster] = UPCASTERS) -> None:
        self.schema = schema
        self._upcasters = upcasters
        self._written: dict[str, Written] = {}

    def encode_state(self, state: PipelineState) -> str:
        """A snapshot without its definitions; the revisions of those it is pinned to are named."""
        before = self._written.get(state.id, NOTHING)
        written: Written = {}
        for name, is_row, serializer in _state_fields():
            value = getattr(state, name)
            known = before.get(name)
            if known is None or known[0] is not value:
                known = _field_text(name, value, is_row, serializer, NO_TEXTS if known is None else known[2])
            written[name] = known
        if len(self._written) >= MOST_WRITTEN and state.id not in self._written:
            self._written.clear()
        self._written[state.id] = written
        revisions = json.dumps([p.revision for p in state.pinned]) if state.pinned else "[]"
        return f'{{"pinned":{revisions},{",".join([text for _, text, _ in written.values()])}}}'

    def forget(self, pipeline_id: str) -> None:
        """Remember no text of this pipeline: it is not written again soon."""
        self._written.pop(pipeline_id, None)

    def another(self) -> Codec:
        """One that reads and writes alike, for another thread: what a codec remembers is not shared."""
        return Codec(self.schema, self._upcasters)

    def decode_state(
        self, text: str, schema: int, definition_revision: str, definitions: Mapping[str, Pipeline]
    ) -> PipelineState:
        """A snapshot with its definitions put back; `definitions` are the pipeline's, by revision."""
        raw = self._lift("PipelineState", text, schema)
        try:
            raw["definition"] = definitions[definition_revision]
            raw["pinned"] = tuple(definitions[revision] for revision in raw["pinned"])
        except KeyError as missing:
            msg = f"The definition {missing} of a stored pipeline is missing from the database."
            raise CodecError(msg) from None
        return self._validate(PipelineState, raw)

    def encode_definition(self, definition: Pipeline) -> str:
        """One definition."""
        return _dump(_serializer(Pipeline), definition)

    def decode_definition(self, text: str, schema: int) -> Pipeline:
        """One definition."""
        return self._validate(Pipeline, self._lift("Pipeline", text, schema))

    def encode_event(self, event: Event) -> tuple[str, str]:
        """The event's kind (its class name) and text."""
        return type(event).__name__, _dump(_serializer(type(event)), event)

    def decode_event(self, kind: str, text: str, schema: int) -> Event:
        """The event of this kind."""
        return cast("Event", self._decode_member(_EVENTS, kind, text, schema))

    def encode_act(self, command: OrganisationCommand) -> tuple[str, str]:
        """The kind (its class name) and text of what is asked for the organisation."""
        return type(command).__name__, _dump(_serializer(type(command)), command)

    def decode_act(self, kind: str, text: str, schema: int) -> OrganisationCommand:
        """What was asked for the organisation."""
        return cast("OrganisationCommand", self._decode_member(_ACTS, kind, text, schema))

    def encode_effect(self, effect: Effect) -> tuple[str, str]:
        """The effect's kind (its class name) and text."""
        return type(effect).__name__, _dump(_serializer(type(effect)), effect)

    def decode_effect(self, kind: str, text: str, schema: int) -> Effect:
        """The effect of this kind."""
        return cast("Effect", self._decode_member(_EFFECTS, kind, text, schema))

    def encode_world(self, world: World) -> str:
        """The world as people wrote it; revision, outages and the last sign of life are kept in tables."""
        # pydantic writes dictionaries; a world may hold any mapping.
        world = replace(
            world,
            people=dict(world.people),
            groups=dict(world.groups),
            teams=dict(world.teams),
            calendars=dict(world.calendars),
        )
        raw = _adapter(World).dump_python(world, exclude={"revision", "outages", "observed_until"})
        return json.dumps(raw, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain)

    def decode_world(self, text: str, schema: int) -> World:
        """The world as people wrote it; whoever loads it adds revision, outages and the last sign of life."""
        return self._validate(World, self._lift("World", text, schema))

    def _decode_member(self, members: Mapping[str, type], kind: str, text: str, schema: int) -> Any:
        raw = self._lift(kind, text, schema)
        if kind not in members:
            msg = f"“{kind}” is not known to this version of Andon; it was stored by another one."
            raise CodecError(msg)
        return self._validate(members[kind], raw)

    def _lift(self, kind: str, text: str, schema: int) -> Raw:
        if schema > self.schema:
            msg = (
                f"A stored {kind} has schema {schema}, but this version of Andon reads up to {self.schema}. "
                "Start the newer version again."
            )
            raise CodecError(msg)
        try:
            raw: Raw = json.loads(text)
        except ValueError as error:
            msg = f"A stored {kind} is not JSON: {error}."
            raise CodecError(msg) from None
        for step in range(schema, self.schema):
            lift = self._upcasters.get((kind, step))
            raw = lift(raw) if lift else raw
        return raw

    def _validate(self, wanted: type[T], raw: Raw) -> T:
        try:
            value: T = _adapter(wanted).validate_python(raw)
        except ValidationError as error:
            where = "; ".join(
                f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)[:3]
            )
            msg = f"A stored {wanted.__name__} does not fit this version of Andon: {where}."
            raise CodecError(msg) from None
        return value


def mended(value: T) -> T:
    """The value with half characters replaced.

    Programs' output may hold halves of a surrogate pair, which no database and no UTF-8 can keep. What cannot be
    stored must not be decided on either: an event that `encode_event` refuses is mended before anything else sees it.
    """
    adapter = _adapter(type(value))
    return cast("T", adapter.validate_python(_mend(adapter.dump_python(value))))


def _adapter(of: Any) -> TypeAdapter[Any]:
    """Made when first needed: each costs milliseconds."""
    if of not in _ADAPTERS:
        _ADAPTERS[of] = TypeAdapter(of)
    return _ADAPTERS[of]


def _serializer(of: Any) -> SchemaSerializer:
    """What writes values of a type; the library's own `dump_json` hands on a dozen settings for each."""
    serializer = _adapter(of).serializer
    assert isinstance(serializer, SchemaSerializer)
    return serializer


@cache
def _state_fields() -> tuple[tuple[str, bool, SchemaSerializer], ...]:
    """The fields of a state that are written: name, whether it is a row of frozen values, and what writes them."""
    found = []
    for name, hint in get_type_hints(PipelineState).items():
        if name not in _LEFT_OUT:
            part = get_args(hint)[0] if get_origin(hint) is tuple else hint
            is_row = is_dataclass(part)
            found.append((name, is_row, _serializer(part if is_row else hint)))
    return tuple(found)


def _field_text(
    name: str, value: Any, is_row: bool, serializer: SchemaSerializer, before: Texts
) -> tuple[object, str, Texts]:
    """A field of a state; of a row only those parts are written anew that were not there before."""
    if not is_row:
        return value, f'"{name}":{_dump(serializer, value)}', NO_TEXTS
    texts = {id(part): before.get(id(part)) or (part, _dump(serializer, part)) for part in value}
    return value, f'"{name}":[{",".join([texts[id(part)][1] for part in value])}]', texts


def _dump(serializer: SchemaSerializer, value: object) -> str:
    try:
        return serializer.to_json(value).decode()
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        msg = f"This holds text that cannot be stored: {type(error).__name__}."
        raise CodecError(msg) from None


def _mend(raw: Any) -> Any:
    if isinstance(raw, str):
        return raw.encode("utf-8", "replace").decode()
    if isinstance(raw, dict):
        return {key: _mend(value) for key, value in raw.items()}
    if isinstance(raw, list | tuple):
        return [_mend(value) for value in raw]
    return raw


def _plain(value: Any) -> Any:
    """What JSON lacks; sets are sorted, so that one world is always one text."""
    if isinstance(value, frozenset | set):
        return sorted(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.isoformat()


class StoredDefinitions(Mapping[str, Pipeline]):
    """A pipeline's definitions by revision, each decoded when it is asked for."""

    def __init__(self, codec: Codec, pipeline_id: str, texts: Mapping[tuple[str, str], tuple[str, int]]) -> None:
        self._codec = codec
        self._id = pipeline_id
        self._texts = texts

    def __getitem__(self, revision: str) -> Pipeline:
        return self._codec.decode_definition(*self._texts[self._id, revision])

    def __iter__(self) -> Iterator[str]:
        return (revision for owner, revision in self._texts if owner == self._id)

    def __len__(self) -> int:
        return sum(1 for _ in self)
