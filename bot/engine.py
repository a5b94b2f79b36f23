"""The engine: everything that happens to pipelines is decided here, in order, and is on disk before it is answered.

States live in memory and are replaced only after the commit that wrote them. The writing thread works on a book of its
own (`book.py`); what is committed is published to the loop, where everybody else reads it (`shelf.py`). How pieces
share a commit is `writer.py`'s trade.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from bot.book import ActAnswer, Answer, Book, Line, Refused, Rules, UnknownPipeline
from bot.clock import Clock
from bot.shelf import Known, Shelf
from bot.writer import Writer
from core.errors import AndonError
from core.releases.events import Event, WorldChanged
from core.releases.freezing import OrganisationCommand
from core.releases.pipeline import Pipeline
from core.releases.world import Outage, World
from storage.history import HistoryLine
from storage.journal import Loaded, Store, Transaction
from storage.lanes import Birth, Born

__all__ = ["Answer", "Engine", "HistoryLine", "Rules", "UnknownPipeline", "no_checkpoint"]

T = TypeVar("T")
log = logging.getLogger("andon.engine")

TIDY_EVERY = 2.0
"""Seconds, at least, from one copying back of the log to the next."""


WAKE_LEASE = timedelta(seconds=30)
"""After which a wake that another replica claimed is anybody's again."""
LOOK_AGAIN_AFTER = timedelta(seconds=1)


TOGETHER = 64
"""Pipelines that are told something at once, where all of them are: what people ask meanwhile goes in between."""


def parts(names: Sequence[str]) -> Sequence[Sequence[str]]:
    """These, so many at a time."""
    return [names[place : place + TOGETHER] for place in range(0, len(names), TOGETHER)]


def no_checkpoint(_name: str) -> None:
    """What a checkpoint is outside tests."""


class Deliverer(Protocol):
    """Who delivers effects."""

    @property
    def birth(self) -> Birth | None:
        """How much can be taken on; None where nothing is delivered at present."""

    def take(self, born: Born) -> None:
        """Deliver what was claimed, and look at the lanes that have news; on the loop."""

    def look(self, *, within: timedelta = timedelta()) -> None:
        """Look everywhere, by then."""


