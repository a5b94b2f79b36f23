"""New releases, as CI announces them over HTTP: understood, their artifact identified, put on the line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from bot.deployers import Deployers
from bot.engine import Answer, Engine
from core.errors import CommandRefused, PermanentError
from core.releases.events import ReleaseAnnounced
from core.releases.likeness import most_like
from core.releases.state import Change, PipelineState
from core.releases.words import listed
from core.releases.world import Actor

Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2_000)]
Identity = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=320)]
TITLE_MOST = 200
_REVERTED = re.compile(r"\bThis reverts commit ([0-9a-f]{7,64})\b")
"""What git writes into the message of a revert."""
CHANGES_MOST = 1_000


class AnnouncedChange(BaseModel):
    """One change: `authors` and `merger` as e-mail addresses or logins."""

    model_config = ConfigDict(extra="ignore")

    id: Line = Field(min_length=1)
    title: Annotated[str, StringConstraints(max_length=100_000)] = ""
    authors: list[Identity] = Field(default_factory=list, max_length=100)
    merger: Line = ""
    url: Line = ""

    def as_change(self) -> Change:
        """The change as the core keeps it: the first line of its message, cut."""
        first = next((line for line in self.title.splitlines() if line.strip()), "")
        title = " ".join("".join(c if c.isprintable() else " " for c in first).split())
        return Change(
            id=self.id, title=title[:TITLE_MOST], authors=tuple(self.authors), merger=self.merger, url=_link(self.url)
        )


class Announcement(BaseModel):
    """The body of `POST /api/releases`. `digest` may be left out where the deployer can identify the artifact."""

    model_config = ConfigDict(extra="ignore")

    service: Line = Field(min_length=1)
    version: Line = Field(min_length=1, max_length=128)
    artifact: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4_096)]
    digest: Annotated[str, StringConstraints(pattern=r"^$|^sha256:[0-9A-Za-z._-]{1,128}$")] = ""
    commit: Line = ""
    url: Line = ""
    changes: list[AnnouncedChange] = Field(default_factory=list, max_length=CHANGES_MOST)
    fixes: list[Line] = Field(default_factory=list, max_length=50)
    reverts: list[Line] = Field(default_factory=list, max_length=1_000)
    ancestors: list[Line] | None = Field(default=None, max_length=10_000)
    one_way: bool = False

    def all_reverts(self) -> tuple[str, ...]:
        """The commits that it says it takes back, and those that the messages of its changes name."""
        told = (commit for change in self.changes for commit in _REVERTED.findall(change.title))
        return tuple(dict.fromkeys((*self.reverts, *told)))


@runtime_checkable
class KeepsArtifacts(Protocol):
    """A deployer that keeps artifacts by content, and so can tell their digest."""

    async def add(self, source: Path) -> str:
        """Keep an artifact and return its digest."""


class UnknownService(CommandRefused):
    """There is no pipeline for this service."""


async def announce(engine: Engine, deployers: Deployers, given: Announcement, by: Actor, *, dedupe: str = "") -> Answer:
    """Put a version on the line; once recorded it is not lost.

    Raises UnknownService, CommandRefused (the version exists with another artifact), PermanentError (the artifact is
    missing or not what its digest says).
    """
    state = _pipeline(engine, given.service)
    artifact, digest = await _identified(deployers, state, given)
    event = ReleaseAnnounced(
        version=given.version,
        digest=digest,
        artifact=artifact,
        by=by,
        commit=given.commit,
        url=_link(given.url),
        changes=tuple(change.as_change() for change in given.changes),
        fixes=tuple(given.fixes),
        reverts=given.all_reverts(),
        ancestors=tuple(given.ancestors) if given.ancestors is not None else None,
        is_one_way=given.one_way,
    )
    return await engine.submit(state.id, event, dedupe=dedupe)


def _pipeline(engine: Engine, service: str) -> PipelineState:
    states = engine.pipelines()
    if service in states:
        return states[service]
    of_service = [named.id for named in states.names() if named.service == service]
    if len(of_service) == 1:
        return states[of_service[0]]
    if of_service:
        raise UnknownService(f"{service} has several pipelines.", mend=f"Name one: {listed(of_service, 'or')}.")
    near = most_like(service, states)
    mend = f"Did you mean {listed(near, 'or')}?" if near else f"There is {listed(sorted(states)) or 'none yet'}."
    raise UnknownService(f"There is no service {service}.", mend=mend)


async def _identified(deployers: Deployers, state: PipelineState, given: Announcement) -> tuple[str, str]:
    stage = state.definition.stages[0]
    deployer = deployers.of((state.definition, *state.pinned), stage.deployer, stage.deployer_settings)
    if not isinstance(deployer, KeepsArtifacts) or given.artifact.startswith("sha256:"):
        digest = given.digest or (given.artifact if given.artifact.startswith("sha256:") else "")
        if not digest:
            raise PermanentError("The announcement names no digest, so it is not known what exactly would be deployed.")
        return given.artifact, digest
    path = Path(given.artifact)
    if not path.is_absolute():
        raise PermanentError("The artifact must be an absolute path on the machine that Andon runs on.")
    digest = await deployer.add(path)
    if given.digest and given.digest != digest:
        raise PermanentError(f"The artifact is {digest[:19]}…, not {given.digest[:19]}… as announced.")
    # From here on it is named by what it holds: the directory it came from may go.
    return digest, digest


def _link(text: str) -> str:
    return text if text.startswith(("http://", "https://")) and text.isprintable() and " " not in text else ""
