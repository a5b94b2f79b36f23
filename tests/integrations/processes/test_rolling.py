"""Versions come and go in batches, and no request is lost (rules 5, 13, 14)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from core.ports import DeploymentStatus, Outcome, RunningVersion
from integrations.processes.deployer import ProcessesTarget
from tests.integrations.processes.world import QUICK, World, until


class Customers:
    """Ask without a pause; every answer counts, and so does every one that did not come."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[int, str]] = Counter()
        self.lost: list[str] = []

    async def ask(self, url: str, *, keep_alive: bool) -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=not keep_alive)) as session:
            while True:
                for method in ("GET", "POST"):
                    try:
                        async with session.request(method, url, data=b"x" if method == "POST" else None) as answer:
                            await answer.read()
                            self.answers[answer.status, answer.headers.get("X-Andon-Version", "")] += 1
                    except aiohttp.ClientError as error:
                        self.lost.append(repr(error))


@asynccontextmanager
async def customers(world: World) -> AsyncIterator[Customers]:
    them = Customers()
    url = await world.deployer.url()
    tasks = [asyncio.create_task(them.ask(url, keep_alive=keep_alive)) for keep_alive in (True, True, False)]
    try:
        yield them
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_no_request_is_lost_forward_and_back_even_while_the_bot_is_gone(world: World) -> None:
    good = world.artifact()
    for target in ("one-box", "rest"):
        assert (await world.deploy(target, "1", good)).outcome is Outcome.SUCCEEDED
    async with customers(world) as them:
        assert (await world.deploy("one-box", "2", good)).outcome is Outcome.SUCCEEDED
        ref = await world.begin("rest", "2", good)
        # The bot goes away in the middle; another finds the deployment by its key (rule 26).
        world.deployer = world.another_deployer()
        assert await world.deployer.find(ref.key) == ref
        assert (await world.deployer.wait(ref, 30)).outcome is Outcome.SUCCEEDED
        for target in ("rest", "one-box"):
            back = await world.deploy(target, "1", good, is_rollback=True, batch_percent=100)
            assert back.outcome is Outcome.SUCCEEDED
    assert them.lost == []
    assert set(them.answers) == {(200, "1"), (200, "2")}
    assert min(them.answers.values()) > 10


async def test_shares_are_exact(world: World) -> None:
    good = world.artifact()
    await asyncio.gather(world.deploy("one-box", "2", good), world.deploy("rest", "1", good))
    for _ in range(3):
        seen = Counter([(await world.get())[2]["X-Andon-Target"] for _ in range(10)])
        assert seen == {"one-box": 1, "rest": 9}
    metrics = (await world.deployer.metrics())["targets"]
    assert metrics["one-box"]["requests"] == 3
    assert metrics["rest"]["requests"] == 27
    assert metrics["rest"]["server_errors"] == metrics["rest"]["in_flight"] == 0
    assert 0 < metrics["rest"]["latency_ms"]["p50"] <= metrics["rest"]["latency_ms"]["p99"]


async def test_a_slow_request_is_waited_for(host: Callable[..., World], tmp_path: Path) -> None:
    world = host({"all": ProcessesTarget(units=1, share=100)})
    good = world.artifact()
    await world.deploy("all", "1", good)
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    asking = asyncio.create_task(world.get(f"/slow?gate={gate}&begun={begun}"))
    await until(begun.exists)
    ref = await world.begin("all", "2", good)
    # The new version serves before the old one has finished.
    await world.until_units("all", lambda units: units[0]["runs"]["version"] == "2")
    assert (await world.get())[2]["X-Andon-Version"] == "2"
    assert (await world.deployer.status(ref)).outcome is Outcome.RUNNING
    gate.touch()
    status, text, headers = await asking
    assert (status, text, headers["X-Andon-Version"]) == (200, "1", "1")
    assert (await world.deployer.wait(ref, 30)).outcome is Outcome.SUCCEEDED


async def test_what_does_not_finish_is_cut_off_in_the_end(host: Callable[..., World], tmp_path: Path) -> None:
    world = host(
        {"all": ProcessesTarget(units=1, share=100)},
        QUICK.model_copy(update={"drain_timeout": 0.1, "stop_timeout": 0.1}),
    )
    stubborn = world.artifact("stubborn", ignores_sigterm=True)
    await world.deploy("all", "1", stubborn)
    begun = tmp_path / "begun"
    asking = asyncio.create_task(world.get(f"/slow?gate={tmp_path / 'never'}&begun={begun}"))
    await until(begun.exists)
    assert (await world.deploy("all", "2", world.artifact())).outcome is Outcome.SUCCEEDED
    # Sent once and begun: for a GET the front may ask another unit, which waits for the same gate.
    (tmp_path / "never").touch()
    assert (await asking)[0] == 200


