"""Line by line what `kubectl rollout status` says of a Deployment and of a StatefulSet."""

from __future__ import annotations

from typing import Any

import pytest
from lightkube.resources.apps_v1 import Deployment, StatefulSet

from integrations.kubernetes.workload import Stand, judged
from tests.integrations.kubernetes.rig import workload

DONE: dict[str, Any] = {
    "observedGeneration": 4, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3,
}  # fmt: skip
LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
FINE = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}


def stand(kind: type[Deployment | StatefulSet], status: Any, **spec: Any) -> Stand:
    thing = workload(kind.__name__, **spec)
    thing["metadata"]["generation"] = 4
    if status is not None:
        thing["status"] = status
    return judged(kind.from_dict(thing)).stand  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, Stand.DONE),
        ({"conditions": [FINE]}, Stand.DONE),
        ({"observedGeneration": 3}, Stand.ROLLING),
        ({"observedGeneration": None}, Stand.ROLLING),
        ({"observedGeneration": 3, "conditions": [LATE]}, Stand.ROLLING),
        ({"conditions": [LATE]}, Stand.FAILED),
        ({"updatedReplicas": 2}, Stand.ROLLING),
        ({"updatedReplicas": None}, Stand.ROLLING),
        ({"replicas": 4}, Stand.ROLLING),
        ({"availableReplicas": 2}, Stand.ROLLING),
        ({"availableReplicas": None}, Stand.ROLLING),
    ],
)
def test_a_deployment(changes: dict[str, Any], wanted: Stand) -> None:
    status = {key: value for key, value in {**DONE, **changes}.items() if value is not None}
    assert stand(Deployment, status) is wanted


def test_a_deployment_nobody_has_looked_at() -> None:
    assert stand(Deployment, None) is Stand.ROLLING
    assert stand(StatefulSet, None) is Stand.ROLLING


@pytest.mark.parametrize(
    ("changes", "strategy", "wanted"),
    [
        ({}, {}, Stand.DONE),
        ({"observedGeneration": 3}, {}, Stand.ROLLING),
        ({"observedGeneration": 0}, {}, Stand.ROLLING),
        ({"readyReplicas": 2}, {}, Stand.ROLLING),
        ({"updateRevision": "b"}, {}, Stand.ROLLING),
        ({"updateRevision": "b"}, {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}, Stand.DONE),
        ({"updatedReplicas": 2}, {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}, Stand.ROLLING),
        ({"updatedReplicas": 1}, {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}, Stand.DONE),
        ({"updatedReplicas": 0}, {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}, Stand.ROLLING),
        ({}, {"type": "OnDelete"}, Stand.FAILED),
    ],
)
def test_a_stateful_set(changes: dict[str, Any], strategy: dict[str, Any], wanted: Stand) -> None:
    status = {**DONE, "currentRevision": "a", "updateRevision": "a", **changes}
    assert stand(StatefulSet, status, updateStrategy=strategy) is wanted
