"""What can have become of a release: a union of small values, each with what only it needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from core.releases.world import Actor


@dataclass(frozen=True, slots=True)
class Live:
    """On its way, or waiting to be."""

    kind: Literal["live"] = "live"


LIVE = Live()


@dataclass(frozen=True, slots=True, kw_only=True)
class Superseded:
    """A newer release took its place [3]."""

    by: str
    at: datetime
    kind: Literal["superseded"] = "superseded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """Somebody who may approve said no."""

    by: Actor
    scope: str
    reason: str
    at: datetime
    kind: Literal["rejected"] = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """A person took it off the line."""

    by: Actor
    reason: str
    at: datetime
    kind: Literal["cancelled"] = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack:
    """It was rolled back in a stage and is bad from there on [15]; `also` are stages that were back before."""

    stage: str
    reason: str
    at: datetime
    also: tuple[str, ...] = ()
    kind: Literal["rolled_back"] = "rolled_back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """It passed every stage."""

    at: datetime
    kind: Literal["completed"] = "completed"


ReleaseStatus = Live | Superseded | Rejected | Cancelled | RolledBack | Completed
