"""A process that carries a deployment on, and is killed by SIGKILL after so many answers that changed something."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from datetime import timedelta

from core.errors import TransientError
from core.ports import DeploymentRef, DeploymentRequest
from integrations.hosts.config import read
from integrations.hosts.deployer import HostsDeployer


async def main(lives: int) -> None:
    """Find or start, and look until it is over."""
    given = json.loads(sys.stdin.read())
    request = DeploymentRequest(**{**given["request"], "timeout": timedelta(minutes=1)})
    config, targets, problems = read(given["settings"], given["targets"])
    assert config is not None, problems

    def count(host: str, verb: str) -> None:
        nonlocal lives
        lives -= verb in ("prepare", "upload", "bring", "begin")
        if lives < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    deployer = HostsDeployer(config, targets, traced=count)
    ref = await deployer.find(request.key) or await deployer.start(request)
    status = ""
    while not status:
        status = await _looked(deployer, ref)
    print(status)
    await deployer.close()


async def _looked(deployer: HostsDeployer, ref: DeploymentRef) -> str:
    try:
        status = await deployer.status(ref)
    except TransientError:
        return ""
    return status.outcome.value if status.outcome.is_final else ""


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
