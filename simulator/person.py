"""One person in a running workspace: what they type, press, choose, fill in and see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from simulator.delivery import Answer
from simulator.errors import Refused
from simulator.form_state import Values, fields_of, options_of
from simulator.pressing import Where, clickable, label
from simulator.records import Channel, Json, Message, User, View
from simulator.rendering import plain_view
from simulator.seen import AppSilent, NotSeen, Seen
from simulator.server import Server
from simulator.workspace import Change

PATIENCE = 5.0


@dataclass(frozen=True)
class Answered:
    """What a person sees after a command or a click: messages in order, and a modal, if one opened."""

    messages: list[Seen] = field(default_factory=list)
    modal: Modal | None = None
    url: str | None = None

    @property
    def message(self) -> Seen:
        """The first message."""
        if not self.messages:
            raise NotSeen("No message was shown.")
        return self.messages[0]

    @property
    def text(self) -> str:
        """The raw text of the first message."""
        return self.message.text

    def __str__(self) -> str:
        shown = [str(message) for message in self.messages] + ([str(self.modal)] if self.modal else [])
        return "\n".join(shown)

    def __contains__(self, words: str) -> bool:
        return words in str(self)


class Modal:
    """The modal in front of a person."""

    def __init__(self, person: Person, view: View) -> None:
        self._person = person
        self.view = view

    @property
    def title(self) -> str:
        """Its title."""
        return str(self.view.definition["title"]["text"])

    @property
    def errors(self) -> dict[str, str]:
        """Sentences under fields, by block_id."""
        return self.view.errors

    @property
    def values(self) -> Values:
        """What its fields hold, in Slack's `state.values` shape."""
        return self.view.values

    @property
    def labels(self) -> list[str]:
        """The labels of its fields."""
        return [_field_label(block, item) for block, item in fields_of(self.view.blocks)]

    def __str__(self) -> str:
        return plain_view(self._person.workspace, self.view)

    def __contains__(self, words: str) -> bool:
        return words in str(self)

    async def submits(self, answers: dict[str, Any] | None = None) -> Modal | None:
        """Fill fields, by label, block_id or action_id, and submit; returns the modal in front afterwards."""
        values = self._by_ids(answers or {})
        answer, _, _ = await self._person.server.pressing.submit(self._person.user.id, self.view.id, values)
        self._person.must_answer(answer, f"submitting {self.title!r}")
        return self._person.modal

    async def closes(self, *, everything: bool = False) -> Modal | None:
        """Close it, or the whole stack; returns the modal in front afterwards."""
        await self._person.server.pressing.close(self._person.user.id, self.view.id, everything=everything)
        return self._person.modal

    async def presses(self, words: str, *, confirm: bool = False) -> Answered:
        """Press a button in it."""
        return await self._person.press_in(self.view, words, None, confirm)

    async def chooses(self, words: Any, *, menu: str | None = None, confirm: bool = False) -> Answered:
        """Choose in one of its menus."""
        return await self._person.choose_in(self.view, words, menu, confirm)

    def _by_ids(self, answers: dict[str, Any]) -> Json:
        values: Json = {}
        fields = fields_of(self.view.blocks)
        for name, value in answers.items():
            for block, item in fields:
                if name in {_field_label(block, item), block["block_id"], item["action_id"]}:
                    values.setdefault(block["block_id"], {})[item["action_id"]] = value
                    break
            else:
                known = ", ".join(repr(_field_label(block, item)) for block, item in fields) or "none"
                raise Refused("no_such_element", f"There is no field {name!r}. There are: {known}.", 404)
        return values


def _field_label(block: Json, item: Json) -> str:
    words = block.get("label") or block.get("text") or item.get("placeholder")
    return str(words["text"]) if words else str(item["action_id"])


