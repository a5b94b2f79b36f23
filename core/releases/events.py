"""Everything that can happen to a pipeline: what people ask for, and what machines report.

People's events carry `by`; one that cannot apply raises `CommandRefused`. Machines' events never raise: a stale or
repeated report changes nothing [28]. All are frozen; `now` is an argument of `decide`, not a field, except where a
source's own clock matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from core.ports import AlarmState, TestOutcome
from core.releases.copies import quick
from core.releases.pipeline import SERVICE, Pipeline, Scope
from core.releases.state import Change
from core.releases.world import ANDON, Actor

# ---- machines report ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionApplied:
    """A definition is in force from the next entry on [4]."""

    definition: Pipeline
    by: Actor
    """Andon itself, where it reads files; else whoever applied it: of the team, or a machine that may."""
    text: str = ""
    """The file as it was written, for whoever wants to see or change it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseAnnounced:
    """A version exists. Announced twice with one digest, it is one release; `fixes` names versions it mends [15]."""

    version: str
    digest: str
    artifact: str
    by: Actor
    commit: str = ""
    url: str = ""
    changes: tuple[Change, ...] = ()
    fixes: tuple[str, ...] = ()
    reverts: tuple[str, ...] = ()
    """Commits that its changes take back: what carries them mends the versions they came with [15]."""
    ancestors: tuple[str, ...] | None = None
    """Versions it contains, or at least those it was built upon: theirs are added [3]. None: not known."""
    is_one_way: bool = False


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class AnnouncementFailed:
    """A build was meant for this pipeline and could not become a release; `sentence` says why and what would help."""

    version: str
    sentence: str
    by: Actor
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentStarted:
    """The deployer took it."""

    key: str
    ref: str
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentProgressed:
    """Units done so far, or what it does now; `waits` where it goes on only when somebody acts outside Andon."""

    key: str
    done_units: int
    all_units: int
    note: str = ""
    waits: bool = False


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSucceeded:
    """The target runs it. `output` is what its deployment printed, if that is to be shown."""

    key: str
    output: str = ""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentFailed:
    """The world said no. `nothing_begun` if the deployer refused before touching the target."""

    key: str
    reason: str
    nothing_begun: bool = False
    artifact_missing: bool = False
    output: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentCancelled:
    """Confirmed ended, before it was done."""

    key: str
    output: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentLost:
    """It could not be told how it stands; it is still being looked for [26]."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningVersionObserved:
    """What a target really runs [27]. `digest` None: nothing, or nothing known."""

    target: str
    digest: str | None
    version: str = ""
    is_mixed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTestReported:
    """A test of a stage ended [11]; `tells` where its sentence is worth the thread although it passed."""

    key: str
    outcome: TestOutcome
    detail: str = ""
    url: str = ""
    output: str = ""
    tells: bool = False


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmReported:
    """One alert of one alarm, or one reading of a canary [8–10].

    `key` tells alerts of one alarm apart, `started_at` the episodes of one alert (both the source's); `points` are data
    points gathered since the last report; told twice with one `observed_at` they count once [7].
    """

    alarm: str
    key: str
    alarm_state: AlarmState
    observed_at: datetime
    scope: Scope = SERVICE
    started_at: datetime | None = None
    ended_at: datetime | None = None
    """When the episode ended, where the source says so."""
    stale_after: timedelta | None = None
    points: int = 0
    title: str = ""
    url: str = ""
    runbook: str = ""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatHeard:
    """The watchdog of an alarm's source was heard: silence means ok, for a while [10]."""

    alarm: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TimePassed:
    """Nothing but the time; everything that follows by itself is settled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldChanged:
    """People, groups, calendars or freezes changed, by whom; gates are looked at again."""

    what: str = ""
    by: Actor = ANDON


# ---- people ask -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PromoteRequested:
    """`promote SERVICE [VERSION] [to STAGE]`; an empty version means the newest that is on its way."""

    by: Actor
    version: str = ""
    to_stage: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseRequested:
    """`pause SERVICE [in STAGE|GROUP] [for 2h] REASON`."""

    by: Actor
    reason: str
    scope_name: str = ""
    duration: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeRequested:
    """`resume SERVICE [in STAGE|GROUP]`: lifts one pause, the asker's own first, else the oldest."""

    by: Actor
    scope_name: str = ""
    pause_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackRequested:
    """`rollback SERVICE [in STAGE or everywhere] [to VERSION] REASON`."""

    by: Actor
    reason: str
    scope_name: str = ""
    everywhere: bool = False
    to_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproveRequested:
    """`approve SERVICE [VERSION]`, or the button of one request (`request_id`)."""

    by: Actor
    version: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectRequested:
    """`reject SERVICE [VERSION] REASON`, or the button of one request."""

    by: Actor
    reason: str
    version: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideRequested:
    """`override SERVICE VERSION STAGE REASON`; asked again by a second person, it seconds [23]."""

    by: Actor
    version: str
    stage: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftRequested:
    """`lift SERVICE VERSION REASON`: lets a version past a bad mark [15]."""

    by: Actor
    version: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileRequested:
    """`reconcile SERVICE keep|restore [TARGET]` [27]; `dead` declares a lost deployment dead [14, 26]."""

    by: Actor
    choice: str
    """keep, restore or dead."""
    target: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRequested:
    """`retry SERVICE [in STAGE]`: failed targets, failed tests or a failed rollback, once more."""

    by: Actor
    stage: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested:
    """`cancel SERVICE [VERSION] REASON`: off the line; what is deployed stays, nothing new starts."""

    by: Actor
    reason: str
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgeRequested:
    """Somebody takes the page; it is not repeated."""

    by: Actor
    page_id: str = ""


Command = (
    PromoteRequested
    | PauseRequested
    | ResumeRequested
    | RollbackRequested
    | ApproveRequested
    | RejectRequested
    | OverrideRequested
    | LiftRequested
    | ReconcileRequested
    | RetryRequested
    | CancelRequested
    | AcknowledgeRequested
)

Report = (
    DefinitionApplied
    | ReleaseAnnounced
    | AnnouncementFailed
    | DeploymentStarted
    | DeploymentProgressed
    | DeploymentSucceeded
    | DeploymentFailed
    | DeploymentCancelled
    | DeploymentLost
    | RunningVersionObserved
    | StageTestReported
    | AlarmReported
    | HeartbeatHeard
    | TimePassed
    | WorldChanged
)

Event = Command | Report
