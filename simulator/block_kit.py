"""Judges lists of blocks, messages and views as Slack's `invalid_blocks` and `blocks.validate` do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from simulator import limits
from simulator.composition import image_source, text_object
from simulator.elements import IN_ACTIONS, IN_CONTEXT_ACTIONS, IN_INPUT, IN_SECTION, element
from simulator.judge import Node
from simulator.rich_text import rich_text

SURFACES = frozenset({"message", "modal", "home"})


def judge_blocks(blocks: Any, surface: str, pointer: str = "/blocks") -> list[str]:
    """Return what is wrong with a list of blocks on `message`, `modal` or `home`; nothing when it is legal."""
    root = Node(blocks, pointer)
    most = limits.MESSAGE_BLOCKS if surface == "message" else limits.VIEW_BLOCKS
    nodes = root.array(most, least=0)
    for node in nodes:
        _block(node, surface)
    if isinstance(blocks, list):
        _unique_ids(nodes)
        _markdown_total(root, nodes)
    return root.faults


def judge_view(view: Any) -> list[str]:
    """Return what is wrong with a view definition."""
    root = Node(view, "/view")
    if not isinstance(view, dict):
        root.fault("must be an object")
        return root.faults
    kind = view.get("type")
    optional = "private_metadata callback_id external_id"
    if kind == "modal":
        root.fields("title blocks", f"{optional} close submit clear_on_close notify_on_close submit_disabled")
        root.flag("clear_on_close", "notify_on_close", "submit_disabled")
        text_object(root, "title", limits.VIEW_TITLE, plain_only=True)
        text_object(root, "submit", limits.VIEW_BUTTON, plain_only=True)
        text_object(root, "close", limits.VIEW_BUTTON, plain_only=True)
    elif kind == "home":
        root.fields("blocks", optional)
    else:
        root.fault(f"unsupported type: {kind}")
        return root.faults
    root.string("private_metadata", limits.PRIVATE_METADATA, least=0)
    root.string("callback_id", limits.CALLBACK_ID, least=0)
    root.string("external_id", limits.EXTERNAL_ID, least=0)
    if "blocks" in view:
        root.faults += judge_blocks(view["blocks"], str(kind), "/view/blocks")
        if isinstance(view["blocks"], list):
            _view_rules(root, view)
    return root.faults


def _view_rules(root: Node, view: dict[str, Any]) -> None:
    blocks = [block for block in view["blocks"] if isinstance(block, dict)]
    if view["type"] == "modal" and not root.has("submit") and any(block.get("type") == "input" for block in blocks):
        root.fault("`submit` is required when a view holds an input block")
    focused = [item for item in elements_of(blocks) if item.get("focus_on_load")]
    if len(focused) > 1:
        root.fault("only one element may have focus_on_load")


def elements_of(blocks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the elements of blocks: accessories, inputs, actions, and those in cards and containers."""
    for block in blocks:
        for key in ("accessory", "element"):
            if isinstance(block.get(key), dict):
                yield block[key]
        nested = block.get("elements") if block.get("type") in {"actions", "context_actions"} else None
        nested = nested or (block.get("actions") if block.get("type") == "card" else None)
        if isinstance(nested, list):
            yield from (item for item in nested if isinstance(item, dict))
        children = {"container": "child_blocks", "carousel": "elements"}.get(str(block.get("type")))
        if children and isinstance(block.get(children), list):
            yield from elements_of([item for item in block[children] if isinstance(item, dict)])


def _unique_ids(nodes: list[Node]) -> None:
    seen: set[str] = set()
    for node in nodes:
        if not isinstance(node.value, dict):
            continue
        block_id = node.value.get("block_id")
        if isinstance(block_id, str):
            if block_id in seen:
                node.child("block_id").fault(f"`block_id` '{block_id}' already exists")
            seen.add(block_id)
        actions = [item.get("action_id") for item in elements_of([node.value])]
        named = [action for action in actions if isinstance(action, str)]
        for action in sorted({action for action in named if named.count(action) > 1}):
            node.fault(f"`action_id` '{action}' already exists for block_id")


