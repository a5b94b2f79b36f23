"""What a cluster holds and does, one step each time somebody looks: controllers, and a node that starts containers.

Nothing here knows of Andon. Deployments and StatefulSets are rolled out by the rules of Kubernetes' own controllers
(surge and unavailable pods, revisions, ordinals, observed generations, the progress deadline), so many steps long.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.integrations.kubernetes.schemas import validate

Object = dict[str, Any]
NOW = "2026-01-02T03:04:05Z"
REVISION = "deployment.kubernetes.io/revision"


class Image(StrEnum):
    """What becomes of a container with it."""

    GOOD = "good"
    SLOW = "never ready"
    CRASHES = "crashes"
    HUNGRY = "uses too much memory"
    MISSING = "not in the registry"
    DENIED = "not to be pulled"
    UNCONFIGURED = "wants a secret that is not there"


@dataclass
class World:
    """Objects by kind, namespace and name; `images` says what is in the registry, by digest or tag."""

    objects: dict[tuple[str, str, str], Object] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    """What containers print, by digest or tag."""
    deadline: int = 12
    """Steps without progress after which a Deployment has exceeded its deadline."""
    quota: int | None = None
    """The most pods there may be."""
    is_full: bool = False
    """No node has room for another pod."""
    version: int = 1000
    _ages: dict[str, int] = field(default_factory=dict)
    _still: dict[str, tuple[Any, int]] = field(default_factory=dict)
    _templates: dict[str, Object] = field(default_factory=dict)
    """What a StatefulSet's revisions looked like."""

    # ---- objects ----------------------------------------------------------------------------------------------------

    def put(self, thing: Object) -> Object:
        """Create an object; returns it."""
        meta = thing["metadata"]
        self.version += 1
        meta.setdefault("uid", f"uid-{self.version}")
        meta.setdefault("creationTimestamp", NOW)
        meta["resourceVersion"] = str(self.version)
        if "spec" in thing and thing["kind"] != "Pod":
            meta.setdefault("generation", 1)
        validate(thing)
        self.objects[thing["kind"], meta["namespace"], meta["name"]] = thing
        return thing

    def touch(self, thing: Object) -> None:
        """An object changed."""
        self.version += 1
        thing["metadata"]["resourceVersion"] = str(self.version)

    def of(self, kind: str, owner: Object | None = None, namespace: str = "") -> list[Object]:
        """All of a kind; only those of one owner or namespace, if asked."""
        return [
            thing
            for (its_kind, its_namespace, _), thing in self.objects.items()
            if its_kind == kind
            and (not namespace or its_namespace == namespace)
            and (owner is None or owned_by(thing) == owner["metadata"]["uid"])
        ]

    def remove(self, thing: Object) -> None:
        """An object goes, and everything that it owns."""
        meta = thing["metadata"]
        self.objects.pop((thing["kind"], meta["namespace"], meta["name"]), None)
        for other in list(self.objects.values()):
            if owned_by(other) == meta["uid"]:
                self.remove(other)

    # ---- time -------------------------------------------------------------------------------------------------------

    def step(self, count: int = 1) -> None:
        """A moment passes: controllers look once, then the node."""
        for _ in range(count):
            for thing in self.of("Deployment"):
                self._deployment(thing)
            for thing in self.of("ReplicaSet"):
                self._replica_set(thing)
            for thing in self.of("StatefulSet"):
                self._stateful_set(thing)
            for pod in self.of("Pod"):
                self._pod(pod)

    # ---- Deployments ------------------------------------------------------------------------------------------------

    def _deployment(self, thing: Object) -> None:
        spec, wanted = thing["spec"], thing["spec"].get("replicas", 1)
        sets = self.of("ReplicaSet", thing)
        new = next((one for one in sets if _is_of(one, spec["template"])), None)
        if new is None:
            if spec.get("paused"):
                return self._deployment_status(thing, sets, None)
            new = self._new_set(thing, len(sets))
            self._still.pop(thing["metadata"]["uid"], None)
        old = [one for one in sets if one is not new]
        if spec.get("paused"):
            return self._deployment_status(thing, sets, new)
        strategy = spec.get("strategy", {})
        if strategy.get("type") == "Recreate":
            for one in old:
                self._scale(one, 0)
            if not any(self.of("Pod", one) for one in old):
                self._scale(new, wanted)
        else:
            self._roll(new, old, wanted, strategy.get("rollingUpdate", {}))
        return self._deployment_status(thing, [*old, new], new)

    def _new_set(self, thing: Object, revision: int) -> Object:
        template = copy.deepcopy(thing["spec"]["template"])
        digest = _hash(template)
        template["metadata"].setdefault("labels", {})["pod-template-hash"] = digest
        labels = {**thing["spec"]["selector"]["matchLabels"], "pod-template-hash": digest}
        return self.put(
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "metadata": {
                    "name": f"{thing['metadata']['name']}-{digest}",
                    "namespace": thing["metadata"]["namespace"],
                    "labels": labels,
                    "annotations": {REVISION: str(revision + 1)},
                    "ownerReferences": [_owner(thing)],
                },
                "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
                "status": {"replicas": 0},
            }
        )

    def _roll(self, new: Object, old: list[Object], wanted: int, rolling: Object) -> None:
        surge = share(rolling.get("maxSurge", "25%"), wanted, math.ceil)
        missing = share(rolling.get("maxUnavailable", "25%"), wanted, math.floor)
        if surge == 0 and missing == 0:
            missing = 1
        total = sum(one["spec"]["replicas"] for one in [new, *old])
        if new["spec"]["replicas"] > wanted:
            self._scale(new, wanted)
        elif new["spec"]["replicas"] < wanted and total < wanted + surge:
            self._scale(new, min(wanted, new["spec"]["replicas"] + wanted + surge - total))
            return
        least = wanted - missing
        new_missing = new["spec"]["replicas"] - _available(new)
        room = total - least - new_missing
        if room <= 0:
            return
        for one in old:
            broken = min(room, one["spec"]["replicas"] - _available(one))
            if broken > 0:
                self._scale(one, one["spec"]["replicas"] - broken)
                room -= broken
        spare = sum(_available(one) for one in [new, *old]) - least
        for one in old:
            gone = max(0, min(spare, room, one["spec"]["replicas"]))
            self._scale(one, one["spec"]["replicas"] - gone)
            spare, room = spare - gone, room - gone

    def _scale(self, one: Object, wanted: int) -> None:
        if one["spec"]["replicas"] != wanted:
            one["spec"]["replicas"] = wanted
            one["metadata"]["generation"] += 1
            self.touch(one)

    def _deployment_status(self, thing: Object, sets: list[Object], new: Object | None) -> None:
        wanted, uid = thing["spec"].get("replicas", 1), thing["metadata"]["uid"]
        counted = {
            "replicas": sum(one["status"]["replicas"] for one in sets),
            "updatedReplicas": new["status"]["replicas"] if new is not None else 0,
            "readyReplicas": sum(one["status"].get("readyReplicas", 0) for one in sets),
            "availableReplicas": sum(_available(one) for one in sets),
        }
        counted["unavailableReplicas"] = max(0, sum(one["spec"]["replicas"] for one in sets) - _available_of(counted))
        is_done = counted["updatedReplicas"] == counted["replicas"] == counted["availableReplicas"] == wanted
        before, still = self._still.get(uid, (None, 0))
        still = still + 1 if before == counted and not thing["spec"].get("paused") else 0
        self._still[uid] = (dict(counted), still)
        reason, says = ("NewReplicaSetAvailable", "True") if is_done else ("ReplicaSetUpdated", "True")
        if not is_done and still > self.deadline:
            reason, says = "ProgressDeadlineExceeded", "False"
        conditions = [
            _condition("Available", "True" if counted["availableReplicas"] >= wanted else "False", "MinimumReplicas"),
            _condition("Progressing", says, reason),
        ]
        failed = [c for one in sets for c in one["status"].get("conditions", []) if c["type"] == "ReplicaFailure"]
        conditions += [{**one, "lastUpdateTime": NOW} for one in failed[:1]]
        status = {k: v for k, v in counted.items() if v} | {
            "observedGeneration": thing["metadata"]["generation"],
            "conditions": conditions,
        }
        self._status(thing, status)

    def _status(self, thing: Object, status: Object) -> None:
        if thing.get("status") != status:
            thing["status"] = status
            self.touch(thing)

    # ---- ReplicaSets ------------------------------------------------------------------------------------------------

    def _replica_set(self, one: Object) -> None:
        pods = [pod for pod in self.of("Pod", one) if not is_going(pod)]
        wanted, failure = one["spec"]["replicas"], ""
        for _ in range(wanted - len(pods)):
            failure = self._refused()
            if failure:
                break
            pods.append(self._new_pod(one, f"{one['metadata']['name']}-{self.version}"))
        for pod in sorted(pods, key=is_ready)[: max(0, len(pods) - wanted)]:
            self._end(pod)
            pods.remove(pod)
        ready = sum(is_ready(pod) for pod in pods)
        status: Object = {"replicas": len(pods), "observedGeneration": one["metadata"]["generation"]}
        if ready:
            status |= {"readyReplicas": ready, "availableReplicas": ready}
        if failure:
            status["conditions"] = [
                {
                    "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "lastTransitionTime": NOW,
                    "message": failure,
                }
            ]  # fmt: skip
        self._status(one, status)

    def _refused(self) -> str:
        if self.quota is None or len(self.of("Pod")) < self.quota:
            return ""
        return (
            f'pods "x" is forbidden: exceeded quota: small, requested: pods=1, used: pods={self.quota}, '
            f"limited: pods={self.quota}"
        )

    def _new_pod(self, owner: Object, name: str, labels: Object | None = None) -> Object:
        template = copy.deepcopy(owner["spec"]["template"])
        meta = template["metadata"]
        return self.put(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": name,
                    "namespace": owner["metadata"]["namespace"],
                    "labels": {**meta.get("labels", {}), **(labels or {})},
                    **({"annotations": meta["annotations"]} if meta.get("annotations") else {}),
                    "ownerReferences": [_owner(owner)],
                },
                "spec": template["spec"],
                "status": {"phase": "Pending"},
            }
        )

    def _end(self, pod: Object) -> None:
        pod["metadata"]["deletionTimestamp"] = NOW
        pod["metadata"]["deletionGracePeriodSeconds"] = 30
        self.touch(pod)

    # ---- StatefulSets -----------------------------------------------------------------------------------------------

    def _stateful_set(self, thing: Object) -> None:
        spec, status = thing["spec"], thing.setdefault("status", {"replicas": 0})
        name, wanted = thing["metadata"]["name"], spec.get("replicas", 1)
        revision = f"{name}-{_hash(spec['template'])}"
        status.setdefault("currentRevision", revision)
        self._templates[revision] = copy.deepcopy(spec["template"])
        pods = {pod["metadata"]["name"]: pod for pod in self.of("Pod", thing)}
        ordered = [pods.get(f"{name}-{index}") for index in range(wanted)]
        current = sum(1 for pod in ordered if pod is not None and _revision(pod) == status["currentRevision"])
        self._advance_stateful_set(thing, ordered, revision, current)
        pods = {pod["metadata"]["name"]: pod for pod in self.of("Pod", thing) if not is_going(pod)}
        ready = sum(is_ready(pod) for pod in pods.values())
        updated = sum(_revision(pod) == revision for pod in pods.values())
        told = {
            "replicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "currentReplicas": sum(_revision(pod) == status["currentRevision"] for pod in pods.values()),
            "updatedReplicas": updated,
            "currentRevision": revision if updated == ready == wanted else status["currentRevision"],
            "updateRevision": revision,
            "observedGeneration": thing["metadata"]["generation"],
        }
        self._status(thing, told)

    def _advance_stateful_set(self, thing: Object, ordered: list[Object | None], revision: str, current: int) -> None:
        spec, name = thing["spec"], thing["metadata"]["name"]
        is_ordered = spec.get("podManagementPolicy", "OrderedReady") == "OrderedReady"
        for index, pod in enumerate(ordered):
            if pod is None:
                if self._refused():
                    self._note(thing, self._refused())
                    return
                its = revision if index >= current else thing["status"]["currentRevision"]
                made_from = {**thing, "spec": {**spec, "template": self._templates[its]}}
                self._new_pod(made_from, f"{name}-{index}", {"controller-revision-hash": its})
                return
            if is_ordered and not is_ready(pod):
                return
        strategy = spec.get("updateStrategy", {})
        if strategy.get("type") == "OnDelete":
            return
        partition = strategy.get("rollingUpdate", {}).get("partition", 0)
        for pod in reversed(ordered[partition:]):
            assert pod is not None
            if _revision(pod) != revision and not is_going(pod):
                self._end(pod)
                return
            if not is_ready(pod):
                return

    def _note(self, thing: Object, message: str) -> None:
        meta = thing["metadata"]
        if any(event["involvedObject"]["uid"] == meta["uid"] for event in self.of("Event")):
            return
        self.put(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": f"{meta['name']}.1", "namespace": meta["namespace"]},
                "involvedObject": {"kind": thing["kind"], "name": meta["name"], "uid": meta["uid"]},
                "reason": "FailedCreate",
                "type": "Warning",
                "message": f"create Pod {meta['name']}-0 in StatefulSet {meta['name']} failed error: {message}",
            }
        )

    # ---- the node ---------------------------------------------------------------------------------------------------

    def _pod(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        age = self._ages[uid] = self._ages.get(uid, 0) + 1
        if is_going(pod):
            if age > self._ages.setdefault(f"{uid}/end", age):
                self.remove(pod)
            return
        if self.is_full and "containerStatuses" not in pod["status"]:
            words = "0/3 nodes are available: 3 Insufficient cpu."
            said = {**_condition("PodScheduled", "False", "Unschedulable"), "message": words}
            del said["lastUpdateTime"]
            self._status(pod, {"phase": "Pending", "conditions": [said]})
            return
        if age == 1:
            return
        statuses = [self._container(container, age) for container in pod["spec"]["containers"]]
        is_serving = all(status["ready"] for status in statuses)
        conditions = [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": NOW},
            {"type": "Ready", "status": "True" if is_serving else "False", "lastTransitionTime": NOW},
        ]
        phase = "Running" if any("waiting" not in status["state"] for status in statuses) else "Pending"
        self._status(pod, {"phase": phase, "conditions": conditions, "containerStatuses": statuses})

    def kind_of(self, image: str) -> Image:
        """What becomes of a container with an image."""
        return self.images.get(image.rpartition("@")[2], Image.MISSING)

    def _container(self, container: Object, age: int) -> Object:
        image = container["image"]
        kind = self.kind_of(image)
        status: Object = {
            "name": container["name"], "image": image, "imageID": "", "ready": False, "restartCount": 0,
            "state": {"waiting": {"reason": "ContainerCreating"}},
        }  # fmt: skip
        if age == 2:
            return status
        if kind in (Image.MISSING, Image.DENIED):
            why = "not found" if kind is Image.MISSING else "denied: requested access to the resource is denied"
            words = f'rpc error: code = NotFound desc = failed to pull and unpack image "{image}": {why}'
            reason = "ErrImagePull"
            if age > 3:
                reason, words = "ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {words}'
            return status | {"state": {"waiting": {"reason": reason, "message": words}}}
        if kind is Image.UNCONFIGURED:
            words = 'secret "db" not found'
            return status | {"state": {"waiting": {"reason": "CreateContainerConfigError", "message": words}}}
        named, _, digest = image.partition("@")
        status["imageID"] = f"{named}@{digest or _sha(image)}"
        running = {"running": {"startedAt": NOW}}
        if kind in (Image.CRASHES, Image.HUNGRY):
            ended = (
                {"exitCode": 137, "reason": "OOMKilled"} if kind is Image.HUNGRY else {"exitCode": 1, "reason": "Error"}
            )
            count, phase = divmod(age - 3, 3)
            last = {"lastState": {"terminated": ended}} if count else {}
            if phase == 0:
                return status | last | {"restartCount": count, "state": running}
            if phase == 1:
                return status | last | {"restartCount": count, "state": {"terminated": ended}}
            waiting = {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}
            return status | {
                "restartCount": count + 1, "state": {"waiting": waiting}, "lastState": {"terminated": ended}
            }  # fmt: skip
        is_serving = kind is Image.GOOD and age > 3
        return status | {"state": running, "ready": is_serving, "started": is_serving}


# ---- small questions ------------------------------------------------------------------------------------------------


def owned_by(thing: Object) -> str:
    return next((one["uid"] for one in thing["metadata"].get("ownerReferences", []) if one.get("controller")), "")


def is_going(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", [])
    return not is_going(pod) and any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def share(value: int | str, units: int, rounded: Any) -> int:
    return value if isinstance(value, int) else int(rounded(units * int(value.rstrip("%")) / 100))


def walk(thing: Any) -> Iterator[Any]:
    """Everything within."""
    yield thing
    for inner in thing.values() if isinstance(thing, dict) else thing if isinstance(thing, list) else ():
        yield from walk(inner)


def _available(one: Object) -> int:
    return int(one["status"].get("availableReplicas", 0))


def _available_of(counted: Object) -> int:
    return int(counted["availableReplicas"])


def _revision(pod: Object) -> str:
    return str(pod["metadata"]["labels"].get("controller-revision-hash", ""))


def _owner(thing: Object) -> Object:
    return {
        "apiVersion": thing["apiVersion"], "kind": thing["kind"], "name": thing["metadata"]["name"],
        "uid": thing["metadata"]["uid"], "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip


def _condition(kind: str, status: str, reason: str) -> Object:
    return {"type": kind, "status": status, "reason": reason, "lastTransitionTime": NOW, "lastUpdateTime": NOW}


def _is_of(one: Object, template: Object) -> bool:
    return bool(one["metadata"]["labels"]["pod-template-hash"] == _hash(template))


def _hash(template: Object) -> str:
    """The same for what means the same: an empty mapping is none."""
    kept = copy.deepcopy(template)
    if not kept.get("metadata", {}).get("annotations", True):
        del kept["metadata"]["annotations"]
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:10]


def _sha(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