async def test_batches_are_as_large_as_asked_and_enough_units_always_serve(host: Callable[..., World]) -> None:
    world = host({"all": ProcessesTarget(units=4, share=100)})
    gate = world.tmp_path / "gate"
    await world.deploy("all", "1", world.artifact(), batch_percent=100)
    gated = world.artifact("gated", healthy_when=str(gate))
    ref = await world.begin("all", "2", gated, batch_percent=50, healthy_percent=75)
    # Two new ones are coming up and not healthy: nothing has left, everybody is served.
    log = world.root / "logs" / "shop" / "all-1.log"
    await until(lambda: "starting 2" in log.read_text())
    assert await serving(world) == 4
    assert [(await world.get())[2]["X-Andon-Version"] for _ in range(4)] == ["1"] * 4
    done = await world.deployer.status(ref)
    assert (done.outcome, done.done_units, done.all_units) == (Outcome.RUNNING, 0, 4)
    # The third and fourth have not been begun: a batch is two.
    assert "starting 2" not in (world.root / "logs" / "shop" / "all-2.log").read_text()
    watching = asyncio.create_task(fewest(world, ref.key))
    gate.touch()
    assert (await world.deployer.wait(ref, 30)) == DeploymentStatus(Outcome.SUCCEEDED, "", 4, 4)
    assert await watching >= 3
    assert await world.deployer.running_version("all") == RunningVersion(
        (await world.units("all"))[0]["runs"]["digest"], "2", is_mixed=False
    )


async def test_cancelled_it_stops_where_it_is_and_says_what_runs(host: Callable[..., World]) -> None:
    world = host({"all": ProcessesTarget(units=2, share=100)})
    good = world.artifact()
    await world.deploy("all", "1", good)
    # The first unit of the new version comes up, the second waits for a gate nobody opens.
    gate = world.tmp_path / "gate"
    gate.touch()
    gated = world.artifact("gated", healthy_when=str(gate))
    ref = await world.begin("all", "2", gated, batch_percent=50)
    await world.until_units("all", lambda units: any(unit["runs"]["version"] == "2" for unit in units))
    gate.unlink()
    await world.deployer.cancel(ref)
    ended = await world.deployer.wait(ref, 30)
    assert ended.outcome in (Outcome.CANCELLED, Outcome.SUCCEEDED)
    if ended.outcome is Outcome.CANCELLED:
        assert (await world.deployer.running_version("all")).is_mixed == (ended.done_units == 1)
    # Cancelling what is over is no error, and changes nothing.
    await world.deployer.cancel(ref)
    assert await world.deployer.status(ref) == ended
    # The way back levels it again.
    await world.deploy("all", "1", good, is_rollback=True, batch_percent=100)
    assert await world.deployer.running_version("all") == RunningVersion(
        (await world.units("all"))[0]["runs"]["digest"], "1", is_mixed=False
    )


async def test_cancelled_before_anything_serves_nothing_has_changed(world: World) -> None:
    good = world.artifact()
    await world.deploy("rest", "1", good)
    before = [unit["pid"] for unit in await world.units("rest")]
    gated = world.artifact("gated", healthy_when=str(world.tmp_path / "never"))
    ref = await world.begin("rest", "2", gated)
    await world.deployer.cancel(ref)
    ended = await world.deployer.wait(ref, 30)
    assert (ended.outcome, ended.done_units) == (Outcome.CANCELLED, 0)
    running = await world.deployer.running_version("rest")
    assert (running.version, running.is_mixed) == ("1", False)
    # Nor is anything begun anew where the version runs already.
    again = await world.deploy("rest", "1", good)
    assert (again.outcome, again.message) == (Outcome.SUCCEEDED, "It ran already.")
    assert [unit["pid"] for unit in await world.units("rest")] == before


async def serving(world: World) -> int:
    counted: int = (await world.deployer.metrics())["targets"]["all"]["serving"]
    return counted


async def fewest(world: World, key: str) -> int:
    """The fewest units that served while the deployment was on its way."""
    least = 100
    while True:
        least = min(least, await serving(world))
        ref = await world.deployer.find(key)
        assert ref is not None
        if (await world.deployer.status(ref)).outcome.is_final:
            return least