class Person:
    """Somebody in the workspace."""

    def __init__(self, server: Server, user: User, notices: dict[str, list[str]]) -> None:
        self.server = server
        self.workspace = server.workspace
        self.user = user
        self._notices = notices

    @property
    def id(self) -> str:
        """The user id."""
        return self.user.id

    @property
    def modal(self) -> Modal | None:
        """The modal in front, if any."""
        stack = self.workspace.modals.get(self.id)
        return Modal(self, stack[-1]) if stack else None

    @property
    def notices(self) -> list[str]:
        """The passing notices shown so far, such as "This app did not respond"."""
        return self._notices.get(self.id, [])

    def sees(self, channel: str, thread: Seen | None = None) -> list[Seen]:
        """Return what the person sees in a channel or thread, own ephemerals included."""
        place = self.server.acting.place(self.user, channel)
        if thread is not None:
            found = self.workspace.thread(place, thread.message.thread_ts or thread.ts, self.id)
        else:
            found = self.workspace.history(place, self.id)
        return [Seen(self.workspace, message) for message in found]

    async def types(self, channel: str, line: str, *, thread: Seen | None = None, wait: bool = True) -> Answered:
        """Type a slash command and return what the app showed this person for it.

        With `wait`, waits a few seconds for something to be shown when the acknowledgement brought nothing; a command
        that only acts needs `wait=False`. Raises AppSilent when the app did not acknowledge.
        """
        watch = _Watch(self, self.workspace.channel(channel))
        with watch:
            place = thread.ts if thread else None
            answer, _ = await self.server.acting.commands(self.id, channel, line, place)
            self.must_answer(answer, f"{self.user.name} typed {line!r}")
            return await watch.shown(wait=wait, deed=f"{self.user.name} typed {line!r}")

    async def says(self, channel: str, text: str, *, thread: Seen | None = None, broadcast: bool = False) -> Seen:
        """Post a message and return it, once the app acknowledged the events it caused."""
        thread_ts = (thread.message.thread_ts or thread.ts) if thread else None
        message = self.server.acting.says(self.id, channel, text, thread_ts, broadcast=broadcast)
        await self.server.delivery.settle()
        return Seen(self.workspace, message)

    async def asks(self, channel: str, text: str, *, thread: Seen | None = None) -> Answered:
        """Post a message and return what the app shows this person for it."""
        watch = _Watch(self, self.workspace.channel(channel))
        with watch:
            await self.says(channel, text, thread=thread)
            return await watch.shown(wait=True, deed=f"{self.user.name} said {text!r}")

    async def presses(self, words: str, *, on: Seen, confirm: bool = False) -> Answered:
        """Press a button on a message, by its words or action_id; `confirm` answers its dialog."""
        return await self.press_in(on.message, words, on, confirm)

    async def chooses(self, words: Any, *, on: Seen, menu: str | None = None, confirm: bool = False) -> Answered:
        """Choose in a menu on a message, an option by its words or value; `menu` tells which, by label or action_id."""
        return await self.choose_in(on.message, words, menu, confirm)

    async def reacts(self, name: str, *, on: Seen) -> None:
        """React to a message."""
        self.server.acting.reacts(self.id, on.channel, on.ts, name)
        await self.server.delivery.settle()

    async def uses(self, shortcut: str, *, on: Seen | None = None) -> Answered:
        """Run a global shortcut, or one on a message, by name or callback_id."""
        watch = _Watch(self, self.workspace.channels[on.channel] if on else None)
        with watch:
            place = (on.channel, on.ts) if on else (None, None)
            answer = await self.server.acting.shortcut(self.id, shortcut, *place)
            self.must_answer(answer, f"{self.user.name} used {shortcut!r}")
            return await watch.shown(wait=False, deed="")

    async def opens_home(self) -> str:
        """Open App Home and return it as plain text."""
        await self.server.acting.opens_home(self.id)
        view = self.workspace.homes.get(self.id)
        return plain_view(self.workspace, view) if view else ""

    @property
    def home(self) -> View | None:
        """The Home view last published."""
        return self.workspace.homes.get(self.id)

    async def presses_at_home(self, words: str, *, confirm: bool = False) -> Answered:
        """Press a button on App Home."""
        if self.home is None:
            raise NotSeen(f"{self.user.name} has no Home view.")
        return await self.press_in(self.home, words, None, confirm)

    async def searches(self, query: str, *, menu: str, on: Seen | Modal) -> list[str]:
        """Type into an external select and return the options' words."""
        place = on.message if isinstance(on, Seen) else on.view
        block, item = self._menu(place, menu, None)
        answer, options, groups = await self.server.pressing.suggest(
            self.id, _where(place), block["block_id"], item["action_id"], query
        )
        self.must_answer(answer, f"{self.user.name} searched {query!r}")
        found = options_of({"options": options, "option_groups": groups})
        return [str(option["text"]["text"]) for option in found]

    def reloads(self) -> None:
        """Reload Slack: ephemerals and modals are gone."""
        self.workspace.reload(self.id)

    async def press_in(self, place: Message | View, words: str, on: Seen | None, confirm: bool) -> Answered:
        """Press a button on a message or view."""
        buttons = [pair for pair in clickable(place, self.id) if pair[1]["type"] in {"button", "icon_button"}]
        for block, item in buttons:
            if words in {label(item), item["action_id"]}:
                return await self._click(place, block, item, None, confirm, f"{self.user.name} pressed {words!r}")
        known = ", ".join(repr(label(item)) for _, item in buttons) or "none"
        where = "on this message" if on is not None else "in this view"
        raise Refused("no_such_element", f"There is no button {words!r} {where}. There are: {known}.", 404)

    async def choose_in(self, place: Message | View, words: Any, menu: str | None, confirm: bool) -> Answered:
        """Choose in a menu on a message or view."""
        block, item = self._menu(place, menu, words)
        return await self._click(place, block, item, words, confirm, f"{self.user.name} chose {words!r}")

    def _menu(self, place: Message | View, menu: str | None, words: Any) -> tuple[Json, Json]:
        menus = [pair for pair in clickable(place, self.id) if pair[1]["type"] not in {"button", "icon_button"}]
        for block, item in menus:
            names = {item["action_id"], block["block_id"], _field_label(block, item), item["type"]}
            offered = {text for option in options_of(item) for text in (option["value"], option["text"]["text"])}
            if (menu in names) if menu is not None else (isinstance(words, str) and words in offered):
                return block, item
        if menu is None and len(menus) == 1:
            return menus[0]
        known = "; ".join(f"{item['action_id']}: {label(item)}" for _, item in menus) or "none"
        raise Refused("no_such_element", f"No menu offers {words!r} (menu={menu!r}). There are: {known}.", 404)

    async def _click(
        self, place: Message | View, block: Json, item: Json, value: Any, confirm: bool, deed: str
    ) -> Answered:
        channel = self.workspace.channels[place.channel] if isinstance(place, Message) else None
        watch = _Watch(self, channel)
        with watch:
            answer, url = await self.server.pressing.click(
                self.id, _where(place), block["block_id"], item["action_id"], value=value, confirmed=confirm
            )
            self.must_answer(answer, deed)
            shown = await watch.shown(wait=False, deed=deed)
            return Answered(shown.messages, shown.modal, url)

    def must_answer(self, answer: Answer, deed: str) -> None:
        """Raise AppSilent unless the app acknowledged."""
        if not answer.answered:
            raise AppSilent(deed, answer)


