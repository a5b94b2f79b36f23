"""`/_sim/…` and the page's files: the calls of PAGE_PROTOCOL.md, answered to loopback pages only."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from simulator.acting import Acting
from simulator.delivery import Answer
from simulator.errors import Refused
from simulator.live import Live
from simulator.page_shapes import page_commands, page_message, page_stack, page_view, page_workspace
from simulator.pressing import Pressing, Where
from simulator.records import Json, Message, User
from simulator.socket_mode import SocketMode

PAGE = Path(__file__).parent / "page"
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Call = Callable[[Json], Awaitable[Json]]


@web.middleware
async def loopback_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse foreign Host and Origin headers on everything made for the page, and say refusals in JSON."""
    if request.path == "/" or request.path.startswith(("/_sim", "/page")):
        origin = request.headers.get("Origin")
        hosts = [urlsplit(f"//{request.host}").hostname]
        hosts += [urlsplit(origin).hostname] if origin is not None else []
        if any(host not in LOOPBACK for host in hosts):
            return _refusal(Refused("forbidden", "Only pages on this machine may come here.", 403))
    try:
        return await handler(request)
    except Refused as refused:
        return _refusal(refused)


def _refusal(refused: Refused) -> web.Response:
    body = {"ok": False, "error": refused.code, "message": refused.message, **refused.extra}
    return web.json_response(body, status=refused.status)


