"""The other addresses an app and its installer use: response URLs and OAuth's authorize page."""

from __future__ import annotations

import json
import secrets
from html import escape
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from simulator.errors import ApiError
from simulator.faults import Faults
from simulator.posting import answer_with, judge_content
from simulator.records import Json, Message
from simulator.tickets import ResponseUrl, Tickets
from simulator.workspace import Workspace


class ResponseUrls:
    """Serves POSTs to response URLs: a new message, or replacing or deleting the one acted on."""

    def __init__(self, workspace: Workspace, tickets: Tickets, faults: Faults) -> None:
        self._workspace = workspace
        self._tickets = tickets
        self._faults = faults

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one POST."""
        self._faults.calls["response_url"] += 1
        if self._faults.paused:
            return web.Response(status=503)
        try:
            body: Any = json.loads(await request.text())
        except ValueError:
            return web.Response(status=400, text="invalid_payload")
        if not isinstance(body, dict):
            return web.Response(status=400, text="invalid_payload")
        try:
            self._answer(self._tickets.spend_response_url(request.match_info["key"]), body)
        except ApiError as error:
            status = 404 if error.code in {"expired_url", "used_url"} else 400
            return web.json_response(error.answer(), status=status)
        return web.Response(text="ok")

    def _answer(self, place: ResponseUrl, body: Json) -> None:
        channel = self._workspace.channels[place.channel]
        source = self._source(place)
        if body.get("delete_original"):
            if source is None:
                raise ApiError("cant_delete_message")
            self._workspace.delete(source)
            return
        if body.get("replace_original"):
            if source is None:
                raise ApiError("cant_update_message")
            content = judge_content(self._workspace, body)
            self._workspace.edit(
                source,
                self._workspace.app.bot_user,
                text=content.text,
                blocks=content.blocks,
                attachments=content.attachments,
            )
            return
        if body.get("thread_ts") and (body.get("response_type") != "in_channel" or body.get("replace_original")):
            raise ApiError("invalid_arguments", "[ERROR] thread_ts needs response_type in_channel")
        answer_with(self._workspace, channel, place.user, body)

    def _source(self, place: ResponseUrl) -> Message | None:
        if place.source_ts is None:
            return None
        return self._workspace.find_message(self._workspace.channels[place.channel], place.source_ts, place.user)


class Authorize:
    """OAuth's authorize page: one button, then back to the redirect URI with a code."""

    def __init__(self, workspace: Workspace, codes: dict[str, str]) -> None:
        self._workspace = workspace
        self._codes = codes

    async def page(self, request: web.Request) -> web.StreamResponse:
        """Show what is asked for, or grant it when `allow=1` comes along."""
        app, query = self._workspace.app, request.query
        redirect = query.get("redirect_uri") or next(iter(app.redirect_urls), "")
        if query.get("client_id") != app.client_id:
            return web.Response(status=400, text="invalid client_id")
        if app.redirect_urls and not any(redirect.startswith(known) for known in app.redirect_urls):
            return web.Response(status=400, text="redirect_uri did not match any configured URIs")
        unknown = {scope for scope in query.get("scope", "").split(",") if scope} - app.scopes
        if unknown:
            return web.Response(status=400, text=f"Invalid permissions requested: {', '.join(sorted(unknown))}")
        if not redirect.startswith(("http://", "https://")):
            return web.Response(status=400, text="redirect_uri is missing")
        if query.get("allow") != "1":
            link = f"?{urlencode({**query, 'allow': '1'})}"
            words = f"<p>{escape(app.name)} asks to join {escape(self._workspace.name)}.</p>"
            return web.Response(text=f'{words}<a href="{escape(link)}">Allow</a>', content_type="text/html")
        code = secrets.token_hex(12)
        self._codes[code] = redirect
        glue = "&" if "?" in redirect else "?"
        parameters = urlencode({"code": code, "state": query.get("state", "")})
        raise web.HTTPFound(f"{redirect}{glue}{parameters}")
