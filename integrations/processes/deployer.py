"""The deployer `processes`: a client of the supervisor, which it starts where none runs."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import ValidationError

from core.errors import PermanentError, TransientError
from core.ports import DeploymentRef, DeploymentRequest, DeploymentStatus, Outcome, RunningVersion
from integrations.processes import socket_path
from integrations.processes.artifacts import ArtifactStore
from integrations.processes.config import (
    SUPERVISOR_RUNS_ALREADY,
    Front,
    Layout,
    ProcessesConfig,
    ProcessesTarget,
    Timing,
)
from integrations.processes.manifest import sentence
from integrations.processes.state import Order, Version

__all__ = ["Front", "ProcessesConfig", "ProcessesDeployer", "ProcessesTarget", "Timing"]

_NAMES = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "USER",
    "LOGNAME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
"""What the supervisor gets of the environment: the bot's own secrets are not among it."""

_HOME = Path(__file__).resolve().parents[2]


class ProcessesDeployer:
    """All targets of one front of this host. Close it with `close` (units go on) or `stop` (nothing is left)."""

    def __init__(
        self, config: ProcessesConfig, targets: Mapping[str, ProcessesTarget], *, timeout: float = 20.0
    ) -> None:
        """`timeout`, in seconds, is for each question to the supervisor."""
        try:
            self._layout = Layout(front=config.front, targets=targets, timing=config.timing)
        except ValidationError as error:
            raise PermanentError(f"Front {config.front.name}: {sentence(error)}.") from error
        self._root = config.root.absolute()
        self._name = config.front.name
        self._store = ArtifactStore(self._root)
        self._timeout = timeout
        self._starting = asyncio.Lock()
        self._adding = asyncio.Lock()
        self._is_configured = False
        self._postponed: TransientError | None = None
        """Why the layout is not yet what this configuration says."""
        self._port = 0

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]) -> ProcessesDeployer:
        """Build it from a definition's `with:`; raises PermanentError naming what is wrong."""
        try:
            return cls(
                ProcessesConfig.model_validate(settings),
                {name: ProcessesTarget.model_validate(given) for name, given in targets.items()},
            )
        except ValidationError as error:
            raise PermanentError(f"The deployer processes cannot use its settings: {sentence(error)}.") from error

    async def ensure_running(self) -> None:
        """Reattach to the supervisor, or start it, and give it the layout of this configuration."""
        async with self._starting:
            overview = await self._reached()
            self._port = int(overview["port"])
            self._is_configured = overview["layout"] == self._layout.fingerprint
            if self._is_configured:
                return
            try:
                overview = await self._ask("POST", "/configure", self._layout.model_dump(mode="json"))
            except TransientError as error:
                if overview["layout"] is None:
                    raise
                # A deployment holds it up; until it is over it can still be looked at and cancelled.
                self._postponed = error
                return
            self._port = int(overview["port"])
            self._is_configured = True

    async def url(self) -> str:
        """Where the front listens."""
        await self.ensure_running()
        return f"http://{self._layout.front.host}:{self._port}/"

    async def start(self, request: DeploymentRequest) -> DeploymentRef:
        """Begin, or return the deployment that has this key; the artifact is added first and must have the digest."""
        try:
            order = Order(
                key=request.key,
                target=request.target,
                wanted=Version(digest=request.digest, version=request.version),
                batch_percent=request.batch_percent,
                healthy_percent=request.healthy_percent,
                timeout=request.timeout.total_seconds(),
                is_rollback=request.is_rollback,
            )
        except ValidationError as error:
            raise PermanentError(f"This cannot be deployed: {sentence(error)}.") from error
        known = await self.find(request.key)
        if not self._is_configured and self._postponed is not None:
            raise self._postponed
        if known is not None:
            # Also where the artifact it came from is gone since; a different order is refused by the supervisor.
            await self._call("POST", "/deployments", order.model_dump(mode="json"))
            return known
        async with self._adding:
            digest = request.artifact
            if not digest.startswith("sha256:"):
                digest = await asyncio.to_thread(self._store.add, Path(request.artifact))
            if digest != request.digest:
                raise PermanentError(
                    f"The artifact is {digest[:19]}…, not {request.digest[:19]}… as announced: "
                    "what was tested is not what would be deployed."
                )
            return self._ref(await self._call("POST", "/deployments", order.model_dump(mode="json")))

    async def find(self, key: str) -> DeploymentRef | None:
        """The deployment begun under this key; the last 1,000 that are over are remembered, and all in flight."""
        found = await self._call("GET", "/deployments", query={"key": key}, may_miss=True)
        return None if found is None else self._ref(found)

    async def status(self, ref: DeploymentRef) -> DeploymentStatus:
        """How it stands."""
        return _standing(await self._call("GET", f"/deployments/{_path(ref)}"))

    async def wait(self, ref: DeploymentRef, seconds: float) -> DeploymentStatus:
        """How it stands when it is over, or after so many seconds (60 at most)."""
        return _standing(
            await self._call("GET", f"/deployments/{_path(ref)}", query={"wait": str(seconds)}, extra=seconds)
        )

    async def cancel(self, ref: DeploymentRef) -> None:
        """Ask it to stop where it is; units it replaced stay replaced."""
        await self._call("POST", f"/deployments/{_path(ref)}/cancel")

    async def running_version(self, target: str) -> RunningVersion:
        """What most units of the target run, and whether they differ."""
        seen = await self._call("GET", "/running", query={"target": target})
        return RunningVersion(seen["digest"], seen["version"], seen["is_mixed"])

    async def metrics(self) -> dict[str, Any]:
        """Requests, errors, latency and restarts per target, since the supervisor began."""
        found: dict[str, Any] = await self._call("GET", "/metrics.json")
        return found

    async def overview(self) -> dict[str, Any]:
        """Targets, units and the last deployments."""
        found: dict[str, Any] = await self._call("GET", "/overview")
        return found

    async def add(self, source: Path) -> str:
        """Keep an artifact on this host and return its digest."""
        async with self._adding:
            return await asyncio.to_thread(self._store.add, source)

    async def prune(self, keep: Sequence[str]) -> list[str]:
        """Remove artifacts that are not in `keep` and that nothing runs; the digests removed."""
        async with self._adding:
            removed: list[str] = (await self._call("POST", "/prune", {"keep": list(keep)}))["removed"]
            return removed

    async def stop(self, seconds: float = 60.0) -> None:
        """Drain and stop every unit, then the supervisor; returns when it is gone. What was deployed is remembered."""
        self._is_configured = False
        with contextlib.suppress(_NotRunningError):
            await self._ask("POST", "/stop")
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while self._is_locked():
            if loop.time() > until:
                raise TransientError(f"The supervisor of {self._name} still stops after {seconds:g} s.")
            await asyncio.sleep(0.02)

    async def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        extra: float = 0.0,
        may_miss: bool = False,
    ) -> Any:
        if not self._is_configured:
            await self.ensure_running()
        try:
            return await self._ask(method, path, body, query=query, extra=extra, may_miss=may_miss)
        except _NotRunningError:
            # It ended since; nothing was sent, so the question may be put again to another.
            await self.ensure_running()
            return await self._ask(method, path, body, query=query, extra=extra, may_miss=may_miss)

    async def _ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        extra: float = 0.0,
        may_miss: bool = False,
    ) -> Any:
        """One question on a connection of its own, so that "never sent" and "no answer" cannot be confused."""
        try:
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.UnixConnector(str(socket_path.for_clients(self._root, self._name))),
                    timeout=aiohttp.ClientTimeout(total=self._timeout + extra),
                ) as session,
                session.request(method, f"http://supervisor{path}", json=body, params=query) as answer,
            ):
                found = await answer.json()
        except (aiohttp.ClientConnectorError, FileNotFoundError) as error:
            raise _NotRunningError from error
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise TransientError(f"The supervisor of {self._name} did not answer ({type(error).__name__}).") from error
        if answer.status == 404 and may_miss:
            return None
        if answer.status in (423, 503):
            raise TransientError(str(found["error"]))
        if answer.status >= 500:
            raise TransientError(f"The supervisor of {self._name} met a fault of its own; see its log.")
        if answer.status >= 400:
            raise PermanentError(str(found["error"]))
        return found

    async def _reached(self) -> Any:
        """The overview of the supervisor that runs, or of one that is started."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._timeout
        while True:
            try:
                return await self._ask("GET", "/overview")
            except _NotRunningError:
                await self._start_supervisor()
            if loop.time() > until:
                raise TransientError(f"The supervisor of {self._name} holds its lock and does not answer.")
            await asyncio.sleep(0.02)

    async def _start_supervisor(self) -> None:
        """Start it, unless another holds the lock: that one begins to answer soon, or is about to end."""
        command = ("-P", "-m", "integrations.processes.supervisor", "--root", str(self._root), "--name", self._name)
        environment = {name: os.environ[name] for name in _NAMES if name in os.environ}
        environment["PYTHONPATH"] = str(_HOME)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            "--detach",
            env=environment,
            cwd="/",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        ended = asyncio.ensure_future(process.communicate())
        try:
            async with asyncio.timeout(self._timeout):
                _, words = await asyncio.shield(ended)
        except asyncio.CancelledError:
            # The launcher goes on without us: wait for it, so that whoever stops everything next finds a supervisor.
            await asyncio.wait((ended,), timeout=self._timeout)
            raise
        except TimeoutError as error:
            ended.cancel()
            process.kill()
            await process.wait()
            raise TransientError(f"The supervisor of {self._name} did not begin within {self._timeout:g} s.") from error
        if process.returncode not in (0, SUPERVISOR_RUNS_ALREADY):
            reason = words.decode("utf-8", "replace").strip()[-1000:]
            raise PermanentError(f"The supervisor of {self._name} could not begin: {reason}")

    def _is_locked(self) -> bool:
        try:
            with (self._root / f"{self._name}.lock").open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False

    def _ref(self, found: Mapping[str, Any]) -> DeploymentRef:
        url = f"http://{self._layout.front.host}:{self._port}/"
        return DeploymentRef(key=found["order"]["key"], value=found["id"], url=url)


class _NotRunningError(TransientError):
    """No supervisor answers; nothing was sent."""


def _path(ref: DeploymentRef) -> str:
    if not ref.value.replace("-", "").replace(".", "").replace("_", "").isalnum():
        raise PermanentError("This is not a reference of the deployer `processes`.")
    return ref.value


def _standing(found: Mapping[str, Any]) -> DeploymentStatus:
    return DeploymentStatus(Outcome(found["outcome"]), found["message"], found["done_units"], found["all_units"])
