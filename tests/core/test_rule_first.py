"""The first release of all: nothing ran before it, so no alarm can have been about it yet."""

from __future__ import annotations

from datetime import timedelta

from core.releases.effects import StartDeployment
from core.releases.events import DeploymentStarted, DeploymentSucceeded
from tests.core.line import Line


def test_rule_9_an_alarm_over_what_never_ran_does_not_stop_the_first_release():
    line = Line()
    line.announces("1.0")
    (beta,) = line.pending(StartDeployment)
    line.effects.clear()
    line.hears(DeploymentStarted(key=beta.key, ref="r"))
    line.hears(DeploymentSucceeded(key=beta.key))
    line.alarm()
    assert line.occupant("one-box") == ("1.0", "deploying")

    line.deploys()
    line.passes(timedelta(minutes=20))
    assert line.occupant("one-box") == ("1.0", "baking"), "nothing passes while its alarm is red"

    line.alarm(is_red=False)
    assert line.runs("one-box") == "1.0"
    assert "one-box" in line.release("1.0").passed, "its time and evidence are in"


def test_rule_9_once_it_has_been_ok_the_alarm_counts_like_any_other():
    line = Line()
    line.announces("1.0")
    line.alarm()
    line.deploys()
    line.passes(1)
    line.alarm(is_red=False)
    line.passes(1)
    line.alarm()
    assert line.occupant("one-box") == ("1.0", "stopped"), "there is no known good version to go back to"
