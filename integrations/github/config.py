"""What `github-actions` and `github-workflow` are told in definition files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from core.errors import PermanentError
from core.releases.fields import Duration, Line, Shorthand, Url
from core.releases.problems import Problem, Strict, path_text, refusal, shown, validated
from integrations.command.placeholders import used
from integrations.github.access import Access, Variable

LEAST_POLL, LONGEST_POLL = timedelta(seconds=2), timedelta(minutes=5)
MOST_INPUTS = 25
"""GitHub takes no more for one run."""
OWN_INPUTS = (
    "andon_key", "service", "pipeline", "stage", "target", "version", "digest", "artifact", "environment",
    "is_rollback", "batch_percent", "healthy_percent",
)  # fmt: skip
"""What Andon gives to a workflow that declares it."""

_REPOSITORY = r"^[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}$"
_WORKFLOW = r"^[A-Za-z0-9_.-]{1,100}\.ya?ml$"


def _seldom(value: timedelta) -> timedelta:
    if not LEAST_POLL <= value <= LONGEST_POLL:
        raise refusal("GitHub is asked every 2 s to 5 min", "write `10s`")
    return value


def _environment(value: str) -> str:
    if not value.strip() or not value.isprintable() or len(value) > 255:
        raise refusal(f"`{shown(value)}` cannot be the name of an environment of GitHub", "write its name there")
    return value


def _inputs(value: dict[str, str]) -> dict[str, str]:
    taken = sorted(set(value) & set(OWN_INPUTS))
    if taken:
        raise refusal(f"`{taken[0]}` is given by Andon itself", "leave it out, or give your own input another name")
    return value


Inputs = Annotated[dict[Line, str], Field(max_length=MOST_INPUTS), AfterValidator(_inputs)]
Environment = Annotated[str, AfterValidator(_environment), WithJsonSchema({"type": "string", "maxLength": 255})]


class WorkflowAt(Access):
    """A workflow of a repository, and the branch or tag from which it is run."""

    repository: str = Field(pattern=_REPOSITORY, examples=["my-org/checkout"])
    workflow: str = Field(pattern=_WORKFLOW, examples=["deploy.yml"])
    ref: Line = "main"
    inputs: Inputs = Field(default_factory=dict)


class GitHubActionsConfig(WorkflowAt):
    """`with:` of the deployer `github-actions`.

    `records_ref` is what GitHub Deployments are made for: `{version}` and `{artifact}` are filled in; nothing: `ref`.
    """

    poll: Annotated[Duration, AfterValidator(_seldom)] = timedelta(seconds=10)
    start_within: Duration = timedelta(minutes=10)
    force_cancel_after: Duration = timedelta(minutes=5)
    records_ref: Line | None = Field(default=None, examples=["v{version}"])
    namespace: Line = "andon"
    others: Literal["drift", "ignore"] = "drift"
    """Whether a newer success that somebody else's deployment had in an environment is a change past Andon [27]."""


class Address(Shorthand):
    """An address that says what runs: one line, or `{"digest": …, "version": …}`; asked with a token if one is named.

    Only an address: a program would run on Andon's machine.
    """

    short_key = "url"

    url: Url = Field(examples=["https://checkout.example.com/version"])
    token_env: Variable | None = None
    timeout: Duration = timedelta(seconds=10)

    @model_validator(mode="after")
    def _known(self) -> Self:
        strange = [name for name in used(self.url) if name != "target"]
        if strange:
            raise refusal(f"`{{{shown(strange[0])}}}` is not known here", "only `{target}` is filled in")
        return self


class GitHubActionsTarget(Strict):
    """`with:` of a target: the environment GitHub shows it as (its own name, if nothing is said), and where it is.

    `running`: asked for what runs, instead of believing GitHub's deployments.
    """

    environment: Environment | None = None
    production: bool = False
    url: Url | None = None
    running: Address | None = None
    inputs: Inputs = Field(default_factory=dict)


class GitHubWorkflowSettings(WorkflowAt):
    """`with:` of the stage test `github-workflow`."""

    poll: Annotated[Duration, AfterValidator(_seldom)] = timedelta(seconds=10)


SettingsT = TypeVar("SettingsT", bound=Strict)


def settings_of(model: type[SettingsT], given: Mapping[str, Any], whose: str) -> SettingsT:
    """Settings as a value; raises PermanentError naming every wrong key and its mend."""
    value, problems = validated(model, dict(given))
    if value is None or problems:
        wrong = [
            f"{path_text(p.path) if p.path else 'with'}: {p.sentence}" + (f" ({p.mend})" if p.mend else "")
            for p in problems[:5]
        ]
        raise PermanentError(f"{whose} cannot use its settings: {'; '.join(wrong)}.")
    return value


def problems(settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """What is wrong with the settings of `github-actions` and of its targets, with paths from their place."""
    config, found = validated(GitHubActionsConfig, dict(settings))
    yield from (replace(problem, path=("with", *problem.path)) for problem in found)
    shared = 0 if config is None else len(config.inputs)
    for name, own in targets.items():
        target, found = validated(GitHubActionsTarget, dict(own))
        yield from (replace(problem, path=("targets", name, *problem.path)) for problem in found)
        # The key and the digest are always given as well.
        if target is not None and shared + len(target.inputs) + 2 > MOST_INPUTS:
            sentence = f"a run would be given more than the {MOST_INPUTS} inputs that GitHub takes"
            yield Problem(("targets", name), sentence, "give fewer `inputs`")
