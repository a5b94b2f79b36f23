"""The other addresses an app and its installer use: response URLs and OAuth's authorize page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from simulator.config import ALL_SCOPES
from simulator.errors import ApiError
from simulator.faults import Faults
from simulator.installing import Installing
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
    """OAuth's authorize page: Allow or Cancel, then back to the redirect URI with a code or `error=access_denied`."""

    def __init__(self, workspace: Workspace, installing: Installing) -> None:
        self._workspace = workspace
        self._installing = installing

    async def page(self, request: web.Request) -> web.StreamResponse:
        """Show what is asked for; with `answer=allow` or `answer=cancel` lead back."""
        app, query = self._workspace.app, request.query
        given = query.get("redirect_uri", "")
        redirect = given or next(iter(app.redirect_urls), "")
        scopes = frozenset(scope for scope in query.get("scope", "").split(",") if scope)
        wrong = self._wrong(query.get("client_id", ""), redirect, scopes)
        if wrong:
            return web.Response(status=400, text=wrong)
        match query.get("answer"):
            case "allow":
                user = query.get("as") or next(u.id for u in self._workspace.users.values() if not u.is_bot)
                code = self._installing.allow(redirect=given, scopes=scopes, user=user)
                parameters = {"code": code, "state": query.get("state", "")}
            case "cancel":
                parameters = {"error": "access_denied", "state": query.get("state", "")}
            case _:
                return web.Response(text=self._asked(query, scopes), content_type="text/html")
        raise web.HTTPFound(f"{redirect}{'&' if '?' in redirect else '?'}{urlencode(parameters)}")

    def _wrong(self, client_id: str, redirect: str, scopes: frozenset[str]) -> str:
        app = self._workspace.app
        if client_id != app.client_id:
            return "invalid client_id"
        if not scopes:
            return "No scopes requested"
        if app.redirect_urls and not any(redirect.startswith(known) for known in app.redirect_urls):
            return "redirect_uri did not match any configured URIs"
        if not redirect.startswith(("http://", "https://")):
            return "redirect_uri is missing"
        if unknown := scopes - ALL_SCOPES:
            return f"Invalid permissions requested: {', '.join(sorted(unknown))}"
        return ""

    def _asked(self, query: Mapping[str, str], scopes: frozenset[str]) -> str:
        links = "".join(
            f'<p><a href="?{escape(urlencode({**query, "answer": answer}))}">{word}</a></p>'
            for answer, word in (("allow", "Allow"), ("cancel", "Cancel"))
        )
        wanted = "".join(f"<li>{escape(scope)}</li>" for scope in sorted(scopes))
        app, team = escape(self._workspace.app.name), escape(self._workspace.name)
        title = f"{app} is requesting permission to access the {team} workspace"
        return f"<!doctype html><title>{title}</title><h1>{title}</h1><ul>{wanted}</ul>{links}"
