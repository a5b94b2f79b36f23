"""The scripted deployer plays what is written, in a world that outlives its clients."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.errors import ArtifactMissing, PermanentError, TransientError
from core.ports import DeploymentRef, DeploymentRequest, Outcome, RunningVersion
from integrations.scripted import Act, Call, Cue, Fault, OutsideWorld, Script, ScriptedDeployer


def request(key: str = "k-1", *, target: str = "beta-1", version: str = "1", is_rollback: bool = False):
    return DeploymentRequest(
        key=key,
        service="shop",
        pipeline="shop",
        stage="beta",
        target=target,
        version=version,
        digest=f"sha256:{version}",
        artifact=version,
        is_rollback=is_rollback,
        batch_percent=33,
        healthy_percent=66,
        timeout=timedelta(minutes=1),
    )


class Stage:
    """A world, a script, and one client."""

    def __init__(self, *faults: Fault, remembers: int = 1000, **act: object) -> None:
        self.script = Script(Act(faults=frozenset(faults), **act))  # type: ignore[arg-type]
        self.world = OutsideWorld(self.script, remembers=remembers)
        self.deployer = ScriptedDeployer(self.world)

    async def outcomes(self, ref: DeploymentRef, polls: int) -> list[Outcome]:
        return [(await self.deployer.status(ref)).outcome for _ in range(polls)]


RUNNING, SUCCEEDED, FAILED = Outcome.RUNNING, Outcome.SUCCEEDED, Outcome.FAILED
CANCELLED, UNKNOWN = Outcome.CANCELLED, Outcome.UNKNOWN


@pytest.mark.parametrize(("polls", "said"), [(0, [SUCCEEDED] * 3), (2, [RUNNING, RUNNING, SUCCEEDED])])
async def test_a_deployment_takes_as_many_polls_as_written(polls, said):
    stage = Stage(polls=polls)
    assert await stage.outcomes(await stage.deployer.start(request()), 3) == said
    assert await stage.deployer.running_version("beta-1") == RunningVersion("sha256:1", "1")


async def test_progress_is_counted():
    stage = Stage(polls=2)
    ref = await stage.deployer.start(request())
    seen = [await stage.deployer.status(ref) for _ in range(3)]
    assert [(status.done_units, status.all_units) for status in seen] == [(1, 2), (2, 2), (2, 2)]


async def test_the_last_cue_that_fits_is_played():
    stage = Stage()
    stage.script.when(Cue(target="beta-1"), Act(polls=0, outcome=FAILED, message="no"))
    stage.script.when(Cue(is_rollback=True), Act(polls=0))
    forward = await stage.deployer.start(request("k-1"))
    assert (await stage.deployer.status(forward)).message == "no"
    back = await stage.deployer.start(request("k-2", is_rollback=True))
    elsewhere = await stage.deployer.start(request("k-3", target="beta-2"))
    assert await stage.outcomes(forward, 1) == [FAILED]
    assert await stage.outcomes(back, 1) == [SUCCEEDED]
    assert await stage.outcomes(elsewhere, 2) == [RUNNING, SUCCEEDED]


async def test_a_timeout_before_begins_nothing_as_often_as_written():
    stage = Stage(Fault.TIMEOUT_BEFORE, times=2)
    for _ in range(2):
        with pytest.raises(TransientError):
            await stage.deployer.start(request())
        assert await stage.deployer.find("k-1") is None
        assert not stage.world.is_alive("beta-1")
    ref = await stage.deployer.start(request())
    assert await stage.deployer.find("k-1") == ref


async def test_a_timeout_after_has_begun_and_is_found_by_another_client():
    stage = Stage(Fault.TIMEOUT_AFTER)
    with pytest.raises(TransientError):
        await stage.deployer.start(request())
    stage.deployer = ScriptedDeployer(stage.world)
    ref = await stage.deployer.find("k-1")
    assert ref is not None
    assert await stage.deployer.start(request()) == ref
    assert await stage.outcomes(ref, 2) == [RUNNING, SUCCEEDED]
    assert stage.world.overlaps == []


@pytest.mark.parametrize(
    ("fault", "error"), [(Fault.REFUSED, PermanentError), (Fault.ARTIFACT_MISSING, ArtifactMissing)]
)
async def test_a_refusal_begins_nothing(fault, error):
    stage = Stage(fault)
    with pytest.raises(error):
        await stage.deployer.start(request())
    assert stage.world.outcome("k-1") is None


async def test_a_lost_deployment_goes_on_all_the_same():
    stage = Stage(Fault.LOST)
    ref = await stage.deployer.start(request())
    assert await stage.outcomes(ref, 4) == [UNKNOWN] * 4
    assert stage.world.outcome("k-1") is SUCCEEDED
    assert (await stage.deployer.running_version("beta-1")).digest == "sha256:1"


async def test_one_that_never_ends_ends_when_it_is_cancelled():
    stage = Stage(Fault.NEVER_ENDS, cancel_polls=2)
    ref = await stage.deployer.start(request())
    assert await stage.outcomes(ref, 20) == [RUNNING] * 20
    await stage.deployer.cancel(ref)
    assert await stage.outcomes(ref, 1) == [RUNNING]
    await stage.deployer.cancel(ref)
    assert await stage.outcomes(ref, 3) == [RUNNING, CANCELLED, CANCELLED], "asking again does not make it later"
    assert (await stage.deployer.running_version("beta-1")).digest is None


async def test_a_cancel_may_be_refused_or_come_to_nothing():
    refusing = Stage(Fault.CANCEL_REFUSED)
    ref = await refusing.deployer.start(request())
    with pytest.raises(PermanentError):
        await refusing.deployer.cancel(ref)
    assert await refusing.outcomes(ref, 2) == [RUNNING, SUCCEEDED]
    await refusing.deployer.cancel(ref)

    deaf = Stage(Fault.CANCEL_IGNORED)
    ref = await deaf.deployer.start(request())
    await deaf.deployer.cancel(ref)
    assert await deaf.outcomes(ref, 2) == [RUNNING, SUCCEEDED]


async def test_what_runs_may_not_be_what_succeeded():
    stage = Stage(Fault.WRONG_VERSION, polls=0)
    ref = await stage.deployer.start(request())
    assert await stage.outcomes(ref, 1) == [SUCCEEDED]
    assert (await stage.deployer.running_version("beta-1")).digest == "sha256:something-else"


async def test_a_failure_may_leave_the_target_between_two_versions():
    stage = Stage(polls=0)
    await stage.outcomes(await stage.deployer.start(request()), 1)
    stage.script.when(Cue(version="2"), Act(polls=0, outcome=FAILED, faults=frozenset({Fault.LEAVES_MIXED})))
    await stage.outcomes(await stage.deployer.start(request("k-2", version="2")), 1)
    assert await stage.deployer.running_version("beta-1") == RunningVersion("sha256:1", "1", is_mixed=True)


async def test_an_outcome_that_is_not_final_never_ends():
    stage = Stage(outcome=UNKNOWN, polls=0)
    assert await stage.outcomes(await stage.deployer.start(request()), 3) == [UNKNOWN] * 3
    assert stage.world.is_alive("beta-1")


async def test_a_deployment_on_top_of_one_that_is_alive_is_noted():
    stage = Stage(Fault.NEVER_ENDS)
    await stage.deployer.start(request("k-1"))
    await stage.deployer.start(request("k-2", target="beta-2"))
    assert stage.world.overlaps == []
    await stage.deployer.start(request("k-3"))
    assert stage.world.overlaps == [("beta-1", "k-1", "k-3")]


async def test_somebody_may_change_a_target_past_andon():
    stage = Stage()
    stage.world.replace("beta-1", "sha256:by-hand", "by hand")
    assert await stage.deployer.running_version("beta-1") == RunningVersion("sha256:by-hand", "by hand")


async def test_every_call_is_recorded_and_old_ones_are_forgotten():
    stage = Stage(polls=0, remembers=3)
    ref = await stage.deployer.start(request("k-0"))
    await stage.deployer.status(ref)
    await stage.deployer.cancel(ref)
    assert list(stage.world.calls) == [Call("start", "k-0"), Call("status", "k-0"), Call("cancel", "k-0")]
    await stage.deployer.running_version("beta-1")
    assert list(stage.world.calls)[-1] == Call("running_version", "beta-1")
    assert len(stage.world.calls) == 3
    for n in range(1, 4):
        await stage.deployer.status(await stage.deployer.start(request(f"k-{n}")))
    assert await stage.deployer.find("k-0") is None
    assert await stage.deployer.find("k-1") is not None
    with pytest.raises(PermanentError):
        await stage.deployer.status(ref)
