"""Deployers and tests as they are: slow, mostly right, sometimes lost, and now and then saying things twice or late."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from company.chance import Chance
from core.ports import TestOutcome
from core.releases.effects import CancelDeployment, ObserveTarget, RunStageTest, StartDeployment
from core.releases.events import (
    DeploymentCancelled,
    DeploymentFailed,
    DeploymentLost,
    DeploymentProgressed,
    DeploymentStarted,
    DeploymentSucceeded,
    Event,
    ReconcileRequested,
    RunningVersionObserved,
    StageTestReported,
)
from core.releases.state import Installed

if TYPE_CHECKING:
    from company.life import Life

MINUTE = 60
DAY = 86_400


@dataclass(slots=True)
class Attempt:
    """A deployment as it is out there, whatever Andon has heard of it."""

    key: str
    target: str
    what: Installed
    is_rollback: bool
    is_alive: bool = True


class Outside:
    """What runs where, and what is being put there."""

    def __init__(self, life: Life, chance: Chance) -> None:
        self._life = life
        self._chance = chance
        self._attempts: dict[str, Attempt] = {}
        self.runs: dict[str, str] = {}
        """For each target the digest that really runs there; `by-hand-…` is nobody's, `mixed` is two at once."""
        self._by_hand = 0

    def begin(self) -> None:
        """Somebody will come and change something by hand."""
        self._life.later(self._chance.delay(self._life.habits.by_hand_days * DAY), self._somebody_meddles)

    # ---- deployments ------------------------------------------------------------------------------------------------

    def start(self, effect: StartDeployment) -> None:
        """A deployment is asked for: it is under way from now on, whenever that is reported."""
        if effect.key in self._attempts:
            return  # Asked for again, and known by its key.
        if effect.target in [attempt.target for attempt in self._attempts.values()]:
            self._life.violated(f"two deployments are under way on {effect.target} at once [26]")
        attempt = Attempt(effect.key, effect.target, effect.what, effect.is_rollback)
        self._attempts[effect.key] = attempt
        takes = self._chance.between(1 * MINUTE, 6 * MINUTE)
        begins = self._chance.between(1, 5)
        started = DeploymentStarted(key=effect.key, ref=f"ref-{effect.key}")
        if not self._chance.once_in(self._life.habits.fault_share):
            self._life.later(begins, self._says, started)
            self._life.later(begins + takes, self._ends, attempt)
            return
        self._goes_wrong(attempt, started, begins, takes)

    def _goes_wrong(self, attempt: Attempt, started: DeploymentStarted, begins: int, takes: int) -> None:
        later, key, faults = self._life.later, attempt.key, self._life.tally.faults
        kind = self._chance.pick(("refused", "failed", "lost", "dead", "late", "twice", "progress", "missing"))
        faults[f"deployer {kind}"] += 1
        if kind == "refused":
            later(begins, self._fails, attempt, True, False)
        elif kind == "missing" and attempt.is_rollback:
            later(begins, self._fails, attempt, True, True)
        elif kind == "failed":
            later(begins, self._says, started)
            later(begins + takes, self._fails, attempt, False, False)
        elif kind == "dead":
            later(begins, self._says, started)
            later(begins + takes, self._says, DeploymentLost(key=key, reason="the deployer does not answer"))
            later(begins + takes + self._chance.delay(40 * MINUTE), self._is_declared_dead, attempt)
        elif kind == "late":
            later(begins + takes, self._ends, attempt)
            later(begins + takes + 3, self._says, started)
        else:
            later(begins, self._says, started)
            if kind == "lost":
                later(begins + takes // 2, self._says, DeploymentLost(key=key, reason="the deployer timed out"))
                later(begins + takes - 1, self._says, started)
            if kind == "progress":
                progress = DeploymentProgressed(key=key, done_units=1, all_units=2)
                later(begins + takes // 2, self._says, progress)
            later(begins + takes, self._ends, attempt)
            later(begins + takes + self._chance.between(1, 600), self._says, DeploymentSucceeded(key=key))

    def _says(self, event: Event) -> None:
        self._life.hears(event)

    def _ends(self, attempt: Attempt) -> None:
        if not attempt.is_alive:
            return
        self._is_over(attempt)
        self._now_runs(attempt.target, attempt.what.digest, attempt.what.version)
        life = self._life
        awaited = life.state.target(attempt.target).deployment
        if awaited is None or awaited.key != attempt.key:
            life.violated(f"a deployment on {attempt.target} ended that nobody waited for [26]")
        life.tally.deployments += 1
        life.moved_at = life.clock
        life.tally.back += attempt.is_rollback
        if life.tally.deployments == life.limit.deployments:
            life.is_over = True
        life.hears(DeploymentSucceeded(key=attempt.key))
        facts = life.state.target(attempt.target)
        if facts.current is None or facts.current.digest != attempt.what.digest:
            life.violated(f"{attempt.target} runs {attempt.what.version}, but that is not what is recorded [27]")

    def _fails(self, attempt: Attempt, nothing_begun: bool, artifact_missing: bool) -> None:
        if not attempt.is_alive:
            return
        self._is_over(attempt)
        if not nothing_begun:
            self._now_runs(attempt.target, "mixed", "")
        self._life.hears(
            DeploymentFailed(
                key=attempt.key,
                reason="the deployer says no",
                nothing_begun=nothing_begun,
                artifact_missing=artifact_missing,
            )
        )

    def cancel(self, effect: CancelDeployment) -> None:
        """A deployment is asked to stop; it may be done first."""
        attempt = self._attempts.get(effect.deployment)
        if attempt is not None and attempt.is_alive:
            self._life.later(self._chance.between(2, 20), self._stops, attempt)

    def _stops(self, attempt: Attempt) -> None:
        if attempt.is_alive:
            self._is_over(attempt)
            self._now_runs(attempt.target, "mixed", "")
            self._life.hears(DeploymentCancelled(key=attempt.key))

    def _is_declared_dead(self, attempt: Attempt) -> None:
        """A person makes sure that it is over, and says so."""
        if attempt.is_alive:
            self._is_over(attempt)
            self._now_runs(attempt.target, "mixed", "")
            who = self._life.people.member()
            self._life.hears(ReconcileRequested(by=who, choice="dead", target=attempt.target, reason="I looked"))

    def _is_over(self, attempt: Attempt) -> None:
        attempt.is_alive = False
        self._attempts.pop(attempt.key, None)

    def _now_runs(self, target: str, digest: str, version: str) -> None:
        self.runs[target] = digest
        self._life.customers.arrived(target, version)

    # ---- what runs --------------------------------------------------------------------------------------------------

    def observe(self, effect: ObserveTarget) -> None:
        """Look what a target runs, in a moment."""
        self._life.later(self._chance.between(2, 30), self._is_observed, effect.target)

    def _is_observed(self, target: str) -> None:
        digest = self.runs.get(target)
        is_mixed = digest == "mixed"
        self._life.hears(RunningVersionObserved(target=target, digest=None if is_mixed else digest, is_mixed=is_mixed))

    def _somebody_meddles(self) -> None:
        life, chance = self._life, self._chance
        life.later(chance.delay(life.habits.by_hand_days * DAY), self._somebody_meddles)
        free = [t for t in life.state.targets if t.deployment is None and t.current is not None and not t.is_mixed]
        if not free:
            return
        target = chance.pick(free).name
        self._by_hand += 1
        life.tally.faults["changed by hand"] += 1
        self._now_runs(target, f"by-hand-{self._by_hand}", "")
        life.later(chance.between(10, 600), self._is_observed, target)
        life.later(chance.delay(3_600) + 600, life.people.reconcile, target)

    def was_kept(self, target: str, digest: str) -> None:
        """What a person found there and kept is what runs."""
        self.runs[target] = digest

    # ---- tests ------------------------------------------------------------------------------------------------------

    def test(self, effect: RunStageTest) -> None:
        """A test of a stage runs for a while."""
        self._life.later(self._chance.between(1 * MINUTE, 15 * MINUTE), self._tested, effect)

    def _tested(self, effect: RunStageTest) -> None:
        people = self._life.people
        outcome = TestOutcome.PASSED
        caught = people.code.caught_by_tests(effect.version, self._chance)
        if caught:
            outcome = TestOutcome.FAILED
        elif self._chance.once_in(self._life.habits.flaky_share):
            outcome = self._chance.pick((TestOutcome.FAILED, TestOutcome.ERRORED))
            self._life.tally.faults["flaky test"] += 1
        for change in caught:
            people.found(change, effect.stage)
        self._life.hears(StageTestReported(key=effect.key, outcome=outcome))
