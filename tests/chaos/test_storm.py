"""A short storm over two real replicas; `make chaos` lets a long one pass over them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.storm import Weather
from tests.chaos.telling import weathered
from tests.postgres import Server
from tests.project.processes import until_none_is_left

BLOWS = {"kill": 4, "freeze": 1, "cut": 1, "trouble_slack": 1}


@pytest.mark.slow
async def test_a_short_storm_loses_nothing_and_doubles_nothing(tmp_path: Path, postgres: Server) -> None:
    weather = Weather(seconds=8, seed="a short storm", services=2, bake="1s", every=(1.5, 3), blows=BLOWS)
    verdict = await weathered(tmp_path, postgres, weather, print)
    assert verdict.wrong == [], verdict.figures
    assert verdict.figures["kills"] >= 1
    assert verdict.figures["deployments"] >= 8
    await until_none_is_left(tmp_path)
