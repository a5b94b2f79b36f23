"""People and machines in a storm: each service's CI, alarms and people, who act on what they see and insist on answers.

What was acknowledged is written down here, by whoever was told: `judging.py` looks later whether all of it is recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from core.releases.state import PipelineState, Stopped
from simulator.errors import Refused
from simulator.people import NotSeen, Seen, Simulator
from simulator.seen import AppSilent
from tests.chaos.company import VOICES, service
from tests.chaos.judging import LAST, Told
from tests.chaos.storm import until
from tests.scenarios.kit import key_of
from tests.scenarios.props import digest

LIVE_MOST = 3
UNSURE = ("Nothing was recorded", "not known")
"""What an answer says that does not promise anything: whoever gave it may have been killed before it was recorded."""


class Scene(Protocol):
    """What people and machines stand in front of."""

    @property
    def seed(self) -> str:
        """By which dice."""

    @property
    def simulator(self) -> Simulator:
        """The workspace."""

    states: dict[str, PipelineState]
    tally: Counter[str]
    troubles: list[str]

    async def ask(self, method: str, path: str, body: Any = None, *, key: str = "", token: str = "") -> tuple[int, Any]:
        """A request, asked again until it is answered; without a token it is the operator's."""

    async def look(self) -> None:
        """Bring `states` up to date."""

    async def breathe(self) -> None:
        """Let some time pass."""

    def database_says(self, statement: str) -> Sequence[Any]:
        """What the database answers to a statement."""


