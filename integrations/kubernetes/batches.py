"""`batch` and `healthy` of a pipeline, as the numbers by which Kubernetes replaces pods."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lightkube.resources.apps_v1 import Deployment, StatefulSet

from core.errors import PermanentError
from core.ports import DeploymentRequest
from integrations.kubernetes.config import Batches, Place
from integrations.kubernetes.workload import Workload, replicas

_QUARTER = "25%"
"""What Kubernetes takes where a Deployment says nothing."""


def strategy(
    workload: Workload, place: Place, request: DeploymentRequest, batches: Batches
) -> Mapping[str, Any] | None:
    """The `rollingUpdate` to write, or None where nothing is to be written.

    Raises PermanentError where the object's own way contradicts what the pipeline asks.
    """
    units = replicas(workload)
    most = max(1, units * request.batch_percent // 100)
    may_miss = units - math.ceil(units * request.healthy_percent / 100)
    if isinstance(workload, StatefulSet):
        _check_stateful_set(workload, place, request, most, may_miss)
        return None
    return _deployment(workload, place, request, batches, (most, may_miss))


def _deployment(
    workload: Deployment, place: Place, request: DeploymentRequest, batches: Batches, allowed: tuple[int, int]
) -> Mapping[str, Any] | None:
    own, (most, may_miss), units = workload.spec.strategy, allowed, replicas(workload)
    if own is not None and own.type == "Recreate":
        if request.batch_percent < 100 or request.healthy_percent > 0:
            raise PermanentError(
                f"The {place} has the strategy Recreate, which stops all pods at once, but its stage asks for batches "
                f"of {request.batch_percent} % with {request.healthy_percent} % healthy: change the strategy to "
                "RollingUpdate, or write `batch: {forward: 100, back: 100, healthy: 0}`."
            )
        return None
    rolling = own.rollingUpdate if own is not None else None
    surge = _count(rolling.maxSurge if rolling else None, units, math.ceil)
    missing = _count(rolling.maxUnavailable if rolling else None, units, math.floor)
    if batches == "check":
        if surge == 0 and missing == 0:
            missing = 1
        if surge + missing > most or missing > may_miss:
            raise PermanentError(
                f"The {place} replaces {surge + missing} of {units} pods at a time and lets {missing} be missing, but "
                f"its stage asks for {most} at a time with {may_miss} missing ({request.batch_percent} % and "
                f"{request.healthy_percent} % healthy): change maxSurge and maxUnavailable, or write `batches: set`."
            )
        return None
    if surge > 0:
        return {"maxSurge": most, "maxUnavailable": 0}
    if may_miss < 1:
        raise PermanentError(
            f"The {place} has maxSurge 0, so a pod stops before its successor starts, but {request.healthy_percent} % "
            f"of {units} leave none to miss: give it a maxSurge, or lower `healthy` of the stage's `batch`."
        )
    return {"maxSurge": 0, "maxUnavailable": min(most, may_miss)}


def _check_stateful_set(
    workload: StatefulSet, place: Place, request: DeploymentRequest, most: int, may_miss: int
) -> None:
    own, units = workload.spec.updateStrategy, replicas(workload)
    if own is not None and own.type == "OnDelete":
        raise PermanentError(
            f"The {place} has the update strategy OnDelete: its pods would keep what they run until somebody deletes "
            "them. Change it to RollingUpdate."
        )
    rolling = own.rollingUpdate if own is not None else None
    if rolling is not None and rolling.partition:
        raise PermanentError(
            f"The {place} has the partition {rolling.partition}, which keeps pods below it on the old version. Set "
            "it to 0; a one-box is a target and a stage of its own."
        )
    at_once = max(1, _count(rolling.maxUnavailable if rolling and rolling.maxUnavailable else 1, units, math.ceil))
    if at_once > most or at_once > may_miss:
        raise PermanentError(
            f"The {place} stops {at_once} of its {units} pods before it replaces them, but its stage asks for "
            f"{most} at a time with {may_miss} missing ({request.batch_percent} % and {request.healthy_percent} % "
            "healthy): lower `healthy` of the stage's `batch`, or add pods."
        )


def _count(value: int | str | None, units: int, rounded: Any) -> int:
    """A number or a share of the pods as a number of pods."""
    value = _QUARTER if value is None else value
    if isinstance(value, int):
        return value
    return int(rounded(units * int(value.rstrip("%") or 0) / 100))
