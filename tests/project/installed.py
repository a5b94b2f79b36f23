"""Andon installed as the Dockerfile installs it: its own commands, run in an empty directory with the copied files."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.project.dockerfile import ROOT, of
from tests.project.processes import clean_environment

PLACE = "/opt/andon"
"""Where the image has it; elsewhere here."""


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment with Andon in it, and an empty directory to work in."""

    environment: Path
    elsewhere: Path

    def run(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, far from the checkout."""
        return subprocess.run(
            [str(self.environment / "bin" / words[0]), *words[1:]],
            cwd=self.elsewhere,
            env=clean_environment() | settings,
            capture_output=True,
            text=True,
            check=False,
        )


def installed(into: Path) -> Installed:
    """What `install` put there, and a directory that its users share."""
    return Installed(into / "opt", into / "elsewhere")


def install(into: Path) -> None:
    """Do what the Dockerfile says: its COPY lines, then its RUN lines, in its order."""
    source, environment = into / "src", into / "opt"
    source.mkdir()
    (into / "elsewhere").mkdir()
    for copy in of("COPY", stage=0):
        *given, to = copy.words
        for name in given:
            _copy(name, source / to / name if to.endswith("/") else source / to)
    for step in of("RUN", stage=0):
        command = step.text.replace(PLACE, str(environment))
        if command.startswith("python "):
            command = sys.executable + command.removeprefix("python")
        ended = subprocess.run(
            ["bash", "-euc", command], cwd=source, env=clean_environment(), capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, f"{step.text}\n{ended.stdout}{ended.stderr}"


def _copy(name: str, to: Path) -> None:
    """Of the files git knows, as a clean checkout would have them."""
    listed = subprocess.run(["git", "ls-files", "-z", name], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [file for file in listed.stdout.split("\0") if file]
    assert files, f"COPY names {name}, which is not in the repository"
    for file in files:
        place = to if file == name else to / Path(file).relative_to(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, place)
