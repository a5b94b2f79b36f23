"""Delivers effects: what was decided becomes deployments, messages and calls, at least once, in order, each lane alone.

Theory of operation
-------------------
An effect is a row, written in the commit that decided it. It stands in a *lane* (one per target, card, test …), and
only the first open one of a lane may be *claimed*: a slow deployer never delays a message, no card is drawn backwards.

    pending ──claim──▶ claimed ──Done──▶ done
       ▲                  │ ├────Bury, PermanentError──▶ buried   (its lane goes on; the core is told; people see it)
       └──Again, TransientError, anything unexpected, lease ran out

A claim counts an attempt and takes a lease, in a commit *before* the call goes out. So after a crash it is known that
an attempt was made, and a courier whose `claimed.attempts` is above one looks first whether the other side knows the
key already. That, and nothing else, is how "at least once" becomes "once" outside. A claim carries a fencing number:
whoever lost its lease cannot end the next one's claim. Leases are renewed while a delivery takes longer.

What finds its lane free is claimed in the very commit that decides it (`Birth`), and goes out as soon as that is on
disk. All else is done in *rounds*: one commit ends what was delivered and claims what comes next in the lanes that have
news. Rounds keep their distance, so that many share one; a deployment, a cancel or a page never waits for that. Now
and then a round looks everywhere: at what was there at the start, and at what a process that died has left.

What a courier finds out it submits to the engine as an event, and only then returns `Done`: a crash in between repeats
the call and the report, and both are recognised, by key and by dedupe key. `Again` means that it is known how things
stand, and that there is more to do: it starts the count of attempts anew. An error keeps the count, which drives the
back-off: doubling from a second to five minutes, with a jitter computed from the key, so that it is the same on replay.

Transient errors are repeated for ever: Slack may be down for a day, and the cards catch up. What nobody expected is our
bug; it is logged with a reference, repeated a few times and then buried, so that one of them does not hold its lane.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import get_args

from bot.engine import Engine
from core.errors import PermanentError, TransientError
from core.releases.effects import Effect, is_for_readers
from storage.errors import StorageError
from storage.journal import Transaction
from storage.lanes import Birth, Born, Buried, Claimed, Ending

__all__ = ["Again", "Buried", "Bury", "Claimed", "Courier", "Delivered", "Done", "Outbox", "back_off"]

log = logging.getLogger("andon.outbox")

FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(minutes=5)
LEASE = timedelta(seconds=60)
AT_ONCE = 256
BETWEEN_ROUNDS = 0.02
"""Seconds between rounds that only end and begin what people read."""
BETWEEN_BUSY_ROUNDS = 0.1
"""The same while much is being decided: a round takes as long as an answer, and what people read can wait for both."""
BUSY = 3
"""Commits with something to deliver since the last round."""
TURNS_TO_ANSWER = 4
LOOK_EVERY = timedelta(seconds=15)
SURPRISES = 8
"""Attempts after which an effect whose delivery ends in something unexpected is buried."""


@dataclass(frozen=True, slots=True)
class Done:
    """Delivered; what came of it has been submitted."""


@dataclass(frozen=True, slots=True)
class Again:
    """All is well, and there is more to do at `at`. The count of attempts starts anew."""

    at: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Bury:
    """It can never be delivered; `reason` is a sentence for people."""

    reason: str


Delivered = Done | Again | Bury
Courier = Callable[[Claimed], Awaitable[Delivered]]
OnBuried = Callable[[Claimed, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Failed:
    """It could not be told how it ended; tried again at `at`, the attempt counts."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class _Found:
    """What came of a round; `later`: when to look at a lane again, `left`: lanes there was no room for."""

    claims: Sequence[Claimed]
    later: Mapping[str, datetime]
    left: Sequence[str]
    lost: Sequence[Claimed]


