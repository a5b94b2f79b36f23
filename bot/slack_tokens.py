"""The bot token of an app that was installed by OAuth: stored sealed, renewed before it expires, ended when it is over.

One Andon serves one workspace. A refresh token works once, so whoever renews takes a lease in the database first: two
replicas never spend the same one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.engine import Engine
from bot.sealing import CannotOpen, Seal
from bot.settings import Secret
from bot.slack_client import SlackRefused, slack_errors
from core.errors import TransientError
from storage.installations import Installation
from storage.journal import Transaction

log = logging.getLogger("andon.slack.tokens")

RENEW_BEFORE: Final = timedelta(hours=2)
"""A token lives twelve hours; as Bolt does."""
LEASE: Final = timedelta(seconds=30)
"""Longer than a call may take."""
OVER: Final = frozenset({"account_inactive", "token_revoked", "invalid_auth", "token_expired"})
"""What Slack says of a token that will never work again."""


class OtherWorkspace(Exception):
    """It is installed in another workspace; `team` is that one's name."""

    def __init__(self, team: str) -> None:
        super().__init__(team)
        self.team = team


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What Slack gave for a code. Tokens are wrapped, so that nothing shows them."""

    team_id: str
    team: str
    installed_by: str
    token: Secret
    refresh_token: Secret
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AppCredentials:
    """Who the app is to Slack."""

    client_id: str
    client_secret: Secret


class Tokens:
    """Keeps the token. `client` has none of its own and repeats nothing."""

    def __init__(self, engine: Engine, app: AppCredentials, seal: Seal, client: AsyncWebClient) -> None:
        self._engine = engine
        self._app = app
        self._seal = seal
        self._client = client
        self._followers: list[AsyncWebClient] = []

    def follow(self, *clients: AsyncWebClient) -> None:
        """Have these clients use each new token from now on, in place of those before."""
        self._followers = list(clients)

    async def installation(self) -> Installation | None:
        """The installation in force, or the last one that was."""
        return await self._engine.read(lambda tx: tx.installations.newest(self._app.client_id))

    async def token(self) -> Secret | None:
        """The token that works now; None where the app is not installed (any more).

        Raises `TransientError` where it must be renewed first and Slack does not answer, `CannotOpen`.
        """
        await self.renew()
        found = await self.installation()
        if found is None or found.ended_at is not None:
            return None
        token = Secret(self._seal.open(found.sealed)["token"])
        if found.expires_at is not None and found.expires_at <= self._engine.now():
            raise TransientError("The Slack token has expired and is being renewed.", retry_after=LEASE)
        return token if await self.still_works(token) else None

    async def put(self, granted: Granted) -> None:
        """Put a new installation in force; raises `OtherWorkspace` where the app is installed elsewhere."""
        now = self._engine.now()
        new = Installation(
            client_id=self._app.client_id,
            team_id=granted.team_id,
            team=granted.team,
            installed_by=granted.installed_by,
            installed_at=now,
            sealed=self._sealed(granted.token, granted.refresh_token),
            expires_at=granted.expires_at,
        )

        def write(tx: Transaction) -> str:
            old = tx.installations.newest(self._app.client_id)
            if old is not None and old.ended_at is None:
                if old.team_id != new.team_id:
                    return old.team
                tx.installations.end(old.id, now, "It was installed again.")
            tx.installations.add(new)
            return ""

        if other := await self._engine.run(write):
            raise OtherWorkspace(other)
        log.info("The app was installed in the Slack workspace %s.", granted.team)

    async def still_works(self, token: Secret | None = None) -> bool:
        """Ask Slack whether the token works; one that never will again ends the installation.

        Where Slack does not answer it is taken to work: the next call will show.
        """
        found = await self.installation()
        if found is None or found.ended_at is not None:
            return False
        given = token or Secret(self._seal.open(found.sealed)["token"])
        try:
            async with slack_errors():
                try:
                    await self._client.auth_test(token=given.reveal())
                except SlackApiError as error:
                    code = error.response.get("error", "") if isinstance(error.response.data, dict) else ""
                    if code not in OVER:
                        raise
                    await self._end(found, code)
                    return False
        except (TransientError, SlackRefused) as trouble:
            log.warning("It cannot be seen whether the Slack token works: %s", trouble.message)
        return True

    async def renew(self) -> None:
        """Renew the token if it expires soon; raises nothing for what Slack does."""
        found, now = await self.installation(), self._engine.now()
        if found is None or found.ended_at is not None or found.expires_at is None:
            return
        try:
            opened = self._seal.open(found.sealed)
        except CannotOpen:
            return  # said where the token is asked for
        for client in self._followers:
            client.token = opened["token"]  # another replica may have renewed it
        if found.expires_at - RENEW_BEFORE > now:
            return
        refresh_token = opened.get("refresh_token", "")
        if not await self._engine.run(lambda tx: tx.installations.claim_renewal(found, now, now + LEASE)):
            return
        try:
            async with slack_errors():
                said = await self._client.oauth_v2_access(
                    client_id=self._app.client_id,
                    client_secret=self._app.client_secret.reveal(),
                    grant_type="refresh_token",
                    refresh_token=refresh_token,
                )
        except TransientError as trouble:
            log.warning("The Slack token was not renewed, and will be tried again: %s", trouble.message)
        except SlackRefused as refusal:
            log.error("Slack does not renew the token (%s); it works until %s.", refusal.code, found.expires_at)  # noqa: TRY400
            if found.expires_at <= now:
                await self._end(found, refusal.code)
        else:
            token = Secret(str(said["access_token"]))
            expires_at = self.expiry(said.get("expires_in"))
            sealed = self._sealed(token, Secret(str(said.get("refresh_token") or "")))
            if await self._engine.run(lambda tx: tx.installations.renew(found.id, sealed, expires_at)):
                for client in self._followers:
                    client.token = token.reveal()
                log.info("The Slack token was renewed.")

    def expiry(self, expires_in: object) -> datetime | None:
        """When a token given now expires; None for one that does not."""
        seconds = expires_in if isinstance(expires_in, int) else 0
        return self._engine.now() + timedelta(seconds=seconds) if seconds > 0 else None

    async def _end(self, found: Installation, code: str) -> None:
        why = {
            "account_inactive": f"The app was removed from the Slack workspace {found.team}.",
            "token_revoked": f"The app's token for the Slack workspace {found.team} was revoked.",
        }.get(code, f"The Slack workspace {found.team} does not accept the app's token any more ({code}).")
        now = self._engine.now()
        if await self._engine.run(lambda tx: tx.installations.end(found.id, now, why)):
            log.error("%s", why)

    def _sealed(self, token: Secret, refresh_token: Secret) -> bytes:
        return self._seal.seal({"token": token.reveal(), "refresh_token": refresh_token.reveal()})
