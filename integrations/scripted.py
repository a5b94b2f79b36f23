"""A deployer that plays a script in memory: for tests, for crash tests, and for simulated companies.

`OutsideWorld` is what would outlive Andon: deployments by key, and what each target runs. `ScriptedDeployer` is a
client of it without any memory, to be thrown away and built anew as often as a test likes. Time is counted in polls:
a deployment moves on when somebody asks how it stands.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from core.errors import ArtifactMissing, PermanentError, TransientError
from core.ports import DeploymentRef, DeploymentRequest, DeploymentStatus, Outcome, RunningVersion


class Fault(StrEnum):
    """What may go wrong beside a failure."""

    TIMEOUT_BEFORE = "the start times out and never arrived"
    TIMEOUT_AFTER = "the start arrived, its answer did not"
    REFUSED = "the start is refused, nothing begun"
    ARTIFACT_MISSING = "the start is refused, because what was to be deployed is gone"
    LOST = "nobody can tell how it stands; it goes on all the same"
    NEVER_ENDS = "it runs until it is cancelled"
    CANCEL_REFUSED = "a cancel is refused, and it goes on"
    CANCEL_IGNORED = "a cancel is taken, but it goes on to its own end"
    WRONG_VERSION = "it succeeds, and something else runs"
    LEAVES_MIXED = "failed or cancelled, it leaves the target between two versions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """How one deployment goes. `polls`: answers that it runs, before its outcome; `cancel_polls`: so after a cancel.

    `times`: how many starts under one key time out, where a fault says so.
    """

    outcome: Outcome = Outcome.SUCCEEDED
    polls: int = 1
    faults: frozenset[Fault] = frozenset()
    times: int = 1
    cancel_polls: int = 0
    message: str = ""


Play = Callable[[DeploymentRequest], Act]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """When a script's act is on; None matches everything."""

    target: str | None = None
    version: str | None = None
    is_rollback: bool | None = None

    def fits(self, request: DeploymentRequest) -> bool:
        """Whether a request is meant."""
        return (
            self.target in (None, request.target)
            and self.version in (None, request.version)
            and self.is_rollback in (None, request.is_rollback)
        )


class Script:
    """Acts by cue: the last one written that fits is played; nothing written succeeds at the second poll."""

    def __init__(self, otherwise: Act | None = None) -> None:
        self._otherwise, self._acts = otherwise or Act(), list[tuple[Cue, Act]]()

    def when(self, cue: Cue, act: Act) -> None:
        """From now on, play `act` for what fits."""
        self._acts.append((cue, act))

    def __call__(self, request: DeploymentRequest) -> Act:
        """The act for a request."""
        return next((act for cue, act in reversed(self._acts) if cue.fits(request)), self._otherwise)


@dataclass(frozen=True, slots=True)
class Call:
    """One call that arrived: the verb, and the key or target it was about."""

    verb: str
    subject: str


@dataclass(slots=True)
class _Deployment:
    request: DeploymentRequest
    act: Act
    polls_left: int
    done: int = 0
    outcome: Outcome = Outcome.RUNNING
    is_cancelling: bool = False


