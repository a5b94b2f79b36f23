"""A process that deploys once with `github-actions`, as Andon does: found or begun, then followed to its end."""

from __future__ import annotations

import asyncio
import sys

from core.ports import Outcome
from tests.integrations.github.world import client, request
from tests.standins.github import StandIn


async def deploy(url: str, version: str) -> None:
    """Begin it and look until it is over; what is to be endless is cancelled."""
    place = StandIn()
    place.url = url
    deployer = client(place)
    ref = await deployer.find("shop:d1") or await deployer.start(request("shop:d1", version=version))
    while not (status := await deployer.status(ref)).outcome.is_final:
        if version == "endless" and status.outcome is Outcome.RUNNING:
            await deployer.cancel(ref)


if __name__ == "__main__":
    asyncio.run(deploy(sys.argv[1], sys.argv[2]))
