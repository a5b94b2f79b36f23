"""What people do in Slack's client: write, type commands, react, use shortcuts, open App Home."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass

from simulator.delivery import Answer, Delivery
from simulator.errors import ApiError, Refused
from simulator.events import Events
from simulator.faults import Faults
from simulator.methods_files import share_files
from simulator.payloads import Payloads
from simulator.posting import answer_with
from simulator.records import Channel, File, Json, Message, User
from simulator.shapes import view_shape
from simulator.typing_text import as_escaped_command, as_message
from simulator.workspace import Workspace

NOT_CONFIGURED = "This app is not configured to handle interactive responses"


@dataclass
class Acting:
    """People's hands in one workspace; every method raises Refused where Slack's client would stop them."""

    workspace: Workspace
    delivery: Delivery
    events: Events
    payloads: Payloads
    faults: Faults

    def actor(self, who: str) -> User:
        """Return the person acting; nobody acts while Slack is down."""
        if self.faults.paused:
            raise Refused("slack_is_down", "Slack is down.", 503)
        return self.workspace.user(who)

    def place(self, user: User, channel: str, *, member: bool = False) -> Channel:
        """Return a channel the person may see (or is in)."""
        found = self.workspace.channel(channel)
        if not self.workspace.may_see(user.id, found):
            raise Refused("no_such_channel", f"There is no channel {channel!r}.", 404)
        if member and user.id not in found.members:
            raise Refused("not_a_member", f"{user.name} is not in #{found.name}: join first.", 403)
        return found

    def message(self, user: User, channel: str, ts: str) -> Message:
        """Return a message the person sees."""
        found = self.workspace.find_message(self.place(user, channel), ts, user.id)
        if found is None:
            raise Refused("no_such_message", "This message is not there (any more).", 404)
        return found

    # -- writing -----------------------------------------------------------------------------------------------

    def says(
        self, who: str, channel: str, text: str, thread_ts: str | None = None, *, broadcast: bool = False
    ) -> Message:
        """Post a message as a person."""
        user = self.actor(who)
        place = self.place(user, channel, member=True)
        if not text.strip():
            raise Refused("bad_request", "An empty message cannot be sent.")
        if place.is_archived:
            raise Refused("bad_request", f"#{place.name} is archived.")
        if thread_ts is not None:
            parent = self.message(user, channel, thread_ts)
            if parent.ephemeral_for is not None:
                raise Refused("bad_request", "Nobody can reply to a message only they see.")
            thread_ts = parent.thread_ts or parent.ts
        message = Message(place.id, self.workspace.next_ts(), user.id, as_message(self.workspace, text))
        message.thread_ts, message.broadcast = thread_ts, broadcast and thread_ts is not None
        message.client_msg_id = f"m-{message.ts}"
        return self.workspace.post(message)

    def edits(self, who: str, channel: str, ts: str, text: str) -> Message:
        """Edit one's own message."""
        user = self.actor(who)
        message = self._own(user, channel, ts)
        return self.workspace.edit(message, user.id, text=as_message(self.workspace, text))

    def deletes(self, who: str, channel: str, ts: str) -> None:
        """Delete one's own message."""
        self.workspace.delete(self._own(self.actor(who), channel, ts))

    def _own(self, user: User, channel: str, ts: str) -> Message:
        message = self.message(user, channel, ts)
        if message.user != user.id:
            raise Refused("not_yours", "Only one's own messages can be changed.", 403)
        return message

    def reacts(self, who: str, channel: str, ts: str, name: str, *, remove: bool = False) -> None:
        """Add or take back a reaction."""
        user = self.actor(who)
        self.workspace.react(self.message(user, channel, ts), user.id, name.strip(":"), remove=remove)

    def dismisses(self, who: str, channel: str, ts: str) -> None:
        """Dismiss an ephemeral message."""
        user = self.actor(who)
        message = self.message(user, channel, ts)
        if message.ephemeral_for is None:
            raise Refused("bad_request", "Only a message visible to one person alone can be dismissed.")
        self.workspace.delete(message)

    def uploads(
        self, who: str, channel: str, name: str, content: bytes, text: str = "", thread_ts: str | None = None
    ) -> Message:
        """Share a file in a channel."""
        user = self.actor(who)
        place = self.place(user, channel, member=True)
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        made = int(self.workspace.clock())
        file = File(self.workspace.next_id("F"), name, name, user.id, kind, content, made)
        self.workspace.files[file.id] = file
        return share_files(self.workspace, place, user.id, [file], as_message(self.workspace, text), thread_ts)

    def invites(self, who: str, channel: str, whom: str) -> None:
        """Bring a person, or the bot, into a channel."""
        user = self.actor(who)
        place = self.place(user, channel, member=True)
        self.workspace.join(self.workspace.user(whom).id, place, inviter=user.id)

    # -- commands ----------------------------------------------------------------------------------------------

    async def commands(
        self, who: str, channel: str, line: str, thread_ts: str | None = None
    ) -> tuple[Answer, list[Message]]:
        """Type a slash command; returns the app's answer and the messages its ack made."""
        user = self.actor(who)
        place = self.place(user, channel, member=True)
        word, _, text = line.strip().partition(" ")
        if thread_ts is not None:
            raise Refused("command_in_thread", f"{word} is not supported in threads. Sorry!")
        found = next((command for command in self.workspace.app.commands if command.command == word), None)
        if found is None and word == "/invite":
            self.invites(who, channel, text.strip())
            return Answer(True), []
        if found is None or user.is_external:
            raise Refused("unknown_command", f"{word} is not a valid command.")
        text = text.strip()
        if found.should_escape:
            text = as_escaped_command(self.workspace, text)
        payload = self.payloads.command(user, place, word, text)
        answer = await self.delivery.send("slash_commands", payload, accepts=True, url=found.url or "")
        if not answer.answered:
            code = "operation_timeout" if answer.reason == "timeout" else "dispatch_failed"
            return answer, [self._slackbot(user, place, f'{word} failed with the error "{code}"')]
        if not answer.body:
            return answer, []
        try:
            return answer, [answer_with(self.workspace, place, user.id, answer.body)]
        except ApiError as error:
            bad = Answer(False, reason="bad_answer")
            return bad, [self._slackbot(user, place, f'{word} failed with the error "{error}"')]

    def _slackbot(self, user: User, channel: Channel, text: str) -> Message:
        message = Message(channel.id, self.workspace.next_ts(), "USLACKBOT", text)
        message.ephemeral_for, message.from_slackbot = user.id, True
        return self.workspace.post(message)

    # -- shortcuts and App Home --------------------------------------------------------------------------------

    async def shortcut(self, who: str, callback_id: str, channel: str | None = None, ts: str | None = None) -> Answer:
        """Run a global shortcut, or one on a message; named by callback id or name."""
        user = self.actor(who)
        kind = "global" if ts is None else "message"
        offered = [one for one in self.workspace.app.shortcuts if one.type == kind]
        found = next((one for one in offered if callback_id in {one.callback_id, one.name}), None)
        if found is None or user.is_external:
            names = ", ".join(one.name for one in offered) or "none"
            raise Refused("no_such_element", f"There is no {kind} shortcut {callback_id!r}. There are: {names}.", 404)
        if ts is None:
            payload, where = self.payloads.global_shortcut(user, found.callback_id), {"callback_id": found.callback_id}
        else:
            message = self.message(user, channel or "", ts)
            payload = self.payloads.message_shortcut(user, message, found.callback_id)
            where = {"channel": message.channel, "ts": message.ts}
        return await self.interact(user, payload, where)

    async def interact(self, user: User, payload: Json, where: Json, *, accepts: bool = False) -> Answer:
        """Send an interaction and show the person when nothing answered."""
        app = self.workspace.app
        if not app.interactivity:
            self.workspace.notice(user.id, NOT_CONFIGURED, where)
            return Answer(False, reason="not_connected")
        url = app.options_url or "" if payload["type"] == "block_suggestion" else ""
        answer = await self.delivery.send("interactive", payload, accepts=accepts, url=url)
        if not answer.answered:
            self.workspace.notice(user.id, str(answer.outcome()["text"]), where)
        return answer

    async def opens_home(self, who: str) -> None:
        """Open App Home; returns when the app has acknowledged the event."""
        user = self.actor(who)
        channel = self.workspace.open_im(self.workspace.app.bot_user, user.id)
        view = self.workspace.homes.get(user.id)
        shown: Json = {"view": view_shape(self.workspace, view)} if view else {}
        self.events.home_opened(user.id, channel, {"tab": "home", **shown})
        await self.delivery.settle()
