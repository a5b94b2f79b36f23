"""One cluster's API server: questions of one request each, and its answers or refusals in sentences for people.

Every question has a connection of its own, so that "refused", "never sent" and "no answer" cannot be confused, and
nothing is left open between two looks. Only JSON patches are sent: they change the one path they name.
"""

from __future__ import annotations

import asyncio
import os
import re
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
import msgspec
import yaml
from lightkube import AsyncClient, KubeConfig, operators
from lightkube.config.client_adapter import verify_cluster
from lightkube.config.kubeconfig import SERVICE_ACCOUNT, SingleConfig
from lightkube.core.exceptions import ConfigError
from lightkube.core.resource import NamespacedResource
from lightkube.models.meta_v1 import LabelSelector
from lightkube.resources.apps_v1 import Deployment, ReplicaSet, StatefulSet
from lightkube.resources.core_v1 import Event, Pod
from lightkube.types import PatchType

from core.errors import PermanentError, PortError, TransientError
from core.releases.problems import shown
from integrations.kubernetes.config import KubernetesConfig, Place

FIELD_MANAGER = "andon"
"""Under which the cluster remembers whose fields are whose."""
PAGE = 500
LOG_LINES = 40
DOCS = "docs/deployers/kubernetes.md has the Role"
_RBAC = re.compile(r'cannot (?P<verb>\w+) resource "(?P<resource>[\w/]+)"')
ResourceT = TypeVar("ResourceT", bound=NamespacedResource)
Workload = Deployment | StatefulSet


class GoneError(PermanentError):
    """The object is not there."""


class ChangedError(TransientError):
    """Somebody else changed the object at the same time; look again."""


class CredentialsRefusedError(PermanentError):
    """The cluster does not take Andon's credentials."""


class Cluster:
    """Asks the API server that a deployer's settings name; connects when first asked."""

    def __init__(self, config: KubernetesConfig, service_account: Path = Path(SERVICE_ACCOUNT)) -> None:
        """`service_account` is where a pod finds its own credentials."""
        self._config = config
        self._service_account = service_account
        self._client: AsyncClient | None = None

    def __repr__(self) -> str:
        return f"Cluster({self._named})"

    # ---- questions --------------------------------------------------------------------------------------------------

    async def read(self, place: Place) -> Workload:
        """The object of a target; raises GoneError where there is none."""
        async with self._asking(str(place)) as client:
            if place.kind == "Deployment":
                return await client.get(Deployment, place.name, namespace=place.namespace)
            return await client.get(StatefulSet, place.name, namespace=place.namespace)

    async def patch(self, place: Place, operations: Sequence[Mapping[str, Any]]) -> None:
        """Change an object; raises ChangedError where a `test` among the operations found something else there."""
        resource = Deployment if place.kind == "Deployment" else StatefulSet
        async with self._asking(str(place)) as client:
            await client.patch(
                resource,
                place.name,
                [dict(operation) for operation in operations],
                namespace=place.namespace,
                patch_type=PatchType.JSON,
                field_manager=FIELD_MANAGER,
            )

    async def replica_sets(self, namespace: str, selector: LabelSelector) -> list[ReplicaSet]:
        """Those that a selector finds."""
        return await self._listed(ReplicaSet, namespace, labels=selector)

    async def pods(self, namespace: str, selector: LabelSelector) -> list[Pod]:
        """Those that a selector finds."""
        return await self._listed(Pod, namespace, labels=selector)

    async def events(self, namespace: str, uid: str) -> list[Event]:
        """What was noted about one object, as far as Andon may see it: nothing is decided by events."""
        try:
            return await self._listed(Event, namespace, fields={"involvedObject.uid": uid})
        except PermanentError:
            return []

    async def log(self, namespace: str, pod: str, container: str) -> str:
        """The last lines a container printed; empty where they cannot be had: nothing is decided by them."""
        try:
            async with self._asking(f"log of the pod `{pod}`") as client:
                lines = client.log(pod, namespace=namespace, container=container, tail_lines=LOG_LINES)
                return "".join([line async for line in lines])
        except PortError:
            return ""

    async def delete_pod(self, namespace: str, pod: str) -> None:
        """Have a pod made anew by what owns it."""
        async with self._asking(f"pod `{pod}`") as client:
            await client.delete(Pod, pod, namespace=namespace)

    # ---- connecting -------------------------------------------------------------------------------------------------

    async def _listed(self, resource: type[ResourceT], namespace: str, **by: Any) -> list[ResourceT]:
        selector: LabelSelector | None = by.get("labels")
        async with self._asking(f"{resource.__name__}s of the namespace `{namespace}`") as client:
            found = client.list(
                resource,
                namespace=namespace,
                chunk_size=PAGE,
                labels=_selected(selector) if selector is not None else None,
                fields=by.get("fields"),
            )
            return [one async for one in found]

    @property
    def _named(self) -> str:
        if self._config.kubeconfig is None:
            return "the cluster that Andon runs in"
        context = f"the context `{self._config.context}` of " if self._config.context else ""
        return f"{context}{self._config.kubeconfig}"

    @asynccontextmanager
    async def _asking(self, what: str) -> AsyncIterator[AsyncClient]:
        """One question about `what`; whatever goes wrong with it is raised as one of our errors."""
        try:
            client = self._connected()
            async with asyncio.timeout(self._config.timeout.total_seconds()):
                yield client
        except httpx2.HTTPStatusError as error:
            raise self._refusal(error, what) from error
        except (httpx2.HTTPError, TimeoutError, ConnectionError) as error:
            why = "its certificate is not trusted" if "CERTIFICATE" in str(error) else type(error).__name__
            raise TransientError(f"The API server of {self._named} did not answer ({why}).") from error
        except ConfigError as error:
            # What a credentials program printed is not repeated: it may hold what it is for.
            self._client = None
            raise CredentialsRefusedError(f"Andon has no credentials for {self._named}: {_reason(error)}.") from error
        except OSError as error:
            self._client = None
            missing = shown(str(error.filename or type(error).__name__), 100)
            raise CredentialsRefusedError(f"Andon cannot use its credentials for {self._named}: {missing}.") from error
        except (msgspec.MsgspecError, KeyError, ValueError) as error:
            raise TransientError(f"What answers for {self._named} does not speak as Kubernetes does.") from error

    def _connected(self) -> AsyncClient:
        if self._client is None:
            config = self._read()
            server = urlsplit(config.cluster.server)
            proxy = None
            if server.hostname and not urllib.request.proxy_bypass(server.hostname):
                proxy = urllib.request.getproxies().get(server.scheme)
            assert config.user is not None, "checked when it was read"
            transport = httpx2.AsyncHTTPTransport(
                verify=verify_cluster(config.cluster, config.user, config.abs_file),
                limits=httpx2.Limits(max_keepalive_connections=0),
                proxy=proxy,
            )
            timeout = httpx2.Timeout(self._config.timeout.total_seconds())
            self._client = AsyncClient(config, timeout=timeout, transport=transport)
        return self._client

    def _read(self) -> SingleConfig:
        try:
            if self._config.kubeconfig is None:
                if "KUBERNETES_SERVICE_HOST" not in os.environ:
                    raise ConfigError(
                        "it does not run in a pod; name a file with `kubeconfig:` in the deployer's `with:`"
                    )
                found = KubeConfig.from_service_account(self._service_account).get()
            else:
                found = KubeConfig.from_file(self._config.kubeconfig).get(self._config.context)
        except (KeyError, TypeError, AttributeError, ValueError, yaml.YAMLError, msgspec.MsgspecError) as error:
            raise ConfigError("the file is no kubeconfig that can be used") from error
        except OSError as error:
            raise ConfigError(f"the file cannot be read ({error.strerror})") from error
        if found is None or found.user is None:
            raise ConfigError("the context names no user")
        return found

    # ---- refusals ---------------------------------------------------------------------------------------------------

    def _refusal(self, error: httpx2.HTTPStatusError, what: str) -> PortError:
        code = error.response.status_code
        words = str(_status(error).get("message") or "")
        said = f": {shown(words, 400)}" if words else ""
        if code == 401:
            # The file may have been renewed since: the next question reads it again.
            self._client = None
            return CredentialsRefusedError(
                f"The API server does not take Andon's credentials (401): they may have expired; renew those of "
                f"{self._named}."
            )
        if code == 403:
            return PermanentError(_forbidden(words, what))
        if code == 404:
            return GoneError(f"There is no {what}.")
        if code == 409 or (code == 422 and not _is_about_the_object(error)):
            return ChangedError(f"The {what} was changed by somebody else at the same time.")
        if code in (400, 405, 413, 415, 422):
            return PermanentError(f"The API server refused the change of the {what} ({code}){said}")
        if code == 429:
            return TransientError(
                "The API server has too much to do (429).", retry_after=_seconds(error.response.headers)
            )
        return TransientError(f"The API server could not answer ({code}){said or '.'}")


