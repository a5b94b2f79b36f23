"""The image, as far as it can be proved without a Docker engine: its rules are kept, and what it installs works."""

from __future__ import annotations

import asyncio
import fcntl
import fnmatch
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from bot.render import Templates
from examples.local_stack import free_port
from tests.project.dockerfile import ROOT, instructions, of
from tests.project.installed import Installed, clean_environment, install, installed

PIPELINE = """\
service: checkout
team: checkout
channel: "#checkout"
deployer:
  use: processes
  with: {root: FRONTS, front: {name: beta, port: 8081}}
stages:
  - name: beta
    targets: [{name: checkout-beta, with: {share: 100}}]
"""


# ---- the rules ------------------------------------------------------------------------------------------------------


def test_it_runs_as_a_user_without_rights() -> None:
    last = max(i.stage for i in instructions())
    users = [i.text for i in of("USER", stage=last)]
    assert users, "no USER: it would run as root"
    assert users[-1].isdigit(), "a number, so that Kubernetes can see that it is not root"
    assert int(users[-1]) >= 10_000
    after = instructions()[instructions().index(of("USER", stage=last)[-1]) + 1 :]
    assert not [i for i in after if i.name in ("RUN", "COPY", "ADD")]


def test_its_bases_are_named_exactly_and_alike() -> None:
    bases = {i.text.split()[0] for i in of("FROM")}
    assert len(bases) == 1, "the environment is moved between stages: both need the same Python"
    (base,) = bases
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", base), base


def test_it_carries_no_secret_and_fetches_nothing_strange() -> None:
    for i in instructions():
        assert i.name != "ADD", "COPY says what it copies; ADD fetches and unpacks"
        if i.name in ("ENV", "ARG"):
            assert not re.search(r"TOKEN|SECRET|PASSWORD|KEY", i.text, re.IGNORECASE), i.text
        if i.name == "RUN":
            assert not re.search(r"https?://|curl|wget", i.text), i.text


def test_it_says_how_it_is_run_and_how_it_is() -> None:
    assert [i.words for i in of("CMD")] == [["andon", "run"]]
    assert len(of("HEALTHCHECK")) == 1
    settings = dict(word.split("=", 1) for i in of("ENV") for word in i.words)
    assert settings["HOST"] == "0.0.0.0"
    assert [i.text for i in of("VOLUME")] == [settings["ANDON_STATE"]]
    assert [i.text for i in of("EXPOSE")] == [settings["PORT"]]


def test_what_it_copies_is_sent_to_the_builder() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    for name in [word for i in of("COPY", stage=0) for word in i.words[:-1]]:
        sent = True
        for line in lines:
            if fnmatch.fnmatch(name.split("/")[0], line.removeprefix("!")):
                sent = line.startswith("!")
        assert sent, f".dockerignore holds {name} back"


def test_it_names_no_tool_of_developers() -> None:
    assert not any("[dev]" in i.text for i in of("RUN"))


# ---- what it installs -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def andon(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Installed once for these tests, by whichever worker comes first; takes the package index."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "image"
    with shared.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "whole").exists():
            shutil.rmtree(shared, ignore_errors=True)
            shared.mkdir()
            install(shared)
            (shared / "whole").touch()
    return installed(shared)


@pytest.mark.slow
class TestInstalled:
    def test_it_is_not_the_checkout(self, andon: Installed) -> None:
        where = andon.run("python", "-c", "import bot, storage; print(bot.__file__, storage.__file__)").stdout
        assert where.count(str(andon.environment)) == 2, where

    def test_it_has_no_tools_of_developers(self, andon: Installed) -> None:
        listed = {p["name"].lower() for p in json.loads(andon.run("pip", "list", "--format", "json").stdout)}
        assert "andon" in listed
        assert not listed & {"pytest", "mypy", "ruff", "hypothesis", "playwright", "import-linter"}
        assert andon.run("pip", "check").returncode == 0

    def test_the_shell_says_what_it_can(self, andon: Installed) -> None:
        told = andon.run("andon", "--help")
        assert told.returncode == 0, told.stderr
        assert "pause SERVICE" in told.stdout

    def test_definitions_are_checked(self, andon: Installed, tmp_path: Path) -> None:
        checked = andon.run("andon", "check", str(_configuration(tmp_path)))
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert "checkout" in checked.stdout

    def test_every_template_is_there(self, andon: Installed) -> None:
        names = andon.run("andon", "preview").stdout.split()
        assert names == list(Templates().names())
        assert names
        drawn = andon.run("andon", "preview", "card")
        assert json.loads(drawn.stdout)["blocks"], drawn.stderr

    def test_the_manifest_is_printed(self, andon: Installed) -> None:
        assert "socket_mode_enabled: true" in andon.run("andon", "manifest").stdout

    def test_the_schemas_for_editors_are_there(self, andon: Installed) -> None:
        for schema in (ROOT / "docs" / "schema").glob("*.json"):
            placed = andon.environment / "share" / "andon" / "schema" / schema.name
            assert placed.read_text() == schema.read_text()

    def test_every_file_of_the_rooms_is_there(self, andon: Installed) -> None:
        """Whatever is not Python is forgotten most easily: the page of the local workspace, migrations, the shop."""
        site = andon.run("python", "-c", "import bot, pathlib; print(pathlib.Path(bot.__file__).parent.parent)")
        rooms = ["bot", "commands", "core", "examples", "integrations", "simulator", "storage", "templates"]
        listed = subprocess.run(["git", "ls-files", *rooms], cwd=ROOT, capture_output=True, text=True, check=True)
        missing = [name for name in listed.stdout.splitlines() if not (Path(site.stdout.strip()) / name).is_file()]
        assert missing == []

    async def test_the_bot_runs_and_its_health_check_sees_it(self, andon: Installed, tmp_path: Path) -> None:
        """Migrations run, the port answers; the health check fails again once it is over."""
        port = str(free_port())
        async with _bot(andon, _configuration(tmp_path), tmp_path / "state", port):
            assert (tmp_path / "state" / "andon.db").is_file()
            assert _health(andon, port).returncode == 0
        assert _health(andon, port).returncode != 0


def _configuration(directory: Path) -> Path:
    root = directory / "config"
    (root / "pipelines").mkdir(parents=True)
    (root / "pipelines" / "checkout.yaml").write_text(PIPELINE.replace("FRONTS", str(directory / "fronts")))
    (root / "org.yaml").write_text("teams: {checkout: {members: [ann]}}\npeople: {ann: {name: Ann}}\n")
    return root


def _health(andon: Installed, port: str) -> subprocess.CompletedProcess[str]:
    """The image's own health check."""
    command = of("HEALTHCHECK")[0].text.partition("CMD ")[2]
    path = f"{andon.environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["/bin/sh", "-c", command], env={"PATH": path, "PORT": port}, capture_output=True, text=True, check=False
    )


@asynccontextmanager
async def _bot(andon: Installed, config: Path, state: Path, port: str) -> AsyncIterator[None]:
    """The image's command, until the block ends; SIGTERM, as `docker stop` sends it, ends it well."""
    command = of("CMD")[0].words
    process = await asyncio.create_subprocess_exec(
        str(andon.environment / "bin" / command[0]),
        *command[1:],
        cwd=andon.elsewhere,
        env=clean_environment() | {"ANDON_CONFIG": str(config), "ANDON_STATE": str(state), "PORT": port},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(60):
            while not await _answers(session, f"http://127.0.0.1:{port}/healthz"):
                assert process.returncode is None, (await process.stdout.read()).decode()
                await asyncio.sleep(0.1)  # it lives elsewhere
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False
