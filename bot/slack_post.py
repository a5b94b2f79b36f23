"""Bring effects to Slack: a release's card, the sentences of its thread, and calls to the on-call.

Nothing twice. A post carries its key in the message's metadata. Before anything is posted at a second attempt, or by a
process that came back, the key is looked for where the message would stand; only what is surely not there is posted.
Where history may not be read the post is repeated, and says so.

One card is written by one lane of the outbox, so that no two writers meet; a call to the on-call, which has a lane of
its own, never makes a card. Edits of one card keep their distance, and a card that would look the same is not sent.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.render import Message
from bot.slack_channels import Channels
from bot.slack_client import Pace, SlackRefused, slack_errors
from bot.slack_files import SHOWN_MOST, Attachment, shown, upload
from bot.slack_places import Card, Cards
from bot.slack_questions import Questions, StoredQuestions
from core.errors import TransientError
from core.releases.effects import Page, RefreshCard, Tell

log = logging.getLogger("andon.slack.post")

EVENT_TYPE: Final = "andon"
ASKED_AGAIN: Final = "This was asked again below."
AGAIN: Final = "Posted again: Slack did not confirm the first time."
UNEDITABLE: Final = frozenset({"message_not_found", "edit_window_closed", "cant_update_message", "is_inactive"})
UNREADABLE: Final = frozenset({"missing_scope", "not_allowed_token_type", "access_denied"})
CLOCKS_APART: Final = timedelta(minutes=10)
PAGES_READ: Final = 5
MESSAGES_A_PAGE: Final = 200
TEXT_MOST: Final = 4_000
TITLE_MOST: Final = 150
BLOCKS_MOST: Final = 50
LONGEST_WAIT: Final = 5.0
REMEMBERED: Final = 10_000


class Later(TransientError):
    """Not a failed attempt: nothing was sent, and the same effect is wanted after `retry_after`."""


@dataclass(frozen=True, slots=True)
class Call:
    """What is said in the thread, what directly, and to whom, by Slack id."""

    message: Message
    direct: Message
    people: tuple[str, ...] = ()


class Words(Protocol):
    """What is said, drawn from the newest state; None where there is nothing (any more) to speak of."""

    def channel(self, pipeline: str) -> str:
        """Return the channel of a pipeline as its file names it; empty if it has none."""

    def card(self, pipeline: str, release: str) -> Message | None:
        """Draw a release's card as it is now."""

    def told(self, pipeline: str, tell: Tell) -> Message | None:
        """Draw a sentence of a release's thread."""

    def called(self, pipeline: str, page: Page) -> Call | None:
        """Draw a call to the on-call."""

    def decided(self, pipeline: str, release: str, request: str) -> Message | None:
        """Draw what became of a request for approval; None while it is open."""


class Stored(Cards, StoredQuestions, Protocol):
    """Where cards and requests stand, durably."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One attempt at an effect. `is_repeat`: an earlier attempt may have reached Slack.

    `is_held` is asked right before a post: False where another replica may be at it by now.
    """

    pipeline: str
    created_at: datetime
    is_repeat: bool
    is_held: Callable[[], bool] = lambda: True


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """How fast: posts to one channel, edits in the whole workspace, and edits of one card."""

    posts: Pace = field(default_factory=lambda: Pace(every=1.0, burst=8))
    edits: Pace = field(default_factory=lambda: Pace(every=1.2, burst=10))
    debounce: float = 1.5

    @classmethod
    def of(cls, every: float) -> Pacing:
        """The pace where Slack takes one message in `every` seconds (really: 1)."""
        return cls(posts=Pace(every, burst=8), edits=Pace(1.2 * every, burst=10), debounce=1.5 * every)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    channel: str
    thread: str = ""


@dataclass(frozen=True, slots=True)
class _Posted:
    channel: str
    ts: str
    is_found: bool


