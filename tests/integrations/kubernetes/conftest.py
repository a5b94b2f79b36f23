"""A stand-in of the API server for every test, with the rights of the page that people read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integrations.kubernetes.api import Api
from tests.integrations.kubernetes.rig import Shop, documents, workload


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
