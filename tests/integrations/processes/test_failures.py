"""What goes wrong is said plainly, and what served before serves on (rules 12, 16, 26)."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from core.errors import PermanentError, TransientError
from core.ports import Outcome
from integrations.processes.deployer import Front, ProcessesConfig, ProcessesDeployer, ProcessesTarget
from tests.integrations.processes.world import ONE, QUICK, World, is_alive


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One supervisor for the tests in which nothing is begun."""
    world = World(tmp_path_factory.mktemp("quiet"))
    yield world
    asyncio.run(world.deployer.stop())


REASON = "\x1b[31mno such table: orders\x1b[0m; password is hunter-two"


async def test_a_crash_loop_fails_with_its_last_words_and_the_old_units_serve(host: Callable[..., World]) -> None:
    world = host({"all": ProcessesTarget(units=2, share=100, env={"PASSWORD": "hunter-two"})})
    await world.deploy("all", "1", world.artifact())
    pids = [unit["pid"] for unit in await world.units("all")]
    ended = await world.deploy("all", "2", world.artifact("bad", dies_saying=REASON))
    assert ended.outcome is Outcome.FAILED
    assert "exited with status 3" in ended.message
    assert "no such table: orders; password is …" in ended.message
    assert "hunter" not in ended.message
    assert "\x1b" not in ended.message
    assert "the old ones serve" in ended.message
    assert [unit["pid"] for unit in await world.units("all")] == pids
    running = await world.deployer.running_version("all")
    assert (running.version, running.is_mixed) == ("1", False)
    assert (await world.get())[0] == 200
    assert (await world.deployer.metrics())["targets"]["all"]["restarts"] >= 3


async def test_failing_half_way_it_says_honestly_that_units_differ(host: Callable[..., World]) -> None:
    world = host({"all": ProcessesTarget(units=2, share=100)})
    await world.deploy("all", "1", world.artifact())
    # Good for one unit, and then never again.
    gate, trap = world.tmp_path / "gate", world.tmp_path / "trap"
    gate.touch()
    fickle = world.artifact("fickle", healthy_when=str(gate), dies_when=str(trap))
    ref = await world.begin("all", "2", fickle, batch_percent=50)
    await world.until_units("all", lambda units: any(unit["runs"]["version"] == "2" for unit in units))
    trap.touch()
    ended = await world.deployer.wait(ref, 30)
    running = await world.deployer.running_version("all")
    assert ended.outcome is Outcome.FAILED
    assert "status 9" in ended.message
    assert ended.done_units in (1, 2)
    assert running.is_mixed == (ended.done_units == 1)
    # The way back does not wait for units that cannot come up.
    back = await world.deploy("all", "1", world.artifact(), is_rollback=True, batch_percent=50, healthy_percent=100)
    assert back.outcome is Outcome.SUCCEEDED
    assert not (await world.deployer.running_version("all")).is_mixed


async def test_a_unit_that_crashes_later_is_begun_again_and_no_request_is_lost(host: Callable[..., World]) -> None:
    world = host({"all": ProcessesTarget(units=1, share=100)})
    await world.deploy("all", "1", world.artifact())
    once = world.tmp_path / "once"
    # GET is put again to the unit that takes its place.
    status, text, _ = await world.get(f"/die?once={once}")
    assert (status, text) == (200, "survived")
    assert (await world.deployer.metrics())["targets"]["all"]["restarts"] == 1


async def test_a_deployment_that_never_becomes_healthy_ends_with_its_time(host: Callable[..., World]) -> None:
    world = host(ONE)
    gated = world.artifact("gated", healthy_when=str(world.tmp_path / "never"))
    ended = await world.deploy("all", "1", gated, timeout=timedelta(seconds=0.3))
    assert (ended.outcome, ended.done_units) == (Outcome.FAILED, 0)
    assert "did not finish within 0.3 s" in ended.message
    running = await world.deployer.running_version("all")
    assert (running.digest, running.version) == (None, None)
    status, text, headers = await world.get()
    assert (status, text) == (503, "Nothing is deployed here yet.\n")
    assert headers["X-Andon-Error"] == "503"


