"""`make demo` and `make up`, as people start them: the story comes true, and nothing is left running."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.project.processes import left_running, started, until_it_answers, until_it_says, until_none_is_left
from tests.project.tree import ROOT

OWN = {"PYTHONUNBUFFERED": "1"}


@pytest.mark.slow
async def test_the_demonstration_tells_its_story_and_leaves_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    settings = OWN | {"TMPDIR": str(tmp_path)}
    async with started(sys.executable, "-m", "examples.demo", cwd=ROOT, log=log, environment=settings) as process:
        assert await process.wait() == 0, log.read_text()
    told = log.read_text()
    ended = re.search(r"(\d+) steps ok, (\d+) requests, (\d+) failed\s*$", told)
    assert ended, told
    steps, requests, failed = (int(number) for number in ended.groups())
    assert steps >= 10
    assert steps == told.count("✓")
    assert requests > 0
    assert failed == 0
    await until_none_is_left(tmp_path)
    assert _names(tmp_path) == ["log"], "its directory is gone"


@pytest.mark.slow
async def test_make_up_prints_one_url_and_ctrl_c_ends_it_all(tmp_path: Path) -> None:
    log, place = tmp_path / "log", tmp_path / "local"
    words = ("-m", "examples.up", "--no-browser", "--directory", str(place))
    async with started(sys.executable, *words, cwd=ROOT, log=log, environment=OWN) as process:
        url = await until_it_says(r"Open the workspace:\s+(http://\S+)", process, log)
        assert urlsplit(url).hostname in ("127.0.0.1", "localhost")
        await until_it_answers(url, process, log)
        bot = await until_it_says(r"ANDON_URL=(http://\S+)", process, log)
        await until_it_answers(f"{bot}/healthz", process, log)
        shop = await until_it_says(r"The shop[^\n]*?(http://\S+)", process, log)
        await until_it_says(r"(1\.1\.0 sets out)", process, log, within=240)
        await until_it_answers(shop, process, log)
        assert len(left_running(place)) >= 3, "this test would not see what is left"
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0, log.read_text()
    assert "Nothing is left running" in log.read_text()
    await until_none_is_left(place)


@pytest.mark.slow
async def test_make_up_ended_while_it_begins_leaves_nothing_either(tmp_path: Path) -> None:
    log, place = tmp_path / "log", tmp_path / "local"
    words = ("-m", "examples.up", "--no-browser", "--directory", str(place))
    async with started(sys.executable, *words, cwd=ROOT, log=log, environment=OWN) as process:
        # The first supervisor is being started about now.
        await until_it_says(r"(1\.0\.0 sets out)", process, log, within=120)
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0, log.read_text()
    await until_none_is_left(place)


@pytest.mark.parametrize(("target", "module"), [("up", "examples.up"), ("demo", "examples.demo")])
def test_make_starts_these_modules(target: str, module: str) -> None:
    words = ["make", "--no-print-directory", "--dry-run", target]  # "make test" may be what runs this
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[-1] == f"exec .venv/bin/python -m {module}"


def _names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]
