"""`make demo`: the whole story against the real processes, told as a transcript, each step checked.

A release goes out, is approved by somebody who did not write it, bakes, breaks in wave 1, is rolled back by itself; the
fix goes everywhere, although the bot is killed on the way. Customers never stop asking, and none of them may be lost.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from pathlib import Path

from examples.local_stack import LocalStack, Ports
from examples.shop.traffic import Traffic
from simulator.people import Simulator
from simulator.person import Person
from simulator.seen import Seen

LIMIT_SECONDS = 90
REQUESTS_PER_SECOND = 40


class Failed(Exception):
    """A step did not come out as the story says."""


class Story:
    """Tells what happens, counts the steps, and ends at the first that fails."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self.steps = 0
        self._began = time.monotonic()

    def step(self, sentence: str, came_true: object = True) -> None:
        """One step; raises Failed unless it came true."""
        at = time.monotonic() - self._began
        if not came_true:
            raise Failed(sentence)
        self.steps += 1
        sys.stdout.write(f"{at:5.1f} s  ✓ {sentence}\n")
        sys.stdout.flush()

    def quote(self, who: str, words: str) -> None:
        """What somebody said or was shown."""
        named = re.sub(r"<@U([A-Z]+)>", lambda found: f"@{found[1].lower()}", words)
        for line in named.strip().splitlines():
            sys.stdout.write(f"           {who}: {line}\n")
            who = " " * len(who)

    @property
    def workspace(self) -> Simulator:
        """The local workspace."""
        return self.stack.workspace

    def card(self, version: str) -> Seen | None:
        """The card of a version, if it is there yet."""
        for message in self.workspace.channel("#shop").messages:
            if message.author == "andon" and message.text.startswith(f"shop {version} "):
                return message
        return None

    async def until_card(self, version: str, words: str, *, within: float = 40) -> Seen:
        """Wait until the card of a version says something."""

        def says() -> Seen | None:
            card = self.card(version)
            return card if card is not None and words in card.text else None

        found: Seen = await self.workspace.until(says, within)
        return found

    async def until_said(self, words: str) -> str:
        """Wait until the channel was told something; returns the sentence."""

        def said() -> str | None:
            return next((m.text for m in self.workspace.channel("#shop").messages if words in m.text), None)

        found: str = await self.workspace.until(said, 10)
        return found

    async def until_private(self, person: Person, words: str) -> str:
        """Wait until somebody is told something that only they see; returns the sentence."""

        def told() -> str | None:
            seen = [m for m in person.sees("#shop") if m.ephemeral]
            for message in self.workspace.channel("#shop").messages:
                seen += [m for m in person.sees("#shop", thread=message) if m.ephemeral]
            return next((m.text for m in seen if words in m.text), None)

        found: str = await self.workspace.until(told, 10)
        return found

    async def until_thread(self, version: str, words: str, *, within: float = 40) -> str:
        """Wait until a release's thread says something (a regular expression); returns the sentence."""

        def says() -> str | None:
            card = self.card(version)
            told = self.workspace.thread(card) if card is not None else []
            return next((m.text for m in told[1:] if re.search(words, m.text)), None)

        found: str = await self.workspace.until(says, within)
        return found


async def tell(story: Story) -> Traffic:
    """The story; returns the customers, who have stopped asking."""
    stack, workspace = story.stack, story.workspace
    ann, bob, carol, dave = (workspace.person(name) for name in ("ann", "bob", "carol", "dave"))
    story.step("The workspace, the bot and nothing else are up; the bot is connected.")

    await stack.announce("1.0.0", title="Open the shop", author="dave@example.com")
    card = await _asking(story, "1.0.0")
    story.step("1.0.0 was announced, passed beta and gamma, and waits for an approval.")
    await ann.presses("Approve", on=card, confirm=True)
    await story.until_thread("1.0.0", "one-box: its only target runs 1.0.0")
    traffic = Traffic(stack.shop_url, REQUESTS_PER_SECOND)
    await traffic.start()
    try:
        await story.until_card("1.0.0", "is everywhere")
        story.step("Ann approved it; it went through the one-box and two waves, and is everywhere.")
        await _a_bad_release(story, ann, bob, carol)
        await _the_fix(story, ann, dave)
    finally:
        await traffic.stop()
    return traffic


async def _asking(story: Story, version: str) -> Seen:
    def asks() -> Seen | None:
        card = story.card(version)
        return card if card is not None and "Approve" in card.buttons else None

    found: Seen = await story.workspace.until(asks, 40)
    return found


