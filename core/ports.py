"""What Andon asks of outside systems: narrow protocols, so that an adapter imports nothing else of ours.

Every outcome has three values: good, bad and unknown. A time-out is *unknown*, never failed: raise `TransientError`
(or return `Outcome.UNKNOWN`) and Andon will look for the deployment by its key before it does anything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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


class BuildEvent(StrEnum):
    """What happened where a release is built."""

    RUN = "run"
    """A run of a CI pipeline succeeded."""
    RELEASE = "release"
    """A release was published."""
    TAG = "tag"
    """A tag was pushed to a code repository."""
    PUSH = "push"
    """Commits were pushed to a branch."""
    IMAGE = "image"
    """An image was pushed to a registry."""
    DEPLOYMENT = "deployment"
    """A deployment elsewhere succeeded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseReport:
    """What a release source said of one build, before it is matched to pipelines; empty is what was not said.

    `repository` is whose build it is, as the source names it (`acme/checkout`). `digest` is `sha256:…`. `number` is
    what people call the run, `run` its id. `assets` are digests by name.
    """

    event: BuildEvent
    repository: str
    tag: str = ""
    branch: str = ""
    default_branch: str = ""
    workflow: tuple[str, ...] = ()
    """What its workflow may be called: the name of its file, and its title."""
    commit: str = ""
    digest: str = ""
    image: str = ""
    """The image with its registry, without tag: `registry.example.com/acme/checkout`."""
    assets: Mapping[str, str] = field(default_factory=dict)
    number: str = ""
    attempt: str = ""
    run: str = ""
    url: str = ""
    is_prerelease: bool = False
    is_hint: bool = False
    """Whether what it says of an image must be asked of the registry before it is believed."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """Something understood that is no new release; `reason` is a sentence."""

    reason: str


class ReleaseSource(Protocol):
    """Understands the webhooks of one place where releases are built."""

    @property
    def kept_headers(self) -> Sequence[str]:
        """The headers that `parse` needs; never one that authenticates."""

    async def verify(self, headers: Mapping[str, str], body: bytes, key: str, now: datetime) -> None:
        """Raise `NotAuthentic` where a request does not come from whom it says, `TransientError` where nobody can tell.

        `key` is what follows the source's name in the address, for senders that can set no header.
        """

    def delivery(self, headers: Mapping[str, str], body: bytes) -> str:
        """By what a repeat of this request is known; empty where nothing tells."""

    def parse(self, headers: Mapping[str, str], body: bytes) -> Sequence[ReleaseReport | Ignored]:
        """What a request speaks of; raises `PermanentError` where it is authentic but not understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit as a code repository knows it. `authors` holds, for each of its authors, what they are known by."""

    id: str
    message: str
    authors: tuple[tuple[str, ...], ...] = ()
    merger: tuple[str, ...] = ()
    url: str = ""


class CodeHistory(Protocol):
    """What a code repository knows of its commits; raises `TransientError`, `PermanentError`."""

    async def contained(self, head: str, commits: Sequence[str]) -> Mapping[str, bool | None]:
        """For each of these commits whether `head` contains it; None where the repository does not know it."""

    async def commit_of(self, tag: str) -> str:
        """The commit that a tag stands for; empty where there is no such tag."""

    async def between(self, base: str, head: str, most: int) -> Sequence[Commit]:
        """The commits that `head` has and `base` has not, newest first; with an empty `base` only `head`."""

    def compare_link(self, base: str, head: str) -> str:
        """Where people see what changed; empty where there is no such place."""


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
    tells: bool = False
    """Whether the sentence is worth the thread even where it passed: numbers that somebody will compare."""
