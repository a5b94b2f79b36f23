"""The modals of the Slack face: what is carried in them, read out of them, and said in them.

The words of a modal that asks for a reason are drawn by `bot/modals.py`, which puts in what it is about; here it is
given where it was opened, so that the answer finds its way back.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from slack_sdk.web.async_client import AsyncWebClient

from bot.modals import CALLBACK, modal
from bot.slack_client import SlackRefused, slack_errors
from bot.slack_payloads import Place
from commands.desk import NEEDS_REASON, Floor
from commands.subjects import Subject, decode
from core.errors import TransientError, UsageError
from core.releases.state import PipelineState

View = dict[str, Any]
Draw = Callable[[str, Subject, PipelineState, Floor], View]

ACT: Final = CALLBACK
CHOOSE: Final = "andon:choose"
SERVICE: Final = "andon:service"
OPTIONS_MOST: Final = 100
OPTION_VALUE_MOST: Final = 150
OPTION_TEXT_MOST: Final = 75
SECTION_MOST: Final = 3_000
REASON_MOST: Final = 300

CHOICES: Final = (
    ("status", "Show what runs where"),
    ("why", "Ask why it does not move"),
    ("pause", "Pause: nothing new starts"),
    ("resume", "Resume"),
    ("promote", "Promote"),
    ("approve", "Approve"),
    ("reject", "Reject"),
    ("retry", "Try again what failed"),
    ("rollback", "Roll back to the last good version"),
)

_TOKEN = re.compile(r"<([^<>|]*)\|?([^<>]*)>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A submitted modal; `mistakes` are sentences by block, for Slack to show under the fields."""

    verb: str
    subject: Subject
    reason: str
    place: Place
    mistakes: Mapping[str, str]


