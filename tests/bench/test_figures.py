"""The figures: each module hands in its own, those of the others stay, and a goal that is missed is said."""

from __future__ import annotations

import json
import re

import pytest

from bench import __main__ as all_of_it
from bench import figures
from bench.figures import Figure, alone, over
from tests.project.tree import ROOT


def test_a_ratio_is_taken_round_by_round_because_machines_drift():
    # Both were twice as fast in the second round: the ratio is the same, though the medians have drifted.
    figure = over("sqlite_64_vs_raw1", [3_000, 6_000], [1_000, 2_000], "/s")

    assert figure.rounds == (3.0, 3.0)
    assert (figure.ours, figure.yardstick) == ("4,500 /s", "1,500 /s")


def test_a_module_replaces_its_own_figures_and_no_others(tmp_path):
    results = tmp_path / "results.json"
    figures.merge(results, "one", [alone("rss_mb_10k_pipelines", [99.0], "MB")], load_before=0.1, rounds=1)
    figures.merge(results, "two", [Figure("old", (1.0,)), Figure("kept", (1.0,))], load_before=0.1, rounds=1)

    figures.merge(results, "two", [Figure("kept", (2.0, 4.0, 3.0))], load_before=3.5, rounds=3)

    content = json.loads(results.read_text())
    assert {name: content[name] for name in content["details"]} == {"rss_mb_10k_pipelines": 99.0, "kept": 3.0}
    assert (content["details"]["kept"]["lowest"], content["details"]["kept"]["highest"]) == (2.0, 4.0)
    assert content["runs"]["two"]["load_average_before"] == 3.5
    assert content["runs"]["one"]["rounds"] == 1


def test_the_table_says_which_goals_are_missed(tmp_path, capsys):
    results = tmp_path / "results.json"
    found = [
        alone("rss_mb_10k_pipelines", [121.0], "MB"),
        alone("storm_500_last_ms", [999.0], "ms"),
        alone("x", [1], ""),
    ]
    figures.merge(results, "some", found, load_before=5.0, rounds=1)

    figures.main([str(results)])

    rows = {row.split()[0]: row.split()[-1] for row in capsys.readouterr().out.splitlines()}
    assert (rows["rss_mb_10k_pipelines"], rows["storm_500_last_ms"]) == ("NO", "yes")
    assert rows["some"] == "little.", "a busy machine is said"


@pytest.mark.parametrize(
    ("goal", "good", "bad"), [("postgres_64_vs_raw8", 5.0, 4.99), ("alarm_p99_vs_floor", 2.5, 2.51)]
)
def test_a_goal_is_met_from_its_very_value_on(goal, good, bad):
    assert figures.GOALS[goal].is_met(good)
    assert not figures.GOALS[goal].is_met(bad)


def test_every_figure_with_a_goal_is_explained():
    page = (ROOT / "bench" / "README.md").read_text()
    assert [name for name in figures.GOALS if f"`{name}`" not in page] == []


def test_everything_that_is_measured_can_be_run():
    for name in all_of_it.MODULES:
        assert re.search(r"^def main\(", (ROOT / "bench" / f"{name}.py").read_text(), re.MULTILINE), name
