"""The manifest keeps Slack's limits, asks for little, and is what the workspace on loopback accepts."""

from __future__ import annotations

import pytest
import yaml

from bot.manifest import SCOPES, as_yaml, manifest
from core.errors import UsageError
from simulator.config import setup_from

FORBIDDEN = {"chat:write.public", "chat:write.customize", "channels:join", "admin", "files:read", "assistant:write"}


def test_the_manifest_keeps_slacks_limits():
    plan = manifest()
    about = plan["display_information"]
    assert len(about["name"]) <= 35
    assert len(about["description"]) <= 140
    assert 175 <= len(about["long_description"]) <= 4_000
    assert len(plan["features"]["bot_user"]["display_name"]) <= 80
    for shortcut in plan["features"]["shortcuts"]:
        assert len(shortcut["name"]) <= 24
        assert len(shortcut["description"]) <= 150
        assert len(shortcut["callback_id"]) <= 255
    assert len(plan["features"]["shortcuts"]) <= 10
    for command in plan["features"]["slash_commands"]:
        assert command["command"].startswith("/")
        assert len(command["command"]) <= 32
        assert len(command["description"]) <= 2_000
        assert len(command["usage_hint"]) <= 1_000
        assert command["should_escape"] is True
    assert len(plan["settings"]["event_subscriptions"]["bot_events"]) <= 100
    assert plan["settings"]["token_rotation_enabled"] is False


def test_it_asks_for_little_and_says_why():
    scopes = manifest()["oauth_config"]["scopes"]
    assert set(scopes["bot_optional"]) < set(scopes["bot"])
    assert not set(scopes["bot"]) & FORBIDDEN
    assert "user" not in scopes
    assert all(scope.why for scope in SCOPES)


def test_the_four_commands_are_registered():
    commands = [command["command"] for command in manifest()["features"]["slash_commands"]]
    assert commands == ["/release", "/ops", "/feedback", "/prfaq"]


def test_installing_by_oauth_needs_one():
    plan = manifest(install_url="https://andon.example.com/")
    assert plan["oauth_config"]["redirect_urls"] == ["https://andon.example.com/slack/oauth_redirect"]
    assert plan["settings"]["socket_mode_enabled"] is True
    with pytest.raises(UsageError):
        manifest(install_url="http://andon.example.com")


def test_socket_mode_needs_no_address():
    plan = manifest()
    assert plan["settings"]["socket_mode_enabled"] is True
    assert "http" not in as_yaml(plan)


@pytest.mark.parametrize("given", ["https://andon.example.com", "https://andon.example.com/slack/events"])
def test_http_puts_one_address_everywhere(given):
    plan = manifest(public_url=given)
    address = "https://andon.example.com/slack/events"
    settings = plan["settings"]
    assert settings["socket_mode_enabled"] is False
    assert settings["event_subscriptions"]["request_url"] == address
    assert settings["interactivity"]["request_url"] == address
    assert settings["interactivity"]["message_menu_options_url"] == address
    assert {command["url"] for command in plan["features"]["slash_commands"]} == {address}


@pytest.mark.parametrize("given", ["http://andon.example.com", "andon.example.com", "https://", "https://x/?a=1"])
def test_an_address_slack_would_not_take_is_refused(given):
    with pytest.raises(UsageError, match="cannot be Slack's way in"):
        manifest(public_url=given)


def test_what_is_printed_is_what_is_meant():
    assert yaml.safe_load(as_yaml(manifest())) == manifest()


def test_the_workspace_on_loopback_takes_it_and_it_asks_no_more_than_its_calls_need():
    workspace = setup_from({"manifest": manifest()}, lambda: 0.0)
    assert [command.command for command in workspace.app.commands] == ["/release", "/ops", "/feedback", "/prfaq"]
    assert workspace.app.scopes == {scope.name for scope in SCOPES}
