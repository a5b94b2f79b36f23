"""What an operator may set: the front, its targets, and how patient the supervisor is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
"""A name that is also part of a file name."""

SUPERVISOR_RUNS_ALREADY = 3
"""Exit status of a second supervisor for one root and name."""


class Timing(BaseModel):
    """How patient the supervisor is; everything in seconds but `crash_limit`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start_timeout: float = Field(default=30.0, gt=0)
    """In which a new unit must become healthy."""
    ready_for: float = Field(default=0.2, ge=0)
    """How long a new unit stays healthy before it gets traffic."""
    health_interval: float = Field(default=1.0, gt=0)
    """Between two health checks of a unit that serves."""
    health_timeout: float = Field(default=2.0, gt=0)
    drain_timeout: float = Field(default=30.0, ge=0)
    """How long requests in flight may take to finish before their unit is stopped."""
    stop_timeout: float = Field(default=5.0, ge=0)
    """Between SIGTERM and SIGKILL."""
    backoff_first: float = Field(default=0.2, gt=0)
    backoff_most: float = Field(default=10.0, gt=0)
    stable_after: float = Field(default=10.0, gt=0)
    """A unit that served this long begins its back-off anew when it crashes."""
    crash_limit: int = Field(default=3, ge=1, le=100)
    """A deployment fails when one of its units crashed this often."""
    hold: float = Field(default=3.0, ge=0)
    """How long a request waits for a unit while none is healthy, before it is answered 503."""
    answer_timeout: float = Field(default=60.0, gt=0)
    """How long a unit may be silent before its request is answered 504."""


class Front(BaseModel):
    """The one public address of this host; with port 0 the system chooses one, which is then kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    port: int = Field(ge=0, le=65535)
    host: str = "127.0.0.1"


class ProcessesTarget(BaseModel):
    """The `with:` of one target: how many units, which share of the front's traffic, what environment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    units: int = Field(default=2, ge=1, le=100)
    share: int = Field(ge=0, le=100)
    """Percent of the front's requests."""
    env: Mapping[str, str] = Field(default_factory=dict, repr=False)
    """For every unit, over what the artifact asks for."""


class ProcessesConfig(BaseModel):
    """The `with:` all targets of one front have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path
    """Directory of artifacts, state and logs; made private to this user when it is first needed."""
    front: Front
    timing: Timing = Timing()


class Layout(BaseModel):
    """What a supervisor is asked to be: its front and the targets behind it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    front: Front
    targets: Mapping[Name, ProcessesTarget]
    timing: Timing = Timing()

    @property
    def fingerprint(self) -> str:
        """Tells two layouts apart without showing what is in them."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()

    @model_validator(mode="after")
    def _shares_are_whole(self) -> Self:
        total = sum(target.share for target in self.targets.values())
        if total != 100:
            shares = ", ".join(f"{name} {target.share} %" for name, target in self.targets.items()) or "no target"
            raise ValueError(
                f"the shares of front {self.front.name!r} add up to {total} % ({shares}); make them add up to 100 %"
            )
        return self
