"""Whatever stands in a file, it makes a pipeline or problems with places; never an exception."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from core.releases.definition import PipelineFile
from core.releases.organisation import read_organisation, unknown_to_organisation
from core.releases.organisation_file import OrganisationFile
from core.releases.parts import AlarmPart, ApprovalPart, BakePart, CanarySettings, StagePart
from core.releases.problems import Problem, path_text
from core.releases.soundness import read_pipeline

KEYS = sorted(
    {
        field.alias or name
        for model in (PipelineFile, StagePart, AlarmPart, CanarySettings, ApprovalPart, BakePart, OrganisationFile)
        for name, field in model.model_fields.items()
    }
)
WORDS = [
    "production",
    "beta",
    "one-box",
    "canary",
    "15m",
    "0s",
    "#shop",
    "Europe/Dublin",
    "ok",
    "newest",
    "09:00",
    "mon-fri",
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(WORDS)
    | st.just("9" * 5000)
    | st.just("\ud800")
)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=6)
        | st.dictionaries(st.integers() | st.booleans() | st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=25,
)


@st.composite
def nearly_right(draw: st.DrawFn) -> dict[str, Any]:
    """A right document of which a few parts were replaced or removed."""
    document: dict[str, Any] = {
        "service": "shop",
        "team": "shop",
        "channel": "#shop",
        "deployer": {"use": "processes", "with": {"a": [1, {"b": None}]}},
        "groups": {"production": {"approval": {"by": ["ann"], "count": 1}, "windows": ["office"]}},
        "stages": [
            {"name": "beta", "targets": ["b"], "tests": [{"name": "t", "use": "http", "with": {}}]},
            {"name": "gamma", "targets": [{"name": "g", "zone": "a"}], "bake": {"for": "3s", "points": 3}},
            {"name": "one-box", "group": "production", "targets": ["p"], "after": ["beta", "gamma"], "batch": 10},
        ],
        "alarms": [{"name": "c", "source": "canary", "with": {"url": "http://127.0.0.1/", "every": "1s"}}],
    }
    for _ in range(draw(st.integers(1, 4))):
        here: Any = document
        for _ in range(draw(st.integers(0, 4))):
            inside = list(here) if isinstance(here, dict) else list(range(len(here)))
            if not inside:
                break
            step = draw(st.sampled_from(inside))
            if not isinstance(here[step], dict | list) or not here[step]:
                break
            here = here[step]
        inside = list(here) if isinstance(here, dict) else list(range(len(here)))
        if inside:
            here[draw(st.sampled_from(inside))] = draw(TREES)
        if isinstance(here, dict) and draw(st.booleans()):
            here[draw(st.sampled_from(KEYS))] = draw(TREES)
    return document


def look_at(problems: tuple[Problem, ...]) -> None:
    for problem in problems:
        assert problem.sentence
        assert len(problem.sentence) < 1500
        assert path_text(problem.path).isprintable()
        assert problem.sentence.isprintable()


@settings(deadline=None)
@given(TREES | nearly_right())
def test_any_document_makes_a_pipeline_or_problems(document: object):
    reading = read_pipeline(document)
    look_at(reading.problems)
    errors = [problem for problem in reading.problems if not problem.is_warning]
    assert (reading.pipeline is None) == bool(errors)
    if reading.pipeline is not None:
        assert reading.pipeline.upstream
        assert reading.pipeline.last_stages


@settings(deadline=None)
@given(TREES | st.dictionaries(st.sampled_from(sorted(OrganisationFile.model_fields)), TREES))
def test_any_document_makes_an_organisation_or_problems(document: object):
    reading = read_organisation(document)
    look_at(reading.problems)
    assert (reading.organisation is None) == any(not problem.is_warning for problem in reading.problems)


@settings(deadline=None)
@given(nearly_right())
def test_any_pipeline_can_be_held_against_an_organisation(document: object):
    file = read_pipeline(document).file
    if file is not None:
        look_at(tuple(unknown_to_organisation(file, OrganisationFile())))
