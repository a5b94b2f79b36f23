"""What Andon writes on an object: which deployment is under way there, and how the last ones ended.

It lives in one annotation of the object, so that it is changed in the same patch as the image, and found by whoever
looks next. The pod template carries the key, the version and the digest too, and so does every pod.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from core.errors import PermanentError
from core.ports import DeploymentStatus, Outcome
from core.releases.problems import shown

RECORD = "andon/record"
"""Annotation of the object."""
KEY, VERSION, DIGEST = "andon/key", "andon/version", "andon/digest"
"""Annotations of the pod template."""
MARKS = (KEY, VERSION, DIGEST)
KEPT = 20
"""Deployments that are over and whose end is remembered."""
LONGEST_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class Before:
    """What the pod template said before: images by container, and our marks as far as there were any."""

    images: Mapping[str, str]
    marks: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Now:
    """The deployment under way, or the last one that was."""

    key: str
    digest: str
    version: str
    before: Before
    is_going_back: bool = False
    widened: Mapping[str, Any] | None = None
    """The `rollingUpdate` that a cancel had to widen, to be put back when it is over."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a deployment ended."""

    key: str
    outcome: str
    message: str
    done: int = 0
    all: int = 0

    @property
    def status(self) -> DeploymentStatus:
        """The same for the port."""
        return DeploymentStatus(Outcome(self.outcome), self.message, self.done, self.all)


@dataclass(frozen=True, slots=True)
class Record:
    """All that is remembered on one object; the newest of `over` comes last."""

    now: Now | None = None
    over: tuple[Ended, ...] = field(default=())

    @classmethod
    def read(cls, annotations: Mapping[str, str], place: object) -> Record:
        """Of an object's annotations; raises PermanentError where somebody else wrote there."""
        text = annotations.get(RECORD)
        if not text:
            return cls()
        try:
            found = json.loads(text)
            now = found["now"]
            return cls(
                now=_now(now) if now is not None else None,
                over=tuple(Ended(**{**one, "outcome": Outcome(one["outcome"]).value}) for one in found["over"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PermanentError(
                f"The annotation {RECORD} of the {place} is not as Andon wrote it. When nothing is being deployed "
                f"there, remove it: kubectl annotate … {RECORD}-"
            ) from error

    def text(self) -> str:
        """As it is written; bounded, because all annotations of an object share 256 KiB."""
        return json.dumps(
            {"now": asdict(self.now) if self.now else None, "over": [asdict(one) for one in self.over]},
            separators=(",", ":"),
        )

    def end_of(self, key: str) -> Ended | None:
        """How a deployment ended, or None if it did not, or is not known any more."""
        return next((one for one in reversed(self.over) if one.key == key), None)

    def knows(self, key: str) -> bool:
        """Whether a deployment with this key was ever begun here."""
        return self.end_of(key) is not None or (self.now is not None and self.now.key == key)

    def begun(self, now: Now) -> Record:
        """With another deployment under way; one that was not over has been replaced by it."""
        record = self
        if self.now is not None and self.end_of(self.now.key) is None:
            words = f"another deployment, of {shown(now.version)}, took its place before it was over"
            record = self.ended(Ended(self.now.key, Outcome.FAILED.value, words))
        return replace(record, now=now)

    def ended(self, end: Ended) -> Record:
        """With one more that is over; the oldest are forgotten."""
        end = replace(end, message=shown(end.message, LONGEST_MESSAGE))
        return replace(self, over=(*self.over, end)[-KEPT:])


def _now(found: Mapping[str, Any]) -> Now:
    before = Before(images=dict(found["before"]["images"]), marks=dict(found["before"]["marks"]))
    return Now(**{**found, "before": before})
