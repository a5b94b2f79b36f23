"""What docs/sources.md shows works: files that are accepted, keys and sources that exist, snippets that parse."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from bot.adapter_settings import source_problems
from core.ports import BuildEvent
from core.releases.organisation import read_organisation
from core.releases.problems import validated
from core.releases.source_parts import FILLED, RepositoryPart, SourcePart
from integrations.registry import BUILT_IN, Kind

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "sources.md").read_text()
BLOCKS: list[Any] = [
    yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
]


def test_the_organisation_file_that_is_shown_is_accepted() -> None:
    (shown,) = (block for block in BLOCKS if isinstance(block, dict) and isinstance(block.get("sources"), dict))
    reading = read_organisation(shown)
    assert reading.organisation is not None, reading.problems
    for name, part in reading.organisation.sources.items():
        assert source_problems(part.use or name, part.with_) == []
    assert {part.use or name for name, part in reading.organisation.sources.items()} == set(
        BUILT_IN[Kind.RELEASE_SOURCE]
    )


def test_the_sources_of_pipelines_that_are_shown_are_accepted() -> None:
    shown = [
        part
        for block in BLOCKS
        if isinstance(block, dict) and isinstance(block.get("sources"), list)
        for part in block["sources"]
    ]
    assert len(shown) >= 4
    for part in shown:
        assert validated(SourcePart, part)[1] == (), part
    (repository,) = (block["repository"] for block in BLOCKS if isinstance(block, dict) and "repository" in block)
    assert validated(RepositoryPart, repository)[1] == ()


def test_every_key_event_and_word_is_explained() -> None:
    said = set(re.findall(r"`\{?([\w-]+)\}?`", PAGE))
    keys = {field.alias or name for name, field in SourcePart.model_fields.items()}
    assert keys | {event.value for event in BuildEvent} | set(FILLED) <= said
    assert set(BUILT_IN[Kind.RELEASE_SOURCE]) <= said
    for name in BUILT_IN[Kind.RELEASE_SOURCE]:
        assert source_problems(name, {"secret_env": "HOOK", "nonsense": 1}), "an unknown key is found"


def test_the_steps_for_ci_name_what_the_script_takes() -> None:
    script = (ROOT / "examples" / "ci" / "github-action" / "announce.sh").read_text()
    for variable in set(re.findall(r"\b(ANDON_[A-Z_]+)", PAGE)) - {"ANDON_STATE"}:
        assert variable in script, f"the script knows no {variable}"