def _where(place: Message | View) -> Where:
    return Where(view_id=place.id) if isinstance(place, View) else Where(place.channel, place.ts)


class _Watch:
    """Collects what the app shows one person while something is going on."""

    def __init__(self, person: Person, channel: Channel | None) -> None:
        self._person = person
        self._channel = channel
        self._messages: list[Message] = []
        self._modal_moved = False
        self._moved = asyncio.Event()
        self._unsubscribe: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        self._unsubscribe = self._person.workspace.subscribe(self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        self._unsubscribe()

    def _hear(self, change: Change) -> None:
        message, me = change.message, self._person.id
        if change.kind == "modal" and change.user == me:
            self._modal_moved = True
            self._moved.set()
        elif change.kind == "message" and message is not None and message.user != me:
            mine = message.ephemeral_for == me
            here = self._channel is not None and message.channel == self._channel.id
            direct = change.channel is not None and change.channel.kind == "im" and me in change.channel.members
            if mine or (message.ephemeral_for is None and (here or direct)):
                self._messages.append(message)
                self._moved.set()

    async def shown(self, *, wait: bool, deed: str) -> Answered:
        """Return what was shown; with `wait`, wait for the first thing."""
        if wait:
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._moved.wait()
            except TimeoutError:
                raise NotSeen(f"{deed}, and nothing was shown within {PATIENCE:g} s.") from None
        messages = [Seen(self._person.workspace, message) for message in self._messages]
        return Answered(messages, self._person.modal if self._modal_moved else None)
