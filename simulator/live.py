"""Live updates: one WebSocket a page, each told what its person may see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from simulator.delivery import NOT_RESPONDING, Delivery
from simulator.page_shapes import page_app, page_message, page_stack, page_view
from simulator.records import Channel, Json, Message
from simulator.workspace import Change, Workspace

MOST_WAITING = 10_000
Frame = Callable[[str], Json]


@dataclass(eq=False)
class Page:
    """One open page: who looks at it, and the frames waiting to go."""

    user: str
    frames: asyncio.Queue[Json | None] = field(default_factory=lambda: asyncio.Queue(MOST_WAITING))

    def put(self, frame: Json | None) -> None:
        """Queue a frame; a page that stopped reading loses the newest and reads all again when it reconnects."""
        if not self.frames.full():
            self.frames.put_nowait(frame)


class Live:
    """All open pages of a workspace."""

    def __init__(self, workspace: Workspace, delivery: Delivery) -> None:
        self._workspace = workspace
        self._delivery = delivery
        self._pages: set[Page] = set()

    async def serve(self, request: web.Request, user: str) -> web.WebSocketResponse:
        """Serve one page until it goes."""
        socket = web.WebSocketResponse(heartbeat=30)
        await socket.prepare(request)
        page = Page(user)
        self._pages.add(page)
        page.put({"type": "hello", "me": user})
        writer = asyncio.create_task(self._write(page, socket))
        try:
            async for _ in socket:
                pass
        finally:
            self._pages.discard(page)
            page.put(None)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        return socket

    async def _write(self, page: Page, socket: web.WebSocketResponse) -> None:
        while (frame := await page.frames.get()) is not None:
            try:
                await socket.send_json(frame)
            except ConnectionResetError:
                return
        await socket.close()

    async def close(self) -> None:
        """Ask every page's connection to end."""
        for page in list(self._pages):
            page.put(None)

    def app_changed(self) -> None:
        """Tell every page whether the app is connected."""
        self._to_all({"type": "app", **page_app(self._workspace.app, self._delivery)})

    def hear(self, change: Change) -> None:
        """Tell the pages concerned of a change."""
        match change.kind:
            case "message" | "message_changed" | "message_deleted":
                self._message(change)
            case "reaction_added" | "reaction_removed":
                self._show(change.channel, change.message, "message_changed")
            case "modal":
                stack = page_stack(self._workspace, change.user or "")
                self._to(change.user, {"type": "modal", "stack": stack, "reason": change.detail["reason"]})
            case "home":
                view = self._workspace.homes[change.user or ""]
                self._to(change.user, {"type": "home", "view": page_view(view)})
            case "notice":
                words = change.detail.get("text", NOT_RESPONDING)
                where = change.detail["where"]
                self._to(change.user, {"type": "notice", "level": "error", "text": words, "where": where})
            case "reloaded":
                self._to(change.user, {"type": "reloaded"})
            case "member_joined" | "member_left" | "group_changed" | "workspace":
                if change.message is not None:
                    self._show(change.channel, change.message, "message_changed")
                self._to_all({"type": "workspace"})

    def _message(self, change: Change) -> None:
        channel, message = change.channel, change.message
        if channel is None or message is None:
            return
        if change.kind == "message_deleted":
            gone = {"channel": channel.id, "ts": message.ts, "thread_ts": message.thread_ts}
            self._to_readers(channel, message, lambda _: {"type": "message_deleted", **gone})
        else:
            self._show(channel, message, change.kind)
        parent = channel.messages.get(message.thread_ts or "")
        if message.is_reply and parent is not None and change.kind != "message_changed":
            self._show(channel, parent, "message_changed")

    def _show(self, channel: Channel | None, message: Message | None, kind: str) -> None:
        if channel is None or message is None:
            return

        def frame(reader: str) -> Json:
            return {"type": kind, "message": page_message(self._workspace, message, reader)}

        self._to_readers(channel, message, frame)

    def _to_readers(self, channel: Channel, message: Message, frame: Frame) -> None:
        for page in self._pages:
            if message.ephemeral_for is None:
                if self._workspace.may_see(page.user, channel):
                    page.put(frame(page.user))
            elif page.user == message.ephemeral_for:
                page.put(frame(page.user))

    def _to(self, user: str | None, frame: Json) -> None:
        for page in self._pages:
            if page.user == user:
                page.put(frame)

    def _to_all(self, frame: Json) -> None:
        for page in self._pages:
            page.put(frame)
