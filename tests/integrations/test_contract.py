"""Every deployer keeps the contract; and the contract notices those that do not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from core.errors import PermanentError, TransientError
from core.ports import Deployer, DeploymentRef, DeploymentRequest, DeploymentStatus, Outcome, RunningVersion
from integrations.contract import DeployerContract, Rig
from integrations.processes.deployer import Front, ProcessesConfig, ProcessesDeployer, ProcessesTarget
from integrations.scripted import Act, Cue, Fault, OutsideWorld, Script, ScriptedDeployer
from tests.integrations.processes.world import QUICK, World


class ScriptedRig:
    """The deployer in memory."""

    secrets = ()
    pause = 0.0

    def __init__(self) -> None:
        self.script = Script()
        self.script.when(Cue(version="failing"), Act(outcome=Outcome.FAILED, message="It does not start."))
        self.script.when(Cue(version="endless"), Act(faults=frozenset({Fault.NEVER_ENDS}), cancel_polls=2))
        self.script.when(Cue(version="refused"), Act(faults=frozenset({Fault.REFUSED})))
        self.world = OutsideWorld(self.script)
        self.late = Fault.TIMEOUT_AFTER

    def connect(self) -> Deployer:
        return ScriptedDeployer(self.world)

    def hasty(self) -> Deployer:
        self.script.when(Cue(version="1"), Act(faults=frozenset({self.late})))
        return self.connect()

    def request(self, key: str, *, version: str = "1", is_rollback: bool = False) -> DeploymentRequest:
        return DeploymentRequest(
            key=key,
            service="shop",
            pipeline="shop",
            stage="beta",
            target="beta-1",
            version=version,
            digest=f"sha256:{version}",
            artifact=version,
            is_rollback=is_rollback,
            batch_percent=33,
            healthy_percent=66,
            timeout=timedelta(minutes=1),
        )

    def failing(self, key: str) -> DeploymentRequest:
        return self.request(key, version="failing")

    def endless(self, key: str) -> DeploymentRequest:
        return self.request(key, version="endless")

    def refused(self, key: str) -> DeploymentRequest:
        return self.request(key, version="refused")


class TestScripted(DeployerContract):
    @pytest.fixture(params=[Fault.TIMEOUT_AFTER, Fault.TIMEOUT_BEFORE])
    def rig(self, request: pytest.FixtureRequest) -> Rig:
        rig = ScriptedRig()
        rig.late = request.param
        return rig


class ProcessesRig:
    """Real units of one host."""

    secrets = ("open-sesame",)
    pause = 0.02

    def __init__(self, tmp_path: Path) -> None:
        self.world = World(tmp_path)
        self.targets = {"all": ProcessesTarget(units=1, share=100, env={"API_KEY": self.secrets[0]})}
        self.config = ProcessesConfig(root=self.world.root, front=Front(name="shop", port=0), timing=QUICK)

    def connect(self) -> ProcessesDeployer:
        return ProcessesDeployer(self.config, self.targets)

    def hasty(self) -> Deployer:
        return ProcessesDeployer(self.config, self.targets, timeout=0.000_001)

    def request(self, key: str, *, version: str = "1", is_rollback: bool = False) -> DeploymentRequest:
        source = self.world.artifact(f"good-{version}")
        return self.world.request("all", version, source, key=key, is_rollback=is_rollback)

    def failing(self, key: str) -> DeploymentRequest:
        return self.world.request("all", "bad", self.world.artifact("bad", dies_saying="no database"), key=key)

    def endless(self, key: str) -> DeploymentRequest:
        slow = self.world.artifact("slow", healthy_when=str(self.world.tmp_path / "never"))
        return self.world.request("all", "slow", slow, key=key)

    def refused(self, key: str) -> DeploymentRequest:
        return replace(self.request(key), digest=f"sha256:{'0' * 64}")


class TestProcesses(DeployerContract):
    @pytest.fixture
    async def rig(self, tmp_path: Path) -> AsyncIterator[Rig]:
        rig = ProcessesRig(tmp_path)
        yield rig
        await rig.connect().stop()


# ---- the contract notices -------------------------------------------------------------------------------------------


class Forgetful(ScriptedDeployer):
    """Finds nothing."""

    async def find(self, key: str) -> DeploymentRef | None:
        return None


class Doubling(ScriptedDeployer):
    """Begins again whenever it is asked."""

    async def start(self, request: DeploymentRequest) -> DeploymentRef:
        ref = await super().start(request)
        return replace(ref, value=f"{ref.value}#{id(object())}-{len(self._world.calls)}")


class Failing(ScriptedDeployer):
    """Takes no answer for a no."""

    async def start(self, request: DeploymentRequest) -> DeploymentRef:
        try:
            return await super().start(request)
        except TransientError as error:
            raise PermanentError("It failed.") from error


class Hopeful(ScriptedDeployer):
    """Calls a cancel done as soon as it was asked."""

    async def status(self, ref: DeploymentRef) -> DeploymentStatus:
        status = await super().status(ref)
        return DeploymentStatus(Outcome.SUCCEEDED) if status.outcome is Outcome.CANCELLED else status


class Boastful(ScriptedDeployer):
    """Says that what was asked for runs."""

    wanted = ""

    async def start(self, request: DeploymentRequest) -> DeploymentRef:
        self.wanted = request.digest
        return await super().start(request)

    async def running_version(self, target: str) -> RunningVersion:
        return RunningVersion(self.wanted or None, "1")


class Talkative(ScriptedDeployer):
    """Shows its secret."""

    def __repr__(self) -> str:
        return "Talkative(token=open-sesame)"


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Forgetful, "test_it_is_found_by_its_key_after_a_crash"),
        (Doubling, "test_started_twice_with_one_key_is_one_deployment"),
        (Doubling, "test_no_answer_in_time_is_unknown_and_never_failed"),
        (Failing, "test_no_answer_in_time_is_unknown_and_never_failed"),
        (Hopeful, "test_a_cancel_is_confirmed"),
        (Boastful, "test_a_failure_says_why_and_claims_nothing"),
        (Boastful, "test_what_is_refused_has_not_begun"),
        (Talkative, "test_secrets_show_nowhere"),
    ],
)
async def test_a_deployer_that_breaks_the_contract_is_noticed(broken: type[ScriptedDeployer], test: str):
    class Rigged(ScriptedRig):
        secrets = ("open-sesame",)  # type: ignore[assignment]

        def connect(self) -> Deployer:
            return broken(self.world)

    with pytest.raises((AssertionError, PermanentError)):
        await getattr(DeployerContract(), test)(Rigged())
