"""A run in CI fails where a test is skipped, however it was skipped; on a desk it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"

STORIES = {
    "a mark": 'import pytest\n@pytest.mark.skip(reason="needs a moon")\ndef test_it(): pass\ndef test_other(): pass\n',
    "an assumption": 'import pytest\ndef test_it(): pytest.skip("needs a moon")\ndef test_other(): pass\n',
    "a whole file": 'import pytest\npytest.skip("needs a moon", allow_module_level=True)\n',
}


def run(directory: Path, *arguments: str, ci: str) -> subprocess.CompletedProcess[str]:
    """Pytest in a process of its own, with our conftest and nothing else of ours."""
    (directory / "conftest.py").write_text(CONFTEST.read_text())
    (directory / "pytest.ini").write_text("[pytest]\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=directory,
        env=environment | {"CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("spread", [(), ("-p", "xdist.plugin", "-n", "1")], ids=["alone", "xdist"])
@pytest.mark.parametrize("how", STORIES)
def test_a_skipped_test_fails_the_run_in_ci(tmp_path: Path, how: str, spread: tuple[str, ...]) -> None:
    (tmp_path / "test_some.py").write_text(STORIES[how])
    ended = run(tmp_path, *spread, ci="true")
    assert ended.returncode == 1, ended.stdout
    assert "needs a moon" in ended.stdout
    assert "test_some.py" in ended.stdout


def test_a_skipped_test_is_no_failure_on_a_desk(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(STORIES["a mark"])
    assert run(tmp_path, ci="").returncode == 0


def test_nothing_skipped_and_failures_expected_are_fine_in_ci(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(
        "import pytest\n@pytest.mark.xfail(reason='known')\ndef test_it(): assert False\ndef test_other(): pass\n"
    )
    ended = run(tmp_path, ci="true")
    assert ended.returncode == 0, ended.stdout
