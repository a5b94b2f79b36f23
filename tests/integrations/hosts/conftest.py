"""Three hosts on loopback, for all tests of a process; each test has directories of its own on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.integrations.hosts.servers import SSHD, Servers
from tests.integrations.hosts.world import World

NAMES = ("web-1", "web-2", "web-3")


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    if not SSHD:
        pytest.skip("sshd is missing: apt-get install openssh-server")
    servers = Servers(tmp_path_factory.mktemp("sshd"), NAMES)
    try:
        yield servers
    finally:
        servers.close()


@pytest.fixture
async def world(tmp_path: Path, servers: Servers) -> AsyncIterator[World]:
    world = World(tmp_path, servers)
    yield world
    await world.end()
