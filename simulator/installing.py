"""The app's installation: OAuth codes, the tokens they are exchanged for, their rotation, and their end.

A code lives ten minutes and works once. With `token_rotation` a bot token lives twelve hours, its refresh token works
once, and only the two newest tokens work.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from simulator.errors import ApiError
from simulator.records import App, Json

CODE_SECONDS = 600
TOKEN_SECONDS = 43_200
TOKENS_ALIVE = 2


@dataclass(frozen=True)
class _Grant:
    """What a person allowed, until it is exchanged; `redirect` is empty where none was named."""

    redirect: str
    scopes: frozenset[str]
    user: str
    until: float


class Installing:
    """Which bot tokens work at present."""

    def __init__(self, app: App, clock: Callable[[], float]) -> None:
        self._app = app
        self._clock = clock
        self._codes: dict[str, _Grant] = {}
        self._tokens: dict[str, float | None] = {app.bot_token: None} if app.installed else {}
        self._ended: dict[str, str] = {}
        self._refresh = ""
        self._numbers = itertools.count(1)

    def allow(self, *, redirect: str, scopes: frozenset[str], user: str) -> str:
        """Somebody pressed Allow; returns the code to be exchanged."""
        code = secrets.token_hex(12)
        self._codes[code] = _Grant(redirect, scopes, user, self._clock() + CODE_SECONDS)
        return code

    def exchange(self, code: str, redirect: str) -> tuple[Json, str]:
        """Give the tokens for a code, once, and who allowed it; raises `invalid_code` or `bad_redirect_uri`."""
        grant = self._codes.pop(code, None)
        if grant is None:
            raise ApiError("invalid_code")
        if self._clock() > grant.until:
            raise ApiError("code_expired")
        if redirect != grant.redirect:
            raise ApiError("bad_redirect_uri")
        # A second installation adds to what was granted before.
        self._app.scopes = grant.scopes | (self._app.scopes if self._app.installed else frozenset())
        self._app.installed = True
        return self._new_tokens(), grant.user

    def refresh(self, token: str) -> Json:
        """Give new tokens for a refresh token, once."""
        if not self._app.token_rotation:
            raise ApiError("token_rotation_not_enabled")
        if not token or token != self._refresh or not self._app.installed:
            raise ApiError("invalid_refresh_token")
        return self._new_tokens()

    def trouble(self, token: str) -> str:
        """Slack's word for why a bot token does not work, empty where it does."""
        if token in self._ended:
            return self._ended[token]
        if token not in self._tokens:
            return "invalid_auth"
        until = self._tokens[token]
        return "token_expired" if until is not None and self._clock() > until else ""

    def is_bot(self, token: str) -> bool:
        """Whether this is, or was, a token of the app's bot."""
        return token in self._tokens or token in self._ended

    def end(self, why: str = "account_inactive") -> None:
        """The app was removed, or its tokens revoked (`token_revoked`): none of them works again."""
        self._ended |= dict.fromkeys(self._tokens, why)
        self._tokens.clear()
        self._refresh = ""
        self._app.installed = False

    def _new_tokens(self) -> Json:
        if not self._app.token_rotation:
            token = self._app.bot_token
            if token in self._ended:
                token = f"{self._app.bot_token}-{next(self._numbers)}"
            self._tokens[token] = None
            return {"access_token": token}
        number = next(self._numbers)
        token, self._refresh = f"xoxe.xoxb-test-{number}", f"xoxe-test-{number}"
        self._tokens[token] = self._clock() + TOKEN_SECONDS
        for old in list(self._tokens)[:-TOKENS_ALIVE]:
            del self._tokens[old]
            self._ended[old] = "token_expired"
        return {"access_token": token, "refresh_token": self._refresh, "expires_in": TOKEN_SECONDS}
