"""Releases from where they are built: a request is stored, understood, matched to pipelines, and announced.

The sender is answered as soon as the request is on disk and read. What needs others (the digest of a tag, ancestors,
authors) is asked afterwards, again and again for about an hour where nobody answers. Nothing that came in is dropped:
what matches nothing or is refused is kept with the reason, and the channel of the pipeline hears of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Protocol, runtime_checkable

from pydantic import ValidationError

from bot.deployers import Deployers
from bot.engine import Engine
from bot.lineage import Lineage, traced
from bot.releases_in import Announcement, announce
from core.errors import AndonError, PermanentError, TransientError
from core.ports import CodeHistory, Ignored, ReleaseReport, ReleaseSource
from core.releases import sourcing
from core.releases.events import AnnouncementFailed
from core.releases.likeness import most_like
from core.releases.pipeline import Pipeline
from core.releases.source_parts import Origin
from core.releases.sourcing import Wanted
from core.releases.words import listed
from core.releases.world import Actor, Via
from storage.errors import StorageError
from storage.source_requests import SourceRequest, SourceRequests

log = logging.getLogger("andon.sources")

LEASE = timedelta(seconds=60)
FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=10)
MOST_ATTEMPTS = 13
"""With these pauses about an hour."""
ATTEMPTS_FOR_LINEAGE = 4
"""After so many a release is announced without what the code repository would tell."""
LOOK_EVERY = 30.0
NOTE_MOST = 2_000
MOST_AT_ONCE = 16
NOT_READ = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What a parser raises that did not expect something."""


class NoSuchSource(PermanentError):
    """There is no source of this name."""


@runtime_checkable
class KnowsCode(Protocol):
    """A release source that can be asked about the code it tells of."""

    def history(self, repository: str) -> CodeHistory | None:
        """What knows a repository's commits; None where the source has nothing to ask with."""


@runtime_checkable
class KnowsAssets(Protocol):
    """A release source that can be asked for the files of a release or run."""

    async def assets(self, report: ReleaseReport) -> Mapping[str, str]:
        """Their digests by name."""


