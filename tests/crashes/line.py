"""One service's story from a bad release to its fix, as acts that whoever does them repeats until they are done.

1.0.0 runs everywhere. 1.1.0 passes beta, is approved, passes one-box, and turns an alarm red in wave-1: it is rolled
back by itself. 1.1.1 is announced as its fix, is approved, and goes everywhere. CI, the alarm's sender and people are
outside: they ask again when nobody answered, under the same key where they have one.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.ports import Outcome
from core.releases.state import Stopped
from integrations.scripted import Act, Cue, Fault
from simulator.seen import AppSilent
from tests.scenarios.kit import AS_OPERATOR, Story, story
from tests.scenarios.props import digest, shop

TARGETS = ("beta-1", "box-1", "web-1", "web-2")
Deed = Callable[[Story], Awaitable[None]]


class Killed(BaseException):
    """The program was stopped dead here."""


@dataclass
class Trap:
    """A checkpoint that stops the program once: at the point of this number, or the first whose name begins so."""

    at: int = -1
    on: str = "(nowhere)"
    names: list[str] = field(default_factory=list)
    sprung: str = ""
    dead: asyncio.Event = field(default_factory=asyncio.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def __call__(self, name: str) -> None:
        """Pass a point. Called on the loop and on the writing thread."""
        with self._lock:
            number = len(self.names)
            self.names.append(name)
            is_first = not self.sprung and (number == self.at or name.startswith(self.on))
            if is_first:
                self.sprung = name
            # A dead program passes no further points.
            if not self.sprung:
                return
        if is_first:
            self._loop.call_soon_threadsafe(self.dead.set)
        raise Killed(self.sprung)

    def spring(self) -> None:
        """Stop at whatever point comes next."""
        with self._lock:
            self.at = len(self.names)


def line(smoke: str) -> dict[str, Any]:
    """The shop, with two targets in its wave."""
    file = shop(smoke)
    file["stages"][2] |= {"targets": ["web-1", "web-2"], "batch": 50}
    return file


# ---- the acts -------------------------------------------------------------------------------------------------------


async def _announced(s: Story, version: str, **more: Any) -> None:
    """CI says that a version exists, and goes on saying so until it is told that this is recorded."""
    body = {
        "service": "shop",
        "version": version,
        "artifact": f"registry.example.com/shop:{version}",
        "digest": digest(version),
        "changes": [{"id": f"c-{version}", "title": "Prices", "authors": ["bob@example.com"]}],
        **more,
    }
    status, answer = await s.call("POST", "/api/releases", body, headers=AS_OPERATOR | {"Idempotency-Key": version})
    assert status == 201, answer
    await s.settle()


async def _approved(s: Story, version: str) -> None:
    """Ann approves, unless she sees that it is approved."""
    await s.settle()
    if "Approve" in s.card(version).buttons:
        await s.ann.presses("Approve", on=s.card(version), confirm=True)
        await s.settle()


async def _typed(s: Story, person: str, line: str) -> None:
    """Somebody types a command; told that the app did not respond, they type it again."""
    try:
        await s.simulator.person(person).types("#shop", line, wait=False)
    except AppSilent:
        await s.simulator.person(person).types("#shop", line, wait=False)
    await s.settle()


async def announce_bad(s: Story) -> None:
    """1.1.0 is announced; it stops before production. What it will do to web-2 is that it never comes up there."""
    s.script.when(Cue(target="web-2", version="1.1.0"), Act(faults=frozenset({Fault.NEVER_ENDS})))
    s.script.when(Cue(target="box-1", is_rollback=True), Act(outcome=Outcome.FAILED, message="the disk is full"))
    await _announced(s, "1.1.0")


async def approve_bad(s: Story) -> None:
    await _approved(s, "1.1.0")


async def bake_bad(s: Story) -> None:
    """It passes one-box, gets onto web-1, and hangs on web-2."""
    await s.advance(minutes=12, until=lambda: s.running["web-1"] == "1.1.0" and s.outside.is_alive("web-2"))


async def turn_red(s: Story) -> None:
    """The sender of alarms repeats itself until it is answered; it says when the episode began."""
    await s.alarm(stage="wave-1", started_at="2026-03-02T09:10:00Z", title="8 % of carts fail")
    await s.advance(minutes=5, until=lambda: s.running["web-1"] == "1.0.0" and not s.outside.is_alive("web-2"))
    await s.settle()


async def acknowledge(s: Story) -> None:
    """Dave takes the page that the failed rollback of one-box called for, if it is not taken."""
    await s.settle()
    if s.state.pages:
        await _typed(s, "dave", "/release ack shop")


async def retry(s: Story) -> None:
    """The disk is cleaned, and Ann has the rollback tried again."""
    await s.settle()
    s.script.when(Cue(target="box-1"), Act())
    if isinstance(s.stage_phase("one-box"), Stopped):
        await _typed(s, "ann", "/release retry shop in one-box")
    await s.advance(minutes=5, until=lambda: s.running["box-1"] == "1.0.0")
    await s.settle()


async def turn_green(s: Story) -> None:
    await s.alarm("ok", stage="wave-1", started_at="2026-03-02T09:10:00Z")


async def announce_fix(s: Story) -> None:
    await _announced(s, "1.1.1", fixes=["1.1.0"])


async def approve_fix(s: Story) -> None:
    await _approved(s, "1.1.1")


async def finish(s: Story) -> None:
    await s.advance(hours=4, until=lambda: s.cards("1.1.1") and "is everywhere" in s.card("1.1.1").text)
    await s.settle()


ACTS: tuple[Deed, ...] = (
    announce_bad, approve_bad, bake_bad, turn_red, acknowledge, retry, turn_green, announce_fix, approve_fix, finish,
)  # fmt: skip


# ---- running it -----------------------------------------------------------------------------------------------------


async def prepare(path: Path) -> Path:
    """A directory with a database in which 1.0.0 runs everywhere and is good; made once, copied for each run."""
    async with story(path, line(""), has_slack=False, has_pager=False) as s:
        await s.announce("1.0.0")
        status, answer = await s.call("POST", "/api/tokens", {"name": "ann", "actor": "ann", "scopes": ["act"]})
        assert status == 201, answer
        as_ann = {"Authorization": f"Bearer {answer['token']}"}
        status, answer = await s.call("POST", "/api/commands", {"text": "approve shop"}, headers=as_ann)
        assert not answer["refused"], answer
        await s.advance(hours=2)
        assert s.state.releases[-1].status.kind == "completed"
    return path


@dataclass(frozen=True)
class Ending:
    """What a run came to; equal for all runs, wherever they were stopped. Keys are numbers and may differ."""

    running: Mapping[str, str | None]
    releases: tuple[tuple[str, str], ...]
    deployed: tuple[tuple[str, str, bool], ...]
    """Target, version and whether it went back, of every deployment that was begun."""
    said: tuple[str, ...]
    posted_twice: tuple[str, ...]
    started_twice: tuple[str, ...]
    paged: tuple[str, ...]
    overlaps: tuple[tuple[str, str, str], ...]
    open_effects: tuple[int, int]
    broken_chains: Mapping[str, int | None]


async def told(path: Path, base: Path, trap: Trap, **how: Any) -> Ending:
    """The whole story on a copy of the base; stopped where the trap is, started again, and told to its end."""
    shutil.copytree(base, path)
    async with story(path, start=False, smokes=line, **how) as s:
        for target in TARGETS:
            s.outside.replace(target, digest("1.0.0"), "1.0.0")
        await _lives(s, trap, _born(trap))
        for deed in ACTS:
            await _lives(s, trap, deed)
        ending = await _ending(s)
    shutil.rmtree(path)
    return ending


def _born(trap: Trap) -> Deed:
    async def born(s: Story) -> None:
        if s.bot is None:
            await s.start_bot(checkpoint=trap)

    return born


async def _lives(s: Story, trap: Trap, deed: Deed) -> None:
    """Do it; where the program dies on the way, start it again (without a trap), and do it again."""
    doing = asyncio.ensure_future(deed(s))
    dying = asyncio.ensure_future(trap.dead.wait())
    await asyncio.wait({doing, dying}, return_when=asyncio.FIRST_COMPLETED)
    is_dead = trap.dead.is_set()
    dying.cancel()
    if is_dead:
        # Whoever was asking is left without an answer.
        doing.cancel()
    await asyncio.gather(doing, dying, return_exceptions=True)
    if not is_dead:
        return doing.result()
    trap.dead.clear()
    await s.stop_bot()
    await s.start_bot()
    return await deed(s)


async def _ending(s: Story) -> Ending:
    status, chains = await s.call("GET", "/api/audit")
    assert status == 200, chains
    said = [
        message.text
        for channel in s.simulator.workspace.channels.values()
        for message in channel.messages.values()
        if (message.metadata or {}).get("event_type")
    ]
    pages = {(headers["Idempotency-Key"], json.loads(body)["kind"]) for headers, body in s.receiver.pages}
    return Ending(
        running=s.running,
        releases=tuple((release.version, release.status.kind) for release in s.state.releases),
        deployed=tuple(sorted((r.target, r.version, r.is_rollback) for r in s.script.requests)),
        said=tuple(sorted(said)),
        posted_twice=tuple(key for key, times in s.keys_posted().items() if times > 1),
        started_twice=tuple(key for key, times in s.starts().items() if times > 1),
        # A pager knows a repeat by its key: the same call twice is one.
        paged=tuple(sorted(kind for _, kind in pages)),
        overlaps=tuple(s.outside.overlaps),
        open_effects=await s.counts(),
        broken_chains=chains,
    )
