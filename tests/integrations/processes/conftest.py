"""A host of its own for each test, with nothing left behind."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integrations.processes.world import World, is_alive


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Callable[..., World]]:
    """Makes worlds; afterwards every supervisor is stopped, and no process of this test is left."""
    worlds: list[World] = []

    def make(*arguments: Any, **named: Any) -> World:
        worlds.append(World(tmp_path, *arguments, **named))
        return worlds[-1]

    yield make
    for world in worlds:
        await world.deployer.stop()
    assert _left(tmp_path) == []


@pytest.fixture
def world(host: Callable[..., World]) -> World:
    """A one-box of one unit with 10 % of the requests, and the rest: two units with 90 %."""
    return host()


def _left(tmp_path: Path) -> list[int]:
    """Processes that work below this test's directory."""
    left = []
    for path in Path("/proc").iterdir():
        if re.fullmatch(r"\d+", path.name):
            try:
                where = (path / "cwd").readlink()
            except OSError:
                continue
            if where.is_relative_to(tmp_path) and is_alive(int(path.name)):
                left.append(int(path.name))
    return left
