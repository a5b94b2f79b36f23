"""A load test is judged by the numbers of its report: kept, missed, or not there."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import Any

import pytest

from core.ports import TestOutcome, TestResult
from core.releases.problems import validated
from integrations.checks import TestContext
from integrations.load import LoadSettings, LoadTest

CONTEXT = TestContext(service="checkout", pipeline="checkout", stage="beta", version="1.4", digest="sha256:abc")
REPORT = {
    "metrics": {"http_req_duration": {"p(95)": 212.5}, "http_req_failed": {"value": 0.002}},
    "root_group": {"checks": [{"passes": 1200}]},
    "url": "https://load.example.com/runs/7",
    "wrong": {"text": "212", "truth": True, "huge": float("inf")},
}
WRITES = "import json, sys; json.dump(json.loads(sys.argv[2]), open(sys.argv[1], 'w')); print('200 users')"
P95 = {"path": "metrics.http_req_duration.p(95)", "at_most": 300}
LONG = timedelta(seconds=30)


async def judged(*thresholds: dict[str, Any], run: list[str] | None = None, **more: object) -> TestResult:
    command = [sys.executable, "-c", WRITES, "{report}", json.dumps(REPORT)] if run is None else run
    settings = json.dumps({"run": command, "thresholds": thresholds or [P95], **more})
    return await LoadTest().run("t-1", settings, LONG, CONTEXT)


async def test_numbers_within_their_limits_pass() -> None:
    result = await judged(
        P95,
        {"path": ["metrics", "http_req_failed", "value"], "below": 0.01},
        {"path": "root_group.checks.0.passes", "at_least": 1200},
        {"path": "root_group.checks.0.passes", "above": 1199},
        link="url",
    )
    assert result == TestResult(
        TestOutcome.PASSED,
        "metrics.http_req_duration.p(95) is 212.5 (at most 300), metrics.http_req_failed.value is 0.002 (below 0.01), "
        "root_group.checks.0.passes is 1200 (at least 1200) and root_group.checks.0.passes is 1200 (above 1199)",
        "https://load.example.com/runs/7",
        tells=True,
    )


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ({"at_most": 212}, "not at most 212"),
        ({"at_least": 213}, "not at least 213"),
        ({"below": 212.5}, "not below 212.5"),
        ({"above": 212.5}, "not above 212.5"),
    ],
)
async def test_a_number_beyond_its_limit_fails_and_is_named(limit: dict[str, float], says: str) -> None:
    result = await judged({"path": P95["path"], **limit}, {"path": "gone", "below": 1})
    assert result.outcome is TestOutcome.FAILED
    assert result.detail == f"metrics.http_req_duration.p(95) is 212.5, {says}"
    assert result.output == "200 users"


@pytest.mark.parametrize(
    "path", ["metrics.gone", "wrong.text", "wrong.truth", "wrong.huge", "root_group.checks.9", "url.0"]
)
async def test_a_number_that_is_not_there_cannot_be_told(path: str) -> None:
    result = await judged(P95, {"path": path, "at_most": 1})
    assert (result.outcome, result.detail) == (TestOutcome.ERRORED, f"its report has no number {path}")


async def test_a_report_may_be_printed() -> None:
    printed = [sys.executable, "-c", "print('starting'); print('{\"errors\": 3}'); print('done')"]
    result = await judged({"path": "errors", "at_most": 2}, run=printed)
    assert (result.outcome, result.detail) == (TestOutcome.FAILED, "errors is 3, not at most 2")


@pytest.mark.parametrize(
    ("program", "outcome", "says"),
    [
        ("print('no numbers')", TestOutcome.ERRORED, "it ended well, but wrote no report in JSON"),
        ("import sys; sys.exit('the shop is down')", TestOutcome.FAILED, "it ended with status 1: the shop is down"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", TestOutcome.ERRORED, "it was ended by SIGKILL"),
    ],
)
async def test_a_program_that_ends_otherwise_says_how(program: str, outcome: TestOutcome, says: str) -> None:
    result = await judged(run=[sys.executable, "-c", program])
    assert (result.outcome, result.detail) == (outcome, says)


async def test_a_program_that_ends_badly_has_not_passed_whatever_its_numbers() -> None:
    result = await judged(run=[sys.executable, "-c", f"{WRITES}; sys.exit(99)", "{report}", json.dumps(REPORT)])
    assert (result.outcome, result.detail) == (TestOutcome.FAILED, "it ended with status 99: 200 users")


async def test_what_cannot_be_run_says_so() -> None:
    result = await judged(run=["no-such-program"])
    assert (result.outcome, result.detail) == (
        TestOutcome.ERRORED,
        "`no-such-program` cannot be run: No such file or directory",
    )


@pytest.mark.parametrize(
    ("threshold", "sentence"),
    [
        ({"path": "a.b"}, "a threshold has one limit"),
        ({"path": "a.b", "below": 1, "above": 0}, "a threshold has one limit"),
        ({"path": "a..b", "below": 1}, "a path has no empty steps"),
        ({"path": "a", "below": float("nan")}, "a limit is a finite number"),
        ({"path": "a", "blow": 1}, "`blow` is no key of this place"),
    ],
)
def test_wrong_thresholds_are_found_offline(threshold: dict[str, object], sentence: str) -> None:
    _, problems = validated(LoadSettings, {"run": ["k6"], "thresholds": [threshold]})
    assert any(sentence in problem.sentence for problem in problems), problems
