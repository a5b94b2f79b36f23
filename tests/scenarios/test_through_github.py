"""A release goes through stages that a workflow of GitHub deploys; people see it in Slack and on GitHub's pages."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from core.ports import Deployer
from integrations.github.config import GitHubActionsConfig, GitHubActionsTarget, settings_of
from integrations.github.deployer import GitHubActionsDeployer
from tests.integrations.github.world import at_once
from tests.scenarios.kit import Story, story
from tests.scenarios.props import digest, shop
from tests.standins.github import StandIn
from tests.standins.github_world import Play


def built(_name: str, settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]) -> Deployer:
    """The real deployer; its token is not in our environment, and nothing pauses."""
    return GitHubActionsDeployer(
        settings_of(GitHubActionsConfig, settings, "The deployer"),
        {name: settings_of(GitHubActionsTarget, own, name) for name, own in targets.items()},
        environment={"SHOP_GITHUB_TOKEN": "open-sesame"},
        pause=at_once,
    )


@contextlib.asynccontextmanager
async def through_github(path: Path, place: StandIn) -> AsyncIterator[Story]:
    await place.begin()
    settings = {
        "api": place.url, "token_env": "SHOP_GITHUB_TOKEN", "repository": "octo/shop", "workflow": "deploy.yml",
    }  # fmt: skip
    line = shop(
        deployer={"use": "github-actions", "with": settings},
        stages=[
            {"name": "beta", "targets": ["beta-1"], "bake": "0s"},
            {
                "name": "one-box", "group": "production", "bake": {"for": "10m"},
                "targets": [{"name": "box-1", "with": {"environment": "production", "production": True}}],
            },
        ],
        alarms=[],
    )  # fmt: skip
    try:
        async with story(path, line, build_deployer=built) as s:
            yield s
    finally:
        await place.end()


async def test_a_release_goes_through_two_stages_of_github(tmp_path: Path) -> None:
    github = StandIn()
    github.repository.play = lambda inputs: Play(
        steps=("waiting", "in_progress") if inputs["target"] == "box-1" else ("queued", "in_progress")
    )
    async with through_github(tmp_path, github) as s:
        await s.announce("1.0.0")
        await s.advance(minutes=5, until=lambda: "Approve" in s.card("1.0.0").buttons)
        await s.ann.presses("Approve", on=s.card("1.0.0"), confirm=True)
        await s.advance(
            minutes=5, until=lambda: any("waits for somebody outside Andon" in t for t in s.thread("1.0.0"))
        )
        told = s.told("1.0.0", "waits for somebody outside Andon")
        assert (
            "The deployment of 1.0.0 to box-1 waits for somebody outside Andon: it waits on GitHub for approval by ann"
            in told
        )
        await s.advance(hours=2, until=lambda: "is everywhere" in s.card("1.0.0").text)
        beta, production = github.repository.deployments.values()
        assert [made.statuses[-1]["state"] for made in (beta, production)] == ["success", "success"]
        assert [made.given["environment"] for made in (beta, production)] == ["beta-1", "production"]
        assert {run.inputs["digest"] for run in github.repository.runs.values()} == {digest("1.0.0")}
        assert (len(github.repository.runs), github.mistakes) == (2, [])
        await s.app.look_at_targets()
        assert all(not target.drift for target in s.state.targets)
        assert await s.counts() == (0, 0)


async def test_a_run_that_fails_is_explained_in_the_thread(tmp_path: Path) -> None:
    github = StandIn()
    async with through_github(tmp_path, github) as s:
        await s.announce("1.0.0")
        await s.advance(minutes=5, until=lambda: "Approve" in s.card("1.0.0").buttons)
        github.repository.play = lambda inputs: Play(
            conclusion="failure" if inputs["version"] == "1.1.0" else "success"
        )
        await s.announce("1.1.0")
        await s.advance(minutes=5, until=lambda: "failed at step" in " ".join(s.thread("1.1.0")))
        thread = " ".join(s.thread("1.1.0"))
        assert "the job “deploy” failed at step “Apply”: https://github.example/octo/shop/actions/runs/" in thread
        assert "no database" in thread
        assert "open-sesame" not in s.simulator.transcript()
