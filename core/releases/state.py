"""What is alive in one pipeline: frozen, hashable, bounded. History is the event table.

A field exists only where it means something: `Release.status` and `StageRun.phase` are unions of small values. Whether
a release is blocked, or an alarm is unknown, is never stored: `blockers` and `alarms` compute it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from core.releases.copies import quick
from core.releases.pipeline import SERVICE, Pipeline, Scope, Stage
from core.releases.statuses import LIVE, Live, ReleaseStatus
from core.releases.world import Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change a release carries. `authors` holds authors and co-authors, `merger` who merged it, as identities."""

    id: str
    title: str = ""
    authors: tuple[str, ...] = ()
    merger: str = ""
    url: str = ""


@quick
@dataclass(frozen=True, slots=True)
class Installed:
    """A version on (or for) a target, with all that is needed to put it back."""

    release: str
    version: str
    digest: str
    artifact: str
    sequence: int


# ---- releases -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One version's journey.

    `passed` names stages in the order they were passed. `contributors` are the identities of everyone behind its
    changes; they stay when `changes` are dropped at the end of the journey, because later approvals need them [19].
    `ancestors` are versions known to be contained in it, None where nothing is known [3, 15].
    """

    id: str
    version: str
    digest: str
    artifact: str
    sequence: int
    announced_at: datetime
    announced_by: Actor
    commit: str = ""
    url: str = ""
    changes: tuple[Change, ...] = ()
    contributors: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()
    ancestors: tuple[str, ...] | None = None
    is_one_way: bool = False
    passed: tuple[str, ...] = ()
    goal: str = ""
    """`promote … to STAGE`: goes on by itself up to there, then waits for a person."""
    picked: tuple[str, ...] = ()
    """Stages a person picked it for, where the order is manual."""
    status: ReleaseStatus = LIVE

    @property
    def is_live(self) -> bool:
        """Whether it is on its way or waiting to be."""
        return isinstance(self.status, Live)

    @property
    def installed(self) -> Installed:
        """This release as something to put on a target."""
        return Installed(self.id, self.version, self.digest, self.artifact, self.sequence)


@dataclass(frozen=True, slots=True, kw_only=True)
class BadMark:
    """A version that automation never brings back, from `stage` on [15]."""

    release: str
    version: str
    digest: str
    sequence: int
    stage: str
    reason: str
    at: datetime
    lifted_for: tuple[str, ...] = ()
    """Releases that a person let past this mark."""
    is_healed: bool = False
    """A newer release passed the stage since: what contains this version is not suspect any more, it itself is."""


# ---- stages ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploying:
    """Targets are being given the version, in batches. `failed` are targets given up on [12]."""

    since: datetime
    failed: tuple[str, ...] = ()
    kind: Literal["deploying"] = "deploying"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestRun:
    """One test of a stage; `outcome` is empty while it runs, else passed, failed or errored [11]."""

    __test__ = False

    name: str
    key: str
    outcome: str = ""
    detail: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Testing:
    """The stage's tests run, all at once."""

    since: datetime
    tests: tuple[TestRun, ...]
    kind: Literal["testing"] = "testing"


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Baking:
    """Time and evidence are gathered. `credited` is bake time proper: neither blind nor down [7]."""

    since: datetime
    credited_until: datetime
    credited: timedelta = timedelta()
    points: int = 0
    asked: bool = False
    """People were asked, because the ceiling was reached or a source fell silent."""
    kind: Literal["baking"] = "baking"


class StopCause:
    """Why a stage stands still; a namespace of words, so that the stored value stays readable."""

    ALARM = "alarm"
    TARGET_FAILED = "target_failed"
    TEST_FAILED = "test_failed"
    TEST_ERRORED = "test_errored"
    ROLLBACK_FAILED = "rollback_failed"
    ONE_WAY = "one_way"
    NO_KNOWN_GOOD = "no_known_good"
    GUARD = "guard"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """Left as it is until a person, or a newer release, moves it on."""

    since: datetime
    cause: str
    reason: str
    alarm: str = ""
    kind: Literal["stopped"] = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class RollingBack:
    """Targets in `plan` go back, each to its own version; it is over when all of them have."""

    since: datetime
    reason: str
    by: Actor
    is_automatic: bool
    plan: tuple[tuple[str, Installed], ...]
    ends_in_stop: bool = False
    """A failed target goes back alone; the stage then stops, mixed [12]."""
    kind: Literal["rolling_back"] = "rolling_back"


