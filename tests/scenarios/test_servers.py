"""A line whose hosts are reached over SSH: one of them fails, and all of them serve what they served before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from core.ports import Deployer
from integrations.hosts.deployer import HostsDeployer
from tests.integrations.hosts.servers import SSHD, Servers
from tests.integrations.hosts.world import STARTS, World
from tests.scenarios.kit import Story, story
from tests.scenarios.props import shop

HOSTS = ("web-1", "web-2", "web-3")
NO_DATABASE = f'[ "$ANDON_HOST" != web-2 ] || {{ echo there is no database; exit 7; }}\n{STARTS}'


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    if not SSHD:
        pytest.skip("sshd is missing: apt-get install openssh-server")
    (tmp_path / "sshd").mkdir()
    servers = Servers(tmp_path / "sshd", HOSTS)
    with contextlib.closing(servers):
        yield World(tmp_path, servers)


async def test_a_host_that_fails_takes_the_others_back(world: World):
    built: list[HostsDeployer] = []

    def build(_name: str, settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]) -> Deployer:
        built.append(HostsDeployer.from_settings(settings, targets))
        return built[-1]

    def runs() -> list[str]:
        return [(world.root(name) / "runs").read_text().strip() for name in HOSTS]

    async def announce(s: Story, version: str, source: Path) -> str:
        digest = world.request(version, source).digest
        await s.announce(version, artifact=str(source), digest=digest)
        return digest

    def is_on_its_way() -> bool:
        return any(target.deployment is not None for target in s.state.targets)

    file = shop(
        deployer={"use": "hosts", "with": world.settings()},
        stages=[{"name": "beta", "targets": [{"name": "beta-1", "with": world.targets()["all"]}], "bake": "0s"}],
        groups={},
        alarms=[],
    )
    async with story(world.tmp_path, file, build_deployer=build) as s:
        good = await announce(s, "1.0.0", world.artifact("good"))
        await s.advance(minutes=5, until=lambda: not is_on_its_way())
        assert runs() == [good] * 3
        assert s.running == {}, "nothing else deployed anything"

        await announce(s, "1.1.0", world.artifact("bad", NO_DATABASE))
        await s.advance(minutes=5, until=lambda: not is_on_its_way())
        assert "there is no database" in s.told("1.1.0", "The deployment of 1.1.0 to beta-1 failed")
        said = s.told("1.1.0", "beta-1 alone goes back to 1.0.0")
        assert "web-2: its start failed: sh ended with 7; it runs what it ran before. 1 of 3 hosts runs 1.1.0." in said
        assert runs() == [good] * 3
    for deployer in built:
        await deployer.close()
