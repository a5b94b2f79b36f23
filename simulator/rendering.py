"""What a person reads: messages, blocks and views as plain text."""

from __future__ import annotations

import re
from typing import Any

from simulator.records import Json, Message, View
from simulator.workspace import Workspace

TOKEN = re.compile(r"<([^<>]+)>")
MARKS = [
    re.compile(rf"(?<![\w{mark}]){mark}(\S(?:[^{mark}\n]*\S)?){mark}(?![\w{mark}])") for mark in (r"\*", "_", "~", "`")
]


def plain_message(workspace: Workspace, message: Message) -> str:
    """Return everything readable on a message: its text, its blocks and its files' names."""
    text = plain_text(workspace, message.text)
    parts = [text, plain_blocks(workspace, message.blocks)]
    for attachment in message.attachments:
        parts.append(plain_text(workspace, str(attachment.get("text") or attachment.get("fallback") or "")))
        parts.append(plain_blocks(workspace, attachment.get("blocks") or []))
    parts += [f"[file {workspace.files[file].name}]" for file in message.files]
    seen: list[str] = []
    for part in parts:
        if part and part not in seen:
            seen.append(part)
    return "\n".join(seen)


def plain_view(workspace: Workspace, view: View) -> str:
    """Return a view's title, blocks, field errors and buttons."""
    shown = view.definition
    lines = [shown["title"]["text"]] if "title" in shown else []
    lines.append(plain_blocks(workspace, view.blocks))
    lines += [f"! {block}: {fault}" for block, fault in view.errors.items()]
    if "submit" in shown:
        lines.append(f"[{shown['submit']['text']}]")
    return "\n".join(line for line in lines if line)


def plain_text(workspace: Workspace, text: str, *, marks: bool = True) -> str:
    """Return mrkdwn as it reads: names for ids, labels for links, without marks and escapes."""

    def read(match: re.Match[str]) -> str:
        body, _, label = match.group(1).partition("|")
        if body.startswith("@"):
            user = workspace.users.get(body[1:])
            return f"@{user.name}" if user else f"@{label or body[1:]}"
        if body.startswith("#"):
            channel = workspace.channels.get(body[1:])
            return f"#{channel.name}" if channel else f"#{label or body[1:]}"
        if body.startswith("!subteam^"):
            group = workspace.groups.get(body.removeprefix("!subteam^"))
            return f"@{group.handle}" if group else label or body
        if body.startswith("!"):
            return label or f"@{body[1:].split('^')[0]}"
        return label or body

    text = TOKEN.sub(read, text)
    if marks:
        for mark in MARKS:
            text = mark.sub(r"\1", text)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def plain_blocks(workspace: Workspace, blocks: list[Json]) -> str:
    """Return blocks as lines of text; buttons and menus in square brackets."""
    return "\n".join(line for block in blocks for line in _block_lines(workspace, block) if line)


def _text(workspace: Workspace, value: Any) -> str:
    if not isinstance(value, dict):
        return ""
    if value.get("type") == "mrkdwn":
        return plain_text(workspace, str(value.get("text", "")))
    return str(value.get("text", ""))


def _block_lines(workspace: Workspace, block: Json) -> list[str]:
    kind = block["type"]
    if kind == "divider":
        return []
    if kind == "rich_text":
        return [_rich(workspace, block)]
    if kind == "markdown":
        return [str(block["text"])]
    if kind == "table":
        return [" | ".join(_cell(workspace, cell) for cell in row) for row in block["rows"]]
    if kind == "image":
        return [_text(workspace, block.get("title")), f"[image: {block['alt_text']}]"]
    if kind in {"actions", "context_actions"}:
        return [" ".join(element_label(workspace, item) for item in block["elements"])]
    if kind == "carousel":
        return [line for card in block["elements"] for line in _block_lines(workspace, card)]
    if kind == "context":
        return [
            "  ".join(
                f"[image: {item['alt_text']}]" if item["type"] == "image" else _text(workspace, item)
                for item in block["elements"]
            )
        ]
    lines = [_text(workspace, block.get(key)) for key in ("title", "subtitle", "label", "text", "body")]
    lines += [_text(workspace, field) for field in block.get("fields", [])]
    for key in ("accessory", "element"):
        if key in block:
            lines.append(element_label(workspace, block[key]))
    lines.append(_text(workspace, block.get("hint")))
    lines.append(" ".join(element_label(workspace, item) for item in block.get("actions", [])))
    return lines


def element_label(workspace: Workspace, item: Json) -> str:
    """Return what an element shows: `[Approve]`, `[… Roll back | Abort]`, `[choose: …]`."""
    kind = item["type"]
    if kind in {"button", "icon_button"}:
        return f"[{_text(workspace, item['text'])}]"
    if kind == "image":
        return f"[image: {item['alt_text']}]"
    if kind == "feedback_buttons":
        return " ".join(f"[{_text(workspace, item[key]['text'])}]" for key in ("positive_button", "negative_button"))
    options = [_text(workspace, option["text"]) for option in item.get("options", [])]
    options += [_text(workspace, one["text"]) for group in item.get("option_groups", []) for one in group["options"]]
    if kind == "overflow":
        return f"[… {' | '.join(options)}]"
    hint = _text(workspace, item.get("placeholder")) or item.get("initial_value") or kind.replace("_", " ")
    return f"[{hint}: {' | '.join(options)}]" if options else f"[{hint}]"


def _cell(workspace: Workspace, cell: Json) -> str:
    if cell["type"] == "rich_text":
        return _rich(workspace, cell)
    return str(cell.get("text") or cell.get("value", ""))


def _rich(workspace: Workspace, block: Json) -> str:
    lines = []
    for element in block["elements"]:
        if element["type"] == "rich_text_list":
            lines += [f"• {_pieces(workspace, item['elements'])}" for item in element["elements"]]
        else:
            lines.append(_pieces(workspace, element["elements"]))
    return "\n".join(lines)


def _pieces(workspace: Workspace, pieces: list[Json]) -> str:
    read = []
    for piece in pieces:
        kind = piece["type"]
        if kind == "user":
            read.append(plain_text(workspace, f"<@{piece['user_id']}>"))
        elif kind == "channel":
            read.append(plain_text(workspace, f"<#{piece['channel_id']}>"))
        elif kind == "usergroup":
            read.append(plain_text(workspace, f"<!subteam^{piece['usergroup_id']}>"))
        elif kind == "broadcast":
            read.append(f"@{piece['range']}")
        elif kind == "emoji":
            read.append(f":{piece['name']}:")
        elif kind == "date":
            read.append(str(piece.get("fallback") or piece["timestamp"]))
        else:
            read.append(str(piece.get("text") or piece.get("url") or piece.get("value") or ""))
    return "".join(read)
