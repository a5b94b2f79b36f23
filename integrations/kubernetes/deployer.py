"""The deployer `kubernetes`: one patch begins a deployment, and the object itself remembers it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lightkube.resources.apps_v1 import Deployment, ReplicaSet
from lightkube.resources.core_v1 import Pod

from core.errors import PermanentError, PortError, TransientError
from core.ports import DeploymentRef, DeploymentRequest, DeploymentStatus, Outcome, RunningVersion
from core.releases.problems import shown
from integrations.kubernetes import images, patches, troubles
from integrations.kubernetes.batches import strategy
from integrations.kubernetes.cluster import ChangedError, Cluster, GoneError
from integrations.kubernetes.config import KubernetesConfig, Place, Target, read
from integrations.kubernetes.owners import refuse_owned
from integrations.kubernetes.record import DIGEST, KEY, LONGEST_MESSAGE, VERSION, Before, Ended, Now, Record
from integrations.kubernetes.workload import (
    Stand,
    Workload,
    containers,
    has_key,
    is_ready,
    is_unseen,
    judged,
    marks,
    meta,
    notes,
    replicas,
)

TRIES = 5
"""How often a change is tried again that somebody else's came before."""
LOOKS = 4
"""At pods of a cancelled version that do not go, before the way is made wider for them."""


