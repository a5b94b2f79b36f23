"""How an object stands, judged as `kubectl rollout status` judges it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from lightkube.models.core_v1 import Container, PodTemplateSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment, StatefulSet
from lightkube.resources.core_v1 import Pod

from core.errors import PermanentError
from integrations.kubernetes.record import KEY

Workload = Deployment | StatefulSet


class Stand(StrEnum):
    """How far a roll-out is."""

    ROLLING = "rolling"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Standing:
    """How far it is, and a sentence for people."""

    stand: Stand
    words: str


def judged(workload: Workload) -> Standing:
    """What `kubectl rollout status` would say now."""
    if isinstance(workload, Deployment):
        return _deployment(workload)
    return _stateful_set(workload)


def _deployment(workload: Deployment) -> Standing:
    status, wanted = workload.status, replicas(workload)
    if status is None or is_unseen(workload):
        return Standing(Stand.ROLLING, "The cluster has not looked at the change yet.")
    for condition in status.conditions or []:
        if condition.type == "Progressing" and condition.reason == "ProgressDeadlineExceeded":
            return Standing(Stand.FAILED, "It did not get any further within its progress deadline")
    updated, available, present = status.updatedReplicas or 0, status.availableReplicas or 0, status.replicas or 0
    if updated < wanted:
        return Standing(Stand.ROLLING, f"{updated} of {wanted} pods are made from the new version.")
    if present > updated:
        return Standing(Stand.ROLLING, f"{present - updated} old pods wait for their end.")
    if available < updated:
        return Standing(Stand.ROLLING, f"{available} of {updated} new pods are available.")
    return Standing(Stand.DONE, f"{updated} pods run it.")


def _stateful_set(workload: StatefulSet) -> Standing:
    status, wanted = workload.status, replicas(workload)
    strategy = workload.spec.updateStrategy
    if strategy is not None and strategy.type == "OnDelete":
        return Standing(Stand.FAILED, "Its update strategy is OnDelete: pods are not replaced before somebody does it")
    if status is None or not status.observedGeneration or is_unseen(workload):
        return Standing(Stand.ROLLING, "The cluster has not looked at the change yet.")
    ready, updated = status.readyReplicas or 0, status.updatedReplicas or 0
    if ready < wanted:
        return Standing(Stand.ROLLING, f"{ready} of {wanted} pods are ready.")
    rolling = strategy.rollingUpdate if strategy is not None else None
    if rolling is not None and rolling.partition is not None:
        part = wanted - rolling.partition
        if updated < part:
            return Standing(Stand.ROLLING, f"{updated} of {part} pods are made from the new version.")
        return Standing(Stand.DONE, f"{updated} pods run it.")
    if status.updateRevision != status.currentRevision:
        return Standing(Stand.ROLLING, f"{updated} of {wanted} pods are made from the new version.")
    return Standing(Stand.DONE, f"{wanted} pods run it.")


def is_unseen(workload: Workload) -> bool:
    """Whether the cluster's controller has not looked at the last change."""
    seen = workload.status.observedGeneration if workload.status is not None else None
    return (meta(workload).generation or 0) > (seen or 0)


def replicas(workload: Workload) -> int:
    """How many pods there shall be."""
    return 1 if workload.spec.replicas is None else workload.spec.replicas


def meta(thing: Workload | Pod) -> ObjectMeta:
    """What every object of a cluster has."""
    assert thing.metadata is not None
    return thing.metadata


def template(workload: Workload) -> PodTemplateSpec:
    """What new pods are made from."""
    return workload.spec.template


def marks(workload: Workload) -> dict[str, str]:
    """The annotations of the pod template."""
    found = template(workload).metadata
    return dict((found.annotations if found is not None else None) or {})


def notes(thing: Workload | Pod) -> dict[str, str]:
    """The annotations of an object itself."""
    return dict(meta(thing).annotations or {})


def has_key(pod: Pod, key: str) -> bool:
    """Whether a pod was made by the deployment with this key."""
    return notes(pod).get(KEY) == key


def is_ready(pod: Pod) -> bool:
    """Whether a pod serves, and is not about to go."""
    conditions = (pod.status.conditions if pod.status is not None else None) or []
    is_going = meta(pod).deletionTimestamp is not None
    return not is_going and any(one.type == "Ready" and one.status == "True" for one in conditions)


@dataclass(frozen=True, slots=True)
class ContainerPath:
    """Where a container stands in the pod template: its list and its index there."""

    name: str
    path: str
    image: str


def containers(workload: Workload, name: str, also: Sequence[str], place: object) -> list[ContainerPath]:
    """The container of a target (the only one, where `name` is empty) and those that move with it.

    Raises PermanentError where one is not there.
    """
    spec = template(workload).spec
    assert spec is not None, "the API server takes no template without one"
    known = _paths(spec.containers, "containers")
    rest = _paths(spec.initContainers or [], "initContainers")
    if not name:
        if len(known) > 1:
            raise PermanentError(
                f"The pods of the {place} have the containers {_listed(known)}: name the one whose image is deployed, "
                "with `container:` in the target's `with:`."
            )
        name = known[0].name
    found = []
    for wanted, among in ((name, known), *((one, [*known, *rest]) for one in also)):
        hit = next((one for one in among if one.name == wanted), None)
        if hit is None:
            raise PermanentError(
                f"The pods of the {place} have no container `{wanted}`; there is {_listed(among)}: mend the target's "
                "`with:`."
            )
        found.append(hit)
    return found


def _paths(given: Sequence[Container], key: str) -> list[ContainerPath]:
    return [
        ContainerPath(one.name, f"/spec/template/spec/{key}/{index}", one.image or "")
        for index, one in enumerate(given)
    ]


def _listed(paths: Sequence[ContainerPath]) -> str:
    return ", ".join(f"`{one.name}`" for one in paths)