@dataclass
class Crowd:
    """Everybody who asks something of Andon."""

    storm: Scene
    in_slack: float = 0.5
    """How many of those who could also do it in a shell do it in Slack."""
    tokens: dict[str, str] = field(default_factory=dict)
    told: Told = field(default_factory=Told)
    red: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    is_over: bool = False
    """Nobody begins anything new."""

    async def arrive(self) -> None:
        """Everybody gets a token."""
        for name in VOICES:
            wanted = {"name": name, "actor": name, "scopes": ["act"]}
            status, answer = await self.storm.ask("POST", "/api/tokens", wanted)
            assert status == 201, answer
            self.tokens[name] = answer["token"]

    async def live(self, number: int) -> None:
        """All that happens around one service, until it is over."""
        name, dice = service(number), random.Random(f"{self.storm.seed}/{number}")
        while not self.is_over:
            await asyncio.sleep(dice.uniform(0.2, 1.0))
            if (state := self.storm.states.get(name)) is not None:
                await self.act(name, state, dice)

    async def act(self, name: str, state: PipelineState, dice: random.Random) -> None:
        """One thing that somebody would do now."""
        who = dice.choice(VOICES)
        drawn = dice.random()
        live = [r for r in state.releases if r.is_live]
        if state.approvals and drawn < 0.5:
            await self.approve(name, state, who, dice)
        elif len(live) < LIVE_MOST and drawn < 0.65:
            await self.announce(name, twice=dice.random() < 0.2, has_fixes=dice.random() < 0.8)
        elif drawn < 0.72:
            await self.alarm(name, dice)
        elif drawn < 0.78:
            await self.pull_the_cord(name, who, dice)
        elif drawn < 0.80:
            await self.say(name, who, f"rollback {name} in wave the storm {self._next(name)}")
        else:
            await self.tidy(name, state, who)

    # ---- machines ---------------------------------------------------------------------------------------------------

    async def announce(self, name: str, *, version: str = "", twice: bool = False, has_fixes: bool = True) -> None:
        """CI says that a version exists, until this is recorded; now and then twice at once."""
        number = self._next(name)
        version = version or f"{number}.0.0"
        body = {
            "service": name,
            "version": version,
            "artifact": f"registry.example.com/{name}:{version}",
            "digest": digest(f"{name}-{version}"),
            "changes": [{"id": f"c-{number}", "title": "A change", "authors": ["dave@example.com"]}],
            "fixes": [v for n, v in self.told.announced if n == name][-40:] if has_fixes else [],
        }
        asked = [
            self.storm.ask("POST", "/api/releases", body, key=f"{name}-{version}") for _ in range(2 if twice else 1)
        ]
        for status, answer in await asyncio.gather(*asked):
            if status != 201:
                self.storm.troubles.append(f"the announcement of {name} {version} was refused: {answer}")
        self.told.announced.append((name, version))

    async def alarm(self, name: str, dice: random.Random) -> None:
        """Alarms turn red, are repeated, come late, and are resolved; some are only ever resolved."""
        if name in self.red:
            started = self.red.pop(name)
            reports = [("ok", started), ("alarm", started)] if dice.random() < 0.2 else [("ok", started)]
        elif dice.random() < 0.15:
            reports = [("ok", _stamp())]
        else:
            self.red[name] = _stamp()
            reports = [("alarm", self.red[name])] * dice.randrange(1, 3)
        for state, started in reports:
            await self._report(name, state, started)

    async def resolve(self, name: str) -> None:
        """Whatever is red turns green."""
        if name in self.red:
            await self._report(name, "ok", self.red.pop(name))

    async def _report(self, name: str, state: str, started: str) -> None:
        body = {"alarm": f"{name}-errors", "state": state, "started_at": started, "key": f"{name}-errors"}
        status, answer = await self.storm.ask("POST", "/api/alarms/webhook", body)
        if status != 200:
            self.storm.troubles.append(f"an alarm of {name} was not understood: {answer}")
        self.storm.tally["alarms"] += 1

    # ---- people -----------------------------------------------------------------------------------------------------

    async def say(self, name: str, who: str, text: str) -> bool:
        """Somebody asks in their shell, under one key until it is answered; whether it was accepted."""
        key = f"{name}-{self._next(name)}"
        status, answer = await self.storm.ask("POST", "/api/commands", {"text": text}, key=key, token=self.tokens[who])
        self.storm.tally["commands"] += 1
        if status != 200:
            self.storm.troubles.append(f"{who} was not allowed to say {text!r}: {answer}")
            return False
        if not answer["refused"]:
            self.told.keyed.append((name, key, text))
        return not answer["refused"]

    async def pull_the_cord(self, name: str, who: str, dice: random.Random) -> None:
        """A pause of some seconds, with a reason that nobody else gives; in Slack or in a shell."""
        reason = f"cord {name} {self._next(name)} pulled"
        text = f"pause {name} for {dice.randrange(1, 3)}m {reason}"
        if dice.random() >= self.in_slack:
            await self.say(name, who, text)
            return
        self.storm.tally["commands"] += 1
        try:
            answer = await self.storm.simulator.person(who).types(f"#{name}", f"/release {text}", wait=False)
        except AppSilent:
            self.told.unsure.append((name, reason))
        else:
            is_unsure = any(words in answer for words in UNSURE)
            (self.told.unsure if is_unsure else self.told.said).append((name, reason))

    async def approve(self, name: str, state: PipelineState, who: str, dice: random.Random) -> None:
        """By the button on the card, or by words."""
        release = state.released(state.approvals[-1].release)
        card = self.card(name, release.version)
        if card is None or "Approve" not in card.buttons or dice.random() >= self.in_slack:
            await self.say(name, who, f"approve {name} {release.version}")
            return
        with contextlib.suppress(AppSilent, NotSeen, Refused):
            await self.storm.simulator.person(who).presses("Approve", on=card, confirm=True)

    async def tidy(self, name: str, state: PipelineState, who: str) -> None:
        """Mend whatever stands still."""
        live = [r for r in state.releases if r.is_live]
        if state.pauses:
            await self.say(name, who, f"resume {name}")
        elif state.pages:
            await self.say(name, who, f"ack {name}")
        elif any(t.drift for t in state.targets):
            await self.say(name, who, f"reconcile {name} restore the storm blew it away")
        elif any(s.run is not None and isinstance(s.run.phase, Stopped) for s in state.stages):
            await self.say(name, who, f"retry {name}")
        elif state.bad and live:
            await self.say(name, who, f"lift {name} {live[-1].version} the storm was to blame")

    def card(self, name: str, version: str) -> Seen | None:
        """The newest card of a version."""
        found = [
            m
            for m in self.storm.simulator.channel(f"#{name}").messages
            if key_of(m.message).startswith("card:") and m.text.startswith(f"{name} {version} ")
        ]
        return found[-1] if found else None

    # ---- afterwards -------------------------------------------------------------------------------------------------

    async def calm_down(self, within: float) -> None:
        """The storm is over: everybody mends what stands still, and one last release goes everywhere."""
        storm = self.storm
        names = sorted(storm.states)
        await asyncio.gather(*(self.resolve(name) for name in names))
        await asyncio.gather(*(self.announce(name, version=LAST) for name in names))
        done = await asyncio.gather(*(self._bring_home(name, within) for name in names))
        for name, is_done in zip(names, done, strict=True):
            if not is_done:
                storm.troubles.append(f"{name} {LAST} did not go everywhere after the storm")

    async def _bring_home(self, name: str, within: float) -> bool:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + within
        who = VOICES[0]
        while loop.time() < give_up_at:
            await self.storm.look()
            state = self.storm.states[name]
            last = next((r for r in state.releases if r.version == LAST), None)
            if last is not None and last.status.kind == "completed":
                return True
            for request in state.approvals:
                if last is not None and request.release == last.id:
                    await self.say(name, who, f"approve {name} {LAST}")
            await self.tidy(name, state, who)
            await self.storm.breathe()
        return False

    async def until_at_rest(self, within: float) -> bool:
        """Wait until nothing is left to be delivered now."""

        def is_at_rest() -> bool:
            return not self.storm.database_says("SELECT count(*) FROM outbox WHERE state IN ('pending', 'claimed')")[0][
                0
            ]

        return await until(is_at_rest, within)

    def _next(self, name: str) -> int:
        self.numbers[name] = self.numbers.get(name, 0) + 1
        return self.numbers[name]


def _stamp() -> str:
    return datetime.now(UTC).isoformat()
