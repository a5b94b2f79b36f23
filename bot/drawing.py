"""The builders that templates call: blocks as plain dicts, every length and count from one table.

Whatever is too long is cut by code point and says so. `block_id`s are digests of what is drawn: the same state gives
the same JSON, another state gives new ids, as Slack wants for edits.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from commands import mrkdwn
from commands.mrkdwn import cut
from commands.subjects import Subject
from core.errors import AndonError

log = logging.getLogger(__name__)

LIMITS: Final[Mapping[str, int]] = {
    "blocks": 50,
    "view blocks": 100,
    "text": 3_900,  # chat.update refuses more than 4,000
    "all blocks": 12_000,  # msg_blocks_too_long was seen near 13,200
    "section": 3_000,
    "header": 150,
    "context": 3_000,
    "context elements": 10,
    "actions": 25,
    "buttons": 3,  # ours, not Slack's: a card with more is not read
    "menu": 5,
    "button": 75,
    "label": 75,
    "value": 2_000,
    "option": 75,
    "option value": 150,
    "url": 3_000,
    "confirm title": 100,
    "confirm text": 300,
    "confirm button": 30,
    "view title": 24,
    "view button": 24,
    "private_metadata": 3_000,
    "input label": 2_000,
    "hint": 2_000,
    "placeholder": 150,
    "choices": 100,
    "typed": 300,  # a reason
}
"""The one table of lengths and counts, in code points."""

Block: TypeAlias = dict[str, Any]


class TemplateMistake(AndonError):
    """A template does not draw what it should."""


@dataclass(frozen=True, slots=True)
class Message:
    """What to post: `text` says everything in sentences, for screen readers and notifications; `blocks` show it."""

    text: str
    blocks: list[Block]


class Drawing:
    """The builders a template calls as `draw`."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.text = ""
        self.title = ""
        self.submit = ""
        self._buttons: list[Block] = []
        self._entries: list[Block] = []
        self._numbered = 0

    def say(self, caller: Callable[[], str]) -> str:
        """What the message means, in full sentences."""
        self.text = cut(_sentences(caller()), LIMITS["text"])
        return ""

    def name(
        self,
        title: str,
        submit: str = "",
    ) -> str:
        """A view's title and the word on its button."""
        self.title = cut(plain(title), LIMITS["view title"])
        self.submit = cut(plain(submit), LIMITS["view button"])
        return ""

    def header(self, caller: Callable[[], str]) -> str:
        """One line in large letters; plain text, in which nothing needs escaping."""
        self.blocks.append({"type": "header", "text": _text(_unescape(_sentences(caller())), LIMITS["header"])})
        return ""

    def section(self, caller: Callable[[], str]) -> str:
        """A paragraph; nothing if it is empty."""
        if text := _lines(caller()):
            self.blocks.append(
                {"type": "section", "text": {"type": "mrkdwn", "text": cut(text, LIMITS["section"])}, "expand": True}
            )
        return ""

    def line(self, caller: Callable[[], str]) -> str:
        """A paragraph of one line, however it stands in the template."""
        return self.section(lambda: _sentences(caller()))

    def context(self, caller: Callable[[], str]) -> str:
        """Small print, one element a line."""
        lines = _lines(caller()).splitlines()
        elements = [{"type": "mrkdwn", "text": cut(line, LIMITS["context"])} for line in lines if line]
        if elements:
            elements = shortened(elements, LIMITS["context elements"], _more_element)
            self.blocks.append({"type": "context", "elements": elements})
        return ""

    def divider(self) -> str:
        """A line."""
        self.blocks.append({"type": "divider"})
        return ""

    def confirm(self, title: str, text: str, yes: str) -> Confirm:
        """Slack's own question before a button acts."""
        return Confirm(title, text, yes)

    def button(
        self, text: str, verb: str, about: Subject, *, style: str = "", label: str = "", confirm: Confirm | None = None
    ) -> str:
        """A button of the next `actions`. `verb` is what it asks of the desk, `label` what a screen reader says."""
        self._buttons.append(
            {
                "type": "button",
                "text": _text(text, LIMITS["button"]),
                "action_id": f"andon:{verb}",
                "value": about.encoded(limit=LIMITS["value"]),
                "accessibility_label": cut(plain(label or text), LIMITS["label"]),
            }
        )
        if style:
            self._buttons[-1]["style"] = style
        if confirm is not None:
            self._buttons[-1]["confirm"] = {
                "title": _text(confirm.title, LIMITS["confirm title"]),
                "text": _text(confirm.text, LIMITS["confirm text"]),
                "confirm": _text(confirm.yes, LIMITS["confirm button"]),
                "deny": _text("Not yet", LIMITS["confirm button"]),
            }
        return ""

    def entry(self, text: str, verb: str, about: Subject, url: str = "") -> str:
        """A line of the menu of the next `actions`; with `url` it only leads there."""
        value = about.encoded(verb, LIMITS["option value"])
        if not value:
            log.warning("menu entry %s left out: its ids are too long", verb)
            return ""
        option = _option(text, value)
        if url:
            option["url"] = url
        self._entries.append(option)
        return ""

    def actions(self) -> str:
        """The buttons and the menu named so far: at most three and five; nothing if there are none."""
        elements = self._buttons[: LIMITS["buttons"]]
        if self._entries:
            options = self._entries[: LIMITS["menu"]]
            elements.append({"type": "overflow", "action_id": "andon:menu", "options": options})
        for element in elements:
            self._numbered += 1
            element["action_id"] += f":{self._numbered}"
        if elements:
            self.blocks.append({"type": "actions", "elements": elements})
        self._buttons, self._entries = [], []
        return ""

    def reason(self, label: str, placeholder: str = "", hint: str = "") -> str:
        """The field of a modal that asks for a reason."""
        element = {
            "type": "plain_text_input",
            "action_id": "reason",
            "multiline": True,
            "min_length": 1,
            "max_length": LIMITS["typed"],
            "focus_on_load": True,
        }
        if placeholder:
            element["placeholder"] = _text(placeholder, LIMITS["placeholder"])
        block: Block = {
            "type": "input",
            "block_id": "reason",
            "label": _text(label, LIMITS["input label"]),
            "element": element,
        }
        if hint:
            block["hint"] = _text(hint, LIMITS["hint"])
        self.blocks.append(block)
        return ""

    def choice(self, name: str, label: str, options: Sequence[Option], chosen: str = "") -> str:
        """A choice among few; beyond Slack's number of options the last are left out, and the label says so."""
        drawn = [
            _option(option.text, option.value) for option in options if len(option.value) <= LIMITS["option value"]
        ]
        left_out = len(options) - min(len(drawn), LIMITS["choices"])
        element: Block = {"type": "static_select", "action_id": name, "options": drawn[: LIMITS["choices"]]}
        for option in element["options"]:
            if option["value"] == chosen:
                element["initial_option"] = option
        rest = f" ({left_out} more by command)" if left_out else ""
        self.blocks.append(
            {
                "type": "input",
                "block_id": name,
                "label": _text(label + rest, LIMITS["input label"]),
                "element": element,
            }
        )
        return ""

    def message(self, name: str) -> Message:
        """The finished message."""
        blocks = _within(shortened(self.blocks, LIMITS["blocks"], _more_block))
        digest = hashlib.sha256(json.dumps(blocks, sort_keys=True).encode()).hexdigest()[:10]
        for number, block in enumerate(blocks):
            block["block_id"] = f"{name}:{digest}:{number}"
        return Message(self.text, blocks)

    def view(self, name: str, private_metadata: str) -> Block:
        """The finished modal, its `callback_id` naming the template."""
        if len(private_metadata) > LIMITS["private_metadata"]:
            raise TemplateMistake(f"{name} has to carry too much.")
        view: Block = {
            "type": "modal",
            "callback_id": f"andon:{name.removeprefix('modal_')}",
            "title": _text(self.title, LIMITS["view title"]),
            "close": _text("Cancel", LIMITS["view button"]),
            "private_metadata": private_metadata,
            "blocks": shortened(self.blocks, LIMITS["view blocks"], _more_block),
        }
        if self.submit:
            view["submit"] = _text(self.submit, LIMITS["view button"])
        return view