def _markdown_total(root: Node, nodes: list[Node]) -> None:
    texts = [
        node.value["text"]
        for node in nodes
        if isinstance(node.value, dict)
        and node.value.get("type") == "markdown"
        and isinstance(node.value.get("text"), str)
    ]
    if len(texts) > 1 and sum(map(len, texts)) > limits.MARKDOWN_BLOCK:
        root.fault(f"markdown blocks together must be less than {limits.MARKDOWN_BLOCK + 1} characters")


def _block(node: Node, surface: str) -> None:
    kind = node.value.get("type") if isinstance(node.value, dict) else None
    if not isinstance(node.value, dict):
        node.fault("must be an object")
    elif not isinstance(kind, str) or kind not in BLOCKS:
        node.fault(f"unsupported type: {kind}")
    else:
        judge, surfaces = BLOCKS[kind]
        if surface not in surfaces:
            node.fault(f"unsupported type: {kind} is not allowed on this surface ({surface})")
            return
        node.string("block_id", limits.BLOCK_ID)
        judge(node, surface)


def _section(node: Node, surface: str) -> None:
    if not node.fields("", "block_id text fields accessory expand"):
        return
    if not node.has("text") and not node.has("fields"):
        node.fault("missing required field: text or fields")
    node.flag("expand")
    text_object(node, "text", limits.TEXT_OBJECT, plain_only=False)
    for index, field in enumerate(node.items("fields", limits.SECTION_FIELDS)):
        holder = Node({index: field.value}, f"{node.pointer}/fields", node.faults)
        text_object(holder, index, limits.SECTION_FIELD, plain_only=False)  # type: ignore[arg-type]
    if node.has("accessory"):
        element(node.child("accessory"), IN_SECTION, surface)


def _divider(node: Node, _surface: str) -> None:
    node.fields("", "block_id")


def _header(node: Node, _surface: str) -> None:
    if node.fields("text", "block_id level"):
        text_object(node, "text", limits.HEADER, plain_only=True)


def _context(node: Node, surface: str) -> None:
    if not node.fields("elements", "block_id"):
        return
    for index, item in enumerate(node.items("elements", limits.CONTEXT_ELEMENTS)):
        if isinstance(item.value, dict) and item.value.get("type") == "image":
            element(item, frozenset({"image"}), surface)
        else:
            holder = Node({index: item.value}, f"{node.pointer}/elements", node.faults)
            text_object(holder, index, limits.TEXT_OBJECT, plain_only=False)  # type: ignore[arg-type]


def _actions(node: Node, surface: str) -> None:
    if node.fields("elements", "block_id"):
        for item in node.items("elements", limits.ACTIONS_ELEMENTS):
            element(item, IN_ACTIONS, surface)


def _context_actions(node: Node, surface: str) -> None:
    if node.fields("elements", "block_id"):
        for item in node.items("elements", limits.CONTEXT_ACTIONS_ELEMENTS):
            element(item, IN_CONTEXT_ACTIONS, surface)


def _image(node: Node, _surface: str) -> None:
    if node.fields("alt_text", "block_id image_url slack_file title"):
        image_source(node)
        text_object(node, "title", limits.IMAGE_TITLE, plain_only=True)


def _input(node: Node, surface: str) -> None:
    if node.fields("label element", "block_id hint optional dispatch_action"):
        node.flag("optional", "dispatch_action")
        text_object(node, "label", limits.INPUT_LABEL, plain_only=True)
        text_object(node, "hint", limits.INPUT_HINT, plain_only=True)
        element(node.child("element"), IN_INPUT, surface)


def _rich_text(node: Node, _surface: str) -> None:
    if node.fields("elements", "block_id"):
        rich_text(node)


def _markdown(node: Node, _surface: str) -> None:
    if node.fields("text", "block_id"):
        node.string("text", limits.MARKDOWN_BLOCK)


