"""The deployer `hosts` keeps the contract, on real sshds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import TransientError
from core.ports import Deployer, DeploymentRequest
from integrations.contract import DeployerContract
from integrations.hosts.deployer import HostsDeployer
from tests.integrations.hosts.servers import PASSPHRASE, Servers
from tests.integrations.hosts.world import World


class HostsRig:
    """Two hosts, and a key with a passphrase."""

    secrets = (PASSPHRASE,)
    pause = 0.05

    def __init__(self, world: World, loses: str) -> None:
        self.world = world
        self.loses = loses

    def connect(self) -> HostsDeployer:
        return self.world.another_deployer(
            "web-1", "web-2", key_file=str(self.world.servers.key_file), passphrase_env="DEPLOY_PASSPHRASE"
        )

    def hasty(self) -> Deployer:
        if self.loses == "everything":
            return self.world.another_deployer("web-1", "web-2", patience={"answer": "1ms"})

        def lose(host: str, verb: str) -> None:
            if verb == "prepare" and host == self.loses:
                raise TransientError("The answer was lost.")

        return self.world.another_deployer("web-1", "web-2", traced=lose)

    def request(self, key: str, *, version: str = "1", is_rollback: bool = False) -> DeploymentRequest:
        source = self.world.artifact(f"good-{version}")
        return self.world.request(version, source, key=key, is_rollback=is_rollback, batch_percent=50)

    def failing(self, key: str) -> DeploymentRequest:
        source = self.world.artifact("bad", "echo there is no database; exit 1\n")
        return self.world.request("bad", source, key=key)

    def endless(self, key: str) -> DeploymentRequest:
        return self.world.request("endless", self.world.artifact("endless", "exec sleep 600\n"), key=key)

    def refused(self, key: str) -> DeploymentRequest:
        return replace(self.request(key), digest=f"sha256:{'0' * 64}")


class TestHosts(DeployerContract):
    @pytest.fixture
    async def rig(self, tmp_path: Path, servers: Servers) -> AsyncIterator[HostsRig]:
        world = World(tmp_path, servers)
        yield HostsRig(world, "everything")
        await world.end()


@pytest.mark.parametrize("host", ["web-1", "web-2"])
async def test_an_answer_that_is_lost_leaves_one_deployment(world: World, host: str):
    await DeployerContract().test_no_answer_in_time_is_unknown_and_never_failed(HostsRig(world, host))
