"""Clients of the deployer `github-actions` in front of GitHub on loopback."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from core.ports import DeploymentRequest
from integrations.github.config import GitHubActionsConfig, GitHubActionsTarget
from integrations.github.deployer import GitHubActionsDeployer
from tests.standins.github import StandIn
from tests.standins.github_world import Play

PLAYS = {"failing": Play(conclusion="failure"), "endless": Play(is_endless=True)}


def by_version(inputs: Mapping[str, str]) -> Play:
    """What becomes of a run says its version."""
    return PLAYS.get(inputs["version"], Play())


async def at_once(seconds: float) -> None:
    """No pause."""


def client(
    place: StandIn,
    *,
    timeout: float = 10.0,
    certain_after: timedelta = timedelta(),
    token: str = "open-sesame",
    targets: Mapping[str, GitHubActionsTarget] | None = None,
    **settings: object,
) -> GitHubActionsDeployer:
    """A client of the workflow `deploy.yml`, with one target `web` unless others are given."""
    config = GitHubActionsConfig.model_validate(
        {
            "api": place.url,
            "token_env": "GITHUB_TOKEN",
            "repository": "octo/shop",
            "workflow": "deploy.yml",
            "records_ref": "v{version}",
            **settings,
        }
    )
    return GitHubActionsDeployer(
        config,
        {"web": GitHubActionsTarget(url="https://shop.example.com")} if targets is None else targets,
        environment={"GITHUB_TOKEN": token},
        timeout=timeout,
        certain_after=certain_after,
        pause=at_once,
    )


def request(key: str, *, version: str = "1", target: str = "web", is_rollback: bool = False) -> DeploymentRequest:
    """A version to a target."""
    return DeploymentRequest(
        key=key,
        service="shop",
        pipeline="shop",
        stage="beta",
        target=target,
        version=version,
        digest=f"sha256:{version}",
        artifact=f"shop@sha256:{version}",
        is_rollback=is_rollback,
        batch_percent=33,
        healthy_percent=66,
        timeout=timedelta(minutes=30),
    )
