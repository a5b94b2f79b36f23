"""The deployers that pipelines name, built when first needed and kept: one for each set of settings."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from core.errors import PermanentError
from core.ports import Deployer
from core.releases.pipeline import Pipeline

BuildDeployer = Callable[[str, Mapping[str, Any], Mapping[str, Mapping[str, Any]]], Deployer]
"""From a deployer's name, its `with:` and the `with:` of the targets that share it."""


class Deployers:
    """Finds the deployer of a stage. `build` makes a new one; raises PermanentError where settings are wrong."""

    def __init__(self, build: BuildDeployer) -> None:
        self._build = build
        self._built: dict[tuple[str, str], tuple[str, Deployer]] = {}

    def of(self, definitions: tuple[Pipeline, ...], name: str, settings: str) -> Deployer:
        """The deployer with these settings, for the targets that the first of `definitions` to use it gives it."""
        targets = _targets(definitions, name, settings)
        known = self._built.get((name, settings))
        if known is not None and (known[0] == targets or targets == "{}"):
            return known[1]
        if targets == "{}":
            raise PermanentError(f"No stage uses the deployer {name} with these settings any more.")
        built = self._build(name, json.loads(settings), json.loads(targets))
        self._built[name, settings] = (targets, built)
        return built

    def every(self) -> tuple[Deployer, ...]:
        """All that were built so far."""
        return tuple(deployer for _, deployer in self._built.values())


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
