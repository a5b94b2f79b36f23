"""The deployer `command` keeps the contract, with a probe that says what runs and without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from integrations.contract import DeployerContract, Rig
from tests.integrations.command.world import CommandRig


class TestCommand(DeployerContract):
    @pytest.fixture(params=[{}, {"running": None}], ids=["asked", "remembered"])
    def rig(self, tmp_path: Path, request: pytest.FixtureRequest) -> Rig:
        more: dict[str, Any] = request.param
        return CommandRig(tmp_path, **more)
