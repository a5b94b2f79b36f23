"""Who may use the HTTP API: tokens with scopes, kept as hashes, checked at every request.

Scopes are `read`, `act` (commands in the name of a person), `announce` or `announce:SERVICE`, `define` or
`define:SERVICE` (pipelines), `alarms`, and `admin` (which includes all). A token belongs to a person of the
organisation file, or to a machine by name.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.engine import Engine
from bot.settings import Secret
from core.errors import AndonError
from core.releases.authority import require_team
from core.releases.roster import names
from core.releases.state import PipelineState
from core.releases.world import Actor, Via, World
from storage.records import Token

SCOPES = ("read", "act", "announce", "define", "alarms", "admin")
PREFIX = "andon_"


class NotAuthenticated(AndonError):
    """This token opens nothing: it is unknown, expired or revoked. Send one as `Authorization: Bearer …`."""


class NotPermitted(AndonError):
    """This token does not permit this."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whoever sent a request, and what their token permits."""

    actor_id: str
    scopes: frozenset[str]

    def permits(self, scope: str) -> bool:
        """Whether the token has the scope, or one that includes it."""
        return bool(self.scopes & {scope, scope.partition(":")[0], "admin"})

    def require(self, scope: str) -> None:
        """Refuse unless the token has the scope, or one that includes it."""
        if not self.permits(scope):
            raise NotPermitted(f"This token does not permit {scope}; it permits {', '.join(sorted(self.scopes))}.")

    def actor(self, world: World, via: Via) -> Actor:
        """The person or machine behind the token, as the organisation file knows them now."""
        person = world.people.get(self.actor_id)
        if person is None:
            return Actor(self.actor_id, self.actor_id, via, is_person=False)
        return Actor(person.key, person.name, via, is_person=not person.is_bot)


class Access:
    """Checks tokens. The operator's own admin token (`ANDON_ADMIN_TOKEN`) is not in the database."""

    def __init__(self, engine: Engine, admin: Secret) -> None:
        self._engine = engine
        self._admin_hash = hashed(admin.reveal()) if admin else ""

    async def bearer(self, header: str) -> Bearer:
        """Who an Authorization header speaks for; raises NotAuthenticated."""
        kind, _, secret = header.partition(" ")
        if kind.lower() != "bearer" or not secret.strip():
            raise NotAuthenticated
        digest = hashed(secret.strip())
        if self._admin_hash and hmac.compare_digest(digest, self._admin_hash):
            return Bearer("operator", frozenset({"admin"}))
        token = await self._engine.run(lambda tx: tx.tokens.find(digest))
        if token is None or not token.is_valid(self._engine.now()):
            raise NotAuthenticated
        return Bearer(token.actor, token.scopes)

    async def issue(self, name: str, actor: str, scopes: frozenset[str], lifetime: timedelta | None) -> tuple[str, str]:
        """Make a token; returns its id, and the secret, which is shown once and stored nowhere."""
        token, secret = made(name, actor, scopes, self._engine.now(), lifetime)
        await self._engine.run(lambda tx: tx.tokens.add(token))
        return token.id, secret


def require_own(
    world: World, pipelines: Mapping[str, PipelineState], by: Actor, actor: str, scopes: frozenset[str]
) -> None:
    """Refuse a token beyond what a person may give a machine: to announce or define services of their own team.

    Raises NotPermitted, and CommandRefused where a service is another team's.
    """
    known = world.people.get(actor)
    if not by.is_person or (known is not None and not known.is_bot):
        raise NotPermitted("Only an administrator makes tokens that act as a person; name a machine, such as `ci`.")
    for scope in sorted(scopes):
        kind, _, service = scope.partition(":")
        lines = [pipelines[named.id].definition for named in names(pipelines) if named.service == service]
        if kind not in ("announce", "define") or not lines:
            raise NotPermitted(
                f"A person makes tokens with announce:SERVICE and define:SERVICE of their team's services, not {scope}."
            )
        for line in lines:
            require_team(world, line, by, f"make a token for {service}")


def made(name: str, actor: str, scopes: frozenset[str], now: datetime, lifetime: timedelta | None) -> tuple[Token, str]:
    """A new token and its secret; raises NotPermitted for a scope there is not."""
    unknown = sorted(scope for scope in scopes if scope.partition(":")[0] not in SCOPES)
    if unknown or not scopes:
        raise NotPermitted(
            f"There is no scope {', '.join(unknown) or '(none was named)'}; there are {', '.join(SCOPES)}."
        )
    secret = PREFIX + secrets.token_urlsafe(24)
    token = Token(
        id=secrets.token_hex(6),
        hash=hashed(secret),
        name=name,
        actor=actor,
        scopes=scopes,
        created_at=now,
        expires_at=now + lifetime if lifetime else None,
    )
    return token, secret


def hashed(secret: str) -> str:
    """How a secret is stored. They are random and long, so a plain hash is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()
