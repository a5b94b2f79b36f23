"""One replica as a process: `python -m tests.chaos.replica SETTINGS.json`.

It is `andon run` with real time, a real PostgreSQL and a real connection to a workspace, but for its deployer, which
is a client of `outside.py`, and a clock that may be off by some seconds, as that of another machine.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bot.app import Parts, running
from bot.clock import SystemClock
from bot.definitions import load_directory
from bot.lean import begin_logging
from bot.settings import Secret, Settings
from tests.chaos.outside import RemoteDeployer


class WrongClock(SystemClock):
    """The machine's clock, off by so much."""

    def __init__(self, seconds: float) -> None:
        self._off = timedelta(seconds=seconds)

    def now(self) -> datetime:
        """The present instant as this machine sees it."""
        return super().now() + self._off


async def _live(given: dict[str, Any]) -> int:
    settings = Settings(
        config=Path(given["config"]),
        database_url=given["database_url"],
        port=given["port"],
        state=Path(given["state"]),
        lease=timedelta(seconds=given["lease"]),
        slack_bot_token=Secret(given["bot_token"]),
        slack_app_token=Secret(given["app_token"]),
        slack_api_url=given["slack_api_url"],
        slack_every=0.25,
        admin_token=Secret(given["admin_token"]),
    )
    definitions = load_directory(settings.config)
    assert definitions.is_good, definitions.findings
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)

    def deployer(_name: str, _settings: Any, _targets: Any) -> RemoteDeployer:
        return RemoteDeployer(given["outside"], looks=given["looks"])

    parts = Parts(clock=WrongClock(given["clock_off"]), build_deployer=deployer, has_canaries=False)
    async with running(settings, definitions, parts) as app:
        logging.getLogger("andon").info("up")
        waits = [asyncio.ensure_future(event.wait()) for event in (ended, app.ended)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return 0 if ended.is_set() else 75


if __name__ == "__main__":
    begin_logging("INFO")
    raise SystemExit(asyncio.run(_live(json.loads(Path(sys.argv[1]).read_text()))))
