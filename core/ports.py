"""What Andon asks of outside systems: narrow protocols, so that an adapter imports nothing else of ours.

Every outcome has three values: good, bad and unknown. A time-out is *unknown*, never failed: raise `TransientError`
(or return `Outcome.UNKNOWN`) and Andon will look for the deployment by its key before it does anything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol


class Outcome(StrEnum):
    """How a deployment stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self in (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED)


@dataclass(frozen=True, slots=True)
class DeploymentRequest:
    """One version to one target. Asked twice with one `key`, it is one deployment."""

    key: str
    service: str
    pipeline: str
    stage: str
    target: str
    version: str
    """What people call it; untrusted text, never a path or a command."""
    digest: str
    """Identity of the artifact, `sha256:…`."""
    artifact: str
    """Where the deployer finds the artifact; its meaning is the deployer's (a directory, an image, a run)."""
    is_rollback: bool
    batch_percent: int
    """At most this share of the target's units at a time (at least one), 1–100."""
    healthy_percent: int
    """At least this share of the units stays in service, 0–100."""
    timeout: timedelta


@dataclass(frozen=True, slots=True)
class DeploymentRef:
    """Where a deployment can be found again. `value` is the deployer's own and opaque to Andon."""

    key: str
    value: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class DeploymentStatus:
    """How a deployment stands now. `message` is a plain sentence for people, without secrets.

    `output` is what it printed, for the thread of the release once it is over: the end of it, without secrets either.
    Where it ended well, give it only if people will want to read it.
    """

    outcome: Outcome
    message: str = ""
    done_units: int = 0
    all_units: int = 0
    output: str = ""
    waits: bool = False
    """It goes on only when somebody acts outside Andon; `message` says who and where."""


@dataclass(frozen=True, slots=True)
class RunningVersion:
    """What a target runs, observed. `digest` is None where nothing runs; `is_mixed` where units differ."""

    digest: str | None
    version: str | None = None
    is_mixed: bool = False


class Deployer(Protocol):
    """Puts versions on targets. Raises `TransientError` (unknown) or `PermanentError` (refused, nothing begun)."""

    async def start(self, request: DeploymentRequest) -> DeploymentRef:
        """Begin, or return the deployment that already has this key."""

    async def find(self, key: str) -> DeploymentRef | None:
        """The deployment begun under this key, or None if surely none was. Asked first after any crash or time-out."""

    async def status(self, ref: DeploymentRef) -> DeploymentStatus:
        """How it stands; a final outcome stays final."""

    async def cancel(self, ref: DeploymentRef) -> None:
        """Ask it to stop; `status` says when it has. Cancelling what is over is no error."""

    async def running_version(self, target: str) -> RunningVersion:
        """What really runs there now."""


class AlarmState(StrEnum):
    """Three values; unknown never passes as ok."""

    OK = "ok"
    ALARM = "alarm"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class AlarmReport:
    """What an alarm source said of one alarm, before it is matched to pipelines.

    `key` is the identity at the source (fingerprint), `started_at` its present episode. `labels` are the source's.
    """

    source: str
    key: str
    state: AlarmState
    labels: Mapping[str, str]
    title: str
    text: str = ""
    url: str = ""
    runbook: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None


class AlarmSource(Protocol):
    """Understands one alarm system's webhooks."""

    def parse(self, headers: Mapping[str, str], body: bytes) -> Sequence[AlarmReport]:
        """The alarms a request speaks of; raises `PermanentError` where it is authentic but not understood."""


class TestOutcome(StrEnum):
    """How a test of a stage ended; errored means that it could not tell."""

    __test__ = False

    PASSED = "passed"
    FAILED = "failed"
    ERRORED = "errored"


@dataclass(frozen=True, slots=True)
class TestResult:
    """What a stage's test found. `detail` is a plain sentence, cut to what people can read.

    `output` is what it printed, where the sentence does not hold all of it: the end of it, without secrets.
    """

    __test__ = False

    outcome: TestOutcome
    detail: str = ""
    url: str = ""
    output: str = ""
