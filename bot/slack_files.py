"""What is too long for a message: attached as a text file where the app may upload, else the end of it is shown."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from slack_sdk.web.async_client import AsyncWebClient

from bot.render import Message
from bot.slack_client import slack_errors
from commands.mrkdwn import escape

SHOWN_MOST: Final = 2_500
"""Characters that a message shows; what is longer is attached."""
NO_SCOPE: Final = "The app may not attach files: it lacks files:write."


@dataclass(frozen=True, slots=True)
class Attachment:
    """A text file; its name tells it from every other, so that it can be found again."""

    name: str
    title: str
    text: str

    @classmethod
    def of(cls, key: str, subject: str, title: str, text: str) -> Attachment:
        """Name it after what it is about and the key of the effect (or delivery) that brings it."""
        plain = "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in subject)[:60]
        digest = hashlib.sha256(key.encode()).hexdigest()[:12]
        return cls(f"{plain}-{digest}.txt", title, text)

    def is_in(self, message: Mapping[str, Any]) -> bool:
        """Whether a message of Slack's brings it."""
        return any(file.get("name") == self.name for file in message.get("files") or ())


async def upload(client: AsyncWebClient, attached: Attachment, *, channel: str, thread: str, said: str) -> None:
    """Upload it, said with `said`; raises `TransientError` where it may have arrived, `SlackRefused`."""
    async with slack_errors():
        await client.files_upload_v2(
            filename=attached.name,
            title=attached.title,
            content=attached.text,
            snippet_type="text",
            channel=channel,
            thread_ts=thread or None,
            initial_comment=said,
        )


def shown(message: Message, output: str, *, why_cut: str = NO_SCOPE) -> Message:
    """Return the message with what was printed under it, or with its end, saying why there is no more."""
    end = output.strip()
    words = "It printed:"
    if len(end) > SHOWN_MOST:
        end = end[-SHOWN_MOST:]
        end = f"…\n{end.partition(chr(10))[2] or end}"
        words = f"The end of what it printed. {why_cut}"
    blocks = [
        *message.blocks,
        {"type": "context", "elements": [{"type": "mrkdwn", "text": words}]},
        {
            "type": "rich_text",
            "elements": [{"type": "rich_text_preformatted", "elements": [{"type": "text", "text": end}]}],
        },
    ]
    fenced = escape(end).replace("```", "'''")
    return Message(f"{message.text}\n{words}\n```\n{fenced}\n```", blocks)
