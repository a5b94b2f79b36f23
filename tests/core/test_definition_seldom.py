"""Definition files: what is seldom wrong with one, and what its schema says."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import pytest
from pydantic import Field

from core.releases.definition import PipelineFile
from core.releases.organisation import read_organisation
from core.releases.problems import Strict, validated
from core.releases.soundness import read_pipeline

LEAST: dict[str, Any] = {
    "service": "shop",
    "team": "shop",
    "channel": "#shop",
    "deployer": {"use": "processes"},
    "stages": [{"name": "beta", "targets": ["b"]}],
}


def mends(document: dict[str, Any]) -> list[str]:
    return [f"{problem.sentence}; {problem.mend}" for problem in read_pipeline({**LEAST, **document}).problems]


def test_a_program_may_give_durations_as_they_are():
    assert PipelineFile.model_validate({**LEAST, "watch": timedelta(hours=2)}).watch == timedelta(hours=2)


def test_the_schema_offers_the_short_form_beside_the_long():
    schema = PipelineFile.model_json_schema(by_alias=True)
    batch = schema["$defs"]["BatchPart"]["anyOf"]
    assert batch[-1]["type"] == "object"
    assert len(batch) > 1


@pytest.mark.parametrize(
    ("wrong", "mend"),
    [
        ({"dashboard": 5}, 'write it in quotes: "5"'),
        ({"dashboard": True}, 'write it in quotes: "true"'),
        ({"keep_good": "3"}, "write digits only, without quotes"),
        ({"stages": {"name": "beta"}}, "write `[a, b]`, or one `- item` a line"),
        ({"stages": [{"name": "beta", "targets": ["b"], "production": "yes"}]}, "write `true` or `false`"),
        ({"groups": ["production"]}, "see docs/definition.md for what stands here"),
        ({"stages": [{"name": "beta", "targets": ["b"], "bogus": 1}]}, "there is `after`"),
        ({"groups": {"production": {"bogus": 1}}}, "there is `approval`"),
        ({"stages": [{"name": "beta", "targets": [{"name": "b", "bogus": 1}]}]}, "there is `name`"),
        ({"stages": [{"name": "beta", "targets": ["b"], "batch": {"forwards": 5}}]}, "did you mean `forward`?"),
        ({"stages": [None]}, "fill it in, or leave the key out"),
    ],
)
def test_each_kind_of_mistake_has_its_mend(wrong: dict[str, Any], mend: str):
    assert any(mend in said for said in mends(wrong)), mends(wrong)


def test_settings_may_hold_lists_but_nothing_odd():
    good = {"deployer": {"use": "processes", "with": {"roots": ["a", ["b", 1]]}}}
    assert mends(good) == mends({})
    odd = {"deployer": {"use": "processes", "with": {"when": timedelta(1)}}}
    assert any("settings cannot hold a value of the kind timedelta" in said for said in mends(odd))
    key = {"deployer": {"use": "processes", "with": {"ports": {5: "x"}}}}
    assert any("a key must be text" in said for said in mends(key))


class Inner(Strict):
    """A part of somebody's settings."""

    name: str = ""


class One(Strict):
    """One shape they may have."""

    inner: Inner


class Settings(Strict):
    """Settings as adapters of others may write them."""

    parts: list[Annotated[Inner, Field(description="annotated")]] = Field(default_factory=list)
    either: One | list[Inner] | None = None


def test_settings_of_others_may_be_unions_and_annotated():
    _, (problem,) = validated(Settings, {"parts": [{"nam": "x"}]})
    assert (problem.path, problem.mend) == (("parts", 0, "nam"), "did you mean `name`?")
    _, problems = validated(Settings, {"either": {"inner": {"nam": "x"}}})
    assert any("`nam` is no key of this place" in problem.sentence for problem in problems)
    _, problems = validated(Settings, {"either": [{"nam": "x"}]})
    assert any("`nam` is no key of this place" in problem.sentence for problem in problems)


def test_an_organisation_that_is_a_list_is_none():
    assert read_organisation([]).organisation is None
