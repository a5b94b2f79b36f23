"""Scripted deployers of the benchmark: whoever asks gets what the script says, at once, whichever process it asks from.

`KeptInFiles` succeeds at the first look and keeps what runs in a folder, so that several replicas have one world
outside. `ToldOverHttp` posts each start to an address, and is done a little later.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import aiohttp

from core.errors import TransientError
from core.ports import DeploymentRef, DeploymentRequest, DeploymentStatus, Outcome, RunningVersion

CALLS_AT_ONCE: Final = 64
TAKES_SECONDS: Final = 2.0


class KeptInFiles:
    """A `Deployer` whose every deployment succeeds. One file for each target: what it runs, and by which deployment."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def start(self, request: DeploymentRequest) -> DeploymentRef:
        """Begin; it is done as soon as somebody looks."""
        self._write(self._keyed(request.key), request.target)
        self._write(self._folder / request.target, json.dumps([request.digest, request.version]))
        return DeploymentRef(request.key, request.target)

    async def find(self, key: str) -> DeploymentRef | None:
        """The deployment begun under this key."""
        place = self._keyed(key)
        return DeploymentRef(key, place.read_text()) if place.exists() else None

    async def status(self, _ref: DeploymentRef) -> DeploymentStatus:
        """Done."""
        return DeploymentStatus(Outcome.SUCCEEDED, done_units=1, all_units=1)

    async def cancel(self, _ref: DeploymentRef) -> None:
        """It is over already."""

    async def running_version(self, target: str) -> RunningVersion:
        """What was put there last."""
        place = self._folder / target
        return RunningVersion(*json.loads(place.read_text())) if place.exists() else RunningVersion(None)

    def _keyed(self, key: str) -> Path:
        return self._folder / f"key-{key.replace('/', '-')}"

    @staticmethod
    def _write(place: Path, text: str) -> None:
        draft = place.with_suffix(".draft")
        draft.write_text(text)
        draft.rename(place)


class ToldOverHttp:
    """A `Deployer` that calls out: each start is one POST of target and version, and is done two seconds later."""

    def __init__(self, url: str, runs: Callable[[str], RunningVersion]) -> None:
        """`runs`: what runs on a target at the beginning."""
        self._url = url
        self._at_first = runs
        self._runs: dict[str, RunningVersion] = {}
        self._wanted: dict[str, tuple[str, RunningVersion]] = {}
        self._session: aiohttp.ClientSession | None = None

    async def start(self, request: DeploymentRequest) -> DeploymentRef:
        """Call out."""
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CALLS_AT_ONCE))
        body = {"target": request.target, "version": request.version, "is_rollback": request.is_rollback}
        async with self._session.post(self._url, json=body) as response:
            if response.status != 200:
                raise TransientError(f"The deployer answered {response.status}.")
        self._wanted[request.key] = (request.target, RunningVersion(request.digest, request.version))
        return DeploymentRef(request.key, request.target)

    async def find(self, key: str) -> DeploymentRef | None:
        """The deployment begun under this key."""
        return DeploymentRef(key, self._wanted[key][0]) if key in self._wanted else None

    async def status(self, ref: DeploymentRef) -> DeploymentStatus:
        """Done."""
        target, version = self._wanted[ref.key]
        self._runs[target] = version
        return DeploymentStatus(Outcome.SUCCEEDED, done_units=1, all_units=1)

    async def wait(self, ref: DeploymentRef, seconds: float) -> DeploymentStatus:
        """How it stands when it is over."""
        await asyncio.sleep(min(seconds, TAKES_SECONDS))
        return await self.status(ref)

    async def cancel(self, _ref: DeploymentRef) -> None:
        """Not while it is measured."""

    async def running_version(self, target: str) -> RunningVersion:
        """What was put there last."""
        return self._runs.get(target) or self._at_first(target)