class Engine:
    """The writer and what is known. Made by `build`, begun by `start`, ended by `close` (or `halt`)."""

    def __init__(
        self,
        store: Store,
        rules: Rules,
        clock: Clock,
        *,
        checkpoint: Callable[[str], None] = no_checkpoint,
        replica: str = "andon",
        longest_gap: timedelta | None = timedelta(seconds=60),
    ) -> None:
        """`longest_gap`: without a sign of life for longer, Andon counts as having been down; None: never."""
        self.clock = clock
        self.checkpoint = checkpoint
        self.deliverer: Deliverer | None = None
        """Who delivers effects here; without one they wait in the database."""
        self.wakes_changed = asyncio.Event()
        """Set when a pipeline wants to be woken earlier than any before; whoever wakes clears it."""
        self._store = store
        self._shelf = Shelf(store.codec.another())
        self._book = Book(rules, clock, self._publish, self._birth, self._shelf, is_shared=not store.is_exclusive)
        self._writer = Writer(store, self._book, checkpoint, self._ended)
        self._readers = ThreadPoolExecutor(max_workers=1, thread_name_prefix="andon-reader")
        self._shared = store.shared
        self._replica = replica if store.shared is None else store.shared.replica
        self._longest_gap = longest_gap
        self._tidy_at = 0.0
        self._world = World()
        self._wakes = _Wakes()

    # ---- life -------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load what is stored, record an outage if there was one, and take events from now on."""
        self._writer.start()
        await self._writer.do(self._book.reload_world)
        await self._load()
        if self._store.is_exclusive:
            await self.run(lambda transaction: transaction.outbox.expire(self.now()))
        await self.beat()
        self.look_for_effects()

    async def _load(self) -> None:
        """Read everything that is stored, in parts: never is more than one of them unpacked at once."""
        after: str | None = ""
        while after is not None:
            after = await self._load_after(after)

    async def _load_after(self, after: str) -> str | None:
        part = await self.read(lambda transaction: transaction.load_part(after))
        for pipeline_id, loaded in part.items():
            self._shelf.put_away(pipeline_id, loaded)
            if loaded.wake_at is not None:
                self.remind(pipeline_id, loaded.wake_at)
        return next(reversed(part), None)

    async def close(self) -> None:
        """Write what waits and end; the store is closed by whoever opened it."""
        await self._writer.close()
        self._readers.shutdown(wait=True)

    def halt(self, crash: BaseException) -> None:
        """Stop dead, as if killed: nothing more is written; whoever waits gets `crash`. `close` still tidies up."""
        self._writer.halt(crash)

    def _ended(self) -> None:
        """Nobody waits on for news that will not come."""
        self.look_for_effects()
        self.wakes_changed.set()

    @property
    def crash(self) -> BaseException | None:
        """What stopped it dead, if anything did."""
        return self._writer.crash

    # ---- what everybody may read ------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The present instant."""
        return self.clock.now()

    @property
    def world(self) -> World:
        """What pipelines share, newest committed."""
        return self._world

    def pipelines(self) -> Shelf:
        """The newest committed states, by id; safe to read on the loop. Those that wait are unpacked when asked for."""
        return self._shelf

    def follow_definitions(self, follow: Callable[[Pipeline], None]) -> None:
        """Have this called, on the loop, with each definition that is in force, and that comes into force."""
        self._shelf.defined.append(follow)
        for definition in self._shelf.definitions():
            follow(definition)

    async def history(
        self, pipeline_id: str, *, limit: int = 20, before: int | None = None, release: str = ""
    ) -> Sequence[HistoryLine]:
        """What happened to a pipeline, newest first; `before` is a number to go on from."""
        return await self.read(lambda t: t.history.lines(pipeline_id, limit=limit, before=before, release=release))

    async def read(self, look: Callable[[Transaction], T]) -> T:
        """Look at what is committed, on a thread of its own, beside the writer."""

        def within() -> T:
            with self._store.reading() as transaction:
                return look(transaction)

        return await asyncio.get_running_loop().run_in_executor(self._readers, within)

    # ---- what changes something -------------------------------------------------------------------------------------

    async def submit(self, pipeline_id: str, event: Event, *, dedupe: str = "") -> Answer:
        """Decide on an event; it is on disk before this returns.

        `dedupe` names the delivery within its pipeline: a repeat gets the first answer. Raises CommandRefused (which is
        recorded too), UnknownPipeline, StorageUnavailable.
        """
        outcome = await self._writer.do(
            lambda t: self._book.decide(t, pipeline_id, event, dedupe), about=(pipeline_id, dedupe)
        )
        if isinstance(outcome, Refused):
            raise outcome.error
        return outcome

    async def run(self, work: Callable[[Transaction], T]) -> T:
        """Any other durable work, in the same commits; what it raises undoes it alone."""

        def alone(transaction: Transaction) -> T:
            with transaction.savepoint():
                return work(transaction)

        return await self._writer.do(alone, can_undo=True)

    async def refresh(self, pipelines: Iterable[str]) -> None:
        """Read these again before anything is decided on them; news of another replica is seen that way."""
        await self._writer.do(lambda _transaction: self._book.forget(pipelines))

    async def beat(self) -> Outage | None:
        """Record that Andon is looking; an outage, if nobody had for longer than the longest gap."""

        def work(transaction: Transaction) -> Outage | None:
            outage = self._book.beat(transaction, self._replica, self._longest_gap)
            if outage is not None:
                self._tell_world(transaction)
            return outage

        return await self._writer.do(work)

    async def change_world(self, change: Callable[[World], World], *, what: str) -> World:
        """Change what pipelines share, then have every pipeline look at its gates again; `what` is a sentence.

        What `change` raises changes nothing. A crash in between costs time only: the ticker wakes everybody at start.
        """

        def work(transaction: Transaction) -> World:
            changed = self._book.change_world(transaction, change, what)
            self._tell_world(transaction)
            return changed

        world = await self._writer.do(work)
        await self._poke(WorldChanged(what=what))
        return world

    async def act(self, command: OrganisationCommand, *, dedupe: str = "") -> ActAnswer:
        """Do what somebody asks for the organisation, durably, then have every pipeline look at its gates again.

        Raises CommandRefused (which is recorded too), StorageUnavailable.
        """

        def work(transaction: Transaction) -> ActAnswer | Refused:
            outcome = self._book.act(transaction, command, dedupe)
            self._tell_world(transaction)
            return outcome

        outcome = await self._writer.do(work)
        if isinstance(outcome, Refused):
            raise outcome.error
        if not outcome.is_repeat:
            await self._poke(WorldChanged(what=outcome.what, by=command.by))
        return outcome

    async def _poke(self, news: WorldChanged) -> None:
        """Tell every pipeline. What changed is on disk: one that cannot look now does so at its next event or wake."""
        for some in parts(tuple(self._shelf)):
            poked = (self.submit(pipeline_id, news) for pipeline_id in some)
            for name, came in zip(some, await asyncio.gather(*poked, return_exceptions=True), strict=True):
                if isinstance(came, AndonError):
                    log.warning("%s did not look at its gates yet: %s", name, came.message)
                elif isinstance(came, BaseException):
                    raise came

    # ---- beside other replicas --------------------------------------------------------------------------------------

    @property
    def is_shared(self) -> bool:
        """Whether other replicas may work on the same database."""
        return self._shared is not None

    def version(self, pipeline_id: str) -> int:
        """The version of a pipeline as it can be read here; 0 if it is not known."""
        return self._shelf.version(pipeline_id)

    async def catch_up(self, versions: Mapping[str, int] | None = None, *, is_world: bool = False) -> None:
        """Read what other replicas wrote: pipelines that moved on to these versions (None: whatever did, and all)."""
        if self._shared is None:
            return
        shared, version = self._shared, self._shelf.version

        def look(transaction: Transaction) -> tuple[dict[str, Loaded], World | None]:
            wanted = shared.replicas(transaction).versions() if versions is None else versions
            behind = {name for name, their in wanted.items() if version(name) < their}
            world = transaction.worlds.load(self.now()) if is_world or versions is None else None
            return transaction.load_some(behind) if behind else {}, world

        found, world = await self.read(look)
        if found or world is not None:
            await self._writer.do(lambda _transaction: self._book.learn(found, world))

    async def take_turn(self, job: str, every: timedelta) -> bool:
        """Whether a periodic job is to be done here and now; of all replicas one does each turn."""
        if self._shared is None:
            return True
        shared, now = self._shared, self.now()
        return await self.run(lambda t: shared.replicas(t).take_turn(job, every, now))

    async def hold(self, duty: str, lease: timedelta) -> bool:
        """Begin or keep, for so long, what one replica does for all; False while another one does it."""
        if self._shared is None:
            return True
        shared, now = self._shared, self.now()
        return await self.run(lambda t: shared.replicas(t).hold(duty, now, lease))

    async def drop(self, duty: str) -> None:
        """Leave a duty to the next one."""
        if self._shared is not None:
            shared = self._shared
            await self.run(lambda t: shared.replicas(t).drop(duty))

    def _tell_world(self, transaction: Transaction) -> None:
        if self._shared is not None:
            self._shared.replicas(transaction).tell_world()

    # ---- waking -----------------------------------------------------------------------------------------------------

    def next_wake(self) -> datetime | None:
        """When the first pipeline wants to be woken."""
        return self._wakes.first()

    def take_due(self, now: datetime) -> Sequence[str]:
        """The pipelines that want to be woken now, each handed out once; `remind` puts one back."""
        return self._wakes.take(now)

    async def claim_wakes(self, due: Sequence[str]) -> Sequence[str]:
        """Of these pipelines the ones to wake here; those that another replica wakes are looked at again later."""
        if self._shared is None:
            return due
        shared, now = self._shared, self.now()
        wakes = await self.run(lambda t: shared.replicas(t).claim_wakes(due, now, WAKE_LEASE))
        for pipeline_id, at in wakes.later.items():
            self.remind(pipeline_id, max(at, now + LOOK_AGAIN_AFTER))
        return wakes.mine

    def remind(self, pipeline_id: str, at: datetime) -> None:
        """Wake a pipeline at this instant as well."""
        if self._wakes.put(pipeline_id, at):
            self.wakes_changed.set()

    def look_for_effects(self, *, within: timedelta = timedelta()) -> None:
        """Somebody else may have left something to deliver."""
        if self.deliverer is not None:
            self.deliverer.look(within=within)

    def _birth(self) -> Birth | None:
        """Asked on the writing thread; a figure that is a moment old does no harm."""
        return None if self.deliverer is None else self.deliverer.birth

    def _publish(self, changed: Mapping[str, Known], world: World, born: Born, lines: Sequence[Line]) -> None:
        """What was committed becomes what everybody reads. Runs on the loop."""
        for pipeline_id, known in changed.items():
            self._shelf.put(pipeline_id, known)
            if known.wake_at is None:
                self._wakes.drop(pipeline_id)
            elif self._wakes.put(pipeline_id, known.wake_at):
                self.wakes_changed.set()
        self._world = world
        if self.deliverer is not None and (born.claims or born.lanes):
            self.deliverer.take(born)
        if (now := time.monotonic()) > self._tidy_at:
            self._tidy_at = now + TIDY_EVERY
            self._readers.submit(self._store.tidy)
        if lines:
            # Whoever asked is answered first.
            asyncio.get_running_loop().call_soon(self._book.log, lines)


class _Wakes:
    """When each pipeline wants to be woken; 130 bytes each, no task and no timer."""

    def __init__(self) -> None:
        self._at: dict[str, datetime] = {}
        self._heap: list[tuple[datetime, str]] = []

    def put(self, pipeline_id: str, at: datetime) -> bool:
        """Wake it then, and not at another time; True if that is earlier than all before."""
        first = self.first()
        if self._at.get(pipeline_id) != at:
            self._at[pipeline_id] = at
            heapq.heappush(self._heap, (at, pipeline_id))
            if len(self._heap) > 64 + 4 * len(self._at):
                self._heap = [(when, key) for key, when in self._at.items()]
                heapq.heapify(self._heap)
        return first is None or at < first

    def drop(self, pipeline_id: str) -> None:
        """Do not wake it."""
        self._at.pop(pipeline_id, None)

    def first(self) -> datetime | None:
        """The earliest; entries that were overtaken are dropped on the way."""
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take(self, now: datetime) -> Sequence[str]:
        """Everything due, handed out once."""
        due: list[str] = []
        while (first := self.first()) is not None and first <= now:
            _, pipeline_id = heapq.heappop(self._heap)
            del self._at[pipeline_id]
            due.append(pipeline_id)
        return due
