"""The bot, the supervisor or both may die at any moment; one key stays one deployment (rules 26, 28)."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.errors import PermanentError, TransientError
from core.ports import Outcome
from integrations.processes.artifacts import ArtifactStore
from integrations.processes.config import Layout
from integrations.processes.deployer import ProcessesTarget
from integrations.processes.state import Order, State, Version
from integrations.processes.supervision import Supervisor
from tests.integrations.processes.world import ONE, QUICK, World, is_alive, until


async def test_started_ten_times_at_once_it_is_one_deployment(world: World) -> None:
    # Two bots at once, of which neither has started the supervisor yet.
    await asyncio.gather(world.deployer.ensure_running(), world.another_deployer().ensure_running())
    good = world.artifact()
    request = world.request("rest", "1", good, artifact=await world.deployer.add(good))
    refs = await asyncio.gather(*(world.another_deployer().start(request) for _ in range(10)))
    assert len({ref.value for ref in refs}) == 1
    assert (await world.deployer.wait(refs[0], 30)).outcome is Outcome.SUCCEEDED
    assert await world.deployer.start(request) == refs[0]
    assert len((await world.deployer.overview())["deployments"]) == 1
    # The key says which deployment; with it another cannot be meant.
    with pytest.raises(PermanentError, match="key"):
        await world.begin("rest", "2", world.artifact(), key=request.key)


async def test_started_ten_times_in_the_same_instant_too(tmp_path: Path) -> None:
    # Without sockets between, so that all ten surely wait for the artifact to be read at once.
    world = World(tmp_path, ONE)
    good = world.artifact()
    order = Order(
        key="k", target="all", wanted=Version(digest=ArtifactStore(world.root).add(good), version="1"),
        batch_percent=33, healthy_percent=66, timeout=20,
    )  # fmt: skip
    supervisor = Supervisor(world.root, "shop", State(), clock=lambda: datetime.now(UTC))
    await supervisor.begin()
    try:
        await supervisor.configure(Layout(front=world.config.front, targets=ONE, timing=QUICK))
        begun = await asyncio.gather(*(supervisor.start(order) for _ in range(10)))
        assert {deployment.id for deployment in begun} == {"shop-1"}
        assert await supervisor.host.changes.wait_until(lambda: begun[0].outcome.is_final, 20)
        assert begun[0].outcome is Outcome.SUCCEEDED
    finally:
        await supervisor.end()
    assert State.read(world.root / "shop.json").deployments == begun[:1]


async def test_a_killed_supervisor_leaves_no_process_and_the_next_one_goes_on(host: Callable[..., World]) -> None:
    world = host({"all": ProcessesTarget(units=2, share=100)})
    gate = world.tmp_path / "gate"
    await world.deploy("all", "1", world.artifact())
    child = int((await world.get("/breed"))[1])
    url = await world.deployer.url()
    gated = world.artifact("gated", healthy_when=str(gate))
    ref = await world.begin("all", "2", gated)
    pids = [unit["pid"] for unit in await world.units("all")]
    await world.kill_supervisor()
    # Every unit, and what units began, is gone without anybody asking for it.
    await until(lambda: not any(is_alive(pid) for pid in [*pids, child]))

    # Whoever asks next starts it again: same port, what ran runs, what was in flight is found by its key.
    assert await world.deployer.find(ref.key) == ref
    assert await world.deployer.url() == url
    status, _, headers = await world.get()
    assert (status, headers["X-Andon-Version"]) == (200, "1")
    assert (await world.deployer.status(ref)).outcome is Outcome.RUNNING
    gate.touch()
    assert (await world.deployer.wait(ref, 30)).outcome is Outcome.SUCCEEDED
    assert (await world.deployer.running_version("all")).version == "2"


async def test_what_was_asked_to_stop_stays_so_after_a_restart(host: Callable[..., World]) -> None:
    world = host(ONE)
    gated = world.artifact("gated", healthy_when=str(world.tmp_path / "never"))
    ref = await world.begin("all", "1", gated)
    await world.deployer.cancel(ref)
    await world.kill_supervisor()
    assert (await world.deployer.wait(ref, 30)).outcome is Outcome.CANCELLED


async def test_a_deployment_that_is_over_is_still_found(world: World) -> None:
    status = await world.deploy("one-box", "1", world.artifact(), key="once")
    await world.kill_supervisor()
    world.deployer = world.another_deployer()
    ref = await world.deployer.find("once")
    assert ref is not None
    assert await world.deployer.status(ref) == status
    assert await world.deployer.find("never") is None


async def test_terminated_it_drains_stops_everything_and_remembers(host: Callable[..., World]) -> None:
    world = host(ONE)
    await world.deploy("all", "1", world.artifact())
    gate, begun = world.tmp_path / "gate", world.tmp_path / "begun"
    asking = asyncio.create_task(world.get(f"/slow?gate={gate}&begun={begun}"))
    await until(begun.exists)
    pid, unit = world.supervisor_pid(), (await world.units("all"))[0]["pid"]
    stopping = asyncio.create_task(world.kill_supervisor(signal.SIGTERM))
    await until(lambda: not (world.root / "shop.sock").exists())
    assert is_alive(unit)
    gate.touch()
    assert (await asking)[0] == 200
    await stopping
    assert not is_alive(pid)
    assert not is_alive(unit)
    assert (await world.get())[2]["X-Andon-Version"] == "1"


async def test_a_second_supervisor_refuses(world: World) -> None:
    await world.deployer.ensure_running()
    command = (sys.executable, "-m", "integrations.processes.supervisor", "--root", str(world.root), "--name", "shop")
    second = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False, timeout=20)
    assert second.returncode == 3
    assert f"runs already (process {world.supervisor_pid()})" in second.stderr
    # The first is not disturbed.
    await world.deployer.overview()


async def test_a_damaged_state_is_refused_with_what_would_help(world: World) -> None:
    world.root.mkdir()
    (world.root / "shop.json").write_text("{")
    with pytest.raises(PermanentError, match="move it away"):
        await world.deployer.ensure_running()


async def test_a_root_with_a_long_name_works(tmp_path: Path) -> None:
    world = World(tmp_path / ("long" * 30), ONE)
    try:
        assert (await world.deploy("all", "1", world.artifact())).outcome is Outcome.SUCCEEDED
        short = (world.root / "shop.sock").readlink()
        assert short.is_socket()
    finally:
        await world.deployer.stop()
    assert not short.parent.exists()
    assert not (world.root / "shop.sock").is_symlink()


async def test_a_new_configuration_takes_effect_without_touching_what_it_leaves(world: World) -> None:
    good = world.artifact()
    await world.deploy("rest", "1", good)
    before = [unit["pid"] for unit in await world.units("rest")]
    world.deployer = world.another_deployer(
        {"one-box": ProcessesTarget(units=1, share=0), "rest": ProcessesTarget(units=3, share=100)}
    )
    units = await world.until_units("rest", lambda units: sum(unit["is_serving"] for unit in units) == 3)
    assert [unit["pid"] for unit in units[:2]] == before
    assert units[2]["runs"]["version"] == "1"
    world.deployer = world.another_deployer({"rest": ProcessesTarget(units=1, share=100)})
    assert [unit["pid"] for unit in await world.units("rest")] == before[:1]
    await until(lambda: not is_alive(before[1]))


async def test_a_new_size_waits_for_the_deployment_that_is_in_flight(world: World) -> None:
    gate = world.tmp_path / "gate"
    ref = await world.begin("rest", "1", world.artifact("gated", healthy_when=str(gate)))
    world.deployer = world.another_deployer(
        {"one-box": ProcessesTarget(units=1, share=10), "rest": ProcessesTarget(units=3, share=90)}
    )
    # It can be looked at meanwhile; only what is new has to wait.
    assert (await world.deployer.status(ref)).all_units == 2
    with pytest.raises(TransientError, match="in flight"):
        await world.begin("one-box", "1", world.artifact())
    gate.touch()
    assert (await world.deployer.wait(ref, 30)).outcome is Outcome.SUCCEEDED
    await world.begin("one-box", "1", world.artifact())
    assert len(await world.units("rest")) == 3


async def test_the_shell_shows_what_runs(world: World) -> None:
    await world.deploy("rest", "1.4.2", world.artifact())
    command = (sys.executable, "-m", "integrations.processes", "status", "--root", str(world.root), "--name", "shop")
    shown = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False, timeout=20)
    assert "rest: 1.4.2, 90 % of requests, 2 of 2 units serve" in shown.stdout
    assert "shop-1  rest to 1.4.2: succeeded 2/2" in shown.stdout
    await world.deployer.stop()
    shown = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False, timeout=20)
    assert shown.returncode == 1
    assert "No supervisor for shop answers" in shown.stderr


async def test_a_killed_warden_is_replaced(host: Callable[..., World]) -> None:
    world = host(ONE, QUICK)
    await world.deploy("all", "1", world.artifact())
    unit = (await world.units("all"))[0]["pid"]
    first = warden_of(world.supervisor_pid())
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: warden_of(world.supervisor_pid()) not in (None, first))
    await world.kill_supervisor()
    await until(lambda: not is_alive(unit))


def warden_of(supervisor: int) -> int | None:
    found = subprocess.run(
        ["pgrep", "-P", str(supervisor), "-f", "warden.py"], capture_output=True, text=True, check=False
    )
    return int(found.stdout.split()[0]) if found.stdout.strip() else None
