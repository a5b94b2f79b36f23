"""What is too long for a message: attached once, or its end shown where the app may not upload."""

from __future__ import annotations

import pytest

from bot.slack_files import NO_SCOPE, SHOWN_MOST
from bot.slack_post import AGAIN
from core.errors import TransientError
from tests.bot.slack_stage import Stage, config, first, repeat, stage, tell

LONG = "".join(f"line {number} <!channel> & ```\n" for number in range(400))
SAID = "The test smoke of beta failed."


def files(s: Stage) -> list[bytes]:
    """What is attached in #checkout and its threads, in order."""
    return [s.simulator.workspace.files[id_].content for m in thread(s) for id_ in m.files]


def thread(s: Stage):
    card = s.simulator.channel("#checkout").messages[0]
    return [reply.message for reply in s.simulator.thread(card)[1:]]


async def test_a_long_output_is_attached_in_the_thread():
    async with stage() as s:
        await s.post.tell(tell(SAID, output=LONG), first())

        assert files(s) == [LONG.encode()]
        assert thread(s)[0].text == f"{SAID}\nWhat it printed is attached."


async def test_a_short_output_is_shown_and_mentions_nobody():
    async with stage() as s:
        await s.post.tell(tell(SAID, output="no such cart <!channel>"), first())

        (message,) = thread(s)
        assert "no such cart &lt;!channel&gt;" in message.text
        shown = message.blocks[-1]["elements"][0]["elements"][0]
        assert shown == {"type": "text", "text": "no such cart <!channel>"}
        assert files(s) == []


async def test_without_the_scope_the_end_is_shown_and_why():
    async with stage(config(without=("files:write",))) as s:
        await s.post.tell(tell(SAID, output=LONG), first())

        (message,) = thread(s)
        shown = message.blocks[-1]["elements"][0]["elements"][0]["text"]
        assert shown.startswith("…\nline ")
        assert shown.endswith("line 399 <!channel> & ```")
        assert len(shown) <= SHOWN_MOST + 2
        assert NO_SCOPE in message.text
        assert message.text.count("```") == 2
        assert s.calls("files.getUploadURLExternal") == 0


@pytest.mark.parametrize(
    ("method", "fault"),
    [
        ("files.getUploadURLExternal", "drop_after"),
        ("files.upload", "drop_before"),
        ("files.upload", "server_error"),
        ("files.completeUploadExternal", "drop_before"),
        ("files.completeUploadExternal", "drop_after"),
    ],
)
async def test_a_file_that_slack_did_not_confirm_is_attached_once(method, fault):
    async with stage() as s:
        s.simulator.faults.set(method, fault, times=1)
        with pytest.raises(TransientError):
            await s.post.tell(tell(SAID, output=LONG), first())
        await s.again().post.tell(tell(SAID, output=LONG), repeat())

        assert files(s) == [LONG.encode()]
        assert AGAIN not in thread(s)[0].text


async def test_where_history_cannot_be_read_it_is_attached_again_and_says_so():
    async with stage(config(without=("channels:history",))) as s:
        s.simulator.faults.set("files.completeUploadExternal", "drop_after", times=1)
        with pytest.raises(TransientError):
            await s.post.tell(tell(SAID, output=LONG), first())
        await s.again().post.tell(tell(SAID, output=LONG), repeat())

        assert len(files(s)) == 2
        assert thread(s)[1].text.endswith(AGAIN)


async def test_an_upload_that_slack_refuses_leaves_the_end_of_it():
    async with stage() as s:
        s.simulator.faults.set("files.completeUploadExternal", "error", code="file_upload_disabled", times=1)
        await s.post.tell(tell(SAID, output=LONG), first())

        (message,) = thread(s)
        assert "The end of what it printed." in message.text
        assert files(s) == []
