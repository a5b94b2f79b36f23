"""Rules small enough to see through, and an engine to run them: the least a pipeline can do.

Every event counts one up. A person's reason says what shall happen besides: `refuse …`, `crash …`, `tell`, `deploy`,
`card`. A pause of N minutes asks to be woken in N minutes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from bot.clock import FakeClock
from bot.engine import Engine, Rules, no_checkpoint
from bot.listening import Listening
from core.errors import CommandRefused
from core.releases.effects import Effect, ObserveTarget, RefreshCard, Tell
from core.releases.events import (
    DefinitionApplied,
    DeploymentFailed,
    DeploymentSucceeded,
    Event,
    HeartbeatHeard,
    PauseRequested,
    TimePassed,
    WorldChanged,
)
from core.releases.pipeline import Pipeline, Stage, Target
from core.releases.state import PipelineState
from core.releases.world import Actor, Via, World
from storage.journal import Store, sqlite_url

ANN = Actor("ann", "Ann", Via.SLACK)
WOKEN = "woken"


@dataclass(frozen=True, slots=True)
class Counted:
    state: PipelineState
    effects: tuple[Effect, ...]
    answer: str
    reasons: tuple[str, ...]


def decide(state: PipelineState, event: Event, _world: World, now: datetime) -> Counted:
    """Count, and do what the reason says."""
    number = state.counter + 1
    match event:
        case PauseRequested(reason=reason, duration=duration):
            if reason.startswith("refuse"):
                raise CommandRefused(f"No: {reason}.", mend="Ask nicely.")
            if reason.startswith("crash"):
                raise KeyError(reason)
            beats = state.heartbeats if duration is None else (("wake", now + duration),)
            state = replace(state, counter=number, heartbeats=beats)
            return Counted(state, effects_of(state.id, number, reason), f"Counted {number}.", (f"{number}: {reason}.",))
        case DeploymentSucceeded(key=key) if key == "stale":
            return Counted(state, (), "", ())
        case TimePassed() if not any(at <= now for _, at in state.heartbeats):
            return Counted(state, (), "", ())
        case TimePassed():
            state = replace(state, counter=number, heartbeats=())
            return Counted(state, (), "", (WOKEN,))
        case DeploymentFailed(reason="nobody listens"):
            raise KeyError(event.key)
        case DeploymentFailed() | WorldChanged() | HeartbeatHeard() | DefinitionApplied() | DeploymentSucceeded():
            return Counted(replace(state, counter=number), (), "", (f"{number}: {type(event).__name__}.",))
    raise AssertionError(event)


def effects_of(pipeline: str, number: int, reason: str) -> tuple[Effect, ...]:
    known: dict[str, Effect] = {
        "tell": Tell(key=f"tell{number}", release="r1", topic="counted", sentence=reason),
        "deploy": ObserveTarget(key=f"look{number}", stage="beta", target="a", deployer="d", deployer_settings="{}"),
        "card": RefreshCard(key=f"card{number}", release="r1"),
        "urgent": RefreshCard(key=f"card{number}", release="r1", at_once=True),
    }
    return tuple(known[word] for word in reason.split() if word in known)


def next_wake(state: PipelineState, _world: World, _now: datetime) -> datetime | None:
    return next((at for _, at in state.heartbeats), None)


def new_pipeline(definition: Pipeline) -> PipelineState:
    return PipelineState(id=definition.id, definition=definition)


RULES = Rules(decide, next_wake, new_pipeline)


def definition(name: str = "shop", revision: str = "1") -> Pipeline:
    stages = (Stage(name="beta", targets=(Target(name="a"),)),)
    return Pipeline(id=name, service=name, team="shop", channel="#shop", revision=revision, stages=stages)


def please(reason: str = "count", *, minutes: float | None = None, by: Actor = ANN) -> PauseRequested:
    """Ann asks for something."""
    return PauseRequested(by=by, reason=reason, duration=None if minutes is None else timedelta(minutes=minutes))


class Killed(BaseException):
    """The program was stopped here."""


@asynccontextmanager
async def engine_on(
    path: Path,
    *names: str,
    clock: FakeClock | None = None,
    checkpoint: Callable[[str], None] = no_checkpoint,
    rules: Rules = RULES,
    longest_gap: timedelta | None = None,
) -> AsyncIterator[Engine]:
    """An engine on a file, with pipelines of these names; ended, with its threads, however the story ends."""
    async with engine_at(
        sqlite_url(path), *names, clock=clock, checkpoint=checkpoint, rules=rules, longest_gap=longest_gap
    ) as engine:
        yield engine


@asynccontextmanager
async def engine_at(
    url: str,
    *names: str,
    clock: FakeClock | None = None,
    checkpoint: Callable[[str], None] = no_checkpoint,
    rules: Rules = RULES,
    longest_gap: timedelta | None = None,
    replica: str = "",
) -> AsyncIterator[Engine]:
    """An engine on a database; on PostgreSQL one of several, which hears of the others."""
    store = Store(url, replica=replica)
    engine = Engine(store, rules, clock or FakeClock(), checkpoint=checkpoint, longest_gap=longest_gap)
    try:
        await engine.start()
        for name in names:
            if name not in engine.pipelines():
                await engine.submit(name, DefinitionApplied(definition=definition(name), by=ANN))
        yield engine
    finally:
        await engine.close()
        store.close()


@asynccontextmanager
async def hearing(engine: Engine) -> AsyncIterator[Listening]:
    """Have an engine hear of what other replicas write."""
    assert engine._shared is not None
    listening = Listening(engine, engine._shared)
    task = asyncio.create_task(listening.run())
    try:
        async with asyncio.timeout(20):
            await listening.hears.wait()
        yield listening
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