class Outbox:
    """Delivers what is due, by one courier for each kind of effect."""

    def __init__(
        self,
        engine: Engine,
        couriers: Mapping[type[Effect], Courier],
        on_buried: OnBuried,
        *,
        at_once: int = AT_ONCE,
        lease: timedelta = LEASE,
    ) -> None:
        """`lease`: after so long, what a replica that died had in hand is done by another one.

        `on_buried` tells the core of an effect that will never be delivered, durably, before it is buried.
        """
        missing = {kind.__name__ for kind in get_args(Effect)} - {kind.__name__ for kind in couriers}
        assert not missing, f"nobody delivers {', '.join(sorted(missing))}"
        self._engine = engine
        self._couriers = {kind.__name__: courier for kind, courier in couriers.items()}
        self._on_buried = on_buried
        self._at_once = at_once
        self._lease = lease
        self._flying: dict[asyncio.Task[None], Claimed] = {}
        self._over: list[tuple[Claimed, Delivered | _Failed]] = []
        self._lanes: set[str] = set()
        self._later: list[tuple[datetime, str]] = []
        self._look_at: datetime | None = None
        self._renew_at: datetime | None = None
        self._round_at = 0.0
        self._commits = 0
        self._news = asyncio.Event()
        self._hurry = asyncio.Event()
        self._is_running = self._is_active = False
        self._idle = asyncio.Event()
        engine.deliverer = self

    @property
    def birth(self) -> Birth | None:
        """How much may be claimed where it is decided; read on the writing thread too."""
        return Birth(self._lease, max(0, self._at_once - len(self._flying))) if self._is_active else None

    def take(self, born: Born) -> None:
        """Begin what was claimed in the commit that decided it, and look at the lanes that have news."""
        self._commits += 1
        for claimed in born.claims:
            self._begin(claimed)
        if born.lanes:
            self._lanes |= born.lanes
            self._tell(is_urgent=not all(is_for_readers(lane) for lane in born.lanes))

    def look(self, *, within: timedelta = timedelta()) -> None:
        """Look everywhere, at once or within this time."""
        by = self._engine.now() + within
        if self._look_at is None or by < self._look_at:
            self._look_at = by
        self._tell(is_urgent=not within)

    async def run(self) -> None:
        """Deliver until cancelled (or stopped dead, by whatever did it)."""
        self._is_running = self._is_active = True
        try:
            while True:
                await self._keep_distance()
                self._news.clear()
                self._hurry.clear()
                until = await self._round_or_wait()
                is_quiet = not self._flying and not self._over and not self._news.is_set()
                if is_quiet and (until is None or until > self._engine.now()):
                    self._idle.set()
                await self._engine.clock.wait(until, self._news)
                self._idle.clear()
        finally:
            self._is_running = self._is_active = False
            await self._end()

    async def settle(self) -> None:
        """Return when nothing is due and nothing under way; delivers by itself where `run` does not."""
        if self._is_running:
            while self._news.is_set() or not self._idle.is_set():
                await self._idle.wait()
                self._raise_if_dead()
                await asyncio.sleep(0)
            return
        self._is_active = True
        try:
            while True:
                self._news.clear()
                self._look_at = None
                await self._round()
                if not self._flying and not self._over and not self._news.is_set():
                    return
                if self._flying and not self._over:
                    await asyncio.wait(self._flying, return_when=asyncio.FIRST_COMPLETED)
                    await asyncio.sleep(0)
        finally:
            self._is_active = False
            await self._end()

    async def buried(self, limit: int = 50) -> Sequence[Buried]:
        """What was given up, newest first."""
        return await self._engine.read(lambda transaction: transaction.outbox.buried(limit))

    async def counts(self) -> tuple[int, int]:
        """How many effects are open, and how many were given up."""
        return await self._engine.read(lambda t: (t.outbox.count_open(), t.outbox.count_buried()))

    # ---- rounds -----------------------------------------------------------------------------------------------------

    def _tell(self, *, is_urgent: bool) -> None:
        self._news.set()
        if is_urgent:
            self._hurry.set()

    async def _keep_distance(self) -> None:
        """Let a moment pass since the last round, unless something cannot wait."""
        await self._hurry_or(self._round_at + BETWEEN_ROUNDS)
        if self._commits >= BUSY:
            await self._hurry_or(self._round_at + BETWEEN_BUSY_ROUNDS)
        self._round_at = asyncio.get_running_loop().time()
        self._commits = 0

    async def _hurry_or(self, at: float) -> None:
        """Wait until then, by the loop's time, or until something cannot wait."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(at):
                await self._hurry.wait()

    async def _round_or_wait(self) -> datetime | None:
        """One round; when to look again. A database that is down is asked again in a second."""
        try:
            return await self._round()
        except StorageError as error:
            log.warning("nothing can be claimed: %s", error.message)
            return self._engine.now() + FIRST_PAUSE

    async def _round(self) -> datetime | None:
        """End what is over, claim what comes next; when the next round is due if nothing happens."""
        self._raise_if_dead()
        now = self._engine.now()
        free = self._at_once - len(self._flying)
        over, self._over = self._over, []
        renewed = tuple(self._flying.values()) if self._renew_at is not None and now >= self._renew_at else ()
        is_wide = self._look_at is None or now >= self._look_at
        lanes = self._take_lanes(now) | {claimed.lane for claimed, _ in over}

        def work(transaction: Transaction) -> _Found:
            transaction.outbox.renew(renewed, now + self._lease)
            lost = transaction.outbox.end_all([_ending(claimed, outcome) for claimed, outcome in over])
            if is_wide:
                claims = transaction.outbox.claim(now, lease=self._lease, limit=free) if free > 0 else []
                return _Found(
                    claims, transaction.outbox.postponed(now), sorted(lanes) if free <= len(claims) else (), lost
                )
            return _Found(*transaction.outbox.claim_in(sorted(lanes), now, lease=self._lease, limit=free), lost)

        try:
            found = await self._engine.run(work)
        except StorageError:
            # Nothing was written: it is tried again, as long as these claims are ours.
            self._over += [(claimed, outcome) for claimed, outcome in over if claimed.claimed_until > now]
            self._lanes |= lanes
            raise
        for claimed in found.lost:
            log.warning("%s %s was taken over by another worker", claimed.kind, claimed.key)
        version = self._engine.version
        behind = {c.pipeline_id: c.version for c in found.claims if version(c.pipeline_id) < c.version}
        if behind:
            # Another replica decided it; whoever delivers it must see what that one saw.
            await self._engine.catch_up(behind)
        for claimed in found.claims:
            self._begin(claimed)
        self._lanes.update(found.left)
        for lane, at in found.later.items():
            heapq.heappush(self._later, (at, lane))
        if is_wide:
            # What found no room is looked for again as soon as there is some.
            self._look_at = now + min(LOOK_EVERY, self._lease / 4) if free > len(found.claims) else now
        return self._next_round(now, is_renewed=bool(renewed))

    def _take_lanes(self, now: datetime) -> set[str]:
        """The lanes that have news, or whose time has come."""
        lanes, self._lanes = self._lanes, set()
        while self._later and self._later[0][0] <= now:
            lanes.add(heapq.heappop(self._later)[1])
        return lanes

    def _next_round(self, now: datetime, *, is_renewed: bool) -> datetime | None:
        if is_renewed or self._renew_at is None:
            self._renew_at = now + self._lease / 3
        if not self._flying:
            self._renew_at = None
        if len(self._flying) >= self._at_once:
            # Whoever lands first makes room; until then there is nothing to look for.
            return self._renew_at
        due = self._later[0][0] if self._later else None
        return min((at for at in (due, self._renew_at, self._look_at) if at is not None), default=None)

    def _begin(self, claimed: Claimed) -> None:
        task = asyncio.create_task(self._deliver(claimed), name=f"deliver {claimed.kind} {claimed.key}")
        self._flying[task] = claimed
        if self._renew_at is None:
            self._renew_at = claimed.claimed_until - self._lease * 2 / 3
            self._news.set()
        task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        claimed = self._flying.pop(task)
        self._tell(is_urgent=not is_for_readers(claimed.lane))
        if task.cancelled():
            return
        crash = task.exception()
        if crash is not None:
            # Couriers' errors were dealt with: this is somebody stopping the program, or a bug of this file.
            self._engine.halt(crash)

    def _raise_if_dead(self) -> None:
        if self._engine.crash is not None:
            raise self._engine.crash

    async def _end(self) -> None:
        for task in tuple(self._flying):
            task.cancel()
        await asyncio.gather(*tuple(self._flying), return_exceptions=True)
        self._idle.set()

    # ---- delivering -------------------------------------------------------------------------------------------------

    async def _deliver(self, claimed: Claimed) -> None:
        if is_for_readers(claimed.lane):
            # Whoever asked is answered first: so many turns of the loop it takes from a commit to the answer on its
            # way, and a card takes longer to draw than all of them.
            for _ in range(TURNS_TO_ANSWER):
                await asyncio.sleep(0)
        self._engine.checkpoint(f"deliver:before:{claimed.kind}:{claimed.key}")
        outcome = await self._guarded(claimed, self._call)
        if isinstance(outcome, Bury):
            log.error("%s %s is given up: %s", claimed.kind, claimed.key, outcome.reason)
            outcome = await self._guarded(claimed, self._tell_core(outcome))
        self._engine.checkpoint(f"deliver:after:{claimed.kind}:{claimed.key}")
        self._over.append((claimed, outcome))

    async def _call(self, claimed: Claimed) -> Delivered:
        if not claimed.is_held(self._engine.now()):
            # This process was frozen, or the commit took very long: another one may have delivered it.
            raise TransientError("It was held up for as long as its lease; it is looked for before it is done.")
        try:
            return await self._couriers[claimed.kind](claimed)
        except PermanentError as error:
            return Bury(error.message)

    def _tell_core(self, outcome: Bury) -> Courier:
        async def tell(claimed: Claimed) -> Delivered:
            await self._on_buried(claimed, outcome.reason)
            return outcome

        return tell

    async def _guarded(self, claimed: Claimed, work: Courier) -> Delivered | _Failed:
        now = self._engine.now
        try:
            return await work(claimed)
        except TransientError as error:
            return _Failed(now() + back_off(claimed, error.retry_after), error.message)
        except StorageError as error:
            return _Failed(now() + back_off(claimed), error.message)
        except Exception:  # the one of the outbox: a bug in one courier must not stop the others
            reference = sha256(f"{claimed.key}/{claimed.attempts}".encode()).hexdigest()[:8]
            log.exception("delivering %s %s failed unexpectedly (ref %s)", claimed.kind, claimed.key, reference)
            reason = f"Something unexpected happened (ref {reference})."
            return Bury(reason) if claimed.attempts >= SURPRISES else _Failed(now() + back_off(claimed), reason)


def back_off(claimed: Claimed, retry_after: timedelta | None = None) -> timedelta:
    """How long to wait after this attempt: doubling, bounded, at least `retry_after`, plus up to a quarter."""
    doubled: int = 1 << min(claimed.attempts - 1, 20)
    pause = min(FIRST_PAUSE * doubled, LONGEST_PAUSE)
    share = int.from_bytes(
        sha256(f"{claimed.pipeline_id}/{claimed.key}/{claimed.attempts}".encode()).digest()[:4], "big"
    )
    wanted = max(pause, retry_after or timedelta())
    return wanted + wanted * (share / 2**34)


def _ending(claimed: Claimed, outcome: Delivered | _Failed) -> Ending:
    match outcome:
        case Done():
            return Ending(claimed, "done")
        case Bury():
            return Ending(claimed, "buried", outcome.reason)
        case Again():
            return Ending(claimed, "pending", outcome.reason, outcome.at, 0)
        case _Failed():
            return Ending(claimed, "pending", outcome.reason, outcome.at, claimed.attempts)
