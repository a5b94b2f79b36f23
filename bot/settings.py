"""What the environment says, read once; secrets are wrapped so that no log, repr or error can show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from core.errors import AndonError

DEFAULT_STATE = Path(".andon")
DEFAULT_LEASE = timedelta(seconds=60)
SHORTEST_KEY = 32


class SettingsError(AndonError):
    """A setting in the environment cannot be used."""


class Secret:
    """A value that only `reveal` shows."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one place that needs it."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(…)" if self._value else "Secret()"


NO_SECRET = Secret("")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything `andon run` needs to know. Paths are absolute."""

    config: Path
    """Directory with org.yaml and pipelines/*.yaml (`ANDON_CONFIG`)."""
    database_url: str = field(repr=False)
    """SQLite or PostgreSQL (`DATABASE_URL`); it may hold a password."""
    host: str = "127.0.0.1"
    port: int = 8080
    lease: timedelta = DEFAULT_LEASE
    """After so long without a sign of life, what a replica had in hand is done by another one (`ANDON_LEASE`)."""
    state: Path = DEFAULT_STATE
    """Where the embedded defaults live: database, artifacts, supervisors (`ANDON_STATE`)."""
    slack_bot_token: Secret = field(default=NO_SECRET)
    slack_app_token: Secret = field(default=NO_SECRET)
    slack_signing_secret: Secret = field(default=NO_SECRET)
    slack_api_url: str = ""
    slack_client_id: str = ""
    slack_client_secret: Secret = field(default=NO_SECRET)
    secret_key: Secret = field(default=NO_SECRET)
    """With this the tokens of an installation are stored sealed (`ANDON_SECRET_KEY`)."""
    public_url: str = ""
    """How people and Slack reach this Andon, without a slash at the end (`ANDON_PUBLIC_URL`)."""
    slack_every: float = 1.0
    """Seconds between two messages in one channel; Slack takes one a second, and short bursts (`ANDON_SLACK_EVERY`)."""
    admin_token: Secret = field(default=NO_SECRET)
    pager_url: str = ""
    pager_secret: Secret = field(default=NO_SECRET)
    templates: Path | None = None
    """An operator's own templates, looked at first (`ANDON_TEMPLATES`)."""

    @property
    def has_slack(self) -> bool:
        """Whether a workspace is configured at all; without one the shell and the API still work."""
        return bool(self.slack_bot_token) or self.has_oauth

    @property
    def has_oauth(self) -> bool:
        """Whether people install the app in a browser; a bot token that is set goes before."""
        return bool(self.slack_client_id) and not self.slack_bot_token

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings; raises SettingsError saying which variable is wrong and what it should be."""
        state = Path(environment.get("ANDON_STATE", str(DEFAULT_STATE))).absolute()
        config = Path(environment.get("ANDON_CONFIG", ".")).absolute()
        templates = environment.get("ANDON_TEMPLATES", "")
        if environment.get("ANDON_PAGER_URL") and not environment.get("ANDON_PAGER_SECRET"):
            raise SettingsError("ANDON_PAGER_URL is set without ANDON_PAGER_SECRET, by which the receiver knows us.")
        client_id, secret_key = environment.get("SLACK_CLIENT_ID", ""), environment.get("ANDON_SECRET_KEY", "")
        _check_oauth(client_id, environment.get("SLACK_CLIENT_SECRET", ""), secret_key)
        return cls(
            config=config,
            database_url=environment.get("DATABASE_URL", f"sqlite:///{state / 'andon.db'}"),
            host=environment.get("HOST", "127.0.0.1"),
            port=_port(environment.get("PORT", "8080")),
            lease=_lease(environment.get("ANDON_LEASE", "60")),
            state=state,
            slack_bot_token=Secret(environment.get("SLACK_BOT_TOKEN", "")),
            slack_app_token=Secret(environment.get("SLACK_APP_TOKEN", "")),
            slack_signing_secret=Secret(environment.get("SLACK_SIGNING_SECRET", "")),
            slack_api_url=_url("SLACK_API_URL", environment.get("SLACK_API_URL", "")),
            slack_client_id=client_id,
            slack_client_secret=Secret(environment.get("SLACK_CLIENT_SECRET", "")),
            secret_key=Secret(secret_key),
            public_url=_url("ANDON_PUBLIC_URL", environment.get("ANDON_PUBLIC_URL", "")).rstrip("/"),
            slack_every=_seconds("ANDON_SLACK_EVERY", environment.get("ANDON_SLACK_EVERY", "1")),
            admin_token=Secret(environment.get("ANDON_ADMIN_TOKEN", "")),
            pager_url=_url("ANDON_PAGER_URL", environment.get("ANDON_PAGER_URL", "")),
            pager_secret=Secret(environment.get("ANDON_PAGER_SECRET", "")),
            templates=Path(templates).absolute() if templates else None,
        )


def _check_oauth(client_id: str, client_secret: str, secret_key: str) -> None:
    if bool(client_id) != bool(client_secret):
        raise SettingsError(
            "SLACK_CLIENT_ID and SLACK_CLIENT_SECRET go together: set both, or neither."
            " They stand under the app's Basic Information."
        )
    if client_id and not secret_key:
        raise SettingsError(
            "SLACK_CLIENT_ID is set without ANDON_SECRET_KEY, with which the tokens of an installation are sealed"
            f" before they are stored. Set it to a random text of at least {SHORTEST_KEY} characters, such as"
            " `openssl rand -hex 32` prints, and keep it: without it the app must be installed again."
        )
    if secret_key and any(len(key.strip()) < SHORTEST_KEY for key in secret_key.split(",")):
        raise SettingsError(
            f"ANDON_SECRET_KEY is too short: it must be a random text of at least {SHORTEST_KEY} characters"
            " (several, separated by commas, while you change it: the first one seals)."
        )


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise SettingsError(f"PORT is {text!r}; it must be a number from 0 to 65535.")
    return int(text)


def _lease(text: str) -> timedelta:
    if not text.isascii() or not text.isdigit() or not 5 <= int(text) <= 600:
        raise SettingsError(f"ANDON_LEASE is {text!r}; it must be a whole number of seconds from 5 to 600.")
    return timedelta(seconds=int(text))


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 60:
        raise SettingsError(f"{name} is {text!r}; it must be a number of seconds, more than 0 and at most 60.")
    return seconds


def _url(name: str, text: str) -> str:
    if text and not text.startswith(("http://", "https://")):
        raise SettingsError(f"{name} must begin with http:// or https://.")
    return text
