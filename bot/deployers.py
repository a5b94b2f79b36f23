"""The deployers that pipelines name, built when first needed and kept: one for each pipeline and set of settings."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from core.errors import PermanentError
from core.ports import Deployer
from core.releases.pipeline import Pipeline

BuildDeployer = Callable[[str, Mapping[str, Any], Mapping[str, Mapping[str, Any]]], Deployer]
"""From a deployer's name, its `with:` and the `with:` of the targets that share it."""
Revisions = str | tuple[str, ...]
"""Of the definitions that a pipeline works by; mostly it is one."""


class Deployers:
    """Finds the deployer of a stage. `build` makes a new one; raises PermanentError where settings are wrong."""

    def __init__(self, build: BuildDeployer) -> None:
        self._build = build
        self._built: dict[tuple[str, str, str], tuple[Revisions, str, Deployer]] = {}

    def of(self, definitions: tuple[Pipeline, ...], name: str, settings: str) -> Deployer:
        """The deployer with these settings, for the targets that the first of `definitions` to use it gives it."""
        place = (definitions[0].id, name, settings)
        revisions = revisions_of(definitions)
        before = self._built.get(place)
        if before is not None and before[0] == revisions:
            return before[2]
        targets = _targets(definitions, name, settings)
        if before is not None and targets in (before[1], "{}"):
            built = before[2]
        elif targets == "{}":
            raise PermanentError(f"No stage uses the deployer {name} with these settings any more.")
        else:
            built = self._build(name, json.loads(settings), json.loads(targets))
        self._built[place] = (revisions, targets, built)
        return built

    def known(self, pipeline_id: str, revisions: Revisions, name: str, settings: str) -> Deployer | None:
        """What `of` answered for these definitions of a pipeline; None if it was not asked."""
        known = self._built.get((pipeline_id, name, settings))
        return known[2] if known is not None and known[0] == revisions else None


def revisions_of(definitions: tuple[Pipeline, ...]) -> Revisions:
    """The revisions of these."""
    return definitions[0].revision if len(definitions) == 1 else tuple([d.revision for d in definitions])


def _targets(definitions: tuple[Pipeline, ...], name: str, settings: str) -> str:
    for definition in definitions:
        found = {
            target.name: json.loads(target.settings)
            for stage in definition.stages
            if stage.deployer == name and stage.deployer_settings == settings
            for target in stage.targets
        }
        if found:
            return json.dumps(found, sort_keys=True)
    return "{}"