@dataclass(slots=True)
class _Watch:
    """What the last look at a deployment found; lost with the process, and found again by two more looks."""

    moved_at: float
    done: int = -1
    was_done: bool = False
    was_hopeless: bool = False
    looks: int = 0
    """At what goes back."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """One look: the object, what is remembered there, and its pods."""

    place: Place
    workload: Workload
    record: Record
    sets: Sequence[ReplicaSet]
    pods: Sequence[Pod]

    def ready(self, key: str) -> int:
        """How many pods of a deployment serve."""
        return sum(1 for pod in self.pods if has_key(pod, key) and is_ready(pod))


class KubernetesDeployer:
    """All targets of one cluster."""

    poll_seconds = 2.0

    def __init__(
        self,
        config: KubernetesConfig,
        targets: Mapping[str, Target],
        *,
        cluster: Cluster | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._patience = config.patience.total_seconds()
        self._targets = dict(targets)
        self._cluster = cluster or Cluster(config)
        self._monotonic = monotonic
        self._watched: dict[str, _Watch] = {}

    def __repr__(self) -> str:
        return f"KubernetesDeployer({self._cluster!r}, {sorted(self._targets)})"

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]) -> KubernetesDeployer:
        """Build it from a definition's `with:`; raises PermanentError naming what is wrong."""
        return cls(*read(settings, targets))

    # ---- beginning --------------------------------------------------------------------------------------------------

    async def start(self, request: DeploymentRequest) -> DeploymentRef:
        """Change the image in one patch that carries the key, unless the object knows the key already."""
        target = self._target(request.target)
        image = images.wanted(request, target.image)
        tried = ""
        for _ in range(TRIES):
            workload = await self._cluster.read(target.place)
            record = Record.read(notes(workload), target.place)
            if record.knows(request.key) or marks(workload).get(KEY) == request.key:
                return _ref(target.place, workload, request.key)
            version = meta(workload).resourceVersion or ""
            if version == tried:
                raise PermanentError(f"The API server refused the change of the {target.place} without saying why.")
            tried = version
            try:
                await self._cluster.patch(target.place, _begin(target, workload, record, request, image))
            except ChangedError:
                continue
            return _ref(target.place, workload, request.key)
        raise TransientError(f"The {target.place} changes faster than Andon can change it.")

    async def find(self, key: str) -> DeploymentRef | None:
        """The deployment begun under this key on any target; raises TransientError where one cannot be asked."""
        for target in self._targets.values():
            try:
                workload = await self._cluster.read(target.place)
                record = Record.read(notes(workload), target.place)
            except GoneError:
                continue
            except PermanentError as error:
                # It may have begun there; who may not look cannot say that it has not.
                raise TransientError(error.message) from error
            if record.knows(key) or marks(workload).get(KEY) == key:
                return _ref(target.place, workload, key)
        return None

    # ---- following --------------------------------------------------------------------------------------------------

    async def status(self, ref: DeploymentRef) -> DeploymentStatus:
        """How it stands; what is final is written on the object first, and stays."""
        place, uid = _parsed(ref)
        try:
            workload = await self._cluster.read(place)
        except GoneError:
            return DeploymentStatus(Outcome.FAILED, f"The {place} was removed, and what ran there with it")
        if meta(workload).uid != uid:
            return DeploymentStatus(Outcome.FAILED, f"The {place} was removed and made anew by somebody else")
        record = Record.read(notes(workload), place)
        end = record.end_of(ref.key)
        if end is not None:
            return await self._ended(place, workload, record, end)
        now = record.now if record.now is not None and record.now.key == ref.key else _from_marks(workload, ref.key)
        if now is None:
            return DeploymentStatus(
                Outcome.UNKNOWN, f"Nothing on the {place} remembers this deployment: was its annotation removed?"
            )
        seen = await self._look(place, workload, record)
        if now.is_going_back:
            return await self._back(seen, now)
        return await self._forth(seen, now)

    async def _forth(self, seen: _Seen, now: Now) -> DeploymentStatus:
        """Judge a roll-out; success and what is hopeless must be seen twice."""
        watch = self._watched.setdefault(now.key, _Watch(self._monotonic()))
        done, wanted = seen.ready(now.key), replicas(seen.workload)
        if done != watch.done:
            watch.done, watch.moved_at, watch.was_hopeless = done, self._monotonic(), False
        standing = judged(seen.workload)
        instead = _instead(seen.workload, now, seen.place)
        if instead:
            return await self._end(
                seen, now, Outcome.FAILED, f"Somebody changed the {seen.place} past Andon: {instead}"
            )
        if wanted == 0:
            return await self._end(seen, now, Outcome.FAILED, f"Somebody scaled the {seen.place} to no pods at all")
        if standing.stand is Stand.DONE:
            if watch.was_done:
                return await self._end(seen, now, Outcome.SUCCEEDED, standing.words)
            watch.was_done = True
            return DeploymentStatus(Outcome.RUNNING, standing.words, done, wanted)
        watch.was_done = False
        found = await self._troubles(seen, now)
        reasons = "; ".join(dict.fromkeys(trouble.sentence for trouble in found[:2]))
        is_hopeless = any(trouble.is_hopeless for trouble in found)
        if standing.stand is Stand.FAILED or (is_hopeless and watch.was_hopeless) or self._is_stuck(seen, watch):
            words = standing.words if standing.stand is Stand.FAILED else "The new version does not come up"
            return await self._end(seen, now, Outcome.FAILED, f"{words}: {reasons}" if reasons else words, found)
        # A pull that failed is waited with before the next, without its reason: one look in between says nothing.
        watch.was_hopeless = watch.was_hopeless or is_hopeless
        words = await self._made_anew(seen) or (f"It waits: {reasons}" if reasons else standing.words)
        if isinstance(seen.workload, Deployment) and seen.workload.spec.paused:
            words = f"Somebody paused the {seen.place}; `kubectl rollout resume` lets it go on."
        return DeploymentStatus(Outcome.RUNNING, words, done, wanted)

    def _is_stuck(self, seen: _Seen, watch: _Watch) -> bool:
        """Whether a StatefulSet has made no progress for too long; a Deployment has a deadline of its own."""
        has_deadline = isinstance(seen.workload, Deployment)
        return not has_deadline and self._monotonic() - watch.moved_at >= self._patience

    async def _back(self, seen: _Seen, now: Now) -> DeploymentStatus:
        """Cancelled is what has no pods left, and will get none."""
        left = sum(1 for pod in seen.pods if has_key(pod, now.key))
        is_wanted = any(
            one.spec.replicas != 0
            and one.spec.template is not None
            and one.spec.template.metadata is not None
            and (one.spec.template.metadata.annotations or {}).get(KEY) == now.key
            for one in seen.sets
        )
        if is_unseen(seen.workload) or left or is_wanted:
            words = await self._made_anew(seen) or f"{left} pods of the cancelled version wait for their end."
            await self._widen(seen, now)
            return DeploymentStatus(Outcome.RUNNING, words, 0, replicas(seen.workload))
        return await self._end(seen, now, Outcome.CANCELLED, "What ran before was put back")

    async def _widen(self, seen: _Seen, now: Now) -> None:
        """Let pods go that serve nobody and stay only because what ran before is not well either."""
        watch = self._watched.setdefault(now.key, _Watch(self._monotonic()))
        watch.looks += 1
        if not isinstance(seen.workload, Deployment) or watch.looks < LOOKS or now.widened is not None:
            return
        own = seen.workload.spec.strategy
        rolling = own.rollingUpdate if own is not None else None
        if rolling is None or seen.ready(now.key) or is_unseen(seen.workload):
            return
        told = {"maxSurge": rolling.maxSurge, "maxUnavailable": rolling.maxUnavailable}
        record = replace(seen.record, now=replace(now, widened=told))
        try:
            wide = {"maxSurge": rolling.maxSurge, "maxUnavailable": "100%"}
            await self._cluster.patch(seen.place, patches.remembering(seen.workload, record, wide))
        except (ChangedError, GoneError):
            return

    async def _end(
        self, seen: _Seen, now: Now, outcome: Outcome, words: str, found: Sequence[troubles.Trouble] = ()
    ) -> DeploymentStatus:
        """Write on the object how it ended, then say so."""
        words = shown(words, LONGEST_MESSAGE)
        end = Ended(now.key, outcome.value, words, seen.ready(now.key), replicas(seen.workload))
        output = await self._output(seen, found)
        try:
            await self._cluster.patch(
                seen.place, patches.remembering(seen.workload, seen.record.ended(end), now.widened)
            )
        except (ChangedError, GoneError):
            # Look again: what changed may be what this was judged by.
            return DeploymentStatus(Outcome.RUNNING, words, end.done, end.all)
        self._watched.pop(now.key, None)
        return replace(end.status, output=output)

    async def _ended(self, place: Place, workload: Workload, record: Record, end: Ended) -> DeploymentStatus:
        """What is remembered of one that is over; what it printed is asked for again while its pods are there."""
        if end.outcome != Outcome.FAILED.value or marks(workload).get(KEY) != end.key:
            return end.status
        try:
            seen = await self._look(place, workload, record)
        except PortError:
            return end.status
        mine = [pod for pod in seen.pods if has_key(pod, end.key)]
        return replace(end.status, output=await self._output(seen, troubles.of_pods(mine)))

    # ---- cancelling -------------------------------------------------------------------------------------------------

    async def cancel(self, ref: DeploymentRef) -> None:
        """Put back what the pod template said before; `status` says when no pod of it is left."""
        place, uid = _parsed(ref)
        for _ in range(TRIES):
            try:
                workload = await self._cluster.read(place)
            except GoneError:
                return
            record = Record.read(notes(workload), place)
            now = record.now
            if meta(workload).uid != uid or record.end_of(ref.key) is not None:
                return
            if now is None or now.key != ref.key:
                raise PermanentError(
                    f"Nothing on the {place} remembers what ran there before: take it back with `kubectl rollout undo`."
                )
            if now.is_going_back or _instead(workload, now, place):
                return
            names = list(now.before.images)
            paths = containers(workload, names[0], names[1:], place)
            after = replace(record, now=replace(now, is_going_back=True))
            try:
                await self._cluster.patch(place, patches.going_back(workload, after, now.before, paths))
            except ChangedError:
                continue
            return
        raise TransientError(f"The {place} changes faster than Andon can change it.")

    # ---- looking ----------------------------------------------------------------------------------------------------

    async def running_version(self, target: str) -> RunningVersion:
        """What the ready pods of the object run, by digest."""
        wanted = self._target(target)
        try:
            workload = await self._cluster.read(wanted.place)
        except GoneError:
            return RunningVersion(None)
        name = containers(workload, wanted.container, (), wanted.place)[0].name
        seen = await self._look(wanted.place, workload, Record())
        running = [_running(pod, name) for pod in seen.pods if is_ready(pod)]
        if not running:
            return RunningVersion(None)
        most = images.most_common([digest for digest, _ in running])
        versions = {version for digest, version in running if digest == most and version is not None}
        is_mixed = len({digest for digest, _ in running}) > 1
        return RunningVersion(most, versions.pop() if len(versions) == 1 else None, is_mixed)

    async def _look(self, place: Place, workload: Workload, record: Record) -> _Seen:
        """The pods that belong to the object, not merely to its labels."""
        selector = workload.spec.selector
        owners, sets = {meta(workload).uid}, []
        if isinstance(workload, Deployment):
            found = await self._cluster.replica_sets(place.namespace, selector)
            sets = [one for one in found if one.metadata is not None and _owner(one) in owners]
            owners = {one.metadata.uid for one in sets if one.metadata is not None}
        pods = await self._cluster.pods(place.namespace, selector)
        return _Seen(place, workload, record, sets, [pod for pod in pods if _owner(pod) in owners])

    async def _troubles(self, seen: _Seen, now: Now) -> list[troubles.Trouble]:
        found = troubles.of_pods([pod for pod in seen.pods if has_key(pod, now.key)])
        if found:
            return found
        events = []
        if not isinstance(seen.workload, Deployment) and len(seen.pods) < replicas(seen.workload):
            events = await self._cluster.events(seen.place.namespace, meta(seen.workload).uid or "")
        return troubles.of_creation(seen.workload, seen.sets, events)

    async def _made_anew(self, seen: _Seen) -> str:
        """Delete a broken pod of another revision, for which a StatefulSet would wait for ever; what to say of it."""
        if isinstance(seen.workload, Deployment) or is_unseen(seen.workload):
            return ""
        if seen.workload.spec.podManagementPolicy == "Parallel":
            return ""
        current = marks(seen.workload).get(KEY)
        others = [pod for pod in seen.pods if notes(pod).get(KEY) != current]
        stuck = [meta(pod).name or "" for pod in others if _is_broken(pod, seen.record)]
        if not stuck:
            return ""
        name = max(stuck, key=lambda text: (len(text), text))
        try:
            await self._cluster.delete_pod(seen.place.namespace, name)
        except GoneError:
            return ""
        except PermanentError as error:
            return f"The pod `{name}` of the version before is broken and must be deleted: {error.message}"
        return f"The pod `{name}` of the version before was broken; it is made anew."

    async def _output(self, seen: _Seen, found: Sequence[troubles.Trouble]) -> str:
        """The last lines of the container that is in trouble, without the secrets of its environment."""
        for trouble in found:
            pod = next((one for one in seen.pods if meta(one).name == trouble.pod), None)
            if pod is not None and trouble.container:
                log = await self._cluster.log(seen.place.namespace, trouble.pod, trouble.container)
                return troubles.without_secrets(log, pod)
        return ""

    def _target(self, name: str) -> Target:
        if name not in self._targets:
            raise PermanentError(f"There is no target `{shown(name)}` among those of this deployer.")
        return self._targets[name]


