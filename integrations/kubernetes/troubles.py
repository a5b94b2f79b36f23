"""Why new pods do not come up, in sentences for people; values of environment variables are never among them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lightkube.models.core_v1 import ContainerState, ContainerStatus
from lightkube.resources.apps_v1 import Deployment, ReplicaSet
from lightkube.resources.core_v1 import Event, Pod

from core.releases.problems import shown
from integrations.kubernetes.workload import Workload, is_ready, meta

CRASHES = 3
"""Starts of one container after which it is not hoped for any more."""
LONGEST_SAID = 300
_NOT_THERE = re.compile(r"not found|manifest unknown|does not exist|name unknown|no such manifest", re.IGNORECASE)
_SECRET_NAME = re.compile(r"pass|secret|token|key|credential|auth|dsn|_url$", re.IGNORECASE)
_SHORTEST_SECRET = 4


@dataclass(frozen=True, slots=True)
class Trouble:
    """One reason. `is_hopeless` where waiting mends nothing; `container` has printed something if it is named."""

    sentence: str
    is_hopeless: bool = False
    pod: str = ""
    container: str = ""


def of_pods(pods: Sequence[Pod]) -> list[Trouble]:
    """What keeps pods from being ready, the hopeless first."""
    found = [trouble for pod in pods if not is_ready(pod) and not _is_going(pod) for trouble in _of_pod(pod)]
    return sorted(found, key=lambda trouble: (not trouble.is_hopeless, not trouble.container))


def of_creation(workload: Workload, sets: Sequence[ReplicaSet], events: Sequence[Event]) -> list[Trouble]:
    """What keeps pods from being made at all: a quota, a policy, a missing account."""
    said = [
        condition.message or ""
        for one in ([workload] if isinstance(workload, Deployment) else [])
        for condition in (one.status.conditions if one.status is not None else None) or []
        if condition.type == "ReplicaFailure" and condition.status == "True"
    ]
    if not said:
        said = [
            condition.message or ""
            for one in sets
            for condition in (one.status.conditions if one.status is not None else None) or []
            if condition.type == "ReplicaFailure" and condition.status == "True"
        ]
    said += [event.message or "" for event in events if event.reason == "FailedCreate"]
    return [Trouble(f"the cluster makes no new pods: {shown(words, LONGEST_SAID)}") for words in dict.fromkeys(said)][
        :1
    ]


def _of_pod(pod: Pod) -> Iterator[Trouble]:
    name, status = meta(pod).name or "", pod.status
    if status is None:
        return
    for condition in status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            words = shown(condition.message or condition.reason or "no reason was given", LONGEST_SAID)
            yield Trouble(f"no node takes the pod `{name}`: {words}", pod=name)
            return
    own = list(_of_containers(name, [*(status.initContainerStatuses or []), *(status.containerStatuses or [])]))
    yield from own
    if not own and any(one.state and one.state.running for one in status.containerStatuses or []):
        running = next(one for one in status.containerStatuses or [] if not one.ready)
        yield Trouble(f"the pod `{name}` runs, but does not say that it is ready", pod=name, container=running.name)


def _of_containers(pod: str, statuses: Sequence[ContainerStatus]) -> Iterator[Trouble]:
    for status in statuses:
        state = status.state or ContainerState()
        ended = state.terminated or (status.lastState.terminated if status.lastState is not None else None)
        reason = (state.waiting.reason or "") if state.waiting is not None else ""
        said = (state.waiting.message or "") if state.waiting is not None else ""
        words = shown(said, LONGEST_SAID)
        which = f"the container `{status.name}` of the pod `{pod}`"
        if reason in ("ImagePullBackOff", "ErrImagePull"):
            if _NOT_THERE.search(said):
                yield Trouble(f"the image {shown(status.image, 200)} does not exist: {words}", True, pod)
            else:
                yield Trouble(f"the image {shown(status.image, 200)} cannot be pulled: {words}", pod=pod)
        elif reason in ("InvalidImageName", "ErrImageNeverPull"):
            yield Trouble(f"the image {shown(status.image, 200)} cannot be pulled ({reason}): {words}", True, pod)
        elif ended is not None and (ended.exitCode != 0 or reason == "CrashLoopBackOff"):
            how = (
                "used more memory than its limit and was killed (OOMKilled)"
                if ended.reason == "OOMKilled"
                else f"ended with {ended.exitCode}"
            )
            times = f", {status.restartCount} times" if status.restartCount > 1 else ""
            yield Trouble(f"{which} {how}{times}", status.restartCount >= CRASHES, pod, status.name)
        elif reason not in ("", "ContainerCreating", "PodInitializing"):
            yield Trouble(f"{which} cannot start ({reason}): {words}", pod=pod)


def without_secrets(output: str, pod: Pod) -> str:
    """What a container printed, without the values of its environment that are named as secrets are."""
    spec = pod.spec
    for container in [*(spec.initContainers or []), *spec.containers] if spec is not None else []:
        for variable in container.env or []:
            value = variable.value or ""
            if len(value) >= _SHORTEST_SECRET and _SECRET_NAME.search(variable.name):
                output = output.replace(value, "…")
    return output


def _is_going(pod: Pod) -> bool:
    return meta(pod).deletionTimestamp is not None
