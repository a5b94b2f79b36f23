"""What a definition says under `with:` of the deployer `webhook`, and everything that can be wrong with it offline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from core.releases.fields import Duration, Url
from core.releases.problems import Problem, Strict, refusal, shown, validated
from integrations.command import placeholders
from integrations.command.placeholders import OF_A_TARGET, VALUES
from integrations.environment import Lent

CALLBACK_PATH = "/api/deployments/callback"


def _origin(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise refusal(
            f"`{shown(value)}` is no origin",
            "write scheme and host, and the port if it is odd: `https://ci.example.com`",
        )
    return value.rstrip("/")


def _own_callback(value: str) -> str:
    if not urlsplit(value).path.endswith(CALLBACK_PATH):
        raise refusal(
            f"Andon is called back at `{CALLBACK_PATH}`",
            f"write Andon's own address with it: `https://…{CALLBACK_PATH}`",
        )
    return value


Origin = Annotated[Url, AfterValidator(_origin)]


class WebhookTarget(Strict):
    """The `with:` of one target: values for placeholders `{values.NAME}`, sent along as well."""

    values: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")], str] = Field(default_factory=dict)


class WebhookConfig(Strict):
    """The `with:` that targets have in common."""

    url: Url = Field(examples=["https://deploy.example.com/deployments"])
    """Asked to deploy by POST, and for what it was asked before by GET with `?key=…`."""
    running_url: Url = Field(examples=["https://deploy.example.com/running/{target}"])
    """Says what runs on a target."""
    secret_env: Lent = Field(examples=["DEPLOY_SECRET"])
    """The variable with the secret that requests, and callbacks, are signed with."""
    token_env: Lent | None = None
    """The variable with a token that is sent as a Bearer as well."""
    allow: list[Origin] = Field(default_factory=list, max_length=20)
    """Other origins that its answers may lead to."""
    callback: Annotated[Url, AfterValidator(_own_callback)] | None = None
    """Where it may call Andon back."""
    timeout: Duration = timedelta(seconds=10)
    """Of one request."""
    every: Duration = timedelta(seconds=2)
    """Between two looks at a deployment."""


def read(
    settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]
) -> tuple[WebhookConfig | None, dict[str, WebhookTarget], list[Problem]]:
    """The settings and those of each target; or what is wrong, with paths from the place of the deployer."""
    config, found = validated(WebhookConfig, dict(settings))
    wrong = [replace(problem, path=("with", *problem.path)) for problem in found]
    known: dict[str, WebhookTarget] = {}
    for name, own in targets.items():
        target, found = validated(WebhookTarget, dict(own))
        wrong += [replace(problem, path=("targets", name, *problem.path)) for problem in found]
        if target is not None:
            known[name] = target
    if config is not None and not wrong:
        wrong += _address_problems(config, known)
    return config, known, wrong


def _address_problems(config: WebhookConfig, targets: Mapping[str, WebhookTarget]) -> Iterator[Problem]:
    shared = set.intersection(*(set(target.values) for target in targets.values())) if targets else set()
    known = (*OF_A_TARGET, *(f"{VALUES}{name}" for name in sorted(shared)))
    yield from placeholders.unknown(config.running_url, known, ("with", "running_url"))
    if placeholders.used(config.url):
        yield Problem(("with", "url"), "this address is the same for all targets", "the target is told in the request")
    used = placeholders.used(urlsplit(config.running_url).netloc)
    if used:
        yield Problem(
            ("with", "running_url"), f"`{{{used[0]}}}` may not stand in the name of a host", "move it into the path"
        )