@runtime_checkable
class Answers(Protocol):
    """A release source whose sender sometimes wants an answer before it sends anything else."""

    def is_question(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether this request wants one."""

    async def answer(self, headers: Mapping[str, str], body: bytes) -> str:
        """Give it; what came of it, as a sentence."""


class Digests(Protocol):
    """Whoever knows the digest of an image."""

    async def digest_of(self, image: str) -> str:
        """The digest of `host/name:tag`, as its registry tells it now."""


class NoRegistries:
    """Stands where nothing can be asked."""

    async def digest_of(self, image: str) -> str:
        """Refuse."""
        raise PermanentError(f"No registry can be asked for {image}.")


@dataclass(frozen=True, slots=True)
class Received:
    """What is known of a request when it is answered."""

    number: int
    state: str
    note: str

    @property
    def facts(self) -> dict[str, Any]:
        """The answer to the sender."""
        return {"request": self.number, "state": self.state, "note": self.note}


@dataclass(frozen=True, slots=True)
class _Read:
    """A request as far as it can be understood without asking anybody."""

    wanted: tuple[Wanted, ...] = ()
    note: str = ""
    is_understood: bool = True
    is_meant: bool = False
    """Whether it told of a build at all."""

    @property
    def state(self) -> str:
        """What is known now."""
        if self.wanted:
            return "waiting"
        return "ignored" if self.is_understood and not self.is_meant else "kept"


class SourcesIn:
    """The way in for release sources. `sources` are by name; `histories` opens the code repository of an origin."""

    def __init__(
        self,
        engine: Engine,
        deployers: Deployers,
        sources: Mapping[str, ReleaseSource],
        *,
        registries: Digests | None = None,
        histories: Callable[[Origin], CodeHistory | None] = lambda _origin: None,
        lease: timedelta = LEASE,
    ) -> None:
        """`lease`: after so long another replica does what this one had in hand; done twice it is done once."""
        self._engine = engine
        self._deployers = deployers
        self._sources = dict(sources)
        self._made: dict[str, Origin] = {}
        if self._sources:
            engine.follow_definitions(self._follow)
        self._registries = registries or NoRegistries()
        self._histories = histories
        self._lease = lease
        self._news = asyncio.Event()
        self._in_hand: dict[int, asyncio.Task[None]] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        """One build of a pipeline after the other: what arrives first is announced first."""

    # ---- taking in --------------------------------------------------------------------------------------------------

    async def take(self, name: str, headers: Mapping[str, str], body: bytes, key: str = "") -> Received:
        """Store a request and read it; durable before this returns.

        Raises NoSuchSource, NotAuthentic, TransientError where it cannot be told whether it is authentic.
        """
        source = self._source(name)
        now = self._engine.now()
        await source.verify(headers, body, key, now)
        kept = {wanted: value for wanted in source.kept_headers if (value := _header(headers, wanted))}
        repeat_of = source.delivery(kept, body)
        dedupe = hashlib.sha256(repeat_of.encode()).hexdigest() if repeat_of else ""
        stored = await self._engine.run(lambda tx: SourceRequests(tx).receive(name, kept, body, now, dedupe=dedupe))
        if not isinstance(stored, SourceRequest):
            return Received(stored.id, stored.state, stored.note or "This request came before.")
        read = self._read(stored)
        if read.state == "waiting" or self._is_question(stored):
            self._news.set()
            return Received(stored.id, "waiting", read.note)
        await self._settle(stored, read.state, read.note)
        return Received(stored.id, read.state, read.note)

    def _source(self, name: str) -> ReleaseSource:
        if name not in self._sources:
            near = most_like(name, self._sources)
            there = (
                f"Did you mean {listed(near, 'or')}?"
                if near
                else f"There is {listed(sorted(self._sources)) or 'none'}."
            )
            raise NoSuchSource(
                f"There is no release source {name}. {there} Sources stand under `sources` in the organisation file."
            )
        return self._sources[name]

    def _origins(self) -> Mapping[str, Origin]:
        """Where the releases of each pipeline come from, by id."""
        return {name: self._made[name] for name in sorted(self._made)}

    def _follow(self, definition: Pipeline) -> None:
        """A definition is in force."""
        self._made.pop(definition.id, None)
        if definition.origin:
            self._made[definition.id] = Origin.read(definition.origin)

    def _read(self, request: SourceRequest) -> _Read:
        """Understand a request and find who takes what it tells of."""
        try:
            found = self._sources[request.source].parse(request.headers, request.body)
        except PermanentError as error:
            return _Read(note=error.message, is_understood=False)
        except NOT_READ as error:
            # It may be somebody else's source; one request must not stop the others.
            log.exception("The release source %s failed on a request", request.source)
            return _Read(
                note=f"The source {request.source} failed on it ({type(error).__name__}).", is_understood=False
            )
        wanted: list[Wanted] = []
        notes: list[str] = []
        is_meant = False
        for one in found:
            if isinstance(one, Ignored):
                notes.append(one.reason)
                continue
            matched = sourcing.match(request.source, one, self._origins())
            wanted += matched.wanted
            # Another branch or workflow than a pipeline wants is its own word; a repository nobody wants is a surprise.
            is_meant = is_meant or not (matched.wanted or matched.reasons)
            notes += matched.reasons or ([] if matched.wanted else [_nobody(one, request.source)])
        notes += [f"{one.pipeline} {one.version} is being announced" for one in wanted]
        return _Read(tuple(wanted), _noted(notes) or "It tells of nothing.", is_meant=is_meant)

    # ---- working on it ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work on what came in, until cancelled; what takes long holds up nobody else."""
        try:
            while True:
                self._news.clear()
                seconds = LOOK_EVERY
                try:
                    await self._begin(MOST_AT_ONCE - len(self._in_hand))
                    due = await self._engine.read(lambda tx: SourceRequests(tx).next_due())
                    if due is not None and len(self._in_hand) < MOST_AT_ONCE:
                        seconds = min(max((due - self._engine.now()).total_seconds(), 0.2), LOOK_EVERY)
                except StorageError as error:
                    log.warning("requests of release sources have to wait: %s", error.message)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._news.wait()
        finally:
            tasks = tuple(self._in_hand.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def resume(self) -> None:
        """Take up what was in hand when the process ended, where nobody else can have it."""
        if not self._engine.is_shared:
            now = self._engine.now()
            await self._engine.run(lambda tx: SourceRequests(tx).free(now))

    async def settle(self) -> None:
        """Work on everything that is due."""
        while await self._begin(MOST_AT_ONCE):
            await asyncio.gather(*self._in_hand.values())

    async def _begin(self, most: int) -> bool:
        """Take in hand what is due; whether there was anything."""
        if most <= 0:
            return False
        now = self._engine.now()
        requests = await self._engine.run(lambda tx: SourceRequests(tx).claim(now, self._lease, most))
        for request in requests:
            if request.id not in self._in_hand:
                task = asyncio.create_task(self._in_turn(request), name=f"request {request.id} of {request.source}")
                self._in_hand[request.id] = task
                task.add_done_callback(partial(self._ended, request.id))
        return bool(requests)

    def _ended(self, number: int, task: asyncio.Task[None]) -> None:
        """One request is done with; one that failed by a fault of ours is looked at again when its lease is over."""
        del self._in_hand[number]
        self._news.set()
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.error("%s was not worked on", task.get_name(), exc_info=fault)

    async def _in_turn(self, request: SourceRequest) -> None:
        """Work on a request when those before it that mean the same pipelines are done."""
        pipelines = sorted({wanted.pipeline for wanted in self._read(request).wanted}) if self._knows(request) else []
        async with contextlib.AsyncExitStack() as turn:
            for pipeline in pipelines:
                await turn.enter_async_context(self._turns.setdefault(pipeline, asyncio.Lock()))
            await self._work(request)

    def _knows(self, request: SourceRequest) -> bool:
        return request.source in self._sources

    async def _work(self, request: SourceRequest) -> None:
        if not self._knows(request):
            await self._settle(request, "kept", f"There is no release source {request.source} any more.")
            return
        if self._is_question(request):
            await self._answer(request)
            return
        read = self._read(request)
        if not read.wanted:
            await self._settle(request, read.state, read.note)
            return
        notes: list[str] = []
        is_refused, later = False, ""
        for wanted in read.wanted:
            try:
                notes.append(await self._announce(request, wanted))
            except TransientError as error:
                if request.attempts + 1 < MOST_ATTEMPTS:
                    later = f"{wanted.pipeline} {wanted.version} waits: {error.message}"
                    continue
                notes.append(await self._refuse(request, wanted, f"{error.message} That was asked for an hour."))
                is_refused = True
            except StorageError:
                raise
            except AndonError as error:
                notes.append(await self._refuse(request, wanted, str(error)))
                is_refused = True
        if later:
            await self._again(request, [*notes, later])
            return
        await self._settle(request, "kept" if is_refused else "announced", _noted(notes))

    def _is_question(self, request: SourceRequest) -> bool:
        source = self._sources[request.source]
        return isinstance(source, Answers) and source.is_question(request.headers, request.body)

    async def _answer(self, request: SourceRequest) -> None:
        source = self._sources[request.source]
        assert isinstance(source, Answers), "it was asked before"
        try:
            await self._settle(request, "ignored", _noted([await source.answer(request.headers, request.body)]))
        except TransientError as error:
            if request.attempts + 1 < MOST_ATTEMPTS:
                await self._again(request, [error.message])
            else:
                await self._settle(request, "kept", error.message)
        except PermanentError as error:
            await self._settle(request, "kept", error.message)

    async def _again(self, request: SourceRequest, notes: Sequence[str]) -> None:
        """Try it once more after a pause that grows."""
        at = self._engine.now() + min(FIRST_PAUSE * 2**request.attempts, LONGEST_PAUSE)
        await self._engine.run(lambda tx: SourceRequests(tx).again(request.id, at, _noted(notes)))

    async def _announce(self, request: SourceRequest, wanted: Wanted) -> str:
        """Put a build on its line; what came of it, as a sentence."""
        state = self._engine.pipelines().get(wanted.pipeline)
        if state is None:
            raise PermanentError(f"There is no pipeline {wanted.pipeline} any more.")
        lineage, missing = await self._lineage(request, wanted)
        if lineage.commit and not wanted.report.commit:
            wanted = wanted.at(lineage.commit)
        digest = await self._digest(request.source, wanted)
        given = _announcement(wanted, digest, lineage)
        answer = await announce(self._engine, self._deployers, given, _actor(request.source))
        log.info("%s %s was announced by %s", wanted.pipeline, wanted.version, request.source)
        return f"{answer.text}{missing}"

    async def _digest(self, name: str, wanted: Wanted) -> str:
        digest = sourcing.identity(wanted)
        if digest:
            return digest
        source = self._sources[name]
        if wanted.part.asset:
            found = await source.assets(wanted.report) if isinstance(source, KnowsAssets) else {}
            if not found.get(wanted.part.asset):
                there = listed(sorted(found)[:8]) or "nothing with a digest"
                raise PermanentError(f"This build has no file {wanted.part.asset}; there is {there}.")
            return found[wanted.part.asset]
        image = wanted.image
        if wanted.report.digest:
            image = f"{sourcing.without_tag(image)}@{wanted.report.digest}"
        return await self._registries.digest_of(image)

    async def _lineage(self, request: SourceRequest, wanted: Wanted) -> tuple[Lineage, str]:
        """What the code tells of a build; and, where it does not, a sentence that says so."""
        source, report = self._sources[request.source], wanted.report
        state = self._engine.pipelines()[wanted.pipeline]
        origin = self._origins().get(wanted.pipeline, Origin())
        try:
            history = self._histories(origin)
            if history is None and isinstance(source, KnowsCode):
                history = source.history(report.repository)
            if history is None:
                return Lineage(), ""
            found = await traced(
                history, state, self._engine.world, version=wanted.version, commit=report.commit, tag=report.tag
            )
        except TransientError as error:
            if request.attempts + 1 < ATTEMPTS_FOR_LINEAGE:
                raise
            return Lineage(), f" Its ancestors and authors are not known: {error.message}"
        except PermanentError as error:
            return Lineage(), f" Its ancestors and authors are not known: {error.message}"
        return found, ""

    async def _refuse(self, request: SourceRequest, wanted: Wanted, reason: str) -> str:
        """Have the pipeline's channel hear that a release does not come."""
        sentence = reason if reason.endswith((".", "?", "!")) else f"{reason}."
        event = AnnouncementFailed(
            version=wanted.version or "a build without a name",
            sentence=sentence,
            by=_actor(request.source),
            url=wanted.report.url,
        )
        told = hashlib.sha256(f"{wanted.version}\0{sentence}".encode()).hexdigest()[:16]
        try:
            await self._engine.submit(wanted.pipeline, event, dedupe=f"source:{request.id}:{told}")
        except AndonError as error:
            log.warning("%s could not be told of a failed announcement: %s", wanted.pipeline, error.message)
        return f"{wanted.pipeline} {wanted.version}: {sentence}"

    async def _settle(self, request: SourceRequest, state: str, note: str) -> None:
        await self._engine.run(lambda tx: SourceRequests(tx).settle(request.id, state, note))
        if state == "kept":
            log.info("A request of %s led to no release and is kept as %d", request.source, request.id)


def _announcement(wanted: Wanted, digest: str, lineage: Lineage) -> Announcement:
    report = wanted.report
    try:
        return Announcement(
            service=wanted.pipeline,
            version=wanted.version,
            artifact=wanted.artifact(digest),
            digest=digest,
            commit=report.commit or lineage.commit,
            url=report.url or lineage.url,
            changes=list(lineage.changes),
            ancestors=list(lineage.ancestors) if lineage.ancestors is not None else None,
        )
    except ValidationError as error:
        what = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(step) for step in what["loc"])
        raise PermanentError(
            f"What was built cannot be announced: its {place} is not usable ({what['msg']})."
            " Look at `version` and `artifact` under `sources` in the pipeline's file."
        ) from None


def _actor(source: str) -> Actor:
    return Actor(f"source:{source}", source, Via.API, is_person=False)


def _nobody(report: ReleaseReport, source: str) -> str:
    what = f"a `{report.event.value}` of {report.repository or 'an unnamed repository'}"
    return (
        f"No pipeline takes {what} from {source}. One that should needs `sources: [{{from: {source},"
        f" event: {report.event.value}, repository: {report.repository or '…'}}}]`"
    )


def _noted(sentences: Sequence[str]) -> str:
    """Several sentences as one note."""
    whole = [one if one.endswith((".", "?", "!")) else f"{one}." for one in dict.fromkeys(sentences) if one]
    return " ".join(whole)[:NOTE_MOST]


def _header(headers: Mapping[str, str], wanted: str) -> str:
    return next((value for name, value in headers.items() if name.casefold() == wanted.casefold()), "")
