"""What an operator may set: the cluster and how to enter it, and for each target the object that is changed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from core.errors import PermanentError
from core.releases.fields import Duration, Line
from core.releases.problems import Problem, Strict, path_text, refusal, shown, validated
from integrations.kubernetes.images import is_repository

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST_NAME, _LONGEST_LABEL = 253, 63


def _object_name(value: str) -> str:
    if not _NAME.fullmatch(value) or len(value) > _LONGEST_NAME:
        raise refusal(
            f"`{shown(value)}` is no name of a Kubernetes object",
            "write it as `kubectl get` shows it: small letters, digits and dashes",
        )
    return value


def _label(value: str) -> str:
    if not _NAME.fullmatch(value) or "." in value or len(value) > _LONGEST_LABEL:
        raise refusal(
            f"`{shown(value)}` is no name of a namespace or container",
            "small letters, digits and dashes, at most 63 of them",
        )
    return value


def _repository(value: str) -> str:
    if not is_repository(value):
        raise refusal(
            f"`{shown(value)}` is no image repository",
            "write it without tag and digest: `registry.example.com/shop/checkout`",
        )
    return value


ObjectName = Annotated[str, AfterValidator(_object_name)]
Label = Annotated[str, AfterValidator(_label)]
Repository = Annotated[str, AfterValidator(_repository)]
Kind = Literal["Deployment", "StatefulSet"]
Helm = Literal["refuse", "adopt"]
Batches = Literal["set", "check"]


class KubernetesConfig(Strict):
    """The `with:` that all targets of one cluster have in common."""

    kubeconfig: Line | None = None
    """A kubeconfig file; without it, the service account of the pod that Andon runs in."""
    context: Line | None = None
    """A context of that file; without it, its current one."""
    namespace: Label | None = None
    image: Repository | None = None
    """Where images are pulled from; without it, the repository that the announcement names."""
    helm: Helm = "refuse"
    """Whether objects that a Helm release made may be changed past Helm."""
    batches: Batches = "set"
    """Whether `batch` and `healthy` are written to a Deployment's strategy, or its own is checked against them."""
    patience: Duration = timedelta(minutes=10)
    """How long a StatefulSet may make no progress; a Deployment has its own progressDeadlineSeconds."""
    timeout: Duration = timedelta(seconds=10)
    """For each question to the API server."""


class KubernetesTarget(Strict):
    """The `with:` of one target: which object of which namespace, and which of its containers."""

    kind: Kind = "Deployment"
    name: ObjectName | None = None
    """The object's name; without it, the target's."""
    namespace: Label | None = None
    container: Label | None = None
    """The container whose image is the artifact; needed where a pod has several."""
    same_image: list[Label] = Field(default_factory=list)
    """Other containers, also init containers, that run the same image and move with it."""
    image: Repository | None = None
    helm: Helm | None = None
    batches: Batches | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """One object of the cluster."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} `{self.name}` in the namespace `{self.namespace}`"


@dataclass(frozen=True, slots=True)
class Target:
    """One target with everything that it shares filled in. `container` is empty where the pod's only one is meant."""

    place: Place
    container: str
    same_image: tuple[str, ...]
    image: str
    helm: Helm
    batches: Batches


def problems(settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """What is wrong with a definition's settings, found without a cluster."""
    config, wrong = validated(KubernetesConfig, dict(settings))
    yield from (replace(problem, path=("with", *problem.path)) for problem in wrong)
    if config is not None and config.context and not config.kubeconfig:
        yield Problem(
            ("with", "context"),
            "a context is one of a kubeconfig file, and none is named",
            "add `kubeconfig: /etc/andon/kubeconfig`, or leave the context out inside the cluster",
        )
    known: dict[Place, str] = {}
    for name, own in targets.items():
        target, wrong = validated(KubernetesTarget, dict(own))
        yield from (replace(problem, path=("targets", name, *problem.path)) for problem in wrong)
        if config is None or target is None or wrong:
            continue
        if not (target.namespace or config.namespace):
            yield Problem(
                ("targets", name), f"target `{name}` has no namespace", "add `namespace:` to it, or to the deployer"
            )
            continue
        place = filled(name, config, target).place
        if place in known:
            yield Problem(
                ("targets", name),
                f"`{name}` and `{known[place]}` are both the {place}",
                "a target is an object of its own: give one of them another `name:`",
            )
        known[place] = name


def filled(name: str, config: KubernetesConfig, target: KubernetesTarget) -> Target:
    """A target with what it leaves to the deployer's settings."""
    return Target(
        place=Place(target.kind, target.namespace or config.namespace or "", target.name or name),
        container=target.container or "",
        same_image=tuple(target.same_image),
        image=target.image or config.image or "",
        helm=target.helm or config.helm,
        batches=target.batches or config.batches,
    )


def read(
    settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]
) -> tuple[KubernetesConfig, dict[str, Target]]:
    """Settings that can be used; raises PermanentError naming what is wrong."""
    found = "; ".join(f"{path_text(problem.path)}: {problem.sentence}" for problem in problems(settings, targets))
    if found:
        raise PermanentError(f"The deployer kubernetes cannot use its settings: {found}.")
    config = KubernetesConfig.model_validate(settings)
    return config, {name: filled(name, config, KubernetesTarget.model_validate(own)) for name, own in targets.items()}
