"""The deployer `hosts`: brings an artifact to servers over SSH and switches them in striped batches.

It remembers nothing itself: a deployment is written down on its hosts, each look asks all of them, and what is to be
done next follows from what they say. A crash of Andon costs nothing but time.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from core.errors import ArtifactMissing, PermanentError, PortError, TransientError
from core.ports import DeploymentRef, DeploymentRequest, DeploymentStatus, Outcome, RunningVersion
from core.releases.problems import path_text, shown
from core.releases.words import listed
from integrations.hosts.config import HostsConfig, HostsTarget, read, root_of
from integrations.hosts.link import Answer, HostRefusal, Links, Place, Traced
from integrations.hosts.plan import is_uploaded, needed, plan
from integrations.hosts.rollout import At, Order, Steps, View, at_once, next_steps, standing, striped, view_of

NameT = TypeVar("NameT")

__all__ = ["HostsConfig", "HostsDeployer", "HostsTarget"]

_DIGEST = re.compile(r"\Asha256:([0-9a-f]{64})\Z")
_ANY_DIGEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_UPLOAD_SECONDS = 3.0
"""How long one look spends on bringing artifacts over; the next goes on where it ended."""
_BETWEEN_LOOKS = 0.2
_ROOM_FACTOR = 3
"""Bytes an artifact needs on a host, for each of its own: as it came, unpacked, and some air."""


class HostsDeployer:
    """All hosts of the targets that share one `with:`. Close it with `close`; what runs on hosts goes on."""

    def __init__(
        self,
        config: HostsConfig,
        targets: Mapping[str, HostsTarget],
        *,
        environ: Mapping[str, str] = os.environ,
        traced: Traced | None = None,
        idle: float = 300.0,
    ) -> None:
        """`idle` is after how many seconds without a question a connection is ended."""
        self._config = config
        self._links = Links(config, environ=environ, traced=traced, idle=idle)
        self._places = {
            name: {
                host.name: Place(host.name, host.address or host.name, host.port, root_of(config, name, host), host)
                for host in target.hosts
            }
            for name, target in targets.items()
        }
        self._digests: dict[tuple[str, int, int], str] = {}
        """Of local files, by path, size and time."""

    def __repr__(self) -> str:
        return f"HostsDeployer({', '.join(self._places)})"

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]) -> HostsDeployer:
        """Build it from a definition's `with:`; raises PermanentError naming what is wrong."""
        config, found, problems = read(settings, targets)
        if config is None or problems:
            told = "; ".join(f"{path_text(problem.path)}: {problem.sentence}" for problem in problems[:5])
            raise PermanentError(f"The deployer hosts cannot use its settings: {told}.")
        return cls(config, found)

    async def start(self, request: DeploymentRequest) -> DeploymentRef:
        """Write the deployment down on its hosts, or return the one that has this key; `status` carries it out.

        A rollback begins on the hosts that answer; anything else only if all do.
        """
        places, hex_digest = self._target(request.target), _hex(request.digest)
        order = self._order(request)
        job = _job(request.key)
        scripts = {
            name: plan(
                self._config,
                request.target,
                place.entry,
                hex_digest=hex_digest,
                version=request.version,
                artifact=request.artifact,
            )
            for name, place in places.items()
        }
        answers, silent = await self._everywhere(
            places, "greet", job, hex_digest, *needed(self._config, request.artifact)
        )
        for answer in answers.values():
            if text := answer.words.get("order"):
                known = Order.read(text)
                if (known.digest, known.target) != (order.digest, order.target):
                    raise PermanentError("Another deployment has this key already.")
                return _ref(order)
        if silent and not (request.is_rollback and answers):
            raise _gravest(silent.values())
        await self._check_artifact(request, [name for name, answer in answers.items() if answer.words["have"] != "yes"])
        given = {name: f"{order.as_text()}\n{scripts[name]}" for name in answers}
        first, *others = [name for name, _ in order.hosts if name in answers]
        # The first alone: if it refuses, nothing has begun.
        await self._links.ask(places[first], "prepare", job, hex_digest, given=given[first])
        _, silent = await self._everywhere(
            {name: places[name] for name in others}, "prepare", job, hex_digest, given=given
        )
        if silent and not request.is_rollback:
            raise TransientError(str(_gravest(silent.values())))
        return _ref(order)

    async def find(self, key: str) -> DeploymentRef | None:
        """The deployment begun under this key.

        It counts as begun when most hosts of its target know of it, so None needs an answer from most hosts of each.
        """
        job = _job(key)
        everywhere = {
            (target, name): place for target, places in self._places.items() for name, place in places.items()
        }
        answers, silent = await self._everywhere(everywhere, "look", job)
        for answer in answers.values():
            if text := answer.words.get("order"):
                return _ref(Order.read(text))
        for target, places in self._places.items():
            asked = sum(of_target == target for of_target, _ in answers)
            if asked * 2 <= len(places):
                raise TransientError(str(_gravest(error for (of, _), error in silent.items() if of == target)))
        return None

    async def status(self, ref: DeploymentRef) -> DeploymentStatus:
        """How it stands; looking is what brings it forward. Raises TransientError where it hangs on silent hosts."""
        target, job = _parts(ref)
        places = self._target(target)
        views = await self._views(places, job)
        texts = [view.order for view in views.values() if view.order]
        if not texts:
            if silent := [view for view in views.values() if view.at is At.AWAY]:
                raise TransientError(silent[0].said)
            raise PermanentError(f"No host of {target} knows this deployment any more.")
        order = Order.read(texts[0])
        views.update(await self._taken(order, places, job, next_steps(order, views), views))
        status = standing(order, views)
        if status.outcome is Outcome.UNKNOWN:
            raise TransientError(status.message)
        return status

    async def wait(self, ref: DeploymentRef, seconds: float) -> DeploymentStatus:
        """How it stands when it is over or has come further, or after so many seconds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        first = status = await self.status(ref)
        while not status.outcome.is_final and status.done_units == first.done_units and loop.time() < until:
            await asyncio.sleep(_BETWEEN_LOOKS)
            status = await self.status(ref)
        return status

    async def cancel(self, ref: DeploymentRef) -> None:
        """Nothing new begins; a host that is being changed goes back to what it ran, and those done stay."""
        target, job = _parts(ref)
        _, silent = await self._everywhere(self._target(target), "seal", job, "cancelled", "stop")
        if silent:
            raise TransientError(str(_gravest(silent.values())))

    async def running_version(self, target: str) -> RunningVersion:
        """What the hosts run: where the link points, what was last found healthy, and what the service itself says."""
        places = self._target(target)
        given = {name: plan(self._config, target, place.entry) for name, place in places.items()}
        answers, silent = await self._everywhere(places, "running", "-", given=given)
        if silent:
            raise TransientError(str(_gravest(silent.values())))
        seen = [self._runs(answer) for answer in answers.values()]
        digests = {digest for digest, _, _ in seen}
        versions = {version for _, version, _ in seen}
        is_mixed = len(digests) > 1 or any(unsettled for _, _, unsettled in seen)
        usual = max(sorted(digests, key=str), key=[digest for digest, _, _ in seen].count)
        return RunningVersion(
            digest=None if usual is None else f"sha256:{usual}",
            version=versions.pop() if len(versions) == 1 else None,
            is_mixed=is_mixed,
        )

    async def close(self) -> None:
        """End all connections."""
        await self._links.close()

    # ---- carrying it out --------------------------------------------------------------------------------------------

    async def _taken(
        self, order: Order, places: Mapping[str, Place], job: str, steps: Steps, views: Mapping[str, View]
    ) -> dict[str, View]:
        """Do what is next, on all hosts together; how they stand then."""
        hex_digest = _hex(order.digest)

        async def prepare(name: str) -> View:
            script = plan(
                self._config,
                order.target,
                places[name].entry,
                hex_digest=hex_digest,
                version=order.version,
                artifact=order.artifact,
            )
            given = f"{order.as_text()}\n{script}"
            return view_of(name, await self._links.ask(places[name], "prepare", job, hex_digest, given=given))

        async def carry(name: str) -> View:
            if is_uploaded(order.artifact):
                try:
                    if not await self._uploaded(order, places[name], views[name]):
                        return views[name]
                except HostRefusal as refusal:
                    answer = await self._links.ask(places[name], "spoil", job, refusal.message.rstrip("."))
                    return view_of(name, answer)
            return view_of(name, await self._links.ask(places[name], "bring", job))

        async def begin(name: str) -> View:
            return view_of(name, await self._links.ask(places[name], "begin", job))

        async def seal(name: str) -> View:
            words = ("seal", job, steps.seal[name], *(("stop",) if steps.stop else ()))
            return view_of(name, await self._links.ask(places[name], *words))

        async def safely(name: str, asked: Any) -> View:
            try:
                found: View = await asked(name)
            except PortError as error:
                return replace(views[name], at=At.AWAY, said=error.message)
            return found

        asked = [
            *(safely(name, prepare) for name in steps.prepare),
            *(safely(name, carry) for name in steps.carry),
            *(safely(name, begin) for name in steps.begin),
            *(safely(name, seal) for name in steps.seal),
        ]
        return {view.name: view for view in await asyncio.gather(*asked)}

    async def _uploaded(self, order: Order, place: Place, view: View) -> bool:
        """Whether all of it is there now; raises HostRefusal where it never will be."""
        source = Path(order.artifact)
        try:
            size = (await asyncio.to_thread(source.stat)).st_size
        except OSError as error:
            raise HostRefusal(f"the artifact is gone from Andon's machine ({shown(order.artifact, 120)})") from error
        if view.room is not None and view.room < size * _ROOM_FACTOR:
            raise HostRefusal(
                f"there is no room for the artifact: {_megabytes(view.room)} are free and "
                f"{_megabytes(size * _ROOM_FACTOR)} are needed"
            )
        return await self._links.upload(place, source, _hex(order.digest), seconds=_UPLOAD_SECONDS)

    async def _views(self, places: Mapping[str, Place], job: str) -> dict[str, View]:
        answers, silent = await self._everywhere(places, "look", job)
        views = {name: view_of(name, answer) for name, answer in answers.items()}
        views.update({name: View(name, At.AWAY, said=error.message) for name, error in silent.items()})
        return views

    async def _everywhere(
        self, places: Mapping[NameT, Place], verb: str, *words: str, given: Mapping[NameT, str] | None = None
    ) -> tuple[dict[NameT, Answer], dict[NameT, PortError]]:
        """Ask all; those that answered, and why the others did not."""

        async def asked(name: NameT, place: Place) -> Answer | PortError:
            try:
                return await self._links.ask(place, verb, *words, given=(given or {}).get(name, ""))
            except PortError as error:
                return error

        found = await asyncio.gather(*(asked(name, place) for name, place in places.items()))
        answers = {name: answer for name, answer in zip(places, found, strict=True) if isinstance(answer, Answer)}
        silent = {name: error for name, error in zip(places, found, strict=True) if isinstance(error, PortError)}
        return answers, silent

    # ---- what is asked for ------------------------------------------------------------------------------------------

    def _target(self, name: str) -> Mapping[str, Place]:
        if name not in self._places:
            raise PermanentError(f"The target {shown(name)} is not in the definition any more.")
        return self._places[name]

    def _order(self, request: DeploymentRequest) -> Order:
        hosts = striped((place.name, place.entry.zone) for place in self._target(request.target).values())
        return Order(
            key=request.key,
            target=request.target,
            version=request.version,
            digest=request.digest,
            artifact=request.artifact,
            is_rollback=request.is_rollback,
            at_once=at_once(len(hosts), request.batch_percent, request.healthy_percent),
            one_per_zone=self._config.one_per_zone,
            timeout=request.timeout.total_seconds(),
            hosts=hosts,
        )

    async def _check_artifact(self, request: DeploymentRequest, lacking: Sequence[str]) -> None:
        """Refuse what can be known to be in vain, before anything begins."""
        artifact = request.artifact
        if not lacking:
            return
        if is_uploaded(artifact):
            digest = await asyncio.to_thread(self._digest_of, Path(artifact))
            if digest != request.digest:
                raise PermanentError(
                    f"The artifact is {digest[:19]}…, not {request.digest[:19]}… as announced: "
                    "what was tested is not what would be deployed."
                )
        elif self._config.fetch is None and not artifact.startswith(("https://", "http://")):
            raise ArtifactMissing(
                f"The artifact is not on {listed(lacking[:5])}, and `{shown(artifact)}` is neither a file of Andon's "
                "machine nor a web address; say with `fetch` how hosts get it."
            )
        elif not artifact.isprintable() or " " in artifact:
            raise PermanentError("The artifact's address has characters that no address has.")

    def _digest_of(self, path: Path) -> str:
        try:
            found = path.stat()
            known = (str(path), found.st_size, found.st_mtime_ns)
            if known not in self._digests:
                with path.open("rb") as file:
                    self._digests[known] = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        except OSError as error:
            raise ArtifactMissing(
                f"The artifact {shown(str(path), 120)} cannot be read on Andon's machine: {error.strerror or error}."
            ) from error
        return self._digests[known]

    def _runs(self, answer: Answer) -> tuple[str | None, str | None, bool]:
        """What a host runs, and whether that is unsettled: begun and not found healthy."""
        current, settled = answer.words.get("current", ""), answer.words.get("now", "")
        if self._config.running is not None:
            said = _ANY_DIGEST.findall(answer.log) if answer.words.get("answers") == "yes" else []
            if current not in said:
                return (said[0] if said else None), None, current != ""
        if not current:
            return None, None, False
        return current, answer.words.get("version") if current == settled else None, current != settled


def _job(key: str) -> str:
    """The name of a deployment's directory: a key is anybody's text, this is not."""
    return hashlib.sha256(key.encode()).hexdigest()[:40]


def _ref(order: Order) -> DeploymentRef:
    return DeploymentRef(key=order.key, value=f"{order.target}:{_job(order.key)}")


def _parts(ref: DeploymentRef) -> tuple[str, str]:
    target, _, job = ref.value.rpartition(":")
    if not re.fullmatch(r"[0-9a-f]{40}", job):
        raise PermanentError("This is not a reference of the deployer `hosts`.")
    return target, job


def _hex(digest: str) -> str:
    found = _DIGEST.match(digest)
    if found is None:
        raise PermanentError("A digest is written sha256: and 64 hexadecimal digits: that of the archive, `sha256sum`.")
    return found[1]


def _gravest(errors: Iterable[PortError]) -> PortError:
    """What to say where several hosts said no: silence first, since it may pass."""
    known = list(errors)
    return next((error for error in known if isinstance(error, TransientError)), known[0])


def _megabytes(count: int) -> str:
    return f"{count / 1_000_000:.1f} MB"
