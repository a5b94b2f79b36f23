"""A process that has everything imported and forks clients, each to be killed: `… nursery SETTINGS`.

For each line that it reads (a key, a version, whether to cancel it) it forks one, says its process id, waits for
another line, lets it go, and says how it ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from integrations.kubernetes.deployer import KubernetesDeployer
from tests.integrations.kubernetes.rig import order


async def live(settings: str, key: str, version: str, is_cancelled: bool) -> None:
    """Begin a deployment and follow it to its end, as Andon does."""
    deployer = KubernetesDeployer.from_settings(json.loads(settings), {"checkout": {}})
    ref = await deployer.start(order(key, version))
    if is_cancelled:
        await deployer.status(ref)
        await deployer.cancel(ref)
    while not (await deployer.status(ref)).outcome.is_final:
        pass


def main() -> None:
    for line in sys.stdin:
        key, version, is_cancelled = json.loads(line)
        wait, go = os.pipe()
        child = os.fork()
        if not child:
            os.read(wait, 1)
            asyncio.run(live(sys.argv[1], key, version, is_cancelled))
            os._exit(0)
        print(child, flush=True)
        sys.stdin.readline()
        os.write(go, b"!")
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        os.close(wait)
        os.close(go)


if __name__ == "__main__":
    main()
