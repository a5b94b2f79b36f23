"""`/release init` in Slack: five questions in a window, the definition that comes of them, and then it is applied.

The second window holds the whole definition as text. What is wrong with it is said under it by line, so that nothing
typed is lost; who may apply it is decided where it is recorded.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, replace
from typing import Any, Final, Protocol

from bot.first_line import CHANGE, SOURCES, Answers, written
from bot.self_service import Look, SelfService, told
from bot.slack_dispatch import Ack, Switchboard
from bot.slack_payloads import Payload, Place, delivery, place
from bot.slack_windows import OPTIONS_MOST, SECTION_MOST, Windows, without_mrkdwn
from commands.desk import Floor, Reply
from commands.mrkdwn import escape
from core.errors import CommandRefused, UsageError
from core.releases.fields import name_suggestion
from core.releases.world import Actor

INIT: Final = "andon:init"
DEFINE: Final = "andon:define"
COLUMNS: Final = 52
"""Of a drawn line, so that a window breaks none."""
TEXT_MOST: Final = 3_000
"""Characters that a field of a window holds; longer definitions come by `andon apply`."""


class Face(Protocol):
    """What the windows need of the Slack face."""

    switchboard: Switchboard

    async def act(
        self, body: Payload, work: Callable[[Actor], Coroutine[Any, Any, Reply]], where: Place | None = None
    ) -> Reply:
        """Find out who asks, and do it within the time Slack gives."""

    async def open_window(self, body: Payload, view: dict[str, Any]) -> None:
        """Open a modal for whoever sent the payload."""


class FirstLines:
    """The two windows; `join` puts them beside what the face answers already."""

    def __init__(self, service: SelfService, floor: Floor, face: Face) -> None:
        self._service = service
        self._floor = floor
        self._face = face

    def join(self) -> None:
        """Answer `/release init` and both windows."""
        commands = self._face.switchboard.commands.by_name
        release = commands["/release"]

        async def asked(body: Payload) -> Ack:
            words = str(body.get("text") or "")
            # The rest of them is not split here: what comes most often should cost nothing.
            if words[:4].lower() == "init" and words[4:5].strip() == "":
                return await self.ask(body, words[4:])
            return await release(body)

        commands["/release"] = asked
        self._face.switchboard.submissions.by_name |= {INIT: self.answered, DEFINE: self.defined}

    async def ask(self, body: Payload, words: str) -> Ack:
        """Open the window with the questions; `words` may name the service already."""
        given = name_suggestion(words)
        if given in self._floor.pipelines():
            text = f"{given} has a pipeline already; `andon apply` changes it, `/release status {given}` shows it."
            return {"response_type": "ephemeral", "text": text}
        if not self._service.places():
            text = "The organisation lets teams use no deployer by themselves. Ask whoever runs Andon to add your file."
            return {"response_type": "ephemeral", "text": text}
        await self._face.open_window(body, self._questions(given, place(body)))
        return {}

    async def answered(self, body: Payload) -> Ack:
        """The questions were answered: show the definition that comes of them."""
        view = body["view"]
        answers = _typed(view)
        service = answers.get("service", "").strip()
        if (better := name_suggestion(service)) != service:
            mend = f" Try {better}." if better else ""
            said = f"Small letters, digits and single dashes, beginning with a letter: people type it.{mend}"
            return {"response_action": "errors", "errors": {"service": said}}
        if service in self._floor.pipelines():
            said = f"{service} has a pipeline already. Another name, or change that one with andon apply."
            return {"response_action": "errors", "errors": {"service": said}}
        team = self._floor.world.teams.get(answers.get("team", ""))
        try:
            text = written(
                Answers(
                    service=service,
                    team=answers.get("team", ""),
                    channel=answers.get("channel", ""),
                    runs_on=answers.get("runs_on", ""),
                    source=answers.get("source", ""),
                    health=answers.get("health", ""),
                    is_approved=team is None or len(team.members) > 1,
                )
            )
        except UsageError as error:
            return {"response_action": "errors", "errors": {"runs_on": without_mrkdwn(f"{error.message} {error.mend}")}}
        look = await asyncio.to_thread(self._service.look, text)
        return {"response_action": "update", "view": self._definition(text, look, _carried(view))}

    async def defined(self, body: Payload) -> Ack:
        """The definition was submitted: look at it again, and apply it."""
        view = body["view"]
        text = _typed(view).get("definition", "")
        where = Place(**_carried(view))
        look = await asyncio.to_thread(self._service.look, text, width=COLUMNS)
        if look.pipeline is None:
            return _under_the_text(told([f for f in look.findings if not f.is_warning], most=4))

        made = look.pipeline

        async def work(actor: Actor) -> Reply:
            try:
                applied = await self._service.apply(text, look, actor, dedupe=delivery(body))
            except CommandRefused as refusal:
                return Reply(f"{refusal.message} {refusal.mend}".strip(), is_public=False, is_refusal=True)
            return Reply(applied.text, is_public=True, pipeline=made.id)

        reply = await self._face.act(body, work, where)
        if reply.is_refusal:
            return _under_the_text(without_mrkdwn(reply.text))
        return {"response_action": "update", "view": _applied(look, reply)}

    # ---- what is shown ----------------------------------------------------------------------------------------------

    def _questions(self, service: str, where: Place) -> dict[str, Any]:
        teams = [_option(name, name) for name in sorted(self._floor.world.teams)][:OPTIONS_MOST]
        named = {
            "type": "plain_text_input",
            "action_id": "service",
            "max_length": 40,
            "placeholder": _plain("checkout"),
        }
        if service:
            named["initial_value"] = service
        places = self._service.places()
        channel = {
            "type": "conversations_select",
            "action_id": "channel",
            "default_to_current_conversation": True,
            "filter": {"include": ["public", "private"], "exclude_bot_users": True},
        }
        team = {"type": "static_select", "action_id": "team", "options": teams}
        if not teams:
            team = {"type": "plain_text_input", "action_id": "team"}
        return _window(
            INIT,
            "A first pipeline",
            "Show it",
            where,
            [
                _input("service", "What is the service called?", named),
                _input("team", "Which team owns it?", team),
                _input("channel", "Where should its releases be?", channel, "Andon must be a member of the channel."),
                _input("runs_on", "Where does it run?", _select("runs_on", places)),
                _input("source", "How does Andon hear of new versions?", _select("source", SOURCES)),
                {
                    **_input(
                        "health",
                        "An address that answers well while it serves",
                        {"type": "url_text_input", "action_id": "health"},
                        "It is asked every ten seconds; when it fails, releases roll back. Can be added later.",
                    ),
                    "optional": True,
                },
            ],
        )

    def _definition(self, text: str, look: Look, where: Mapping[str, Any]) -> dict[str, Any]:
        examples = text.count(CHANGE)
        said = (
            f"This is a careful line: nothing reaches customers without tests, a bake and an approval. "
            f"{examples} lines hold an example to change; they say so."
        )
        mistakes = [finding for finding in look.findings if not finding.is_warning]
        if mistakes:
            said += f"\n*Before it can be applied:*\n{escape(told(mistakes, most=4))}"
        field = {
            "type": "plain_text_input",
            "action_id": "definition",
            "multiline": True,
            "max_length": TEXT_MOST,
            "initial_value": text[:TEXT_MOST],
        }
        return _window(
            DEFINE,
            "The definition",
            "Apply it",
            Place(**where),
            [
                {"type": "section", "text": {"type": "mrkdwn", "text": said[:SECTION_MOST]}},
                _input("definition", "Change what you like", field, "docs/definition.md says what each key means."),
            ],
        )


def _applied(look: Look, reply: Reply) -> dict[str, Any]:
    fence = "```"
    drawn = escape(look.picture)[: SECTION_MOST - 10]
    next_step = f"Announce its first version from CI: `andon announce {reply.pipeline} VERSION --artifact …`"
    said = Windows.say(f"{escape(reply.text)} {next_step}")
    said["blocks"].append({"type": "section", "text": {"type": "mrkdwn", "text": f"{fence}{drawn}{fence}"}})
    return said


def _under_the_text(said: str) -> Ack:
    return {"response_action": "errors", "errors": {"definition": said[:2_000]}}


def _window(callback: str, title: str, submit: str, where: Place, blocks: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "type": "modal",
        "callback_id": callback,
        "title": _plain(title),
        "submit": _plain(submit),
        "close": _plain("Cancel"),
        "private_metadata": json.dumps(asdict(replace(where, response_url=""))),
        "blocks": blocks,
    }


def _input(name: str, label: str, element: Mapping[str, Any], hint: str = "") -> dict[str, Any]:
    block = {"type": "input", "block_id": name, "label": _plain(label), "element": dict(element)}
    return {**block, "hint": _plain(hint)} if hint else block


def _select(name: str, choices: Mapping[str, str]) -> dict[str, Any]:
    return {
        "type": "static_select",
        "action_id": name,
        "options": [_option(words, key) for key, words in choices.items()],
    }


def _option(words: str, value: str) -> dict[str, Any]:
    return {"text": _plain(words[:75]), "value": value}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def _carried(view: Mapping[str, Any]) -> dict[str, Any]:
    try:
        carried = json.loads(view.get("private_metadata") or "{}")
    except ValueError:
        return {}
    return carried if isinstance(carried, dict) else {}


def _typed(view: Mapping[str, Any]) -> dict[str, str]:
    """What the fields hold, by action_id."""
    typed: dict[str, str] = {}
    for block in (view.get("state") or {}).get("values", {}).values():
        for action_id, held in block.items():
            chosen = (held.get("selected_option") or {}).get("value")
            typed[action_id] = str(chosen or held.get("selected_conversation") or held.get("value") or "")
    return typed
