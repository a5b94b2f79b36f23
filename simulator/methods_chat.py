"""The Web API's chat.*, reactions, pins, bookmarks and blocks.validate."""

from __future__ import annotations

from simulator.api import Call, method
from simulator.block_kit import judge_blocks, judge_view
from simulator.errors import ApiError
from simulator.posting import check_thread, judge_content, judge_metadata, post_as_app, refuse_blocks
from simulator.records import Channel, Json, Message
from simulator.shapes import message_shape

CONTENT = "text blocks attachments markdown_text as_user link_names parse"
CUSTOM = "username icon_emoji icon_url"


def _content(call: Call) -> Json:
    given: Json = {key: call.arguments[key] for key in ("text", "markdown_text") if key in call.arguments}
    for key, wrong in (("blocks", "invalid_blocks_format"), ("attachments", "invalid_attachments")):
        if call.arguments.get(key) is not None:
            given[key] = call.structure(key, wrong)
    return given


def _refuse_identity(call: Call) -> None:
    if call.flag("as_user"):
        raise ApiError("as_user_not_supported")
    if any(call.arguments.get(key) for key in CUSTOM.split()):
        call.need("chat:write.customize")


def _target(call: Call) -> Channel:
    """Return where to post: a conversation by id or name, or the direct message with a user id."""
    workspace, wanted = call.workspace, call.text("channel")
    if wanted in workspace.users:
        if workspace.users[wanted].is_bot:
            raise ApiError("cannot_dm_bot")
        return workspace.open_im(workspace.app.bot_user, wanted)
    channel = workspace.find_channel(wanted)
    if channel is None or not workspace.may_see(workspace.app.bot_user, channel):
        raise ApiError("channel_not_found")
    if workspace.app.bot_user not in channel.members and "chat:write.public" not in call.scopes:
        raise ApiError("not_in_channel")
    if channel.is_archived:
        raise ApiError("is_archived")
    return channel


def _thread(call: Call, channel: Channel) -> str | None:
    thread_ts = str(call.arguments["thread_ts"]) if call.arguments.get("thread_ts") else None
    check_thread(channel, thread_ts)
    return thread_ts


@method(
    "chat.postMessage",
    scope="chat:write",
    tier=0,
    required="channel",
    optional=f"{CONTENT} {CUSTOM} thread_ts reply_broadcast unfurl_links unfurl_media mrkdwn metadata container_id",
)
async def post_message(call: Call) -> Json:
    """Post into a channel, thread or direct message."""
    _refuse_identity(call)
    channel = _target(call)
    content = judge_content(call.workspace, _content(call))
    metadata = judge_metadata(call.structure("metadata")) if call.arguments.get("metadata") else None
    for key in ("unfurl_links", "unfurl_media", "mrkdwn", "link_names"):
        call.flag(key)
    thread_ts, broadcast = _thread(call, channel), call.flag("reply_broadcast")
    message = post_as_app(call.workspace, channel, content, thread_ts=thread_ts, broadcast=broadcast, metadata=metadata)
    shape = message_shape(call.workspace, message, metadata=True)
    return {"channel": channel.id, "ts": message.ts, "message": shape}


@method(
    "chat.postEphemeral", scope="chat:write", tier=4, required="channel user", optional=f"{CONTENT} {CUSTOM} thread_ts"
)
async def post_ephemeral(call: Call) -> Json:
    """Show a message to one member of a channel."""
    _refuse_identity(call)
    channel = _target(call)
    user = call.text("user")
    if user not in channel.members:
        raise ApiError("user_not_in_channel")
    content = judge_content(call.workspace, _content(call))
    message = post_as_app(call.workspace, channel, content, thread_ts=_thread(call, channel), reader=user)
    return {"message_ts": message.ts}


def _own_message(call: Call, refusal: str) -> tuple[Channel, Message]:
    channel = call.channel()
    message = call.message(channel, "ts")
    if message.user != call.workspace.app.bot_user or message.subtype == "tombstone":
        raise ApiError(refusal)
    return channel, message


