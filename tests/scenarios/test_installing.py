"""The app is installed in a browser: asked, allowed, declined, renewed, removed, and back again."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import CookieJar
from yarl import URL

from bot.app import App, build
from bot.settings import Secret, Settings, SettingsError
from tests.scenarios.kit import Story, story

# What slack_sdk signs oauth.v2.access with.
pytestmark = pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")

KEY, OTHER_KEY = "k" * 32, "o" * 32
CLIENT = "1000.2000"
SECRET = "client-secret"


@dataclass
class Browser:
    """Follows links and keeps cookies, as a person's does on their own machine."""

    session: aiohttp.ClientSession
    home: str

    async def opens(self, address: str = "") -> tuple[int, str]:
        """Open a page, by default the one that begins an installation; returns status and words."""
        async with self.session.get(address or f"{self.home}/slack/install") as response:
            return response.status, await response.text()

    async def presses(self, words: str, page: str) -> tuple[int, str]:
        """Follow a link of Slack's or Andon's page, and wherever that leads."""
        return await self.opens(link(words, page))

    async def installs(self) -> tuple[int, str]:
        """The whole way, to Andon's last page."""
        _, page = await self.opens()
        address = link("Go on to Slack", page)
        _, asked = await self.opens(address)
        return await self.opens(address.partition("?")[0] + link("Allow", asked))


def link(words: str, page: str) -> str:
    return next(unescape(a) for a, w in re.findall(r'<a href="([^"]*)">([^<]*)</a>', page) if w == words)


@contextlib.asynccontextmanager
async def browser(s: Story) -> AsyncIterator[Browser]:
    """Somebody's browser; Slack leads it back to where the bot listens now."""
    home = f"http://127.0.0.1:{s.app.port}"
    s.simulator.workspace.app.redirect_urls = [f"{home}/slack/oauth_redirect"]
    jar = CookieJar(unsafe=True, treat_as_secure_origin=URL(home))
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        yield Browser(session, home)


@contextlib.asynccontextmanager
async def to_be_installed(path: Path, **more: Any) -> AsyncIterator[Story]:
    """A workspace that does not know the app yet, and a bot with no token."""
    async with story(path, start=False) as s:
        s.simulator.server.installing.end("invalid_auth")
        s.settings = replace(
            s.settings,
            slack_bot_token=Secret(""),
            slack_client_id=CLIENT,
            slack_client_secret=Secret(SECRET),
            secret_key=Secret(KEY),
            **more,
        )
        s.bot = await started(s)
        yield s


async def started(s: Story) -> App:
    """Start the bot without waiting for a connection."""
    bot = build(s.settings, s.files, s.parts)
    await bot.start()
    return bot


def reported(s: Story) -> str:
    return "\n".join(s.app.sentences)


async def test_it_works_without_slack_until_somebody_installs_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with to_be_installed(tmp_path) as s:
        port = s.app.port
        assert f"Andon waits to be installed in Slack at http://127.0.0.1:{port}/slack/install" in reported(s)
        await s.announce("1.0.0")
        _, said = await s.call("POST", "/api/commands", {"text": "status shop"})
        assert "1.0.0" in said["text"]
        async with browser(s) as ann:
            status, page = await ann.installs()
        assert (status, "Andon is installed in Example Shop" in page) == (200, True)
        await s.simulator.until_connected()
        await s.advance(minutes=2, until=lambda: s.cards("1.0.0"))
        assert "1.0.0" in (await s.ann.types("#shop", "/release status")).text

        await s.stop_bot()
        await s.start_bot()
        assert "Connected to the Slack workspace Example Shop." in reported(s)
        assert "waits to be installed" not in reported(s)
        kept = b"".join(each.read_bytes() for each in (tmp_path / "andon.db", tmp_path / "andon.db-wal"))
        assert b"xoxb-test" not in kept
        assert b"Example Shop" in kept
    assert not {word for word in ("xoxb-test-1", SECRET, KEY) if word in caplog.text}


async def test_declined_stale_or_foreign_answers_install_nothing(tmp_path: Path) -> None:
    async with to_be_installed(tmp_path) as s, browser(s) as ann, browser(s) as mallory:
        _, page = await ann.opens()
        at_slack = link("Go on to Slack", page)
        _, asked = await ann.opens(at_slack)
        allow, cancel = (at_slack.partition("?")[0] + link(words, asked) for words in ("Allow", "Cancel"))

        assert "declined in Slack" in (await ann.opens(cancel))[1]
        status, said = await mallory.opens(allow)
        assert (status, "begun in another browser" in said) == (400, True)

        _, page = await ann.opens()
        late = link("Go on to Slack", page) + "&answer=allow"
        s.clock.advance(timedelta(minutes=11))
        status, said = await ann.opens(late)
        assert (status, "more than ten minutes ago" in said) == (401, True)

        s.simulator.workspace.app.client_secret = "another"
        status, said = await ann.installs()
        assert (status, "must mend SLACK_CLIENT_SECRET" in said) == (400, True)
        assert s.app.slack is None


