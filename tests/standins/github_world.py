"""What GitHub would keep of one repository: workflows, their runs, deployments with statuses; moved on by looks.

A run follows its `Play`: one step further whenever somebody looks at it. Nothing sleeps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

STATES = ("queued", "requested", "waiting", "pending", "in_progress", "completed")
CONCLUSIONS = ("success", "failure", "neutral", "cancelled", "skipped", "timed_out", "action_required", "stale")
STEPS = ("Set up job", "Fetch the artifact", "Apply", "Complete job")

WORKFLOW = """\
name: Deploy
run-name: Deploy ${{ inputs.version }} to ${{ inputs.target }} [${{ inputs.andon_key }}]
on:
  workflow_dispatch:
    inputs:
      andon_key: {required: true, type: string}
      version: {required: true, type: string}
      digest: {required: true, type: string}
      target: {required: true, type: string}
      is_rollback: {required: false, type: boolean, default: false}
jobs:
  deploy:
    runs-on: ubuntu-latest
    steps:
      - run: ./deploy
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """How a run goes: a state for each look, then its conclusion. `is_deaf` ends it only by force."""

    steps: tuple[str, ...] = ("queued", "in_progress")
    conclusion: str = "success"
    is_endless: bool = False
    is_deaf: bool = False
    failed_step: str = "Apply"
    log: str = "2026-03-02T12:00:01.0000000Z connecting\n2026-03-02T12:00:02.0000000Z ##[error]no database\n"


@dataclass(slots=True)
class Run:
    """A run of a workflow."""

    id: int
    workflow: str
    inputs: Mapping[str, str]
    title: str
    head_branch: str
    created_at: datetime
    play: Play
    looks: int = 0
    attempt: int = 1
    status: str = "queued"
    conclusion: str | None = None
    is_cancelling: bool = False
    unlisted: int = 0
    """How many lists do not show it yet."""

    def look(self) -> None:
        """One step further."""
        if self.status == "completed":
            return
        if self.is_cancelling:
            self.status, self.conclusion = "completed", "cancelled"
        elif self.looks < len(self.play.steps):
            self.status = self.play.steps[self.looks]
            self.looks += 1
        elif not self.play.is_endless:
            self.status, self.conclusion = "completed", self.play.conclusion


