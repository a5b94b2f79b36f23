"""Runs the simulator as a process: `python -m simulator --port 8765 --config workspace.json`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from pathlib import Path

from simulator.config import ConfigError, read_config, setup_from
from simulator.errors import Refused
from simulator.server import Server
from simulator.workspace import Clock


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and serve until SIGTERM or SIGINT; returns the exit status."""
    parser = argparse.ArgumentParser(prog="simulator", description="A strict Slack workspace on localhost.")
    parser.add_argument("--port", type=int, default=8765, help="0 takes any free port (default: 8765)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--url", help="the address under which the app reaches this, where that is another")
    parser.add_argument("--config", type=Path, help="JSON description of the workspace")
    parser.add_argument("--speed", type=float, default=1.0, help="how fast message dates run (default: 1)")
    options = parser.parse_args(arguments)
    try:
        config = read_config(options.config) if options.config else {}
        server = Server(setup_from(config, _clock(options.speed)))
        asyncio.run(_serve(server, options.host, options.port, options.url))
    except (ConfigError, Refused) as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"simulator: cannot listen on {options.host}:{options.port}: {error}", file=sys.stderr)
        return 1
    return 0


def _clock(speed: float) -> Clock:
    started = time.time()
    return lambda: started + (time.time() - started) * speed


async def _serve(server: Server, host: str, port: int, url: str | None) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    if url is not None and not url.endswith("/"):
        url += "/"
    try:
        address = await server.start(host, port, url)
        print(f"Slack workspace on {address}", flush=True)
        await stopped.wait()
    finally:
        await server.stop()


if __name__ == "__main__":
    sys.exit(main())
