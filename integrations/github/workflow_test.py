"""The stage test `github-workflow`: a run of a workflow, and how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime

from core.errors import DefinitionError, PermanentError, TransientError
from core.ports import Outcome, TestOutcome, TestResult
from core.releases.problems import nearest
from integrations.checks import TestContext, read_settings
from integrations.github.client import TIMEOUT, Api, GitHub
from integrations.github.config import GitHubWorkflowSettings
from integrations.github.runs import Judged, Runs
from integrations.github.workflow_file import KEY_INPUT, WorkflowFile, read_workflow

LISTED_WITHIN = 10
"""Looks at the list of runs for one that was begun just now."""
OUTCOMES = {Outcome.SUCCEEDED: TestOutcome.PASSED, Outcome.FAILED: TestOutcome.FAILED}
REMEMBERED = timedelta(days=1)
"""How far back a run with our key is looked for: a test takes no longer."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    key: str
    settings: GitHubWorkflowSettings
    context: TestContext
    until: float


class GitHubWorkflowTest:
    """Dispatches a workflow, or finds the run that a crash interrupted, and follows it to its end."""

    def __init__(
        self,
        *,
        environment: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._environment, self._timeout, self._pause = environment, timeout, pause

    async def run(self, key: str, settings: str, timeout: timedelta, context: TestContext) -> TestResult:
        """Run it once; a run with this key that is under way already is followed instead."""
        until = asyncio.get_running_loop().time() + timeout.total_seconds()
        try:
            wanted = _Wanted(key, read_settings(GitHubWorkflowSettings, settings), context, until)
            github = GitHub(wanted.settings, environment=self._environment, timeout=self._timeout)
            run = await self._patiently(github, wanted, self._begun)
            if run is None:
                return TestResult(TestOutcome.ERRORED, "GitHub did not take it within its time")
            return await self._followed(github, wanted, run)
        except (DefinitionError, PermanentError) as error:
            return TestResult(TestOutcome.ERRORED, error.message.rstrip("."))

    async def _patiently(
        self, github: GitHub, wanted: _Wanted, ask: Callable[[Api, Runs, _Wanted], Awaitable[int]]
    ) -> int | None:
        """Ask until GitHub can answer; None when the time is over."""
        while self._left(wanted) > 0:
            try:
                async with github.open() as api:
                    return await ask(api, self._runs(api, wanted), wanted)
            except TransientError as error:
                await self._rest(wanted, error)
        return None

    async def _begun(self, api: Api, runs: Runs, wanted: _Wanted) -> int:
        settings = wanted.settings
        file = await read_workflow(api, settings.repository, settings.workflow, settings.ref)
        if not file.can_be_run:
            raise PermanentError(f"{settings.workflow} cannot be run by Andon: add `workflow_dispatch` to its `on`")
        since = _stamp(api)
        if file.names_key and (known := await runs.find(wanted.key, since)) is not None:
            return known.id
        begun = await runs.begin(settings.ref, _inputs(file, wanted))
        if begun is not None:
            return begun[0]
        if not file.names_key:
            raise PermanentError(
                f"this GitHub does not say which run it began: let the `run-name` of {settings.workflow} hold "
                "`${{ inputs.andon_key }}`"
            )
        for _ in range(LISTED_WITHIN):
            if (found := await runs.find(wanted.key, since)) is not None:
                return found.id
            await self._pause(1.0)
        raise TransientError("GitHub took the request for a run, but does not list the run yet.")

    async def _followed(self, github: GitHub, wanted: _Wanted, run_id: int) -> TestResult:
        last: Judged | None = None
        while self._left(wanted) > 0:
            try:
                async with github.open() as api:
                    runs = self._runs(api, wanted)
                    run = await runs.look(run_id)
                    last = await runs.judge(run)
            except TransientError as error:
                await self._rest(wanted, error)
                continue
            if run.is_over:
                outcome = OUTCOMES.get(last.outcome, TestOutcome.ERRORED)
                return TestResult(outcome, last.words, last.url, last.output)
            await self._pause(min(wanted.settings.poll.total_seconds(), max(self._left(wanted), 0.0)))
        await self._cancel(github, wanted, run_id)
        words = f"it was not over within its time, and is cancelled; last seen: {last.words}" if last else "no answer"
        return TestResult(TestOutcome.ERRORED, words, last.url if last else "")

    async def _cancel(self, github: GitHub, wanted: _Wanted, run_id: int) -> None:
        """Leave nothing running; that GitHub does not hear changes nothing of what the test found."""
        try:
            async with github.open() as api:
                await self._runs(api, wanted).cancel(run_id)
        except (PermanentError, TransientError):
            return

    def _runs(self, api: Api, wanted: _Wanted) -> Runs:
        return Runs(api, wanted.settings.repository, wanted.settings.workflow)

    def _left(self, wanted: _Wanted) -> float:
        return wanted.until - asyncio.get_running_loop().time()

    async def _rest(self, wanted: _Wanted, error: TransientError) -> None:
        asked = error.retry_after.total_seconds() if error.retry_after is not None else 0.0
        pause = max(asked, wanted.settings.poll.total_seconds())
        await self._pause(min(pause, max(self._left(wanted), 0.0)))


def _inputs(file: WorkflowFile, wanted: _Wanted) -> Mapping[str, str]:
    context, own = wanted.context, wanted.settings.inputs
    if strange := sorted(set(own) - file.inputs):
        mend = nearest(strange[0], file.inputs, otherwise="it declares none")
        raise PermanentError(f"{wanted.settings.workflow} does not take the input `{strange[0]}`; {mend}")
    offered = {
        KEY_INPUT: wanted.key,
        "service": context.service,
        "pipeline": context.pipeline,
        "stage": context.stage,
        "version": context.version,
        "digest": context.digest,
    }
    return {**{name: value for name, value in offered.items() if name in file.inputs}, **own}


def _stamp(api: Api) -> str:
    """An instant of GitHub's clock, before which no run of this test began."""
    try:
        return (parsedate_to_datetime(api.server_time) - REMEMBERED).strftime("%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        raise TransientError("GitHub's answer bears no date.") from None
