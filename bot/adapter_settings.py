"""What deployers, tests and release sources say of their settings in a file, offline; adapters load when named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel

from core.errors import DefinitionError
from core.releases.problems import Problem, nearest, validated
from integrations.registry import BUILT_IN, Kind, Registry


@runtime_checkable
class ChecksSettings(Protocol):
    """The class of a deployer that can say offline what is wrong with its settings."""

    def problems(
        self, settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]
    ) -> Iterable[tuple[Sequence[str | int], str]]:
        """Places (`with`, … or `targets`, NAME, …) and what is wrong there."""


def deployer_problems(
    deployer: str, settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]
) -> list[Problem]:
    """What is wrong with the settings of a deployer, and of the targets that share them; a `Validate`."""
    if deployer == "processes":
        return list(_processes(settings, targets))
    if deployer == "command":
        from integrations.command.config import read as command

        return command(settings, targets)[2]
    if deployer == "hosts":
        from integrations.hosts.config import read as hosts

        return hosts(settings, targets)[2]
    if deployer == "github-actions":
        from integrations.github.config import problems as github_actions

        return list(github_actions(settings, targets))
    if deployer == "kubernetes":
        from integrations.kubernetes.config import problems as kubernetes

        return list(kubernetes(settings, targets))
    if deployer == "webhook":
        from integrations.webhook_deployer.config import read as webhook

        return webhook(settings, targets)[2]
    return _unknown(Kind.DEPLOYER, deployer) or list(_of_others(deployer, settings, targets))


def test_problems(use: str, settings: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the settings of a stage's test; a `ValidateTest`."""
    model = _test_settings(use)
    if model is None:
        return _unknown(Kind.STAGE_TEST, use)
    _, problems = validated(model, dict(settings))
    return [replace(problem, path=("with", *problem.path)) for problem in problems]


def source_problems(use: str, settings: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the settings of a release source; a `ValidateSource`."""
    if use not in BUILT_IN[Kind.RELEASE_SOURCE]:
        return _unknown(Kind.RELEASE_SOURCE, use)
    model: type[BaseModel] = Registry().load(Kind.RELEASE_SOURCE, use).settings
    _, problems = validated(model, dict(settings))
    return [replace(problem, path=("with", *problem.path)) for problem in problems]


def _test_settings(use: str) -> type[BaseModel] | None:
    match use:
        case "command" | "http":
            from integrations.checks import CommandSettings, HttpSettings

            return HttpSettings if use == "http" else CommandSettings
        case "github-workflow":
            from integrations.github.config import GitHubWorkflowSettings

            return GitHubWorkflowSettings
        case "load":
            from integrations.load import LoadSettings

            return LoadSettings
    return None


def _unknown(kind: Kind, name: str) -> list[Problem]:
    """Nothing for an adapter that is there but whose settings only itself knows; else what is there."""
    try:
        names = Registry().names(kind)
    except DefinitionError as error:
        return [Problem(("use",), error.message)]
    return [] if name in names else [Problem(("use",), f"there is no {kind.noun} `{name}`", nearest(name, names))]


def _of_others(name: str, settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """What the deployer of an installed package says of its settings, if it says anything offline."""
    if name in BUILT_IN[Kind.DEPLOYER]:
        return
    try:
        found = Registry().load(Kind.DEPLOYER, name)
    except DefinitionError as error:
        yield Problem(("use",), error.message)
        return
    if isinstance(found, ChecksSettings):
        for path, sentence in found.problems(settings, targets):
            yield Problem(tuple(path), sentence)


def _processes(settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    from integrations.processes.config import Layout, ProcessesConfig, ProcessesTarget

    # Paths come as text in a file; everything else must have its own kind.
    config, problems = validated(ProcessesConfig, dict(settings))
    yield from (replace(problem, path=("with", *problem.path)) for problem in problems)
    is_whole = config is not None and not problems
    for name, own in targets.items():
        _, problems = validated(ProcessesTarget, dict(own))
        yield from (replace(problem, path=("targets", name, *problem.path)) for problem in problems)
        is_whole = is_whole and not problems
    if is_whole:
        _, problems = validated(Layout, {"front": settings["front"], "targets": dict(targets)})
        yield from (replace(problem, path=("with", "front")) for problem in problems)
