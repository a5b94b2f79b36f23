"""`/api/<method>` over HTTP: token, arguments, scopes, rate limits and faults around the methods; strict in all."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from simulator import methods_chat, methods_conversations, methods_files, methods_people, methods_views
from simulator.api import METHODS, Call, Method, check_arguments
from simulator.errors import ApiError
from simulator.faults import Fault, Faults
from simulator.installing import Installing
from simulator.records import Json
from simulator.socket_mode import SocketMode
from simulator.tickets import Tickets
from simulator.workspace import Workspace

LOADED = (methods_chat, methods_conversations, methods_files, methods_people, methods_views)


@dataclass
class WebApi:
    """Serves the methods of one workspace."""

    workspace: Workspace
    tickets: Tickets
    socket: SocketMode
    faults: Faults
    installing: Installing

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one call as Slack would, or as a fault has it."""
        name = request.match_info["method"]
        self.faults.calls[name] += 1
        if self.faults.paused:
            return web.Response(status=503, text="Service Unavailable")
        refusal: ApiError | None = None
        arguments: Json = {}
        try:
            arguments = {**_client_credentials(request), **await _arguments(request)}
        except ApiError as error:
            refusal = error
        channel = str(arguments.get("channel", "")) or None
        fault = self.faults.strike(name, channel)
        if fault is not None and (answer := await self._befall(fault, request)) is not None:
            return answer
        found = METHODS.get(name)
        wait = self.faults.over_the_limit(name, found.tier if found else 0, channel)
        if wait is not None:
            return _rate_limited(wait)
        body = refusal.answer() if refusal else await self._answer(name, found, request, arguments)
        if fault is not None and fault.fault == "drop_after":
            return _drop(request)
        headers = {"x-oauth-scopes": ",".join(sorted(self.workspace.app.scopes))}
        if found is not None and found.scope:
            headers["x-accepted-oauth-scopes"] = found.scope.replace("|", ",")
        return web.json_response(body, headers=headers)

    async def _befall(self, fault: Fault, request: web.Request) -> web.StreamResponse | None:
        """Answer in place of the method, or wait and return None to go on."""
        match fault.fault:
            case "rate_limited":
                return _rate_limited(fault.retry_after)
            case "server_error":
                return web.Response(status=500, text="Internal Server Error")
            case "unavailable":
                return web.Response(status=503, text="Service Unavailable")
            case "error":
                return web.json_response({"ok": False, "error": fault.code})
            case "drop_before":
                return _drop(request)
            case "slow":
                await asyncio.sleep(fault.seconds)
        return None

    async def _answer(self, name: str, found: Method | None, request: web.Request, arguments: Json) -> Json:
        if found is None:
            return ApiError("unknown_method", req_method=name).answer()
        try:
            self._check_token(found, _token(request, arguments))
            call = Call(name, arguments, self.workspace, self.tickets, self.socket, self.installing)
            if found.scope is not None:
                call.need(found.scope)
            check_arguments(found, arguments)
            return {"ok": True, **await found.body(call)}
        except ApiError as error:
            return error.answer()

    def _check_token(self, found: Method, token: str) -> None:
        app = self.workspace.app
        if found.caller == "nobody":
            return
        if not token:
            raise ApiError("not_authed")
        is_bot = self.installing.is_bot(token)
        if not is_bot and token != app.app_token:
            raise ApiError("invalid_auth")
        if is_bot is not (found.caller == "bot"):
            raise ApiError("not_allowed_token_type")
        if is_bot and (trouble := self.installing.trouble(token)):
            raise ApiError(trouble)

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """Take the bytes of an external upload, raw or as the one part of a form."""
        if self.faults.paused:
            return web.Response(status=503, text="Service Unavailable")
        fault = self.faults.strike("files.upload")
        if fault is not None and (answer := await self._befall(fault, request)) is not None:
            return answer
        file = self.workspace.files.get(request.match_info["file"])
        if file is None or file.is_complete:
            return web.Response(status=404, text="unknown upload")
        content = await _upload_bytes(request)
        if len(content) != int(request.query.get("length", "-1")):
            return web.Response(status=400, text="the length differs from what was announced")
        file.content = content
        return web.Response(text=f"OK - {len(content)}")

    async def download(self, request: web.Request) -> web.StreamResponse:
        """Give a file to whoever has the bot token and `files:read`."""
        file = self.workspace.files.get(request.match_info["file"])
        if self.installing.trouble(_bearer(request)) or "files:read" not in self.workspace.app.scopes:
            return web.Response(status=302, headers={"Location": self.workspace.url})
        if file is None or not file.is_complete:
            return web.Response(status=404)
        return web.Response(body=file.content, content_type=file.mimetype)


async def _upload_bytes(request: web.Request) -> bytes:
    if request.content_type == "multipart/form-data":
        form = await request.post()
        part = next((value for value in form.values() if isinstance(value, web.FileField)), None)
        return part.file.read() if part is not None else b""
    return await request.read()


async def _arguments(request: web.Request) -> Json:
    """Collect arguments from the query, and from a form or JSON body."""
    arguments: Json = dict(request.query)
    if request.method == "POST" and request.can_read_body:
        if request.content_type == "application/json":
            try:
                body: Any = json.loads(await request.text())
            except ValueError:
                raise ApiError("invalid_json") from None
            if not isinstance(body, dict):
                raise ApiError("json_not_object")
            arguments |= body
        elif request.content_type in {"application/x-www-form-urlencoded", "multipart/form-data"}:
            arguments |= {key: value for key, value in (await request.post()).items() if isinstance(value, str)}
        elif await request.read():
            raise ApiError("invalid_post_type")
    return arguments


def _client_credentials(request: web.Request) -> Json:
    """Return the client id and secret of an HTTP Basic header, as OAuth's methods take them."""
    kind, _, coded = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "basic":
        return {}
    try:
        client_id, _, client_secret = base64.b64decode(coded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise ApiError("invalid_auth") from None
    return {"client_id": client_id, "client_secret": client_secret}


def _bearer(request: web.Request) -> str:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _token(request: web.Request, arguments: Json) -> str:
    """Return the bearer token; a `token` argument in the body serves too, in the address it does not."""
    if "token" in request.query:
        raise ApiError("invalid_auth")
    return _bearer(request) or str(arguments.get("token", ""))


def _rate_limited(seconds: int) -> web.Response:
    return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": str(seconds)})


def _drop(request: web.Request) -> web.Response:
    """Cut the connection; the response returned is never sent."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
