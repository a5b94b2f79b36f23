"""Join the outbox, the database and the drawn words to what posts in Slack."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from bot.cards import NO_LINKS, Links, card
from bot.engine import Engine
from bot.messages import decided, paged, paged_directly, people_to_call, told
from bot.outbox import Again, Claimed, Delivered, Done
from bot.render import Message, Templates
from bot.slack_places import Card
from bot.slack_post import Call, Delivery, Later, SlackPost
from core.releases.effects import Page, RefreshCard, Tell
from storage.journal import Transaction
from storage.records import SentMessage

CARD: Final = "card"
REMEMBERED: Final = 2_000
ASKED: Final = "asked "


class SlackCouriers:
    """The couriers of RefreshCard, Tell and (its Slack part) Page."""

    def __init__(self, post: SlackPost, now: Callable[[], datetime]) -> None:
        self._post = post
        self._now = now

    async def deliver(self, claimed: Claimed) -> Delivered:
        """Bring one effect to Slack; raises `TransientError`, `SlackRefused` with the mend, `StorageError`."""
        delivery = Delivery(
            pipeline=claimed.pipeline_id,
            created_at=claimed.created_at,
            is_repeat=claimed.attempts > 1,
            is_held=lambda: claimed.is_held(self._now()),
        )
        try:
            match claimed.effect:
                case RefreshCard() as effect:
                    await self._post.refresh_card(effect, delivery)
                case Tell() as effect:
                    await self._post.tell(effect, delivery)
                case Page() as effect:
                    await self._post.page(effect, delivery)
                case other:
                    raise TypeError(f"Slack does not deliver {type(other).__name__}")
        except Later as later:
            if delivery.is_repeat or later.retry_after is None:
                # An earlier attempt may have arrived: the count must stay, so that it is looked for again.
                raise
            return Again(self._now() + later.retry_after, later.message)
        return Done()


class StoredCards:
    """Where cards stand, in the table of messages; a card that went on elsewhere is still known by its old place.

    Where nobody else can write, cards that were asked for lately are remembered: a card is looked for whenever its
    release hears of something, and each look costs as much as a decision.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: OrderedDict[tuple[str, str], Card] = OrderedDict()

    async def find(self, pipeline: str, release: str) -> Card | None:
        """Return a release's card."""
        known = self._known.get((pipeline, release))
        if known is not None:
            return known
        found = await self._engine.read(lambda t: t.messages.find(pipeline, release, CARD))
        if found is None:
            return None
        if (pipeline, release) not in self._known:
            # Else it was put somewhere else while this was read.
            card = Card(channel=found.channel, ts=found.ts, key=found.key, fingerprint=found.fingerprint)
            self._remember(pipeline, release, card)
            return card
        return self._known[pipeline, release]

    def _remember(self, pipeline: str, release: str, card: Card) -> None:
        if self._engine.is_shared:
            return
        self._known[pipeline, release] = card
        self._known.move_to_end((pipeline, release))
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    async def put(self, pipeline: str, release: str, card: Card) -> None:
        """Remember it; on disk before this returns."""
        now = self._engine.now()
        new = _sent(pipeline, release, CARD, card)

        def write(transaction: Transaction) -> None:
            old = transaction.messages.find(pipeline, release, CARD)
            transaction.messages.put(new, now)
            if old is not None and (old.channel, old.ts) != (new.channel, new.ts):
                before = Card(channel=old.channel, ts=old.ts, key=old.key, fingerprint=old.fingerprint)
                transaction.messages.put(_sent(pipeline, release, f"{CARD} {old.ts}", before), now)

        await self._engine.run(write)
        self._remember(pipeline, release, card)

    async def questions(self, pipeline: str, release: str) -> Mapping[str, Card]:
        """Return a release's requests for approval, by request."""
        found = await self._engine.read(lambda t: t.messages.of_purpose(pipeline, release, ASKED))
        return {
            each.purpose.removeprefix(ASKED): Card(
                channel=each.channel, ts=each.ts, key=each.key, fingerprint=each.fingerprint
            )
            for each in found
        }

    async def put_question(self, pipeline: str, release: str, request: str, card: Card) -> None:
        """Remember one; on disk before this returns."""
        new, now = _sent(pipeline, release, f"{ASKED}{request}", card), self._engine.now()
        await self._engine.run(lambda t: t.messages.put(new, now))

    async def about(self, channel: str, ts: str) -> tuple[str, str] | None:
        """Return the pipeline and release whose card stands (or stood) at a place."""
        found = await self._engine.read(lambda t: t.messages.at(channel, ts))
        return None if found is None else (found.pipeline_id, found.release)


def _sent(pipeline: str, release: str, purpose: str, card: Card) -> SentMessage:
    return SentMessage(
        pipeline_id=pipeline,
        release=release,
        purpose=purpose,
        channel=card.channel,
        ts=card.ts,
        key=card.key,
        fingerprint=card.fingerprint,
    )


class ReleaseWords:
    """What is said, drawn from the newest committed state by `bot/cards.py` and `bot/messages.py`.

    `links` gives the pages of a release, by pipeline and release.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        links: Callable[[str, str], Links] = lambda _pipeline, _release: NO_LINKS,
        templates: Templates | None = None,
    ) -> None:
        self._engine = engine
        self._links = links
        self._templates = templates

    def channel(self, pipeline: str) -> str:
        """Return the channel of a pipeline, empty if it has none or is gone."""
        state = self._engine.pipelines().get(pipeline)
        return state.definition.channel if state is not None else ""

    def card(self, pipeline: str, release: str) -> Message | None:
        """Draw a release's card; None once the release is remembered no more."""
        state = self._engine.pipelines().get(pipeline)
        found = state.release(release) if state is not None else None
        if state is None or found is None:
            return None
        links = self._links(pipeline, release)
        return card(state, found, self._engine.world, self._engine.now(), links, templates=self._templates)

    def told(self, pipeline: str, tell: Tell) -> Message | None:
        """Draw a sentence of a thread."""
        state = self._engine.pipelines().get(pipeline)
        if state is None:
            return None
        links = self._links(pipeline, tell.release)
        return told(tell, state, self._engine.world, links, templates=self._templates)

    def decided(self, pipeline: str, release: str, request: str) -> Message | None:
        """Draw what became of a request for approval; None while it is open."""
        state = self._engine.pipelines().get(pipeline)
        if state is None:
            return None
        return decided(state, release, request, self._engine.world, self._engine.now(), templates=self._templates)

    def called(self, pipeline: str, page: Page) -> Call | None:
        """Draw a call; None once somebody took it, or it is over."""
        state = self._engine.pipelines().get(pipeline)
        if state is None or all(open_page.id != page.page for open_page in state.pages):
            return None
        world = self._engine.world
        return Call(
            paged(page, state, world, templates=self._templates),
            paged_directly(page, state, world, templates=self._templates),
            people_to_call(state, world),
        )
