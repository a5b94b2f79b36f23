"""The deployer `kubernetes` keeps the contract, for both kinds of objects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import kubernetes_validate
import pytest

from integrations.contract import DeployerContract, over
from tests.integrations.kubernetes.api import Api
from tests.integrations.kubernetes.rig import Shop, documents, order, workload
from tests.integrations.kubernetes.world import World


class TestKubernetes(DeployerContract):
    @pytest.fixture(params=["Deployment", "StatefulSet"])
    def rig(self, request: pytest.FixtureRequest, shop_of: Callable[..., Shop]) -> Shop:
        return shop_of(request.param)


def test_the_rights_on_the_page_are_what_kubernetes_takes() -> None:
    """And the stand-in of all these tests grants no others."""
    shown = documents()
    assert [one["kind"] for one in shown] == ["Role", "RoleBinding"]
    for one in shown:
        kubernetes_validate.validate(one, "1.37", strict=True)


async def test_every_right_on_the_page_is_needed(api: Api, tmp_path: Path) -> None:
    """A verb that nothing asks for would be one too many."""
    rules = api.rules
    assert rules is not None
    granted = {(verb, resource) for rule in rules for verb in rule["verbs"] for resource in rule["resources"]}
    for kind, versions in (("Deployment", ("1", "crashes")), ("StatefulSet", ("1", "crashes", "1"))):
        api.world = World()
        shop = Shop(api, tmp_path, workload(kind))
        for number, version in enumerate(versions):
            ref = await shop.connect().start(order(f"k-{number}", version))
            await over(shop, shop.connect(), ref)
        api.world.quota = 0
        ref = await shop.connect().start(order("k-last", "2"))
        for _ in range(5):
            await shop.connect().status(ref)
    assert set(api.asked) == granted
