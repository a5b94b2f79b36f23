"""What the app may post, edit and answer with: judged by Slack's rules, then put into the workspace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from simulator import limits
from simulator.block_kit import judge_blocks
from simulator.errors import ApiError
from simulator.form_state import with_ids
from simulator.records import Channel, Json, Message
from simulator.rendering import plain_blocks
from simulator.workspace import Workspace


@dataclass
class Content:
    """Judged content of a message; `has_*` tell what was given at all."""

    text: str = ""
    blocks: list[Json] = field(default_factory=list)
    attachments: list[Json] = field(default_factory=list)
    has_text: bool = False
    has_blocks: bool = False
    has_attachments: bool = False


def judge_content(workspace: Workspace, given: Json, *, update: bool = False, files: bool = False) -> Content:
    """Judge `text`, `blocks`, `attachments` and `markdown_text` as the chat methods do; raises ApiError."""
    text, markdown = given.get("text"), given.get("markdown_text")
    blocks, attachments = given.get("blocks"), given.get("attachments")
    if markdown is not None:
        if text is not None or blocks is not None:
            raise ApiError("markdown_text_conflict")
        if len(str(markdown)) > limits.MARKDOWN_ARGUMENT:
            raise ApiError("msg_too_long")
        text, blocks = str(markdown), [{"type": "markdown", "text": str(markdown)}]
    if text is not None and not isinstance(text, str):
        raise ApiError("invalid_arguments", "[ERROR] must be a string: text")
    if not text and not blocks and not attachments and not files:
        raise ApiError("no_text")
    if update and text is not None and len(text) > limits.UPDATE_TEXT:
        raise ApiError("msg_too_long")
    content = Content((text or "")[: limits.MESSAGE_TEXT_CUT], has_text=text is not None)
    if blocks is not None:
        content.blocks, content.has_blocks = judged_blocks(workspace, blocks), True
    if attachments is not None:
        content.attachments, content.has_attachments = _attachments(workspace, attachments), True
    if not content.text:
        content.text = plain_blocks(workspace, content.blocks)[: limits.MESSAGE_TEXT_CUT]
    return content


def judged_blocks(workspace: Workspace, blocks: Any) -> list[Json]:
    """Return a message's blocks with ids filled in; raises ApiError `invalid_blocks` and its kin."""
    if not isinstance(blocks, list):
        raise ApiError("invalid_blocks_format")
    refuse_blocks(judge_blocks(blocks, "message"))
    if len(blocks) and _length(blocks) > limits.MESSAGE_BLOCKS_TEXT:
        raise ApiError("msg_blocks_too_long")
    return with_ids(blocks, workspace.new_hash().split(".")[1])


def refuse_blocks(faults: list[str]) -> None:
    """Raise `invalid_blocks` when there are faults."""
    if faults:
        plain = [fault.removeprefix("[ERROR] ") for fault in faults]
        raise ApiError("invalid_blocks", *faults, errors=plain)


def _length(value: Any) -> int:
    if isinstance(value, dict):
        own = value.get("text")
        return (len(own) if isinstance(own, str) else 0) + sum(_length(item) for item in value.values())
    return sum(_length(item) for item in value) if isinstance(value, list) else 0


def _attachments(workspace: Workspace, attachments: Any) -> list[Json]:
    if not isinstance(attachments, list) or not all(isinstance(item, dict) for item in attachments):
        raise ApiError("invalid_attachments")
    if len(attachments) > limits.ATTACHMENTS:
        raise ApiError("too_many_attachments")
    judged = []
    for number, attachment in enumerate(attachments):
        item = {"id": number + 1, **attachment}
        if "blocks" in item:
            item["blocks"] = judged_blocks(workspace, item["blocks"])
        judged.append(item)
    return judged


def judge_metadata(metadata: Any) -> Json | None:
    """Return message metadata, None for `{}`; raises `invalid_metadata_format`."""
    if not isinstance(metadata, dict):
        raise ApiError("invalid_metadata_format")
    if not metadata:
        return None
    kind, payload = metadata.get("event_type"), metadata.get("event_payload")
    if not isinstance(kind, str) or not isinstance(payload, dict) or set(metadata) > {"event_type", "event_payload"}:
        raise ApiError("invalid_metadata_format")
    return metadata


def check_thread(channel: Channel, thread_ts: str | None) -> None:
    """Refuse a thread that is not there, or a reply taken for a thread's top message."""
    if thread_ts is None:
        return
    parent = channel.messages.get(thread_ts)
    if parent is None:
        raise ApiError("thread_not_found")
    if parent.is_reply:
        raise ApiError("cannot_reply_to_message")


def post_as_app(
    workspace: Workspace,
    channel: Channel,
    content: Content,
    *,
    thread_ts: str | None = None,
    broadcast: bool = False,
    reader: str | None = None,
    metadata: Json | None = None,
) -> Message:
    """Post as the app's bot user; `reader` makes it ephemeral for that person."""
    app = workspace.app
    return workspace.post(
        Message(
            channel.id,
            workspace.next_ts(),
            app.bot_user,
            content.text,
            content.blocks,
            content.attachments,
            thread_ts=thread_ts,
            broadcast=broadcast and thread_ts is not None,
            bot_id=app.bot_id,
            app_id=app.id,
            metadata=metadata,
            ephemeral_for=reader,
        )
    )


ANSWER_KEYS = {
    "text",
    "blocks",
    "attachments",
    "response_type",
    "replace_original",
    "delete_original",
    "thread_ts",
    "mrkdwn",
    "unfurl_links",
    "unfurl_media",
    "metadata",
}


def answer_with(workspace: Workspace, channel: Channel, user: str, answer: Json) -> Message:
    """Post what a command's ack or a response URL said: ephemeral unless `response_type` is `in_channel`."""
    unknown = sorted(set(answer) - ANSWER_KEYS)
    if unknown:
        raise ApiError("invalid_arguments", *(f"[ERROR] unknown argument: {name}" for name in unknown))
    kind = answer.get("response_type", "ephemeral")
    if kind not in {"ephemeral", "in_channel"}:
        raise ApiError("invalid_arguments", "[ERROR] response_type must be ephemeral or in_channel")
    content = judge_content(workspace, answer)
    thread_ts = answer.get("thread_ts")
    check_thread(channel, thread_ts)
    metadata = judge_metadata(answer["metadata"]) if "metadata" in answer else None
    reader = None if kind == "in_channel" else user
    return post_as_app(workspace, channel, content, thread_ts=thread_ts, reader=reader, metadata=metadata)
