"""Every template at a moment that it is for, and a judge of what was drawn."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View

from bot.cards import Links, card
from bot.messages import decided, paged, paged_directly, told
from bot.modals import modal
from bot.render import LIMITS, Message
from commands.subjects import Subject
from core.releases.effects import Page, Tell
from core.releases.state import PipelineState
from core.releases.world import World
from simulator.block_kit import judge_blocks, judge_view
from tests import samples
from tests.samples import MOMENTS, NOW, WORLD

Draw = Callable[[PipelineState, str], dict[str, Any]]
"""Draws from a state; the text is what the core or a stranger says in it, where the template shows a sentence."""


class Moment:
    """A clock and a world that stand still."""

    world: World = WORLD

    def now(self) -> datetime:
        return NOW


@dataclass(frozen=True)
class Sample:
    """One golden file."""

    template: str
    moment: str
    draw: Draw

    @property
    def name(self) -> str:
        return f"{self.template}.{self.moment}"

    def drawn(self) -> dict[str, Any]:
        return self.draw(MOMENTS[self.moment](), "checkout 1.4.2 did what the core says it did.")


def as_json(message: Message) -> dict[str, Any]:
    return {"text": message.text, "blocks": message.blocks}


def _card(moment: str) -> Draw:
    def draw(state: PipelineState, text: str) -> dict[str, Any]:
        del text
        world = samples.WORLDS.get(moment, WORLD)
        return as_json(card(state, state.released("r2"), world, NOW, Links(page="https://andon.example/r2")))

    return draw


def _decided(state: PipelineState, text: str) -> dict[str, Any]:
    del text
    over = decided(state, "r2", "q7", WORLD, NOW)
    assert over is not None, "this request is open"
    return as_json(over)


def _tell(*offers: str, subject: str = "", asks: tuple[str, ...] = ()) -> Draw:
    def draw(state: PipelineState, text: str) -> dict[str, Any]:
        tell = Tell(key="say1", release="r2", topic="t", sentence=text, asks=asks, offers=offers, subject=subject)
        return as_json(told(tell, state, WORLD))

    return draw


PAGE = Page(key="g5/2", page="g5", release="r2", stage="wave-1", sentence="", repetition=2)


def _modal(verb: str, subject: str = "") -> Draw:
    return lambda state, text: modal(verb, Subject("checkout", "r2", subject), state, Moment())


SAMPLES = (
    *(Sample("card", moment, _card(moment)) for moment in MOMENTS),
    Sample("told", "baking", _tell()),
    Sample(
        "told", "red", _tell("acknowledge", "pause", "rollback", subject="wave-1", asks=("payments-oncall", "carol"))
    ),
    Sample("told", "stopped", _tell("retry", "rollback", subject="beta", asks=("payments",))),
    Sample("told", "rolled_back", _tell("lift", "override", subject="wave-1", asks=("nobody-known", "slack:U7"))),
    Sample("approval", "waiting_for_approval", _tell("approve", "reject", subject="q7", asks=("reviewers",))),
    Sample("approval_over", "approved", _decided),
    Sample("approval_over", "rejected", _decided),
    Sample("approval_over", "superseded", _decided),
    Sample("page", "red", lambda state, text: as_json(paged(replace(PAGE, sentence=text), state, WORLD))),
    Sample(
        "page_direct", "red", lambda state, text: as_json(paged_directly(replace(PAGE, sentence=text), state, WORLD))
    ),
    Sample("modal_pause", "baking", _modal("pause")),
    Sample("modal_reject", "waiting_for_approval", _modal("reject", "q7")),
    Sample("modal_rollback", "red", _modal("rollback", "gamma")),
    Sample("modal_override", "waiting_for_approval", _modal("override", "one-box")),
    Sample("modal_lift", "rolled_back", _modal("lift")),
    Sample("modal_cancel", "baking", _modal("cancel")),
)


def judge(drawn: dict[str, Any]) -> list[str]:
    """What is wrong, by slack_sdk's models, by the simulator's own rules, and by our table."""
    if drawn.get("type") == "modal":
        View(**drawn).validate_json()
        return [*judge_view(drawn), *_beyond_limits(drawn)]
    for block in drawn["blocks"]:
        parsed = Block.parse(block)
        assert parsed is not None
        assert json.loads(json.dumps(parsed.to_dict())) == block
    return [*judge_blocks(drawn["blocks"], "message"), *_beyond_limits(drawn)]


def _beyond_limits(drawn: dict[str, Any]) -> list[str]:
    wrong = []
    if len(drawn["blocks"]) > LIMITS["blocks"]:
        wrong.append("too many blocks")
    if "text" in drawn and not 1 <= len(drawn["text"]) <= LIMITS["text"]:
        wrong.append("text too long or missing")
    total = sum(len(t["text"]) for t in texts(drawn["blocks"]) if t["type"] == "mrkdwn")
    if total > LIMITS["all blocks"]:
        wrong.append(f"all blocks together have {total}")
    for block in drawn["blocks"]:
        if block["type"] == "actions":
            buttons = [element for element in block["elements"] if element["type"] == "button"]
            wrong += ["more than three buttons"] if len(buttons) > LIMITS["buttons"] else []
            wrong += [f"{b['text']['text']} has no label" for b in buttons if not b.get("accessibility_label")]
    return wrong


def texts(value: Any) -> Iterator[dict[str, Any]]:
    """All text objects in something drawn."""
    if isinstance(value, dict):
        if value.get("type") in ("mrkdwn", "plain_text"):
            yield value
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


TOKEN = re.compile(r"<[^<>]*>")
OURS = re.compile(
    r"<!date\^\d+\^\{time\}, \{date_short_pretty\}\|[\d: -]+ UTC>"
    r"|<https://(?:code|runbooks|charts|alarms|andon)\.example/[^<>|\s]*\|[^<>|]*>"
    r"|<@U0(?:ANN|BOB|EVE|DORA)>|<@U7>|<!subteam\^S0ONCALL>"
)


def strange_tokens(drawn: dict[str, Any]) -> list[str]:
    """Everything in angle brackets that our filters did not make of what the organisation file says."""
    said = [t["text"] for t in texts(drawn["blocks"]) if t["type"] == "mrkdwn"] + [drawn.get("text", "")]
    return [token for text in said for token in TOKEN.findall(text) if not OURS.fullmatch(token)]


def state_with(moment: str, text: str) -> PipelineState:
    """A moment with a stranger's text wherever one may write."""
    return samples.with_hostile_text(MOMENTS[moment](), text)
