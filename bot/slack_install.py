"""Install the app in a browser: `/slack/install` asks, Slack asks too, `/slack/oauth_redirect` takes the answer.

Bolt's flow keeps the state and the cookie that binds it to one browser; what is said, what is stored and how Slack's
refusals are told is ours. Neither codes nor tokens reach a log or a page.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from html import escape
from typing import Any, Final

from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.async_app import AsyncBoltRequest
from slack_bolt.oauth.async_callback_options import AsyncCallbackOptions, AsyncFailureArgs, AsyncSuccessArgs
from slack_bolt.oauth.async_oauth_flow import AsyncOAuthFlow
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_bolt.response import BoltResponse
from slack_sdk.oauth.installation_store import Installation
from slack_sdk.oauth.installation_store.async_installation_store import AsyncInstallationStore
from slack_sdk.oauth.state_store.async_state_store import AsyncOAuthStateStore
from slack_sdk.web.async_client import AsyncWebClient

from bot.engine import Engine
from bot.manifest import INSTALL_PATH, REDIRECT_PATH, SCOPES
from bot.settings import Secret
from bot.slack_client import SlackRefused, library_log, slack_errors
from bot.slack_dispatch import without_slack_environment
from bot.slack_tokens import AppCredentials, Granted, OtherWorkspace, Tokens
from core.errors import TransientError
from storage.errors import StorageError

log = logging.getLogger("andon.slack.install")

STATE_SECONDS: Final = 600
CLOSED: Final = {
    "Cache-Control": "no-store",
    # The address holds the code: it is told to nobody, and nothing of the page comes from elsewhere.
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'",
}
MENDS: Final = {
    "access_denied": (200, "Nothing was installed, because it was declined in Slack."),
    "invalid_browser": (
        400,
        "This installation was begun in another browser, or this browser keeps no cookies. Nothing was installed.",
    ),
    "invalid_state": (
        401,
        "This installation was begun more than ten minutes ago, or finished already. Nothing was installed.",
    ),
    "missing_code": (400, "Slack's answer lacks what it should hold. Nothing was installed."),
}
REFUSED: Final = {
    "invalid_code": "Slack does not know this installation (any more).",
    "code_expired": "This took longer than Slack allows.",
    "invalid_client_id": "Slack knows no such app: whoever runs Andon must mend SLACK_CLIENT_ID.",
    "bad_client_secret": "Slack does not accept the app's secret: whoever runs Andon must mend SLACK_CLIENT_SECRET.",
    "bad_redirect_uri": "The address Slack led back to is not the one that was asked for: whoever runs Andon must set"
    " ANDON_PUBLIC_URL to the address of the app's redirect URL.",
}

Changed = Callable[[], Awaitable[None]]


class NotInstalled(Exception):
    """The installation came to nothing; the text is for who tried."""

    def __init__(self, said: str, *, status: int = 400) -> None:
        super().__init__(said)
        self.status = status


class Installer:
    """The two pages. `changed` is awaited after an installation was stored."""

    def __init__(
        self,
        engine: Engine,
        tokens: Tokens,
        app: AppCredentials,
        client: AsyncWebClient,
        *,
        public_url: str,
        changed: Changed,
    ) -> None:
        self._flow = _Flow(_settings(app, client, public_url, _States(engine)), client, tokens, changed)

    def routes(self) -> list[web.RouteDef]:
        """Return where people and Slack come in."""
        return [web.get(INSTALL_PATH, self.ask), web.get(REDIRECT_PATH, self.take)]

    async def ask(self, request: web.Request) -> web.StreamResponse:
        """`GET /slack/install`: what installing means, and the link to Slack."""
        return await self._answered(self._flow.handle_installation, request)

    async def take(self, request: web.Request) -> web.StreamResponse:
        """`GET /slack/oauth_redirect`: Slack leads back here."""
        return await self._answered(self._flow.handle_callback, request)

    async def _answered(
        self, step: Callable[[AsyncBoltRequest], Awaitable[BoltResponse]], request: web.Request
    ) -> web.Response:
        try:
            answer = await to_aiohttp_response(await step(await to_bolt_request(request)))
        except NotInstalled as refusal:
            log.warning("An installation came to nothing: %s", refusal)
            answer = web.Response(status=refusal.status, text=_failed(str(refusal)), content_type="text/html")
        except StorageError as trouble:
            log.warning("An installation was not recorded: %s", type(trouble).__name__)
            text = "Nothing was recorded, because the database does not answer. Try again in a moment."
            answer = web.Response(status=503, text=_failed(text), content_type="text/html")
        answer.headers.update(CLOSED)
        return answer


def authorize_url(api_url: str) -> str:
    """Return where Slack asks people: beside the API, whatever host that is at (`…/api/` → `…/oauth/v2/authorize`)."""
    return api_url.rstrip("/").removesuffix("/api") + "/oauth/v2/authorize"


def _settings(app: AppCredentials, client: AsyncWebClient, public_url: str, states: _States) -> AsyncOAuthSettings:
    with without_slack_environment():
        return AsyncOAuthSettings(
            client_id=app.client_id,
            client_secret=app.client_secret.reveal(),
            scopes=[scope.name for scope in SCOPES],
            user_scopes=[],
            redirect_uri=f"{public_url}{REDIRECT_PATH}" if public_url else None,
            install_path=INSTALL_PATH,
            redirect_uri_path=REDIRECT_PATH,
            authorization_url=authorize_url(client.base_url),
            callback_options=AsyncCallbackOptions(success=_succeeded, failure=_declined),
            installation_store=AsyncInstallationStore(),
            state_store=states,
            state_expiration_seconds=STATE_SECONDS,
            logger=library_log,
        )


class _Flow(AsyncOAuthFlow):
    """Bolt's flow, with our own words, and with what it logs left out: it logs the code."""

    def __init__(self, settings: AsyncOAuthSettings, client: AsyncWebClient, tokens: Tokens, changed: Changed) -> None:
        super().__init__(client=client, logger=library_log, settings=settings)
        self._tokens = tokens
        self._changed = changed

    async def build_install_page_html(self, url: str, request: AsyncBoltRequest) -> str:
        del request
        found = await self._tokens.installation()
        known = ""
        if found is not None and found.ended_at is None:
            known = f"It is installed in {found.team}. Install it again after its scopes changed."
        return page(
            "Install Andon in Slack",
            known or "Slack shows next what Andon asks for, and lets you leave out what is optional.",
            link=("Go on to Slack", url),
        )

    async def run_installation(self, code: str) -> Installation:
        """Exchange the code; raises `NotInstalled` saying what would help."""
        try:
            async with slack_errors():
                said = await self.client.oauth_v2_access(
                    code=code,
                    client_id=self.settings.client_id,
                    client_secret=self.settings.client_secret,
                    redirect_uri=self.settings.redirect_uri,
                )
        except TransientError as trouble:
            raise NotInstalled(f"{trouble.message} It is not known whether it was installed.", status=503) from None
        except SlackRefused as refusal:
            raise NotInstalled(REFUSED.get(refusal.code, refusal.message)) from None
        team = said.get("team") or {}
        if said.get("is_enterprise_install") or not team.get("id"):
            raise NotInstalled("Andon is installed in one workspace, not in a whole organisation: choose a workspace.")
        if said.get("token_type") != "bot" or not said.get("access_token"):
            raise NotInstalled("Slack gave no token for the app's bot: compare the app with `andon manifest`.")
        return Installation(
            team_id=team["id"],
            team_name=str(team.get("name") or team["id"]),
            bot_token=said["access_token"],
            bot_refresh_token=said.get("refresh_token"),
            bot_token_expires_in=said.get("expires_in"),
            user_id=str((said.get("authed_user") or {}).get("id") or ""),
        )

    async def store_installation(self, request: AsyncBoltRequest, installation: Installation) -> None:
        """Put it in force; where the app is installed elsewhere, what was just granted is given back."""
        del request
        expires_in = installation.bot_token_expires_at and int(
            installation.bot_token_expires_at - installation.installed_at
        )
        granted = Granted(
            team_id=str(installation.team_id),
            team=str(installation.team_name),
            installed_by=installation.user_id,
            token=Secret(str(installation.bot_token)),
            refresh_token=Secret(installation.bot_refresh_token or ""),
            expires_at=self._tokens.expiry(expires_in),
        )
        try:
            await self._tokens.put(granted)
        except OtherWorkspace as other:
            await self._give_back(granted)
            raise NotInstalled(
                f"Andon is installed in the workspace {other.team} already, and one Andon serves one workspace."
                f" Run another one for {granted.team}, or remove the app from {other.team} first.",
                status=409,
            ) from None
        await self._changed()

    async def _give_back(self, granted: Granted) -> None:
        try:
            async with slack_errors():
                await self.client.auth_revoke(token=granted.token.reveal())
        except (TransientError, SlackRefused) as trouble:
            log.warning("A token that is not used could not be revoked: %s", trouble.message)


