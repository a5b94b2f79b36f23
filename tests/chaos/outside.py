"""The world outside as a process: what is deployed where, kept by key, behind an HTTP that misbehaves.

`python -m tests.chaos.outside SEED` prints its address and serves until SIGTERM. It outlives every replica, so that
what was begun twice is seen from outside. `RemoteDeployer` is the replicas' client of it; it remembers nothing.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import aiohttp
from aiohttp import web

from core.errors import ArtifactMissing, PermanentError, TransientError
from core.ports import DeploymentRef, DeploymentRequest, DeploymentStatus, Outcome, RunningVersion
from integrations.scripted import Act, Fault, OutsideWorld

PATIENCE = 2.0
"""Seconds after which a replica takes the deployer's silence for a time-out."""


class Moods:
    """How each deployment goes, drawn by its key, so that a repeat meets the same; a calm world only succeeds."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self.is_calm = False
        self.counted: Counter[str] = Counter()

    def __call__(self, request: DeploymentRequest) -> Act:
        if self.is_calm:
            return Act(polls=1)
        dice = random.Random(f"{self._seed}/{request.key}")
        polls, drawn = dice.randrange(3), dice.random()
        for share, name, act in (
            (0.06, "failed", Act(outcome=Outcome.FAILED, polls=polls, message="the disk is full")),
            (0.03, "left mixed", Act(outcome=Outcome.FAILED, polls=polls, faults=frozenset({Fault.LEAVES_MIXED}))),
            (0.03, "wrong version", Act(polls=polls, faults=frozenset({Fault.WRONG_VERSION}))),
            (0.08, "timed out before", Act(polls=polls, faults=frozenset({Fault.TIMEOUT_BEFORE}), times=2)),
            (0.08, "timed out after", Act(polls=polls, faults=frozenset({Fault.TIMEOUT_AFTER}))),
            (0.02, "artifact missing", Act(faults=frozenset({Fault.ARTIFACT_MISSING}))),
            (0.02, "refused", Act(faults=frozenset({Fault.REFUSED}))),
            (0.03, "cancel ignored", Act(polls=polls + 2, faults=frozenset({Fault.CANCEL_IGNORED}))),
        ):
            if drawn < share:
                self.counted[name] += 1
                return act
            drawn -= share
        return Act(polls=polls)


class Outside:
    """The server. `begun` counts deployments by key, `repeated` starts of one that was there already."""

    def __init__(self, seed: str) -> None:
        self.moods = Moods(seed)
        self.world = OutsideWorld(self.moods)
        self.begun: Counter[str] = Counter()
        self.repeated: Counter[str] = Counter()
        self._dice = random.Random(f"{seed}/wire")

    def application(self) -> web.Application:
        """All routes."""
        app = web.Application()
        app.add_routes(
            [
                web.post("/start", self._start), web.post("/find", self._find), web.post("/status", self._status),
                web.post("/cancel", self._cancel), web.post("/running", self._running),
                web.post("/calm", self._calm), web.get("/report", self._report),
            ]
        )  # fmt: skip
        return app

    async def _start(self, request: web.Request) -> web.Response:
        given = await request.json()
        wanted = DeploymentRequest(**{**given, "timeout": timedelta(seconds=given["timeout"])})

        def begin() -> dict[str, Any]:
            was_there = self.world.outcome(wanted.key) is not None
            try:
                self.world.begin(wanted)
            finally:
                is_there = self.world.outcome(wanted.key) is not None
                self.repeated[wanted.key] += was_there
                self.begun[wanted.key] += is_there and not was_there
            return {"ref": f"outside:{wanted.key}"}

        return await self._answered(request, begin)

    async def _find(self, request: web.Request) -> web.Response:
        key = (await request.json())["key"]
        return await self._answered(request, lambda: {"found": self.world.has(key)})

    async def _status(self, request: web.Request) -> web.Response:
        key = (await request.json())["key"]
        return await self._answered(request, lambda: asdict(self.world.poll(key)))

    async def _cancel(self, request: web.Request) -> web.Response:
        key = (await request.json())["key"]

        def cancel() -> dict[str, Any]:
            self.world.cancel(key)
            return {}

        return await self._answered(request, cancel)

    async def _running(self, request: web.Request) -> web.Response:
        target = (await request.json())["target"]
        return await self._answered(request, lambda: asdict(self.world.seen(target)))

    async def _calm(self, _request: web.Request) -> web.Response:
        self.moods.is_calm = True
        return web.json_response({})

    async def _report(self, _request: web.Request) -> web.Response:
        begun = dict(self.begun)
        return web.json_response(
            {
                "begun": begun,
                "repeated": {key: times for key, times in self.repeated.items() if times},
                "overlaps": self.world.overlaps,
                "alive": [key for key in begun if not (self.world.outcome(key) or Outcome.FAILED).is_final],
                "faults": dict(self.moods.counted),
                "running": {target: asdict(seen) for target, seen in self.world.running.items()},
            }
        )

    async def _answered(self, request: web.Request, act: Any) -> web.Response:
        """Do it, and answer; now and then too late, with an error, or not at all."""
        drawn = 1.0 if self.moods.is_calm else self._dice.random()
        if drawn < 0.02:
            self.moods.counted["error 500"] += 1
            return web.Response(status=500)
        try:
            answer = act()
        except ArtifactMissing as error:
            return web.json_response({"refused": error.message, "missing": True}, status=409)
        except PermanentError as error:
            return web.json_response({"refused": error.message}, status=409)
        except TransientError:
            return web.Response(status=504)
        if drawn < 0.04:
            self.moods.counted["answer lost"] += 1
            assert request.transport is not None
            request.transport.abort()
        elif drawn < 0.06:
            self.moods.counted["slow"] += 1
            await asyncio.sleep(PATIENCE * 1.5)
        return web.json_response(answer)


class RemoteDeployer:
    """A `Deployer` in that world; `looks` is False for one that forgets to look first, a mistake to be caught."""

    def __init__(self, url: str, *, looks: bool = True) -> None:
        self._url = url
        self._looks = looks

    async def start(self, request: DeploymentRequest) -> DeploymentRef:
        """Begin, or return the deployment that has this key."""
        sent = {**asdict(request), "timeout": request.timeout.total_seconds()}
        if not self._looks:
            # What a deployer without keys would make of a repeat: another deployment.
            sent["key"] = f"{request.key}#{random.randrange(1_000_000)}"
        return DeploymentRef(request.key, str((await self._ask("start", sent))["ref"]))

    async def find(self, key: str) -> DeploymentRef | None:
        """The deployment begun under this key."""
        if not self._looks:
            return None
        return DeploymentRef(key, f"outside:{key}") if (await self._ask("find", {"key": key}))["found"] else None

    async def status(self, ref: DeploymentRef) -> DeploymentStatus:
        """How it stands, one poll later."""
        told = await self._ask("status", {"key": _key(ref)})
        return DeploymentStatus(**{**told, "outcome": Outcome(told["outcome"])})

    async def cancel(self, ref: DeploymentRef) -> None:
        """Ask it to stop."""
        await self._ask("cancel", {"key": _key(ref)})

    async def running_version(self, target: str) -> RunningVersion:
        """What runs there."""
        return RunningVersion(**await self._ask("running", {"target": target}))

    async def _ask(self, verb: str, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE)) as session,
                session.post(f"{self._url}/{verb}", json=body) as answer,
            ):
                if answer.status >= 500:
                    raise TransientError("The deployer did not answer in time.")
                said: dict[str, Any] = await answer.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise TransientError("The deployer cannot be reached.") from error
        if "refused" in said:
            raise ArtifactMissing(said["refused"]) if said.get("missing") else PermanentError(said["refused"])
        return said


def _key(ref: DeploymentRef) -> str:
    return ref.value.removeprefix("outside:") or ref.key


async def _serve(seed: str) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    runner = web.AppRunner(Outside(seed).application(), access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(json.dumps({"url": f"http://127.0.0.1:{runner.addresses[0][1]}"}), flush=True)
        await ended.wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
