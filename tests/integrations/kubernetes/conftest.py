"""A stand-in of the API server for every test, with the rights of the page that people read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integrations.kubernetes.api import Api
from tests.integrations.kubernetes.rig import Shop, workload

PAGE = Path(__file__).resolve().parents[3] / "docs/deployers/kubernetes.md"


def documents() -> list[dict[str, Any]]:
    """Every Kubernetes object of the page."""
    blocks = [part.split("```")[0] for part in PAGE.read_text().split("```yaml\n")[1:]]
    found = [one for block in blocks for one in yaml.safe_load_all(block)]
    return [one for one in found if isinstance(one, dict) and "apiVersion" in one]


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    (role,) = [one for one in documents() if one["kind"] == "Role"]
    async with Api(rules=role["rules"]).running() as found:
        yield found
        assert found.strange == []


@pytest.fixture
def shop_of(api: Api, tmp_path: Path) -> Callable[..., Shop]:
    """Makes a shop from what `workload` takes."""

    def made(*given: Any, **spec: Any) -> Shop:
        return Shop(api, tmp_path, workload(*given, **spec))

    return made


@pytest.fixture
def shop(shop_of: Callable[..., Shop]) -> Shop:
    return shop_of()
