"""The deployer `github-actions`: a deployment is a run of a workflow, and GitHub's own pages show what Andon did.

What is about to be done is written down as a GitHub Deployment first, under a task made of our key. Then status
`queued`, then the run is asked for, then status `in_progress` with its address. Whoever comes after a crash reads from
these how far it came; where the run may or may not have begun, it is looked for by our key in its title.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from core.errors import PermanentError, TransientError
from core.ports import DeploymentRef, DeploymentRequest, DeploymentStatus, Outcome, RunningVersion
from core.releases.problems import nearest
from integrations.command.config import Probe
from integrations.command.probes import running, shown_running
from integrations.github.client import TIMEOUT, Api, GitHub, Refused
from integrations.github.config import GitHubActionsConfig, GitHubActionsTarget, settings_of
from integrations.github.observing import seen_running
from integrations.github.records import CANCELLING, Record, Records, asked_at, begun, cancelled_at, ended, task_of
from integrations.github.runs import Judged, Run, Runs
from integrations.github.workflow_file import KEY_INPUT, WorkflowFile, read_workflow
from integrations.intake import instant

CERTAIN_AFTER = timedelta(minutes=2)
"""What GitHub took in, its lists show by then; what they do not show then was never begun."""
LISTED_WITHIN = 10
"""Looks at the list of runs for one that was begun just now, a second apart."""
STATES = {Outcome.SUCCEEDED: "success", Outcome.FAILED: "failure", Outcome.CANCELLED: "inactive"}
OUTCOMES = {
    "success": Outcome.SUCCEEDED,
    "failure": Outcome.FAILED,
    "error": Outcome.FAILED,
    "inactive": Outcome.CANCELLED,
}
RUN_NAME = "run-name: Deploy [${{ inputs.andon_key }}] ${{ inputs.version }} to ${{ inputs.target }}"


@dataclass(frozen=True, slots=True)
class _Talk:
    """One connection, and what is asked over it."""

    api: Api
    records: Records
    runs: Runs

    @property
    def now(self) -> datetime:
        """GitHub's clock."""
        try:
            return parsedate_to_datetime(self.api.server_time)
        except ValueError:
            raise TransientError("GitHub's answer bears no date.") from None


