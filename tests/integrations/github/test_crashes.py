"""Andon is killed in every state of a deployment by `github-actions`; whoever comes after ends it, and it is one."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from core.ports import Outcome
from integrations.github.deployer import GitHubActionsDeployer
from tests.integrations.github.world import by_version, client, request
from tests.standins.github import StandIn

ROOT = Path(__file__).resolve().parents[3]
STATUSES = r"POST .*/deployments/\d+/statuses"
MOMENTS = [
    ("GET .*/contents/.*", 1, False),
    ("POST .*/deployments", 1, False),
    ("POST .*/deployments", 1, True),
    (STATUSES, 1, False),
    (STATUSES, 1, True),
    ("POST .*/dispatches", 1, False),
    ("POST .*/dispatches", 1, True),
    (STATUSES, 2, False),
    (STATUSES, 2, True),
    (r"GET .*/runs/\d+", 1, True),
    ("GET .*/jobs", 1, True),
    (STATUSES, 3, False),
    (STATUSES, 3, True),
]
CANCELLING = [("POST .*/cancel", 1, False), ("POST .*/cancel", 1, True), (STATUSES, 3, False), (STATUSES, 3, True)]


async def killed(github: StandIn, version: str, call: str, nth: int, *, is_done: bool) -> None:
    """A process begins to deploy, and dies at this moment."""
    github.repository.play = by_version
    github.repository.refs[f"v{version}"] = "a" * 40
    github.hold(call, nth=nth, is_done=is_done)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integrations.github.one_deployment", github.url, version, cwd=ROOT
    )
    held, ended = asyncio.ensure_future(github.held.wait()), asyncio.ensure_future(process.wait())
    await asyncio.wait((held, ended), timeout=60, return_when=asyncio.FIRST_COMPLETED)
    assert held.done(), f"it ended before {call}: {github.calls}"
    process.kill()
    await ended


async def ended_by(deployer: GitHubActionsDeployer, version: str) -> Outcome:
    """What another process makes of it."""
    ref = await deployer.find("shop:d1") or await deployer.start(request("shop:d1", version=version))
    async with asyncio.timeout(30):
        while not (status := await deployer.status(ref)).outcome.is_final:
            if version == "endless":
                await deployer.cancel(ref)
    return status.outcome


def is_one(github: StandIn) -> bool:
    return (len(github.repository.runs), len(github.repository.deployments)) == (1, 1) and not github.mistakes


@pytest.mark.parametrize(("call", "nth", "is_done"), MOMENTS)
async def test_killed_while_it_deploys(github: StandIn, call: str, nth: int, is_done: bool) -> None:
    await killed(github, "1", call, nth, is_done=is_done)
    after = client(github)
    assert await ended_by(after, "1") is Outcome.SUCCEEDED
    assert is_one(github), (github.repository.runs, github.mistakes)
    assert (await after.running_version("web")).digest == "sha256:1"


@pytest.mark.parametrize(("call", "nth", "is_done"), CANCELLING)
async def test_killed_while_it_cancels(github: StandIn, call: str, nth: int, is_done: bool) -> None:
    await killed(github, "endless", call, nth, is_done=is_done)
    after = client(github)
    assert await ended_by(after, "endless") is Outcome.CANCELLED
    assert is_one(github), (github.repository.runs, github.mistakes)
    assert (await after.running_version("web")).digest is None
