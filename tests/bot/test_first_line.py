"""`andon init`: for every back end a line that is right, careful, and runs to its end."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.check import check
from bot.first_line import CHANGE, PLACES, SOURCES, TEMPLATES, Answers, main, written
from bot.simulate import main as simulate
from bot.slack_init import TEXT_MOST
from core.errors import UsageError
from integrations.registry import Kind, Registry

ROOT = Path(__file__).parents[2]
ORGANISATION = {
    "people": {"ann": "Ann", "bob": "Bob"},
    "sources": {"github": {"with": {"secret_env": "GITHUB_SECRET"}}},
    "groups": {"on-call": ["bob"]},
    "teams": {
        "payments": {"members": ["ann", "bob"], "owners": ["ann"], "on_call": "on-call"},
        "alone": {"members": ["ann"], "owners": ["ann"], "on_call": "on-call"},
    },
}
LONG = "a-service-with-a-name-as-long-as-may-be"


def answers(**more: str) -> Answers:
    given: dict[str, Any] = {"service": "checkout", "team": "payments", "channel": "#checkout", "runs_on": "command"}
    return Answers(**{**given, **more})


@pytest.mark.parametrize("runs_on", PLACES)
def test_each_place_gets_a_line_that_is_right_and_runs_to_its_end(
    runs_on: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "org.yaml").write_text(yaml.safe_dump(ORGANISATION))
    path = tmp_path / "pipelines" / "checkout.yaml"
    path.write_text(written(answers(runs_on=runs_on)))
    said = io.StringIO()
    assert check([path], said) == 0, said.getvalue()
    assert "warning" not in said.getvalue()
    capsys.readouterr()
    assert simulate([str(path), "--deployments", "300", "--seed", "7", "--processes", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["violations"] == 0
    assert told["deployments"] >= 300


@pytest.mark.parametrize("runs_on", PLACES)
@pytest.mark.parametrize("source", SOURCES)
def test_each_way_to_hear_of_versions_is_right(source: str, runs_on: str, tmp_path: Path) -> None:
    (tmp_path / "org.yaml").write_text(yaml.safe_dump(ORGANISATION))
    path = tmp_path / "checkout.yaml"
    path.write_text(written(answers(source=source, runs_on=runs_on)))
    said = io.StringIO()
    assert check([path], said) == 0, said.getvalue()
    assert "warning" not in said.getvalue()


def test_every_place_is_a_deployer_and_every_built_in_deployer_is_a_place() -> None:
    assert set(PLACES) == set(Registry().names(Kind.DEPLOYER)) - {"scripted"}
    assert {path.stem for path in (TEMPLATES / "lines").glob("on_*.j2")} == {f"on_{name}" for name in PLACES}


@pytest.mark.parametrize("runs_on", PLACES)
def test_the_longest_line_fits_a_window_of_slack(runs_on: str) -> None:
    longest = max(len(written(answers(runs_on=runs_on, source=source, service=LONG))) for source in SOURCES)
    assert longest <= TEXT_MOST


def test_what_is_given_stands_where_an_example_would(tmp_path: Path) -> None:
    text = written(answers(health="https://pay.example.com/ok", description='Says "hello": # no comment'))
    read = yaml.safe_load(text)
    assert [a["with"]["url"] for a in read["alarms"] if a["scope"] == "production"] == ["https://pay.example.com/ok"]
    assert read["about"]["description"] == 'Says "hello": # no comment'
    assert text.count(CHANGE) < written(answers()).count(CHANGE)


def test_a_team_of_one_is_not_asked_to_approve_its_own_changes(tmp_path: Path) -> None:
    (tmp_path / "org.yaml").write_text(yaml.safe_dump(ORGANISATION))
    words = ["--service", "checkout", "--channel", "checkout", "--runs-on", "command", "--directory", str(tmp_path)]
    assert main([*words, "--team", "alone"], out=io.StringIO()) == 0
    assert "groups" not in yaml.safe_load((tmp_path / "pipelines" / "checkout.yaml").read_text())


def test_it_asks_what_it_was_not_told_and_writes_over_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replies = iter(["checkout", "payments", "", "command", ""])
    out = io.StringIO()
    code = main(["--directory", str(tmp_path)], ask=lambda question: next(replies), out=out, is_terminal=True)
    assert code == 0
    assert yaml.safe_load((tmp_path / "pipelines" / "checkout.yaml").read_text())["channel"] == "#checkout"
    assert "Examples to change stand in lines" in out.getvalue()
    replies = iter(["checkout", "payments", "", "command", ""])
    assert main(["--directory", str(tmp_path)], ask=lambda question: next(replies), out=out, is_terminal=True) == 2
    assert "nothing was written" in capsys.readouterr().err


def test_whoever_ends_the_questions_gets_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def ask(_question: str) -> str:
        raise EOFError

    assert main(["--directory", str(tmp_path)], ask=ask, out=io.StringIO(), is_terminal=True) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--service, --team, --channel, --runs-on: say what they are."),
        (["--service", "My Shop", "--team", "t", "--channel", "c", "--runs-on", "command"], "Try my-shop."),
        (["--service", "s", "--team", "t", "--channel", "c", "--runs-on", "comand"], "Did you mean `command`?"),
        (
            ["--service", "s", "--team", "t", "--channel", "c", "--runs-on", "command", "--source", "x"],
            "Releases cannot",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_named(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--directory", str(tmp_path)], out=io.StringIO(), is_terminal=False) == 2
    assert said in capsys.readouterr().err


def test_where_nothing_can_be_written_it_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pipelines").write_text("a file")
    words = ["--service", "s", "--team", "t", "--channel", "c", "--runs-on", "command", "--directory", str(tmp_path)]
    assert main(words, out=io.StringIO()) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_it_prints_where_that_is_asked() -> None:
    words = ["init", "--service", "s", "--team", "t", "--channel", "c", "--runs-on", "command", "--stdout"]
    made = subprocess.run(
        [sys.executable, "-m", "bot.cli", *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert yaml.safe_load(made.stdout)["service"] == "s"


def test_a_place_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="No line can be written for mars"):
        written(answers(runs_on="mars"))
