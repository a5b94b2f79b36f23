"""The Web API's conversations.*."""

from __future__ import annotations

from collections.abc import Sequence

from simulator.api import HISTORY_SCOPE, READ_SCOPE, Call, method, page
from simulator.errors import ApiError
from simulator.records import Channel, Json, Message
from simulator.shapes import channel_shape, message_shape

TYPES = {"public_channel": "channel", "private_channel": "private", "im": "im", "mpim": "mpim"}
ANY_READ = "channels:read|groups:read|im:read"


def _readable(call: Call, *, member: bool = False) -> Channel:
    channel = call.channel(member=member)
    call.need(READ_SCOPE[channel.kind])
    return channel


@method("conversations.list", scope=ANY_READ, tier=2, optional="cursor exclude_archived limit types")
async def conversations_list(call: Call) -> Json:
    """List the conversations of the types asked for, public channels by default."""
    kinds = []
    for name in call.words("types") or ["public_channel"]:
        if name not in TYPES:
            raise ApiError("invalid_types")
        kinds.append(TYPES[name])
        call.need(READ_SCOPE.get(TYPES[name], "mpim:read"))
    bot = call.workspace.app.bot_user
    found = [
        channel
        for channel in call.workspace.channels.values()
        if channel.kind in kinds
        and call.workspace.may_see(bot, channel)
        and not (call.flag("exclude_archived") and channel.is_archived)
    ]
    shown, metadata = page(call, found)
    channels = [channel_shape(call.workspace, channel, bot) for channel in shown]
    return {"channels": channels, "response_metadata": metadata}


@method("conversations.info", scope=ANY_READ, required="channel", optional="include_locale include_num_members")
async def conversations_info(call: Call) -> Json:
    """Describe one conversation."""
    shape = channel_shape(call.workspace, _readable(call), call.workspace.app.bot_user)
    if not call.flag("include_num_members"):
        shape.pop("num_members", None)
    return {"channel": shape}


@method("conversations.members", scope=ANY_READ, tier=4, required="channel", optional="cursor limit")
async def conversations_members(call: Call) -> Json:
    """List the ids of a conversation's members."""
    shown, metadata = page(call, _readable(call).members)
    return {"members": list(shown), "response_metadata": metadata}


@method("conversations.join", scope="channels:join", required="channel")
async def conversations_join(call: Call) -> Json:
    """Join a public channel as the bot."""
    channel = call.channel()
    if channel.kind != "channel":
        raise ApiError("method_not_supported_for_channel_type")
    if channel.is_archived:
        raise ApiError("is_archived")
    bot = call.workspace.app.bot_user
    joined = call.workspace.join(bot, channel)
    answer: Json = {"channel": channel_shape(call.workspace, channel, bot)}
    return answer if joined else {**answer, "warning": "already_in_channel"}


@method("conversations.open", scope="im:write", optional="channel users return_im prevent_creation")
async def conversations_open(call: Call) -> Json:
    """Open the direct message with one user."""
    bot = call.workspace.app.bot_user
    users = call.words("users")
    if call.arguments.get("channel"):
        channel = call.channel()
        if channel.kind != "im":
            raise ApiError("method_not_supported_for_channel_type")
    elif len(users) == 1:
        if users[0] not in call.workspace.users:
            raise ApiError("user_not_found")
        if call.workspace.users[users[0]].is_bot:
            raise ApiError("cannot_dm_bot")
        channel = call.workspace.open_im(bot, users[0])
    else:
        raise ApiError("users_list_not_supplied" if not users else "method_not_supported_for_channel_type")
    if call.flag("return_im"):
        return {"channel": channel_shape(call.workspace, channel, bot)}
    return {"channel": {"id": channel.id}}


def _between(call: Call, messages: list[Message]) -> list[Message]:
    oldest, latest = str(call.arguments.get("oldest") or "0"), str(call.arguments.get("latest") or "")
    inclusive = call.flag("inclusive")
    try:
        low, high = float(oldest), float(latest) if latest else float("inf")
    except ValueError:
        raise ApiError("invalid_ts_latest" if oldest.replace(".", "").isdigit() else "invalid_ts_oldest") from None

    def inside(message: Message) -> bool:
        moment = float(message.ts)
        return low <= moment <= high if inclusive else low < moment < high

    return [message for message in messages if inside(message)]


def _shapes(call: Call, messages: Sequence[Message]) -> list[Json]:
    wanted = call.flag("include_all_metadata")
    return [message_shape(call.workspace, message, metadata=wanted) for message in messages]


@method(
    "conversations.history",
    required="channel",
    optional="cursor inclusive include_all_metadata latest limit oldest",
)
async def conversations_history(call: Call) -> Json:
    """List a conversation's top messages, newest first."""
    channel = call.channel(member=True)
    call.need(HISTORY_SCOPE[channel.kind])
    newest_first = list(reversed(_between(call, call.workspace.history(channel))))
    shown, metadata = page(call, newest_first)
    return {
        "messages": _shapes(call, shown),
        "has_more": bool(metadata["next_cursor"]),
        "pin_count": len(channel.pins),
        "response_metadata": metadata,
    }


@method(
    "conversations.replies",
    required="channel ts",
    optional="cursor inclusive include_all_metadata latest limit oldest",
)
async def conversations_replies(call: Call) -> Json:
    """List a thread, its top message first."""
    channel = call.channel(member=True)
    call.need(HISTORY_SCOPE[channel.kind])
    asked = channel.messages.get(call.text("ts"))
    if asked is None:
        raise ApiError("thread_not_found")
    thread = call.workspace.thread(channel, asked.thread_ts or asked.ts)
    top, replies = thread[:1], _between(call, thread[1:])
    shown, metadata = page(call, top + replies, default=1_000)
    has_more = bool(metadata["next_cursor"])
    return {"messages": _shapes(call, shown), "has_more": has_more, "response_metadata": metadata}
