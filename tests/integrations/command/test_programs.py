"""What programs are given, how they end, and what is said of it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import PermanentError, TransientError
from core.ports import DeploymentRequest, DeploymentStatus, Outcome
from integrations.command import runner
from integrations.command.deployer import CommandDeployer
from tests.integrations.command.world import SECRET, World

TELLS = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code, *arguments]


async def deployed(
    world: World, request: DeploymentRequest, deployer: CommandDeployer | None = None
) -> DeploymentStatus:
    deployer = deployer or world.connect()
    ref = await deployer.start(request)
    async with asyncio.timeout(30):
        while (status := await deployer.wait(ref, 1)).outcome is Outcome.RUNNING:
            pass
    return status


async def test_a_program_gets_its_arguments_and_environment_as_they_are(tmp_path: Path) -> None:
    """Nothing of it is read by a shell; nothing of Andon's own environment is there."""
    own = python(TELLS, "{version}", "--to={version}", "{values.region}", "{{version}}", '{"a": 1}', "{is_rollback}")
    world = World(tmp_path, {"run": own, "env": {"MODE": "quick"}, "running": None})
    world.targets = {"web-1": {"values": {"region": "eu"}, "env": {"MODE": "slow"}}}
    world.environment["ANDON_ADMIN_TOKEN"] = "not-for-you"
    version = "1.0; rm -rf / $(id) `id` 'x' \"y\" *"
    status = await deployed(world, world.request("k-1", version=version))
    assert status.outcome is Outcome.SUCCEEDED, status.message
    arguments, environment = json.loads(status.output)
    assert arguments == [version, f"--to={version}", "eu", "{version}", '{"a": 1}', "false"]
    assert environment["MODE"] == "slow"
    assert environment["ANDON_VERSION"] == version
    assert (environment["ANDON_TARGET"], environment["ANDON_IS_ROLLBACK"]) == ("web-1", "false")
    assert "ANDON_ADMIN_TOKEN" not in environment
    assert environment["DEPLOY_TOKEN"] == "•••", "it got it, and it is hidden"


async def test_a_version_that_would_be_an_option_is_refused_but_for_after_two_dashes(tmp_path: Path) -> None:
    request = World(tmp_path).request("k-1", version="--delete-everything")
    world = World(tmp_path, {"run": python(TELLS, "{version}"), "running": None})
    with pytest.raises(PermanentError, match="begins with a dash"):
        await world.connect().start(request)
    assert await world.connect().find("k-1") is None
    world = World(tmp_path, {"run": python(TELLS, "--", "{version}"), "running": None})
    assert (await deployed(world, request)).outcome is Outcome.SUCCEEDED


async def test_a_rollback_runs_its_own_program_and_is_told_what_ran(tmp_path: Path) -> None:
    back = python(TELLS, "back", "{previous_version}", "{is_rollback}")
    world = World(tmp_path, {"run": python(TELLS, "{previous_version}"), "rollback": back, "running": None})
    first = await deployed(world, world.request("k-1", digest="sha256:1"))
    assert json.loads(first.output)[0] == [""]
    second = await deployed(world, world.request("k-2", digest="sha256:2"))
    assert json.loads(second.output)[0] == ["1"]
    third = await deployed(world, world.request("k-3", digest="sha256:1", is_rollback=True))
    assert json.loads(third.output)[0] == ["back", "2", "true"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"run": ["no-such-program"]}, "There is no program no-such-program here that Andon may run."),
        ({"cwd": "/no/such/place"}, "`cwd` /no/such/place is no directory here."),
        ({"env_from": ["DEPLOY_KEY"]}, "The program is promised DEPLOY_KEY, which Andon does not have"),
    ],
)
async def test_what_is_missing_is_said_before_anything_begins(tmp_path: Path, change: Any, said: str) -> None:
    world = World(tmp_path, change)
    with pytest.raises(PermanentError) as refused:
        await world.connect().start(world.request("k-1"))
    assert said in refused.value.message
    assert await world.connect().find("k-1") is None


