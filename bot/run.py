"""`andon run`: the bot as a process. Says at start what it can and cannot do, ends cleanly on SIGTERM and SIGINT."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

from bot.adapter_settings import deployer_problems, source_problems, test_problems
from bot.app import build
from bot.definitions import Definitions, load_directory
from bot.lean import begin_logging, rest_collector, take_short_turns
from bot.settings import Settings, SettingsError
from core.errors import AndonError

log = logging.getLogger("andon")

STARTED_ANEW = 75
"""Exit code that asks whoever started the process to start it again."""


def run() -> int:
    """Run until told to end; returns the exit code."""
    begin_logging(os.environ.get("ANDON_LOG", "INFO").upper())
    take_short_turns()
    try:
        settings = Settings.from_environment(os.environ)
        definitions = _definitions(settings)
        return asyncio.run(_run(settings, definitions))
    except AndonError as error:
        sys.stderr.write(f"andon: {error.message}\n")
        return 1


def _definitions(settings: Settings) -> Definitions:
    found = load_directory(settings.config, deployer_problems, test_problems, source_problems)
    for finding in found.findings:
        log.warning("%s", finding)
    if not found.is_good:
        raise SettingsError(f"The definitions in {settings.config} have mistakes, listed above; mend them first.")
    return found


async def _run(settings: Settings, definitions: Definitions) -> int:
    told_to_end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_end.set)
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    app = build(settings, definitions)
    try:
        await app.start()
        app.run()
        for sentence in app.sentences:
            log.info("%s", sentence)
        rest_collector()
        log.info("Andon is up at http://%s:%d with %d pipelines.", settings.host, app.port, len(app.engine.pipelines()))
        waits = [asyncio.ensure_future(event.wait()) for event in (told_to_end, app.ended)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return 0 if told_to_end.is_set() else STARTED_ANEW
    finally:
        await app.close()