class GitHubActionsDeployer:
    """Deploys by running a workflow. Remembers nothing itself: all of it is at GitHub."""

    def __init__(
        self,
        config: GitHubActionsConfig,
        targets: Mapping[str, GitHubActionsTarget],
        *,
        environment: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
        certain_after: timedelta = CERTAIN_AFTER,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._config, self._targets = config, dict(targets)
        self._environment = os.environ if environment is None else environment
        self._github = GitHub(config, environment=self._environment, timeout=timeout)
        self._certain_after, self._pause = certain_after, pause

    def __repr__(self) -> str:
        return f"GitHubActionsDeployer({self._config.repository}, {self._config.workflow})"

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]
    ) -> GitHubActionsDeployer:
        """Build it from a definition's `with:`; raises PermanentError naming what is wrong."""
        config = settings_of(GitHubActionsConfig, settings, "The deployer github-actions")
        own = {name: settings_of(GitHubActionsTarget, given, f"The target {name}") for name, given in targets.items()}
        return cls(config, own)

    @property
    def poll_seconds(self) -> float:
        """How often GitHub may be asked about one deployment."""
        return self._config.poll.total_seconds()

    # ---- beginning --------------------------------------------------------------------------------------------------

    async def start(self, request: DeploymentRequest) -> DeploymentRef:
        """Write down what is wanted and run the workflow, or return the run that has this key."""
        target = self._target(request.target)
        told = _told(request)
        async with self._github.open() as api:
            talk = self._talk(api)
            record = await talk.records.find(self._task(request.key))
            if record is not None:
                _hold_same(record, told)
                if (known := await self._begun(talk, record, request.key)) is not None:
                    return known
            inputs = self._inputs(await self._workflow(api), request, target)
            if record is None:
                record = await talk.records.make(
                    self._task(request.key),
                    self._records_ref(request),
                    target.environment or request.target,
                    told,
                    production=target.production,
                )
            await talk.records.say(record.id, "queued", "Andon asks for a run of the workflow")
            return await self._run(talk, record, request.key, inputs, target)

    async def _run(
        self, talk: _Talk, record: Record, key: str, inputs: Mapping[str, str], target: GitHubActionsTarget
    ) -> DeploymentRef:
        try:
            begun_now = await talk.runs.begin(self._config.ref, inputs)
        except Refused as error:
            await talk.records.say(record.id, "error", f"GitHub would not run it: {error.words}")
            raise
        with _never_refused():
            if begun_now is None:
                found = await self._listed(talk, record, key)
                begun_now = found.id, found.url
            run, url = begun_now
            await talk.records.say(record.id, "in_progress", "It runs", log=url, environment=target.url or "")
        return _ref(key, record.id, run, url)

    async def _listed(self, talk: _Talk, record: Record, key: str) -> Run:
        """A run that was begun just now, as soon as the list shows it."""
        for look in range(LISTED_WITHIN):
            if look:
                await self._pause(1.0)
            if (found := await talk.runs.find(key, record.created_at)) is not None:
                return found
        raise TransientError("GitHub took the request for a run, but does not list the run yet.")

    async def find(self, key: str) -> DeploymentRef | None:
        """The run begun under this key; raises TransientError while GitHub may still begin it, or will not say."""
        with _never_refused():
            return await self._found(key)

    async def _found(self, key: str) -> DeploymentRef | None:
        async with self._github.open() as api:
            talk = self._talk(api)
            record = await talk.records.find(self._task(key))
            return None if record is None else await self._begun(talk, record, key)

    async def _begun(self, talk: _Talk, record: Record, key: str) -> DeploymentRef | None:
        statuses = await talk.records.statuses(record.id)
        run = begun(statuses)
        if run is not None:
            return _ref(key, record.id, run[0], run[1])
        asked = asked_at(statuses)
        if asked is None or ended(statuses):
            # It was written down, but never asked for; or GitHub refused.
            return None
        found = await talk.runs.find(key, record.created_at)
        if found is not None:
            target = self._targets.get(record.told.get("target", ""), GitHubActionsTarget())
            await talk.records.say(record.id, "in_progress", "It runs", log=found.url, environment=target.url or "")
            return _ref(key, record.id, found.id, found.url)
        if talk.now - asked < self._certain_after:
            raise TransientError(
                "GitHub was asked for the run, but does not list it; whether it began shows within two minutes.",
                retry_after=timedelta(seconds=10),
            )
        return None

    # ---- following --------------------------------------------------------------------------------------------------

    async def status(self, ref: DeploymentRef) -> DeploymentStatus:
        """How the run stands. Its end is written down at GitHub, and stays: a re-run changes it no more."""
        record, run_id = _parts(ref)
        async with self._github.open() as api:
            talk = self._talk(api)
            run = await talk.runs.look(run_id)
            statuses = await talk.records.statuses(record)
            if state := ended(statuses):
                outcome = OUTCOMES[state]
                if outcome is Outcome.FAILED and run.is_over and run.attempt == 1:
                    return _standing(await talk.runs.judge(run), outcome)
                words = next((said.words for said in reversed(statuses) if said.state == state), "")
                return DeploymentStatus(outcome, words)
            judged = await talk.runs.judge(run)
            if judged.outcome.is_final:
                await talk.records.say(record, STATES[judged.outcome], judged.words, log=judged.url)
                if not ended(await talk.records.statuses(record)):
                    # It is over only when GitHub shows it so: what runs is read from there next.
                    return DeploymentStatus(Outcome.RUNNING, "it ends")
                return _standing(judged)
            asked = cancelled_at(statuses)
            if asked is not None and talk.now - asked > self._config.force_cancel_after:
                await talk.runs.cancel(run_id, by_force=True)
            return _standing(self._patient(judged, run, talk.now))

    def _patient(self, judged: Judged, run: Run, now: datetime) -> Judged:
        """A run that never begins is unknown: it may begin at any moment, or never."""
        created = instant(run.created_at)
        if run.status not in ("queued", "requested", "pending") or created is None or run.attempt > 1:
            return judged
        waited = now - created
        if waited <= self._config.start_within:
            return judged
        minutes = f"{waited.total_seconds() / 60:.0f} min"
        if run.status == "pending":
            words = f"for {minutes} it has waited on GitHub behind another run of its concurrency group"
        else:
            words = f"GitHub has not begun the run for {minutes}; is a runner with its labels online and free?"
        return Judged(outcome=Outcome.UNKNOWN, words=words, url=run.url)

    async def cancel(self, ref: DeploymentRef) -> None:
        """Ask GitHub to cancel the run; by force, when it has not heard for long."""
        record, run_id = _parts(ref)
        async with self._github.open() as api:
            talk = self._talk(api)
            run = await talk.runs.look(run_id)
            if run.is_over:
                return
            await talk.runs.cancel(run_id)
            if cancelled_at(await talk.records.statuses(record)) is None:
                await talk.records.say(record, "in_progress", CANCELLING, log=run.url)

    async def running_version(self, target: str) -> RunningVersion:
        """What the target's own address says, or what the newest successful deployment to its environment brought."""
        settings = self._target(target)
        if settings.running is not None:
            probe = Probe.model_validate(settings.running.model_dump())
            digest, version, is_mixed = await running(probe, {"target": target}, self._environment)
            return shown_running(digest, version, is_mixed=is_mixed)
        environment = settings.environment or target
        async with self._github.open() as api:
            talk = self._talk(api)
            is_shared = any(
                (other.environment or name) == environment for name, other in self._targets.items() if name != target
            )
            return await seen_running(
                talk.records,
                talk.runs,
                environment,
                target,
                sees_others=self._config.others == "drift" and not is_shared,
            )

    # ---- what is asked for ------------------------------------------------------------------------------------------

    def _talk(self, api: Api) -> _Talk:
        repository = self._config.repository
        return _Talk(api, Records(api, repository), Runs(api, repository, self._config.workflow))

    def _task(self, key: str) -> str:
        return task_of(self._config.namespace, key)

    def _target(self, name: str) -> GitHubActionsTarget:
        if name not in self._targets:
            raise PermanentError(f"The target {name} is not among those that {self._config.workflow} deploys to.")
        return self._targets[name]

    def _records_ref(self, request: DeploymentRequest) -> str:
        wanted = self._config.records_ref or self._config.ref
        return wanted.replace("{version}", request.version).replace("{artifact}", request.artifact)

    async def _workflow(self, api: Api) -> WorkflowFile:
        """The workflow, if its runs can be found again; raises PermanentError with what it lacks."""
        config = self._config
        file = await read_workflow(api, config.repository, config.workflow, config.ref)
        where = f"{config.workflow} of {config.repository} at {config.ref}"
        if not file.can_be_run:
            raise PermanentError(f"{where} cannot be run by Andon: add `workflow_dispatch` to its `on`.")
        for name in (KEY_INPUT, "digest"):
            if name not in file.inputs:
                raise PermanentError(f"{where} does not take the input `{name}`: declare it under `workflow_dispatch`.")
        if not file.names_key:
            raise PermanentError(
                f"Runs of {where} could not be found again after a crash: give it the line `{RUN_NAME}`."
            )
        return file

    def _inputs(self, file: WorkflowFile, request: DeploymentRequest, target: GitHubActionsTarget) -> Mapping[str, str]:
        offered = {
            **_told(request),
            KEY_INPUT: request.key,
            "artifact": request.artifact,
            "environment": target.environment or request.target,
            "batch_percent": str(request.batch_percent),
            "healthy_percent": str(request.healthy_percent),
        }
        own = {**self._config.inputs, **target.inputs}
        if strange := sorted(set(own) - file.inputs):
            mend = nearest(strange[0], file.inputs, otherwise="it declares none")
            raise PermanentError(f"{self._config.workflow} does not take the input `{strange[0]}`; {mend}.")
        return {**{name: value for name, value in offered.items() if name in file.inputs}, **own}


