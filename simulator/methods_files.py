"""The Web API's files.*: the three steps of an external upload, and files.info."""

from __future__ import annotations

import mimetypes

from simulator.api import Call, method
from simulator.errors import ApiError
from simulator.records import Channel, File, Json, Message
from simulator.shapes import file_shape
from simulator.workspace import Change, Workspace

MOST_BYTES = 50_000_000


@method(
    "files.getUploadURLExternal",
    scope="files:write",
    tier=4,
    required="filename length",
    optional="alt_txt snippet_type",
)
async def upload_url(call: Call) -> Json:
    """Return where to send the bytes of a file."""
    length = call.number("length", 0)
    if not 1 <= length <= MOST_BYTES:
        raise ApiError("invalid_arguments", f"[ERROR] length must be 1 to {MOST_BYTES}")
    name = call.text("filename")
    file = File(
        call.workspace.next_id("F"),
        name,
        name,
        call.workspace.app.bot_user,
        mimetypes.guess_type(name)[0] or "application/octet-stream",
        b"",
        int(call.workspace.clock()),
        is_complete=False,
    )
    call.workspace.files[file.id] = file
    return {"upload_url": f"{call.workspace.url}upload/v1/{file.id}?length={length}", "file_id": file.id}


@method(
    "files.completeUploadExternal",
    scope="files:write",
    tier=4,
    required="files",
    optional="channel_id channels initial_comment thread_ts blocks",
)
async def complete_upload(call: Call) -> Json:
    """Finish uploads and share them; without a channel they stay private."""
    entries = call.structure("files")
    if not isinstance(entries, list) or not entries:
        raise ApiError("invalid_arguments", "[ERROR] files must be a list of objects with an id")
    workspace, files = call.workspace, []
    for entry in entries:
        file = workspace.files.get(str(entry.get("id"))) if isinstance(entry, dict) else None
        if file is None:
            raise ApiError("file_not_found")
        if not file.content:
            raise ApiError("file_upload_incomplete" if not file.is_complete else "invalid_arguments")
        file.title = str(entry.get("title") or file.title)
        files.append(file)
    targets = [call.channel("channel_id", member=True)] if call.arguments.get("channel_id") else []
    for identity in call.words("channels"):
        channel = workspace.channels.get(identity)
        if channel is None or workspace.app.bot_user not in channel.members:
            raise ApiError("channel_not_found")
        targets.append(channel)
    thread_ts = call.arguments.get("thread_ts")
    if thread_ts and any(str(thread_ts) not in channel.messages for channel in targets):
        raise ApiError("thread_not_found")
    for file in files:
        file.is_complete = True
    for channel in targets:
        text = str(call.arguments.get("initial_comment") or "")
        share_files(workspace, channel, workspace.app.bot_user, files, text, str(thread_ts) if thread_ts else None)
    return {"files": [file_shape(workspace, file) for file in files]}


def share_files(
    workspace: Workspace, channel: Channel, user: str, files: list[File], text: str, thread_ts: str | None
) -> Message:
    """Post files into a channel as `user` and tell that they were shared."""
    app = workspace.app
    is_app = user == app.bot_user
    message = Message(channel.id, workspace.next_ts(), user, text, files=[file.id for file in files])
    message.thread_ts = thread_ts
    message.bot_id, message.app_id = (app.bot_id, app.id) if is_app else (None, None)
    message.subtype = "file_share"
    for file in files:
        file.channels.append(channel.id)
    workspace.post(message)
    for file in files:
        workspace.tell(Change("file_shared", channel, message, user, {"file": file}))
    return message


@method("files.info", scope="files:read", tier=4, required="file", optional="count cursor limit page")
async def files_info(call: Call) -> Json:
    """Describe one file."""
    file = call.workspace.files.get(call.text("file"))
    if file is None or not file.is_complete:
        raise ApiError("file_not_found")
    return {"file": file_shape(call.workspace, file), "comments": [], "response_metadata": {"next_cursor": ""}}
