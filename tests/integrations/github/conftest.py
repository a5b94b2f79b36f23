"""GitHub on loopback for each test; what it refused as wrong was our mistake, unless the test says so."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.standins.github import StandIn


@pytest.fixture
async def github() -> AsyncIterator[StandIn]:
    place = StandIn()
    await place.begin()
    yield place
    await place.end()
