"""The image, as far as it can be proved without a Docker engine: its rules are kept, and what it installs works."""

from __future__ import annotations

import fcntl
import fnmatch
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bot.render import Templates
from examples.local_stack import free_port
from tests.project.dockerfile import ROOT, instructions, of
from tests.project.installed import Installed, install, installed
from tests.project.processes import started, until_it_answers

PIPELINE = """\
service: checkout
team: checkout
channel: "#checkout"
deployer: {use: theirs, with: {greeting: hello}}
stages:
  - name: beta
    targets: [checkout-beta]
"""
THEIRS = """\
from core.errors import PermanentError
from core.ports import RunningVersion

class Theirs:
    @classmethod
    def from_settings(cls, settings, targets):
        assert dict(settings) == {"greeting": "hello"}, settings
        assert set(targets) == {"checkout-beta"}, targets
        return cls()

    async def start(self, request):
        raise PermanentError("Nothing is deployed here.")

    async def find(self, key):
        return None

    async def running_version(self, target):
        return RunningVersion("sha256:theirs", "7.7.7")
"""
"""A deployer of somebody else's package, which declares it as docs/deployers.md says."""


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
        checked = andon.run("andon", "check", str(_configuration(tmp_path)), PYTHONPATH=str(_package(tmp_path)))
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
        rooms = ["bot", "commands", "company", "core", "examples", "integrations", "simulator", "storage", "templates"]
        listed = subprocess.run(["git", "ls-files", *rooms], cwd=ROOT, capture_output=True, text=True, check=True)
        missing = [name for name in listed.stdout.splitlines() if not (Path(site.stdout.strip()) / name).is_file()]
        assert missing == []

    async def test_the_bot_runs_with_a_deployer_of_others(self, andon: Installed, tmp_path: Path) -> None:
        """Migrations run, the port answers, targets are looked at; the health check fails again once it is over."""
        port = str(free_port())
        log, state, (program, *words) = tmp_path / "log", tmp_path / "state", of("CMD")[0].words
        settings = {"ANDON_CONFIG": str(_configuration(tmp_path)), "ANDON_STATE": str(state), "PORT": port}
        settings |= {"PYTHONPATH": str(_package(tmp_path)), "ANDON_ADMIN_TOKEN": "operator-test"}
        program = str(andon.environment / "bin" / program)
        async with started(program, *words, cwd=andon.elsewhere, log=log, environment=settings) as process:
            await until_it_answers(f"http://127.0.0.1:{port}/healthz", process, log)
            assert (state / "andon.db").is_file()
            assert _health(andon, port).returncode == 0
            own = {"ANDON_URL": f"http://127.0.0.1:{port}", "ANDON_TOKEN": "operator-test"}
            while "7.7.7" not in (told := andon.run("andon", "status", "checkout", **own).stdout):
                assert process.returncode is None, told
            process.terminate()
            assert await process.wait() == 0, "SIGTERM, as `docker stop` sends it, ends it well"
        assert _health(andon, port).returncode != 0


def _configuration(directory: Path) -> Path:
    root = directory / "config"
    (root / "pipelines").mkdir(parents=True)
    (root / "pipelines" / "checkout.yaml").write_text(PIPELINE)
    (root / "org.yaml").write_text("teams: {checkout: {members: [ann]}}\npeople: {ann: {name: Ann}}\n")
    return root


def _package(directory: Path) -> Path:
    """A package that was installed beside: a module, and what it declares."""
    root = directory / "site"
    (root / "theirs-1.0.dist-info").mkdir(parents=True)
    (root / "theirs.py").write_text(THEIRS)
    (root / "theirs-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (root / "theirs-1.0.dist-info" / "entry_points.txt").write_text("[andon.deployers]\ntheirs = theirs:Theirs\n")
    return root


def _health(andon: Installed, port: str) -> subprocess.CompletedProcess[str]:
    """The image's own health check."""
    command = of("HEALTHCHECK")[0].text.partition("CMD ")[2]
    path = f"{andon.environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["/bin/sh", "-c", command], env={"PATH": path, "PORT": port}, capture_output=True, text=True, check=False
    )