def _begin(
    target: Target, workload: Workload, record: Record, request: DeploymentRequest, image: str
) -> list[patches.Operation]:
    """The patch that begins a deployment; raises PermanentError where it could not become what was asked."""
    place = target.place
    if meta(workload).deletionTimestamp is not None:
        raise PermanentError(f"The {place} is being deleted.")
    paths = containers(workload, target.container, target.same_image, place)
    refuse_owned(workload, place, paths[0].name, target.helm)
    if isinstance(workload, Deployment) and workload.spec.paused:
        raise PermanentError(f"The {place} is paused: `kubectl rollout resume` it first.")
    if replicas(workload) == 0:
        raise PermanentError(f"The {place} is scaled to no pods: nothing would run. Scale it up first.")
    rolling = strategy(workload, place, request, target.batches)
    now = Now(request.key, request.digest, request.version, _before(workload, record, paths))
    return patches.beginning(workload, record, now, image, paths, rolling)


def _before(workload: Workload, record: Record, paths: Sequence[Any]) -> Before:
    """What a cancel goes back to: what the template says, unless that is a deployment which never succeeded."""
    last = record.now
    names = [path.name for path in paths]
    if last is not None and marks(workload).get(KEY) == last.key and set(last.before.images) == set(names):
        end = record.end_of(last.key)
        if end is None or end.outcome != Outcome.SUCCEEDED.value:
            return last.before
    known = marks(workload)
    return Before(
        images={path.name: path.image for path in paths},
        marks={mark: known[mark] for mark in (KEY, VERSION, DIGEST) if mark in known},
    )