StagePhase = Deploying | Testing | Baking | Stopped | RollingBack


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class StageRun:
    """One release in one stage, pinned to the definition it entered under [4]."""

    release: str
    revision: str
    entered_at: datetime
    phase: StagePhase
    red_at_entry: tuple[str, ...] = ()
    """Alarms that were red already; they count again once they have been ok [9]."""
    override: str = ""
    reached: tuple[str, ...] = ()
    """Targets on which a deployment of this release was begun."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A stage that was passed, but can still roll back [7]."""

    release: str
    until: datetime
    red_at_entry: tuple[str, ...] = ()
    entered_at: datetime | None = None
    """When the release entered the stage: an alarm that began before says nothing about it [9]."""
    spared: tuple[str, ...] = ()
    """Alarms that turned red over it while a younger release in their scope goes back first [8]."""
    settles_at: datetime | None = None
    """When the spared are judged: no younger release goes back any more, and alarms were given time to settle."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One attempt on one target. `phase` is requested, running, unknown or cancelling."""

    key: str
    what: Installed
    is_rollback: bool
    is_automatic: bool
    requested_at: datetime
    phase: Literal["requested", "running", "unknown", "cancelling"] = "requested"
    ref: str = ""
    url: str = ""
    note: str = ""
    done_units: int = 0
    all_units: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetState:
    """The facts of one target.

    `current` is what was last deployed with success (None: nothing known), `good` the versions that finished their
    bake here, newest first [13]. `is_mixed` after an attempt that ended neither here nor there. `drift` describes a
    running version that is not the one recorded, until somebody reconciles [27].
    """

    name: str
    stage: str
    current: Installed | None = None
    good: tuple[Installed, ...] = ()
    deployment: Deployment | None = None
    is_mixed: bool = False
    mixed_with: Installed | None = None
    """What the attempt would have brought; parts of it may run beside `current`."""
    drift: str = ""
    drift_digest: str = ""
    rolled_back_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageState:
    """Who occupies a stage, and whether it is still watched."""

    name: str
    run: StageRun | None = None
    watch: Watch | None = None


