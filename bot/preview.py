"""`andon preview TEMPLATE`: a template drawn from a sample release, as the JSON that Block Kit Builder takes.

The sample is not painted by hand: a small pipeline is led by the real rules to a moment at which the template would be
used, so that what operators see while they change words is what people would see.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from bot.cards import card
from bot.messages import decided, paged, paged_directly, told
from bot.modals import modal
from bot.render import Message, Templates
from commands.subjects import Subject
from core.errors import AndonError
from core.ports import AlarmState, TestOutcome
from core.releases.decide import decide, new_pipeline, next_wake
from core.releases.effects import Effect, Page, RunStageTest, StartDeployment, Tell
from core.releases.events import (
    AlarmReported,
    ApproveRequested,
    DeploymentSucceeded,
    Event,
    ReleaseAnnounced,
    StageTestReported,
    TimePassed,
)
from core.releases.likeness import most_like
from core.releases.pipeline import (
    Alarm,
    ApprovalRule,
    Bake,
    Group,
    Pipeline,
    Scope,
    ScopeKind,
    Stage,
    StageTest,
    Target,
)
from core.releases.state import Baking, Change, PipelineState, Release
from core.releases.world import Actor, PeopleGroup, Person, Team, Via, World

BEGIN: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PRODUCTION: Final = Scope(ScopeKind.GROUP, "production")


def main(argv: Sequence[str]) -> int:
    """Print the JSON of one template; without a name, the names of all."""
    parser = argparse.ArgumentParser(prog="andon preview", description="Print a message or modal as JSON.")
    parser.add_argument("template", nargs="?", default="", help="its name, such as card")
    parser.add_argument("--templates", type=Path, default=None, help="a directory whose files come before ours")
    arguments = parser.parse_args(list(argv))
    templates = Templates(arguments.templates)
    if not arguments.template:
        sys.stdout.write("\n".join(templates.names()) + "\n")
        return 0
    if arguments.template not in templates.names():
        near = most_like(arguments.template, templates.names()) or templates.names()
        sys.stderr.write(f"There is no template {arguments.template}. There is {', '.join(near)}.\n")
        return 2
    try:
        drawn = preview(arguments.template, templates)
    except AndonError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(drawn, indent=2, ensure_ascii=False) + "\n")
    return 0


def preview(name: str, templates: Templates) -> dict[str, Any]:
    """A message as `text` and `blocks`, or a view, drawn from a sample."""
    if name.startswith("modal_"):
        line = SampleLine().to_bake("one-box")
        return modal(name.removeprefix("modal_"), line.about("one-box"), line.state, line, templates=templates)
    drawn = _message(name, templates)
    return {"text": drawn.text, "blocks": drawn.blocks}


def _message(name: str, templates: Templates) -> Message:
    match name:
        case "card":
            line = SampleLine().to_request()
            return card(line.state, line.release, line.world, line.now(), templates=templates)
        case "approval":
            line = SampleLine().to_request()
            return told(line.last(Tell), line.state, line.world, templates=templates)
        case "approval_over":
            line = SampleLine().to_bake("one-box")
            request = line.state.approvals[0].id
            over = decided(line.state, line.release.id, request, line.world, line.now(), templates=templates)
            assert over is not None, "what bakes there was approved"
            return over
        case "told":
            line = SampleLine().to_bake("one-box").to_alarm()
            return told(line.last(Tell), line.state, line.world, templates=templates)
        case "page" | "page_direct":
            line = SampleLine().to_bake("one-box").to_alarm()
            draw = paged if name == "page" else paged_directly
            call = Page(
                key="sample", page="sample", release=line.release.id, stage="one-box",
                sentence=line.last(Tell).sentence, repetition=1,
            )  # fmt: skip
            return draw(call, line.state, line.world, templates=templates)
    raise AndonError(f"There is no sample for {name}.")


@dataclass(slots=True)
class SampleLine:
    """A pipeline that is led through a release: deployments succeed, tests pass, time jumps to what is due next."""

    state: PipelineState
    at: datetime
    told: list[Effect]

    def __init__(self) -> None:
        self.at = BEGIN
        self.told = []
        self.state = new_pipeline(_definition())
        self._release("1.4.1", "sha256:41")
        self._pass_everything()
        self._release("1.4.2", "sha256:42")

    @property
    def world(self) -> World:
        """The sample's people."""
        return _WORLD

    def now(self) -> datetime:
        """The sample's time."""
        return self.at

    @property
    def release(self) -> Release:
        """The release that is on its way."""
        return self.state.releases[-1]

    def about(self, subject: str) -> Subject:
        """What a button of it would carry."""
        return Subject(self.state.id, self.release.id, subject)

    def last(self, kind: type[Tell]) -> Tell:
        """The last sentence that offers something."""
        return next(e for e in reversed(self.told) if isinstance(e, kind) and e.offers)

    def to_request(self) -> SampleLine:
        """Until somebody is asked to approve."""
        while not self.state.approvals:
            self._wait()
        return self

    def to_bake(self, stage: str) -> SampleLine:
        """Until it bakes in a stage, everything approved."""
        while not self._bakes_in(stage):
            self._approve()
            self._wait()
        return self

    def to_alarm(self) -> SampleLine:
        """An alarm turns red."""
        self.at += timedelta(minutes=1)
        self._happen(
            AlarmReported(
                alarm="orders-5xx", key="sample", alarm_state=AlarmState.ALARM, observed_at=self.at, scope=PRODUCTION,
                started_at=self.at, title="More than 1 % of orders fail", url="https://alarms.example/orders-5xx",
            )
        )  # fmt: skip
        return self

    def _release(self, version: str, digest: str) -> None:
        change = Change(
            id="a1b2c3d", title="Round prices half to even", authors=("ann@example.com",),
            url="https://code.example/commits/a1b2c3d",
        )  # fmt: skip
        builder = Actor("ci", "CI", Via.API, is_person=False)
        self._happen(
            ReleaseAnnounced(
                version=version, digest=digest, artifact=f"builds/{version}", by=builder,
                url=f"https://code.example/releases/{version}", changes=(change,),
            )
        )  # fmt: skip

    def _pass_everything(self) -> None:
        while any(release.is_live for release in self.state.releases):
            self._approve()
            self._wait()

    def _approve(self) -> None:
        for request in self.state.approvals:
            if not request.votes:
                self._happen(ApproveRequested(by=Actor("bob", "Bob", Via.SLACK), request_id=request.id))

    def _bakes_in(self, stage: str) -> bool:
        run = self.state.stage(stage).run
        return run is not None and run.release == self.release.id and isinstance(run.phase, Baking)

    def _wait(self) -> None:
        due = next_wake(self.state, self.world, self.at)
        assert due is not None, "the sample stands still"
        self.at = due
        self._happen(TimePassed())

    def _happen(self, event: Event) -> None:
        waiting = [event]
        while waiting:
            decision = decide(self.state, waiting.pop(0), self.world, self.at)
            self.state = decision.state
            self.told += decision.effects
            waiting += [follows for effect in decision.effects if (follows := _outcome(effect)) is not None]


