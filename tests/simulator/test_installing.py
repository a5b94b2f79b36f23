"""Installing the app by OAuth, its rotated tokens and its removal, through slack_sdk's own client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from simulator.people import Simulator
from tests.simulator.conftest import CONFIG, Ticking
from tests.simulator.test_web_api import refused

# What slack_sdk signs oauth.v2.access with.
pytestmark = pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")

BACK = "https://app.test/back"
QUERY = {"client_id": "1000.2000", "scope": "chat:write", "state": "s1", "redirect_uri": BACK}
EXCHANGE = {"client_id": "1000.2000", "client_secret": "client-secret", "redirect_uri": BACK}


@pytest.fixture
def time() -> Ticking:
    return Ticking()


@pytest.fixture
async def fresh(time: Ticking) -> AsyncIterator[Simulator]:
    """A workspace in which the app is not installed yet, with rotated tokens."""
    app = {**CONFIG["app"], "installed": False, "token_rotation": True}
    async with Simulator.running(config={**CONFIG, "app": app}, clock=time) as simulator:
        yield simulator


async def answered(session: aiohttp.ClientSession, simulator: Simulator, answer: str, **query: str) -> dict[str, str]:
    """Press Allow or Cancel; what the app's redirect address is given."""
    page = f"{simulator.url}oauth/v2/authorize"
    async with session.get(page, params={**QUERY, **query, "answer": answer}, allow_redirects=False) as response:
        location = response.headers["Location"]
    assert location.startswith(f"{BACK}?")
    return {name: value[0] for name, value in parse_qs(urlsplit(location).query).items()}


async def test_the_page_asks_and_leads_back(workspace: Simulator, session: aiohttp.ClientSession) -> None:
    async with session.get(f"{workspace.url}oauth/v2/authorize", params=QUERY) as response:
        page = await response.text()
    assert all(words in page for words in ("Allow", "Cancel", "chat:write"))
    assert await answered(session, workspace, "cancel") == {"error": "access_denied", "state": "s1"}
    for wrong in ({"scope": "everything"}, {"scope": ""}, {"client_id": "1.2"}, {"redirect_uri": "javascript:x"}):
        async with session.get(f"{workspace.url}oauth/v2/authorize", params={**QUERY, **wrong}) as response:
            assert response.status == 400


async def test_a_code_is_exchanged_once_where_it_was_asked_for(
    client: AsyncWebClient, workspace: Simulator, session: aiohttp.ClientSession
) -> None:
    code = (await answered(session, workspace, "allow"))["code"]
    said = await client.oauth_v2_access(**EXCHANGE, code=code)
    assert (said["access_token"], said["team"]["id"], said["bot_user_id"]) == ("xoxb-test", "T0001", "U0B01")
    for expected, given in {
        "invalid_code": {"code": code},
        "bad_client_secret": {"client_secret": "wrong"},
        "invalid_client_id": {"client_id": "1.2"},
        "invalid_grant_type": {"grant_type": "password"},
        "token_rotation_not_enabled": {"grant_type": "refresh_token", "refresh_token": "xoxe-test-1"},
    }.items():
        async with refused(expected):
            await client.oauth_v2_access(**{**EXCHANGE, **given})
    code = (await answered(session, workspace, "allow"))["code"]
    async with refused("bad_redirect_uri"):
        await client.oauth_v2_access(**{**EXCHANGE, "redirect_uri": f"{BACK}/2"}, code=code)


async def test_rotated_tokens_end_and_refresh_once(
    fresh: Simulator, session: aiohttp.ClientSession, time: Ticking
) -> None:
    client = AsyncWebClient("xoxb-test", base_url=fresh.api_url, session=session, retry_handlers=[])
    async with refused("invalid_auth"):
        await client.auth_test()
    old = (await answered(session, fresh, "allow"))["code"]
    time.advance(601)
    async with refused("code_expired"):
        await client.oauth_v2_access(**EXCHANGE, code=old)
    code = (await answered(session, fresh, "allow"))["code"]
    first = await client.oauth_v2_access(**EXCHANGE, code=code)
    again = {"client_id": "1000.2000", "client_secret": "client-secret", "grant_type": "refresh_token"}
    second = await client.oauth_v2_access(**again, refresh_token=first["refresh_token"])
    assert second["expires_in"] == 43_200
    for token in (first, second):
        assert (await client.auth_test(token=token["access_token"]))["ok"]
    async with refused("invalid_refresh_token"):
        await client.oauth_v2_access(**again, refresh_token=first["refresh_token"])
    time.advance(43_201)
    async with refused("token_expired"):
        await client.auth_test(token=second["access_token"])


async def test_a_removed_app_may_do_nothing_and_can_come_back(
    client: AsyncWebClient, workspace: Simulator, session: aiohttp.ClientSession
) -> None:
    workspace.uninstall()
    async with refused("account_inactive"):
        await client.auth_test()
    code = (await answered(session, workspace, "allow"))["code"]
    token = (await client.oauth_v2_access(**EXCHANGE, code=code))["access_token"]
    assert token != "xoxb-test"
    assert (await client.auth_revoke(token=token))["revoked"]
    async with refused("token_revoked"):
        await client.auth_test(token=token)
