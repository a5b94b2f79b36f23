"""Judges rich_text blocks: sections, lists, quotes and preformatted text, and the pieces in them."""

from __future__ import annotations

from simulator.judge import Node

STYLES = {"bold", "italic", "strike", "code", "underline", "highlight", "client_highlight", "unlink"}
PIECES: dict[str, tuple[str, str]] = {
    "text": ("text", "style"),
    "link": ("url", "text style unsafe"),
    "emoji": ("name", "unicode skin_tone style display_team_id url"),
    "user": ("user_id", "style"),
    "usergroup": ("usergroup_id", "style"),
    "channel": ("channel_id", "style"),
    "team": ("team_id", "style"),
    "broadcast": ("range", "style"),
    "color": ("value", "style"),
    "date": ("timestamp", "format url fallback style"),
}
MOST = 100_000


def rich_text(block: Node) -> None:
    """Judge the elements of one rich_text block."""
    for node in block.items("elements", 1_000):
        _element(node)


def _element(node: Node) -> None:
    kind = node.value.get("type") if isinstance(node.value, dict) else None
    if kind == "rich_text_list":
        if node.fields("elements style", "indent offset border"):
            node.one_of("style", {"bullet", "ordered"})
            for key in ("indent", "offset"):
                node.whole(key, 0, 10_000)
            node.whole("border", 0, 1)
            for section in node.items("elements", 1_000):
                if not isinstance(section.value, dict) or section.value.get("type") != "rich_text_section":
                    section.fault("must be a rich_text_section")
                else:
                    _element(section)
    elif kind in {"rich_text_section", "rich_text_quote", "rich_text_preformatted"}:
        optional = {"rich_text_quote": "border", "rich_text_preformatted": "border language"}.get(kind, "")
        if node.fields("elements", optional):
            node.whole("border", 0, 1)
            for piece in node.items("elements", 1_000, least=0):
                _piece(piece)
    else:
        node.fault(f"unsupported type: {kind}")


def _piece(node: Node) -> None:
    kind = node.value.get("type") if isinstance(node.value, dict) else None
    if kind not in PIECES:
        node.fault(f"unsupported type: {kind}")
        return
    required, optional = PIECES[kind]
    if not node.fields(required, optional):
        return
    if kind == "date":
        node.whole("timestamp", 0, 99_999_999_999)
        node.string("format", MOST)
        if not node.has("format"):
            node.fault("missing required field: format")
    elif kind == "broadcast":
        node.one_of("range", {"here", "channel", "everyone"})
    else:
        node.string(required, MOST)
    node.string("text", MOST)
    if node.has("style"):
        style = node.child("style")
        if style.fields("", " ".join(STYLES)):
            style.flag(*STYLES)
