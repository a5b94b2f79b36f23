"""Customers and what watches them: who meets a bad change, when an alarm sees it, and when customers complain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from company.chance import Chance
from core.ports import AlarmState
from core.releases.bake import covers
from core.releases.events import AlarmReported
from core.releases.pipeline import Alarm
from core.releases.state import Baking

if TYPE_CHECKING:
    from company.code import BadChange
    from company.life import Life

DAY = 86_400
SEEN_FROM = 5
"""Thousandths of the requests in an alarm's scope that must fail before it sees anything."""
COMPLAINED_OF_AFTER = 3_600 * 50
"""Seconds until customers are heard, if one request in a thousand fails; the more fail, the sooner."""
ON_CALL_LOOKS_AFTER = 1_200
LOOK_EVERY = 10
"""Seconds between the data points that a bake counts."""


@dataclass(slots=True)
class Exposed:
    """A target on which requests fail."""

    since: int
    changes: list[BadChange]

    @property
    def per_mille(self) -> int:
        """How many of a thousand requests fail."""
        return min(1000, sum(change.per_mille for change in self.changes))


class Customers:
    """The requests on each target, those of them that fail, and the alarms over them."""

    def __init__(self, life: Life, chance: Chance) -> None:
        self._life = life
        self._chance = chance
        self._served = life.plan.customers
        self._all = sum(self._served.values())
        self._load = {**life.plan.rehearsed, **self._served}
        self._stage_of = life.plan.pipeline.stage_of
        self._alarms: dict[str, list[Alarm]] = {}
        self._scope: dict[str, list[str]] = {}
        for alarm in life.plan.pipeline.alarms:
            stages = [s for s in life.plan.pipeline.stages if covers(alarm.scope, s)]
            names = [t.name for s in stages for t in s.targets if alarm.scope.name == t.name or _is_wide(alarm)]
            self._scope[alarm.name] = [name for name in names if self._load.get(name)]
            for name in self._scope[alarm.name]:
                self._alarms.setdefault(name, []).append(alarm)
        self._arrivals: dict[str, int] = {}
        self._exposed: dict[str, Exposed] = {}
        self._red: dict[str, bool] = {}
        """Alarms that are red (True) or about to turn."""
        self._is_blind = False

    def begin(self) -> None:
        """Alarms will be wrong, and will be missing, now and then."""
        if self._life.plan.pipeline.alarms:
            self._life.later(self._chance.delay(self._life.habits.false_alarm_days * DAY), self._false_alarm)
            self._life.later(self._chance.delay(self._life.habits.blind_days * DAY), self._goes_blind)

    def end(self) -> None:
        """Count what is still failing."""
        for target in list(self._exposed):
            self._count(target)

    # ---- who meets what ---------------------------------------------------------------------------------------------

    def arrived(self, target: str, version: str) -> None:
        """Something else runs on a target now."""
        arrival = self._arrivals[target] = self._arrivals.get(target, 0) + 1
        if target in self._exposed:
            self._count(target)
            del self._exposed[target]
            self._look_at_alarms(target)
        if self._load.get(target):
            is_met = bool(self._served.get(target))
            for change in self._life.people.code.held(version):
                if is_met or change.is_rehearsed:
                    self._life.later(change.after, self._shows, target, arrival, change)

    def _shows(self, target: str, arrival: int, change: BadChange) -> None:
        """From now on requests fail for it, if the version is still there."""
        if self._arrivals[target] != arrival:
            return
        self._count(target)
        exposed = self._exposed.setdefault(target, Exposed(self._life.clock, []))
        exposed.changes.append(change)
        self._look_at_alarms(target)
        if not self._served.get(target):
            return
        if not change.has_reached:
            change.has_reached = True
            self._life.tally.reached += 1
        failing = sum(self._served.get(t, 0) * e.per_mille for t, e in self._exposed.items())
        wait = COMPLAINED_OF_AFTER * self._all // max(1, failing)
        self._life.later(self._chance.delay(min(wait, 3 * DAY)), self._complain)

    def _count(self, target: str) -> None:
        exposed = self._exposed.get(target)
        if exposed is not None:
            seconds = self._life.clock - exposed.since
            self._life.tally.exposure += self._served.get(target, 0) * seconds * exposed.per_mille
            exposed.since = self._life.clock

    def _complain(self) -> None:
        hurting = [e for t, e in self._exposed.items() if self._served.get(t)]
        if hurting:
            self._life.people.hear_complaints([change for e in hurting for change in e.changes])

    # ---- alarms -----------------------------------------------------------------------------------------------------

    def _look_at_alarms(self, target: str) -> None:
        for alarm in self._alarms.get(target, ()):
            is_red = self._red.get(alarm.name)
            if self._sees(alarm) and is_red is None:
                self._red[alarm.name] = False
                self._life.later(self._chance.between(60, 240), self._turns_red, alarm)
            elif is_red and not self._sees(alarm):
                self._life.later(self._chance.between(60, 300), self._turns_ok, alarm)

    def _sees(self, alarm: Alarm) -> bool:
        scope = self._scope[alarm.name]
        failing = sum(self._load[t] * self._exposed[t].per_mille for t in scope if t in self._exposed)
        return failing > 0 and failing >= SEEN_FROM * sum(self._load[t] for t in scope)

    def _turns_red(self, alarm: Alarm) -> None:
        if self._red.get(alarm.name) or self._is_blind or not self._sees(alarm):
            if not self._red.get(alarm.name):
                self._red.pop(alarm.name, None)
            return
        self._red[alarm.name] = True
        for target in self._scope[alarm.name]:
            for change in self._exposed[target].changes if target in self._exposed else ():
                self._life.people.found(change, self._stage_of[target])
        self._life.later(self._chance.delay(ON_CALL_LOOKS_AFTER), self._somebody_looks, alarm)
        self._report(alarm, AlarmState.ALARM)

    def _somebody_looks(self, alarm: Alarm) -> None:
        """What Andon did not take back by itself, because the stage was not watched any more, the on-call does."""
        if self._red.get(alarm.name) and self._sees(alarm):
            self._life.people.take_back(f"{alarm.name} is red")

    def _turns_ok(self, alarm: Alarm) -> None:
        if self._red.get(alarm.name) and not self._is_blind and not self._sees(alarm):
            del self._red[alarm.name]
            self._report(alarm, AlarmState.OK)

    def _report(self, alarm: Alarm, stands: AlarmState, points: int = 0) -> None:
        now = self._life.now
        key = "looks" if points else "errors"
        self._life.hears(
            AlarmReported(
                alarm=alarm.name, key=key, alarm_state=stands, observed_at=now, scope=alarm.scope, points=points
            )
        )

    def _false_alarm(self) -> None:
        life = self._life
        life.later(self._chance.delay(life.habits.false_alarm_days * DAY), self._false_alarm)
        alarm = self._chance.pick(life.plan.pipeline.alarms)
        if alarm.name in self._red or self._is_blind:
            return
        life.tally.false_alarms += 1
        self._red[alarm.name] = True
        life.later(self._chance.between(300, 1_800), self._turns_ok, alarm)
        self._report(alarm, AlarmState.ALARM)

    def _goes_blind(self) -> None:
        """The monitoring itself is down: nothing is known for a while [10]."""
        life = self._life
        life.later(self._chance.delay(life.habits.blind_days * DAY), self._goes_blind)
        if self._is_blind:
            return
        self._is_blind = True
        life.tally.faults["monitoring down"] += 1
        life.later(self._chance.delay(1_200), self._sees_again)
        for alarm in life.plan.pipeline.alarms:
            self._report(alarm, AlarmState.UNKNOWN)

    def _sees_again(self) -> None:
        self._is_blind = False
        for alarm in self._life.plan.pipeline.alarms:
            is_red = self._sees(alarm)
            if is_red:
                self._red[alarm.name] = False
                self._turns_red(alarm)
            else:
                self._red.pop(alarm.name, None)
                self._report(alarm, AlarmState.OK)

    def bakes(self, stage: str) -> None:
        """A bake begins; where it asks for data points they come in one go, when as many can have been gathered."""
        wanted = self._life.plan.pipeline.by_name[stage].bake.minimum_points
        if wanted:
            self._life.later(wanted * LOOK_EVERY, self._gathered, stage, wanted)

    def _gathered(self, stage: str, points: int) -> None:
        line = self._life.plan.pipeline
        run = self._life.state.stage(stage).run
        if run is None or not isinstance(run.phase, Baking) or run.phase.points >= points:
            return
        alarm = next((a for a in line.watched_by[stage] if a.counts_as_evidence), None)
        if alarm is None:
            return
        if self._is_blind:
            self._life.later(600, self._gathered, stage, points)
            return
        self._report(alarm, AlarmState.OK, points)


def _is_wide(alarm: Alarm) -> bool:
    return alarm.scope.kind.value != "target"
