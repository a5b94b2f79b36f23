"""The deployer keeps Andon's contract: `pytest` in this directory, in an environment with Andon and this package."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from andon_copy.deployer import CopyDeployer

from core.ports import Deployer, DeploymentRequest
from integrations.contract import DeployerContract, Rig


class CopyRig:
    """A world of its own in which nothing runs yet."""

    secrets = ()
    pause = 0.0

    def __init__(self, path: Path) -> None:
        self.path = path

    def connect(self) -> Deployer:
        return CopyDeployer(self.path / "world")

    def hasty(self) -> Deployer:
        return CopyDeployer(self.path / "world", timeout=0)

    def request(
        self, key: str, *, version: str = "1", is_rollback: bool = False, content: str = "good"
    ) -> DeploymentRequest:
        artifact = self.path / f"{content}-{version}"
        artifact.write_text(f"{content} {version}")
        return DeploymentRequest(
            key=key,
            service="shop",
            pipeline="shop",
            stage="beta",
            target="beta-1",
            version=version,
            digest=f"sha256:{hashlib.sha256(artifact.read_bytes()).hexdigest()}",
            artifact=str(artifact),
            is_rollback=is_rollback,
            batch_percent=33,
            healthy_percent=66,
            timeout=timedelta(minutes=1),
        )

    def failing(self, key: str) -> DeploymentRequest:
        return self.request(key, content="bad")

    def endless(self, key: str) -> DeploymentRequest:
        return self.request(key, content="wait")

    def refused(self, key: str) -> DeploymentRequest:
        request = self.request(key, content="gone")
        Path(request.artifact).unlink()
        return request


class TestCopy(DeployerContract):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Rig:
        return CopyRig(tmp_path)


def test_its_settings_are_looked_at() -> None:
    assert list(CopyDeployer.problems({"directory": "/srv"}, {"beta-1": {}})) == []
    assert [place for place, _ in CopyDeployer.problems({"way": 1}, {"beta-1": {"x": 1}})] == [
        ("with", "directory"),
        ("with", "way"),
        ("targets", "beta-1", "x"),
    ]