def _table(node: Node, _surface: str) -> None:
    if not node.fields("rows", "block_id column_settings"):
        return
    total = 0
    for row in node.items("rows", limits.TABLE_ROWS):
        for cell in row.array(limits.TABLE_COLUMNS):
            total += _cell(cell)
    if total > limits.TABLE_TEXT:
        node.fault(f"the cells of a table must be less than {limits.TABLE_TEXT + 1} characters together")
    for setting in node.items("column_settings", limits.TABLE_COLUMNS, least=0):
        if setting.value is not None and setting.fields("", "align is_wrapped"):
            setting.one_of("align", {"left", "center", "right"})
            setting.flag("is_wrapped")


def _cell(cell: Node) -> int:
    kind = cell.value.get("type") if isinstance(cell.value, dict) else None
    if kind == "raw_text" and cell.fields("text"):
        return len(cell.string("text", limits.TABLE_TEXT, least=0) or "")
    if kind == "raw_number" and cell.fields("value", "text"):
        if isinstance(cell.value["value"], bool) or not isinstance(cell.value["value"], int | float):
            cell.child("value").fault("must be a number")
        return len(str(cell.value.get("text") or cell.value["value"]))
    if kind == "rich_text" and cell.fields("elements", "block_id"):
        rich_text(cell)
        return _text_length(cell.value)
    if kind not in {"raw_text", "raw_number", "rich_text"}:
        cell.fault(f"unsupported type: {kind}")
    return 0


def _text_length(value: Any) -> int:
    if isinstance(value, dict):
        own = value.get("text")
        return (len(own) if isinstance(own, str) else 0) + sum(_text_length(item) for item in value.values())
    return sum(_text_length(item) for item in value) if isinstance(value, list) else 0


def _alert(node: Node, _surface: str) -> None:
    if node.fields("text", "block_id level"):
        text_object(node, "text", limits.ALERT_TEXT, plain_only=False)
        node.one_of("level", {"default", "info", "warning", "error", "success"})


def _video(node: Node, _surface: str) -> None:
    optional = "block_id author_name description provider_icon_url provider_name title_url"
    if node.fields("alt_text title thumbnail_url video_url", optional):
        text_object(node, "title", limits.VIDEO_TITLE - 1, plain_only=True)
        text_object(node, "description", limits.VIDEO_DESCRIPTION, plain_only=True)
        node.string("author_name", limits.VIDEO_AUTHOR - 1)
        for key in ("video_url", "title_url"):
            node.string(key, limits.URL, pattern=r"https://\S+")


def _card(node: Node, surface: str) -> None:
    if not node.fields("", "block_id hero_image icon title subtitle body actions"):
        return
    if not any(node.has(key) for key in ("hero_image", "title", "body", "actions")):
        node.fault("must have at least one of hero_image, title, body and actions")
    for key, most in (("title", limits.CARD_TITLE), ("subtitle", limits.CARD_TITLE), ("body", limits.CARD_BODY)):
        text_object(node, key, most, plain_only=False)
    for key in ("hero_image", "icon"):
        if node.has(key):
            element(node.child(key), frozenset({"image"}), surface)
    for item in node.items("actions", limits.CARD_ACTIONS):
        element(item, frozenset({"button"}), surface)


def _carousel(node: Node, surface: str) -> None:
    if node.fields("elements", "block_id"):
        for item in node.items("elements", limits.CAROUSEL_CARDS):
            if isinstance(item.value, dict) and item.value.get("type") == "card":
                _block(item, surface)
            else:
                item.fault("must be a card")


Judge = Callable[[Node, str], None]
BLOCKS: dict[str, tuple[Judge, frozenset[str]]] = {
    "section": (_section, SURFACES),
    "divider": (_divider, SURFACES),
    "header": (_header, SURFACES),
    "context": (_context, SURFACES),
    "actions": (_actions, SURFACES),
    "context_actions": (_context_actions, frozenset({"message"})),
    "image": (_image, SURFACES),
    "input": (_input, SURFACES),
    "rich_text": (_rich_text, SURFACES),
    "markdown": (_markdown, SURFACES),
    "table": (_table, frozenset({"message", "home"})),
    "alert": (_alert, frozenset({"modal"})),
    "video": (_video, SURFACES),
    "card": (_card, SURFACES),
    "carousel": (_carousel, frozenset({"message", "home"})),
}