def _outcome(effect: Effect) -> Event | None:
    match effect:
        case StartDeployment(is_rollback=False):
            return DeploymentSucceeded(key=effect.key)
        case RunStageTest():
            return StageTestReported(key=effect.key, outcome=TestOutcome.PASSED)
    return None


def _definition() -> Pipeline:
    def wave(name: str, after: str, *targets: str, is_one_box: bool = False) -> Stage:
        return Stage(
            name=name, targets=tuple(Target(name=target) for target in targets), after=(after,), group="production",
            bake=Bake(duration=timedelta(hours=1)), is_production=True, is_one_box=is_one_box,
        )  # fmt: skip

    return Pipeline(
        id="checkout", service="checkout", team="shop", channel="#checkout", revision="sample",
        stages=(
            Stage(name="beta", targets=(Target(name="beta-1"),), tests=(StageTest(name="smoke", uses="command"),)),
            Stage(
                name="gamma", targets=(Target(name="gamma-1"),), after=("beta",),
                bake=Bake(duration=timedelta(minutes=15)),
            ),
            wave("one-box", "gamma", "eu-1-box", is_one_box=True),
            wave("wave-1", "one-box", "eu-1"),
            wave("wave-2", "wave-1", "eu-2", "us-1"),
        ),
        groups=(Group(name="production", approval=ApprovalRule(by=("bob", "carol"))),),
        alarms=(
            Alarm(
                name="orders-5xx", source="alertmanager", scope=PRODUCTION, silence_is_ok=True,
                runbook="https://runbooks.example/orders-5xx", dashboard="https://charts.example/orders",
            ),
        ),
        runbook="https://runbooks.example/checkout", dashboard="https://charts.example/checkout",
    )  # fmt: skip


_WORLD: Final = World(
    people={
        "ann": Person(key="ann", name="Ann", slack="U0ANN", identities=frozenset({"ann@example.com"})),
        "bob": Person(key="bob", name="Bob", slack="U0BOB"),
        "carol": Person(key="carol", name="Carol", slack="U0CAROL"),
    },
    groups={"shop-on-call": PeopleGroup(name="shop-on-call", members=frozenset({"carol"}), slack="S0SHOP")},
    teams={"shop": Team(name="shop", members=frozenset({"ann", "bob", "carol"}), on_call="shop-on-call")},
)