def _status(error: httpx2.HTTPStatusError) -> Mapping[str, Any]:
    """What a refusal says of itself; nothing where it is not Kubernetes that refuses."""
    try:
        found = error.response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _is_about_the_object(error: httpx2.HTTPStatusError) -> bool:
    """Whether 422 says what is wrong with the object; where a patch's own `test` failed it says nothing."""
    details = _status(error).get("details")
    return isinstance(details, dict) and bool(details.get("kind"))


def _forbidden(words: str, what: str) -> str:
    """What is missing: a verb of the Role, or somebody's policy let it not pass."""
    found = _RBAC.search(words)
    if found:
        return (
            f"Andon may not {found['verb']} {found['resource']}: give its account the verb `{found['verb']}` on "
            f"`{found['resource']}` there ({DOCS})."
        )
    return f"The cluster does not allow it for the {what} (403): {shown(words, 400)}"


def _seconds(headers: httpx2.Headers) -> timedelta | None:
    text = headers.get("Retry-After", "")
    return timedelta(seconds=min(int(text), 3600)) if text.isdecimal() else None


def _reason(error: ConfigError) -> str:
    text = str(error)
    program = re.match(r"Exec (\S+) returned (-?\d+)", text)
    return f"{Path(program[1]).name} ended with {program[2]}" if program else shown(text, 200)


def _selected(selector: LabelSelector) -> Any:
    """An object's own selector as a question asks it: pairs, because one label may be spoken of twice."""
    found: list[tuple[str, Any]] = list((selector.matchLabels or {}).items())
    for one in selector.matchExpressions or []:
        values = list(one.values or [])
        match one.operator:
            case "In":
                found.append((one.key, operators.in_(values)))
            case "NotIn":
                found.append((one.key, operators.not_in(values)))
            case "Exists":
                found.append((one.key, operators.exists()))
            case "DoesNotExist":
                found.append((one.key, operators.not_exists()))
    return found
