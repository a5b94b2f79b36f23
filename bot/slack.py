"""The Slack face: what people do there, handed to the desk, and its answer brought back to where they are.

Each handler runs inside Slack's response and under a time limit. It finds out who asks, hands on the words or the
button, and acknowledges with what was recorded; modals are opened at once, everything slower follows by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from slack_bolt.response import BoltResponse

from bot.slack_answers import Answers
from bot.slack_client import slack_errors
from bot.slack_dispatch import Ack, Dispatcher, Handle, Handlers, Switchboard, Workspace, nothing
from bot.slack_files import Attachment
from bot.slack_home import home
from bot.slack_payloads import Payload, Place, delivery, place, reference, sender
from bot.slack_people import NotAdmitted, People
from bot.slack_windows import ACT, CHOOSE, SERVICE, Windows
from commands.desk import Ask, Desk, Floor, Reply
from commands.subjects import Subject, decode
from commands.words import heard_in_slack
from core.errors import AndonError, PortError, UsageError
from core.releases.world import Actor
from storage.errors import OutcomeUnknown, StorageError

log = logging.getLogger("andon.slack")

LIMIT: Final = 2.0
GRACE: Final = 60.0
LATER: Final = ("/ops", "/feedback", "/prfaq")

Work = Callable[[Actor], Coroutine[Any, Any, Reply]]


class FindThread(Protocol):
    """Which pipeline and release a thread or message is about, by channel and ts; None where it is none of Andon's."""

    async def __call__(self, channel: str, ts: str) -> tuple[str, str] | None:
        """Return (pipeline, release)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds: an act is answered within `answer`; one that takes longer is waited for `grace` and answered then."""

    answer: float = LIMIT
    grace: float = GRACE