class SlackPost:
    """Couriers of RefreshCard, Tell and Page: `client` repeats nothing, `reader` may.

    Each raises `TransientError` (to be tried again; `Later` where nothing was sent) or `SlackRefused` (to be buried).
    """

    def __init__(
        self,
        *,
        client: AsyncWebClient,
        reader: AsyncWebClient,
        words: Words,
        cards: Stored,
        channels: Channels,
        pacing: Pacing,
        may_upload: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._may_upload = may_upload
        self._client = client
        self._reader = reader
        self._words = words
        self._cards = cards
        self._questions = Questions(cards)
        self._channels = channels
        self._pacing = pacing
        self._monotonic = monotonic
        self._edited_at: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._confirmed: OrderedDict[str, _Posted] = OrderedDict()

    async def refresh_card(self, effect: RefreshCard, delivery: Delivery) -> None:
        """Make a release's card show how things are."""
        card = await self._cards.find(delivery.pipeline, effect.release)
        if card is not None:
            # Before it is drawn: a card that may not be sent yet would be drawn for nothing.
            self._wait_for_debounce(card, at_once=effect.at_once)
            self._wait_for_pace(self._pacing.edits, "chat.update")
        message = self._words.card(delivery.pipeline, effect.release)
        if message is None:
            return
        if card is None:
            await self._first_card(effect.release, message, delivery)
            return
        fingerprint = _fingerprint(message)
        if fingerprint == card.fingerprint:
            await self._close_questions(effect.release, delivery)
            return
        try:
            await self._edit(card, message)
        except SlackRefused as refusal:
            if refusal.code not in UNEDITABLE:
                raise
            await self._replace(effect.release, card, message, delivery, is_gone=refusal.code == "message_not_found")
            return
        changed = Card(channel=card.channel, ts=card.ts, key=card.key, fingerprint=fingerprint)
        await self._cards.put(delivery.pipeline, effect.release, changed)
        self._note_edit(changed)
        await self._close_questions(effect.release, delivery)

    async def tell(self, effect: Tell, delivery: Delivery) -> None:
        """Say a sentence in a release's thread, or in the channel where it speaks of no release."""
        message = self._words.told(delivery.pipeline, effect)
        if message is None:
            return
        place = await self._place(delivery.pipeline)
        if place is None:
            return
        if effect.release:
            card = await self._card_of(effect.release, delivery)
            if card is not None:
                place = _Place(channel=card.channel, thread=card.ts)
        if effect.output:
            if await self._attach(place, effect, message, delivery):
                return
            message = shown(message, effect.output)
        is_broadcast = effect.is_broadcast and bool(place.thread)
        posted = await self._post(place, message, effect.key, delivery, is_broadcast=is_broadcast)
        if "approve" in effect.offers and effect.release:
            await self._remember_question(effect, posted, delivery)

    async def page(self, effect: Page, delivery: Delivery) -> None:
        """Call the on-call: a mention in the thread, and a direct message to each of them."""
        call = self._words.called(delivery.pipeline, effect)
        if call is None:
            return
        troubles: list[TransientError | SlackRefused] = []
        try:
            card = await self._cards.find(delivery.pipeline, effect.release) if effect.release else None
            place = await self._place(delivery.pipeline)
            if card is not None:
                place = _Place(channel=card.channel, thread=card.ts)
            if place is not None:
                await self._post(place, call.message, effect.key, delivery, is_broadcast=bool(place.thread))
        except (TransientError, SlackRefused) as trouble:
            troubles.append(trouble)
        # One who cannot be reached does not keep the call from the others.
        for person in call.people:
            try:
                await self._direct(person, call.direct, f"{effect.key}:{person}", delivery)
            except (TransientError, SlackRefused) as trouble:
                troubles.append(trouble)
        waiting = [trouble for trouble in troubles if isinstance(trouble, TransientError)]
        if waiting:
            # Counted as an attempt even where Slack only asked for a pause: some of it may have been sent.
            raise TransientError(waiting[0].message, retry_after=waiting[0].retry_after)
        if troubles:
            raise troubles[0]

    # ---- cards ------------------------------------------------------------------------------------------------------

    async def _card_of(self, release: str, delivery: Delivery) -> Card | None:
        """The card a thread hangs on, posted now where it is not there yet."""
        card = await self._cards.find(delivery.pipeline, release)
        if card is not None:
            return card
        message = self._words.card(delivery.pipeline, release)
        return None if message is None else await self._first_card(release, message, delivery)

    async def _first_card(self, release: str, message: Message, delivery: Delivery) -> Card | None:
        place = await self._place(delivery.pipeline)
        if place is None:
            return None
        key = f"card:{delivery.pipeline}:{release}"
        return await self._new_card(place.channel, release, message, key, delivery)

    async def _new_card(self, channel: str, release: str, message: Message, key: str, delivery: Delivery) -> Card:
        posted = await self._post(_Place(channel=channel), message, key, delivery)
        # Found is not the same as up to date: an empty fingerprint has the next refresh draw it again.
        fingerprint = "" if posted.is_found else _fingerprint(message)
        card = Card(channel=posted.channel, ts=posted.ts, key=key, fingerprint=fingerprint)
        await self._cards.put(delivery.pipeline, release, card)
        self._note_edit(card)
        return card

    async def _replace(self, release: str, card: Card, message: Message, delivery: Delivery, *, is_gone: bool) -> None:
        """A card that can be edited no more is continued by a new one that leads to it."""
        log.warning("The card of %s in %s can be edited no more; a new one is posted.", release, card.channel)
        link = "" if is_gone else await self._permalink(card)
        if link:
            message = _with_small(message, f"This card goes on from <{link}|an earlier one>.")
        key = f"{card.key}:after:{card.ts}"
        await self._new_card(card.channel, release, message, key, delivery)

    # ---- requests for approval --------------------------------------------------------------------------------------

    async def _remember_question(self, effect: Tell, posted: _Posted, delivery: Delivery) -> None:
        card = Card(channel=posted.channel, ts=posted.ts, key=effect.key, fingerprint="")
        older = await self._questions.asked(delivery.pipeline, effect.release, effect.subject, card)
        if older is not None:
            await self._edit_question(older, Message(ASKED_AGAIN, []))

    async def _close_questions(self, release: str, delivery: Delivery) -> None:
        """Have those that are decided say so, without their buttons."""
        for request, card in (await self._questions.open(delivery.pipeline, release)).items():
            message = self._words.decided(delivery.pipeline, release, request)
            if message is not None:
                await self._edit_question(card, message)
                await self._questions.closed(delivery.pipeline, release, request)

    async def _edit_question(self, card: Card, message: Message) -> None:
        try:
            await self._edit(card, message)
        except SlackRefused as refusal:
            if refusal.code not in UNEDITABLE:
                raise
            log.warning("A request for approval in %s can be edited no more; its buttons stay.", card.channel)

    async def _permalink(self, card: Card) -> str:
        try:
            async with slack_errors():
                said = await self._reader.chat_getPermalink(channel=card.channel, message_ts=card.ts)
        except SlackRefused:
            return ""
        return str(said.get("permalink") or "")

    async def _edit(self, card: Card, message: Message) -> None:
        await self._turn(self._pacing.edits, "chat.update")
        await self._turn(self._pacing.posts, card.channel)
        try:
            async with slack_errors():
                await self._client.chat_update(
                    channel=card.channel,
                    ts=card.ts,
                    text=message.text[:TEXT_MOST],
                    # Text without blocks would take the blocks away: both are always sent.
                    blocks=message.blocks,
                )
        except TransientError as trouble:
            raise _held(self._pacing.edits, "chat.update", trouble) from trouble

    def _wait_for_debounce(self, card: Card, *, at_once: bool) -> None:
        edited_at = self._edited_at.get((card.channel, card.ts))
        if at_once or edited_at is None:
            return
        left = edited_at + self._pacing.debounce - self._monotonic()
        if left > 0:
            raise Later("The card was edited a moment ago.", retry_after=timedelta(seconds=left))

    def _note_edit(self, card: Card) -> None:
        self._edited_at[(card.channel, card.ts)] = self._monotonic()
        self._edited_at.move_to_end((card.channel, card.ts))
        if len(self._edited_at) > REMEMBERED:
            self._edited_at.popitem(last=False)

    # ---- posts ------------------------------------------------------------------------------------------------------

    async def _place(self, pipeline: str) -> _Place | None:
        name = self._words.channel(pipeline)
        return _Place(channel=await self._channels.id_of(name)) if name else None

    async def _direct(self, person: str, message: Message, key: str, delivery: Delivery) -> None:
        if key in self._confirmed:
            return
        async with slack_errors():
            opened = await self._reader.conversations_open(users=person)
        channel = str((opened.get("channel") or {}).get("id", ""))
        await self._post(_Place(channel=channel), message, key, delivery)

    async def _post(
        self, place: _Place, message: Message, key: str, delivery: Delivery, *, is_broadcast: bool = False
    ) -> _Posted:
        """Post once; what an earlier attempt brought there is found instead."""
        if key in self._confirmed:
            return self._confirmed[key]
        if delivery.is_repeat:
            found = await self._find(place, lambda message: _key_of(message) == key, delivery)
            if found:
                return self._remember(key, _Posted(place.channel, found, is_found=True))
            if found is None:
                message = _with_small(message, AGAIN)
        await self._turn(self._pacing.posts, place.channel)
        _raise_unless_held(delivery)
        try:
            async with slack_errors():
                said = await self._client.chat_postMessage(
                    channel=place.channel,
                    thread_ts=place.thread or None,
                    reply_broadcast=is_broadcast or None,
                    text=message.text,
                    blocks=message.blocks or None,
                    metadata={"event_type": EVENT_TYPE, "event_payload": {"key": key}},
                    unfurl_links=False,
                    unfurl_media=False,
                )
        except TransientError as trouble:
            raise _held(self._pacing.posts, place.channel, trouble) from trouble
        return self._remember(key, _Posted(str(said.get("channel") or place.channel), str(said["ts"]), is_found=False))

    async def _attach(self, place: _Place, effect: Tell, message: Message, delivery: Delivery) -> bool:
        """Attach what is too long to be shown; False where it is not, or the app may not upload."""
        if not self._may_upload or len(effect.output.strip()) <= SHOWN_MOST:
            return False
        key = f"{delivery.pipeline}/{effect.key}"
        attached = Attachment.of(key, f"{delivery.pipeline}-output", effect.sentence[:TITLE_MOST], effect.output)
        said = f"{message.text}\nWhat it printed is attached."
        if delivery.is_repeat:
            found = await self._find(place, attached.is_in, delivery)
            if found:
                return True
            said = said if found is not None else f"{said}\n{AGAIN}"
        await self._turn(self._pacing.posts, place.channel)
        _raise_unless_held(delivery)
        try:
            await upload(self._client, attached, channel=place.channel, thread=place.thread, said=said)
        except TransientError as trouble:
            raise _held(self._pacing.posts, place.channel, trouble) from trouble
        except SlackRefused as refusal:
            log.warning("A file could not be attached; the end of it is shown instead. %s", refusal.message)
            return False
        return True

    def _remember(self, key: str, posted: _Posted) -> _Posted:
        self._confirmed[key] = posted
        if len(self._confirmed) > REMEMBERED:
            self._confirmed.popitem(last=False)
        return posted

    async def _turn(self, pace: Pace, key: str) -> None:
        self._wait_for_pace(pace, key)
        await pace.turn(key)

    @staticmethod
    def _wait_for_pace(pace: Pace, key: str) -> None:
        wait = pace.wait(key)
        if wait > LONGEST_WAIT:
            raise Later("Slack takes no more messages here for a moment.", retry_after=timedelta(seconds=wait))

    # ---- looking before posting again -------------------------------------------------------------------------------

    async def _find(self, place: _Place, is_it: Callable[[Mapping[str, Any]], bool], delivery: Delivery) -> str | None:
        """The ts of the message that is wanted, empty if it is surely not there, None if that cannot be seen."""
        oldest = f"{(delivery.created_at - CLOCKS_APART).timestamp():.6f}"
        cursor = ""
        for _ in range(PAGES_READ):
            try:
                async with slack_errors():
                    page = await self._read(place, oldest, cursor)
            except SlackRefused as refusal:
                if refusal.code == "thread_not_found":
                    return ""
                if refusal.code in UNREADABLE:
                    return None
                raise
            messages: list[dict[str, Any]] = page.get("messages", [])
            for message in messages:
                if is_it(message):
                    return str(message["ts"])
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return ""
        return None

    async def _read(self, place: _Place, oldest: str, cursor: str) -> AsyncSlackResponse:
        if place.thread:
            return await self._reader.conversations_replies(
                channel=place.channel,
                ts=place.thread,
                oldest=oldest,
                cursor=cursor or None,
                limit=MESSAGES_A_PAGE,
                include_all_metadata=True,
            )
        return await self._reader.conversations_history(
            channel=place.channel,
            oldest=oldest,
            cursor=cursor or None,
            limit=MESSAGES_A_PAGE,
            include_all_metadata=True,
        )


def _raise_unless_held(delivery: Delivery) -> None:
    """Slack does not know a repeat by a key: who looked long ago must look again."""
    if not delivery.is_held():
        raise TransientError("It took as long as its lease; it is looked for before it is posted.")


def _held(pace: Pace, key: str, trouble: TransientError) -> TransientError:
    """A pause Slack asked for holds the whole queue; what was surely not sent is no failed attempt."""
    if trouble.retry_after is None:
        return trouble
    pace.hold(key, trouble.retry_after.total_seconds())
    return Later(trouble.message, retry_after=trouble.retry_after)


def _key_of(message: Mapping[str, Any]) -> str:
    metadata = message.get("metadata") or {}
    if metadata.get("event_type") != EVENT_TYPE:
        return ""
    return str((metadata.get("event_payload") or {}).get("key") or "")


def _fingerprint(message: Message) -> str:
    drawn = json.dumps([message.text, message.blocks], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(drawn.encode()).hexdigest()[:32]


def _with_small(message: Message, said: str) -> Message:
    """The message with a line in small print under it."""
    line = {"type": "context", "elements": [{"type": "mrkdwn", "text": said}]}
    blocks = [*message.blocks[: BLOCKS_MOST - 1], line] if message.blocks else []
    return Message(f"{message.text}\n{said}", blocks)
