"""The deployer `webhook`: a client of the receiver, without any memory of its own."""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from core.errors import NotAuthentic, PermanentError, TransientError
from core.ports import DeploymentRef, DeploymentRequest, DeploymentStatus, Outcome, RunningVersion
from core.releases.problems import path_text
from integrations.command.placeholders import VALUES, filled
from integrations.intake import clean, line, link
from integrations.webhook_deployer.client import MOST_READ, Receiver, Secrets, is_signed, spoken
from integrations.webhook_deployer.config import WebhookConfig, WebhookTarget, read

SHOWN = 500
LONGEST_NAME = 300
STATES = {
    "queued": Outcome.RUNNING,
    "running": Outcome.RUNNING,
    "succeeded": Outcome.SUCCEEDED,
    "failed": Outcome.FAILED,
    "cancelled": Outcome.CANCELLED,
    "unknown": Outcome.UNKNOWN,
}


class WebhookDeployer:
    """Deploys by asking a receiver; `environment` holds its secrets, `clock` gives aware instants."""

    def __init__(
        self,
        config: WebhookConfig,
        targets: Mapping[str, WebhookTarget],
        *,
        environment: Mapping[str, str] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Raise PermanentError where a secret is not there."""
        self._config, self._targets, self._clock = config, dict(targets), clock
        environment = os.environ if environment is None else environment
        for name in filter(None, (config.secret_env, config.token_env)):
            if not environment.get(name):
                raise PermanentError(f"The variable {name}, which the deployer webhook needs, is not set for Andon.")
        token = environment[config.token_env] if config.token_env is not None else ""
        self._secrets = Secrets(environment[config.secret_env], token)
        self._receiver = Receiver(config.url, tuple(config.allow), self._secrets, config.timeout, clock)
        self.poll_seconds = config.every.total_seconds()
        """How often a deployment may be looked at."""

    def __repr__(self) -> str:
        return f"WebhookDeployer({self._receiver})"

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]) -> WebhookDeployer:
        """Build it from a definition's `with:`; raises PermanentError naming what is wrong."""
        config, known, problems = read(settings, targets)
        if config is None or problems:
            said = "; ".join(
                f"{path_text(p.path)}: {p.sentence}{f' ({p.mend})' if p.mend else ''}" for p in problems[:5]
            )
            raise PermanentError(f"The deployer webhook cannot use its settings: {said}.")
        return cls(config, known)

    # ---- the port ---------------------------------------------------------------------------------------------------

    async def start(self, request: DeploymentRequest) -> DeploymentRef:
        """Ask for it; the receiver knows a repeat by its key.

        An answer that cannot be understood is TransientError: it may have begun, and is looked for by its key.
        """
        target = self._target(request.target)
        told: dict[str, Any] = {
            "kind": "rollback" if request.is_rollback else "deploy",
            "key": request.key,
            "service": request.service,
            "pipeline": request.pipeline,
            "stage": request.stage,
            "target": request.target,
            "values": dict(target.values),
            "version": request.version,
            "digest": request.digest,
            "artifact": request.artifact,
            "batch_percent": request.batch_percent,
            "healthy_percent": request.healthy_percent,
            "timeout_seconds": request.timeout.total_seconds(),
        }
        if self._config.callback is not None:
            told["callback"] = {"url": self._config.callback, "token": self._secrets.callback_token(request.key)}
        return self._ref(request.key, await self._receiver.post(self._config.url, told, request.key))

    async def find(self, key: str) -> DeploymentRef | None:
        """What the receiver was asked for under this key; 404 says that there is surely nothing."""
        joint = "&" if "?" in self._config.url else "?"
        url = f"{self._config.url}{joint}{urlencode({'key': key}, errors='replace', quote_via=quote)}"
        found = await self._receiver.get(url, may_miss=True)
        return None if found is None else self._ref(key, found)

    async def status(self, ref: DeploymentRef) -> DeploymentStatus:
        """What the receiver says; where it gave no `status_url`, its callback is waited for."""
        url = self._receiver.led_to(_places(ref)["status"], "status_url")
        if not url:
            return DeploymentStatus(Outcome.RUNNING, "It is waited for a callback.")
        found = await self._receiver.get(url)
        assert found is not None, "only a look by key may find nothing"
        return self._standing(ref.key, found)

    async def cancel(self, ref: DeploymentRef) -> None:
        """Ask it to stop; raises PermanentError where the receiver gave no `cancel_url`."""
        url = self._receiver.led_to(_places(ref)["cancel"], "cancel_url")
        if not url:
            raise PermanentError(f"{self._receiver} gave no `cancel_url`, so it cannot be cancelled from here.")
        await self._receiver.post(url, {"kind": "cancel", "key": ref.key}, f"{ref.key}/cancel")

    async def running_version(self, target: str) -> RunningVersion:
        """What the receiver says that a target runs."""
        own = self._target(target)
        values = {"target": target, **{f"{VALUES}{name}": value for name, value in own.values.items()}}
        url = filled(self._config.running_url, {name: quote(value, safe="") for name, value in values.items()})
        found = await self._receiver.get(url)
        assert found is not None, "only a look by key may find nothing"
        digest, version, is_mixed = found.get("digest"), found.get("version"), found.get("mixed", False)
        are_texts = all(each is None or (isinstance(each, str) and each.isprintable()) for each in (digest, version))
        if "digest" not in found or not are_texts or not isinstance(is_mixed, bool):
            raise TransientError(
                f"{self._receiver} must say what {target} runs: `digest` (null for nothing), `version` and `mixed`."
            )
        return RunningVersion(
            line(digest or "", LONGEST_NAME) or None, line(version or "", LONGEST_NAME) or None, is_mixed
        )

    # ---- called back ------------------------------------------------------------------------------------------------

    async def called_back(self, ref: DeploymentRef, headers: Mapping[str, str], body: bytes) -> DeploymentStatus:
        """How a deployment stands by a callback; raises NotAuthentic, or PermanentError where it is not understood.

        Where it can be asked, it is asked: the callback only says that there is something new.
        """
        reason = self._disbelief(ref.key, headers, body)
        if reason:
            raise NotAuthentic(f"This callback is not believed: {reason}.")
        if len(body) > MOST_READ:
            raise PermanentError(f"This callback is larger than {MOST_READ} bytes.")
        try:
            told = json.loads(body)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict) or told.get("key") != ref.key:
            raise PermanentError("A callback must be a JSON object with the `key` of its deployment.")
        if _places(ref)["status"]:
            return await self.status(ref)
        try:
            return self._standing(ref.key, spoken(told, "This callback"))
        except TransientError as error:
            raise PermanentError(error.message) from None

    def _disbelief(self, key: str, headers: Mapping[str, str], body: bytes) -> str:
        kind, _, token = headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer":
            is_its = hmac.compare_digest(token.strip().encode(), self._secrets.callback_token(key).encode())
            return "" if is_its else "its token is not the one of this deployment"
        if "X-Andon-Signature" in headers:
            return is_signed(self._secrets.key, headers, body, self._clock())
        return "it has neither a token nor a signature"

    # ---- understanding ----------------------------------------------------------------------------------------------

    def _target(self, name: str) -> WebhookTarget:
        if name not in self._targets:
            raise PermanentError(f"The definition gives the deployer webhook no target {line(name, 60)} any more.")
        return self._targets[name]

    def _ref(self, key: str, found: Mapping[str, Any]) -> DeploymentRef:
        told = found.get("key", key)
        if told != key:
            raise TransientError(f"{self._receiver} answered for another deployment than it was asked about.")
        places = {
            "status": self._receiver.led_to(found.get("status_url"), "status_url"),
            "cancel": self._receiver.led_to(found.get("cancel_url"), "cancel_url"),
        }
        if not places["status"] and self._config.callback is None:
            raise TransientError(
                f"{self._receiver} gave no `status_url`, and no `callback` is configured, so it cannot be followed."
            )
        return DeploymentRef(key, json.dumps(places, sort_keys=True), link(found.get("url")))

    def _standing(self, key: str, told: Mapping[str, Any]) -> DeploymentStatus:
        if told.get("key", key) != key:
            raise TransientError(f"{self._receiver} spoke of another deployment than it was asked about.")
        state = told.get("state")
        message = self._secrets.hidden(line(told.get("message", ""), SHOWN))
        if not isinstance(state, str) or state not in STATES:
            return DeploymentStatus(
                Outcome.UNKNOWN,
                f"{self._receiver} says `{line(state, 40) or '?'}`, which is none of {', '.join(STATES)}.",
            )
        outcome = STATES[state]
        if outcome is Outcome.FAILED and not message:
            message = "The receiver gave no reason."
        done, every = _count(told.get("done")), _count(told.get("all"))
        output = self._secrets.hidden(clean(told.get("output", ""), MOST_READ)) if outcome.is_final else ""
        return DeploymentStatus(outcome, message, min(done, every), every, output)


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1_000_000 else 0


def _places(ref: DeploymentRef) -> Mapping[str, str]:
    try:
        places = json.loads(ref.value)
        return {"status": str(places["status"]), "cancel": str(places["cancel"])}
    except (ValueError, KeyError, TypeError):
        raise PermanentError("This is not a reference of the deployer `webhook`.") from None