@contextlib.contextmanager
def _never_refused() -> Iterator[None]:
    """Where a run may have begun, a refusal says nothing of it: it is asked again."""
    try:
        yield
    except PermanentError as error:
        raise TransientError(error.message, retry_after=timedelta(minutes=1)) from None


def _told(request: DeploymentRequest) -> dict[str, str]:
    return {
        "key": request.key,
        "service": request.service,
        "pipeline": request.pipeline,
        "stage": request.stage,
        "target": request.target,
        "version": request.version,
        "digest": request.digest,
        "is_rollback": "true" if request.is_rollback else "false",
    }


def _hold_same(record: Record, told: Mapping[str, str]) -> None:
    """Refuse a key that GitHub keeps for something else: the deployments of another Andon are none of ours."""
    if any(record.told.get(name) != told[name] for name in ("key", "target", "digest")):
        raise PermanentError(
            f"GitHub already has a deployment under the key {told['key']}, of another version or target. If Andon's "
            "database was begun anew, or two Andons share the repository, give this one a `namespace` of its own."
        )


def _ref(key: str, record: int, run: int, url: str) -> DeploymentRef:
    return DeploymentRef(key=key, value=f"{record}/{run}", url=url)


def _parts(ref: DeploymentRef) -> tuple[int, int]:
    record, _, run = ref.value.partition("/")
    if not (record.isdecimal() and run.isdecimal()):
        raise PermanentError("This is not a reference of the deployer `github-actions`.")
    return int(record), int(run)


def _standing(judged: Judged, outcome: Outcome | None = None) -> DeploymentStatus:
    is_plain = judged.outcome is Outcome.RUNNING and judged.all
    return DeploymentStatus(
        outcome or judged.outcome,
        judged.words if is_plain or judged.outcome is Outcome.SUCCEEDED else judged.sentence,
        judged.done,
        judged.all,
        judged.output,
        judged.waits,
    )