async def test_an_artifact_that_is_not_what_was_announced_is_refused(quiet: World) -> None:
    good = quiet.artifact()
    with pytest.raises(PermanentError, match="not what would be deployed"):
        await quiet.begin("rest", "1", good, digest="sha256:" + "0" * 64, key="k")
    with pytest.raises(PermanentError, match="no artifact at"):
        await quiet.begin("rest", "1", good, artifact=str(quiet.tmp_path / "nowhere"), key="k")
    digest = await quiet.deployer.add(good)
    missing = "sha256:" + "1" * 64
    with pytest.raises(PermanentError, match="not on this host"):
        await quiet.begin("rest", "1", good, artifact=missing, digest=missing, key="k")
    directory = quiet.root / "artifacts" / digest.removeprefix("sha256:")
    (directory / "unit_app.py").chmod(0o644)
    (directory / "unit_app.py").write_text("import os")
    with pytest.raises(PermanentError, match="altered"):
        await quiet.begin("rest", "1", good, artifact=digest, key="k")
    # Nothing of all this was begun.
    assert await quiet.deployer.find("k") is None


async def test_a_version_is_text_and_nothing_else(host: Callable[..., World]) -> None:
    world = host(ONE)
    (world.tmp_path / "precious").touch()
    version = f"; rm -rf {world.tmp_path}/precious $(touch {world.tmp_path}/evil) ../../é"
    assert (await world.deploy("all", version, world.artifact())).outcome is Outcome.SUCCEEDED
    assert (await world.deployer.running_version("all")).version == version
    assert sorted(path.name for path in world.tmp_path.iterdir()) == ["precious", "root", "sources"]
    assert (await world.get())[2]["X-Andon-Version"].endswith("../../%C3%A9")
    with pytest.raises(PermanentError, match="version"):
        await world.begin("all", "1\r\nX-Evil: 1", world.artifact())


async def test_units_get_nothing_of_the_bots_environment(
    host: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-test")
    world = host({"all": ProcessesTarget(units=1, share=100, env={"GREETING": "hello"})})
    await world.deploy("all", "1", world.artifact())
    _, environment, _ = await world.get("/environment")
    assert "xoxb-test" not in environment
    assert '"GREETING": "hello"' in environment
    state = (world.root / "shop.json").stat().st_mode | (world.root / "shop.sock").stat().st_mode
    assert state & 0o077 == 0


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        config = ProcessesConfig(root=tmp_path / "root", front=Front(name="shop", port=port), timing=QUICK)
        deployer = ProcessesDeployer(config, ONE)
        try:
            with pytest.raises(PermanentError, match=rf"Port {port} .* choose another `front.port`"):
                await deployer.ensure_running()
        finally:
            await deployer.stop()


async def test_one_target_has_one_deployment_at_a_time(world: World) -> None:
    gated = world.artifact("gated", healthy_when=str(world.tmp_path / "gate"))
    request = world.request("rest", "1", gated)
    ref = await world.deployer.start(request)
    with pytest.raises(TransientError, match="in flight"):
        await world.begin("rest", "2", world.artifact())
    # The same start again is no other deployment, also where the source is gone since.
    shutil.rmtree(gated)
    assert await world.deployer.start(request) == ref
    (world.tmp_path / "gate").touch()
    assert (await world.deployer.wait(ref, 30)).outcome is Outcome.SUCCEEDED


async def test_a_target_that_is_not_there_is_refused(quiet: World) -> None:
    with pytest.raises(PermanentError, match="no target 'moon'; it has: one-box, rest"):
        await quiet.begin("moon", "1", quiet.artifact())
    with pytest.raises(PermanentError, match="no target"):
        await quiet.deployer.running_version("moon")


def test_shares_that_are_not_whole_are_refused_before_anything_runs(tmp_path: Path) -> None:
    config = ProcessesConfig(root=tmp_path / "root", front=Front(name="shop", port=0))
    with pytest.raises(PermanentError, match=r"add up to 110 % \(a 20 %, b 90 %\)"):
        ProcessesDeployer(config, {"a": ProcessesTarget(share=20), "b": ProcessesTarget(share=90)})


async def test_pruning_never_takes_what_runs(world: World) -> None:
    kept, gone = world.artifact("kept"), world.artifact("gone")
    await world.deploy("rest", "1", world.artifact("runs"))
    keep, lose = await world.deployer.add(kept), await world.deployer.add(gone)
    assert await world.deployer.prune([keep]) == [lose]
    assert len(list((world.root / "artifacts").iterdir())) == 2


async def test_what_a_unit_leaves_behind_goes_with_it(host: Callable[..., World]) -> None:
    world = host(ONE)
    await world.deploy("all", "1", world.artifact())
    child = int((await world.get("/breed?stubborn=1"))[1])
    assert is_alive(child)
    await world.deploy("all", "2", world.artifact())
    assert not is_alive(child)
