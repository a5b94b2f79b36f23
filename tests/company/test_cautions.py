"""What each caution is worth: the same line less one of them, the same changes, and what customers meet then."""

from __future__ import annotations

from datetime import timedelta

import pytest

from company.caution import CAUTIONS, served_without, without
from company.life import Habits
from company.running import Company, live_all
from company.shapes import pipeline, planned
from core.releases.decide import new_pipeline
from core.releases.pipeline import Bake, Pipeline

LINE = pipeline("shop", (1, 3, 6), is_approved=False)


def names(line: Pipeline) -> list[str]:
    return [stage.name for stage in line.stages]


def targets(line: Pipeline) -> set[str]:
    return {target.name for stage in line.stages for target in stage.targets}


def test_all_targets_but_the_slice_stay_and_all_customers_are_served():
    for caution in set(CAUTIONS) - {"one-box"}:
        assert targets(without(LINE, frozenset({caution}))) == targets(LINE)
    bare = without(LINE, frozenset(CAUTIONS))
    assert targets(bare) == targets(LINE) - {"one-box-1"}
    whole = planned(LINE, 6_000).customers
    left = served_without(LINE, bare, whole)
    assert sum(left.values()) == sum(whole.values())
    assert left["wave-1-1"] == whole["one-box-1"] + whole["wave-1-1"]
    assert names(bare) == ["beta", "gamma", "wave-1"]
    assert bare.last_stages == {"wave-1"}
    assert [s.name for s in new_pipeline(bare).stages] == names(bare)


def test_without_a_one_box_the_first_wave_meets_a_version_first():
    line = without(LINE, frozenset({"one-box"}))
    assert names(line) == ["beta", "gamma", "wave-1", "wave-2", "wave-3"]
    assert line.by_name["wave-1"].after == ("gamma",)
    assert {a.scope.name for a in line.alarms} <= set(names(line)), "what watched it watches where it is now"


def test_without_waves_all_of_production_follows_the_one_box():
    line = without(LINE, frozenset({"waves"}))
    assert names(line) == ["beta", "gamma", "one-box", "wave-1"]
    assert len(line.by_name["wave-1"].targets) == 10


def test_without_bakes_nothing_is_waited_for_and_without_alarms_nothing_watches():
    assert all(s.bake == Bake() for s in without(LINE, frozenset({"bakes"})).stages)
    silent = without(LINE, frozenset({"alarms"}))
    assert silent.alarms == ()
    assert silent.by_name["one-box"].bake.duration == timedelta(hours=1)


@pytest.fixture(scope="module")
def hit() -> dict[str, float]:
    """Failed requests for each bad change, by what was left out; the same services and changes each time."""
    found = {}
    for caution in ("", *CAUTIONS):
        cautions = frozenset({caution} if caution else ())
        company = Company(
            seed=5,
            services=8,
            changes=12,
            line=pipeline("shop", (1, 2), is_approved=False),
            cautions=cautions,
            habits=Habits(bad_share=0.5),
        )
        _, tally = live_all(company, range(8))
        assert tally.violations == 0, tally.kept
        found[caution] = tally.customers_hit / tally.bad_changes
    return found


def test_customers_meet_more_without_a_one_box_or_waves_or_alarms(hit: dict[str, float]):
    assert hit["one-box"] > hit[""]
    assert hit["waves"] > hit[""]
    assert hit["bakes"] > hit[""]
    assert hit["alarms"] > 3 * hit[""]
