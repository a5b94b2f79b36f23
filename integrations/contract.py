"""What every deployer must do, as tests for pytest: subclass `DeployerContract` and give it a fixture `rig`.

    class TestMine(DeployerContract):
        @pytest.fixture
        def rig(self, tmp_path): return MyRig(tmp_path)

A third party's deployer is held to the same. Tests run as coroutines (pytest-asyncio in auto mode).
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import pytest

from core.errors import PermanentError, PortError, TransientError
from core.ports import Deployer, DeploymentRef, DeploymentRequest, DeploymentStatus, Outcome


class Rig(Protocol):
    """A deployer under test, with a world of its own in which nothing runs yet. All requests are for one target."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Words the deployer was given in confidence."""

    @property
    def pause(self) -> float:
        """Seconds between two looks at a deployment."""

    def connect(self) -> Deployer:
        """A new client of the same outside world, as after a crash of Andon."""

    def hasty(self) -> Deployer:
        """A client to which the answer to a start comes too late, whether or not the start arrived."""

    def request(self, key: str, *, version: str = "1", is_rollback: bool = False) -> DeploymentRequest:
        """A deployment that succeeds; versions `1` and `2` differ in their digests."""

    def failing(self, key: str) -> DeploymentRequest:
        """A deployment that fails."""

    def endless(self, key: str) -> DeploymentRequest:
        """A deployment that is not over before it is cancelled."""

    def refused(self, key: str) -> DeploymentRequest:
        """A deployment that is refused before anything begins."""


PATIENCE = 60.0
"""Seconds after which a deployment that is not over fails the test."""


async def over(rig: Rig, deployer: Deployer, ref: DeploymentRef) -> DeploymentStatus:
    """Look until a deployment is over."""
    async with asyncio.timeout(PATIENCE):
        while not (status := await deployer.status(ref)).outcome.is_final:  # noqa: ASYNC110 - it lives elsewhere
            await asyncio.sleep(rig.pause)
    return status


async def raised(deployer: Deployer, request: DeploymentRequest) -> PortError | None:
    """What a start raises."""
    try:
        await deployer.start(request)
    except PortError as error:
        return error
    return None


