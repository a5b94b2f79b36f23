"""What people do with elements and forms: click, choose, look options up, submit and close modals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from simulator.acting import Acting
from simulator.block_kit import elements_of
from simulator.composition import option_groups, options
from simulator.delivery import Answer
from simulator.errors import ApiError, Refused
from simulator.form_state import STATELESS, chosen, fields_of, initial_values, missing, options_of
from simulator.judge import Node
from simulator.limits import SELECT_OPTIONS
from simulator.modals import push_modal, update_view
from simulator.records import Json, Message, User, View

TROUBLE = "We had some trouble connecting. Try again?"


@dataclass(frozen=True)
class Where:
    """A place with elements: a message (channel and ts) or a view."""

    channel: str | None = None
    ts: str | None = None
    view_id: str | None = None


@dataclass
class Pressing:
    """Clicks and forms of one workspace, on top of `acting`."""

    acting: Acting
    _found: dict[tuple[str, str, str], list[Json]] = field(default_factory=dict)

    def place(self, user: User, where: Where) -> Message | View:
        """Return the message or view meant, if the person sees it."""
        if where.view_id is not None:
            view = self.acting.workspace.find_view(where.view_id)
            if view is None or view.user != user.id:
                raise Refused("no_such_view", "This dialog is not open (any more).", 404)
            return view
        return self.acting.message(user, where.channel or "", where.ts or "")

    async def click(
        self,
        who: str,
        where: Where,
        block_id: str,
        action_id: str,
        *,
        value: Any = None,
        values: Json | None = None,
        confirmed: bool = False,
    ) -> tuple[Answer, str | None]:
        """Click or choose; returns the app's answer and, for a link button, the address to open."""
        user = self.acting.actor(who)
        place = self.place(user, where)
        block, item = self._element(place, user, block_id, action_id)
        if item.get("confirm") and not confirmed:
            question = item["confirm"]
            raise Refused("confirmation_needed", question["text"]["text"], 409, confirm=question)
        if isinstance(place, View) and values:
            self.fill(place, values)
        action, url = self._action(place, user, block, item, value)
        if block["type"] == "input" and not block.get("dispatch_action"):
            return Answer(True), None
        if isinstance(place, View):
            payload = self.acting.payloads.click_on_view(user, place, action)
            spot: Json = {"view_id": place.id, "action_id": action_id}
        else:
            state = self._draft(place, user)
            payload = self.acting.payloads.click_on_message(user, place, action, state)
            spot = {"channel": place.channel, "ts": place.ts, "action_id": action_id}
        return await self.acting.interact(user, payload, spot), url

    def _element(self, place: Message | View, user: User, block_id: str, action_id: str) -> tuple[Json, Json]:
        everything = clickable(place, user.id)
        for block, item in everything:
            if block["block_id"] == block_id and item["action_id"] == action_id:
                return block, item
        names = ", ".join(label(item) for _, item in everything) or "nothing to press"
        raise Refused("no_such_element", f"That is not there (any more). There is: {names}.", 404)

    def _draft(self, message: Message, user: User) -> dict[str, dict[str, Json]]:
        key = (user.id, message.channel, message.ts)
        drafts = self.acting.workspace.drafts
        drafts[key] = initial_values(blocks_of(message), drafts.get(key))
        return drafts[key]

    def _action(
        self, place: Message | View, user: User, block: Json, item: Json, value: Any
    ) -> tuple[Json, str | None]:
        """Return the action for the payload, keeping what was chosen in the form's state."""
        kind, ids = item["type"], {"block_id": block["block_id"], "action_id": item["action_id"]}
        if kind in {"button", "icon_button"}:
            shown: Json = {key: item[key] for key in ("text", "value", "style", "url") if key in item}
            return {"type": kind, **ids, **shown}, item.get("url")
        if kind == "feedback_buttons":
            return {"type": kind, **ids, "value": str(value)}, None
        if kind == "overflow":
            option = chosen(self.acting.workspace, {**item, "type": "static_select"}, value)["selected_option"]
            if option is None:
                raise Refused("bad_request", "Choose one of the menu's entries.")
            return {"type": kind, **ids, "selected_option": option}, option.get("url")
        state = chosen(self.acting.workspace, item, value, self._found.get((user.id, *ids.values())))
        values = place.values if isinstance(place, View) else self._draft(place, user)
        values[block["block_id"]][item["action_id"]] = state
        extra = {"placeholder": item["placeholder"]} if "placeholder" in item else {}
        return {**state, **ids, **extra}, None

    async def suggest(
        self, who: str, where: Where, block_id: str, action_id: str, query: str
    ) -> tuple[Answer, list[Json], list[Json]]:
        """Type into an external select; returns the app's answer, options and option groups."""
        user = self.acting.actor(who)
        place = self.place(user, where)
        _, item = self._element(place, user, block_id, action_id)
        if item["type"] not in {"external_select", "multi_external_select"}:
            raise Refused("bad_request", "Only an external select looks its options up.")
        if len(query) < item.get("min_query_length", 3):
            return Answer(True), [], []
        payload = self.acting.payloads.suggestion(user, place, block_id, action_id, query)
        answer = await self.acting.interact(user, payload, {"action_id": action_id}, accepts=True)
        body = answer.body or {}
        if not answer.answered:
            return answer, [], []
        node = Node(body)
        judged = options(node, SELECT_OPTIONS, plain_only=True, least=0) + option_groups(node)
        if node.faults or set(body) - {"options", "option_groups"}:
            self.acting.workspace.notice(user.id, TROUBLE, {"action_id": action_id})
            return Answer(False, reason="bad_answer"), [], []
        self._found[user.id, block_id, action_id] = options_of(body) if judged else []
        return answer, body.get("options") or [], body.get("option_groups") or []

    # -- forms -------------------------------------------------------------------------------------------------

    def fill(self, view: View, values: Json) -> None:
        """Put plain values, `{block_id: {action_id: value}}`, into a form."""
        fields = {(block["block_id"], item["action_id"]): item for block, item in fields_of(view.blocks)}
        for block_id, actions in values.items():
            if not isinstance(actions, dict):
                raise Refused("bad_request", "Values go by block_id, then action_id.")
            for action_id, value in actions.items():
                item = fields.get((block_id, action_id))
                if item is None:
                    known = ", ".join(f"{block}/{action}" for block, action in fields)
                    raise Refused("no_such_element", f"No field {block_id}/{action_id}. There are: {known}.", 404)
                found = self._found.get((view.user, block_id, action_id))
                before = view.values[block_id][action_id]
                picked = before.get("selected_option")
                state = chosen(self.acting.workspace, item, value, found or ([picked] if picked else None))
                view.values[block_id][action_id] = state

    async def submit(self, who: str, view_id: str, values: Json | None = None) -> tuple[Answer, str, dict[str, str]]:
        """Submit the top modal; returns the app's answer, what became of the view, and field errors."""
        user = self.acting.actor(who)
        view = self.top(user, view_id)
        if "submit" not in view.definition:
            raise Refused("bad_request", "This dialog has nothing to submit.")
        self.fill(view, values or {})
        view.errors = {
            block["block_id"]: fault
            for block, item in fields_of(view.blocks)
            if block["type"] == "input"
            and (fault := missing(block, item, view.values[block["block_id"]][item["action_id"]]))
        }
        if view.errors:
            self.acting.workspace.stack_changed(user.id, "errors")
            return Answer(True), "errors", view.errors
        payload = self.acting.payloads.submission(user, view)
        answer = await self.acting.interact(user, payload, {"view_id": view.id}, accepts=True)
        if not answer.answered:
            return answer, "kept", {}
        try:
            return answer, self._follow(user, view, answer.body or {}), view.errors
        except ApiError as error:
            self.acting.workspace.notice(user.id, f"{TROUBLE} ({error})", {"view_id": view.id})
            return Answer(False, reason="bad_answer"), "kept", {}

    def top(self, user: User, view_id: str) -> View:
        """Return the person's visible modal; only that one can be submitted or closed."""
        stack = self.acting.workspace.modals.get(user.id) or []
        if not stack or stack[-1].id != view_id:
            raise Refused("no_such_view", "This dialog is not the one in front.", 404)
        return stack[-1]

    def _follow(self, user: User, view: View, body: Json) -> str:
        """Do what the app's `response_action` says, and name the result."""
        workspace, stack = self.acting.workspace, self.acting.workspace.modals.get(user.id, [])
        action = body.get("response_action")
        if action is None and not body:
            if view in stack:
                stack.remove(view)
            workspace.stack_changed(user.id, "closed")
            return "closed"
        allowed = {"errors": {"errors"}, "update": {"view"}, "push": {"view"}, "clear": set[str]()}
        if action not in allowed or set(body) - {"response_action"} != allowed[action]:
            raise ApiError("invalid_arguments", "[ERROR] not a valid response_action")
        if action == "errors":
            inputs = {block["block_id"] for block in view.blocks if block["type"] == "input"}
            errors = body["errors"]
            if not isinstance(errors, dict) or not errors or set(errors) - inputs:
                raise ApiError("invalid_arguments", "[ERROR] errors must be keyed by block_id of input blocks")
            view.errors = {str(key): str(sentence) for key, sentence in errors.items()}
            workspace.stack_changed(user.id, "errors")
            return "errors"
        if action == "update":
            update_view(workspace, view, body["view"])
            return "updated"
        if action == "push":
            push_modal(workspace, user.id, body["view"])
            return "pushed"
        stack.clear()
        workspace.stack_changed(user.id, "closed")
        return "cleared"

    async def close(self, who: str, view_id: str, *, everything: bool = False) -> None:
        """Close the top modal, or the whole stack; the app hears of views with `notify_on_close`."""
        user = self.acting.actor(who)
        view = self.top(user, view_id)
        stack = self.acting.workspace.modals[user.id]
        cleared = everything or bool(view.definition.get("clear_on_close"))
        gone = list(reversed(stack)) if cleared else [view]
        del stack[len(stack) - len(gone) :]
        self.acting.workspace.stack_changed(user.id, "closed")
        for one in gone:
            if one.definition.get("notify_on_close"):
                payload = self.acting.payloads.closed(user, one, is_cleared=cleared)
                await self.acting.interact(user, payload, {"view_id": one.id})


def blocks_of(place: Message | View) -> list[Json]:
    """Return the blocks of a message, its attachments' included, or of a view."""
    if isinstance(place, View):
        return place.blocks
    return place.blocks + [block for attachment in place.attachments for block in attachment.get("blocks", [])]


def clickable(place: Message | View, reader: str) -> list[tuple[Json, Json]]:
    """Return (block, element) of everything `reader` can press or choose."""
    return [
        (block, item)
        for block in flat(blocks_of(place))
        for item in elements_of([block])
        if item["type"] != "image" and reader in (item.get("visible_to_user_ids") or [reader])
    ]


def flat(blocks: list[Json]) -> list[Json]:
    """Return blocks with those inside carousels after one another."""
    return [inner for block in blocks for inner in (block["elements"] if block["type"] == "carousel" else [block])]


def label(item: Json) -> str:
    """Return the words on an element, or its action id."""
    if item["type"] in STATELESS and "text" in item:
        return str(item["text"]["text"])
    if item["type"] == "overflow":
        return " / ".join(str(option["text"]["text"]) for option in item["options"])
    hint = item.get("placeholder")
    return str(hint["text"]) if hint else str(item["action_id"])
