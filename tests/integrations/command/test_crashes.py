"""Whoever is killed, there is one run for a key, and what nobody can know is said to be unknown."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import TransientError
from core.ports import DeploymentRef, DeploymentStatus, Outcome
from integrations.command import runner
from tests.integrations.command.world import World

ROOT = Path(__file__).parents[3]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def until(found: Callable[[], Any]) -> Any:
    """Wait for other processes."""
    async with asyncio.timeout(30):
        while not (value := found()):  # noqa: ASYNC110 - other processes do it
            await asyncio.sleep(0.01)
    return value


async def ended(world: World, ref: DeploymentRef) -> DeploymentStatus:
    deployer = world.connect()
    async with asyncio.timeout(30):
        while not (status := await deployer.wait(ref, 1)).outcome.is_final:
            pass
    return status


async def over(world: World) -> tuple[DeploymentRef, Path]:
    """A run that has ended, and whose runner is gone as well; and its directory."""
    ref = await world.connect().start(world.request("k-1"))
    await ended(world, ref)
    pid = begun(world, ref, "started.json")["pid"]
    await until(lambda: not runner.ticks(pid))
    return ref, world.path / "state" / "runs" / ref.value


def begun(world: World, ref: DeploymentRef, file: str) -> dict[str, Any]:
    path = world.path / "state" / "runs" / ref.value / file
    return dict(json.loads(path.read_text())) if path.exists() else {}


def kill_a_client(world: World, digest: str, *verbs: str) -> None:
    """A whole process does so much, and is killed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.integrations.command.victim", str(world.path), "k-1", digest, *verbs],
        cwd=ROOT,
        env={**os.environ, "DEPLOY_TOKEN": "open-sesame"},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("digest", "verbs", "outcome"),
    [
        ("sha256:held", ["start"], Outcome.SUCCEEDED),
        ("sha256:held", ["start", "status"], Outcome.SUCCEEDED),
        ("sha256:endless", ["start", "cancel"], Outcome.CANCELLED),
        ("sha256:endless", ["start", "cancel", "wait"], Outcome.CANCELLED),
        ("sha256:1", ["start", "wait"], Outcome.SUCCEEDED),
        ("sha256:failing", ["start", "wait"], Outcome.FAILED),
    ],
)
async def test_a_client_killed_in_any_state_is_replaced(
    world: World, digest: str, verbs: list[str], outcome: Outcome
) -> None:
    world.environment.update({k: v for k, v in os.environ.items() if k in ("HOME", "LANG")})
    await asyncio.to_thread(kill_a_client, world, digest, *verbs)
    ref = await world.connect().find("k-1")
    assert ref is not None
    assert await world.connect().start(world.request("k-1", digest=digest)) == ref
    (world.path / "go").touch()
    assert (await ended(world, ref)).outcome is outcome
    # One that is cancelled at its birth may not have come to its first word.
    assert world.begun == ["k-1"] or (outcome is Outcome.CANCELLED and not world.begun), "the program ran once"


async def test_many_who_start_one_key_at_once_start_one_program(world: World) -> None:
    request = world.request("k-1")
    refs = await asyncio.gather(*(world.connect().start(request) for _ in range(8)))
    assert len(set(refs)) == 1
    assert (await ended(world, refs[0])).outcome is Outcome.SUCCEEDED
    assert world.begun == ["k-1"]


async def test_a_client_killed_before_the_program_began_leaves_nothing_begun(world: World) -> None:
    """The directory is there, the runner is not: exactly what a kill between the two leaves."""
    ref, here = await over(world)
    for file in ("started.json", "program.json", "output", "result.json"):
        (here / file).unlink()
    (world.path / "begun").unlink()
    assert await world.connect().find("k-1") is None, "surely nothing was begun"
    assert await world.connect().start(world.request("k-1")) == ref
    assert (await ended(world, ref)).outcome is Outcome.SUCCEEDED
    assert world.begun == ["k-1"]


async def test_what_was_followed_but_never_begun_is_called_off_for_good(world: World) -> None:
    ref, here = await over(world)
    for file in ("started.json", "result.json"):
        (here / file).unlink()
    (world.path / "begun").unlink()
    assert (await ended(world, ref)).outcome is Outcome.CANCELLED
    assert await world.connect().start(world.request("k-1")) == ref
    assert (await world.connect().status(ref)).outcome is Outcome.CANCELLED
    assert world.begun == []