class DeployerContract:
    """The contract. Each test begins in a world of its own."""

    async def test_what_is_deployed_runs(self, rig: Rig) -> None:
        """A success is what `running_version` says."""
        deployer, request = rig.connect(), rig.request("k-1")
        before = await deployer.running_version(request.target)
        assert (before.digest, before.is_mixed) == (None, False), "nothing runs before the first deployment"
        status = await over(rig, deployer, await deployer.start(request))
        assert status.outcome is Outcome.SUCCEEDED, status.message
        assert 0 <= status.done_units <= status.all_units
        seen = await deployer.running_version(request.target)
        assert (seen.digest, seen.version, seen.is_mixed) == (request.digest, request.version, False)

    async def test_started_twice_with_one_key_is_one_deployment(self, rig: Rig) -> None:
        """Asked again, also by another client and after its end, the first one is given."""
        deployer, request = rig.connect(), rig.request("k-1")
        ref = await deployer.start(request)
        assert (ref.key, await deployer.start(request)) == ("k-1", ref)
        assert await rig.connect().start(request) == ref
        await over(rig, deployer, ref)
        assert await deployer.start(request) == ref, "what is over does not begin again"
        assert (await deployer.status(ref)).outcome is Outcome.SUCCEEDED

    async def test_two_keys_are_two_deployments(self, rig: Rig) -> None:
        """The key tells them apart, not what is deployed."""
        deployer = rig.connect()
        first = await deployer.start(rig.request("k-1"))
        await over(rig, deployer, first)
        second = await deployer.start(rig.request("k-2"))
        assert first.value != second.value
        await over(rig, deployer, second)

    async def test_it_is_found_by_its_key_after_a_crash(self, rig: Rig) -> None:
        """A client that knows nothing but the key finds the deployment and can follow it."""
        ref = await rig.connect().start(rig.request("k-1"))
        another = rig.connect()
        found = await another.find("k-1")
        assert found == ref
        assert (await over(rig, another, found)).outcome is Outcome.SUCCEEDED

    async def test_a_crash_while_it_runs_loses_nothing(self, rig: Rig) -> None:
        """Whoever comes after finds it still running, begins no second one, and can end it."""
        ref = await rig.connect().start(rig.endless("k-1"))
        assert not (await rig.connect().status(ref)).outcome.is_final
        assert await rig.connect().find("k-1") == ref
        assert await rig.connect().start(rig.endless("k-1")) == ref
        another = rig.connect()
        await another.cancel(ref)
        assert (await over(rig, another, ref)).outcome is Outcome.CANCELLED

    async def test_a_crash_while_it_is_cancelled_loses_nothing(self, rig: Rig) -> None:
        """Who asked for it is gone; it is cancelled all the same, and asking again is no error."""
        ref = await rig.connect().start(rig.endless("k-1"))
        await rig.connect().cancel(ref)
        another = rig.connect()
        assert await another.find("k-1") == ref
        await another.cancel(ref)
        assert (await over(rig, another, ref)).outcome is Outcome.CANCELLED
        assert await rig.connect().start(rig.endless("k-1")) == ref, "what was cancelled does not begin again"
        assert (await rig.connect().status(ref)).outcome is Outcome.CANCELLED

    @pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.FAILED])
    async def test_a_crash_after_its_end_loses_nothing(self, rig: Rig, outcome: Outcome) -> None:
        """Nobody looked while it went; its end is told to whoever asks later, again and again."""
        request = rig.request("k-1") if outcome is Outcome.SUCCEEDED else rig.failing("k-1")
        ref = await rig.connect().start(request)
        assert (await over(rig, rig.connect(), ref)).outcome is outcome
        another = rig.connect()
        assert await another.find("k-1") == ref
        assert await another.start(request) == ref
        assert (await another.status(ref)).outcome is outcome
        is_there = (await rig.connect().running_version(request.target)).digest == request.digest
        assert is_there is (outcome is Outcome.SUCCEEDED)

    async def test_what_was_never_begun_is_not_found(self, rig: Rig) -> None:
        """None means surely none."""
        assert await rig.connect().find("never-used") is None

    async def test_no_answer_in_time_is_unknown_and_never_failed(self, rig: Rig) -> None:
        """A time-out says so; asked by its key there is one deployment, however often it is begun."""
        request = rig.request("k-1")
        assert isinstance(await raised(rig.hasty(), request), TransientError), "it must raise TransientError"
        deployer = rig.connect()
        found = await deployer.find("k-1")
        ref = await deployer.start(request)
        assert found in (None, ref), "it was begun a second time"
        assert (await over(rig, deployer, ref)).outcome is Outcome.SUCCEEDED

    async def test_a_cancel_is_confirmed(self, rig: Rig) -> None:
        """Cancelled is what `status` says, once it is so; asking twice is no error."""
        deployer = rig.connect()
        ref = await deployer.start(rig.endless("k-1"))
        assert not (await deployer.status(ref)).outcome.is_final
        await deployer.cancel(ref)
        await deployer.cancel(ref)
        assert (await over(rig, deployer, ref)).outcome is Outcome.CANCELLED
        assert (await rig.connect().status(ref)).outcome is Outcome.CANCELLED, "final stays final"
        following = await deployer.start(rig.request("k-2"))
        assert (await over(rig, deployer, following)).outcome is Outcome.SUCCEEDED, "the target is free again"

    async def test_cancelling_what_is_over_changes_nothing(self, rig: Rig) -> None:
        """It succeeded, and stays so."""
        deployer = rig.connect()
        ref = await deployer.start(rig.request("k-1"))
        await over(rig, deployer, ref)
        await deployer.cancel(ref)
        assert (await deployer.status(ref)).outcome is Outcome.SUCCEEDED

    async def test_a_failure_says_why_and_claims_nothing(self, rig: Rig) -> None:
        """Failed has a sentence, and what failed does not pass for what runs."""
        deployer, request = rig.connect(), rig.failing("k-1")
        ref = await deployer.start(request)
        status = await over(rig, deployer, ref)
        assert status.outcome is Outcome.FAILED
        assert status.message, "a failure says why"
        seen = await deployer.running_version(request.target)
        assert seen.digest != request.digest or seen.is_mixed
        assert (await deployer.status(ref)).outcome is Outcome.FAILED, "final stays final"

    async def test_what_is_refused_has_not_begun(self, rig: Rig) -> None:
        """A refusal is permanent, and nothing is found under its key."""
        deployer, request = rig.connect(), rig.refused("k-1")
        refusal = await raised(deployer, request)
        assert isinstance(refusal, PermanentError), "it must raise PermanentError"
        assert refusal.message, "a refusal says why"
        assert await deployer.find("k-1") is None
        assert (await deployer.running_version(request.target)).digest is None

    async def test_it_can_go_back(self, rig: Rig) -> None:
        """A rollback is a deployment of what ran before."""
        deployer, first = rig.connect(), rig.request("k-1")
        for request in (first, rig.request("k-2", version="2")):
            await over(rig, deployer, await deployer.start(request))
        assert (await deployer.running_version(first.target)).digest != first.digest
        back = rig.request("k-3", version="1", is_rollback=True)
        assert (await over(rig, deployer, await deployer.start(back))).outcome is Outcome.SUCCEEDED
        assert (await deployer.running_version(first.target)).digest == first.digest

    async def test_it_can_go_back_after_a_failure(self, rig: Rig) -> None:
        """A failure in between is no hindrance, and leaves nothing mixed."""
        deployer, first = rig.connect(), rig.request("k-1")
        await over(rig, deployer, await deployer.start(first))
        await over(rig, deployer, await deployer.start(rig.failing("k-2")))
        back = rig.request("k-3", version="1", is_rollback=True)
        assert (await over(rig, deployer, await deployer.start(back))).outcome is Outcome.SUCCEEDED
        seen = await rig.connect().running_version(first.target)
        assert (seen.digest, seen.is_mixed) == (first.digest, False)

    async def test_secrets_show_nowhere(self, rig: Rig) -> None:
        """Neither in what a deployer shows of itself nor in what it says of deployments."""
        deployer = rig.connect()
        shown = [repr(deployer), str(deployer)]
        for request in (rig.failing("k-1"), rig.request("k-2")):
            ref = await deployer.start(request)
            shown += [repr(ref), repr(await over(rig, deployer, ref))]
        refusal = await raised(deployer, rig.refused("k-3"))
        shown += [repr(refusal), repr(refusal and refusal.__cause__)]
        shown.append(repr(await deployer.running_version(rig.request("k-2").target)))
        for secret in rig.secrets:
            assert not any(secret in text for text in shown), "a secret shows"
