"""Slack is down, or grants less than asked for: releases go on, shell and API do the same acts, cards catch up."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.scenarios.kit import ADMIN, Story, story


async def shell(s: Story, *words: str, token: str = ADMIN) -> tuple[int, str]:
    """`andon …` in a process of its own; its exit code, and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot.cli", *words,
        env={"PATH": os.environ["PATH"], "ANDON_URL": f"http://127.0.0.1:{s.app.port}", "ANDON_TOKEN": token},
        cwd=Path(__file__).parents[2], stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def token_of(s: Story, person: str) -> str:
    status, answer = await s.call("POST", "/api/tokens", {"name": person, "actor": person, "scopes": ["act", "read"]})
    assert status == 201, answer
    return str(answer["token"])


async def says(s: Story, token: str, text: str) -> str:
    """A person says something over the HTTP API."""
    as_person = {"Authorization": f"Bearer {token}"}
    status, answer = await s.call("POST", "/api/commands", {"text": text}, headers=as_person)
    assert status == 200, answer
    await s.settle()
    return str(answer["text"])


@pytest.mark.slow
async def test_slack_is_down_for_a_whole_release_and_its_cards_catch_up(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        ann, dave = await token_of(s, "ann"), await token_of(s, "dave")
        await s.everywhere("1.0.0", s.ann)
        s.simulator.faults.paused = True
        await s.announce("1.1.0")
        assert "waits for an approval" in await says(s, dave, "why shop")
        await says(s, ann, "approve shop")
        assert s.running["box-1"] == "1.1.0"
        await says(s, dave, "pause shop prices look wrong")
        await s.advance(minutes=30)
        assert s.running["web-1"] == "1.0.0"
        await says(s, dave, "resume shop")
        assert s.running["web-1"] == "1.1.0"
        await s.alarm()
        assert s.running["web-1"] == "1.0.0", "no chat is needed to roll back"
        assert s.cards("1.1.0") == []
        s.simulator.faults.paused = False
        await s.advance(minutes=10)
        assert "rolled back" in s.card("1.1.0").text
        s.told("1.1.0", "Ann approved")
        s.told("1.1.0", "Dave paused")
        s.told("1.1.0", "was rolled back in wave-1")
        assert set(s.keys_posted().values()) == {1}
        assert await s.counts() == (0, 0)


async def test_the_shell_says_and_does_what_chat_does(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        s.simulator.faults.paused = True
        ann, bob = await token_of(s, "ann"), await token_of(s, "bob")
        change = "c1: Open the shop (bob@example.com)"
        announced = await shell(
            s, "announce", "shop", "1.0.0", "--artifact", "registry.example.com/shop:1", "--digest", "sha256:abc",
            "--change", change,
        )  # fmt: skip
        assert announced[0] == 0, announced
        await s.settle()
        code, said = await shell(s, "approve", "shop", token=bob)
        assert (code, "You had a part" in said) == (1, True), said
        assert (await shell(s, "why", "shop", token=bob))[0] == 0
        code, said = await shell(s, "approve", "shop", token=ann)
        assert code == 0, said
        await s.settle()
        assert s.running["box-1"] == "1.0.0"
        code, said = await shell(s, "status", "shop", token="wrong")
        assert (code, "opens nothing" in said) == (3, True), said
        assert "whole" in (await shell(s, "audit", "verify"))[1]


@pytest.mark.parametrize(
    ("missing", "what"),
    [
        (("channels:history", "groups:history"), "history"),
        (("usergroups:read",), "usergroups:read"),
        (("users:read.email",), "users:read.email"),
    ],
)
async def test_with_less_than_it_asked_for_it_goes_on_and_says_so(
    tmp_path: Path, missing: tuple[str, ...], what: str
) -> None:
    async with story(tmp_path, scopes_missing=missing) as s:
        assert any(what in sentence for sentence in s.app.sentences), s.app.sentences
        await s.everywhere("1.0.0", s.ann)
        assert s.running["web-3"] == "1.0.0"


async def test_without_a_workspace_it_says_so_and_releases_all_the_same(tmp_path: Path) -> None:
    async with story(tmp_path, has_slack=False) as s:
        assert any("No Slack workspace" in sentence for sentence in s.app.sentences)
        await s.announce("1.0.0")
        await says(s, await token_of(s, "ann"), "approve shop")
        await s.advance(hours=1)
        assert s.running["web-3"] == "1.0.0"
        assert await s.counts() == (0, 0)