@method(
    "chat.update",
    scope="chat:write",
    required="channel ts",
    optional=f"{CONTENT} reply_broadcast metadata file_ids",
)
async def update(call: Call) -> Json:
    """Edit the app's own message: text without blocks removes the blocks; what is not named stays."""
    if call.flag("as_user"):
        raise ApiError("as_user_not_supported")
    channel, message = _own_message(call, "cant_update_message")
    content = judge_content(call.workspace, _content(call), update=True)
    fields: Json = {"text": content.text}
    if content.has_blocks or content.has_text:
        fields["blocks"] = content.blocks
    if content.has_attachments:
        fields["attachments"] = content.attachments
    if call.arguments.get("metadata") is not None:
        fields["metadata"] = judge_metadata(call.structure("metadata"))
    if call.flag("reply_broadcast"):
        if not message.is_reply:
            raise ApiError("cant_broadcast_message")
        fields["broadcast"] = True
    call.workspace.edit(message, call.workspace.app.bot_user, **fields)
    shape = message_shape(call.workspace, message, metadata=True)
    return {"channel": channel.id, "ts": message.ts, "text": message.text, "message": shape}


@method("chat.delete", scope="chat:write", required="channel ts", optional="as_user")
async def delete(call: Call) -> Json:
    """Delete the app's own message."""
    channel, message = _own_message(call, "cant_delete_message")
    call.workspace.delete(message)
    return {"channel": channel.id, "ts": message.ts}


@method("chat.getPermalink", tier=0, required="channel message_ts")
async def permalink(call: Call) -> Json:
    """Return the address of a message."""
    channel = call.channel()
    message = call.message(channel, "message_ts")
    return {"channel": channel.id, "permalink": call.workspace.permalink(message)}


@method("blocks.validate", tier=0, optional="blocks message view")
async def validate(call: Call) -> Json:
    """Judge blocks, a message or a view without posting it."""
    given = [key for key in ("blocks", "message", "view") if call.arguments.get(key) is not None]
    if len(given) != 1:
        raise ApiError("invalid_arguments", "[ERROR] provide exactly one of blocks, message and view")
    value = call.structure(given[0])
    if given[0] == "view":
        refuse_blocks(judge_view(value))
    elif given[0] == "blocks":
        refuse_blocks(judge_blocks(value, "message"))
    else:
        if not isinstance(value, dict):
            raise ApiError("invalid_arguments", "[ERROR] must be an object: message")
        judge_content(call.workspace, value)
    return {}


@method("reactions.add", scope="reactions:write", required="channel name timestamp")
async def react(call: Call) -> Json:
    """React to a message as the bot."""
    channel = call.channel(member=True)
    message = call.message(channel, "timestamp")
    name = call.text("name").strip(":")
    if not name.replace("_", "").replace("-", "").replace("+", "").isalnum():
        raise ApiError("invalid_name")
    if not call.workspace.react(message, call.workspace.app.bot_user, name):
        raise ApiError("already_reacted")
    return {}


@method("reactions.remove", scope="reactions:write", tier=2, required="channel name timestamp")
async def unreact(call: Call) -> Json:
    """Take the bot's reaction back."""
    message = call.message(call.channel(member=True), "timestamp")
    if not call.workspace.react(message, call.workspace.app.bot_user, call.text("name").strip(":"), remove=True):
        raise ApiError("no_reaction")
    return {}


@method("pins.add", scope="pins:write", tier=2, required="channel timestamp")
async def pin(call: Call) -> Json:
    """Pin a message to its channel."""
    channel = call.channel(member=True)
    message = call.message(channel, "timestamp")
    if message.ts in channel.pins:
        raise ApiError("already_pinned")
    channel.pins.append(message.ts)
    call.workspace.pinned(channel, message)
    return {}


@method(
    "bookmarks.add",
    scope="bookmarks:write",
    tier=2,
    required="channel_id title type",
    optional="emoji entity_id link parent_id",
)
async def bookmark(call: Call) -> Json:
    """Add a link to the bar of a channel."""
    channel = call.channel("channel_id", member=True)
    if call.text("type") != "link":
        raise ApiError("invalid_bookmark_type")
    link = call.arguments.get("link")
    if not link or not str(link).startswith(("http://", "https://")):
        raise ApiError("invalid_link")
    made: Json = {
        "id": call.workspace.next_id("Bk"),
        "channel_id": channel.id,
        "title": call.text("title"),
        "link": str(link),
        "emoji": call.arguments.get("emoji"),
        "type": "link",
        "date_created": int(call.workspace.clock()),
    }
    channel.bookmarks.append(made)
    call.workspace.channel_changed(channel)
    return {"bookmark": made}
