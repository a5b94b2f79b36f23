"""`github-actions` keeps the contract of deployers, with every way in which a server may tell of a run or not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from core.ports import Deployer, DeploymentRequest
from integrations.contract import DeployerContract, Rig
from tests.integrations.github.world import by_version, client, request
from tests.standins.github import HUNG, HUNG_AFTER, Fault, StandIn


class GitHubRig:
    """The deployer before GitHub on loopback."""

    secrets = ("open-sesame",)
    pause = 0.0

    def __init__(self, place: StandIn, late: Fault) -> None:
        self.place, self.late = place, late
        place.repository.play = by_version
        for version in ("1", "2", "failing", "endless"):
            place.repository.refs[f"v{version}"] = version * 40

    def connect(self) -> Deployer:
        return client(self.place)

    def hasty(self) -> Deployer:
        self.place.fails("POST .*/dispatches", self.late)
        return client(self.place, timeout=0.3)

    def request(self, key: str, *, version: str = "1", is_rollback: bool = False) -> DeploymentRequest:
        return request(key, version=version, is_rollback=is_rollback)

    def failing(self, key: str) -> DeploymentRequest:
        return request(key, version="failing")

    def endless(self, key: str) -> DeploymentRequest:
        return request(key, version="endless")

    def refused(self, key: str) -> DeploymentRequest:
        return request(key, version="refused")


class TestGitHubActions(DeployerContract):
    @pytest.fixture(
        params=[(True, HUNG_AFTER), (True, HUNG), (False, HUNG_AFTER)], ids=["new", "never arrives", "tells no id"]
    )
    async def rig(self, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
        knows, late = request.param
        place = StandIn(knows_run_details=knows)
        await place.begin()
        yield GitHubRig(place, late)
        wrong = [said for said in place.mistakes if "No ref found for: vrefused" not in said]
        assert [said for said in wrong if knows or "return_run_details" not in said] == []
        await place.end()
