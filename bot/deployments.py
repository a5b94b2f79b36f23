"""Couriers that bring deployments and tests to the outside world, and report what came of them.

After any attempt that may have reached the deployer, the deployment is looked for by its key before anything is begun.
A time-out is never a failure: the effect waits and is tried again, and people are told that the outcome is unknown.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from typing import Protocol, runtime_checkable

from bot.deployers import Deployers
from bot.engine import TOGETHER, Engine
from bot.outbox import Again, Claimed, Delivered, Done
from bot.shelf import Looks, Watched
from core.errors import AndonError, ArtifactMissing, PermanentError, TransientError
from core.ports import Deployer, DeploymentRef, DeploymentRequest, DeploymentStatus, Outcome, RunningVersion
from core.releases.effects import CancelDeployment, FollowDeployment, ObserveTarget, StartDeployment
from core.releases.events import (
    DeploymentCancelled,
    DeploymentFailed,
    DeploymentLost,
    DeploymentProgressed,
    DeploymentStarted,
    DeploymentSucceeded,
    Event,
    RunningVersionObserved,
)
from core.releases.state import Deployment, PipelineState

log = logging.getLogger("andon.app")

POLL = timedelta(seconds=1)
LONG_POLL_SECONDS = 5.0
LOST_AFTER_ATTEMPTS = 3
OUTPUT_KEPT = 20_000
"""Characters of what a program printed: it is stored with the event, for ever."""


@runtime_checkable
class Waits(Protocol):
    """A deployer that can be waited on, so that its end is heard at once."""

    async def wait(self, ref: DeploymentRef, seconds: float) -> DeploymentStatus:
        """How it stands when it is over, or after so many seconds."""


@runtime_checkable
class HasPace(Protocol):
    """A deployer that may not be asked as often as others, and says in words what it does meanwhile."""

    @property
    def poll_seconds(self) -> float:
        """Seconds between two looks at one deployment."""


class Deployments:
    """Delivers StartDeployment, FollowDeployment, CancelDeployment and ObserveTarget."""

    def __init__(self, engine: Engine, deployers: Deployers) -> None:
        self._engine = engine
        self._deployers = deployers

    async def deliver(self, claimed: Claimed) -> Delivered:
        """Deliver one effect; raises TransientError where it must be tried again."""
        match claimed.effect:
            case StartDeployment() as effect:
                return await self.start(claimed, effect)
            case FollowDeployment() as effect:
                return await self.follow(claimed, effect)
            case CancelDeployment() as effect:
                return await self.cancel(claimed, effect)
            case ObserveTarget() as effect:
                return await self.observe(claimed, effect)
            case other:
                raise TypeError(f"a deployer does not deliver {type(other).__name__}")

    async def start(self, claimed: Claimed, effect: StartDeployment) -> Delivered:
        """Begin it, unless it is over, was called off, or is found to have begun already."""
        at = self._in_flight(claimed.pipeline_id, effect.key)
        if at is None or at.ref:
            return Done()
        try:
            deployer = self._deployer(claimed.pipeline_id, effect.deployer, effect.deployer_settings)
            ref = await deployer.find(effect.key) if claimed.attempts > 1 else None
            if ref is None and at.phase == "cancelling":
                await self._report(claimed, DeploymentCancelled(key=effect.key), "cancelled")
                return Done()
            if ref is None:
                ref = await self._begun(deployer, claimed, effect)
        except PermanentError as error:
            failed = DeploymentFailed(
                key=effect.key,
                reason=error.message.rstrip("."),
                nothing_begun=True,
                artifact_missing=isinstance(error, ArtifactMissing),
            )
            await self._report(claimed, failed, "failed")
            return Done()
        except TransientError as error:
            await self._lost_if_long(claimed, effect.key, error.message)
            raise
        await self._report(claimed, DeploymentStarted(key=effect.key, ref=ref.value, url=ref.url), "started")
        return Done()

    async def _begun(self, deployer: Deployer, claimed: Claimed, effect: StartDeployment) -> DeploymentRef:
        if not claimed.is_held(self._engine.now()):
            # Another replica may have found that nothing was begun, and called it off.
            raise TransientError("It took as long as its lease; it is looked for before it is begun.")
        return await deployer.start(self._request(claimed.pipeline_id, effect))

    async def follow(self, claimed: Claimed, effect: FollowDeployment) -> Delivered:
        """Look how it stands, until it has ended."""
        at = self._in_flight(claimed.pipeline_id, effect.deployment)
        if at is None:
            return Done()
        ref = DeploymentRef(key=effect.deployment, value=effect.ref, url=at.url)
        try:
            deployer = self._deployer(claimed.pipeline_id, effect.deployer, effect.deployer_settings)
            status = (
                await deployer.wait(ref, LONG_POLL_SECONDS)
                if isinstance(deployer, Waits)
                else await deployer.status(ref)
            )
            if status.outcome is Outcome.SUCCEEDED:
                status = await self.checked(deployer, effect.target, at, status)
        except PermanentError as error:
            # It cannot be asked about any more, which says nothing of how it stands.
            await self._report(claimed, DeploymentLost(key=effect.deployment, reason=error.message), "lost")
            return Again(self._engine.now() + timedelta(minutes=1), error.message)
        except TransientError as error:
            await self._lost_if_long(claimed, effect.deployment, error.message)
            raise
        return await self._judge(claimed, effect, at, status, pace(deployer))

    async def cancel(self, claimed: Claimed, effect: CancelDeployment) -> Delivered:
        """Ask it to stop; whoever follows it hears when it has. Without a reference it is looked for by its key."""
        at = self._in_flight(claimed.pipeline_id, effect.deployment)
        if at is None:
            return Done()
        deployer = self._deployer(claimed.pipeline_id, effect.deployer, effect.deployer_settings)
        value = effect.ref or at.ref
        ref = DeploymentRef(effect.deployment, value) if value else await deployer.find(effect.deployment)
        if ref is not None:
            await deployer.cancel(ref)
        # Not begun yet: the courier that would begin it sees that it was called off.
        return Done()

    async def observe(self, claimed: Claimed, effect: ObserveTarget) -> Delivered:
        """Look what a target runs."""
        await self.look(claimed.pipeline_id, effect.target, effect.deployer, effect.deployer_settings)
        return Done()

    async def look_at_all(self) -> None:
        """Compare what runs with what is recorded, wherever nothing is in flight [27]."""
        for at, (pipeline, looks) in enumerate(self._engine.pipelines().looks()):
            if at % TOGETHER == TOGETHER - 1:
                await asyncio.sleep(0)
            for look in looks:
                for watched in look.targets:
                    try:
                        await self._look_at(pipeline, look, watched)
                    except AndonError as error:
                        log.warning("It cannot be seen what %s of %s runs: %s", watched.target, pipeline, error.message)

    async def _look_at(self, pipeline: str, look: Looks, watched: Watched) -> None:
        """Nearly all targets are as they were, each minute: no state is unpacked to see that."""
        known = self._deployers.known(pipeline, look.revisions, look.deployer, look.settings)
        deployer = known or self._deployer(pipeline, look.deployer, look.settings)
        seen = await deployer.running_version(watched.target)
        if watched.is_odd or seen.is_mixed or seen.digest != watched.digest:
            await self._note(pipeline, watched.target, seen)

    async def look(self, pipeline: str, target: str, deployer: str, settings: str) -> None:
        """Report what a target really runs [27]."""
        await self._note(pipeline, target, await self._deployer(pipeline, deployer, settings).running_version(target))

    async def _note(self, pipeline: str, target: str, seen: RunningVersion) -> None:
        if self._is_as_recorded(pipeline, target, seen):
            return
        event = RunningVersionObserved(
            target=target, digest=seen.digest, version=seen.version or "", is_mixed=seen.is_mixed
        )
        await self._engine.submit(pipeline, event)

    def _is_as_recorded(self, pipeline: str, target: str, seen: RunningVersion) -> bool:
        """Whether there is nothing to report: targets are looked at each minute, and nearly all are as they were."""
        state = self._engine.pipelines().get(pipeline)
        known = next((t for t in state.targets if t.name == target), None) if state is not None else None
        if known is None or known.drift or seen.is_mixed:
            return False
        return seen.digest == (known.current.digest if known.current is not None else None)

    # ---- judging ----------------------------------------------------------------------------------------------------

    async def checked(
        self, deployer: Deployer, target: str, at: Deployment, status: DeploymentStatus
    ) -> DeploymentStatus:
        """Success is what runs, not what was said [26]."""
        seen = await deployer.running_version(target)
        if seen.digest == at.what.digest and not seen.is_mixed:
            return status
        runs = "a mix of versions" if seen.is_mixed else (seen.version or seen.digest or "nothing")
        said = f"the deployer said it was done, but {target} runs {runs}"
        return replace(status, outcome=Outcome.FAILED, message=said)

    async def _judge(
        self, claimed: Claimed, effect: FollowDeployment, at: Deployment, status: DeploymentStatus, every: timedelta
    ) -> Delivered:
        key = effect.deployment
        match status.outcome:
            case Outcome.SUCCEEDED | Outcome.FAILED | Outcome.CANCELLED:
                await self._report(claimed, end_event(key, status), status.outcome.value)
                return Done()
            case Outcome.UNKNOWN:
                reason = status.message or "the deployer cannot tell"
                await self._report(claimed, DeploymentLost(key=key, reason=reason), "lost")
                return Again(self._engine.now() + max(POLL * 10, every), reason)
            case Outcome.RUNNING:
                await self._note_progress(claimed, key, at, status, is_slow=every > POLL)
                if self._engine.now() - at.requested_at > effect.timeout:
                    reason = f"it has taken longer than {effect.timeout}"
                    await self._report(claimed, DeploymentLost(key=key, reason=reason), "late")
                moved = status.done_units != at.done_units
                return Again(self._engine.now() + (timedelta() if moved and every == POLL else every), "")

    async def _note_progress(
        self, claimed: Claimed, key: str, at: Deployment, status: DeploymentStatus, *, is_slow: bool
    ) -> None:
        # What is looked at seldom says something new seldom, too: then words alone are news.
        is_same = status.message == at.note or not (is_slow or status.waits)
        if is_same and (status.done_units, status.all_units) == (at.done_units, at.all_units) and at.phase != "unknown":
            return
        event = DeploymentProgressed(
            key=key,
            done_units=status.done_units,
            all_units=status.all_units,
            note=status.message,
            waits=status.waits,
        )
        await self._engine.submit(claimed.pipeline_id, event)

    async def _lost_if_long(self, claimed: Claimed, key: str, reason: str) -> None:
        if claimed.attempts >= LOST_AFTER_ATTEMPTS:
            await self._report(claimed, DeploymentLost(key=key, reason=reason), "lost")

    # ---- asking the state -------------------------------------------------------------------------------------------

    def _in_flight(self, pipeline: str, key: str) -> Deployment | None:
        state = self._engine.pipelines().get(pipeline)
        if state is None:
            return None
        return next((t.deployment for t in state.targets if t.deployment is not None and t.deployment.key == key), None)

    def _deployer(self, pipeline: str, name: str, settings: str) -> Deployer:
        state: PipelineState = self._engine.pipelines()[pipeline]
        return self._deployers.of((state.definition, *state.pinned), name, settings)

    def _request(self, pipeline: str, effect: StartDeployment) -> DeploymentRequest:
        state = self._engine.pipelines()[pipeline]
        return DeploymentRequest(
            key=effect.key,
            service=state.definition.service,
            pipeline=pipeline,
            stage=effect.stage,
            target=effect.target,
            version=effect.what.version,
            digest=effect.what.digest,
            artifact=effect.what.artifact,
            is_rollback=effect.is_rollback,
            batch_percent=effect.batch_percent,
            healthy_percent=effect.healthy_percent,
            timeout=effect.timeout,
        )

    async def _report(self, claimed: Claimed, event: Event, outcome: str) -> None:
        await self._engine.submit(claimed.pipeline_id, event, dedupe=f"{claimed.key}/{outcome}")


def pace(deployer: Deployer) -> timedelta:
    """How long to wait between two looks at a deployment."""
    return max(POLL, timedelta(seconds=deployer.poll_seconds)) if isinstance(deployer, HasPace) else POLL


def end_event(key: str, status: DeploymentStatus) -> Event:
    """What is recorded of a deployment that is over."""
    output = end_of(status.output)
    match status.outcome:
        case Outcome.SUCCEEDED:
            return DeploymentSucceeded(key=key, output=output)
        case Outcome.CANCELLED:
            return DeploymentCancelled(key=key, output=output)
        case _:
            return DeploymentFailed(key=key, reason=status.message.rstrip(".") or "no reason was given", output=output)


def end_of(output: str) -> str:
    """The end of what a program printed, as much as is kept, from the beginning of a line; said where it was cut."""
    if len(output) <= OUTPUT_KEPT:
        return output
    end = output[-OUTPUT_KEPT:]
    return f"… what came before is not kept\n{end.partition(chr(10))[2] or end}"
