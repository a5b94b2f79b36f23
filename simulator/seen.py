"""A message as people see it, and the errors of stories in which something expected did not come."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.delivery import Answer
from simulator.pressing import clickable, label
from simulator.records import Json, Message
from simulator.rendering import plain_message
from simulator.workspace import Workspace


class NotSeen(AssertionError):
    """What a story expected did not come; the message says what there was instead."""


class AppSilent(AssertionError):
    """The app did not acknowledge what a person did."""

    def __init__(self, deed: str, answer: Answer) -> None:
        super().__init__(f"{deed}: the app did not respond ({answer.reason})")
        self.answer = answer


@dataclass(frozen=True, eq=False)
class Seen:
    """A message as people see it; always as it is now, after edits too."""

    workspace: Workspace
    message: Message

    @property
    def text(self) -> str:
        """The raw mrkdwn text, as screen readers get it."""
        return self.message.text

    @property
    def plain(self) -> str:
        """Everything readable on it."""
        return plain_message(self.workspace, self.message)

    @property
    def blocks(self) -> list[Json]:
        """Its blocks."""
        return self.message.blocks

    @property
    def ts(self) -> str:
        """Its timestamp."""
        return self.message.ts

    @property
    def channel(self) -> str:
        """The id of its channel."""
        return self.message.channel

    @property
    def ephemeral(self) -> bool:
        """Whether only one person sees it."""
        return self.message.ephemeral_for is not None

    @property
    def author(self) -> str:
        """The name of who wrote it."""
        user = self.workspace.users.get(self.message.user)
        return user.name if user else "slackbot"

    @property
    def buttons(self) -> list[str]:
        """The words on everything that can be pressed or chosen."""
        return [label(item) for _, item in clickable(self.message, self.message.ephemeral_for or "")]

    @property
    def replies(self) -> list[Seen]:
        """Its replies, without ephemerals."""
        channel = self.workspace.channels[self.channel]
        return [Seen(self.workspace, channel.messages[ts]) for ts in self.message.replies]

    def __str__(self) -> str:
        return self.plain

    def __contains__(self, words: str) -> bool:
        return words in self.plain

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Seen) and other.message is self.message

    def __hash__(self) -> int:
        return hash((self.channel, self.ts))
