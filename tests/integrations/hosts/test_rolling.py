"""Rolling hosts: without a request lost, never too many at once, by however many replicas."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter

import pytest

from core.ports import Outcome
from tests.integrations.hosts.shop import FILES, Shop
from tests.integrations.hosts.world import STARTS, World

TOLD = """
echo "+ $ANDON_HOST" >>"$ANDON_ROOT/../starts"
sleep 0.1
echo "- $ANDON_HOST" >>"$ANDON_ROOT/../starts"
"""


def starts(world: World) -> list[str]:
    """What hosts wrote when they began and ended to start, in order."""
    return (world.tmp_path / "starts").read_text().split("\n")[:-1]


def most_at_once(lines: list[str]) -> int:
    most = now = 0
    for line in lines:
        now += 1 if line[0] == "+" else -1
        most = max(most, now)
    return most


async def test_three_hosts_go_forward_and_back_under_traffic_without_a_failed_request(
    world: World, capsys: pytest.CaptureFixture[str]
):
    names = list(world.servers.by_name)
    shop = Shop.on({name: world.root(name) for name in names})
    world.values = {name: {"port": str(port)} for name, port in shop.ports.items()}
    world.deployer = world.another_deployer(**shop.settings())
    first, second = (world.artifact(name, **FILES) for name in ("first", "second"))
    digests = [world.request("x", source).digest for source in (first, second)]
    try:
        assert (await world.deploy("1", first)).outcome is Outcome.SUCCEEDED
        async with shop.open():
            status = await world.deploy("2", second)
            assert status.outcome is Outcome.SUCCEEDED, f"{status.message}\n{status.output}"
            seen = await world.deployer.running_version("all")
            assert (seen.digest, seen.version, seen.is_mixed) == (digests[1], "2", False)
            back = await world.deploy("1", first, is_rollback=True)
            assert back.outcome is Outcome.SUCCEEDED, f"{back.message}\n{back.output}"
            assert (await world.deployer.running_version("all")).digest == digests[0]
    finally:
        shop.end()
    with capsys.disabled():
        print(f"\nhosts: 3 rolled forward and back, {shop.answered} requests answered, {shop.failed} failed")
    assert shop.failed == 0
    assert shop.answered > 50
    assert set(shop.seen) == set(digests), "customers saw both versions"
    assert shop.fewest == 2, "one at a time was out of service"


async def test_hosts_are_taken_from_each_zone_in_turn_and_never_more_than_the_share(world: World):
    world.zones = {"web-1": "a", "web-2": "a", "web-3": "b"}
    world.deployer = world.another_deployer()
    status = await world.deploy("1", world.artifact("told", TOLD + STARTS))
    assert status.outcome is Outcome.SUCCEEDED
    assert status.message == "3 of 3 hosts run 1."
    assert starts(world) == [f"{sign} {name}" for name in ("web-1", "web-3", "web-2") for sign in "+-"]


async def test_a_batch_goes_together_but_for_one_in_a_zone_at_a_time(world: World):
    world.zones = {"web-1": "a", "web-2": "a", "web-3": "b"}
    world.deployer = world.another_deployer(one_per_zone=True)
    source = world.artifact("told", TOLD.replace("0.1", "0.4") + STARTS)
    assert (await world.deploy("1", source, batch_percent=100, healthy_percent=0)).outcome is Outcome.SUCCEEDED
    lines = starts(world)
    assert most_at_once(lines) == 2
    assert lines.index("- web-1") < lines.index("+ web-2")


async def test_replicas_that_look_at_the_same_time_start_every_host_once_and_keep_to_the_share(world: World):
    others = [world.another_deployer() for _ in range(3)]
    request = world.request("1", world.artifact("told", TOLD + STARTS))
    refs = await asyncio.gather(*(other.start(request) for other in others))
    assert len(set(refs)) == 1
    ended = await asyncio.gather(*(world.over(refs[0], other) for other in others))
    assert {status.outcome for status in ended} == {Outcome.SUCCEEDED}
    lines = starts(world)
    assert most_at_once(lines) == 1
    assert Counter(lines) == {f"{sign} {name}": 1 for name in world.servers.by_name for sign in "+-"}


async def test_the_message_says_how_each_host_stands(world: World):
    gate = world.tmp_path / "gate"
    source = world.artifact("waits", f"until [ -e {gate} ]; do sleep 0.02; done\n{STARTS}")
    ref = await world.deployer.start(world.request("1", source))
    status = await world.until(ref, lambda status: "web-1 starts" in status.message)
    assert status.message == "0 of 3 hosts run 1; web-1 starts, web-2 waits, web-3 waits."
    assert (status.done_units, status.all_units) == (0, 3)
    gate.touch()
    assert (await world.over(ref)).done_units == 3


async def test_what_runs_already_is_left_as_it_is(world: World):
    source = world.artifact("told", TOLD + STARTS)
    await world.deploy("1", source)
    before = len(starts(world))
    assert (await world.deploy("1 again", source)).outcome is Outcome.SUCCEEDED
    assert len(starts(world)) == before
    assert (await world.deployer.running_version("all")).version == "1 again"


async def test_the_last_versions_are_kept_and_need_no_artifact_to_go_back_to(world: World):
    world.deployer = world.another_deployer("web-1", keep=2)
    sources = [world.artifact(f"version-{number}") for number in range(4)]
    for number, source in enumerate(sources):
        assert (await world.deploy(str(number), source)).outcome is Outcome.SUCCEEDED
    assert len(list((world.root("web-1") / "releases").iterdir())) == 2
    back = world.request("2", sources[2], is_rollback=True)
    sources[2].unlink()
    status = await world.over(await world.deployer.start(back))
    assert status.outcome is Outcome.SUCCEEDED
    assert (await world.deployer.running_version("all")).digest == back.digest


async def test_connections_are_reused_and_not_talked_about(world: World, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    before = {name: server.connections for name, server in world.servers.by_name.items()}
    await world.deploy("1", world.artifact())
    assert {server.connections - before[name] for name, server in world.servers.by_name.items()} == {1}
    assert not [record for record in caplog.records if record.name.startswith("asyncssh")]


async def test_waiting_ends_when_something_moved(world: World):
    ref = await world.deployer.start(world.request("1", world.artifact()))
    status = await world.deployer.wait(ref, 0.0)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(30):
            while not status.outcome.is_final:
                before = status
                status = await world.deployer.wait(ref, 20.0)
                assert status.done_units != before.done_units or status.outcome.is_final
    assert status.outcome is Outcome.SUCCEEDED
