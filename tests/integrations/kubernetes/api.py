"""A strict API server on loopback: Kubernetes' paths, rights, patches and refusals, over the objects of a `World`.

What the real one would refuse, it refuses in its words; what Andon has no business with, it notes in `strange`.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonpatch
import yaml
from aiohttp import web

from tests.integrations.kubernetes.schemas import InvalidObject, validate
from tests.integrations.kubernetes.world import Object, World

TOKEN = "open-sesame"
USER = "system:serviceaccount:andon:andon"
RESOURCES = {
    ("apps", "deployments"): "Deployment",
    ("apps", "statefulsets"): "StatefulSet",
    ("apps", "replicasets"): "ReplicaSet",
    ("", "pods"): "Pod",
    ("", "events"): "Event",
}
PATCHES = "application/json-patch+json"
FORMATS = (
    f"{PATCHES}, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml"
)
QUERIES = {
    "GET": {"labelSelector", "fieldSelector", "limit", "continue", "container", "tailLines", "timestamps", "follow"},
    "PATCH": {"fieldManager"},
    "DELETE": set(),
}
REJECTED = "the server rejected our request due to an error in our request"


@dataclass
class Fault:
    """What goes wrong with requests: a status, or `drop` (no answer) before or after they are carried out.

    `verb` is of the rights (get, list, patch, delete), `resource` as in `deployments` or `pods/log`.
    """

    verb: str
    resource: str = ""
    status: int = 0
    is_carried_out: bool = False
    hangs: bool = False
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None

    def meets(self, verb: str, resource: str) -> bool:
        return self.times > 0 and self.verb == verb and self.resource in ("", resource)


@dataclass
class Refusal(Exception):
    """A Status object with its code."""

    code: int
    reason: str
    message: str
    details: Object | None = None


@dataclass
class Api:
    """One API server. `rules` are those of a Role; None may do everything."""

    world: World = field(default_factory=World)
    rules: Sequence[Object] | None = None
    token: str = TOKEN
    faults: list[Fault] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Verb and resource of every request."""
    patched: list[tuple[str, list[Object]]] = field(default_factory=list)
    """Name and operations of every patch that was carried out."""
    before: Callable[[str, str], None] = lambda _verb, _resource: None
    after: Callable[[str, str], None] = lambda _verb, _resource: None
    page: int = 500
    """The most objects of one answer to a list."""
    url: str = ""
    _closing: asyncio.Event = field(default_factory=asyncio.Event)

    @contextlib.asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Api]:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
            self.url = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            self._closing.set()
            await runner.cleanup()

    def kubeconfig(self, path: Path, token: str = TOKEN) -> str:
        """Write a kubeconfig with two contexts, of which `test` is this server."""
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "other",
                    "clusters": [
                        {"name": "here", "cluster": {"server": self.url}},
                        {"name": "nowhere", "cluster": {"server": "http://127.0.0.1:1"}},
                    ],
                    "users": [{"name": "andon", "user": {"token": token}}],
                    "contexts": [
                        {"name": "test", "context": {"cluster": "here", "user": "andon"}},
                        {"name": "other", "context": {"cluster": "nowhere", "user": "andon"}},
                    ],
                }
            )
        )
        return str(path)

    # ---- one request ------------------------------------------------------------------------------------------------

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._judged(request)
        except Refusal as refusal:
            return _status(refusal)

    async def _judged(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            raise Refusal(401, "Unauthorized", "Unauthorized")
        group, namespace, resource, name = self._path(request)
        verb = {"GET": "get" if name else "list", "PATCH": "patch", "DELETE": "delete"}[request.method]
        body = await request.text()
        self.asked.append((verb, resource))
        self.before(verb, resource)
        fault = next((one for one in self.faults if one.meets(verb, resource)), None)
        if fault is not None:
            fault.times -= 1
            if fault.is_carried_out:
                self._carried_out(request, body, (group, namespace, resource, name))
            return await self._faulty(request, fault)
        self._allow(verb, group, namespace, resource, name)
        answer = self._carried_out(request, body, (group, namespace, resource, name))
        self.after(verb, resource)
        return answer

    def _path(self, request: web.Request) -> tuple[str, str, str, str]:
        steps = request.path.strip("/").split("/")
        group = ""
        if steps[:3] == ["apis", "apps", "v1"]:
            group, steps = "apps", steps[3:]
        elif steps[:2] == ["api", "v1"]:
            steps = steps[2:]
        else:
            steps = []
        known = len(steps) >= 3 and steps[0] == "namespaces" and (group, steps[2]) in RESOURCES
        unknown = set(request.query) - QUERIES.get(request.method, set())
        if not known or len(steps) > 5 or unknown or request.method not in QUERIES:
            self.strange.append(f"{request.method} {request.path_qs}")
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        resource = steps[2] + (f"/{steps[4]}" if len(steps) == 5 else "")
        return group, steps[1], resource, steps[3] if len(steps) > 3 else ""

    def _allow(self, verb: str, group: str, namespace: str, resource: str, name: str) -> None:
        if self.rules is None:
            return
        for rule in self.rules:
            named = rule.get("resourceNames")
            if (
                group in rule["apiGroups"]
                and resource in rule["resources"]
                and verb in rule["verbs"]
                and (not named or name in named)
            ):
                return
        which = f'{_qualified(group, _whole(resource))} "{name}"' if name else _qualified(group, resource)
        raise Refusal(
            403,
            "Forbidden",
            f'{which} is forbidden: User "{USER}" cannot {verb} resource "{resource}" in API group "{group}" in the '
            f'namespace "{namespace}"',
            {"name": name, "group": group, "kind": resource},
        )

    async def _faulty(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault.hangs:
            await self._closing.wait()
        if not fault.status:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if fault.body is not None:
            return web.Response(status=fault.status, text=fault.body, headers=fault.headers)
        answer = _status(Refusal(fault.status, "Injected", f"injected {fault.status}"))
        answer.headers.update(fault.headers)
        return answer

    def _carried_out(self, request: web.Request, body: str, which: tuple[str, str, str, str]) -> web.Response:
        group, namespace, resource, name = which
        kind = RESOURCES[group, _whole(resource)]
        if not name:
            return self._list(request, kind, namespace)
        if request.method == "GET" and group == "apps":
            self.world.step()
        thing = self.world.objects.get((kind, namespace, name))
        if thing is None:
            raise Refusal(
                404, "NotFound", f'{_qualified(group, _whole(resource))} "{name}" not found',
                {"name": name, "group": group, "kind": resource},
            )  # fmt: skip
        if resource == "pods/log":
            return self._log(request, thing)
        if request.method == "PATCH":
            thing = self._patched(request, body, thing, group, resource)
        if request.method == "DELETE":
            assert kind == "Pod"
            self.world._end(thing)
        return _json(thing)

    # ---- what it does -----------------------------------------------------------------------------------------------

    def _list(self, request: web.Request, kind: str, namespace: str) -> web.Response:
        found = sorted(self.world.of(kind, namespace=namespace), key=lambda thing: thing["metadata"]["name"])
        labels, fields = request.query.get("labelSelector", ""), request.query.get("fieldSelector", "")
        found = [thing for thing in found if _selected(thing["metadata"].get("labels", {}), labels)]
        for part in filter(None, fields.split(",")):
            key, _, value = part.partition("=")
            if key not in ("metadata.name", "involvedObject.uid"):
                raise Refusal(400, "BadRequest", f'"{key}" is not a known field selector: only "metadata.name"')
            found = [thing for thing in found if _at(thing, key) == value]
        start = int(request.query.get("continue", "0"))
        limit = min(int(request.query.get("limit", "500")), self.page)
        meta = {"resourceVersion": str(self.world.version)}
        if start + limit < len(found):
            meta["continue"] = str(start + limit)
        version = "apps/v1" if kind == "ReplicaSet" else "v1"
        items = [
            {key: value for key, value in thing.items() if key not in ("kind", "apiVersion")}
            for thing in found[start : start + limit]
        ]
        return _json({"kind": f"{kind}List", "apiVersion": version, "metadata": meta, "items": items})

    def _log(self, request: web.Request, pod: Object) -> web.Response:
        name = request.query.get("container", "")
        container = next((one for one in pod["spec"]["containers"] if one["name"] == name), None)
        if container is None:
            raise Refusal(400, "BadRequest", f"container {name} is not valid for pod {pod['metadata']['name']}")
        statuses = pod["status"].get("containerStatuses", [])
        state: Object = next((one for one in statuses if one["name"] == name), {"state": {"waiting": {}}})
        if "waiting" in state["state"] and "lastState" not in state:
            where = f'container "{name}" in pod "{pod["metadata"]["name"]}"'
            raise Refusal(400, "BadRequest", f"{where} is waiting to start: ContainerCreating")
        lines = self.world.logs.get(container["image"].rpartition("@")[2], "").splitlines(keepends=True)
        return web.Response(text="".join(lines[-int(request.query.get("tailLines", "1000")) :]))

    def _patched(self, request: web.Request, body: str, thing: Object, group: str, resource: str) -> Object:
        form = request.headers.get("Content-Type", "")
        if form != PATCHES:
            self.strange.append(f"PATCH as {form}")
            raise Refusal(
                415, "UnsupportedMediaType",
                f"the body of the request was in an unknown format - accepted media types include: {FORMATS}",
            )  # fmt: skip
        try:
            operations = json.loads(body)
            new = jsonpatch.JsonPatch(operations).apply(thing)
        except (ValueError, jsonpatch.InvalidJsonPatch) as error:
            raise Refusal(400, "BadRequest", f"error decoding patch: {error}") from error
        except (jsonpatch.JsonPatchTestFailed, jsonpatch.JsonPatchConflict, jsonpatch.JsonPointerException) as error:
            raise Refusal(422, "Invalid", REJECTED, {}) from error
        name = thing["metadata"]["name"]
        details = {"name": name, "group": group, "kind": thing["kind"]}
        invalid = f'{thing["kind"]}.{group} "{name}" is invalid: '
        for path in ("apiVersion", "kind", "metadata.name", "metadata.namespace", "metadata.uid", "spec.selector"):
            if _at(new, path) != _at(thing, path):
                raise Refusal(422, "Invalid", f"{invalid}{path}: Invalid value: field is immutable", details)
        try:
            validate(new)
        except InvalidObject as error:
            raise Refusal(422, "Invalid", f"{invalid}{error}", details) from error
        for path in ("metadata.resourceVersion", "metadata.generation", "status"):
            assert _at(new, path) == _at(thing, path), f"nobody but the server writes {path}"
        if new == thing:
            return thing
        self.patched.append((name, operations))
        new = dict(copy.deepcopy(new))
        if new["spec"] != thing["spec"]:
            new["metadata"]["generation"] += 1
        _claim(new, thing, request.query.get("fieldManager", "unknown"))
        self.world.objects[thing["kind"], thing["metadata"]["namespace"], name] = new
        self.world.touch(new)
        return new


def _claim(new: Object, old: Object, manager: str) -> None:
    """Whoever changes an image owns the field from then on."""
    entries = new["metadata"].setdefault("managedFields", [])
    before = {one["name"]: one.get("image") for one in old["spec"]["template"]["spec"]["containers"]}
    for container in new["spec"]["template"]["spec"]["containers"]:
        if container.get("image") == before.get(container["name"]):
            continue
        key = f'k:{{"name":"{container["name"]}"}}'
        for entry in entries:
            held = entry["fieldsV1"].get("f:spec", {}).get("f:template", {}).get("f:spec", {}).get("f:containers", {})
            held.get(key, {}).pop("f:image", None)
        entries[:] = [entry for entry in entries if entry["manager"] != manager]
        fields: Object = {"f:spec": {"f:template": {"f:spec": {"f:containers": {key: {"f:image": {}}}}}}}
        entries.append(
            {
                "manager": manager, "operation": "Update", "apiVersion": "apps/v1", "time": "2026-01-02T03:04:05Z",
                "fieldsType": "FieldsV1", "fieldsV1": fields,
            }
        )  # fmt: skip


def _json(thing: Object, status: int = 200) -> web.Response:
    """Without a charset in its type, as the real one answers."""
    return web.Response(body=json.dumps(thing).encode(), status=status, content_type="application/json")


def _status(refusal: Refusal) -> web.Response:
    return _json(
        {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": refusal.message,
            "reason": refusal.reason, "code": refusal.code,
            **({"details": refusal.details} if refusal.details is not None else {}),
        },
        status=refusal.code,
    )  # fmt: skip


def _whole(resource: str) -> str:
    return resource.partition("/")[0]


def _qualified(group: str, resource: str) -> str:
    return f"{resource}.{group}" if group else resource


def _selected(labels: Object, selector: str) -> bool:
    for part in filter(None, selector.split(",")):
        key, equals, value = part.partition("=")
        if (equals and labels.get(key) != value) or (not equals and key not in labels):
            return False
    return True


def _at(thing: Any, path: str) -> Any:
    for step in path.split("."):
        thing = thing.get(step, {}) if isinstance(thing, dict) else {}
    return thing
