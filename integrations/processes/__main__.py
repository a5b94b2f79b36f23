"""A look at a supervisor from a shell: `python -m integrations.processes status --root DIR --name NAME`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from core.errors import PermanentError
from integrations.processes import socket_path
from integrations.processes.artifacts import ArtifactStore


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is asked for; 1 where it cannot be told."""
    parser = argparse.ArgumentParser(prog="integrations.processes")
    verbs = parser.add_subparsers(dest="verb", required=True)
    status = verbs.add_parser("status", help="targets, units and the last deployments")
    status.add_argument("--root", type=Path, required=True)
    status.add_argument("--name", required=True)
    add = verbs.add_parser("add", help="keep an artifact on this host and print its digest")
    add.add_argument("--root", type=Path, required=True)
    add.add_argument("source", type=Path)
    options = parser.parse_args(arguments)
    try:
        if options.verb == "add":
            _print(ArtifactStore(options.root).add(options.source))
        else:
            _print("\n".join(_lines(*asyncio.run(_asked(options.root, options.name)))))
    except PermanentError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


async def _asked(root: Path, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    connector = aiohttp.UnixConnector(str(socket_path.for_clients(root, name)))
    try:
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=10)) as session:
            async with session.get("http://supervisor/overview") as answer:
                overview = await answer.json()
            async with session.get("http://supervisor/metrics.json") as answer:
                return overview, await answer.json()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise PermanentError(f"No supervisor for {name} answers in {root}.") from error


def _lines(overview: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[str]:
    where = f"http://{overview['host']}:{overview['port']}/" if overview["host"] else "not configured yet"
    yield f"front {where}"
    for name, target in overview["targets"].items():
        counts = metrics["targets"][name]
        version = "nothing" if target["usual"] is None else target["usual"]["version"]
        mixed = ", mixed" if target["is_mixed"] else ""
        yield (
            f"  {name}: {version}{mixed}, {target['share']} % of requests, "
            f"{counts['serving']} of {counts['units']} units serve, {counts['requests']} requests, "
            f"{counts['server_errors']} errors, {counts['restarts']} restarts"
        )
        for place, unit in enumerate(target["units"]):
            runs = "empty" if unit["runs"] is None else unit["runs"]["version"]
            state = "serves" if unit["is_serving"] else f"does not serve {unit['trouble']}".rstrip()
            yield f"    {place}  {runs}  {state}  process {unit['pid'] or '-'}  port {unit['port'] or '-'}"
    for deployment in overview["deployments"][-5:]:
        order = deployment["order"]
        yield (
            f"  {deployment['id']}  {order['target']} to {order['wanted']['version']}: {deployment['outcome']} "
            f"{deployment['done_units']}/{deployment['all_units']}  {deployment['message']}".rstrip()
        )


def _print(text: str) -> None:
    print(text)


if __name__ == "__main__":
    sys.exit(main())
