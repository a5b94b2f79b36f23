"""What a supervisor must not forget: its layout, what every unit runs, and the deployments it was asked for."""

from __future__ import annotations

import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import PermanentError
from core.ports import Outcome
from integrations.processes.config import Front, Layout, Name, ProcessesTarget, Timing
from integrations.processes.manifest import sentence

REMEMBERED = 1000
"""Deployments kept; the oldest that have ended are forgotten first."""


class Version(BaseModel):
    """What a unit runs: an artifact, and what people call it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    version: str = Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")


class Order(BaseModel):
    """What a deployment was asked to do; two orders with one key must be equal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(min_length=1, max_length=500)
    target: Name
    wanted: Version
    batch_percent: int = Field(ge=1, le=100)
    healthy_percent: int = Field(ge=0, le=100)
    timeout: float = Field(gt=0)
    """Seconds it may take; those in which the supervisor was down do not count."""
    is_rollback: bool = False


class Deployment(BaseModel):
    """One order and how it stands."""

    model_config = ConfigDict(extra="forbid")

    id: str
    order: Order
    begun_at: datetime
    ended_at: datetime | None = None
    outcome: Outcome = Outcome.RUNNING
    message: str = ""
    done_units: int = 0
    all_units: int = 0
    is_cancelled: bool = False
    """Asked to stop; `outcome` says when it has."""


class TargetState(BaseModel):
    """A target's settings and what each of its places is to run."""

    model_config = ConfigDict(extra="forbid")

    settings: ProcessesTarget
    places: list[Version | None]


class State(BaseModel):
    """Everything of one supervisor, in one file, written whole."""

    model_config = ConfigDict(extra="forbid")

    schema_number: Literal[1] = 1
    front: Front | None = None
    port: int = 0
    """Where the front listens; chosen once, if it was left to the system."""
    timing: Timing = Timing()
    targets: dict[str, TargetState] = Field(default_factory=dict)
    deployments: list[Deployment] = Field(default_factory=list)
    next_number: int = 1

    @classmethod
    def read(cls, path: Path) -> Self:
        """The state in a file, or an empty one where there is none yet; raises `PermanentError` if it is damaged."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return cls()
        except ValidationError as error:
            # An empty state would claim that nothing was ever deployed.
            raise PermanentError(
                f"{path} is not a state this supervisor can read ({sentence(error)}). "
                "Restore it, or move it away to begin with nothing deployed."
            ) from error

    def write(self, path: Path, text: bytes | None = None) -> None:
        """Replace the file in one step, on the disk before this returns."""
        text = self.as_bytes() if text is None else text
        handle, fresh = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(fresh).replace(path)
        except OSError:
            Path(fresh).unlink(missing_ok=True)
            raise

    def as_bytes(self) -> bytes:
        """The file's text."""
        return self.model_dump_json().encode()

    def layout(self) -> Layout | None:
        """What it was last asked to be."""
        if self.front is None:
            return None
        targets = {name: target.settings for name, target in self.targets.items()}
        return Layout(front=self.front, targets=targets, timing=self.timing)

    def remember(self, deployment: Deployment) -> None:
        """Add one, and forget the oldest that are over."""
        self.deployments.append(deployment)
        over = [entry for entry in self.deployments if entry.outcome.is_final]
        surplus = {entry.id for entry in over[: max(0, len(self.deployments) - REMEMBERED)]}
        self.deployments = [entry for entry in self.deployments if entry.id not in surplus]