@dataclass
class PageApi:
    """Handlers of the page's calls."""

    acting: Acting
    pressing: Pressing
    live: Live
    socket: SocketMode

    def routes(self) -> list[web.RouteDef]:
        """Return all routes."""
        posts: dict[str, Call] = {
            "type": self.type,
            "edit": self.edit,
            "delete": self.delete,
            "react": self.react,
            "dismiss": self.dismiss,
            "join": self.join,
            "leave": self.leave,
            "invite": self.invite,
            "dm": self.direct,
            "click": self.click,
            "options": self.options,
            "submit": self.submit,
            "close": self.close,
            "shortcut": self.shortcut,
            "home": self.home,
            "reload": self.reload,
            "socket": self.disconnect,
            "faults": self.set_fault,
        }
        gets: dict[str, Handler] = {
            "/_sim/workspace": self.workspace,
            "/_sim/commands": self.commands,
            "/_sim/history": self.history,
            "/_sim/thread": self.thread,
            "/_sim/live": self.serve_live,
            "/_sim/faults": self.faults,
            "/_sim/files/{file}/{name}": self.download,
            "/page/{name:.*}": self.page_file,
            "/": self.page_file,
        }
        routes = [web.get(path, handler) for path, handler in gets.items()]
        routes += [web.post(f"/_sim/{name}", _json_call(call)) for name, call in posts.items()]
        routes += [web.post("/_sim/upload", self.upload), web.delete("/_sim/faults", self.clear_faults)]
        return routes

    # -- reading -----------------------------------------------------------------------------------------------

    def _reader(self, request: web.Request) -> User:
        return self.acting.workspace.user(request.query.get("as", ""))

    def _shape(self, message: Message, reader: User) -> Json:
        return page_message(self.acting.workspace, message, reader.id)

    async def workspace(self, request: web.Request) -> web.StreamResponse:
        """Return the snapshot."""
        me = self._reader(request)
        return _ok(**page_workspace(self.acting.workspace, self.acting.delivery, me))

    async def commands(self, request: web.Request) -> web.StreamResponse:
        """Return the commands to complete."""
        self._reader(request)
        return _ok(commands=page_commands(self.acting.workspace.app))

    async def history(self, request: web.Request) -> web.StreamResponse:
        """Return a channel's messages, the newest `limit` before `before`."""
        me = self._reader(request)
        channel = self.acting.place(me, request.query.get("channel", ""))
        before, limit = request.query.get("before"), request.query.get("limit", "100")
        if not limit.isdigit() or int(limit) < 1:
            raise Refused("bad_request", "`limit` must be a positive number.")
        found = self.acting.workspace.history(channel, me.id)
        found = [message for message in found if before is None or message.ts < before]
        shown = [self._shape(message, me) for message in found[-int(limit) :]]
        return _ok(messages=shown, has_more=len(found) > len(shown))

    async def thread(self, request: web.Request) -> web.StreamResponse:
        """Return a thread."""
        me = self._reader(request)
        top = self.acting.message(me, request.query.get("channel", ""), request.query.get("ts", ""))
        channel = self.acting.workspace.channels[top.channel]
        thread = self.acting.workspace.thread(channel, top.thread_ts or top.ts, me.id)
        return _ok(messages=[self._shape(message, me) for message in thread])

    async def serve_live(self, request: web.Request) -> web.StreamResponse:
        """Serve live updates."""
        return await self.live.serve(request, self._reader(request).id)

    async def download(self, request: web.Request) -> web.StreamResponse:
        """Return a file's bytes to somebody in a channel it was shared in."""
        me = self._reader(request)
        file = self.acting.workspace.files.get(request.match_info["file"])
        shared = [self.acting.workspace.channels[channel] for channel in file.channels] if file else []
        if file is None or not any(self.acting.workspace.may_see(me.id, channel) for channel in shared):
            raise Refused("no_such_file", "There is no such file.", 404)
        safe = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=file.content, content_type=file.mimetype, headers=safe)

    async def page_file(self, request: web.Request) -> web.StreamResponse:
        """Return a file of the page; nothing outside its directory."""
        path = (PAGE / request.match_info.get("name", "index.html")).resolve()
        if not path.is_relative_to(PAGE.resolve()) or not path.is_file():
            return web.Response(status=404, text="The page is not here.")
        return web.FileResponse(path, headers={"Cache-Control": "no-cache"})

    # -- acting ------------------------------------------------------------------------------------------------

    async def type(self, body: Json) -> Json:
        """Post a message or run a slash command."""
        me, text, thread_ts = self.acting.actor(_str(body, "as")), _str(body, "text"), body.get("thread_ts")
        channel = _str(body, "channel")
        if text.lstrip().startswith("/"):
            answer, messages = await self.acting.commands(me.id, channel, text, thread_ts)
            return {"outcome": answer.outcome(), "messages": [self._shape(message, me) for message in messages]}
        broadcast = bool(body.get("broadcast"))
        message = self.acting.says(me.id, channel, text, thread_ts, broadcast=broadcast)
        return {"message": self._shape(message, me)}

    async def edit(self, body: Json) -> Json:
        """Edit a message."""
        me = self.acting.actor(_str(body, "as"))
        message = self.acting.edits(me.id, _str(body, "channel"), _str(body, "ts"), _str(body, "text"))
        return {"message": self._shape(message, me)}

    async def delete(self, body: Json) -> Json:
        """Delete a message."""
        self.acting.deletes(_str(body, "as"), _str(body, "channel"), _str(body, "ts"))
        return {}

    async def react(self, body: Json) -> Json:
        """Add or remove a reaction."""
        place = (_str(body, "channel"), _str(body, "ts"))
        self.acting.reacts(_str(body, "as"), *place, _str(body, "name"), remove=bool(body.get("remove")))
        return {}

    async def dismiss(self, body: Json) -> Json:
        """Dismiss an ephemeral."""
        self.acting.dismisses(_str(body, "as"), _str(body, "channel"), _str(body, "ts"))
        return {}

    async def join(self, body: Json) -> Json:
        """Join a public channel."""
        me = self.acting.actor(_str(body, "as"))
        self.acting.workspace.join(me.id, self.acting.place(me, _str(body, "channel")))
        return {}

    async def leave(self, body: Json) -> Json:
        """Leave a channel."""
        me = self.acting.actor(_str(body, "as"))
        self.acting.workspace.leave(me.id, self.acting.place(me, _str(body, "channel"), member=True))
        return {}

    async def invite(self, body: Json) -> Json:
        """Bring somebody in."""
        self.acting.invites(_str(body, "as"), _str(body, "channel"), _str(body, "user"))
        return {}

    async def direct(self, body: Json) -> Json:
        """Open a direct message."""
        me = self.acting.actor(_str(body, "as"))
        other = self.acting.workspace.user(_str(body, "user"))
        return {"channel": self.acting.workspace.open_im(me.id, other.id).id}

    async def click(self, body: Json) -> Json:
        """Press or choose."""
        answer, url = await self.pressing.click(
            _str(body, "as"),
            _where(body),
            _str(body, "block_id"),
            _str(body, "action_id"),
            value=body.get("value"),
            values=body.get("values"),
            confirmed=bool(body.get("confirmed")),
        )
        return {"outcome": answer.outcome(), **({"url": url} if url else {})}

    async def options(self, body: Json) -> Json:
        """Look up the options of an external select."""
        ids = (_str(body, "block_id"), _str(body, "action_id"))
        answer, options, groups = await self.pressing.suggest(
            _str(body, "as"), _where(body), *ids, str(body.get("query", ""))
        )
        return {"outcome": answer.outcome(), "options": options, "option_groups": groups}

    async def submit(self, body: Json) -> Json:
        """Submit a modal."""
        me = self.acting.actor(_str(body, "as"))
        answer, result, errors = await self.pressing.submit(me.id, _str(body, "view_id"), body.get("values"))
        stack = page_stack(self.acting.workspace, me.id)
        return {"outcome": answer.outcome(), "result": result, "errors": errors, "modal": stack}

    async def close(self, body: Json) -> Json:
        """Close a modal."""
        me = self.acting.actor(_str(body, "as"))
        await self.pressing.close(me.id, _str(body, "view_id"), everything=bool(body.get("all")))
        return {"modal": page_stack(self.acting.workspace, me.id)}

    async def shortcut(self, body: Json) -> Json:
        """Run a shortcut."""
        place = (body.get("channel"), body.get("ts"))
        answer = await self.acting.shortcut(_str(body, "as"), _str(body, "callback_id"), *place)
        return {"outcome": answer.outcome()}

    async def home(self, body: Json) -> Json:
        """Open App Home."""
        me = self.acting.actor(_str(body, "as"))
        await self.acting.opens_home(me.id)
        view = self.acting.workspace.homes.get(me.id)
        return {"outcome": Answer(True).outcome(), "view": page_view(view) if view else None}

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """Share a file."""
        form = await request.post()
        part = form.get("file")
        if not isinstance(part, web.FileField):
            raise Refused("bad_request", "Send the file as the form field `file`.")
        me = self.acting.actor(str(form.get("as", "")))
        channel, text, thread_ts = (str(form.get(key) or "") for key in ("channel", "text", "thread_ts"))
        name = Path(part.filename).name or "file"
        message = self.acting.uploads(me.id, channel, name, part.file.read(), text, thread_ts or None)
        return _ok(message=self._shape(message, me))

    async def reload(self, body: Json) -> Json:
        """Do what a reload does."""
        self.acting.workspace.reload(self.acting.workspace.user(_str(body, "as")).id)
        return {}

    # -- operating ---------------------------------------------------------------------------------------------

    async def disconnect(self, body: Json) -> Json:
        """Disconnect the app's socket."""
        reason = _str(body, "disconnect")
        if reason not in {"warning", "refresh_requested", "link_disabled", "drop"}:
            raise Refused("bad_request", f"Unknown reason {reason!r}.")
        await self.socket.disconnect(reason)
        return {"connections": self.socket.connections}

    async def faults(self, _request: web.Request) -> web.StreamResponse:
        """Return the faults in force and the calls counted."""
        faults = self.acting.faults
        return _ok(
            faults=[fault.shape() for fault in faults.active()],
            enforce_rate_limits=faults.enforce_rate_limits,
            paused=faults.paused,
            calls=dict(faults.calls),
        )

    async def set_fault(self, body: Json) -> Json:
        """Add a fault, pause or resume, switch rate limits."""
        if isinstance(body.get("pause"), bool):
            self.acting.faults.paused = self.acting.delivery.is_down = body["pause"]
            if body["pause"]:
                await self.socket.disconnect("drop")
            return {}
        if isinstance(body.get("enforce_rate_limits"), bool):
            self.acting.faults.enforce_rate_limits = body["enforce_rate_limits"]
            return {}
        how = {key: value for key, value in body.items() if key not in {"method", "fault", "as"}}
        kind: Any = _str(body, "fault")
        return {"fault": self.acting.faults.set(_str(body, "method"), kind, **how).shape()}

    async def clear_faults(self, request: web.Request) -> web.StreamResponse:
        """Remove one fault or all."""
        identity = request.query.get("id")
        self.acting.faults.clear(int(identity) if identity and identity.isdigit() else None)
        return _ok()


def _ok(**fields: Any) -> web.Response:
    return web.json_response({"ok": True, **fields})


def _json_call(call: Call) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.content_type != "application/json":
            raise Refused("bad_request", "Send application/json.")
        try:
            body: Any = json.loads(await request.text())
        except ValueError:
            raise Refused("bad_request", "The body is not JSON.") from None
        if not isinstance(body, dict):
            raise Refused("bad_request", "The body must be an object.")
        return _ok(**await call(body))

    return handler


def _str(body: Json, key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise Refused("bad_request", f"`{key}` is missing.")
    return value


def _where(body: Json) -> Where:
    if isinstance(body.get("view_id"), str):
        return Where(view_id=body["view_id"])
    return Where(_str(body, "channel"), _str(body, "ts"))
