"""`make up`: the local workspace, the bot, the shop and its customers; prints one URL, and Ctrl-C ends it all.

Version 1.0.0 is brought everywhere first, so that there is something to go back to; then 1.1.0 sets out and is yours:
ask why it waits, approve it as somebody else, break it on the shop's own page, and watch.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import time
import webbrowser
from pathlib import Path

from examples.local_stack import LocalStack, Ports
from examples.shop.traffic import Traffic
from simulator.people import NotSeen
from simulator.seen import Seen

REQUESTS_PER_SECOND = 10
DIRECTORY = Path(".andon") / "local"


async def up(directory: Path, *, opens_browser: bool) -> int:
    """Run until told to end."""
    began = time.monotonic()
    told_to_end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told_to_end.set)
    stack = LocalStack(directory, Ports.usual())
    story: asyncio.Task[None] | None = None
    try:
        await stack.start()
        _greet(stack, time.monotonic() - began)
        if opens_browser and _has_screen():
            await asyncio.to_thread(webbrowser.open, stack.workspace.url)
        story = asyncio.create_task(_open_shop(stack))
        assert stack.bot is not None, "the bot was started"
        ends = asyncio.ensure_future(told_to_end.wait())
        dies = asyncio.ensure_future(stack.bot.wait())
        await asyncio.wait((ends, dies), return_when=asyncio.FIRST_COMPLETED)
        if not told_to_end.is_set():
            _say(f"The bot ended by itself; its log is {directory / 'bot.log'}.")
            return 1
        return 0
    finally:
        _say("Stopping: bot, shop, workspace …")
        for task in (story,):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await stack.stop()
        _say("Nothing is left running.")


def _has_screen() -> bool:
    """Whether a browser could show itself; one of the terminal would take it over."""
    return sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _greet(stack: LocalStack, seconds: float) -> None:
    _say(f"Up in {seconds:.1f} s. Open the workspace:\n\n    {stack.workspace.url}\n")
    _say(f"The shop, with its Break it switch:  {stack.shop_url}  (a minute from now)")
    _say("For a shell of your own, as Ann:")
    _say(f"    export ANDON_URL={stack.bot_url} ANDON_TOKEN={stack.ann_token}")
    _say("    .venv/bin/andon status\n")
    _say("Ctrl-C ends it all.\n")


async def _open_shop(stack: LocalStack) -> None:
    """Bring 1.0.0 everywhere, let customers in, and set 1.1.0 on its way."""
    with contextlib.suppress(NotSeen):
        await stack.announce("1.0.0", title="Open the shop", author="dave@example.com")
        _say("1.0.0 sets out; Carol will approve it, so that there is a known good version.")
        card = await stack.workspace.until(lambda: _asking(stack, "1.0.0"), 120)
        await stack.workspace.person("carol").presses("Approve", on=card, confirm=True)
        await stack.workspace.until(lambda: _everywhere(stack, "1.0.0"), 180)
        async with Traffic(stack.shop_url, REQUESTS_PER_SECOND):
            _say("1.0.0 is everywhere and customers are in the shop. 1.1.0 sets out: it is yours.")
            await stack.announce("1.1.0", title="Show prices with tax", author="bob@example.com")
            await asyncio.Event().wait()


def _cards(stack: LocalStack, version: str) -> list[Seen]:
    return [m for m in stack.workspace.channel("#shop").messages if m.text.startswith(f"shop {version} ")]


def _asking(stack: LocalStack, version: str) -> Seen | None:
    return next((card for card in _cards(stack, version) if "Approve" in card.buttons), None)


def _everywhere(stack: LocalStack, version: str) -> Seen | None:
    return next((card for card in _cards(stack, version) if "is everywhere" in card.text), None)


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="make up", description=__doc__)
    parser.add_argument("--no-browser", action="store_true", help="only print the URL")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="where everything lives; emptied first")
    chosen = parser.parse_args()
    return asyncio.run(up(chosen.directory.absolute(), opens_browser=not chosen.no_browser))


if __name__ == "__main__":
    sys.exit(main())
