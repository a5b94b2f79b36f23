"""The courier of stage tests: runs one by the adapter its definition names, and reports how it ended."""

from __future__ import annotations

from collections.abc import Callable

from bot.deployments import end_of
from bot.engine import Engine
from bot.outbox import Claimed, Delivered, Done
from core.errors import DefinitionError
from core.ports import TestOutcome, TestResult
from core.releases.effects import RunStageTest
from core.releases.events import StageTestReported
from integrations.checks import TestContext, TestRunner

FindRunner = Callable[[str], TestRunner]
"""From the name of a kind of test; raises DefinitionError."""


class StageTests:
    """Delivers RunStageTest."""

    def __init__(self, engine: Engine, find: FindRunner) -> None:
        self._engine = engine
        self._find = find

    async def run(self, claimed: Claimed) -> Delivered:
        """Run it; after a crash it is run again, and the newest result counts."""
        effect = claimed.effect
        assert isinstance(effect, RunStageTest), "the courier of tests delivers tests"
        state = self._engine.pipelines().get(claimed.pipeline_id)
        if state is None:
            return Done()
        context = TestContext(
            service=state.definition.service,
            pipeline=claimed.pipeline_id,
            stage=effect.stage,
            version=effect.version,
            digest=effect.digest,
        )
        try:
            runner = self._find(effect.uses)
        except DefinitionError as error:
            result = TestResult(TestOutcome.ERRORED, error.message)
        else:
            result = await runner.run(effect.key, effect.settings, effect.timeout, context)
        event = StageTestReported(
            key=effect.key,
            outcome=result.outcome,
            detail=result.detail,
            url=result.url,
            output=end_of(result.output),
            tells=result.tells,
        )
        await self._engine.submit(claimed.pipeline_id, event, dedupe=f"{claimed.key}/reported")
        return Done()