@dataclass(frozen=True, slots=True)
class Confirm:
    """Slack's own question before a button acts."""

    title: str
    text: str
    yes: str


@dataclass(frozen=True, slots=True)
class Option:
    """One of several to choose from."""

    text: str
    value: str


# ---- limits ---------------------------------------------------------------------------------------------------------


def shortened(items: Sequence[Block], most: int, more: Callable[[int], Block]) -> list[Block]:
    """At most `most` items; what is left out is counted in the one before the last, and actions at the end stay."""
    if len(items) <= most:
        return list(items)
    tail = [items[-1]] if items[-1].get("type") == "actions" else []
    kept = most - 1 - len(tail)
    return [*items[:kept], more(len(items) - kept - len(tail)), *tail]


def _more_element(count: int) -> Block:
    return {"type": "mrkdwn", "text": f"… and {count} more"}


def _more_block(count: int) -> Block:
    return {"type": "context", "elements": [_more_element(count)]}


def _within(blocks: list[Block]) -> list[Block]:
    """Cut the longest texts until all blocks together are short enough."""
    texts = [t for block in blocks for t in [block.get("text"), *block.get("elements", ())] if isinstance(t, dict)]
    texts = [t for t in texts if t.get("type") == "mrkdwn"]
    over = sum(len(t["text"]) for t in texts) - LIMITS["all blocks"]
    while over > 0:
        longest = max(texts, key=lambda t: len(t["text"]))
        before = len(longest["text"])
        # The longest is longer than an equal share as long as there is too much of all, so this comes to an end.
        longest["text"] = cut(longest["text"], max(LIMITS["all blocks"] // len(texts), before - over))
        over -= before - len(longest["text"])
    return blocks


def _text(text: str, limit: int) -> Block:
    return {"type": "plain_text", "text": cut(plain(text), limit) or "–", "emoji": False}


def _option(text: str, value: str) -> Block:
    return {"text": _text(text, LIMITS["option"]), "value": value}


def plain(text: str) -> str:
    """Somebody's text on one line, for places that show it as it is."""
    return " ".join(mrkdwn.clean(text).split())


def _sentences(text: str) -> str:
    return " ".join(text.split())


def _lines(text: str) -> str:
    return "\n".join(line for line in (" ".join(line.split()) for line in text.splitlines()) if line)


def _unescape(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
