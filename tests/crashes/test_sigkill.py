"""Killed with SIGKILL, as a process, with real units under it: the one that is started next goes on where it was.

Every tenth of the points that a whole release passes. The workspace is in this process and lives on, as Slack would;
so do the supervisor of the units and the units themselves. Every unit writes a line when it is started.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.crashes.stack import TARGETS, Stack
from tests.scenarios.kit import key_of

EVERY = 10
SLICES = 4
UNIT = """
import http.server, os, sys
with open(os.environ["TALLY"], "a") as tally:
    tally.write(os.environ["PLACE"] + "\\n")
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


async def at_rest(stack: Stack) -> None:
    """Wait until nothing is left to deliver."""
    async with asyncio.timeout(20):
        while True:
            status = (await stack.ask("POST", "/api/commands", {"text": "history shop last 100"}))["text"]
            posted = [m for c in stack.simulator.workspace.channels.values() for m in c.messages.values()]
            if "is everywhere" in status and any("is everywhere" in m.text and m.is_reply for m in posted):
                return
            await asyncio.sleep(0.05)


def artifact(path: Path) -> Path:
    """A version whose units write down that they were started."""
    made = path / "artifact"
    made.mkdir()
    (made / "unit.py").write_text(UNIT)
    manifest = {"command": ["python3", "-I", "-S", "unit.py", "{port}"], "health": "/"}
    (made / "andon-artifact.json").write_text(json.dumps(manifest))
    return made


async def told(path: Path, point: int) -> tuple[list[str], list[str], int]:
    """The whole story, killed at a point; returns the points passed, what was said, and how often it died."""
    async with asyncio.timeout(60), Stack.running(path, point) as stack:
        await stack.announce("1.0.0", artifact(path))
        await stack.approve("1.0.0")
        await stack.everywhere("1.0.0")
        await at_rest(stack)
        assert await stack.what_runs() == dict.fromkeys(TARGETS, "1.0.0")
        tally = Counter((path / "tally").read_text().split())
        assert tally == dict.fromkeys(TARGETS, 1), "each target was deployed once"
        messages = [m for c in stack.simulator.workspace.channels.values() for m in c.messages.values()]
        keys = Counter(key_of(m) for m in messages if key_of(m))
        assert set(keys.values()) == {1}, stack.simulator.transcript()
        assert await stack.ask("GET", "/api/audit") == {"shop": None, "(organisation)": None}
        points = (path / "points").read_text().split()
        assert stack.deaths == (1 if 0 <= point < len(points) else 0)
        # Each telling of the story has its own times.
        said = sorted(re.sub(r"<!date[^>]*>", "then", m.text) for m in messages if key_of(m) and m.is_reply)
    shutil.rmtree(path)
    return points, said, stack.deaths


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[str], int]:
    return asyncio.run(told(tmp_path_factory.mktemp("unharmed"), -1))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(SLICES))
async def test_killed_at_every_tenth_point(
    number: int, tmp_path: Path, reference: tuple[list[str], list[str], int], record_property: Any
) -> None:
    points, said, _ = reference
    deaths = 0
    chosen = list(range(EVERY // 2, len(points), EVERY))[number::SLICES]
    record_property("points", f"{len(chosen)} of {len(points)}")
    print(f"\n{len(points)} points; killed at {chosen}")
    for point in chosen:
        path = tmp_path / f"point-{point}"
        path.mkdir()
        _, heard, died = await told(path, point)
        assert heard == said, f"killed at {point}"
        deaths += died
    # Signs of life are points too, and a quick run ends before the last of them.
    assert deaths >= len(chosen) - 1
