"""The shop on the embedded deployer: broken in one-box, rolled back, and no customer's request lost (rules 13, 14)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import aiohttp

from core.ports import DeploymentRequest, Outcome
from examples.shop.build import build
from examples.shop.traffic import Traffic
from integrations.processes.artifacts import digest_of
from integrations.processes.deployer import Front, ProcessesConfig, ProcessesDeployer, ProcessesTarget


async def test_a_broken_version_is_seen_in_one_box_and_gone_after_the_rollback(tmp_path: Path) -> None:
    env = {"SHOP_SWITCH": str(tmp_path / "switch.json")}
    deployer = ProcessesDeployer(
        ProcessesConfig(root=tmp_path / "root", front=Front(name="shop", port=0)),
        {"one-box": ProcessesTarget(units=1, share=10, env=env), "rest": ProcessesTarget(units=2, share=90, env=env)},
    )

    async def deploy(target: str, version: str, key: str) -> None:
        artifact = build(version, tmp_path / "built")
        ref = await deployer.start(
            DeploymentRequest(
                key=key,
                service="shop",
                pipeline="shop",
                stage=target,
                target=target,
                version=version,
                digest=digest_of(artifact),
                artifact=str(artifact),
                is_rollback=False,
                batch_percent=33,
                healthy_percent=66,
                timeout=timedelta(seconds=60),
            )
        )
        ended = await deployer.wait(ref, 60)
        assert ended.outcome is Outcome.SUCCEEDED, ended.message

    try:
        await asyncio.gather(deploy("one-box", "1.4.1", "a"), deploy("rest", "1.4.1", "b"))
        url = await deployer.url()
        async with Traffic(url, 50) as traffic, aiohttp.ClientSession() as session:
            await deploy("one-box", "1.4.2", "c")
            assert traffic.counts.errors == 0
            async with session.post(f"{url}_switch", json={"broken": True, "version": "1.4.2"}) as answer:
                assert answer.status == 200
            async with asyncio.timeout(20):
                while traffic.counts.errors_by_version["1.4.2"] < 3:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            # Health says nothing of it; the errors of the target do.
            metrics = (await deployer.metrics())["targets"]
            assert metrics["one-box"]["server_errors"] >= 3
            assert metrics["one-box"]["serving"] == 1
            assert metrics["rest"]["server_errors"] == 0
            await deploy("one-box", "1.4.1", "d")
            # Nobody asks 1.4.2 any more; ten more requests, one of them of one-box, are all well.
            errors, answered = traffic.counts.errors, traffic.counts.answered
            async with asyncio.timeout(20):
                while traffic.counts.answered < answered + 20:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert traffic.counts.errors == errors
        assert traffic.counts.failed == 0, traffic.counts.failures
        assert set(traffic.counts.errors_by_version) == {"1.4.2"}
    finally:
        await deployer.stop()
