"""Text and back: everything the core knows, whatever it holds, however old the text is."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.ports import AlarmState
from core.releases.effects import Effect, RefreshCard
from core.releases.events import AlarmReported, DeploymentFailed, Event, PauseRequested
from core.releases.pipeline import Pipeline
from core.releases.state import PipelineState
from core.releases.world import Actor, Freeze, PeopleGroup, Via, World
from storage.codec import UPCASTERS, Codec, Raw, mended
from storage.errors import CodecError
from tests.core.line import DAVE, Line

codec = Codec()
ANN = Actor("ann", "Ann", Via.SLACK)
quick = settings(
    max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None
)

st.register_type_strategy(datetime, st.datetimes(timezones=st.just(UTC)))
st.register_type_strategy(timedelta, st.timedeltas(min_value=timedelta(days=-400), max_value=timedelta(days=4000)))


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_every_event_comes_back_as_it_was(kind: type) -> None:
    @quick
    @given(st.from_type(kind))
    def comes_back(event: Event) -> None:
        name, text = codec.encode_event(event)
        assert codec.decode_event(name, text, codec.schema) == event
        assert codec.encode_event(codec.decode_event(name, text, codec.schema)) == (name, text)

    comes_back()


@pytest.mark.parametrize("kind", get_args(Effect), ids=lambda kind: kind.__name__)
def test_every_effect_comes_back_as_it_was(kind: type) -> None:
    @quick
    @given(st.from_type(kind))
    def comes_back(effect: Effect) -> None:
        name, text = codec.encode_effect(effect)
        assert codec.decode_effect(name, text, codec.schema) == effect

    comes_back()


@settings(quick, max_examples=8)
@given(st.from_type(PipelineState))
def test_a_state_comes_back_with_its_definitions_and_is_stored_without_them(state: PipelineState) -> None:
    pinned = tuple(replace(p, revision=f"pinned {i}") for i, p in enumerate(state.pinned))
    state = replace(state, definition=replace(state.definition, revision="in force"), pinned=pinned)
    definitions = {p.revision: p for p in (state.definition, *pinned)}
    _ = state.definition.by_name  # what is cached on a definition must not find its way into the text

    text = codec.encode_state(state)

    assert codec.decode_state(text, codec.schema, "in force", definitions) == state
    assert "definition" not in json.loads(text)
    assert json.loads(text)["pinned"] == [p.revision for p in pinned]


def test_what_did_not_change_is_not_written_again_and_the_text_is_the_same() -> None:
    line = Line()
    often = Codec()
    for version in ("1", "2", "3"):
        line.announces(version)
        while line.effects:
            line.deploys(one_at_a_time=True)
            assert often.encode_state(line.state) == Codec().encode_state(line.state)
        line.passes(timedelta(minutes=25))
        line.hears(PauseRequested(by=DAVE, reason="wait"))
        assert often.encode_state(line.state) == Codec().encode_state(line.state)


@quick
@given(st.from_type(Pipeline))
def test_a_definition_comes_back_as_it_was(definition: Pipeline) -> None:
    assert codec.decode_definition(codec.encode_definition(definition), codec.schema) == definition


@quick
@given(st.from_type(World))
def test_a_world_comes_back_less_what_is_kept_elsewhere(world: World) -> None:
    text = codec.encode_world(world)

    assert codec.decode_world(text, codec.schema) == replace(world, revision=0, outages=(), observed_until=None)


def test_one_world_is_always_one_text() -> None:
    names = [f"person {i}" for i in range(40)]
    one = World(groups={"all": PeopleGroup(name="all", members=frozenset(names))})
    other = World(groups={"all": PeopleGroup(name="all", members=frozenset(reversed(names)))})

    assert codec.encode_world(one) == codec.encode_world(other)
    assert json.loads(codec.encode_world(one))["groups"]["all"]["members"] == sorted(names)


def test_instants_of_other_zones_stay_the_same_instants() -> None:
    instant = datetime.fromisoformat("2026-03-29T02:30:00.123456+02:00")
    freeze = Freeze("spring", instant, instant + timedelta(days=1))
    event = AlarmReported(alarm="a", key="k", alarm_state=AlarmState.OK, observed_at=instant)

    assert codec.decode_world(codec.encode_world(World(freezes=(freeze,))), 1).freezes == (freeze,)
    decoded = codec.decode_event(*codec.encode_event(event), codec.schema)
    assert isinstance(decoded, AlarmReported)
    assert decoded.observed_at == instant
    assert decoded.observed_at.utcoffset() is not None


def test_old_text_is_lifted_step_by_step_to_what_the_classes_are_now() -> None:
    """A `PauseRequested` that was called `hold` with `why`, then `why` alone, then `reason`."""

    def rename(raw: Raw) -> Raw:
        return {"by": raw["by"], "why": raw["hold"]["why"]}

    def explain(raw: Raw) -> Raw:
        return {"by": raw["by"], "reason": raw["why"]}

    newer = Codec(schema=3, upcasters={("PauseRequested", 1): rename, ("PauseRequested", 2): explain})
    by = {"id": "ann", "name": "Ann", "via": "slack", "is_person": True}
    wanted = PauseRequested(by=ANN, reason="prices look wrong")

    assert newer.decode_event("PauseRequested", json.dumps({"by": by, "hold": {"why": wanted.reason}}), 1) == wanted
    assert newer.decode_event("PauseRequested", json.dumps({"by": by, "why": wanted.reason}), 2) == wanted
    assert newer.decode_event(*newer.encode_event(wanted), newer.schema) == wanted
    # Other kinds, which did not change, need no upcaster.
    card = RefreshCard(key="k", release="r")
    assert newer.decode_effect(*codec.encode_effect(card), 1) == card


def test_every_schema_before_this_one_can_be_lifted() -> None:
    assert all(1 <= schema < codec.schema for _, schema in UPCASTERS)


@pytest.mark.parametrize(
    ("kind", "text", "schema", "says"),
    [
        ("PauseRequested", "{}", 2, "Start the newer version again"),
        ("PauseRequested", "{", 1, "not JSON"),
        ("PauseRequested", "{}", 1, "by: Field required"),
        ("PauseForgotten", "{}", 1, "“PauseForgotten” is not known"),
    ],
)
def test_text_that_is_not_understood_says_so(kind: str, text: str, schema: int, says: str) -> None:
    with pytest.raises(CodecError, match=says):
        codec.decode_event(kind, text, schema)


def test_a_state_whose_definition_is_missing_says_so() -> None:
    with pytest.raises(CodecError, match="r7"):
        codec.decode_state('{"pinned":[]}', 1, "r7", {})


def test_half_characters_are_refused_and_can_be_mended() -> None:
    broken = DeploymentFailed(key="d1", reason="exit 1: \ud83d caf\u00e9")
    with pytest.raises(CodecError, match="cannot be stored"):
        codec.encode_event(broken)

    whole = mended(broken)

    assert whole == DeploymentFailed(key="d1", reason="exit 1: ? caf\u00e9")
    assert codec.decode_event(*codec.encode_event(whole), 1) == whole
