"""The deployer `kubernetes` keeps the contract, for both kinds of objects."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from integrations.contract import DeployerContract
from tests.integrations.kubernetes.rig import Shop


class TestKubernetes(DeployerContract):
    @pytest.fixture(params=["Deployment", "StatefulSet"])
    def rig(self, request: pytest.FixtureRequest, shop_of: Callable[..., Shop]) -> Shop:
        return shop_of(request.param)
