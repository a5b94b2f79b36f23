"""What is asked of all pipelines at once: their names and a few figures, without looking into each state.

Where thousands of pipelines wait, most of them are kept packed (`bot/shelf.py`), and whoever walked over their states
would unpack them all. A mapping that knows better is a `Roster`; any other one is looked through.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from core.releases.pipeline import Pipeline
from core.releases.state import PipelineState


@dataclass(frozen=True, slots=True)
class Named:
    """How a pipeline is called, whose it is, and where it is talked about."""

    id: str
    service: str
    team: str
    channel: str

    @classmethod
    def of(cls, definition: Pipeline) -> Named:
        """As a definition says it."""
        return cls(definition.id, definition.service, definition.team, definition.channel)


@dataclass(frozen=True, slots=True)
class Figures:
    """How much is going on in a pipeline."""

    live: int
    """Releases on their way, or waiting to be."""
    in_flight: int
    """Deployments."""
    pages: int
    approvals: int

    @classmethod
    def of(cls, state: PipelineState) -> Figures:
        """As a state stands."""
        live = sum(release.is_live for release in state.releases)
        in_flight = sum(target.deployment is not None for target in state.targets)
        return cls(live, in_flight, len(state.pages), len(state.approvals))


@runtime_checkable
class Roster(Protocol):
    """A mapping of pipelines that knows these things without looking."""

    def names(self) -> Iterable[Named]:
        """Of every pipeline, by id."""

    def figures(self) -> Iterable[tuple[str, Figures]]:
        """Of every pipeline, by id."""

    def definitions(self) -> Iterable[Pipeline]:
        """Those in force, by id of their pipelines."""


def names(pipelines: Mapping[str, PipelineState]) -> Iterable[Named]:
    """The names of all of these."""
    return pipelines.names() if isinstance(pipelines, Roster) else _looked_up(pipelines)


def _looked_up(pipelines: Mapping[str, PipelineState]) -> Iterator[Named]:
    for state in pipelines.values():
        yield Named.of(state.definition)


def figures(pipelines: Mapping[str, PipelineState]) -> Iterable[tuple[str, Figures]]:
    """The figures of all of these, with their ids."""
    if isinstance(pipelines, Roster):
        return pipelines.figures()
    return ((id_, Figures.of(state)) for id_, state in pipelines.items())


def definitions(pipelines: Mapping[str, PipelineState]) -> Iterable[Pipeline]:
    """The definitions in force of all of these."""
    return pipelines.definitions() if isinstance(pipelines, Roster) else (s.definition for s in pipelines.values())
