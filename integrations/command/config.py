"""What a definition says under `with:` of the deployer `command`, and everything that can be wrong with it offline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from core.releases.fields import Duration, Statuses, Url
from core.releases.problems import Path, Problem, Strict, refusal, shown, validated
from integrations.command import placeholders
from integrations.command.placeholders import OF_A_DEPLOYMENT, OF_A_TARGET, VALUES
from integrations.environment import Lent, Variable

MOST_ARGUMENTS = 200


def _absolute(value: str) -> str:
    if not PurePath(value).is_absolute() or "\0" in value:
        raise refusal(f"`{shown(value)}` is no absolute path", "write the whole path, beginning with `/`")
    return value


AbsolutePath = Annotated[str, AfterValidator(_absolute)]
Arguments = Annotated[list[str], Field(min_length=1, max_length=MOST_ARGUMENTS)]
Environment = Annotated[dict[Variable, str], Field(max_length=200)]


class Probe(Strict):
    """A question to a program (`run`) or an address (`url`); a list is short for the one, an address for the other."""

    run: Arguments | None = None
    url: Url | None = None
    token_env: Lent | None = None
    """The variable with a token that an address is asked with, as a Bearer."""
    timeout: Duration = timedelta(seconds=10)

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: object) -> object:
        if isinstance(value, list):
            return {"run": value}
        return {"url": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_one(self) -> Probe:
        if (self.run is None) == (self.url is None):
            raise refusal("a probe asks a program or an address", "write `run: […]` or `url: https://…`")
        if self.token_env is not None and self.url is None:
            raise refusal("`token_env` goes with an address", "name the variable in `env_from` for a program")
        return self

    def problems(self, known: tuple[str, ...], path: Path) -> Iterator[Problem]:
        """What is wrong with its placeholders."""
        if self.run is not None:
            yield from placeholders.problems(self.run, known, (*path, "run"))
        else:
            # What people call a version has no place in an address; a digest is plain.
            safe = tuple(name for name in known if name not in placeholders.UNTRUSTED)
            yield from placeholders.unknown(self.url or "", safe, (*path, "url"))


class HealthProbe(Probe):
    """Asked after the program ended well: so many good answers one after the other, within so long."""

    expect_status: Statuses = "200-399"
    times: int = Field(default=1, ge=1, le=1000)
    within: Duration = timedelta(minutes=1)
    every: Duration = timedelta(seconds=1)


class CommandTarget(Strict):
    """The `with:` of one target: its own environment, and values for placeholders `{values.NAME}`."""

    env: Environment = Field(default_factory=dict, repr=False)
    values: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")], str] = Field(default_factory=dict)


class CommandConfig(Strict):
    """The `with:` that targets have in common."""

    state: AbsolutePath = Field(examples=["/var/lib/andon/commands"])
    """Directory of what was begun and what came of it; private to Andon's user."""
    run: Arguments = Field(examples=['[/srv/deploy/deploy.sh, "{target}", "{digest}"]'])
    rollback: Arguments | None = None
    """Run instead of `run` where a version goes back."""
    running: Probe | None = None
    health: HealthProbe | None = None
    env: Environment = Field(default_factory=dict, repr=False)
    env_from: list[Lent] = Field(default_factory=list, max_length=100)
    """Variables of Andon's own environment that the program gets; their values are hidden in what it prints."""
    cwd: AbsolutePath = "/"
    timeout: Duration | None = None
    """How long the program may take; without one, a little less than the stage's own timeout."""
    grace: Duration = timedelta(seconds=10)
    """Between asking it to end and killing it."""
    output: Literal["always", "failures"] = "always"
    """When what it printed is shown in the thread."""


def read(
    settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]
) -> tuple[CommandConfig | None, dict[str, CommandTarget], list[Problem]]:
    """The settings and those of each target; or what is wrong, with paths from the place of the deployer."""
    config, found = validated(CommandConfig, dict(settings))
    wrong = [replace(problem, path=("with", *problem.path)) for problem in found]
    known: dict[str, CommandTarget] = {}
    for name, own in targets.items():
        target, found = validated(CommandTarget, dict(own))
        wrong += [replace(problem, path=("targets", name, *problem.path)) for problem in found]
        if target is not None:
            known[name] = target
    if config is not None and not wrong:
        wrong += _placeholder_problems(config, known)
    return config, known, wrong


def _placeholder_problems(config: CommandConfig, targets: Mapping[str, CommandTarget]) -> Iterator[Problem]:
    # A value is there if every target has it.
    shared = set.intersection(*(set(target.values) for target in targets.values())) if targets else set()
    own = tuple(f"{VALUES}{name}" for name in sorted(shared))
    yield from placeholders.problems(config.run, (*OF_A_DEPLOYMENT, *own), ("with", "run"))
    if config.rollback is not None:
        yield from placeholders.problems(config.rollback, (*OF_A_DEPLOYMENT, *own), ("with", "rollback"))
    if config.running is not None:
        yield from config.running.problems((*OF_A_TARGET, *own), ("with", "running"))
    if config.health is not None:
        yield from config.health.problems((*OF_A_DEPLOYMENT, *own), ("with", "health"))