class _States(AsyncOAuthStateStore):
    """OAuth's `state`, of which only a hash is kept."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def async_issue(self, *_args: Any, **_kwargs: Any) -> str:
        """Return a new one, good once within ten minutes."""
        state, now = secrets.token_urlsafe(32), self._engine.now()
        until = now + timedelta(seconds=STATE_SECONDS)
        await self._engine.run(lambda tx: tx.installations.begin(_hashed(state), now, until))
        return state

    async def async_consume(self, state: str) -> bool:
        """Whether it was issued, is not too old and was not used before."""
        now = self._engine.now()
        return await self._engine.run(lambda tx: tx.installations.finish(_hashed(state), now))


def _hashed(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


# ---- pages ----------------------------------------------------------------------------------------------------------


async def _succeeded(args: AsyncSuccessArgs) -> BoltResponse:
    team = args.installation.team_name or ""
    said = f"Andon is installed in {team}. In each channel of your pipelines: /invite @andon. Then ask: /release help."
    return _html(200, page("Andon is installed", said), forget=args.settings)


async def _declined(args: AsyncFailureArgs) -> BoltResponse:
    status, said = MENDS.get(args.reason, (400, "Slack led back without an installation. Nothing was installed."))
    log.warning("An installation came to nothing (%s).", args.reason if args.reason in MENDS else "another reason")
    return _html(status, _failed(said), forget=args.settings)


def _html(status: int, body: str, *, forget: AsyncOAuthSettings) -> BoltResponse:
    headers: dict[str, str | Sequence[str]] = {
        "Content-Type": "text/html; charset=utf-8",
        "Set-Cookie": forget.state_utils.build_set_cookie_for_deletion(),
    }
    return BoltResponse(status=status, body=body, headers=headers)


def _failed(said: str) -> str:
    return page("Andon was not installed", said, link=("Begin again", INSTALL_PATH))


def page(title: str, said: str, *, link: tuple[str, str] | None = None) -> str:
    """Return a page that says one thing, with one link."""
    led = f'<p><a href="{escape(link[1])}">{escape(link[0])}</a></p>' if link else ""
    style = (
        "body{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:4rem auto;padding:0 1rem;color:#1d1c1d}"
        "a{display:inline-block;padding:.6rem 1.2rem;border-radius:.4rem;background:#1d3557;color:#fff}"
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{style}</style>"
        f"<main><h1>{escape(title)}</h1><p>{escape(said)}</p>{led}</main></html>"
    )