def _instead(workload: Workload, now: Now, place: Place) -> str:
    """What the pod template says instead of what this deployment wrote there; empty where it still says so."""
    if marks(workload).get(KEY) != now.key:
        return "its pods are made from another template now"
    if not now.before.images:
        return ""
    names = list(now.before.images)
    for path in containers(workload, names[0], names[1:], place):
        if images.digest_of(path.image) != now.digest:
            return f"its container `{path.name}` is to run {shown(path.image, 200)}"
    return ""


def _from_marks(workload: Workload, key: str) -> Now | None:
    """A deployment whose record was removed, as far as its pod template tells."""
    known = marks(workload)
    if known.get(KEY) != key:
        return None
    return Now(key, known.get(DIGEST, ""), known.get(VERSION, ""), Before({}, {}))


def _is_broken(pod: Pod, record: Record) -> bool:
    """Whether a pod will not come up again: of what succeeded once that is only said where it is hopeless."""
    key, now = notes(pod).get(KEY), record.now
    failed = {end.key for end in record.over if end.outcome != Outcome.SUCCEEDED.value}
    if now is not None and now.is_going_back:
        failed.add(now.key)
    found = troubles.of_pods([pod])
    return any(trouble.is_hopeless for trouble in found) or (bool(found) and key in failed)


