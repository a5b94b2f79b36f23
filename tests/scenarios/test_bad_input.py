"""Bad input: a clear answer that says what would help, nothing lost, nothing half done."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from slack_sdk.signature import SignatureVerifier

from bot.definitions import load_directory
from core.errors import AndonError
from integrations.scripted import Act, Cue, Fault
from tests.scenarios.kit import ADMIN, AS_OPERATOR, Story, story
from tests.scenarios.props import digest, shop


def heard(s: Story) -> list[str]:
    """All text in the channel in which Slack would look for mentions and links."""

    def within(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            if part.get("type") == "mrkdwn":
                yield part["text"]
            for value in part.values():
                yield from within(value)
        elif isinstance(part, list):
            for value in part:
                yield from within(value)

    found: list[str] = []
    for message in s.simulator.channel("#shop").channel.messages.values():
        found += [message.text, *within(message.blocks)]
    return found


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("/release why shp", "shop"),
        ("/release approve shop 1.0.O", "1.0.0"),
        ("/release pause shop in wave-2 look", "wave-1"),
        ("/release aprove shop", "approve"),
        ("/release rollback", "SERVICE"),
        ("/release", "help"),
    ],
)
async def test_what_is_not_known_gets_the_nearest_that_is(tmp_path: Path, typed: str, offered: str) -> None:
    async with story(tmp_path) as s:
        await s.announce("1.0.0")
        before = s.state
        said = await s.dave.types("#shop", typed)
        assert offered in said.text
        assert said.message.ephemeral
        assert s.state == before


async def test_webhooks_that_are_wrong_are_told_apart(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        status, answer = await s.call("POST", "/api/alarms/webhook", raw=b"{ not json")
        assert (status, answer["understood"]) == (202, False), "kept, because it is authentic"
        status, answer = await s.call("POST", "/api/alarms/webhook", {"alarm": "errors", "state": "burning"})
        assert status == 202
        assert "state" in answer["note"]
        status, kept = await s.call("GET", "/api/alarms/kept")
        assert (status, len(kept)) == (200, 2)
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": ADMIN}):
            status, answer = await s.call("POST", "/api/alarms/webhook", {"alarm": "errors"}, headers=headers)
            assert (status, "opens nothing" in answer["detail"]) == (401, True)
        status, answer = await s.call("POST", "/api/alarms/smoke-signals", {})
        assert (status, "alertmanager, webhook" in answer["detail"]) == (422, True)
        status, answer = await s.call("POST", "/api/releases", {"service": "shop"})
        assert (status, "version" in answer["detail"]) == (422, True)
        status, answer = await s.call(
            "POST", "/api/releases", {"service": "shpo", "version": "1", "artifact": "a", "digest": "sha256:a"}
        )
        assert (status, "shop" in answer["detail"]) == (404, True)
        assert s.state.releases == ()
        assert ADMIN not in json.dumps([kept, answer])


async def test_a_token_may_do_what_it_says_and_nothing_else(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        status, token = await s.call("POST", "/api/tokens", {"name": "ci", "actor": "ci", "scopes": ["announce:other"]})
        assert status == 201
        as_ci = {"Authorization": f"Bearer {token['token']}"}
        body = {"service": "shop", "version": "1", "artifact": "a", "digest": "sha256:a"}
        status, answer = await s.call("POST", "/api/releases", body, headers=as_ci)
        assert (status, "announce:other" in answer["detail"]) == (403, True)
        await s.call("DELETE", f"/api/tokens/{token['id']}")
        assert (await s.call("POST", "/api/releases", body, headers=as_ci))[0] == 401


def signed(s: Story, raw: bytes, at: float, secret: str = "") -> Mapping[str, str]:
    verifier = SignatureVerifier(secret or s.simulator.workspace.app.signing_secret)
    timestamp = str(int(at))
    signature = verifier.generate_signature(timestamp=timestamp, body=raw)
    assert signature is not None
    return {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Slack-Request-Timestamp": timestamp,
        "X-Slack-Signature": signature,
    }


async def test_requests_that_are_unsigned_old_or_replayed(tmp_path: Path) -> None:
    async with story(tmp_path, by_http=True) as s:
        await s.announce("1.0.0")
        raw = urlencode(
            {
                "command": "/release", "text": "pause shop look first", "user_id": "UANN", "team_id": "T0001",
                "channel_id": "CSHOP", "trigger_id": "1.2.3", "response_url": "", "token": "x", "api_app_id": "A0001",
            }
        ).encode()  # fmt: skip
        now = time.time()
        path = "/slack/events"
        assert (await s.call("POST", path, raw=raw, headers={}))[0] == 401
        assert (await s.call("POST", path, raw=raw, headers=signed(s, raw, now, "another secret")))[0] == 401
        assert (await s.call("POST", path, raw=raw, headers=signed(s, raw, now - 600)))[0] == 401
        tampered = raw.replace(b"UANN", b"UBOB")
        assert (await s.call("POST", path, raw=tampered, headers=signed(s, raw, now)))[0] == 401
        assert s.state.pauses == ()
        good = signed(s, raw, now)
        for _ in range(3):
            status, _answer = await s.call("POST", path, raw=raw, headers=good)
            assert status == 200
        assert len(s.state.pauses) == 1, "a replay is a repeat"


async def test_a_definition_with_a_cycle_is_shown_with_its_line(tmp_path: Path) -> None:
    file = shop()
    file["stages"][0]["after"] = ["wave-1"]
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "shop.yaml").write_text(json.dumps(file, indent=1))
    found = load_directory(tmp_path)
    assert not found.is_good
    assert found.pipelines == {}
    said = "\n".join(map(str, found.findings))
    assert "beta" in said
    assert "wave-1" in said
    assert "circle" in said or "cycle" in said


async def test_a_commit_message_of_forty_kilobytes_wakes_nobody(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        shout = "<!channel> <@UBOB> *urgent* `$(reboot)` <http://evil.example.com|look> \N{RIGHT-TO-LEFT OVERRIDE}"
        await s.announce("1.0.0", title=(shout * 600)[:40_000])
        await s.ann.presses("Approve", on=s.card("1.0.0"), confirm=True)
        await s.settle()
        assert any("urgent" in text for text in heard(s)), "it is shown, in part"
        for text in heard(s):
            assert "<!channel>" not in text
            assert "<http://evil" not in text
            assert len(text) < 3_000
        assert s.running["box-1"] == "1.0.0"


async def test_a_version_that_is_a_shell_command_is_only_a_name(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        version = "$(touch pwned); `reboot` && <!here> | 1"
        body = {
            "service": "shop", "version": version, "artifact": "a", "digest": digest(version),
            "changes": [{"id": "c", "authors": ["bob@example.com"]}],
        }  # fmt: skip
        status, answer = await s.call("POST", "/api/releases", body)
        assert status == 201, answer
        await s.settle()
        assert s.running == {"beta-1": version}
        assert not (tmp_path / "pwned").exists()
        assert not any("<!here>" in text for text in heard(s))
        await s.ann.types("#shop", "/release approve shop", wait=False)
        await s.settle()
        assert s.running["box-1"] == version


async def test_the_same_version_with_another_content_is_refused(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        await s.announce("1.0.0")
        status, answer = await s.call(
            "POST", "/api/releases", {"service": "shop", "version": "1.0.0", "artifact": "b", "digest": "sha256:other"}
        )
        assert status == 409
        assert "1.0.0" in answer["detail"]
        await s.announce("1.0.0")
        assert len(s.state.releases) == 1


async def test_a_click_on_yesterdays_message_does_nothing_and_shows_today(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        await s.announce("1.0.0")
        asked = next(m for m in s.simulator.thread(s.card("1.0.0")) if m.message.is_reply and "Approve" in m.buttons)
        await s.advance(days=1)
        # Where the workspace lets nobody edit what is a day old, its buttons stay.
        s.simulator.faults.set("chat.update", "error", code="edit_window_closed")
        await s.announce("1.0.1")
        await s.ann.presses("Approve", on=asked, confirm=True)
        await s.settle()
        assert "box-1" not in s.running
        said = s.privately(s.ann)[-1]
        assert "Now: shop 1.0.0" in said, said


async def test_an_artifact_that_is_gone_stops_it_before_anything_is_touched(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        s.script.when(Cue(target="box-1"), Act(faults=frozenset({Fault.ARTIFACT_MISSING})))
        await s.to_production("1.0.0", s.ann)
        await s.advance(minutes=10)
        assert "box-1" not in s.running
        assert "artifact" in s.card("1.0.0").text
        s.script.when(Cue(target="box-1"), Act())
        await s.ann.types("#shop", "/release retry shop in one-box", wait=False)
        await s.settle()
        assert s.running["box-1"] == "1.0.0"


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    async with story(one, has_slack=False) as first, story(two, has_slack=False, start=False) as second:
        second.settings = replace(second.settings, port=first.app.port)
        with pytest.raises(AndonError, match=rf"Port {first.app.port} .* Set PORT to a free one"):
            await second.start_bot()


async def test_a_second_bot_on_one_database_is_turned_away(tmp_path: Path) -> None:
    async with story(tmp_path, has_slack=False), story(tmp_path, has_slack=False, start=False) as second:
        with pytest.raises(AndonError, match=r"Another Andon .* already works on"):
            await second.start_bot()


async def test_a_full_disk_is_said_to_be_one_and_loses_nothing(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        await s.announce("1.0.0")

        async def limit(pages: int) -> None:
            await s.app.engine.run(lambda t: t.connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}").scalar())

        await limit(1)  # it keeps what it has, and gets no more
        before = s.state
        for number in range(60):
            said = await s.dave.types("#shop", f"/release pause shop in wave-1 {number} {'x' * 250}")
            if "Nothing was recorded" in said.text:
                break
        else:
            raise AssertionError("the disk never got full")
        recorded = s.state
        assert len(recorded.pauses) == len(before.pauses) + number
        status, answer = await s.call(
            "POST", "/api/releases",
            {"service": "shop", "version": "2", "artifact": "a" * 4_000, "digest": "sha256:b"},
        )  # fmt: skip
        assert (status, "Nothing was recorded" in answer["detail"]) == (503, True)
        assert s.state == recorded
        await limit(1_000_000)
        said = await s.dave.types("#shop", "/release pause shop in wave-1 now it fits")
        assert "paused" in said.text
        assert len(s.state.pauses) == len(recorded.pauses) + 1
        await s.settle()
        status, chains = await s.call("GET", "/api/audit", headers=AS_OPERATOR)
        assert (status, chains) == (200, {"shop": None, "(organisation)": None})
        await s.restart()
        assert len(s.state.pauses) == len(recorded.pauses) + 1
