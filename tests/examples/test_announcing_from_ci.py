"""The GitHub action, run as GitHub would run it, by the shells there are, against a running Andon."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.scenarios.kit import ADMIN, Story, story

ROOT = Path(__file__).parents[2]
ACTION = ROOT / "examples" / "ci" / "github-action"
DIGEST = "sha256:" + "ab12" * 16
GITHUB = {
    "github.sha": "4f1d" * 10, "github.server_url": "https://code.example.com", "github.repository": "acme/shop",
    "github.run_id": "900482", "github.run_attempt": "1",
}  # fmt: skip
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="needs `apt-get install curl`")
INPUTS = {"service": "shop", "version": "1.4.2", "artifact": "registry.example.com/shop:1.4.2", "digest": DIGEST}


def action() -> dict[str, Any]:
    return dict(yaml.safe_load((ACTION / "action.yml").read_text()))


def environment(inputs: dict[str, str], outputs: Path) -> dict[str, str]:
    """What GitHub gives the step: its `env`, with the inputs and their defaults filled in."""
    whole = action()
    given = {name: inputs.get(name, str(told.get("default", ""))) for name, told in whole["inputs"].items()}
    known = {**GITHUB, **{f"inputs.{name}": filled(value, GITHUB) for name, value in given.items()}}
    (step,) = whole["runs"]["steps"]
    made = {name: filled(value, known) for name, value in step["env"].items()}
    fixed = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "GITHUB_OUTPUT": str(outputs)}
    return {**made, **fixed, "GITHUB_ACTIONS": "true", "GITHUB_ACTION_PATH": str(ACTION), "ANDON_PAUSE": "0"}


def filled(text: str, known: dict[str, str]) -> str:
    return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda found: known[found[1]], text)


async def run(shell: str, values: dict[str, str]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        shell, str(ACTION / "announce.sh"), env=values, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def token(s: Story) -> str:
    status, answer = await s.call("POST", "/api/tokens", {"name": "ci", "actor": "ci", "scopes": ["announce:shop"]})
    assert status == 201, answer
    return str(answer["token"])


@needs_curl
@pytest.mark.parametrize("shell", ["dash", "bash"])
async def test_the_action_announces_and_announces_once(tmp_path: Path, shell: str) -> None:
    assert shutil.which(shell), f"install {shell}"
    async with story(tmp_path, has_slack=False) as s:
        secret = await token(s)
        changes = '[{"id": "c1", "title": "It\'s \\"$(reboot)\\" `now`", "authors": ["bob@example.com"]}]'
        given = INPUTS | {"url": f"http://127.0.0.1:{s.app.port}/", "token": secret, "changes": changes}
        values = environment(given, tmp_path / "outputs")
        code, said = await run(shell, values)
        assert (code, "shop 1.4.2 is on" in said) == (0, True), said
        (release,) = s.state.releases
        assert (release.digest, release.commit, release.url) == (
            DIGEST, "4f1d" * 10, "https://code.example.com/acme/shop/actions/runs/900482",
        )  # fmt: skip
        assert release.changes[0].title == 'It\'s "$(reboot)" `now`'
        assert (tmp_path / "outputs").read_text() == f"release={release.id}\ndigest={DIGEST}\n"
        code, _ = await run(shell, values)
        assert (code, len(s.state.releases)) == (0, 1), "again, it is the same"
        assert said.replace(f"::add-mask::{secret}\n", "").count(secret) == 0, "it is shown to the runner alone"


@needs_curl
async def test_a_refusal_is_an_error_that_says_why(tmp_path: Path) -> None:
    async with story(tmp_path, has_slack=False) as s:
        given = INPUTS | {"url": f"http://127.0.0.1:{s.app.port}", "token": await token(s)}
        code, said = await run("dash", environment(given | {"service": "shpo"}, tmp_path / "outputs"))
        assert (code, "::error title=Andon::Andon refused (403)" in said) == (1, True), said
        code, said = await run("dash", environment(given | {"version": ""}, tmp_path / "outputs"))
        assert (code, "ANDON_VERSION is empty" in said) == (1, True), said
        code, said = await run("dash", environment(given | {"changes": "not JSON"}, tmp_path / "outputs"))
        assert (code, "make no announcement" in said) == (1, True), said
        assert s.state.releases == ()
        assert ADMIN not in said


@needs_curl
async def test_an_andon_that_is_away_is_asked_again_and_then_the_step_fails(tmp_path: Path) -> None:
    given = INPUTS | {"url": "http://127.0.0.1:1", "token": "xyz"}
    values = environment(given, tmp_path / "outputs") | {"ANDON_ATTEMPTS": "3"}
    code, said = await run("dash", values)
    assert code == 1
    assert said.count("trying again") == 2
    assert "did not record it (000)" in said


def test_the_action_is_whole_and_no_input_is_a_part_of_a_command() -> None:
    whole = action()
    assert whole["runs"]["using"] == "composite"
    (step,) = whole["runs"]["steps"]
    assert "${{" not in step["run"], "an input in a command could be one"
    used = set(re.findall(r"\$\{\{ inputs\.([\w-]+) \}\}", "".join(step["env"].values())))
    assert used == set(whole["inputs"])


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs `apt-get install shellcheck`")
def test_its_shell_is_clean() -> None:
    ended = subprocess.run(["shellcheck", ACTION / "announce.sh"], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