async def test_a_killed_runner_makes_it_unknown_and_never_failed(world: World) -> None:
    deployer = world.connect()
    ref = await deployer.start(world.request("k-1", digest="sha256:endless"))
    program = (await until(lambda: begun(world, ref, "program.json")))["pid"]
    os.kill(begun(world, ref, "started.json")["pid"], signal.SIGKILL)
    await until(lambda: not runner.ticks(begun(world, ref, "started.json")["pid"]))
    status = await deployer.wait(ref, 5)
    assert status.outcome is Outcome.UNKNOWN
    assert status.message.startswith("Its runner was killed, so nobody will know how its program, process ")
    assert status.message.endswith(f"{program}, ends. It still runs; cancelling stops it.")
    with pytest.raises(TransientError, match="still runs on web-1; nothing is begun beside it"):
        await deployer.start(world.request("k-2"))
    await deployer.cancel(ref)
    assert (await ended(world, ref)).outcome is Outcome.CANCELLED
    assert not runner.ticks(program)
    assert (await ended(world, await deployer.start(world.request("k-2")))).outcome is Outcome.SUCCEEDED


async def test_a_program_that_ended_without_its_runner_is_unknown(world: World) -> None:
    deployer = world.connect()
    ref = await deployer.start(world.request("k-1", digest="sha256:endless"))
    program = (await until(lambda: begun(world, ref, "program.json")))["pid"]
    os.kill(begun(world, ref, "started.json")["pid"], signal.SIGKILL)
    runner.tell(program, signal.SIGKILL)
    await until(lambda: not runner.ticks(program))
    status = await deployer.wait(ref, 5)
    assert status.outcome is Outcome.UNKNOWN
    assert "nobody saw how its program ended" in status.message
    await deployer.cancel(ref)
    assert (await deployer.status(ref)).outcome is Outcome.CANCELLED


async def test_a_runner_whose_directory_was_removed_ends_with_its_program(world: World) -> None:
    ref = await world.connect().start(world.request("k-1", digest="sha256:held"))
    pid = (await until(lambda: begun(world, ref, "started.json")))["pid"]
    await until(lambda: world.begun)
    shutil.rmtree(world.path / "state")
    (world.path / "go").touch()
    await until(lambda: not runner.ticks(pid))


async def test_a_restarted_machine_makes_it_unknown(world: World) -> None:
    """The numbers of processes mean others after a restart; here one of them is our own."""
    deployer = world.connect()
    ref, here = await over(world)
    (here / "result.json").unlink()
    runner.write(here / "program.json", {**runner.mark(os.getpid()), "boot": "another"})
    status = await deployer.status(ref)
    assert status.outcome is Outcome.UNKNOWN
    assert "the machine restarted" in status.message


async def test_a_number_that_another_process_has_now_is_not_killed(world: World) -> None:
    deployer = world.connect()
    ref, here = await over(world)
    (here / "result.json").unlink()
    mine = runner.mark(os.getpid())
    runner.write(here / "program.json", {**mine, "ticks": int(str(mine["ticks"])) - 1})
    await deployer.cancel(ref)
    assert (await deployer.status(ref)).outcome is Outcome.CANCELLED


async def test_what_runs_in_another_container_cannot_be_told(world: World) -> None:
    deployer = world.connect()
    ref, here = await over(world)
    (here / "result.json").unlink()
    runner.write(here / "program.json", {**runner.mark(os.getpid()), "space": "pid:[1]"})
    await deployer.cancel(ref)
    status = await deployer.status(ref)
    assert status.outcome is Outcome.UNKNOWN
    assert "from here nobody can see" in status.message


async def test_what_ran_on_another_host_cannot_be_told(world: World) -> None:
    """A directory that replicas of several hosts share."""
    ref, here = await over(world)
    (here / "result.json").unlink()
    runner.write(here / "program.json", {**runner.mark(os.getpid()), "boot": "another", "host": "another"})
    status = await world.connect().status(ref)
    assert status.outcome is Outcome.UNKNOWN
    assert "from here nobody can see" in status.message


async def test_a_runner_killed_beside_the_birth_of_its_program_cannot_be_told(world: World) -> None:
    ref, here = await over(world)
    (here / "result.json").unlink()
    (here / "program.json").unlink()
    assert "from here nobody can see" in (await world.connect().status(ref)).message
