"""The simulator as a process, and its configuration file."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from simulator.config import ConfigError, read_config, setup_from
from simulator.people import NotSeen, Simulator

ROOT = Path(__file__).parents[2]
MANIFEST = {
    "features": {
        "bot_user": {"display_name": "andon"},
        "slash_commands": [{"command": "/release", "description": "Release", "should_escape": True}],
        "shortcuts": [{"name": "Act", "type": "global", "callback_id": "act", "description": "Act"}],
    },
    "oauth_config": {"scopes": {"bot": ["chat:write", "commands"]}},
    "settings": {
        "event_subscriptions": {"bot_events": ["app_mention"]},
        "interactivity": {"is_enabled": True},
        "socket_mode_enabled": True,
    },
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_starts_serves_and_stops_on_a_signal(tmp_path: Path, number: signal.Signals):
    config = tmp_path / "workspace.json"
    config.write_text(json.dumps({"team": "Corner Shop", "users": [{"name": "zoe"}]}))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulator", "--port", "0", "--config", str(config)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
        address = line.split()[-1]
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{address}_sim/workspace", params={"as": "zoe"}) as response,
        ):
            assert (await response.json())["team"]["name"] == "Corner Shop"
        process.send_signal(number)
        _, errors = await asyncio.wait_for(process.communicate(), 20)
        assert (process.returncode, errors) == (0, b"")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_wrong_configuration_is_refused_in_words(tmp_path: Path):
    config = tmp_path / "workspace.json"
    config.write_text('{"user": []}')
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulator", "--port", "0", "--config", str(config)),
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert errors.decode() == (
        "simulator: the workspace does not take user; it takes app, channels, groups, links, manifest, team, users\n"
    )


WRONG = [
    ({"users": [{"nick": "x"}]}, "a user does not take nick"),
    ({"users": [{"id": "U1"}]}, "a user needs `name`"),
    ({"users": ["ann"]}, "a user must be a JSON object"),
    ({"channels": [{"name": "x", "kind": "im"}]}, "`kind` must be channel or private"),
    ({"app": {"events": ["earthquake"]}}, "events not simulated: earthquake"),
    ({"app": {"commands": ["release"]}}, "must start with /"),
    ({"app": {"shortcuts": [{"callback_id": "x", "type": "odd"}]}}, "must be global or message"),
]


@pytest.mark.parametrize(("config", "words"), WRONG)
def test_what_is_wrong_is_named(config, words):
    with pytest.raises(ConfigError, match=words):
        setup_from(config, lambda: 0.0)


def test_the_apps_manifest_may_stand_beside(tmp_path: Path):
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    (tmp_path / "workspace.json").write_text('{"manifest": "manifest.json", "app": {"bot_token": "xoxb-own"}}')
    app = setup_from(read_config(tmp_path / "workspace.json"), lambda: 0.0).app
    assert app.name == "andon"
    assert app.commands[0].should_escape
    assert app.scopes == {"chat:write", "commands"}
    assert app.events == {"app_mention"}
    assert app.bot_token == "xoxb-own"
    assert "xoxb-own" not in repr(app)
    with pytest.raises(ConfigError, match="No such file"):
        read_config(tmp_path / "absent.json")


async def test_stopping_leaves_nothing_behind():
    before = asyncio.all_tasks()
    async with Simulator.running() as simulator:
        address = simulator.url
    assert asyncio.all_tasks() == before
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(address)


async def test_stopping_gives_up_retries_at_once_and_twice_does_no_harm():
    simulator = await Simulator.start(retry_delays=(0, 60, 300))
    await simulator.person("ann").says("#general", "nobody hears this")
    async with asyncio.timeout(5):
        await simulator.stop()
        await simulator.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_waiting_for_what_never_comes_tells_what_there_was():
    async with Simulator.running() as simulator:
        ann = simulator.person("ann")
        await ann.says("#general", "hello")
        with pytest.raises(NotSeen, match="ann: hello"):
            await simulator.until(lambda: len(ann.sees("#general")) > 1, within=0.05)
        waiting = asyncio.create_task(simulator.until(lambda: len(ann.sees("#general")) > 1))
        await simulator.person("bob").says("#general", "hi")
        assert await waiting
