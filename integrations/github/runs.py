"""Runs of a workflow: begun, found again by our key in their titles, judged, cancelled."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import TransientError
from core.ports import Outcome
from integrations.github.client import Api, Refused
from integrations.intake import clean, line, link

MOST_SEARCHED = 300
"""Runs looked through for our key: those begun since it was asked for."""
BAD = ("failure", "timed_out", "startup_failure")
LOG_KEPT = 8_000
_STAMP = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z ", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run as GitHub shows it. `attempt` is above 1 where a person ran it again."""

    id: int
    attempt: int
    status: str
    conclusion: str
    url: str
    title: str
    created_at: str

    @property
    def is_over(self) -> bool:
        """Whether it has ended, for now: a person may run it again."""
        return self.status == "completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a run comes to: words for people, where they can look, and the end of what it printed where it failed."""

    outcome: Outcome
    words: str
    url: str
    output: str = ""
    done: int = 0
    all: int = 0
    waits: bool = False

    @property
    def sentence(self) -> str:
        """The words with the link."""
        return f"{self.words}: {self.url}" if self.url else self.words


class Runs:
    """The runs of one workflow of one repository, asked over one connection."""

    def __init__(self, api: Api, repository: str, workflow: str) -> None:
        self._api, self._repository, self._workflow = api, repository, workflow
        self._base = f"/repos/{repository}/actions"

    async def begin(self, ref: str, inputs: Mapping[str, str]) -> tuple[int, str] | None:
        """Dispatch the workflow; the id and address of the run, or None from servers that do not tell it.

        Raises Refused where nothing was begun, TransientError where nobody can tell.
        """
        what, path = f"run {self._workflow}", f"{self._base}/workflows/{self._workflow}/dispatches"
        content = {"ref": ref, "inputs": dict(inputs)}
        try:
            answer = await self._api.post(what, path, {**content, "return_run_details": True})
        except Refused as error:
            if error.status != 422 or "return_run_details" not in error.words:
                raise
            # An older GitHub Enterprise Server, which does not know the word and has begun nothing.
            answer = await self._api.post(what, path, content)
        found = answer.get("workflow_run_id") if isinstance(answer, Mapping) else None
        return (found, link(answer.get("html_url"))) if isinstance(found, int) else None

    async def find(self, key: str, since: str) -> Run | None:
        """The run whose title carries the key, among those dispatched since an instant of GitHub's clock."""
        listed = await self._api.items(
            f"list the runs of {self._workflow}",
            f"{self._base}/workflows/{self._workflow}/runs{{?event,created,per_page}}",
            key="workflow_runs",
            most=MOST_SEARCHED,
            event="workflow_dispatch",
            created=f">={since}",
            per_page="100",
        )
        exactly = re.compile(rf"(?<![\w:./-]){re.escape(key)}(?![\w:./-])")
        mine = [run for run in map(_run, listed) if exactly.search(run.title)]
        return min(mine, key=lambda run: run.id, default=None)

    async def look(self, run_id: int) -> Run:
        """The run as it stands."""
        return _run(await self._api.get(f"show run {run_id} of {self._workflow}", f"{self._base}/runs/{run_id}"))

    async def cancel(self, run_id: int, *, by_force: bool = False) -> None:
        """Ask it to stop; no error where it is over."""
        how = "force-cancel" if by_force else "cancel"
        try:
            await self._api.post(f"cancel run {run_id}", f"{self._base}/runs/{run_id}/{how}", {})
        except Refused as error:
            if error.status != 409:
                raise

    async def judge(self, run: Run) -> Judged:
        """What it comes to, asking for what explains it."""
        if run.is_over:
            return await self._ended(run)
        outcome = Outcome.RUNNING
        match run.status:
            case "in_progress":
                return await self._under_way(run)
            case "waiting":
                words = await self._whom_it_waits_for(run)
            case "pending":
                words = "it waits on GitHub behind another run of its concurrency group"
            case "queued" | "requested":
                words = "it waits on GitHub for a runner"
            case other:
                outcome, words = Outcome.UNKNOWN, f"GitHub calls it {line(other, 40) or 'nothing'}"
        return Judged(outcome=outcome, words=words, url=run.url, waits=run.status == "waiting")

    async def _under_way(self, run: Run) -> Judged:
        jobs = await self._jobs(run)
        again = f"attempt {run.attempt}, " if run.attempt > 1 else ""
        at = next(
            (
                f"{line(job.get('name'), 60)}: {line(step.get('name'), 80)}"
                for job in jobs
                for step in job.get("steps") or []
                if step.get("status") == "in_progress"
            ),
            "it runs on GitHub",
        )
        done = sum(1 for job in jobs if job.get("status") == "completed")
        return Judged(outcome=Outcome.RUNNING, words=f"{again}{at}", url=run.url, done=done, all=len(jobs))

    async def _ended(self, run: Run) -> Judged:
        match run.conclusion:
            case "success":
                outcome, words = Outcome.SUCCEEDED, "the run on GitHub succeeded"
            case "cancelled":
                outcome, words = Outcome.CANCELLED, "the run was cancelled on GitHub"
            case "skipped":
                outcome, words = Outcome.FAILED, "GitHub skipped every job of the run"
            case "stale":
                outcome, words = Outcome.FAILED, "GitHub gave the run up, because it never began"
            case "action_required":
                outcome, words = Outcome.UNKNOWN, "GitHub wants somebody to allow the run"
            case conclusion if conclusion in BAD:
                return await self._failed(run)
            case other:
                said = line(other, 40) or "over"
                outcome, words = Outcome.UNKNOWN, f"GitHub calls the run {said}, which says neither well nor badly"
        return Judged(outcome=outcome, words=words, url=run.url)

    async def _failed(self, run: Run) -> Judged:
        """The first job that went wrong, its step, and the end of what it printed."""
        job: Mapping[str, Any] = next((job for job in await self._jobs(run) if job.get("conclusion") in BAD), {})
        how = {"timed_out": "ran out of time", "startup_failure": "could not begin"}.get(run.conclusion, "failed")
        if not job:
            return Judged(outcome=Outcome.FAILED, words=f"the run {how} on GitHub", url=run.url)
        step = next((step for step in job.get("steps") or [] if step.get("conclusion") in BAD), None)
        where = f" at step “{line(step.get('name'), 80)}”" if step is not None else ""
        return Judged(
            outcome=Outcome.FAILED,
            words=f"the job “{line(job.get('name'), 60)}” {how}{where}",
            url=link(job.get("html_url")) or run.url,
            output=await self._log(job),
        )

    async def _jobs(self, run: Run) -> list[Mapping[str, Any]]:
        found = await self._api.items(
            f"list the jobs of run {run.id}",
            f"{self._base}/runs/{run.id}/attempts/{run.attempt}/jobs{{?per_page}}",
            key="jobs",
            per_page="100",
        )
        return [job for job in found if isinstance(job, Mapping)]

    async def _log(self, job: Mapping[str, Any]) -> str:
        """The end of a job's log, in which GitHub has hidden its secrets; nothing where it cannot be had."""
        try:
            text = await self._api.get(f"show a log of {self._workflow}", f"{self._base}/jobs/{int(job['id'])}/logs")
        except (Refused, TransientError, KeyError, ValueError):
            return ""
        return clean(_STAMP.sub("", text)[-LOG_KEPT:], LOG_KEPT) if isinstance(text, str) else ""

    async def _whom_it_waits_for(self, run: Run) -> str:
        waits = await self._api.get(
            f"say what run {run.id} waits for", f"{self._base}/runs/{run.id}/pending_deployments"
        )
        for wait in waits if isinstance(waits, list) else []:
            environment = line((wait.get("environment") or {}).get("name"), 80)
            reviewers = [
                line(who.get("login") or who.get("name"), 60)
                for entry in wait.get("reviewers") or []
                for who in [entry.get("reviewer") or {}]
            ]
            by = f" by {' or '.join(reviewers[:5])}" if reviewers else ""
            return f"it waits on GitHub for approval{by}, because the environment {environment} is protected"
        return "it waits on GitHub for a rule of its environment"


def _run(shown: Any) -> Run:
    """A run, of which only what is needed is read; raises TransientError where that is not there."""
    try:
        return Run(
            id=int(shown["id"]),
            attempt=int(shown.get("run_attempt") or 1),
            status=str(shown["status"]),
            conclusion=str(shown.get("conclusion") or ""),
            url=link(shown.get("html_url")),
            title=str(shown.get("display_title") or shown.get("name") or ""),
            created_at=str(shown.get("created_at") or ""),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise TransientError("GitHub's answer about a run was not understood.") from None