async def _a_bad_release(story: Story, ann: Person, bob: Person, carol: Person) -> None:
    stack = story.stack
    await stack.announce("1.1.0", title="Show prices with tax", author="bob@example.com")
    card = await _asking(story, "1.1.0")
    story.step("1.1.0, written by Bob, passed beta and gamma and asks for an approval.")
    await bob.presses("Approve", on=card, confirm=True)
    story.quote("Andon to Bob", await story.until_private(bob, "You had a part in a change it carries"))
    story.step("Bob may not approve what he wrote himself.")
    await carol.types("#shop", "/release why shop")
    why = await story.until_private(carol, "waits for an approval")
    story.quote("Andon to Carol", why)
    story.step("Carol asks why it does not move, and is told.", "Ann" in why)
    await ann.presses("Approve", on=card, confirm=True)
    story.quote("Andon", await story.until_thread("1.1.0", "Ann approved"))
    story.quote("Andon", await story.until_thread("1.1.0", "passed one-box"))
    story.step("Ann approved it; it baked in the one-box.")
    await story.until_thread("1.1.0", "wave-1: its only target runs 1.1.0")
    # An alarm over production speaks of everything there that is still watched, 1.0.0 in wave 2 among it.
    await story.workspace.until(lambda: (old := story.card("1.0.0")) and "watched" not in old.plain, 30)
    broke_at = time.monotonic()
    await stack.flip_switch("1.1.0", is_broken=True)
    story.step("It bakes in wave 1, and breaks.")
    story.quote("Andon", await story.until_thread("1.1.0", r"is being rolled back in .*wave-1"))
    story.step(f"The canary turned red and the rollback began by itself, {time.monotonic() - broke_at:.1f} s later.")
    story.quote("Andon", await story.until_thread("1.1.0", r"was rolled back in .*wave-1"))
    await story.until_thread("1.1.0", r"was rolled back in .*one-box")
    story.step("Wave 1 and the one-box run 1.0.0 again.")


async def _the_fix(story: Story, ann: Person, dave: Person) -> None:
    stack = story.stack
    await dave.types("#shop", "/release pause shop let us look at the prices first")
    story.quote("Andon", await story.until_said("shop is paused by Dave"))
    story.step("Dave pulls the cord.")
    await stack.announce("1.1.1", title="Show prices with the right tax", author="bob@example.com", fixes=["1.1.0"])
    status = await stack.andon("status", "shop")
    story.quote("andon status shop", status)
    story.step("The fix is announced as one; the shell tells how things stand.", "1.1.1" in status)
    await dave.types("#shop", "/release resume shop")
    card = await _asking(story, "1.1.1")
    await ann.presses("Approve", on=card, confirm=True)
    await story.until_thread("1.1.1", "enters wave-1")
    await stack.kill_bot()
    story.step("The bot is killed while it deploys the fix to wave 1.")
    await stack.start_bot()
    story.step("It is started again, and finds the deployment where it left it.")
    done = await story.until_card("1.1.1", "is everywhere", within=60)
    story.quote("Andon", done.text)
    told = [m.text for m in story.workspace.thread(done)]
    story.step("The fix is everywhere, and nothing was said twice.", len(told) == len(set(told)))
    whole = await stack.andon("audit", "verify")
    story.quote("andon audit verify", whole)
    story.step("The audit log's chain is whole.", "whole" in whole)


async def run() -> int:
    """Set up, tell, tear down; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="andon-demo-") as directory:
        stack = LocalStack(Path(directory) / "local", Ports.free())
        story = Story(stack)
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await stack.start()
                traffic = await tell(story)
        except (Failed, TimeoutError, AssertionError, RuntimeError) as error:
            sys.stdout.write(f"\n✗ {type(error).__name__}: {error}\n\n{_tail(stack)}\n")
            return 1
        finally:
            await stack.stop()
    counts = traffic.counts
    sys.stdout.write(f"\nBy version: {dict(counts.by_version)}; errors of the broken version: {counts.errors}\n")
    sys.stdout.write(f"{story.steps} steps ok, {counts.asked} requests, {counts.failed} failed\n")
    return 0 if counts.failed == 0 else 1


def _tail(stack: LocalStack) -> str:
    log = stack.directory / "bot.log"
    return log.read_text()[-4000:] if log.exists() else ""


def main() -> int:
    """The command."""
    return asyncio.run(run())


if __name__ == "__main__":
    sys.exit(main())