async def test_what_cannot_be_executed_after_all_has_failed(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    world = World(tmp_path, {"run": [str(broken)], "running": None})
    status = await deployed(world, world.request("k-1"))
    assert status.outcome is Outcome.FAILED
    assert status.message == "`broken` could not be run: No such file or directory."
    assert not (await world.connect().running_version("web-1")).is_mixed, "it changed nothing"


async def test_a_failure_says_its_status_and_last_words_without_secrets(tmp_path: Path) -> None:
    world = World(tmp_path)
    status = await deployed(world, world.request("k-1", digest="sha256:failing"))
    assert status.message == "`python` ended with status 3: disk full, says •••" or status.message.startswith(
        "`python3"
    )
    assert status.output.splitlines()[0] == "deploying failing with •••"
    assert SECRET not in "".join(path.read_text() for path in (tmp_path / "state").rglob("*") if path.is_file())


async def test_a_program_that_takes_too_long_is_stopped_with_all_it_began(tmp_path: Path) -> None:
    world = World(tmp_path, {"timeout": "500ms"})
    status = await deployed(world, world.request("k-1", digest="sha256:endless"))
    assert status.outcome is Outcome.FAILED
    assert "did not end within 0:00:00.500000 and was stopped" in status.message
    child = tmp_path / "child"
    assert not child.exists() or not runner.ticks(int(child.read_text()))


async def test_one_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    world = World(tmp_path, {"run": python(deaf), "grace": "200ms", "running": None})
    deployer = world.connect()
    ref = await deployer.start(world.request("k-1"))
    output = tmp_path / "state" / "runs" / ref.value / "output"
    await _until(output.exists)
    await deployer.cancel(ref)
    assert (await deployer.wait(ref, 20)).outcome is Outcome.CANCELLED


async def test_what_it_leaves_running_goes_on_and_is_not_waited_for(tmp_path: Path) -> None:
    """As a script does that starts a service in the background, with its output still ours."""
    leaves = (
        "import os, subprocess, sys\n"
        "code = 'import pathlib, sys, time\\nwhile not pathlib.Path(sys.argv[1]).exists(): print(1, flush=True); "
        "time.sleep(0.05)\\npathlib.Path(sys.argv[1]).unlink()'\n"
        "subprocess.Popen([sys.executable, '-c', code, sys.argv[1]])\n"
        "print('started')"
    )
    end = tmp_path / "end"
    world = World(tmp_path, {"run": python(leaves, str(end)), "running": None})
    status = await deployed(world, world.request("k-1"))
    assert status.outcome is Outcome.SUCCEEDED
    assert "started" in status.output
    end.touch()
    await _until(lambda: not end.exists())


async def test_a_long_output_keeps_its_end(tmp_path: Path) -> None:
    output = runner.Output(tmp_path / "output", [], kept=1_000)
    for number in range(1_000):
        output.add(f"line {number}\n".encode())
    output.close()
    lines = (tmp_path / "output").read_text().splitlines()
    assert lines[0] == "… what came before is not kept"
    assert lines[-1] == "line 999"
    assert len(lines) < 300


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_secret_is_hidden_wherever_its_output_is_cut(tmp_path: Path, cut: int) -> None:
    text = b"a open-sesame b\nopen-\nsesame and a%2Fb end"
    output = runner.Output(tmp_path / "output", ["open-sesame", "a/b c"[:3] + "xx", "no"])
    output.add(text[:cut])
    output.add(text[cut:])
    output.close()
    said = (tmp_path / "output").read_text()
    assert said == "a ••• b\nopen-\nsesame and a%2Fb end"


def test_a_secret_on_a_line_without_end_is_hidden(tmp_path: Path) -> None:
    output = runner.Output(tmp_path / "output", ["open-sesame"])
    for _ in range(3):
        output.add(b"x" * (runner.LONGEST_LINE - 5) + b"open-ses")
        output.add(b"ame")
    output.close()
    said = (tmp_path / "output").read_text()
    assert "sesame" not in said
    assert said.count("•••") == 3


async def test_unreadable_state_is_unknown(tmp_path: Path) -> None:
    world = World(tmp_path)
    ref = await world.connect().start(world.request("k-1"))
    await world.connect().wait(ref, 20)
    (tmp_path / "state" / "runs" / ref.value / "result.json").write_text("{")
    with pytest.raises(TransientError, match="cannot be read"):
        await world.connect().status(ref)


async def test_old_runs_are_forgotten_and_what_runs_is_not(tmp_path: Path) -> None:
    world = World(tmp_path, {"running": None, "run": python("")})
    for number in range(2):
        await deployed(world, world.request("k-1", digest=f"sha256:{number}"))
    runs = tmp_path / "state" / "runs"
    (template,) = runs.iterdir()
    for number in range(1_000):
        copied = runs / f"{number:040}"
        copied.mkdir()
        (copied / "result.json").write_bytes((template / "result.json").read_bytes())
        os.utime(copied, (number, number))
    await deployed(world, world.request("k-2", digest="sha256:2"))
    assert len(list(runs.iterdir())) == 1_000
    assert not (runs / f"{0:040}").exists()
    assert (await world.connect().running_version("web-1")).digest == "sha256:2"


async def _until(found: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not found():  # noqa: ASYNC110 - other processes do it
            await asyncio.sleep(0.01)
