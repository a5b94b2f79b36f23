"""Deployers that call back: what a deployment's own back end says of it, believed by the deployer, recorded at once."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from aiohttp import web

from bot.deployers import Deployers
from bot.deployments import Deployments, end_event
from bot.engine import Engine
from core.errors import PermanentError, TransientError
from core.ports import DeploymentRef, DeploymentStatus, Outcome
from core.releases.events import DeploymentLost, DeploymentProgressed, Event
from core.releases.state import Deployment, TargetState

log = logging.getLogger("andon.callbacks")

LARGEST = 1_000_000
OVER = "No deployment of this key is in flight (any more); nothing was done."


@runtime_checkable
class CallsBack(Protocol):
    """A deployer whose back end calls Andon."""

    async def called_back(self, ref: DeploymentRef, headers: Mapping[str, str], body: bytes) -> DeploymentStatus:
        """How it stands by a callback; raises NotAuthentic, or PermanentError where it is not understood."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of a callback."""

    is_news: bool
    note: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """The answer to the sender."""
        return {"heard": self.is_news, "note": self.note}


class CallbacksIn:
    """The way in for callbacks of all deployers."""

    def __init__(self, engine: Engine, deployers: Deployers, deployments: Deployments) -> None:
        self._engine, self._deployers, self._deployments = engine, deployers, deployments

    def routes(self) -> list[web.RouteDef]:
        """What is served."""
        return [web.post("/api/deployments/callback", self.call_back)]

    async def call_back(self, request: web.Request) -> web.Response:
        """`POST /api/deployments/callback`: authorised by the deployment's own token or signature, not by ours."""
        heard = await self.take(request.headers, await request.read())
        return web.json_response(heard.facts)

    async def take(self, headers: Mapping[str, str], body: bytes) -> Heard:
        """Record what a callback says; durable before this returns.

        Raises NotAuthentic, PermanentError where it is not understood, and TransientError where the sender should
        call again: a success is recorded when it is seen to run.
        """
        if len(body) > LARGEST:
            raise PermanentError(f"A callback has at most {LARGEST} bytes.")
        pipeline, key = _about(body)
        found = self._in_flight(pipeline, key)
        if found is None:
            return Heard(is_news=False, note=OVER)
        target, at = found
        state = self._engine.pipelines()[pipeline]
        stage = state.stage_definition(target.stage)
        if stage is None or not at.ref:
            raise TransientError("It is not recorded yet that this deployment began; call again in a moment.")
        deployer = self._deployers.of((state.definition, *state.pinned), stage.deployer, stage.deployer_settings)
        if not isinstance(deployer, CallsBack):
            raise PermanentError(f"The deployer {stage.deployer} is not called back.")
        ref = DeploymentRef(key=at.key, value=at.ref, url=at.url)
        status = await deployer.called_back(ref, headers, body)
        if status.outcome is Outcome.SUCCEEDED:
            status = await self._deployments.checked(deployer, target.name, at, status)
        event, dedupe = _recorded(at, status)
        await self._engine.submit(pipeline, event, dedupe=dedupe)
        log.info("A callback said that %s is %s", key, status.outcome.value)
        return Heard(is_news=True)

    def _in_flight(self, pipeline: str, key: str) -> tuple[TargetState, Deployment] | None:
        state = self._engine.pipelines().get(pipeline)
        targets = state.targets if state is not None else ()
        return next(((t, t.deployment) for t in targets if t.deployment is not None and t.deployment.key == key), None)


def _about(body: bytes) -> tuple[str, str]:
    """The pipeline and the key that a callback names."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        told = None
    names = (told.get("pipeline"), told.get("key")) if isinstance(told, dict) else (None, None)
    if not all(isinstance(name, str) and name for name in names):
        raise PermanentError("A callback must be a JSON object with the `pipeline` and `key` of its deployment.")
    return str(names[0]), str(names[1])


def _recorded(at: Deployment, status: DeploymentStatus) -> tuple[Event, str]:
    """What is recorded, and the name under which whoever follows the deployment would record the same."""
    match status.outcome:
        case Outcome.RUNNING:
            done, every = status.done_units, status.all_units
            return DeploymentProgressed(key=at.key, done_units=done, all_units=every, note=status.message), ""
        case Outcome.UNKNOWN:
            return DeploymentLost(key=at.key, reason=status.message or "its receiver cannot tell"), ""
        case _:
            return end_event(at.key, status), f"{at.key}/follow/{status.outcome.value}"
