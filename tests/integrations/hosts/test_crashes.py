"""Lost connections, silent hosts, and a bot that is killed at every point: one deployment, carried on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from core.errors import TransientError
from core.ports import DeploymentRef, Outcome
from integrations.contract import PATIENCE
from tests.integrations.hosts.world import STARTS, World

COUNTED = f'echo "$ANDON_HOST" >>"$ANDON_ROOT/../starts"\n{STARTS}'


def started(world: World) -> Counter[str]:
    path = world.tmp_path / "starts"
    return Counter(path.read_text().split() if path.exists() else ())


def gated(world: World) -> tuple[Path, Path]:
    """An artifact whose start waits for a gate, and the gate."""
    gate = world.tmp_path / "gate"
    return world.artifact("waits", f"until [ -e {gate} ]; do sleep 0.02; done\n{COUNTED}"), gate


async def until_unknown(world: World, ref: DeploymentRef) -> str:
    """What is said when nothing can go on without the hosts that are silent."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                status = await world.deployer.status(ref)
            except TransientError as error:
                return str(error)
            assert status.outcome is Outcome.RUNNING
            await asyncio.sleep(0.02)  # the hosts are processes of their own


async def test_a_job_outlives_the_connection(world: World):
    source, gate = gated(world)
    ref = await world.deployer.start(world.request("1", source))
    await world.until(ref, lambda status: "web-1 starts" in status.message)
    for server in world.servers.by_name.values():
        server.cut()
    status = await world.until(ref, lambda status: True)
    assert (status.outcome, "web-1 starts" in status.message) == (Outcome.RUNNING, True)
    gate.touch()
    assert (await world.over(ref)).outcome is Outcome.SUCCEEDED
    assert started(world) == {"web-1": 1, "web-2": 1, "web-3": 1}


async def test_a_silent_host_stops_the_roll_out_until_it_answers(world: World):
    source, gate = gated(world)
    ref = await world.deployer.start(world.request("1", source))
    await world.until(ref, lambda status: "web-1 starts" in status.message)
    world.servers["web-3"].go_away()
    try:
        status = await world.until(ref, lambda status: "web-3 does not answer" in status.message)
        assert status.outcome is Outcome.RUNNING, "web-1 goes on"
        gate.touch()
        told = await until_unknown(world, ref)
        assert told.startswith("1 of 3 hosts runs 1. web-3 cannot be reached")
        with pytest.raises(TransientError):
            await world.deployer.status(ref)
        assert started(world) == {"web-1": 1}, "no other begins"
        with pytest.raises(TransientError, match="web-3"):
            await world.deployer.running_version("all")
        assert await world.deployer.find(ref.key) == ref
    finally:
        world.servers["web-3"].come_back()
    assert (await world.over(ref)).outcome is Outcome.SUCCEEDED


async def test_nothing_begins_while_a_host_is_silent_but_a_rollback_does(world: World):
    first = world.artifact("first")
    await world.deploy("1", first)
    await world.deploy("2", world.artifact("second"))
    world.servers["web-1"].go_away()
    try:
        forward = world.request("3", world.artifact("third"))
        with pytest.raises(TransientError, match="web-1 cannot be reached"):
            await world.deployer.start(forward)
        assert await world.deployer.find(forward.key) is None, "most hosts say that they know of none"
        back = world.request("1", first, is_rollback=True)
        ref = await world.deployer.start(back)
        told = await until_unknown(world, ref)
        assert told.startswith("2 of 3 hosts run 1. web-1 cannot be reached")
        runs = {name: (world.root(name) / "runs").read_text().strip() for name in world.servers.by_name}
        assert (runs["web-2"], runs["web-3"]) == (back.digest, back.digest)
        assert runs["web-1"] != back.digest
    finally:
        world.servers["web-1"].come_back()
    assert (await world.over(ref)).outcome is Outcome.SUCCEEDED
    assert (await world.deployer.running_version("all")).digest == back.digest


async def test_none_is_said_only_if_most_hosts_answer(world: World):
    for name in ("web-1", "web-2"):
        world.servers[name].go_away()
    try:
        with pytest.raises(TransientError, match="cannot be reached"):
            await world.deployer.find("never-used")
    finally:
        for name in ("web-1", "web-2"):
            world.servers[name].come_back()


async def test_a_cancel_reaches_a_silent_host_when_it_is_back(world: World):
    source, _ = gated(world)
    ref = await world.deployer.start(world.request("1", source))
    await world.until(ref, lambda status: "web-1 starts" in status.message)
    world.servers["web-1"].go_away()
    try:
        with pytest.raises(TransientError, match="web-1"):
            await world.deployer.cancel(ref)
        with pytest.raises(TransientError):
            await world.deployer.status(ref)
    finally:
        world.servers["web-1"].come_back()
    status = await world.over(ref)
    assert (status.outcome, started(world)) == (Outcome.CANCELLED, Counter())


class Crashed(BaseException):
    """Andon ends here."""


async def test_andon_may_end_after_any_answer(world: World):
    """A new client knows nothing but the key and what was asked for; it ends as well, one answer further."""
    request = world.request("1", world.artifact("counted", COUNTED))
    points: set[tuple[str, str]] = set()

    def crash(host: str, verb: str) -> None:
        if verb in ("prepare", "upload", "bring", "begin") and (host, verb) not in points:
            points.add((host, verb))
            raise Crashed

    for _ in range(20):
        deployer = world.another_deployer(traced=crash)
        try:
            ref = await deployer.find(request.key) or await deployer.start(request)
            status = await world.over(ref, deployer)
        except Crashed:
            await deployer.close()
            continue
        break
    else:
        raise AssertionError(f"it is never over: {points}")
    assert status.outcome is Outcome.SUCCEEDED
    assert started(world) == {"web-1": 1, "web-2": 1, "web-3": 1}
    assert len(points) == 4 * 3, "it ended after each of them, on every host"


def test_a_bot_that_is_killed_again_and_again_ends_with_one_deployment(world: World):
    source = world.artifact("counted", COUNTED)
    request = world.request("1", source)
    ends = []
    for _ in range(20):
        done = subprocess.run(
            (sys.executable, "-m", "tests.integrations.hosts.victim", "4"),
            input=world.as_text(request),
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[3],
            env={**os.environ, **world.servers.environ},
        )
        ends.append(done.returncode)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        if done.returncode == 0:
            assert done.stdout.strip() == "succeeded"
            break
    assert ends[-1] == 0
    assert len(ends) >= 3, "it was killed on the way"
    assert started(world) == {"web-1": 1, "web-2": 1, "web-3": 1}
