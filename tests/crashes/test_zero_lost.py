"""Customers never stop asking, and none is lost: while it goes forward, while it goes back, while the bot is dead."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.shop.build import build
from examples.shop.traffic import Traffic
from integrations.processes.deployer import ProcessesDeployer
from simulator.seen import AppSilent
from tests.crashes.stack import TARGETS, Stack

RATE = 100


@pytest.mark.slow
async def test_no_request_is_lost_forward_back_and_while_the_bot_is_killed(tmp_path: Path) -> None:
    old, new = build("1.0.0", tmp_path / "built"), build("1.1.0", tmp_path / "built")
    async with asyncio.timeout(120), Stack.running(tmp_path, units=2) as stack:
        await stack.announce("1.0.0", old)
        await stack.approve("1.0.0")
        await stack.everywhere("1.0.0")
        assert isinstance(stack.deployer, ProcessesDeployer)
        url = await stack.deployer.url()
        async with Traffic(url, RATE) as kept, Traffic(url, RATE, keep_alive=False) as anew:
            await stack.announce("1.1.0", new)
            await stack.approve("1.1.0")
            await until(lambda: stack.says("1.1.0", "deploying"))
            await stack.kill()
            await stack.everywhere("1.1.0")
            assert await stack.what_runs() == dict.fromkeys(TARGETS, "1.1.0")
            await until(lambda: kept.counts.by_version["1.1.0"] and anew.counts.by_version["1.1.0"])
            await stack.simulator.until_connected(30)
            with contextlib.suppress(AppSilent):
                line = "/release rollback shop in web customers call"
                await stack.simulator.person("ann").types("#shop", line, wait=False)
            await until(lambda: stack.says("1.1.0", "rolled back") or stack.says("1.1.0", "rolling back"))
            await stack.kill()
            await until(lambda: stack.says("1.1.0", "is rolled back"))
            assert await stack.what_runs() == {"beta-1": "1.1.0", "web-1": "1.0.0", "web-2": "1.0.0"}
        for traffic in (kept, anew):
            assert traffic.counts.failed == 0, traffic.counts.failures
            assert traffic.counts.errors == 0
            assert traffic.counts.answered == traffic.counts.asked > 5 * RATE
            assert set(traffic.counts.by_version) == {"1.0.0", "1.1.0"}
        assert stack.deaths == 2
        print(f"\n{kept.counts.as_json()}\n{anew.counts.as_json()}")


async def until(true: Callable[[], object], within: float = 40) -> None:
    """Look until it is so: it happens in other processes."""
    async with asyncio.timeout(within):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
