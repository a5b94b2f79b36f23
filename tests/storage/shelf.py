"""A store on a temporary file with one pipeline in it, written to by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from core.releases.effects import Effect, ObserveTarget, RefreshCard, Tell
from core.releases.pipeline import Pipeline, Stage, Target
from core.releases.state import PipelineState
from core.releases.world import Actor, Via
from storage.entries import Entry, Head
from storage.journal import Store, Transaction

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ANN = Actor("ann", "Ann", Via.SLACK)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def new(name: str = "shop") -> PipelineState:
    stages = (Stage(name="beta", targets=(Target(name="a"),)),)
    definition = Pipeline(id=name, service=name, team="shop", channel="#shop", revision="1", stages=stages)
    return PipelineState(id=name, definition=definition)


def entry(sentence: str = "Something happened.", **more: object) -> Entry:
    values: dict[str, object] = {
        "at": NOON,
        "actor": ANN,
        "kind": "PauseRequested",
        "body": f'{{"reason":"{sentence}"}}',
        "answer": sentence,
        "sentence": sentence,
        "release": "",
        "refused": False,
        "dedupe_key": "",
        "world_revision": 0,
    }
    return Entry(**(values | more))  # type: ignore[arg-type]


def tell(key: str, release: str = "r1") -> Tell:
    return Tell(key=key, release=release, topic="counted", sentence=f"Told {key}.")


def card(key: str, release: str = "r1", *, at_once: bool = False) -> RefreshCard:
    return RefreshCard(key=key, release=release, at_once=at_once)


def look(key: str, target: str = "a") -> ObserveTarget:
    return ObserveTarget(key=key, stage="beta", target=target, deployer="d", deployer_settings="{}")


def create(transaction: Transaction, name: str = "shop") -> Head:
    return transaction.create(new(name), entry("It has a pipeline now.", kind="DefinitionApplied"), None)


def put(store: Store, *effects: Effect, name: str = "shop", at: datetime = NOON) -> None:
    """Have effects delivered, in a transaction of their own; the pipeline is made where it is missing."""
    with store.transaction() as transaction:
        if transaction.load(name) is None:
            create(transaction, name)
        transaction.put_effects(name, effects, at)
