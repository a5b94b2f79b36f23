"""What pipelines live through while they are measured: real releases, decided by the real rules.

A run is one release of a line of two stages, in five transitions: it is announced and enters, its first deployment
begins and ends, which enters the second stage, and that one's begins and ends. Every transition is one durable
`decide`: the state, an event in its chain, and all effects (deployments, sentences, cards) in one commit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from bot.clock import Clock, SystemClock
from bot.engine import Answer, Engine, Rules
from core.releases.decide import decide, new_pipeline, next_wake
from core.releases.events import DefinitionApplied, DeploymentStarted, DeploymentSucceeded, ReleaseAnnounced
from core.releases.pipeline import Pipeline, Stage, Target
from core.releases.state import Change, PipelineState
from core.releases.world import ANDON, Actor, Via
from storage.journal import Store

CI: Final = Actor("ci", "CI", Via.API, is_person=False)
STEPS: Final = 5
RULES: Final = Rules(decide, next_wake, new_pipeline)


@dataclass(slots=True)
class Counted:
    """What was acknowledged: seconds for each transition, and how many runs came to their end."""

    took: list[float] = field(default_factory=list)
    runs: int = 0


def pipeline(name: str) -> Pipeline:
    """A line of two stages, without bakes, so that a run never waits."""
    stages = (
        Stage(name="beta", targets=(Target(name="beta"),), deployer="scripted", watch=timedelta()),
        Stage(name="live", targets=(Target(name="live"),), after=("beta",), deployer="scripted", watch=timedelta()),
    )
    return Pipeline(id=name, service=name, team="shop", channel=f"#{name}", revision="r1", stages=stages)


def opened(url: str, clock: Clock | None = None) -> tuple[Store, Engine]:
    """The product's own store and engine on a database; the engine is not started."""
    store = Store(url)
    return store, Engine(store, RULES, clock or SystemClock())


async def define(engine: Engine, names: Sequence[str]) -> None:
    """Give each of these a pipeline."""
    applied = (engine.submit(name, DefinitionApplied(definition=pipeline(name), by=ANDON)) for name in names)
    await asyncio.gather(*applied)


async def live(
    engine: Engine, name: str, goes_on: Callable[[], bool], counted: Counted, first: int = 0, spacing: int = 1
) -> None:
    """One release after the other on one pipeline, for as long as it goes on; a run that was begun is ended."""
    number = first
    while goes_on():
        number += spacing
        await run(engine, name, number, counted)
        counted.runs += 1


async def run(engine: Engine, name: str, number: int, counted: Counted) -> None:
    """The five transitions of one release."""
    version = f"1.{number}.0"
    digest = f"sha256:{name}-{number}"
    changes = (Change(id=f"#{number}", title=f"Change number {number} of the shop", authors=("ann",)),)
    begun = time.perf_counter()
    event = ReleaseAnnounced(version=version, digest=digest, artifact=digest, by=CI, changes=changes)
    answer = await engine.submit(name, event, dedupe=f"api:{number}")
    counted.took.append(time.perf_counter() - begun)
    for stage in ("beta", "live"):
        key = _deployment(answer, stage)
        begun = time.perf_counter()
        await engine.submit(name, DeploymentStarted(key=key, ref=f"scripted:{key}"), dedupe=f"{key}/started")
        middle = time.perf_counter()
        answer = await engine.submit(name, DeploymentSucceeded(key=key), dedupe=f"{key}/succeeded")
        counted.took += (middle - begun, time.perf_counter() - middle)


def _deployment(answer: Answer, stage: str) -> str:
    """The key of what is under way in a stage; there must be something."""
    return next(t.deployment.key for t in answer.state.targets if t.stage == stage and t.deployment is not None)


def is_at_its_end(state: PipelineState) -> bool:
    """Whether every release of a pipeline went all the way or was overtaken."""
    return not any(release.is_live for release in state.releases)
