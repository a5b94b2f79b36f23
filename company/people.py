"""The people of a service: they change code, approve, pull the cord and mend what stands still, all of it late."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from company.chance import Chance
from company.code import BadChange, Code
from company.shapes import ADMINISTRATOR, person
from core.releases.approvals import eligible, rule_of
from core.releases.events import (
    ApproveRequested,
    CancelRequested,
    LiftRequested,
    OverrideRequested,
    PauseRequested,
    PromoteRequested,
    ReconcileRequested,
    RejectRequested,
    ReleaseAnnounced,
    ResumeRequested,
    RetryRequested,
    RollbackRequested,
    WorldChanged,
)
from core.releases.freezing import Covered, FreezeRequested, OrganisationCommand, UnfreezeRequested, act
from core.releases.state import Change, StopCause, Stopped
from core.releases.why import why
from core.releases.world import Actor, Via

if TYPE_CHECKING:
    from company.life import Life

MINUTE = 60
HOUR = 3_600
DAY = 86_400
WORKDAY = 10 * HOUR
AFTERWARDS = 14 * DAY
"""How long a life goes on after its last change, for that to arrive."""
REJECTED = 0.01
TRIES = 4
CI = Actor("ci", "CI", Via.API, is_person=False)


class People:
    """Everybody who acts on one service. `changes` is a stream of its own: the same come, whatever else does."""

    def __init__(self, life: Life, chance: Chance, changes: Chance) -> None:
        self._life = life
        self._chance = chance
        self._changes = changes
        self._count = 0
        self._seen: set[str] = set()
        self._back: list[str] = []
        self.code = Code()
        team = life.plan.world.teams[life.plan.pipeline.team]
        self._members = tuple(sorted(team.members))
        self._owner = min(team.owners)
        self._second = max(team.members)

    def begin(self) -> None:
        """The first version, and the first pull of the cord to come."""
        self._change()
        self._life.later(self._chance.delay(self._life.habits.pause_days * DAY), self._pull_the_cord)
        self._life.later(self._chance.delay(self._life.habits.stop_days * DAY), self._stop_everything)

    def member(self) -> Actor:
        """Somebody of the team."""
        return person(self._chance.pick(self._members))

    def _at_work(self, seconds: int) -> int:
        """So many seconds from now, or when the next working day begins: Monday to Friday, ten hours from eight."""
        at = self._life.clock + seconds
        day, second = divmod(at, DAY)
        if second >= WORKDAY:
            day, second = day + 1, 0
        if day % 7 >= 5:
            day, second = day + 7 - day % 7, 0
        return day * DAY + second - self._life.clock

    # ---- versions ---------------------------------------------------------------------------------------------------

    def _change(self) -> None:
        """A change comes in, good or bad, and a version with it; the next one follows some day."""
        habits, changes, life = self._life.habits, self._changes, self._life
        mean = int(7 * DAY / habits.versions_a_week)
        wait = self._at_work(changes.between(mean // 4, mean * 7 // 4))
        is_bad, marrow = changes.once_in(habits.bad_share), Chance(f"{changes.draw()}")
        self._count += 1
        if is_bad and self._count > 1:
            self.code.spoil(marrow)
            life.tally.bad_changes += 1
        self._announce()
        if self._count == life.limit.changes:
            life.later(AFTERWARDS, self._is_over)
        else:
            life.later(wait, self._change)

    def _is_over(self) -> None:
        self._life.is_over = True

    def _announce(self) -> None:
        life = self._life
        life.tally.versions += 1
        version = f"1.{life.tally.versions}"
        self.code.cut(version)
        author = self._chance.pick(self._members)
        mends = tuple(m.version for m in life.state.bad if not m.is_healed and self.code.is_mended(m.version))
        change = Change(id=f"c{life.tally.versions}", title="A change", authors=(author,))
        life.hears(
            ReleaseAnnounced(
                version=version,
                digest=f"sha256:{version}",
                artifact=version,
                by=CI,
                changes=(change,),
                fixes=mends,
            )
        )

    def found(self, change: BadChange, where: str) -> None:
        """A bad change is known, and somebody begins to mend it."""
        if change.found_in:
            return
        change.found_in = where
        self._life.tally.found[where] += 1
        self._life.later(self._at_work(self._chance.delay(90 * MINUTE)), self._mend, change)

    def _mend(self, change: BadChange) -> None:
        change.is_mended = True
        self._announce()
        self._life.later(self._chance.delay(2 * HOUR), self._push, f"1.{self._life.tally.versions}", TRIES)

    def _push(self, version: str, tries: int) -> None:
        """What mends something may not have to wait for office hours: an owner says so, and soon a second person."""
        life = self._life
        release = next((r for r in life.state.releases if r.version == version and r.is_live), None)
        if release is None or tries == 0:
            return
        held = [
            found.stage
            for found in why(life.state, life.world, life.now)
            if found.release.id == release.id and any(r.kind in ("frozen", "window", "turn") for r in found.reasons)
        ]
        if not held or not self._chance.once_in(life.habits.override_share):
            life.later(self._chance.delay(2 * HOUR), self._push, version, tries - 1)
            return
        asked = [
            OverrideRequested(by=person(key), version=version, stage=held[0], reason="it mends what hurts")
            for key in (self._owner, self._second)
        ]
        if life.hears(asked[0]):
            life.tally.faults["override"] += 1
            life.later(self._chance.delay(10 * MINUTE), life.hears, asked[1])

    def went_back(self, version: str) -> None:
        """A version was rolled back; if nothing is known to be wrong with it, somebody looks and lets it past."""
        self._life.later(self._at_work(self._chance.delay(HOUR)), self._look_at, version)

    def _look_at(self, version: str) -> None:
        if any(change.found_in for change in self.code.held(version)):
            return
        self.code.clear(version)
        life = self._life
        if life.hears(LiftRequested(by=person(self._owner), version=version, reason="a false alarm: nothing is wrong")):
            life.hears(PromoteRequested(by=person(self._owner), version=version))
        elif any(not mark.is_healed and mark.version == version for mark in life.state.bad):
            self._announce()

    def hear_complaints(self, changes: Iterable[BadChange]) -> None:
        """Customers say that it does not work: the on-call takes everything back."""
        for change in changes:
            self.found(change, "customers")
        self.take_back("customers complain")

    def take_back(self, reason: str) -> None:
        """The on-call takes back what runs, everywhere."""
        self._life.hears(RollbackRequested(by=person("pager"), reason=reason, everywhere=True))

    # ---- approvals --------------------------------------------------------------------------------------------------

    def asked(self, request_id: str) -> None:
        """An approval is asked for: as many as are needed come to it, each in their own time."""
        if request_id in self._seen:
            return
        self._seen.add(request_id)
        state = self._life.state
        request = next((r for r in state.approvals if r.id == request_id), None)
        rule = rule_of(state.definition, request.scope) if request is not None else None
        if request is None or rule is None:
            return
        self._life.tally.asked += 1
        may = eligible(state, request, self._life.world)
        first = self._chance.between(0, max(0, len(may) - 1))
        for n in range(min(rule.count, len(may))):
            who = person(may[(first + n) % len(may)])
            self._life.later(self._at_work(self._chance.delay(25 * MINUTE)), self._decide_on, request_id, who)

    def _decide_on(self, request_id: str, who: Actor) -> None:
        if any(r.id == request_id for r in self._life.state.approvals):
            if self._chance.once_in(REJECTED):
                self._life.hears(RejectRequested(by=who, reason="not this week", request_id=request_id))
            else:
                self._life.hears(ApproveRequested(by=who, request_id=request_id))

    # ---- the cord ---------------------------------------------------------------------------------------------------

    def _pull_the_cord(self) -> None:
        life, who = self._life, self.member()
        life.later(self._chance.delay(life.habits.pause_days * DAY), self._pull_the_cord)
        life.tally.faults["pause"] += 1
        life.hears(PauseRequested(by=who, reason="something looks odd"))
        life.later(self._chance.delay(2 * HOUR), life.hears, ResumeRequested(by=who))

    def _stop_everything(self) -> None:
        """The organisation-wide stop: an administrator places it, and lifts it when the trouble is over."""
        life, who = self._life, person(ADMINISTRATOR)
        life.later(self._chance.delay(life.habits.stop_days * DAY), self._stop_everything)
        life.tally.faults["everything stopped"] += 1
        self._acts(FreezeRequested(by=who, what=Covered(), reason="an outage elsewhere"))
        life.later(self._chance.delay(3 * HOUR), self._acts, UnfreezeRequested(by=who))

    def _acts(self, command: OrganisationCommand) -> None:
        """Somebody changes the world, and the pipeline looks at its gates again."""
        life = self._life
        life.world = act(life.world, [life.plan.pipeline], command, life.now).world
        life.world = replace(life.world, revision=life.world.revision + 1)
        life.hears(WorldChanged())

    # ---- what stands still ------------------------------------------------------------------------------------------

    def stands_still(self, stage: str, phase: Stopped, tries: int = 0) -> None:
        """A stage stands still: somebody looks after a while."""
        wait = self._chance.delay(30 * MINUTE * (tries + 1))
        self._life.later(wait, self._look_at_stage, stage, phase, tries)

    def _look_at_stage(self, stage: str, phase: Stopped, tries: int) -> None:
        life = self._life
        run = next((s.run for s in life.state.stages if s.name == stage), None)
        if run is None or not isinstance(run.phase, Stopped) or run.phase.since != phase.since:
            return
        release = life.state.released(run.release)
        is_known_bad = any(c.found_in for c in self.code.held(release.version))
        who = person("pager")
        if tries >= TRIES:
            life.hears(CancelRequested(by=self.member(), reason="it does not get anywhere", version=release.version))
            return
        match phase.cause:
            case StopCause.TEST_FAILED if is_known_bad:
                return  # The version that mends it takes its place.
            case StopCause.TEST_FAILED | StopCause.TEST_ERRORED | StopCause.TARGET_FAILED | StopCause.ROLLBACK_FAILED:
                life.hears(RetryRequested(by=self.member(), stage=stage))
            case _:
                life.hears(RollbackRequested(by=who, reason="it stands still", scope_name=stage))
        self.stands_still(stage, phase, tries + 1)

    def reconcile(self, target: str) -> None:
        """Somebody says what is to become of a change by hand."""
        facts = next((t for t in self._life.state.targets if t.name == target), None)
        if facts is None or not facts.drift:
            return
        choice = self._chance.pick(("keep", "restore"))
        digest = facts.drift_digest
        if self._life.hears(ReconcileRequested(by=self.member(), choice=choice, target=target)) and choice == "keep":
            self._life.outside.was_kept(target, digest)
