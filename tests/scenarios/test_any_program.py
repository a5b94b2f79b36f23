"""A line whose stages are deployed by a program of one's own: its output in the thread, back after a failure, and the
bot killed while the program runs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.ports import Deployer
from integrations.command import config
from integrations.command.deployer import CommandDeployer
from tests.crashes.stack import Stack
from tests.scenarios.kit import Story, story
from tests.scenarios.props import digest, shop
from tests.scenarios.test_too_long import attached

SECRET = "open-sesame"
PROGRAM = """
import os, pathlib, sys, time
here, target = pathlib.Path(sys.argv[1]), sys.argv[2]
version = os.environ["ANDON_VERSION"]
with (here / "begun").open("a") as begun:
    begun.write(f"{target}={version}\\n")
print("going to", target, "as", os.environ.get("DEPLOY_TOKEN"), "instead of", sys.argv[3], flush=True)
if version == "1.1.0":
    sys.exit("no space left on device")
for number in range(400 if version == "1.2.0" else 0):
    print("step", number, "of <!channel>")
while version == "1.3.0" and not (here / "go").exists():
    time.sleep(0.01)
(here / f"runs-{target}").write_text(os.environ["ANDON_DIGEST"])
"""
SAYS = """
import pathlib, sys
record = pathlib.Path(sys.argv[1]) / f"runs-{sys.argv[2]}"
print(record.read_text() if record.exists() else '{"digest": null}')
"""


def by_program(path: Path, **more: Any) -> dict[str, Any]:
    """What stands under `deployer:`."""
    python = [sys.executable, "-I", "-S", "-c"]
    return {
        "use": "command",
        "with": {
            "state": str(path / "commands"),
            "run": [*python, PROGRAM, str(path), "{target}", "{previous_version}"],
            "running": [*python, SAYS, str(path), "{target}"],
            **more,
        },
    }


def built(_name: str, settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]) -> Deployer:
    read, known, problems = config.read(settings, targets)
    assert read is not None, problems
    return CommandDeployer(read, known, environment={"PATH": os.defpath, "DEPLOY_TOKEN": SECRET})


def begun(path: Path, version: str) -> list[str]:
    """The targets for which the program really began, in order."""
    lines = (path / "begun").read_text().split()
    return [line.partition("=")[0] for line in lines if line.endswith(f"={version}")]


async def begins_in(s: Story, stage: str) -> None:
    await s.advance(hours=3, until=lambda: s.stage_phase(stage) is not None)


async def test_what_the_program_printed_is_in_the_thread_and_a_failure_goes_back(tmp_path: Path) -> None:
    file = shop(deployer=by_program(tmp_path, env_from=["DEPLOY_TOKEN"]))
    async with story(tmp_path, file, build_deployer=built) as s:
        await s.everywhere("1.0.0", s.ann)
        assert begun(tmp_path, "1.0.0") == ["beta-1", "box-1", "web-1", "web-2", "web-3"]
        said = s.told("1.0.0", "The deployment of 1.0.0 to beta-1 is done.")
        assert "going to beta-1 as ••• instead of\n" in said
        assert attached(s, "1.0.0") == [], "what is short needs no file"

        await s.announce("1.1.0")
        assert "no space left on device" in s.told("1.1.0", "The deployment of 1.1.0 to beta-1 failed.")
        assert "instead of 1.0.0" in s.told("1.1.0", "The deployment of 1.0.0 to beta-1 is done.")
        assert begun(tmp_path, "1.1.0") == ["beta-1"]
        assert (tmp_path / "runs-beta-1").read_text() == digest("1.0.0")

        await s.announce("1.2.0", fixes=["1.1.0"])
        ((words, content),) = attached(s, "1.2.0")
        assert words == "The deployment of 1.2.0 to beta-1 is done.\nWhat it printed is attached."
        assert content.splitlines()[0] == "going to beta-1 as ••• instead of 1.0.0"
        assert content.splitlines()[-1] == "step 399 of <!channel>"
        assert SECRET not in s.simulator.transcript()
        assert s.running == {}, "nothing else deployed anything"


async def test_a_program_outlives_the_bot_that_is_killed(tmp_path: Path) -> None:
    file = shop(
        deployer=by_program(tmp_path),
        watch="0s",
        stages=[{"name": "beta", "targets": [{"name": "beta-1", "with": {}}], "bake": "0s"}],
        groups={},
        alarms=[],
    )
    async with asyncio.timeout(60), Stack.running(tmp_path, file=file) as stack:
        await stack.announce("1.3.0", "registry.example.com/shop", digest=digest("1.3.0"))
        while not (tmp_path / "begun").exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.02)
        await stack.kill()
        (tmp_path / "go").touch()
        await stack.everywhere("1.3.0")
        assert stack.deaths == 1
        assert begun(tmp_path, "1.3.0") == ["beta-1"]
        assert (await stack.deployer.running_version("beta-1")).digest == digest("1.3.0")
        assert await stack.ask("GET", "/api/audit") == {"shop": None, "(organisation)": None}
