"""An image registry on loopback, strict: HEAD of a manifest with the token it asked for; all else is a mistake."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import web

USER, PASSWORD, TOKEN = "puller", "pull-secret", "pull-token"
INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass
class RegistryStandIn:
    """`images` are digests by `name:tag`. `asks` is how it lets in: `` (everybody), `basic` or `bearer`."""

    images: dict[str, str] = field(default_factory=dict)
    asks: str = "bearer"
    is_anonymous: bool = False
    """Whether its tokens are given to everybody."""
    faults: list[int] = field(default_factory=list)
    """Statuses to answer with first."""
    mistakes: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    digest_header: bool = True
    realm: str = ""
    url: str = ""

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[RegistryStandIn]:
        application = web.Application()
        application.router.add_route("*", "/{tail:.*}", self._answer)
        runner = web.AppRunner(application, access_log=None, handle_signals=False)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.calls.append(f"{request.method} {request.path}")
        if self.faults:
            return web.Response(status=self.faults.pop(0), headers={"Location": "http://elsewhere.example.com/"})
        if request.path == "/token":
            return self._token(request)
        found = re.fullmatch(r"/v2/(.+)/manifests/([^/]+)", request.path)
        if found is None or request.method != "HEAD":
            self.mistakes.append(f"{request.method} {request.path}")
            return web.Response(status=405)
        if INDEX not in request.headers.get("Accept", ""):
            self.mistakes.append("it would get the manifest of one platform only")
        name, reference = found.groups()
        if not self._is_let_in(request.headers.get("Authorization", "")):
            realm = self.realm or f"{self.url}/token"
            asked = f'Bearer realm="{realm}",service="standin",scope="repository:{name}:pull"'
            return web.Response(
                status=401, headers={"WWW-Authenticate": asked if self.asks == "bearer" else 'Basic realm="standin"'}
            )
        held = {key: digest for key, digest in self.images.items() if key.rpartition(":")[0] == name}
        digest = held.get(f"{name}:{reference}") or (reference if reference in held.values() else "")
        if not digest:
            return web.Response(status=404)
        return web.Response(headers={"Docker-Content-Digest": digest} if self.digest_header else {})

    def _is_let_in(self, authorization: str) -> bool:
        if self.asks == "basic":
            return authorization == _basic()
        return not self.asks or authorization == f"Bearer {TOKEN}"

    def _token(self, request: web.Request) -> web.Response:
        if request.method != "GET" or set(request.query) != {"scope", "service"}:
            self.mistakes.append(f"{request.method} {request.path_qs}")
            return web.Response(status=400)
        if not self.is_anonymous and request.headers.get("Authorization") != _basic():
            return web.Response(status=401)
        return web.json_response({"token": TOKEN, "expires_in": 300})


def _basic() -> str:
    return "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
