"""The template of a deployer of one's own as an installed package: found, checked, and held to the contract.

Nothing is fetched or built: what a wheel of it would put into an environment is put into a directory on the path.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "examples" / "deployer-template"
PIPELINE = """
service: shop
team: shop
channel: "#shop"
deployer: {use: copy, with: {%s}}
stages: [{name: beta, targets: [beta-1]}]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the package and its dist-info, as its pyproject.toml says."""
    site = tmp_path_factory.mktemp("site")
    project = tomllib.loads((TEMPLATE / "pyproject.toml").read_text())
    for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        shutil.copytree(TEMPLATE / package, site / Path(package).name, ignore=shutil.ignore_patterns("__pycache__"))
    named = project["project"]
    info = site / f"{named['name'].replace('-', '_')}-{named['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {named['name']}\nVersion: {named['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in named["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))
    return site


def run(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=site,
        env={**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_is_found_by_its_entry_point_and_its_settings_are_checked(site: Path, tmp_path: Path) -> None:
    asked = "from integrations.registry import *; print(Registry().load(Kind.DEPLOYER, 'copy').__module__)"
    assert run(site, "-c", asked).stdout == "andon_copy.deployer\n"
    file = tmp_path / "shop.yaml"
    file.write_text(PIPELINE % "directory: /srv/copies")
    good = run(site, "-m", "bot.check", str(file))
    assert (good.returncode, good.stderr) == (0, "")
    file.write_text(PIPELINE % "directory: copies")
    wrong = run(site, "-m", "bot.check", str(file))
    assert wrong.returncode == 1
    assert "deployer.with.directory: this must be an absolute path" in wrong.stdout


def test_without_it_nobody_knows_the_name(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(PIPELINE % "directory: /srv/copies")
    assert "there is no deployer `copy`" in run(tmp_path, "-m", "bot.check", str(file)).stdout


def test_it_keeps_the_contract(site: Path, tmp_path: Path) -> None:
    """By its own tests, as its authors would run them."""
    shutil.copytree(TEMPLATE / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(TEMPLATE / "pyproject.toml", tmp_path / "pyproject.toml")
    tried = run(site, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", str(tmp_path))
    assert tried.returncode == 0, tried.stdout + tried.stderr
    assert " passed" in tried.stdout
    assert "skipped" not in tried.stdout