class Windows:
    """Makes, opens and reads modals. `draw` makes the one of a verb; its inputs are `reason` and perhaps `scope`."""

    verbs: Final = NEEDS_REASON
    """What asks for a reason first, and therefore opens a modal."""

    def __init__(self, client: AsyncWebClient, draw: Draw = modal) -> None:
        self._client = client
        self._draw = draw

    # ---- a verb and its reason --------------------------------------------------------------------------------------

    def ask(self, verb: str, subject: Subject, place: Place, floor: Floor) -> View | None:
        """Draw the modal of a verb; None where its pipeline is gone, or the verb asks for none."""
        state = floor.pipelines().get(subject.pipeline)
        if state is None:
            return None
        try:
            view = self._draw(verb, subject, state, floor)
        except UsageError:
            return None
        # What it is about as the modal shows it, which may be newer than what the button was drawn from.
        carried = {"about": view["private_metadata"], "place": asdict(replace(place, response_url=""))}
        return {**view, "callback_id": ACT, "private_metadata": json.dumps(carried, separators=(",", ":"))}

    def filled(self, view: Mapping[str, Any]) -> Filled:
        """Read a submitted modal; raises `UsageError` for one Andon never made."""
        carried = _carried(view)
        verb, subject = decode(str(carried.get("about", "")))
        typed = _typed(view)
        if typed.get("scope"):
            subject = replace(subject, subject=typed["scope"])
        reason = typed.get("reason", "").strip()
        mistakes = {}
        # `min_length` counts spaces as well; a reason of spaces is none.
        if not 1 <= len(reason) <= REASON_MOST:
            mistakes = {"reason": f"A reason is asked, of 1 to {REASON_MOST} characters. A few words are enough."}
        return Filled(
            verb=verb, subject=subject, reason=reason, place=Place(**carried.get("place", {})), mistakes=mistakes
        )

    # ---- Release actions --------------------------------------------------------------------------------------------

    def choose(self, pipeline: str, place: Place, floor: Floor) -> View:
        """Draw the modal in which service and act are chosen; `pipeline` is chosen already where it is known."""
        menu: dict[str, Any] = {
            "type": "external_select",
            "action_id": SERVICE,
            "min_query_length": 0,
            "placeholder": _plain("Type a part of its name"),
        }
        if pipeline in floor.pipelines():
            menu["initial_option"] = _option(pipeline, pipeline)
        acts = [_option(words, verb) for verb, words in CHOICES]
        reason = {"type": "plain_text_input", "action_id": "reason", "max_length": REASON_MOST, "multiline": True}
        return {
            "type": "modal",
            "callback_id": CHOOSE,
            "title": _plain("Release actions"),
            "submit": _plain("Go"),
            "close": _plain("Cancel"),
            "private_metadata": json.dumps({"place": asdict(replace(place, response_url=""))}),
            "blocks": [
                {"type": "input", "block_id": "service", "label": _plain("Service"), "element": menu},
                {
                    "type": "input",
                    "block_id": "what",
                    "label": _plain("What to do"),
                    "element": {"type": "static_select", "action_id": "what", "options": acts},
                },
                {
                    "type": "input",
                    "block_id": "reason",
                    "optional": True,
                    "label": _plain("Reason"),
                    "hint": _plain("Asked for pause, reject and roll back; others will read it."),
                    "element": reason,
                },
            ],
        }

    def chosen(self, view: Mapping[str, Any]) -> Filled:
        """Read what was chosen there."""
        typed = _typed(view)
        verb, reason = typed.get("what", ""), typed.get("reason", "").strip()
        mistakes = {}
        if verb in NEEDS_REASON and not reason:
            mistakes = {"reason": "A reason is asked for this. A few words are enough."}
        return Filled(
            verb=verb,
            subject=Subject(typed.get(SERVICE, "")),
            reason=reason,
            place=Place(**_carried(view).get("place", {})),
            mistakes=mistakes,
        )

    @staticmethod
    def services(query: str, floor: Floor) -> list[dict[str, Any]]:
        """Return the options for what was typed so far: those that begin with it first."""
        wanted = query.strip().lower()
        found = sorted(
            (id_ for id_ in floor.pipelines() if wanted in id_.lower() and len(id_) <= OPTION_VALUE_MOST),
            key=lambda id_: (not id_.lower().startswith(wanted), id_),
        )
        return [_option(id_, id_) for id_ in found[:OPTIONS_MOST]]

    # ---- answers in a modal -----------------------------------------------------------------------------------------

    @staticmethod
    def refuse(view: Mapping[str, Any], text: str) -> dict[str, Any]:
        """Answer a submission with a sentence under its last field, so that what was typed stays; else in its place."""
        inputs = [block["block_id"] for block in view.get("blocks", []) if block.get("type") == "input"]
        if inputs:
            return {"response_action": "errors", "errors": {inputs[-1]: without_mrkdwn(text)}}
        return {"response_action": "update", "view": Windows.say(text)}

    @staticmethod
    def say(text: str) -> View:
        """Draw a modal that only says something."""
        parts = [text[start : start + SECTION_MOST] for start in range(0, len(text), SECTION_MOST)]
        return {
            "type": "modal",
            "callback_id": "andon:said",
            "title": _plain("Andon"),
            "close": _plain("Close"),
            "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": part}} for part in parts],
        }

    async def open(self, trigger_id: str, view: View) -> str:
        """Open a modal; return a sentence where that did not work, else an empty text."""
        try:
            async with slack_errors():
                await self._client.views_open(trigger_id=trigger_id, view=view)
        except TransientError as trouble:
            return trouble.message
        except SlackRefused as refusal:
            return "Slack did not open the window in time." if "trigger" in refusal.code else refusal.message
        return ""


def without_mrkdwn(text: str) -> str:
    """Return the words of an answer for a place that shows plain text: dates in UTC, no marks."""
    words = _TOKEN.sub(lambda found: found[2] or found[1], text)
    return html.unescape(re.sub(r"[*`]", "", words))


def _carried(view: Mapping[str, Any]) -> dict[str, Any]:
    try:
        carried = json.loads(view.get("private_metadata") or "{}")
    except ValueError as error:
        raise UsageError("This window is from another time.", mend="Open it anew.") from error
    return carried if isinstance(carried, dict) else {}


def _typed(view: Mapping[str, Any]) -> dict[str, str]:
    """What the fields hold, by action_id."""
    typed: dict[str, str] = {}
    for block in (view.get("state") or {}).get("values", {}).values():
        for action_id, field in block.items():
            option = field.get("selected_option") or {}
            typed[action_id] = str(option.get("value") or field.get("value") or "")
    return typed


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _option(text: str, value: str) -> dict[str, Any]:
    shown = text if len(text) <= OPTION_TEXT_MOST else text[: OPTION_TEXT_MOST - 1] + "…"
    return {"text": _plain(shown), "value": value}
