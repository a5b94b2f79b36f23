"""What must be done: data, written with the state in one transaction, delivered at least once by `bot/`.

Each effect has a deterministic `key`, by which the other side can tell a repeat, and belongs to a lane: effects of one
lane are delivered in order, one at a time. No decision waits for a message to arrive [29].
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from core.releases.copies import quick
from core.releases.state import Installed


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class StartDeployment:
    """Give `what` to a target. Answered by DeploymentStarted, …Failed or …Lost; the key is the deployment's."""

    key: str
    stage: str
    target: str
    what: Installed
    is_rollback: bool
    deployer: str
    deployer_settings: str
    target_settings: str
    batch_percent: int
    healthy_percent: int
    timeout: timedelta


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class FollowDeployment:
    """Look how a deployment stands until it has ended, and report what it comes to."""

    key: str
    deployment: str
    ref: str
    target: str
    stage: str
    deployer: str
    deployer_settings: str
    timeout: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelDeployment:
    """Ask a deployment to stop. Its end is reported by whoever follows it; found by key where no ref is known yet."""

    key: str
    deployment: str
    ref: str
    target: str
    stage: str
    deployer: str
    deployer_settings: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserveTarget:
    """Look what a target runs; answered by RunningVersionObserved."""

    key: str
    stage: str
    target: str
    deployer: str
    deployer_settings: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStageTest:
    """Run one test of a stage; answered by StageTestReported."""

    key: str
    stage: str
    test: str
    uses: str
    settings: str
    timeout: timedelta
    version: str
    digest: str


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshCard:
    """Draw a release's card as it is when this is delivered; older ones in the lane are skipped."""

    key: str
    release: str
    at_once: bool = False
    """Terminal states and questions do not wait for the debounce."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """A sentence in a release's thread (or, with no release, in the channel): a fact of that moment, never edited.

    `topic` is the event's name in the history (`promoted`, `baking`, `rolled_back` …). `asks` names people and
    groups to mention; `is_broadcast` shows it in the channel as well. `offers` names buttons: approve, reject,
    acknowledge, pause, rollback, retry, lift, override.
    """

    key: str
    release: str
    topic: str
    sentence: str
    asks: tuple[str, ...] = ()
    is_broadcast: bool = False
    offers: tuple[str, ...] = ()
    subject: str = ""
    """What the buttons act on: an approval request, a page, a stage."""
    output: str = ""
    """What a program printed: shown under the sentence, or attached to it where it is long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Call the on-call: mention in the thread, direct message, pager webhook if one is configured."""

    key: str
    page: str
    release: str
    stage: str
    sentence: str
    repetition: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndPage:
    """Tell the pager that it is over (acknowledged or resolved)."""

    key: str
    page: str
    release: str
    sentence: str


Effect = (
    StartDeployment
    | FollowDeployment
    | CancelDeployment
    | ObserveTarget
    | RunStageTest
    | RefreshCard
    | Tell
    | Page
    | EndPage
)


def lane(pipeline: str, effect: Effect) -> str:
    """The lane of an effect: one per target, per card with its thread, per test, per page."""
    match effect:
        case StartDeployment() | ObserveTarget():
            return f"deploy:{pipeline}:{effect.target}"
        case CancelDeployment():
            # Not behind the start it cancels: a start that hangs must be possible to cancel.
            return f"cancel:{pipeline}:{effect.target}"
        case FollowDeployment():
            return f"follow:{effect.deployment}"
        case RunStageTest():
            return f"test:{effect.key}"
        case RefreshCard() | Tell():
            return f"slack:{pipeline}:{effect.release}"
        case Page() | EndPage():
            return f"page:{pipeline}:{effect.page}"
        case _:
            assert_never(effect)


def is_for_readers(lane: str) -> bool:
    """Whether what stands in this lane is only read: it may wait some milliseconds, so that others share its commit."""
    return lane.startswith("slack:")
