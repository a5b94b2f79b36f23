"""A workflow as a test of a stage: dispatched, followed, linked, and found again after a crash."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from core.ports import TestOutcome, TestResult
from integrations.checks import TestContext
from integrations.github.workflow_test import GitHubWorkflowTest
from tests.integrations.github.world import at_once
from tests.standins.github import SECONDARY, Fault, StandIn
from tests.standins.github_world import Play

CONTEXT = TestContext(service="shop", pipeline="shop", stage="beta", version="1.4", digest="sha256:abc")
SMOKE = """\
name: Smoke
run-name: Smoke test of ${{ inputs.version }} [${{ inputs.andon_key }}]
on:
  workflow_dispatch:
    inputs:
      andon_key: {type: string}
      version: {type: string}
      suite: {type: string}
"""
NAMELESS = SMOKE.replace("run-name", "description")


@pytest.fixture(autouse=True)
def smoke(github: StandIn) -> None:
    github.repository.workflows["smoke.yml"] = SMOKE


async def run(place: StandIn, *, timeout: float = 20, reads: float = 10.0, **more: Any) -> TestResult:
    settings = {
        "api": place.url,
        "token_env": "GITHUB_TOKEN",
        "repository": "octo/shop",
        "workflow": "smoke.yml",
        "inputs": {"suite": "quick"},
        **more,
    }
    test = GitHubWorkflowTest(environment={"GITHUB_TOKEN": "open-sesame"}, timeout=reads, pause=at_once)
    return await test.run("shop:test3", json.dumps(settings), timedelta(seconds=timeout), CONTEXT)


async def test_a_run_that_succeeds_passes_and_is_linked(github: StandIn) -> None:
    result = await run(github)
    (begun,) = github.repository.runs.values()
    assert result == TestResult(
        TestOutcome.PASSED, "the run on GitHub succeeded", f"https://github.example/octo/shop/actions/runs/{begun.id}"
    )
    assert begun.inputs == {"andon_key": "shop:test3", "version": "1.4", "suite": "quick"}
    assert github.mistakes == []


async def test_a_run_that_fails_names_its_step_and_shows_its_log(github: StandIn) -> None:
    github.repository.play = lambda inputs: Play(conclusion="failure")
    result = await run(github)
    assert (result.outcome, result.detail) == (TestOutcome.FAILED, "the job “deploy” failed at step “Apply”")
    assert "/job/" in result.url
    assert "no database" in result.output


@pytest.mark.parametrize("conclusion", ["cancelled", "neutral", "action_required"])
async def test_a_run_that_says_neither_could_not_tell(github: StandIn, conclusion: str) -> None:
    github.repository.play = lambda inputs: Play(conclusion=conclusion)
    assert (await run(github)).outcome is TestOutcome.ERRORED


@pytest.mark.parametrize("workflow", [SMOKE, NAMELESS])
async def test_trouble_on_the_way_is_waited_out(github: StandIn, workflow: str) -> None:
    github.repository.workflows["smoke.yml"] = workflow
    for call in ("GET .*/contents/.*", "POST .*/dispatches", r"GET .*/runs/\d+"):
        github.fails(call, SECONDARY)
        github.fails(call, Fault(502))
    assert (await run(github)).outcome is TestOutcome.PASSED
    assert len(github.repository.runs) == 1


async def test_begun_before_a_crash_it_is_not_begun_again(github: StandIn) -> None:
    github.hold("POST .*/dispatches", is_done=True)
    first = asyncio.ensure_future(run(github, reads=30.0))
    await github.held.wait()
    first.cancel()
    await asyncio.wait([first])
    assert (await run(github)).outcome is TestOutcome.PASSED
    assert len(github.repository.runs) == 1


async def test_a_server_that_tells_no_id_is_searched(github: StandIn) -> None:
    github.knows_run_details, github.repository.lag = False, 2
    assert (await run(github)).outcome is TestOutcome.PASSED
    github.repository.workflows["smoke.yml"] = NAMELESS
    result = await run(github)
    assert result.outcome is TestOutcome.ERRORED
    assert "let the `run-name` of smoke.yml hold" in result.detail


async def test_what_is_not_over_in_time_is_cancelled(github: StandIn) -> None:
    github.repository.play = lambda inputs: Play(steps=("waiting",), is_endless=True)
    result = await run(github, timeout=1.5)
    assert result.outcome is TestOutcome.ERRORED
    assert result.detail.startswith("it was not over within its time, and is cancelled; last seen: it waits on GitHub")
    assert next(iter(github.repository.runs.values())).is_cancelling


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"inputs": {"suit": "quick"}}, "does not take the input `suit`; did you mean `suite`?"),
        ({"workflow": "gone.yml"}, "show the workflow gone.yml of octo/shop"),
        ({"repository": "shop"}, "repository"),
        ({"token_env": "NOBODY"}, "The environment variable NOBODY holds no GitHub token"),
    ],
)
async def test_what_can_never_work_says_why(github: StandIn, settings: dict[str, Any], says: str) -> None:
    result = await run(github, **settings)
    assert result.outcome is TestOutcome.ERRORED
    assert says in result.detail
    assert github.repository.runs == {}
