"""GitHub Deployments: what GitHub's own pages show of Andon's work, and where Andon's intent is written down first.

A deployment is made before anything is run. Its `task` is made of our key, so that GitHub finds it for us, and its
payload says what it is. Status `queued` is written before a run is asked for: without it, surely none was.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.errors import TransientError
from integrations.github.client import Api
from integrations.intake import instant, line, link

MOST_WORDS = 140
"""GitHub takes no longer description."""
ENDED = ("success", "failure", "error", "inactive")
CANCELLING = "Andon asked for its end"
MOST_LOOKED = 20
"""Deployments of one environment looked through for the newest that succeeded."""
_RUN_URL = re.compile(r"/actions/runs/(\d+)(?:/|$)")


@dataclass(frozen=True, slots=True)
class Status:
    """One status of a deployment."""

    state: str
    words: str
    url: str
    at: datetime | None

    @property
    def run(self) -> int | None:
        """The run its link leads to."""
        found = _RUN_URL.search(self.url)
        return int(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class Record:
    """A deployment of GitHub's; `told` is what Andon wrote into it, empty where it is somebody else's."""

    id: int
    sha: str
    ref: str
    environment: str
    created_at: str
    told: Mapping[str, str]


class Records:
    """The deployments of one repository, asked over one connection."""

    def __init__(self, api: Api, repository: str) -> None:
        self._api, self._repository, self._base = api, repository, f"/repos/{repository}/deployments"

    async def find(self, task: str) -> Record | None:
        """The deployment with this task; the first one, should there be two."""
        found = await self._listed(task=task)
        return min(found, key=lambda record: record.id, default=None)

    async def make(self, task: str, ref: str, environment: str, told: Mapping[str, str], *, production: bool) -> Record:
        """Write down what is about to be done."""
        content = {
            "ref": ref,
            "task": task,
            "auto_merge": False,
            "required_contexts": [],
            "environment": environment,
            "production_environment": production,
            "description": line(f"{told['version']} to {told['target']}, by Andon", MOST_WORDS),
            "payload": {"release_id": told["key"], "andon": dict(told)},
        }
        made = await self._api.post(f"make a deployment of {ref} to {environment}", self._base, content)
        return _record(made)

    async def say(self, record: int, state: str, words: str, *, log: str = "", environment: str = "") -> None:
        """Add a status. `log` and `environment` are addresses."""
        content: dict[str, Any] = {"state": state, "description": line(words, MOST_WORDS)}
        if log:
            content["log_url"] = log
        if environment:
            content["environment_url"] = environment
        await self._api.post("note how a deployment stands", f"{self._base}/{record}/statuses", content)

    async def statuses(self, record: int) -> list[Status]:
        """What was said of it, newest first."""
        found = await self._api.items(
            "show the statuses of a deployment", f"{self._base}/{record}/statuses{{?per_page}}", per_page="100"
        )
        return [_status(one) for one in found]

    async def of(self, environment: str) -> list[Record]:
        """The deployments of an environment, newest first."""
        return await self._listed(environment=environment)

    async def _listed(self, **by: str) -> list[Record]:
        words = ",".join((*by, "per_page"))
        found = await self._api.items(
            f"list the deployments of {self._repository}",
            f"{self._base}{{?{words}}}",
            most=MOST_LOOKED,
            per_page=str(MOST_LOOKED),
            **by,
        )
        return [_record(one) for one in found]


def task_of(namespace: str, key: str) -> str:
    """The task under which GitHub keeps the deployment of a key."""
    return f"andon:{hashlib.sha256(json.dumps([namespace, key]).encode()).hexdigest()[:20]}"


def begun(statuses: Sequence[Status]) -> tuple[int, str] | None:
    """The run that was begun for a deployment and its address, as they were first written down."""
    return next(((status.run, status.url) for status in reversed(statuses) if status.run is not None), None)


def ended(statuses: Sequence[Status]) -> str:
    """The state in which it ended, as it was first written down after its last beginning; empty while it has not."""
    # `inactive` is also what GitHub makes of an old success by itself.
    found = ""
    for status in statuses:
        if status.state not in ENDED:
            break
        found = status.state
    return found


def asked_at(statuses: Sequence[Status]) -> datetime | None:
    """When a run was last about to be asked for."""
    return next((status.at for status in statuses if status.state == "queued"), None)


def cancelled_at(statuses: Sequence[Status]) -> datetime | None:
    """When Andon first asked for its end."""
    return next((status.at for status in reversed(statuses) if status.words == CANCELLING), None)


def _record(shown: Any) -> Record:
    try:
        payload = shown.get("payload")
        if isinstance(payload, str):
            payload = json.loads(payload or "{}")
        told = payload.get("andon", {}) if isinstance(payload, Mapping) else {}
        return Record(
            id=int(shown["id"]),
            sha=str(shown.get("sha") or ""),
            ref=line(shown.get("ref"), 100),
            environment=str(shown.get("environment") or ""),
            created_at=str(shown["created_at"]),
            told={str(key): str(value) for key, value in told.items()} if isinstance(told, Mapping) else {},
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise TransientError("GitHub's answer about a deployment was not understood.") from None


def _status(shown: Any) -> Status:
    try:
        return Status(
            state=str(shown["state"]),
            words=str(shown.get("description") or ""),
            url=link(shown.get("log_url") or shown.get("target_url")),
            at=instant(shown.get("created_at")),
        )
    except (KeyError, TypeError, AttributeError):
        raise TransientError("GitHub's answer about a deployment was not understood.") from None
