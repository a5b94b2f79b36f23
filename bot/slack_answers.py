"""Answer people where they acted: to them alone at the place of the act, in the thread, or by direct message.

These answers are courtesies, not records: what was done is in the database and comes to the card and thread by the
outbox. They are sent after Slack was acknowledged, tried again a little, and logged where they cannot be given.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, Final

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack_client import Pace, SlackRefused, slack_errors
from bot.slack_files import Attachment, upload
from bot.slack_payloads import Place
from core.errors import TransientError

log = logging.getLogger("andon.slack.answers")

TRIES: Final = 3
PAUSE: Final = timedelta(seconds=1)
UNSEEN: Final = frozenset({"user_not_in_channel", "not_in_channel", "channel_not_found", "is_archived"})


class Answers:
    """Sends answers in the background; `drain` waits for those on their way. `client` repeats nothing by itself."""

    def __init__(
        self,
        client: AsyncWebClient,
        session: aiohttp.ClientSession,
        pace: Pace,
        *,
        may_upload: bool = True,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._may_upload = may_upload
        self._client = client
        self._session = session
        self._pace = pace
        self._sleep = sleep
        self._tasks: set[asyncio.Task[object]] = set()

    def privately(self, place: Place, user: str, text: str) -> None:
        """Say something to one person at the place of their act."""
        if user and text:
            self._begin(self._privately(place, user, text))

    def openly(self, place: Place, text: str) -> None:
        """Say something in the thread of the place, or in the channel where it is none."""
        if place.channel and text:
            self._begin(self._try(lambda: self._post(place.channel, place.thread, text)))

    def attached(self, place: Place, text: str, attachment: Attachment) -> None:
        """Say something in the thread of the place with a file; without it where the app may not attach files."""
        self._begin(self._attached(place, text, attachment))

    def follow(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something after the acknowledgement; `drain` waits for it as well."""
        self._begin(work)

    async def drain(self) -> None:
        """Wait until every answer is given, or given up."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def _begin(self, work: Coroutine[Any, Any, object]) -> None:
        # A reference is kept: the loop alone would let a task be collected half done.
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _privately(self, place: Place, user: str, text: str) -> None:
        in_thread = bool(place.thread) and not place.is_broadcast
        # A response_url cannot reach one person in a thread; chat.postEphemeral can.
        if place.response_url and not in_thread and await self._try(lambda: self._respond(place.response_url, text)):
            return
        thread = place.thread if in_thread else ""
        if place.channel and await self._try(lambda: self._ephemeral(place.channel, thread, user, text)):
            return
        await self._try(lambda: self._direct(user, text))

    async def _attached(self, place: Place, text: str, attachment: Attachment) -> None:
        async def send() -> None:
            await self._pace.turn(place.channel)
            await upload(self._client, attachment, channel=place.channel, thread=place.thread, said=text)

        if not (self._may_upload and await self._try(send)):
            await self._try(lambda: self._post(place.channel, place.thread, text))

    async def _try(self, send: Callable[[], Awaitable[None]]) -> bool:
        """Whether it was sent; an answer that may have been sent is not sent again."""
        for tried in range(1, TRIES + 1):
            try:
                await send()
            except TransientError as trouble:
                if trouble.retry_after is None or tried == TRIES:
                    log.warning("An answer was not confirmed: %s", trouble.message)
                    return trouble.retry_after is None
                await self._sleep(max(trouble.retry_after, PAUSE).total_seconds())
            except SlackRefused as refusal:
                if refusal.code not in UNSEEN:
                    log.warning("An answer could not be given: %s", refusal.message)
                return False
            else:
                return True
        return False

    async def _respond(self, url: str, text: str) -> None:
        said = {"response_type": "ephemeral", "replace_original": False, "text": text}
        async with slack_errors(), self._session.post(url, json=said) as response:
            if response.status == 429:
                raise TransientError("Slack asks for a pause.", retry_after=PAUSE)
            if response.status >= 500:
                raise TransientError(f"Slack has trouble (HTTP {response.status}).")
            if response.status >= 400:
                raise SlackRefused("expired_url" if response.status in {404, 410} else f"http_{response.status}")

    async def _ephemeral(self, channel: str, thread: str, user: str, text: str) -> None:
        async with slack_errors():
            await self._client.chat_postEphemeral(channel=channel, user=user, text=text, thread_ts=thread or None)

    async def _direct(self, user: str, text: str) -> None:
        async with slack_errors():
            opened = await self._client.conversations_open(users=user)
        channel = opened.get("channel") or {}
        await self._post(str(channel.get("id", "")), "", text)

    async def _post(self, channel: str, thread: str, text: str) -> None:
        await self._pace.turn(channel)
        async with slack_errors():
            await self._client.chat_postMessage(
                channel=channel, text=text, thread_ts=thread or None, unfurl_links=False, unfurl_media=False
            )
