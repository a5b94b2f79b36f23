"""Every fault on demand, rate limits, and what a real client makes of them."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncConnectionErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from simulator.errors import Refused
from simulator.people import Simulator


async def posts(client: AsyncWebClient, text: str = "x", channel: str = "#checkout"):
    return await client.chat_postMessage(channel=channel, text=text)


async def test_rate_limited_for_the_next_calls_only(client: AsyncWebClient, workspace: Simulator):
    workspace.faults.set("chat.postMessage", "rate_limited", retry_after=7, times=2)
    for _ in range(2):
        with pytest.raises(SlackApiError) as refused:
            await posts(client)
        assert refused.value.response.status_code == 429
        assert refused.value.response.headers["Retry-After"] == "7"
        assert refused.value.response["error"] == "ratelimited"
        await client.auth_test()
    await posts(client)
    assert len(workspace.channel("#checkout").messages) == 1
    assert workspace.faults.calls["chat.postMessage"] == 3


@pytest.mark.parametrize(("fault", "status"), [("server_error", 500), ("unavailable", 503)])
async def test_server_errors_last_until_cleared(client: AsyncWebClient, workspace: Simulator, fault, status):
    workspace.faults.set("chat.postMessage", fault)
    for _ in range(3):
        with pytest.raises(SlackApiError) as refused:
            await posts(client)
        assert refused.value.response.status_code == status
    workspace.faults.clear()
    await posts(client)
    assert len(workspace.channel("#checkout").messages) == 1


async def test_an_error_of_choice(client: AsyncWebClient, workspace: Simulator):
    workspace.faults.set("*", "error", code="fatal_error", times=1)
    with pytest.raises(SlackApiError, match="fatal_error"):
        await posts(client)


async def test_dropped_before_nothing_happened(client: AsyncWebClient, workspace: Simulator):
    workspace.faults.set("chat.postMessage", "drop_before", times=1)
    with pytest.raises(aiohttp.ClientError):
        await posts(client)
    assert workspace.channel("#checkout").messages == []


async def test_dropped_after_the_post_was_made_and_a_retry_doubles_it(
    workspace: Simulator, session: aiohttp.ClientSession
):
    workspace.faults.set("chat.postMessage", "drop_after", times=1)
    retrying = AsyncWebClient(
        "xoxb-test",
        base_url=workspace.api_url,
        session=session,
        retry_handlers=[AsyncConnectionErrorRetryHandler()],
    )
    await posts(retrying, "twice?")
    assert [message.text for message in workspace.channel("#checkout").messages] == ["twice?", "twice?"]


async def test_slow_answers_run_into_the_clients_time_out(workspace: Simulator):
    workspace.faults.set("chat.postMessage", "slow", seconds=0.2, times=1)
    hasty = aiohttp.ClientTimeout(total=0.05)
    async with aiohttp.ClientSession(timeout=hasty) as session:
        client = AsyncWebClient("xoxb-test", base_url=workspace.api_url, session=session, retry_handlers=[])
        with pytest.raises(asyncio.TimeoutError):
            await posts(client)
    workspace.faults.set("chat.postMessage", "slow", seconds=0.1, times=1)
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient("xoxb-test", base_url=workspace.api_url, session=session, retry_handlers=[])
        started = time.monotonic()
        await posts(client)
    assert time.monotonic() - started >= 0.1


async def test_a_fault_of_one_channel_leaves_the_others(client: AsyncWebClient, workspace: Simulator):
    workspace.faults.set("chat.postMessage", "server_error", channel="#checkout")
    await posts(client, channel="#ops")
    with pytest.raises(SlackApiError):
        await posts(client)


async def test_documented_rates_when_enforced(client: AsyncWebClient, workspace: Simulator, wall):
    workspace.faults.enforce_rate_limits = True
    for _ in range(5):
        await posts(client)
    with pytest.raises(SlackApiError) as refused:
        await posts(client)
    assert refused.value.response.status_code == 429
    await posts(client, channel="#ops")
    wall.advance(int(refused.value.response.headers["Retry-After"]))
    await posts(client)


async def test_chat_update_is_tier_three(client: AsyncWebClient, workspace: Simulator, wall):
    posted = await posts(client)
    workspace.faults.enforce_rate_limits = True
    for number in range(50):
        await client.chat_update(channel=posted["channel"], ts=posted["ts"], text=str(number))
    with pytest.raises(SlackApiError, match="ratelimited"):
        await client.chat_update(channel=posted["channel"], ts=posted["ts"], text="one too many")
    wall.advance(61)
    await client.chat_update(channel=posted["channel"], ts=posted["ts"], text="later")


async def test_slack_down_altogether(client: AsyncWebClient, workspace: Simulator, session: aiohttp.ClientSession):
    async def pause(on: bool) -> None:
        async with session.post(f"{workspace.url}_sim/faults", json={"pause": on}) as response:
            assert response.status == 200

    await pause(True)
    with pytest.raises(SlackApiError) as refused:
        await client.auth_test()
    assert refused.value.response.status_code == 503
    with pytest.raises(Refused, match="Slack is down"):
        await workspace.person("ann").says("#checkout", "anybody?")
    await pause(False)
    await client.auth_test()


async def test_faults_over_http(client: AsyncWebClient, workspace: Simulator, session: aiohttp.ClientSession):
    address = f"{workspace.url}_sim/faults"
    fault = {"method": "auth.test", "fault": "rate_limited", "retry_after": 2, "times": 1}
    async with session.post(address, json=fault) as response:
        identity = (await response.json())["fault"]["id"]
    async with session.get(address) as response:
        assert [one["id"] for one in (await response.json())["faults"]] == [identity]
    async with session.delete(address, params={"id": identity}) as response:
        assert response.status == 200
    await client.auth_test()
    async with session.get(address) as response:
        body = await response.json()
    assert (body["faults"], body["calls"]) == ([], {"auth.test": 1})
    async with session.post(address, json={"method": "x", "fault": "gremlins"}) as response:
        assert response.status == 400
        assert "There are: " in (await response.json())["message"]


@pytest.mark.parametrize("how", [{"times": 0}, {"weather": "bad"}])
async def test_faults_that_make_no_sense_are_refused(workspace: Simulator, how):
    with pytest.raises(Refused):
        workspace.faults.set("auth.test", "server_error", **how)
