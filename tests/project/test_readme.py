"""The README is true: each of its commands is run, here or by the test named for it; its links lead somewhere."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from examples.local_stack import LocalStack, Ports
from examples.shop.build import build
from tests.project.processes import clean_environment, until_none_is_left
from tests.project.tree import ROOT, functions, tracked

ON_A_DESK = (
    "make help",
    'export PATH="$PWD/.venv/bin:$PATH"',
    "andon --help",
    "cp -r examples/shop/andon my-config",
    "andon check my-config",
    "andon simulate my-config/pipelines/shop.yaml --deployments 1000",
    "andon manifest",
    "andon preview card",
)
"""Run one after another in one shell, in a copy of the repository."""

WITH_ANDON_UP = (
    "andon token create --name ci --actor ci --scope announce:shop",
    "andon token create --name ann --actor ann --scope read --scope act",
    'andon announce shop 1.2.0 --artifact build/shop-1.2.0 --change "a1b2c3d: Show prices with tax (bob@example.com)"',
    "andon status shop",
    "andon why shop",
    "andon pause shop prices look wrong",
    "andon resume shop",
    "andon history shop",
    "andon audit verify",
)
"""Run one after another while a bot is up."""

ELSEWHERE = {
    "make up": ("test_demo.py", "test_make_up_prints_one_url_and_ctrl_c_ends_it_all"),
    "make demo": ("test_demo.py", "test_the_demonstration_tells_its_story_and_leaves_nothing"),
    "make test": ("test_readme.py", "test_make_test_is_what_runs_now"),
    "ANDON_CONFIG=my-config andon run": ("test_dockerfile.py", "test_the_bot_runs_with_a_deployer_of_others"),
}


def commands() -> list[str]:
    """Every command of the README, in its order."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def test_every_command_is_run_by_a_test() -> None:
    assert sorted(commands()) == sorted([*ON_A_DESK, *WITH_ANDON_UP, *ELSEWHERE])
    in_order = [command for command in commands() if command not in ELSEWHERE]
    assert in_order == [*ON_A_DESK, *WITH_ANDON_UP], "people run them from top to bottom"
    for file, test in ELSEWHERE.values():
        assert test in {function.name for function in functions(f"tests/project/{file}")}, f"{file} has no {test}"


def test_commands_stand_in_blocks_that_are_read() -> None:
    """A block in another shell's name would be run by nobody."""
    languages = set(re.findall(r"^```(\w*)\n", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert languages <= {"sh", ""}


def test_make_test_is_what_runs_now() -> None:
    words = ["make", "--no-print-directory", "--dry-run", "test"]  # "make test" is what runs this
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[-1].startswith("exec .venv/bin/python -m pytest ")


# ---- on a desk ------------------------------------------------------------------------------------------------------


def test_what_a_newcomer_types_works(tmp_path: Path) -> None:
    desk = tmp_path / "andon"
    for name in tracked("Makefile", "examples/shop/andon/*", "docs/schema/*"):
        place = desk / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes((ROOT / name).read_bytes())
    (desk / ".venv").symlink_to(Path(sys.executable).parent.parent)
    script = "".join(f"printf '\\n== %s\\n' {_quoted(command)}\n{command}\n" for command in ON_A_DESK)
    told = _shell(script, desk, {})
    answers = {part.partition("\n")[0]: part.partition("\n")[2] for part in told.split("\n== ")[1:]}
    assert list(answers) == list(ON_A_DESK)
    assert re.search(r"^demo +\w", answers["make help"], re.MULTILINE)
    assert "pause SERVICE" in answers["andon --help"]
    assert "wave-2" in answers["andon check my-config"]
    assert "slash_commands:" in answers["andon manifest"]
    assert '"blocks"' in answers["andon preview card"]


# ---- while a bot is up ----------------------------------------------------------------------------------------------


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[LocalStack]:
    """The whole of Andon on this machine, until the test ends."""
    stack = LocalStack(tmp_path / "local", Ports.free())
    try:
        await stack.start()
        yield stack
    finally:
        await stack.stop()
    await until_none_is_left(tmp_path)


@pytest.mark.slow
async def test_what_is_typed_while_a_bot_is_up_works(stack: LocalStack, tmp_path: Path) -> None:
    assert build("1.2.0", tmp_path / "build") == tmp_path / "build" / "shop-1.2.0"
    (tmp_path / "bin").symlink_to(Path(sys.executable).parent)
    own = {
        "ANDON_URL": stack.bot_url,
        "ANDON_TOKEN": stack.admin_token,
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    told = {command: await asyncio.to_thread(_shell, command, tmp_path, own) for command in WITH_ANDON_UP}
    ci, ann, announce, status, why, pause, resume, history, audit = told.values()
    assert '"token"' in ci
    assert '"token"' in ann
    assert "1.2.0" in announce
    assert "beta" in status
    assert "1.2.0" in why
    assert "is paused" in pause
    assert resume
    assert "prices look wrong" in history
    assert audit == "shop: whole\n(organisation): whole\n"


def _shell(script: str, cwd: Path, environment: dict[str, str]) -> str:
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=cwd,
        env=clean_environment() | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, f"{script}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def _quoted(command: str) -> str:
    return "'" + command.replace("'", "'\\''") + "'"
