"""Stopped dead at every point of a release's life, Andon goes on where it was: nothing twice, nothing lost.

A point is a place where it would hurt to stop: before and after every commit, and before and after every call to the
outside. The story (`line.py`) is told once to count them, and then once for each of them: the program is stopped
exactly there, thrown away, started again on the same file, and must come to the same end as if nothing had been.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.ports import DeploymentRef, DeploymentRequest
from integrations.scripted import ScriptedDeployer
from tests.crashes.line import TARGETS, Ending, Trap, prepare, told

SLICES = 24
MISSED_MOST = 0.15
"""Of the points: how pieces share a commit depends on the threads; a quick machine has fewer than the reference."""


@dataclass(frozen=True)
class Reference:
    """The story as it goes when nobody stops it."""

    base: Path
    ending: Ending
    points: list[str]


@pytest.fixture(scope="session")
def memory() -> Iterator[Path]:
    """A directory in memory where the system has one: what is lost here is a process, never the power."""
    shared = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(prefix="andon-crashes-", dir=shared if shared.is_dir() else None))
    yield path
    shutil.rmtree(path)


@pytest.fixture(autouse=True)
def in_silence() -> Iterator[None]:
    """Every death is logged with all that it interrupted; hundreds of them help nobody."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="session")
def reference(memory: Path) -> Reference:
    (memory / "base").mkdir()

    async def tell() -> Reference:
        base = await prepare(memory / "base")
        trap = Trap()
        return Reference(base, await told(memory / "reference", base, trap), trap.names)

    return asyncio.run(tell())


def test_the_story_goes_as_it_should(reference: Reference, record_property: Callable[[str, object], None]) -> None:
    ending = reference.ending
    record_property("points", len(reference.points))
    print(f"\n{len(reference.points)} points: {Counter(name.split(':')[0] for name in reference.points)}")
    print(sorted(Counter(":".join(name.split(":")[:3]) for name in reference.points).items()))
    assert ending.running == dict.fromkeys(TARGETS, "1.1.1")
    assert ending.releases == (("1.0.0", "completed"), ("1.1.0", "rolled_back"), ("1.1.1", "completed"))
    assert ending.posted_twice == ()
    assert ending.started_twice == ()
    assert ending.paged == ("end", "page")
    assert len(ending.deployed) == len(set(ending.deployed)) + 1, "only the failed rollback of box-1 was begun again"
    assert ending.overlaps == ()
    assert ending.open_effects == (0, 0)
    assert ending.broken_chains == {"shop": None, "(organisation)": None}
    kinds = {name.split(":")[2] for name in reference.points if name.startswith("deliver")}
    assert kinds == {
        "StartDeployment", "FollowDeployment", "CancelDeployment", "RunStageTest", "RefreshCard", "Tell", "Page",
        "EndPage",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("number", range(SLICES))
async def test_stopped_at_a_point_it_comes_to_the_same_end(number: int, memory: Path, reference: Reference) -> None:
    sprung: list[str] = []
    missed: list[int] = []
    for point in range(number, len(reference.points), SLICES):
        trap = Trap(at=point)
        ending = await told(memory / f"point-{point}", reference.base, trap)
        if trap.sprung:
            sprung.append(trap.sprung)
        else:
            missed.append(point)
        assert ending == reference.ending, f"stopped at {point}, {trap.sprung}"
    assert all(point >= len(reference.points) * (1 - MISSED_MOST) for point in missed), missed
    assert sprung


async def test_a_deployer_that_does_not_look_first_would_be_caught(memory: Path, reference: Reference) -> None:
    """A seeded mistake: it never finds what was begun; stopped before its start was recorded, it is started again."""
    trap = Trap()

    class Forgetful(ScriptedDeployer):
        async def start(self, request: DeploymentRequest) -> DeploymentRef:
            begun = await super().start(request)
            if not trap.sprung:
                trap.spring()
            return begun

        async def find(self, key: str) -> DeploymentRef | None:
            await super().find(key)
            return None

    ending = await told(memory / "forgetful", reference.base, trap, deployer=Forgetful)
    assert trap.sprung
    assert len(ending.started_twice) == 1
    assert ending != reference.ending


async def test_a_post_that_does_not_look_first_would_be_caught(memory: Path, reference: Reference) -> None:
    """Without the scope to read the channel nobody can look: the post is repeated, and says so."""
    trap = Trap(on="deliver:after:Tell")
    ending = await told(memory / "blind", reference.base, trap, scopes_missing=("channels:history", "groups:history"))
    assert trap.sprung
    assert len(ending.posted_twice) == 1
    assert sum("Posted again" in text for text in ending.said) == 1
    assert ending != reference.ending