@dataclass(slots=True)
class OutsideWorld:
    """What outlives Andon. `calls` and what is over are forgotten, oldest first, beyond `remembers`.

    `overlaps` holds (target, older key, newer key) of deployments begun on top of one that was alive; none should be.
    """

    play: Play = field(default_factory=Script)
    remembers: int = 100_000
    running: dict[str, RunningVersion] = field(default_factory=dict)
    overlaps: list[tuple[str, str, str]] = field(default_factory=list)
    calls: deque[Call] = field(init=False)
    _deployments: dict[str, _Deployment] = field(default_factory=dict, repr=False)
    _alive: dict[str, str] = field(default_factory=dict, repr=False)
    _over: deque[str] = field(default_factory=deque, repr=False)
    _timeouts: dict[str, int] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.calls = deque(maxlen=self.remembers)

    def is_alive(self, target: str) -> bool:
        """Whether a deployment is under way on a target."""
        return target in self._alive

    def outcome(self, key: str) -> Outcome | None:
        """How a deployment really stands, whatever it answers; None if there was none."""
        known = self._deployments.get(key)
        return None if known is None else known.outcome

    def replace(self, target: str, digest: str | None, version: str | None = None) -> None:
        """Somebody changes a target past Andon."""
        self.running[target] = RunningVersion(digest, version)

    def begin(self, request: DeploymentRequest) -> None:
        """Take a start as the script says; raises what the caller would see."""
        self.calls.append(Call("start", request.key))
        if request.key in self._deployments:
            return
        act = self.play(request)
        if Fault.ARTIFACT_MISSING in act.faults:
            raise ArtifactMissing(f"The artifact of {request.version} is gone.")
        if Fault.REFUSED in act.faults:
            raise PermanentError(act.message or "The deployer does not take this.")
        tried = self._timeouts.get(request.key, 0)
        times_out = tried < act.times
        if Fault.TIMEOUT_BEFORE in act.faults and times_out:
            self._timeouts[request.key] = tried + 1
            raise TransientError("The deployer did not answer in time.")
        self._timeouts.pop(request.key, None)
        if request.target in self._alive:
            self.overlaps.append((request.target, self._alive[request.target], request.key))
        self._deployments[request.key] = _Deployment(request, act, act.polls)
        self._alive[request.target] = request.key
        if Fault.TIMEOUT_AFTER in act.faults:
            raise TransientError("The deployer did not answer in time.")

    def has(self, key: str) -> bool:
        """Whether a deployment was begun under a key."""
        self.calls.append(Call("find", key))
        return key in self._deployments

    def poll(self, key: str) -> DeploymentStatus:
        """Move a deployment on by one poll and say how it stands."""
        self.calls.append(Call("status", key))
        known = self._known(key)
        if not known.outcome.is_final:
            self._move(known)
        if Fault.LOST in known.act.faults:
            return DeploymentStatus(Outcome.UNKNOWN, "Nobody can tell how it stands.")
        return DeploymentStatus(known.outcome, known.act.message, known.done, known.act.polls)

    def cancel(self, key: str) -> None:
        """Take a cancel as the script says."""
        self.calls.append(Call("cancel", key))
        known = self._known(key)
        if known.outcome.is_final or Fault.CANCEL_IGNORED in known.act.faults:
            return
        if Fault.CANCEL_REFUSED in known.act.faults:
            raise PermanentError("The deployer does not cancel this.")
        if not known.is_cancelling:
            known.is_cancelling, known.polls_left = True, known.act.cancel_polls

    def seen(self, target: str) -> RunningVersion:
        """What a target runs."""
        self.calls.append(Call("running_version", target))
        return self.running.get(target, RunningVersion(None))

    def _known(self, key: str) -> _Deployment:
        if key not in self._deployments:
            raise PermanentError("The deployer knows no such deployment.")
        return self._deployments[key]

    def _move(self, known: _Deployment) -> None:
        if not known.is_cancelling and Fault.NEVER_ENDS in known.act.faults:
            return
        if known.polls_left > 0:
            known.polls_left -= 1
            known.done += not known.is_cancelling
            return
        known.outcome = Outcome.CANCELLED if known.is_cancelling else known.act.outcome
        if not known.outcome.is_final:
            return
        request, target = known.request, known.request.target
        if known.outcome is Outcome.SUCCEEDED:
            is_wrong = Fault.WRONG_VERSION in known.act.faults
            self.running[target] = (
                RunningVersion("sha256:something-else", "something else")
                if is_wrong
                else RunningVersion(request.digest, request.version)
            )
        elif Fault.LEAVES_MIXED in known.act.faults:
            before = self.running.get(target, RunningVersion(None))
            self.running[target] = RunningVersion(before.digest, before.version, is_mixed=True)
        if self._alive.get(target) == request.key:
            del self._alive[target]
        self._over.append(request.key)
        if len(self._over) > self.remembers:
            self._deployments.pop(self._over.popleft(), None)


class ScriptedDeployer:
    """A `Deployer` in an outside world; it remembers nothing itself."""

    def __init__(self, world: OutsideWorld) -> None:
        self._world = world

    async def start(self, request: DeploymentRequest) -> DeploymentRef:
        """Begin, or return the deployment that has this key."""
        self._world.begin(request)
        return _ref(request.key)

    async def find(self, key: str) -> DeploymentRef | None:
        """The deployment begun under this key."""
        return _ref(key) if self._world.has(key) else None

    async def status(self, ref: DeploymentRef) -> DeploymentStatus:
        """How it stands, one poll later."""
        return self._world.poll(ref.key)

    async def cancel(self, ref: DeploymentRef) -> None:
        """Ask it to stop."""
        self._world.cancel(ref.key)

    async def running_version(self, target: str) -> RunningVersion:
        """What runs there."""
        return self._world.seen(target)


def _ref(key: str) -> DeploymentRef:
    return DeploymentRef(key, f"scripted:{key}")
