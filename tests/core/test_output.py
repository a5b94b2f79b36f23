"""What a program printed is said; of a test only where it failed; and each stage that went back is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.ports import TestOutcome
from core.releases.effects import RunStageTest, StartDeployment
from core.releases.events import (
    DeploymentCancelled,
    DeploymentFailed,
    DeploymentSucceeded,
    Event,
    StageTestReported,
)
from core.releases.statuses import RolledBack
from tests.core.line import Line
from tests.core.test_rule_failures import in_tests
from tests.core.test_seldom import key_of


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (TestOutcome.FAILED, ["The test smoke of beta failed."]),
        (TestOutcome.ERRORED, ["The test smoke of beta could not tell."]),
        (TestOutcome.PASSED, []),
    ],
)
def test_what_a_test_printed_is_told_unless_it_passed(outcome: TestOutcome, said: list[str]):
    line = in_tests()
    smoke = next(run for run in line.pending(RunStageTest) if run.test == "smoke")
    line.hears(StageTestReported(key=smoke.key, outcome=outcome, output="no such cart\n"))
    assert [tell.sentence for tell in line.said("output")] == said
    assert all(tell.output == "no such cart\n" for tell in line.said("output"))


@pytest.mark.parametrize(
    ("outcome", "topic"),
    [(TestOutcome.FAILED, "stopped"), (TestOutcome.ERRORED, "stopped"), (TestOutcome.PASSED, "tested")],
)
def test_the_results_of_a_test_are_linked(outcome: TestOutcome, topic: str):
    line = in_tests()
    for run in line.pending(RunStageTest):
        is_smoke = run.test == "smoke"
        url = "https://ci.example.com/7" if is_smoke else ""
        line.hears(StageTestReported(key=run.key, outcome=outcome if is_smoke else TestOutcome.PASSED, url=url))
    (told,) = line.said(topic)
    assert "(https://ci.example.com/7)" in told.sentence


def test_numbers_worth_telling_are_told_when_it_passed():
    line = in_tests()
    smoke = line.pending(RunStageTest)[0]
    line.hears(StageTestReported(key=smoke.key, outcome=TestOutcome.PASSED, detail="p95 is 212", tells=True))
    assert [tell.sentence for tell in line.said("tested")] == ["The test smoke of beta passed: p95 is 212"]


@pytest.mark.parametrize(
    ("ended", "how"),
    [
        (lambda key: DeploymentFailed(key=key, reason="exit 1", output="disk full"), "failed"),
        (lambda key: DeploymentSucceeded(key=key, output="disk full"), "is done"),
        (lambda key: DeploymentCancelled(key=key, output="disk full"), "was cancelled"),
    ],
)
def test_what_a_deployment_printed_is_told_at_its_end(ended: Callable[[str], Event], how: str):
    line = Line()
    line.announces("1.1")
    target = line.pending(StartDeployment)[0].target
    line.hears(ended(key_of(line, target)))
    (tell,) = line.said("output")
    assert (tell.sentence, tell.output) == (f"The deployment of 1.1 to {target} {how}.", "disk full")
    assert tell.release == line.release("1.1").id


def test_each_stage_that_goes_back_is_named_and_the_cause_is_said():
    line = Line()
    line.travels("1.0")
    line.travels("1.1")
    line.alarm("errors")
    line.deploys()
    status = line.release("1.1").status
    assert isinstance(status, RolledBack)
    assert status.also
    assert status.stage not in status.also
    assert "and it went bad in" not in status.reason
