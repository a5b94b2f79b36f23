"""Whoever deploys is killed at any of its questions, before or after it was carried out: there is one deployment."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from core.ports import Outcome
from integrations.contract import over
from tests.integrations.kubernetes.api import Api, Fault
from tests.integrations.kubernetes.rig import Shop, digest, order, workload
from tests.integrations.kubernetes.world import World

ROOT = Path(__file__).resolve().parents[3]


class Nursery:
    """Clients of one stand-in, in processes of their own."""

    def __init__(self, api: Api, process: asyncio.subprocess.Process) -> None:
        self.api, self._process = api, process

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, api: Api, settings: object) -> AsyncIterator[Nursery]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.integrations.kubernetes.nursery", json.dumps(settings)),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            yield cls(api, process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()

    async def lives(
        self, key: str, version: str, *, is_cancelled: bool, at: int = 0, is_carried_out: bool = False
    ) -> int:
        """A client does all of a deployment, but is killed at its question number `at`; how it ended."""
        child = int(await self._said(json.dumps([key, version, is_cancelled])))
        asked = 0

        def watch(verb: str, resource: str) -> None:
            nonlocal asked
            asked += 1
            if asked == at:
                os.kill(child, signal.SIGKILL)
                self.api.faults.append(Fault(verb, resource, is_carried_out=is_carried_out))

        self.api.before = watch
        ended = int(await self._said("go"))
        self.api.before = lambda _verb, _resource: None
        return ended

    async def _said(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n".encode())
        async with asyncio.timeout(30):
            return (await self._process.stdout.readline()).decode()


def anew(api: Api, path: Path) -> Shop:
    """Another world behind the same address."""
    api.world = World()
    api.asked.clear()
    api.patched.clear()
    return Shop(api, path, workload(replicas=1))


def moments(asked: list[tuple[str, str]]) -> list[tuple[int, bool]]:
    """At which questions to be killed, and whether they are still carried out: at each patch, before and after it; and
    at every seventh of the others, because the cluster's state differs between them, not what they ask."""
    found = []
    for at, (verb, _) in enumerate(asked, 1):
        if verb == "patch":
            found += [(at, False), (at, True)]
        elif at == 1 or at % 7 == 0:
            found.append((at, False))
    return found


async def test_killed_at_any_question_it_is_one_deployment(api: Api, tmp_path: Path) -> None:
    shop = anew(api, tmp_path)
    async with Nursery.running(api, shop.settings()) as nursery:
        assert await nursery.lives("k-1", "1", is_cancelled=False) == 0
        for at, is_carried_out in moments(list(api.asked)):
            shop, moment = anew(api, tmp_path), (at, is_carried_out)
            ended = await nursery.lives("k-1", "1", is_cancelled=False, at=at, is_carried_out=is_carried_out)
            assert ended == -signal.SIGKILL, moment
            after = shop.connect()
            found = await after.find("k-1")
            ref = await after.start(order("k-1"))
            assert found in (None, ref), moment
            assert (found is None) is (at < 2 or moment == (2, False)), moment
            status = await over(shop, after, ref)
            assert status.outcome is Outcome.SUCCEEDED, (moment, status)
            assert (await after.running_version("checkout")).digest == digest("1")
            assert shop.live["metadata"]["generation"] == 2, f"one change of the object, killed at {moment}"
            api.faults.clear()


async def test_killed_while_it_cancels_it_is_cancelled_once(api: Api, tmp_path: Path) -> None:
    shop = anew(api, tmp_path)
    async with Nursery.running(api, shop.settings()) as nursery:
        assert await nursery.lives("k-1", "1", is_cancelled=False) == 0
        api.asked.clear()
        assert await nursery.lives("k-2", "slow", is_cancelled=True) == 0
        for at, is_carried_out in moments(list(api.asked)):
            if at < 3:
                continue
            before, key = shop.template(), f"k-2-{at}-{is_carried_out}"
            generation = shop.live["metadata"]["generation"]
            ended = await nursery.lives(key, "slow", is_cancelled=True, at=at, is_carried_out=is_carried_out)
            assert ended == -signal.SIGKILL, at
            after = shop.connect()
            ref = await after.find(key)
            assert ref is not None
            await after.cancel(ref)
            assert (await over(shop, after, ref)).outcome is Outcome.CANCELLED, at
            assert (shop.template(), shop.live["metadata"]["generation"]) == (before, generation + 2), at
            shop.world.step(5)
            api.faults.clear()
