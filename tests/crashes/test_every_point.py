"""Stopped dead at every point of a release's life, Andon goes on where it was: nothing twice, nothing lost.

A point is a place where it would hurt to stop: before and after every commit, and before and after every call to the
outside. The story (`line.py`) is told once to count them, and then once for each of them: the program is stopped
exactly there, thrown away, started again on the same file, and must come to the same end as if nothing had been.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.crashes.line import ACTS, TARGETS, Ending, Trap, prepare, told

SLICES = 24
MISSED_MOST = 0.05
"""Of the points: how pieces share a commit depends on the threads, so that a run may have a few points less."""


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


@pytest.fixture(scope="session")
def reference(memory: Path) -> Reference:
    async def tell() -> Reference:
        (memory / "base").mkdir()
        base = await prepare(memory / "base")
        trap = Trap()
        return Reference(base, await told(memory / "reference", base, trap), trap.names)

    return asyncio.run(tell())


def test_the_story_goes_as_it_should(reference: Reference) -> None:
    ending = reference.ending
    print(f"\n{len(reference.points)} points: {Counter(name.split(':')[0] for name in reference.points)}")
    print(sorted(Counter(":".join(name.split(":")[:3]) for name in reference.points).items()))
    assert ending.running == dict.fromkeys(TARGETS, "1.1.1")
    assert ending.releases == (("1.0.0", "completed"), ("1.1.0", "rolled_back"), ("1.1.1", "completed"))
    assert set(ending.posted.values()) == {1}
    assert set(ending.started.values()) == {1}
    assert [kind for _, kind in ending.paged] == ["page", "end"]
    assert ending.overlaps == ()
    assert ending.open_effects == (0, 0)
    assert ending.broken_chains == {"shop": None}
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
