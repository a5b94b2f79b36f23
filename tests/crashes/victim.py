"""The real bot as a process that kills itself: `python -m tests.crashes.victim SETTINGS.json [POINT]`.

It is `andon run` with the real clock and the real deployer, but for a checkpoint that writes the name of every point
to a file, and at point number POINT sends this very process SIGKILL. Nothing of it reaches the program itself.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from bot.adapter_settings import deployer_problems, test_problems
from bot.app import Parts, running
from bot.definitions import load_directory
from bot.settings import Secret, Settings
from tests.scenarios.props import unhurried


def main() -> None:
    """Run until SIGTERM, or until the point is reached."""
    given = json.loads(Path(sys.argv[1]).read_text())
    point = int(sys.argv[2]) if len(sys.argv) > 2 else -1
    asyncio.run(_live(given, point))


async def _live(given: dict[str, Any], point: int) -> None:
    numbers, lock = itertools.count(), threading.Lock()
    points = os.open(given["points"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def checkpoint(name: str) -> None:
        with lock:
            os.write(points, f"{name}\n".encode())
            if next(numbers) == point:
                os.kill(os.getpid(), signal.SIGKILL)

    settings = Settings(
        config=Path(given["config"]),
        database_url=given["database_url"],
        port=given["port"],
        state=Path(given["state"]),
        slack_bot_token=Secret(given["bot_token"]),
        slack_app_token=Secret(given["app_token"]),
        slack_api_url=given["slack_api_url"],
        admin_token=Secret(given["admin_token"]),
    )
    definitions = load_directory(settings.config, deployer_problems, test_problems)
    assert definitions.is_good, definitions.findings
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    parts = Parts(checkpoint=checkpoint, pacing=unhurried(), has_canaries=False)
    async with running(settings, definitions, parts):
        await ended.wait()


if __name__ == "__main__":
    main()
