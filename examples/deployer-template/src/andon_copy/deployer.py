"""The deployer `copy`: a target is a directory, an artifact is a file, and deployed is what was copied there whole.

The outside world is a directory: `deployments/` holds one record for each key, `targets/` what each target runs. All
that a client must know is there, so that any client can go on where another one died.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from core.errors import ArtifactMissing, PermanentError, TransientError
from core.ports import DeploymentRef, DeploymentRequest, DeploymentStatus, Outcome, RunningVersion

STEPS = 2
"""Looks that a deployment takes here; yours takes what it takes."""


class CopyDeployer:
    """Copies artifacts for all targets of one directory."""

    def __init__(self, directory: Path, *, timeout: float = 10.0) -> None:
        """`timeout` in seconds is for one question to the outside world."""
        self._directory, self._timeout = directory, timeout

    def __repr__(self) -> str:
        return f"CopyDeployer({self._directory.name})"

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]) -> CopyDeployer:
        """Build it from a definition's `with:`; raises PermanentError with a sentence that names what is wrong."""
        for place, problem in cls.problems(settings, targets):
            raise PermanentError(f"The deployer copy cannot use its settings: {'.'.join(place)}: {problem}.")
        return cls(Path(settings["directory"]))

    @staticmethod
    def problems(
        settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]
    ) -> Iterator[tuple[tuple[str, ...], str]]:
        """What is wrong with settings, for `andon check`: places (`with`, … or `targets`, NAME, …) and sentences."""
        directory = settings.get("directory")
        if not isinstance(directory, str) or not Path(directory).is_absolute():
            yield ("with", "directory"), "this must be an absolute path"
        for name in sorted(settings.keys() - {"directory"}):
            yield ("with", name), "this is no setting of the deployer copy"
        for target, own in targets.items():
            for name in sorted(own):
                yield ("targets", target, name), "a target of the deployer copy has no settings"

    # ---- the port ---------------------------------------------------------------------------------------------------

    async def start(self, request: DeploymentRequest) -> DeploymentRef:
        """Begin, or return the deployment that has this key: the record of a key is made whole, and once."""
        await self._ask(self._begin, request)
        return DeploymentRef(request.key, _name(request.key))

    async def find(self, key: str) -> DeploymentRef | None:
        """What was begun under a key; None only if surely nothing was."""
        is_there = await self._ask(self._record(_name(key)).exists)
        return DeploymentRef(key, _name(key)) if is_there else None

    async def status(self, ref: DeploymentRef) -> DeploymentStatus:
        """How it stands; each look moves it on, since nobody else does it here."""
        told: DeploymentStatus = await self._ask(self._move, ref.value)
        return told

    async def cancel(self, ref: DeploymentRef) -> None:
        """Ask it to stop; `status` says when it has."""
        await self._ask(self._record(ref.value).with_suffix(".cancel").touch)

    async def running_version(self, target: str) -> RunningVersion:
        """What is really there, by the digest of its content."""
        return RunningVersion(*await self._ask(self._runs, target))

    # ---- the outside world, which blocks ----------------------------------------------------------------------------

    async def _ask(self, what: Any, *arguments: Any) -> Any:
        """One question; no answer in time is unknown, never failed."""
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.to_thread(what, *arguments)
        except TimeoutError:
            raise TransientError(f"The directory did not answer within {self._timeout:g} s.") from None
        except OSError as error:
            raise TransientError(f"The directory cannot be used now: {os.strerror(error.errno or 0)}.") from None

    def _begin(self, request: DeploymentRequest) -> None:
        record = self._record(_name(request.key))
        if record.exists():
            return
        try:
            content = Path(request.artifact).read_bytes()
        except FileNotFoundError:
            raise ArtifactMissing(f"There is no file for {request.version}.") from None
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != request.digest:
            raise PermanentError("The file is not what was announced: its digest is another.")
        _write(
            record,
            {
                "target": request.target,
                "version": request.version,
                "digest": request.digest,
                "artifact": request.artifact,
            },
        )

    def _move(self, name: str) -> DeploymentStatus:
        record = self._record(name)
        try:
            told = json.loads(record.read_text())
        except FileNotFoundError:
            raise PermanentError("Nothing is known of this deployment.") from None
        if "outcome" not in told:
            told["steps"] = told.get("steps", 0) + 1
            told |= self._step(told, is_cancelled=record.with_suffix(".cancel").exists())
            _write(record, told)
        outcome = Outcome(told.get("outcome", Outcome.RUNNING))
        return DeploymentStatus(outcome, told.get("message", ""), min(told["steps"], STEPS), STEPS)

    def _step(self, told: Mapping[str, Any], *, is_cancelled: bool) -> dict[str, str]:
        if is_cancelled:
            return {"outcome": Outcome.CANCELLED}
        content = Path(told["artifact"]).read_bytes()
        if content.startswith(b"wait") or told["steps"] < STEPS:
            return {}
        if content.startswith(b"bad"):
            return {"outcome": Outcome.FAILED, "message": "The file says of itself that it is bad."}
        place = self._directory / "targets" / _name(told["target"])
        _write(place, {"version": told["version"], "content": content.decode()})
        return {"outcome": Outcome.SUCCEEDED}

    def _runs(self, target: str) -> tuple[str | None, str | None]:
        try:
            there = json.loads((self._directory / "targets" / _name(target)).read_text())
        except FileNotFoundError:
            return None, None
        return f"sha256:{hashlib.sha256(there['content'].encode()).hexdigest()}", there["version"]

    def _record(self, name: str) -> Path:
        return self._directory / "deployments" / name


def _name(key: str) -> str:
    """A name for a file, whatever a key holds."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _write(path: Path, value: Mapping[str, Any]) -> None:
    """Whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(value))
    fresh.replace(path)