async def test_a_public_address_is_where_slack_leads_back_to(tmp_path: Path) -> None:
    async with to_be_installed(tmp_path) as s:
        port = s.app.port
        await s.stop_bot()
        s.settings = replace(s.settings, port=port, public_url=f"http://localhost:{port}")
        s.bot = await started(s)
        assert f"at http://localhost:{port}/slack/install" in reported(s)
        async with browser(s) as ann:
            s.simulator.workspace.app.redirect_urls = [f"http://localhost:{port}/"]
            ann.home = f"http://localhost:{port}"
            jar = CookieJar(treat_as_secure_origin=URL(ann.home))
            async with aiohttp.ClientSession(cookie_jar=jar) as ann.session:
                assert (await ann.installs())[0] == 200


async def test_the_answer_of_slack_is_taken_once(tmp_path: Path) -> None:
    async with to_be_installed(tmp_path) as s, browser(s) as ann:
        _, page = await ann.opens()
        async with ann.session.get(link("Go on to Slack", page) + "&answer=allow", allow_redirects=False) as response:
            back = response.headers["Location"]
        # The cookie is taken away at the end; somebody who kept it comes no further.
        cookie = {"Cookie": f"slack-app-oauth-state={URL(back).query['state']}"}
        async with ann.session.get(back) as response:
            assert response.status == 200
            assert response.headers["Cache-Control"] == "no-store"
        async with aiohttp.ClientSession() as other, other.get(back, headers=cookie) as response:
            assert (response.status, "finished already" in await response.text()) == (401, True)


async def test_a_second_workspace_is_refused_and_gets_its_token_back(tmp_path: Path) -> None:
    async with to_be_installed(tmp_path) as s, browser(s) as ann:
        await ann.installs()
        team = s.simulator.workspace
        team.team_id, team.name = "T0002", "Another Shop"
        status, said = await ann.installs()
        assert status == 409
        assert "installed in the workspace Example Shop already" in said
        assert "Run another one for Another Shop" in said
        assert s.simulator.faults.calls["auth.revoke"] == 1


async def test_an_app_that_was_removed_says_so_and_can_come_back(tmp_path: Path) -> None:
    async with to_be_installed(tmp_path) as s:
        async with browser(s) as ann:
            await ann.installs()
        await s.simulator.until_connected()
        s.simulator.uninstall()
        await s.settle()
        assert s.app.link is not None
        await s.app.link.settle()
        assert s.app.slack is None
        await s.announce("1.0.0")

        await s.stop_bot()
        s.bot = await started(s)
        assert "The app was removed from the Slack workspace Example Shop. Andon waits to be installed" in reported(s)
        async with browser(s) as bob:
            assert (await bob.installs())[0] == 200
        await s.advance(minutes=2, until=lambda: s.cards("1.0.0"))


async def test_a_removal_of_long_ago_ends_nothing(tmp_path: Path) -> None:
    async with to_be_installed(tmp_path) as s:
        async with browser(s) as ann:
            await ann.installs()
        await s.simulator.until_connected()
        s.simulator.server.events.uninstalled()
        await s.settle()
        await s.announce("1.0.0")
        assert s.cards("1.0.0")


async def test_tokens_are_renewed_before_they_expire_and_after_a_long_sleep(tmp_path: Path) -> None:
    async with to_be_installed(tmp_path) as s:
        s.simulator.workspace.app.token_rotation = True
        async with browser(s) as ann:
            await ann.installs()
        await s.simulator.until_connected()
        link_ = s.app.link
        assert link_ is not None
        await link_.renew()
        assert s.simulator.faults.calls["oauth.v2.access"] == 1
        for _ in range(3):
            await s.advance(hours=11)
            await link_.renew()
        assert s.simulator.faults.calls["oauth.v2.access"] == 4
        await s.announce("1.0.0")
        assert s.cards("1.0.0")

        await s.stop_bot()
        s.clock.advance(timedelta(hours=20))
        await s.start_bot()
        await s.announce("1.1.0")
        assert s.cards("1.1.0")


async def test_another_key_reads_nothing_and_both_read_all(tmp_path: Path) -> None:
    async with to_be_installed(tmp_path) as s:
        async with browser(s) as ann:
            await ann.installs()
        await s.stop_bot()
        s.settings = replace(s.settings, secret_key=Secret(OTHER_KEY))
        s.bot = await started(s)
        assert "cannot be read with ANDON_SECRET_KEY" in reported(s)
        assert s.app.slack is None
        await s.stop_bot()
        s.settings = replace(s.settings, secret_key=Secret(f"{OTHER_KEY}, {KEY}"))
        await s.start_bot()
        assert s.app.slack is not None


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"SLACK_CLIENT_ID": CLIENT}, "go together"),
        ({"SLACK_CLIENT_SECRET": SECRET}, "go together"),
        ({"SLACK_CLIENT_ID": CLIENT, "SLACK_CLIENT_SECRET": SECRET}, "without ANDON_SECRET_KEY"),
        ({"SLACK_CLIENT_ID": CLIENT, "SLACK_CLIENT_SECRET": SECRET, "ANDON_SECRET_KEY": "short"}, "too short"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_start(given: dict[str, str], wanted: str) -> None:
    with pytest.raises(SettingsError, match=wanted) as refusal:
        Settings.from_environment(given)
    assert SECRET not in str(refusal.value)


def test_a_bot_token_goes_before_an_installation() -> None:
    given = {"SLACK_CLIENT_ID": CLIENT, "SLACK_CLIENT_SECRET": SECRET, "ANDON_SECRET_KEY": KEY}
    assert Settings.from_environment(given).has_oauth
    assert not Settings.from_environment({**given, "SLACK_BOT_TOKEN": "xoxb-test"}).has_oauth
