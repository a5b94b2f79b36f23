"""`andon simulate`: one line for programs, sentences for people, a picture, and an early end."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bot.cli import main
from company.running import Company, simulate

ROOT = Path(__file__).parents[2]
CHECKOUT = str(ROOT / "pipelines" / "checkout.yaml")


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["simulate", *words]) == 0
    return capsys.readouterr().out


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    lines = said(capsys, *words, "--json").splitlines()
    assert len(lines) == 1, "one line for programs"
    found: dict[str, object] = json.loads(lines[0])
    found.pop("seconds")
    return found


def test_the_same_seed_says_the_same_whatever_the_number_of_processes(capsys: pytest.CaptureFixture[str]):
    small = ("--deployments", "240", "--services", "4", "--seed", "3")
    alone = told(capsys, *small, "--processes", "1")
    assert (alone["deployments"], alone["violations"], alone["services"], alone["is_whole"]) == (240, 0, 4, True)
    assert told(capsys, *small, "--processes", "2") == alone
    assert told(capsys, *small[:-1], "4", "--processes", "1") != alone


def test_a_company_is_told_in_sentences(capsys: pytest.CaptureFixture[str]):
    text = said(capsys, "--deployments", "120", "--processes", "1")
    assert text.startswith("120 deployments of 1 service in ")
    assert "violations    0" in text


def test_a_team_hears_what_its_own_pipeline_would_do(capsys: pytest.CaptureFixture[str]):
    text = said(capsys, CHECKOUT, "--deployments", "200", "--processes", "1")
    assert "from its announcement to everywhere" in text
    assert "approvals a week" in text
    assert "A bad change fails" in text
    assert "What must never happen happened 0 times." in text


def test_cautions_are_compared_in_one_table_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    picture = tmp_path / "caution.svg"
    words = (CHECKOUT, "--without", "alarms", "--services", "2", "--processes", "1", "--picture", str(picture))
    table = said(capsys, *words).splitlines()
    assert [line.split("  ")[0] for line in table[1:]] == ["all cautions", "without alarms"]
    drawn = ET.fromstring(picture.read_text())
    texts = [part.text or "" for part in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert "What caution is worth: checkout" in texts
    assert "without alarms" in texts


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--deployments", "many"), "`many` is no whole number; write for example 20000"),
        (("--deployments", "0"), "0 is not between 1 and"),
        (("--without", "tests"), "choose from"),
        (("nowhere.yaml",), "there is no file nowhere.yaml"),
        (("--picture", "nowhere/a.svg"), "there is no directory nowhere"),
    ],
)
def test_bad_arguments_say_what_would_help(words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]):
    try:
        code = main(["simulate", *words])
    except SystemExit as ended:
        code = int(str(ended.code))
    assert code == 2
    assert says in capsys.readouterr().err


def test_a_wrong_pipeline_is_said_as_check_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "broken.yaml"
    path.write_text("service: shop\nstages: []\n")
    assert main(["simulate", str(path)]) == 2
    assert "problem" in capsys.readouterr().err


@pytest.mark.parametrize("processes", [1, 2])
def test_interrupted_it_keeps_what_came_of_it_so_far(processes: int):
    def enough(done: int, _: int) -> None:
        if done >= 2:
            raise KeyboardInterrupt

    tally, is_whole = simulate(Company(services=16, deployments=480), processes, enough)
    assert not is_whole
    assert 0 < tally.deployments < 480
    assert tally.violations == 0
