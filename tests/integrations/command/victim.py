"""A client that is killed when it has done so much: `… .victim PATH KEY DIGEST VERBS…`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from core.ports import DeploymentRef
from tests.integrations.command.world import World


async def live(path: Path, key: str, digest: str, verbs: list[str]) -> None:
    """Do what is asked, then die as nobody wishes to."""
    world = World(path)
    deployer = world.connect()
    ref: DeploymentRef | None = None
    for verb in verbs:
        if verb == "start":
            ref = await deployer.start(world.request(key, digest=digest))
            continue
        ref = ref or await deployer.find(key)
        assert ref is not None
        if verb == "status":
            await deployer.status(ref)
        elif verb == "cancel":
            await deployer.cancel(ref)
        elif verb == "wait":
            await deployer.wait(ref, 20)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(live(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]))