# ---- people ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Vote:
    """An approval by one person."""

    by: Actor
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """Asked once at the entry of a stage or group; bound to exactly what was asked [19, 20]."""

    id: str
    release: str
    scope: Scope
    digest: str
    revision: str
    replaces: tuple[str, ...]
    """Digests that run where it would go, when it was asked."""
    asked_at: datetime
    expires_at: datetime
    votes: tuple[Vote, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """The cord, pulled [21]."""

    id: str
    by: Actor
    reason: str
    at: datetime
    scope: Scope = SERVICE
    until: datetime | None = None
    reminded_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """An exception for one release at one stage [23]; in production it needs `seconded_by`."""

    id: str
    release: str
    stage: str
    by: Actor
    reason: str
    at: datetime
    expires_at: datetime
    seconded_by: Actor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmReading:
    """What is known of an alarm. `firing` holds the source's keys of the alerts that fire, with their starts."""

    name: str
    scope: Scope
    firing: tuple[tuple[str, datetime], ...] = ()
    resolved: tuple[tuple[str, datetime], ...] = ()
    """Episodes already over, as (key, start), newest last, a few: a late repeat is recognised by them."""
    is_unknown: bool = False
    since: datetime
    observed_at: datetime
    stale_after: timedelta | None = None
    title: str = ""
    url: str = ""
    runbook: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPage:
    """Somebody is being called; repeated until acknowledged."""

    id: str
    stage: str
    release: str
    reason: str
    first_at: datetime
    next_at: datetime
    sent: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineState:
    """One aggregate: one row, one version number, one writer at a time."""

    id: str
    definition: Pipeline
    pinned: tuple[Pipeline, ...] = ()
    """Older definitions that a stage run is still pinned to [4]."""
    releases: tuple[Release, ...] = ()
    """Live ones, those that run or are kept somewhere, and those between, by sequence."""
    stages: tuple[StageState, ...] = ()
    targets: tuple[TargetState, ...] = ()
    bad: tuple[BadMark, ...] = ()
    missing_artifacts: tuple[str, ...] = ()
    approvals: tuple[ApprovalRequest, ...] = ()
    pauses: tuple[Pause, ...] = ()
    overrides: tuple[Override, ...] = ()
    alarms: tuple[AlarmReading, ...] = ()
    heartbeats: tuple[tuple[str, datetime], ...] = ()
    """When the watchdog of an alarm (by name) was last heard."""
    pages: tuple[OpenPage, ...] = ()
    gates: tuple[str, ...] = ()
    """Freezes and windows that people were told are shut (`gate_news`); gates themselves are computed, never stored."""
    counter: int = 0
    """Numbers everything the core names: releases, deployments, requests."""
    rest: tuple[object, ...] = field(default=(), compare=False, repr=False)
    """What `core.releases.rest` knows of this very value; no part of what is alive, and never stored."""

    def release(self, release_id: str) -> Release | None:
        """The release of this id, if it is still remembered."""
        # Those that are asked for most are the newest.
        for release in reversed(self.releases):
            if release.id == release_id:
                return release
        return None

    def released(self, release_id: str) -> Release:
        """The release of this id, which must be remembered: a run, a watch or a request names it."""
        found = self.release(release_id)
        assert found is not None, f"{self.id} has forgotten {release_id}"
        return found

    def stage(self, name: str) -> StageState:
        """The state of a stage that exists."""
        return self.stages[self.rank_of(name)]

    def rank_of(self, name: str) -> int:
        """Where a stage that exists stands: as defined, but for the moment in which a definition changes."""
        rank = self.definition.ranks.get(name, 0)
        if rank < len(self.stages) and self.stages[rank].name == name:
            return rank
        for other, stage in enumerate(self.stages):
            if stage.name == name:
                return other
        raise LookupError(name)

    def target(self, name: str) -> TargetState:
        """The facts of a target that exists."""
        return self.targets[self.place_of(name)]

    def place_of(self, name: str) -> int:
        """Where a target that exists stands among all: as defined, but for the moment in which a definition changes."""
        place = self.definition.place_of.get(name, 0)
        if place < len(self.targets) and self.targets[place].name == name:
            return place
        for other, target in enumerate(self.targets):
            if target.name == name:
                return other
        raise LookupError(name)

    def targets_of(self, stage: str) -> tuple[TargetState, ...]:
        """The targets of one stage, in order; those of a stage stand side by side."""
        targets = self.targets
        start, end = self.definition.spans.get(stage, (0, 0))
        if (
            0 < end <= len(targets)
            and targets[start].stage == stage == targets[end - 1].stage
            and (start == 0 or targets[start - 1].stage != stage)
            and (end == len(targets) or targets[end].stage != stage)
        ):
            return targets[start:end]
        return tuple([t for t in self.targets if t.stage == stage])

    def reading(self, alarm: str) -> AlarmReading | None:
        """What is known of an alarm."""
        for reading in self.alarms:
            if reading.name == alarm:
                return reading
        return None

    def definition_of(self, run: StageRun) -> Pipeline:
        """The definition a run is pinned to [4]."""
        if run.revision == self.definition.revision:
            return self.definition
        return next(p for p in self.pinned if p.revision == run.revision)

    def stage_definition(self, name: str) -> Stage | None:
        """How a stage is defined: as its run is pinned, else as it stands in the definition in force."""
        for occupied in self.stages:
            if occupied.name == name and occupied.run is not None:
                return self.definition_of(occupied.run).by_name[name]
        return self.definition.by_name.get(name)