def _running(pod: Pod, container: str) -> tuple[str, str | None]:
    """The digest a pod runs, and the version where its marks speak of that digest."""
    asked = next((one.image for one in (pod.spec.containers if pod.spec else []) if one.name == container), None)
    statuses = (pod.status.containerStatuses if pod.status is not None else None) or []
    told = next((one.imageID for one in statuses if one.name == container), None)
    digest = images.digest_of(asked, told) or "unknown"
    known = notes(pod)
    return digest, known.get(VERSION) if known.get(DIGEST) == digest else None


def _owner(thing: ReplicaSet | Pod) -> str | None:
    references = (thing.metadata.ownerReferences if thing.metadata is not None else None) or []
    return next((one.uid for one in references if one.controller), None)


def _ref(place: Place, workload: Workload, key: str) -> DeploymentRef:
    return DeploymentRef(key, f"{place.kind}/{place.namespace}/{place.name}/{meta(workload).uid}/{key}")


def _parsed(ref: DeploymentRef) -> tuple[Place, str]:
    kind, _, rest = ref.value.partition("/")
    namespace, name, uid, _ = [*rest.split("/", 3), "", "", ""][:4]
    if kind == "Deployment":
        return Place("Deployment", namespace, name), uid
    if kind == "StatefulSet":
        return Place("StatefulSet", namespace, name), uid
    raise PermanentError("This is not a reference of the deployer `kubernetes`.")
