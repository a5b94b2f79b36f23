"""The supervisor: what one front and its targets run, and the deployments that change it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp

from core.errors import PermanentError, TransientError
from core.ports import Outcome
from integrations.processes.artifacts import ArtifactStore
from integrations.processes.config import Layout
from integrations.processes.front import Front
from integrations.processes.rollout import Rollout
from integrations.processes.state import Deployment, Order, State, Version
from integrations.processes.target import Target
from integrations.processes.unit import Host

_log = logging.getLogger(__name__)

_UNFINISHED_AFTER = 3600.0
"""Seconds after which a copy never finished is taken for abandoned."""


class Supervisor:
    """Everything of one root and name. Its methods run on one event loop; `state` is written before they answer."""

    def __init__(self, root: Path, name: str, state: State, *, clock: Callable[[], datetime]) -> None:
        self._path = root / f"{name}.json"
        self._logs = root / "logs" / name
        self._store = ArtifactStore(root)
        self._state = state
        self._clock = clock
        self._writing = asyncio.Lock()
        self._targets: dict[str, Target] = {}
        self._rollouts: dict[str, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._host: Host | None = None
        self._front: Front | None = None

    @property
    def host(self) -> Host:
        """What its units share, once it has begun."""
        assert self._host is not None
        return self._host

    @property
    def front(self) -> Front:
        """Its public port, once it has begun."""
        assert self._front is not None
        return self._front

    async def begin(self) -> None:
        """Take the port, start what was recorded, go on with the deployments in flight."""
        self._logs.mkdir(parents=True, exist_ok=True)
        client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True), cookie_jar=aiohttp.DummyCookieJar()
        )
        self._host = Host(self._store, self._logs, client, self._state.timing)
        self._front = Front(self._host.changes, self._state.timing)
        try:
            if self._state.front is not None:
                self._state.port = await self._front.listen(self._state.front.host, self._state.port)
            await self._host.groups.begin()
        except (PermanentError, OSError):
            await self._front.close()
            await client.close()
            raise
        for name, recorded in self._state.targets.items():
            self._targets[name] = target = Target(self._host, name, recorded.settings)
            target.fill(recorded.places)
        self._front.serve(self._targets, self._state.timing)
        for deployment in self._state.deployments:
            if not deployment.outcome.is_final:
                _log.info("deployment %s of %s goes on", deployment.id, deployment.order.target)
                self._roll(deployment)

    async def end(self) -> None:
        """Drain and end everything; a deployment in flight stays so, for the next supervisor."""
        for task in self._rollouts.values():
            task.cancel()
        await asyncio.gather(*self._rollouts.values(), return_exceptions=True)
        await self.front.close()
        await asyncio.gather(*(target.end() for target in self._targets.values()), *self._leaving)
        await self.host.groups.end()
        await self.host.client.close()

    async def configure(self, layout: Layout) -> None:
        """Become this layout; what it does not change goes on untouched. Refused while it touches a deployment."""
        for name, target in self._targets.items():
            wanted = layout.targets.get(name)
            is_resized = wanted is None or wanted.units != target.settings.units
            if is_resized and self._in_flight(name) is not None:
                raise TransientError(f"A deployment of {name} is in flight; its units can be changed when it is over.")
        before = self._state.front
        is_moved = before is None or before.host != layout.front.host or layout.front.port not in (0, self._state.port)
        if is_moved:
            self._state.port = await self.front.listen(layout.front.host, layout.front.port)
        self._state.front, self._state.timing = layout.front, layout.timing
        self.host.timing = layout.timing
        for name in set(self._targets) - set(layout.targets):
            self._later(self._targets.pop(name).end())
        for name, settings in layout.targets.items():
            if name not in self._targets:
                self._targets[name] = Target(self.host, name, settings)
                continue
            target = self._targets[name]
            leaving = target.adopt(settings)
            if leaving:
                self._later(target.dismiss(leaving))
        self.front.serve(self._targets, layout.timing)
        await self._save()

    async def start(self, order: Order) -> Deployment:
        """Begin a deployment, or return the one that has this key. Raises as `core.ports.Deployer.start` does."""
        if (known := self._known(order)) is not None:
            return await self._written(known)
        self._check(order)
        await asyncio.to_thread(self._store.verify, order.wanted.digest)
        # Others may have come while the artifact was read; from here to `remember` nothing waits.
        if (known := self._known(order)) is not None:
            return await self._written(known)
        self._check(order)
        deployment = Deployment(
            id=f"{self._path.stem}-{self._state.next_number}",
            order=order,
            begun_at=self._clock(),
            all_units=self._targets[order.target].settings.units,
        )
        self._state.next_number += 1
        self._state.remember(deployment)
        try:
            await self._save()
        except TransientError:
            # Nothing may begin that a crash would forget.
            self._state.deployments.remove(deployment)
            raise
        self._roll(deployment)
        return deployment

    def find(self, key: str) -> Deployment | None:
        """The deployment with this key."""
        return next((entry for entry in self._state.deployments if entry.order.key == key), None)

    def deployment(self, number: str) -> Deployment | None:
        """The deployment with this identity."""
        return next((entry for entry in self._state.deployments if entry.id == number), None)

    async def cancel(self, deployment: Deployment) -> None:
        """Ask it to stop at the next safe point; nothing where it is over."""
        if not deployment.outcome.is_final and not deployment.is_cancelled:
            deployment.is_cancelled = True
            self.host.changes.notify()
            await self._save()

    def target(self, name: str) -> Target:
        """A target; raises `PermanentError` where the front has none of that name."""
        if name not in self._targets:
            known = ", ".join(self._targets) or "none"
            raise PermanentError(f"This front has no target {name[:80]!r}; it has: {known}.")
        return self._targets[name]

    def overview(self) -> dict[str, Any]:
        """Everything there is to see, for people and for a client that reattaches."""
        layout = self._state.layout()
        return {
            "layout": None if layout is None else layout.fingerprint,
            "host": None if layout is None else layout.front.host,
            "port": self._state.port,
            "targets": {name: self._seen(target) for name, target in self._targets.items()},
            "deployments": [entry.model_dump(mode="json") for entry in self._state.deployments[-20:]],
        }

    def metrics(self) -> dict[str, Any]:
        """Counts per target, since the supervisor began."""
        return {
            "unserved": self.front.unserved,
            "targets": {
                name: {
                    **target.counts.as_json(),
                    "units": len(target.places),
                    "serving": len(target.serving),
                }
                for name, target in self._targets.items()
            },
        }

    async def prune(self, keep: Sequence[str]) -> list[str]:
        """Remove artifacts nobody runs, deploys or asked to keep."""
        running = {
            version.digest
            for target in self._targets.values()
            for version in (*target.versions, *(keeper.version for keeper in target.aside))
            if version is not None
        }
        rolling = {entry.order.wanted.digest for entry in self._state.deployments if not entry.outcome.is_final}
        before = self._clock().timestamp() - _UNFINISHED_AFTER
        wanted = running | rolling | set(keep)
        return await asyncio.to_thread(self._store.prune, wanted, unfinished_before=before)

    async def _written(self, known: Deployment) -> Deployment:
        """The same, once it is surely on the disk: whoever asked first may still be writing it."""
        await self._save()
        if known not in self._state.deployments:
            raise TransientError("This deployment could not be recorded just now; nothing was begun.")
        return known

    def _known(self, order: Order) -> Deployment | None:
        known = self.find(order.key)
        if known is not None and known.order != order:
            raise PermanentError("This key belongs to another deployment; a new deployment needs a key of its own.")
        return known

    def _check(self, order: Order) -> None:
        self.target(order.target)
        if (other := self._in_flight(order.target)) is not None:
            raise TransientError(f"Deployment {other.id} of {order.target} is in flight; cancel it, or wait.")

    def _in_flight(self, target: str) -> Deployment | None:
        for entry in self._state.deployments:
            if entry.order.target == target and not entry.outcome.is_final:
                return entry
        return None

    def _roll(self, deployment: Deployment) -> None:
        def over(task: asyncio.Task[None]) -> None:
            self._rollouts.pop(deployment.id, None)
            if not task.cancelled() and (error := task.exception()) is not None:
                # A fault of our own must not leave a deployment in flight for ever.
                _log.error("deployment %s broke", deployment.id, exc_info=error)
                deployment.outcome, deployment.ended_at = Outcome.FAILED, self._clock()
                deployment.message = f"The supervisor met a fault of its own ({type(error).__name__}); see its log."
                self.host.changes.notify()

        task = self._rollouts[deployment.id] = asyncio.create_task(self._run(deployment))
        task.add_done_callback(over)

    async def _run(self, deployment: Deployment) -> None:
        target = self._targets.get(deployment.order.target)
        if target is None:
            outcome, message = Outcome.FAILED, "The target is no more."
        else:
            rollout = Rollout(
                target,
                deployment,
                changes=self.host.changes,
                timing=self.host.timing,
                save=self._save_if_possible,
            )
            outcome, message = await rollout.run()
        ended = deployment.model_copy(update={"outcome": outcome, "message": message, "ended_at": self._clock()})
        # On the disk before anybody sees it: what was final once is not in flight again after a crash.
        await self._save_if_possible(ended)
        deployment.outcome, deployment.message, deployment.ended_at = outcome, message, ended.ended_at
        _log.info("deployment %s of %s: %s %s", deployment.id, deployment.order.target, outcome, message)
        self.host.changes.notify()

    def _later(self, leaving: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(leaving)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _seen(self, target: Target) -> dict[str, Any]:
        def version(of: Version | None) -> dict[str, str] | None:
            return None if of is None else of.model_dump()

        return {
            "share": target.settings.share,
            "usual": version(target.usual),
            "is_mixed": target.is_mixed,
            "units": [
                {
                    "runs": None if keeper is None else version(keeper.version),
                    "is_serving": keeper is not None and keeper.is_serving,
                    "pid": None if keeper is None or keeper.unit is None else keeper.unit.pid,
                    "port": None if keeper is None or keeper.unit is None else keeper.unit.port,
                    "in_flight": 0 if keeper is None or keeper.unit is None else keeper.unit.in_flight,
                    "trouble": "" if keeper is None or keeper.is_serving else keeper.trouble,
                }
                for keeper in target.places
            ],
        }

    async def _save(self, ended: Deployment | None = None) -> None:
        """Write the state as it is now, with `ended` as it is about to be; raises `TransientError` for a full disk."""
        async with self._writing:
            self._state.targets = {name: target.as_state() for name, target in self._targets.items()}
            deployments = [ended if ended and ended.id == entry.id else entry for entry in self._state.deployments]
            text = self._state.model_copy(update={"deployments": deployments}).as_bytes()
            try:
                await asyncio.to_thread(self._state.write, self._path, text)
            except OSError as error:
                raise TransientError(f"The state cannot be written to {self._path}: {error.strerror}.") from error

    async def _save_if_possible(self, ended: Deployment | None = None) -> None:
        try:
            await self._save(ended)
        except TransientError as error:
            # What is on the disk is older and leads to the same end: what was in flight is gone on with.
            _log.error("%s", error.message)