@dataclass(slots=True)
class Deployment:
    """A GitHub Deployment, its statuses oldest first."""

    id: int
    given: Mapping[str, Any]
    sha: str
    created_at: datetime
    statuses: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Repository:
    """`octo/shop`, as GitHub keeps it."""

    base: str = ""
    workflows: dict[str, str] = field(default_factory=lambda: {"deploy.yml": WORKFLOW})
    refs: dict[str, str] = field(default_factory=lambda: {"main": "f95f852bd8fca8fcc58a9a2d6c842781e32a215e"})
    play: Callable[[Mapping[str, str]], Play] = lambda inputs: Play()
    runs: dict[int, Run] = field(default_factory=dict)
    deployments: dict[int, Deployment] = field(default_factory=dict)
    now: datetime = datetime(2026, 3, 2, 12, tzinfo=UTC)
    lag: int = 0
    _last: int = 21_000_000_000

    def tick(self, by: timedelta = timedelta(seconds=1)) -> datetime:
        """GitHub's clock goes on."""
        self.now += by
        return self.now

    def number(self) -> int:
        """An id nobody else has."""
        self._last += 7
        return self._last

    def inputs_of(self, workflow: str) -> dict[str, dict[str, Any]]:
        """The inputs that a workflow declares."""
        document = yaml.load(self.workflows[workflow], Loader=yaml.BaseLoader)
        declared: dict[str, dict[str, Any]] = document["on"]["workflow_dispatch"].get("inputs", {})
        return declared

    def dispatch(self, workflow: str, ref: str, inputs: Mapping[str, str]) -> Run:
        """Begin a run."""
        document = yaml.load(self.workflows[workflow], Loader=yaml.BaseLoader)
        title = re.sub(
            r"\$\{\{\s*inputs\.(\w+)\s*\}\}",
            lambda found: inputs.get(found[1], ""),
            document.get("run-name", document.get("name", workflow)),
        )
        run = Run(self.number(), workflow, dict(inputs), title, ref, self.now, self.play(inputs), unlisted=self.lag)
        self.runs[run.id] = run
        return run

    def rerun(self, run_id: int, play: Play) -> None:
        """A person presses "Re-run all jobs"."""
        run = self.runs[run_id]
        run.attempt, run.play, run.looks = run.attempt + 1, play, 0
        run.status, run.conclusion, run.is_cancelling = "queued", None, False

    def deploy(self, given: Mapping[str, Any]) -> Deployment:
        """Keep a deployment."""
        made = Deployment(self.number(), dict(given), self.refs.get(given["ref"], given["ref"]), self.now)
        self.deployments[made.id] = made
        return made

    def say(self, made: Deployment, given: Mapping[str, Any]) -> dict[str, Any]:
        """Add a status; a success makes older ones of its environment inactive, where that is not production."""
        status = self._status(made, given)
        if given["state"] == "success" and given.get("auto_inactive", True):
            for other in self.deployments.values():
                is_older = other.id < made.id and other.given.get("environment") == made.given.get("environment")
                newest = other.statuses[-1]["state"] if other.statuses else ""
                if is_older and newest == "success" and not other.given.get("production_environment"):
                    self._status(other, {"state": "inactive"})
        return status

    def _status(self, made: Deployment, given: Mapping[str, Any]) -> dict[str, Any]:
        own = self.number()
        status = {
            "url": f"{self.base}/repos/octo/shop/deployments/{made.id}/statuses/{own}",
            "id": own,
            "state": given["state"],
            "description": given.get("description", ""),
            "environment": given.get("environment", made.given.get("environment", "production")),
            "target_url": given.get("log_url", ""),
            "log_url": given.get("log_url", ""),
            "environment_url": given.get("environment_url", ""),
            "created_at": stamp(self.now),
            "updated_at": stamp(self.now),
            "deployment_url": f"{self.base}/repos/octo/shop/deployments/{made.id}",
        }
        made.statuses.append(status)
        return status

    # ---- as GitHub shows them ---------------------------------------------------------------------------------------

    def run_shown(self, run: Run) -> dict[str, Any]:
        """A workflow run."""
        url = f"{self.base}/repos/octo/shop/actions/runs/{run.id}"
        return {
            "id": run.id,
            "name": "Deploy",
            "path": f".github/workflows/{run.workflow}",
            "display_title": run.title,
            "run_number": 42,
            "run_attempt": run.attempt,
            "event": "workflow_dispatch",
            "status": run.status,
            "conclusion": run.conclusion,
            "head_branch": run.head_branch,
            "head_sha": self.refs.get(run.head_branch, ""),
            "created_at": stamp(run.created_at),
            "updated_at": stamp(self.now),
            "url": url,
            "html_url": f"https://github.example/octo/shop/actions/runs/{run.id}",
            "jobs_url": f"{url}/jobs",
            "actor": {"login": "andon[bot]", "id": 5, "type": "Bot"},
            "triggering_actor": {"login": "andon[bot]" if run.attempt == 1 else "ann", "id": 6, "type": "User"},
            "pull_requests": [],
        }

    def job_shown(self, run: Run) -> dict[str, Any]:
        """The one job of a run."""
        is_over = run.status == "completed"
        steps = []
        for number, name in enumerate(STEPS, 1):
            conclusion = "success"
            if is_over and run.conclusion not in ("success", None):
                failed = STEPS.index(run.play.failed_step) + 1
                conclusion = "success" if number < failed else "failure" if number == failed else "skipped"
            status = "completed" if is_over or number < 3 else "in_progress" if number == 3 else "queued"
            steps.append(
                {
                    "name": name,
                    "number": number,
                    "status": status,
                    "conclusion": conclusion if status == "completed" else None,
                }
            )
        return {
            "id": run.id + 3,
            "run_id": run.id,
            "run_attempt": run.attempt,
            "name": "deploy",
            "workflow_name": "Deploy",
            "status": run.status,
            "conclusion": run.conclusion,
            "html_url": f"https://github.example/octo/shop/actions/runs/{run.id}/job/{run.id + 3}",
            "steps": steps,
        }

    def deployment_shown(self, made: Deployment) -> dict[str, Any]:
        """A deployment."""
        given, url = made.given, f"{self.base}/repos/octo/shop/deployments/{made.id}"
        return {
            "url": url,
            "id": made.id,
            "sha": made.sha,
            "ref": given["ref"],
            "task": given.get("task", "deploy"),
            "payload": given.get("payload", {}),
            "original_environment": given.get("environment", "production"),
            "environment": given.get("environment", "production"),
            "description": given.get("description"),
            "creator": {"login": "andon[bot]", "id": 5, "type": "Bot"},
            "created_at": stamp(made.created_at),
            "updated_at": stamp(made.created_at),
            "statuses_url": f"{url}/statuses",
            "transient_environment": given.get("transient_environment", False),
            "production_environment": given.get("production_environment", False),
        }


def stamp(at: datetime) -> str:
    """An instant as GitHub writes it."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