class SlackFace:
    """Answers what people do in Slack; other rooms may add entries to `switchboard`."""

    def __init__(
        self,
        *,
        desk: Desk,
        floor: Floor,
        people: People,
        windows: Windows,
        answers: Answers,
        slack: Workspace,
        find_thread: FindThread,
        limits: Limits = Limits(),
    ) -> None:
        self._desk = desk
        self._floor = floor
        self._people = people
        self._windows = windows
        self._answers = answers
        self._slack = slack
        self._find_thread = find_thread
        self._limits = limits
        commands: dict[str, Handle] = {"/release": self._release, **dict.fromkeys(LATER, self._later)}
        shortcuts: dict[str, Handle] = {
            "release_actions": self._choose,
            "release_actions_here": self._choose,
        }
        events: dict[str, Handle] = {
            "app_mention": self._mentioned,
            "message": self._messaged,
            "app_home_opened": self._home_opened,
        }
        self.switchboard = Switchboard(
            commands=Handlers(self._no_such_command, commands),
            actions=Handlers(self._press, {"link": nothing}),
            foreign=self._stale,
            submissions=Handlers(self._stale_window, {ACT: self._submitted, CHOOSE: self._chosen}),
            shortcuts=Handlers(self._no_such_shortcut, shortcuts),
            options=Handlers(_no_options, {SERVICE: self._services}),
            events=Handlers(nothing, events),
            complain=self._complain,
        )
        self._dispatcher = Dispatcher(slack, self.switchboard)
        self.app = self._dispatcher.app

    async def dispatch(self, body: dict[str, Any], headers: Mapping[str, str]) -> BoltResponse:
        """Answer one payload whose origin was checked."""
        return await self._dispatcher.dispatch(body, headers)

    async def drain(self) -> None:
        """Wait for the answers that are on their way."""
        await self._answers.drain()

    # ---- commands and mentions --------------------------------------------------------------------------------------

    async def _release(self, body: Payload) -> Ack:
        reply = await self._ask(body, str(body.get("text") or ""))
        is_open = reply.is_public and not reply.is_refusal
        return {"response_type": "in_channel" if is_open else "ephemeral", "text": reply.text}

    async def _later(self, body: Payload) -> Ack:
        text = f"`{body['command']}` comes with a later version of Andon. `/release help` says what works today."
        return {"response_type": "ephemeral", "text": text}

    async def _no_such_command(self, body: Payload) -> Ack:
        del body
        text = "This version of Andon does not know this command. `/release help` says what it knows."
        return {"response_type": "ephemeral", "text": text}

    async def _mentioned(self, body: Payload) -> Ack:
        where = place(body)
        about = await self._about(where.channel, where.thread) if where.thread else ("", "")
        reply = await self._ask(body, str(body["event"].get("text") or ""), about)
        if where.thread and reply.whole:
            attached = Attachment.of(delivery(body), f"{reply.pipeline}-history", "The whole history", reply.whole)
            self._answers.attached(where, reply.text, attached)
        else:
            self._answer_mention(where, self._user(body), reply)
        return {}

    async def _messaged(self, body: Payload) -> Ack:
        """A direct message to Andon is as good as a mention; other messages are none of its business."""
        event = body["event"]
        if event.get("channel_type") == "im" and not event.get("subtype"):
            reply = await self._ask(body, str(event.get("text") or ""))
            self._answers.openly(place(body), reply.text)
        return {}

    def _answer_mention(self, where: Place, user: str, reply: Reply) -> None:
        # In a thread everybody who reads it may see the answer; outside of one only acts are everybody's business.
        if where.thread or (reply.is_public and not reply.is_refusal):
            self._answers.openly(where, reply.text)
        else:
            self._answers.privately(where, user, reply.text)

    async def _ask(self, body: Payload, text: str, about: tuple[str, str] = ("", "")) -> Reply:
        async def work(actor: Actor) -> Reply:
            words = heard_in_slack(text, self._people.name_of)
            return await self._desk.answer(
                Ask(words, actor, dedupe=delivery(body), pipeline=about[0], release=about[1])
            )

        return await self.act(body, work)

    # ---- buttons ----------------------------------------------------------------------------------------------------

    async def _press(self, body: Payload) -> Ack:
        verb, subject = self._pressed(body)
        if subject is None:
            return await self._stale(body)
        if verb in self._windows.verbs:
            return await self._ask_reason(body, verb, subject)
        about = subject

        async def work(actor: Actor) -> Reply:
            return await self._desk.press(verb, about, actor, delivery(body))

        reply = await self.act(body, work)
        self._answers.privately(place(body), self._user(body), reply.text)
        return {}

    async def _stale(self, body: Payload) -> Ack:
        text = "This button is from another time. The release's card has the present ones; `/release status` shows all."
        self._answers.privately(place(body), self._user(body), text)
        return {}

    async def _ask_reason(self, body: Payload, verb: str, subject: Subject) -> Ack:
        """Open the modal at once: the trigger lives three seconds, and nothing is recorded yet."""
        view = self._windows.ask(verb, subject, place(body), self._floor)
        if view is None:
            return await self._stale(body)
        await self.open_window(body, view)
        return {}

    def _pressed(self, body: Payload) -> tuple[str, Subject | None]:
        action = body["actions"][0]
        chosen = action.get("selected_option") or {}
        try:
            verb, subject = decode(str(chosen.get("value") or action.get("value") or ""))
        except UsageError:
            return "", None
        return verb or str(action["action_id"]).split(":")[1], subject

    # ---- modals and shortcuts ---------------------------------------------------------------------------------------

    async def _submitted(self, body: Payload) -> Ack:
        try:
            filled = self._windows.filled(body["view"])
        except UsageError:
            return await self._stale_window(body)
        if filled.mistakes:
            return {"response_action": "errors", "errors": dict(filled.mistakes)}

        async def work(actor: Actor) -> Reply:
            return await self._desk.press(filled.verb, filled.subject, actor, delivery(body), filled.reason)

        reply = await self.act(body, work, filled.place)
        if reply.is_refusal:
            # What was typed stays in the window.
            return self._windows.refuse(body["view"], reply.text)
        self._answers.privately(filled.place, self._user(body), reply.text)
        return {"response_action": "clear"}

    async def _choose(self, body: Payload) -> Ack:
        where = place(body)
        about = await self._about(where.channel, where.thread or where.message) if where.message else ("", "")
        await self.open_window(body, self._windows.choose(about[0], where, self._floor))
        return {}

    async def _chosen(self, body: Payload) -> Ack:
        filled = self._windows.chosen(body["view"])
        if filled.mistakes:
            return {"response_action": "errors", "errors": dict(filled.mistakes)}
        if filled.verb == "promote":
            # As a button it needs to know its release; as a sentence it finds the one that waits.
            reply = await self._ask(body, f"promote {filled.subject.pipeline}")
        else:

            async def work(actor: Actor) -> Reply:
                return await self._desk.press(filled.verb, filled.subject, actor, delivery(body), filled.reason)

            reply = await self.act(body, work, filled.place)
        if reply.is_refusal:
            return self._windows.refuse(body["view"], reply.text)
        return {"response_action": "update", "view": self._windows.say(reply.text)}

    async def _stale_window(self, body: Payload) -> Ack:
        del body
        said = "This window is from another time. Open it anew."
        return {"response_action": "update", "view": self._windows.say(said)}

    async def _no_such_shortcut(self, body: Payload) -> Ack:
        await self.open_window(body, self._windows.say("This version of Andon does not know this shortcut."))
        return {}

    async def _services(self, body: Payload) -> Ack:
        return {"options": self._windows.services(str(body.get("value") or ""), self._floor)}

    async def open_window(self, body: Payload, view: dict[str, Any]) -> None:
        """Open a modal for whoever sent the payload; they are told where that did not work."""
        try:
            async with asyncio.timeout(self._limits.answer):
                trouble = await self._windows.open(str(body.get("trigger_id") or ""), view)
        except TimeoutError:
            trouble = "Slack did not open the window in time."
        if trouble:
            log.warning("A window could not be opened: %s", trouble)
            text = f"{trouble} Press again, or type it: `/release help` says how."
            self._answers.privately(place(body), self._user(body), text)

    # ---- Home -------------------------------------------------------------------------------------------------------

    async def _home_opened(self, body: Payload) -> Ack:
        if body["event"].get("tab", "home") == "home":
            self._answers.follow(self._show_home(body))
        return {}

    async def _show_home(self, body: Payload) -> None:
        who = sender(body, home=self._slack.home)
        try:
            actor = await self._people.actor(who.user, team=who.team)
            async with slack_errors():
                await self._slack.client.views_publish(user_id=who.user, view=home(self._floor, actor.id))
        except (NotAdmitted, PortError) as trouble:
            log.warning("App Home could not be shown: %s", trouble)

    # ---- shared -----------------------------------------------------------------------------------------------------

    async def act(self, body: Payload, work: Work, where: Place | None = None) -> Reply:
        """Say who it is, then do it, within the time Slack gives; what was not recorded is said to be so.

        Work that takes longer is not cut off, because nobody could tell then whether it was recorded: its answer
        comes after it.
        """
        who = sender(body, home=self._slack.home)
        loop = asyncio.get_running_loop()
        until = loop.time() + self._limits.answer
        actor = self._people.known(who.user, team=who.team)
        if actor is None:
            try:
                async with asyncio.timeout_at(until):
                    actor = await self._people.actor(who.user, name=who.name, team=who.team)
            except NotAdmitted as refusal:
                return _trouble(str(refusal))
            except (TimeoutError, PortError) as trouble:
                return self._unrecorded(body, trouble)
        is_over: asyncio.Future[None] = loop.create_future()

        async def worked() -> Reply:
            try:
                return await work(actor)
            finally:
                _end(is_over)

        task = loop.create_task(worked())
        late = loop.call_at(until, _end, is_over)
        try:
            # As `asyncio.wait` would, two turns of the loop sooner.
            await is_over
        finally:
            late.cancel()
        if task.done():
            return self._outcome(body, task)
        log.warning("An answer takes longer than Slack waits (reference %s).", reference(delivery(body)))
        self._answers.follow(self._answer_late(body, task, where or place(body)))
        return _trouble(
            "This takes longer than usual, and it is not known yet whether it was recorded: the answer follows here"
            f" (reference {reference(delivery(body))})."
        )

    def _outcome(self, body: Payload, task: asyncio.Future[Reply]) -> Reply:
        try:
            return task.result()
        except (StorageError, PortError, TimeoutError) as trouble:
            return self._unrecorded(body, trouble)

    def _unrecorded(self, body: Payload, trouble: Exception) -> Reply:
        code = reference(delivery(body))
        log.warning("Not recorded (reference %s): %s %s", code, type(trouble).__name__, trouble)
        if isinstance(trouble, OutcomeUnknown):
            return _trouble(
                "The database was lost while it answered, and it is not known whether this was recorded"
                f" (reference {code}): `/release status` shows it."
            )
        return _trouble(f"Nothing was recorded, nothing was started. Try again (reference {code}).")

    async def _answer_late(self, body: Payload, task: asyncio.Future[Reply], where: Place) -> None:
        done, _ = await asyncio.wait((task,), timeout=self._limits.grace)
        code = reference(delivery(body))
        if not done:
            task.cancel()
            text = f"It is still not known whether this was recorded (reference {code}): `/release status` shows it."
        elif error := task.exception():
            trouble = self._outcome(body, task) if isinstance(error, AndonError) else None
            text = trouble.text if trouble else f"Andon made a mistake here (reference {code})."
            log.error("A late answer met trouble (reference %s).", code, exc_info=error)
        else:
            text = task.result().text
        self._answers.privately(where, self._user(body), text)

    async def _about(self, channel: str, ts: str) -> tuple[str, str]:
        try:
            async with asyncio.timeout(self._limits.answer / 2):
                return await self._find_thread(channel, ts) or ("", "")
        except (TimeoutError, StorageError):
            return ("", "")

    def _user(self, body: Payload) -> str:
        return sender(body, home=self._slack.home).user

    async def _complain(self, body: Payload, text: str) -> Ack:
        """Say what went wrong in the form this kind of payload takes."""
        kind = body.get("type", "")
        if "command" in body:
            return {"response_type": "ephemeral", "text": text}
        if kind == "view_submission":
            return self._windows.refuse(body["view"], text)
        if kind == "block_suggestion":
            return {"options": []}
        if kind not in {"view_closed", "event_callback"} or body.get("event", {}).get("type") == "app_mention":
            self._answers.privately(place(body), self._user(body), text)
        return {}


def _end(wait: asyncio.Future[None]) -> None:
    if not wait.done():
        wait.set_result(None)


def _trouble(text: str) -> Reply:
    """An answer that is no reply of the desk: as far as is known, nothing happened."""
    return Reply(text, is_public=False, is_refusal=True)


async def _no_options(body: Payload) -> Ack:
    del body
    return {"options": []}
