"""Whether a request comes from whom it says: shared secrets and signatures, compared in constant time."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta

from core.errors import NotAuthentic, PermanentError

SHORTEST_SECRET = 8
LATE = timedelta(minutes=5)
"""How far the clock of a sender that signs the time may be from ours."""


def found(headers: Mapping[str, str], name: str) -> str:
    """A header, however its name is written; empty where there is none."""
    wanted = name.casefold()
    return next((value for key, value in headers.items() if key.casefold() == wanted), "")


def secret_from(environment: Mapping[str, str], variable: str) -> str:
    """A secret that a variable must hold; raises PermanentError naming the variable, never its value."""
    secret = environment.get(variable, "").strip()
    if not secret:
        raise PermanentError(f"The environment variable {variable} is not set; it must hold the secret of the source.")
    if len(secret) < SHORTEST_SECRET:
        raise PermanentError(f"The secret in {variable} is too short: take at least {SHORTEST_SECRET} characters.")
    return secret


def same(given: str, secret: str) -> bool:
    """Whether two secrets are one."""
    return hmac.compare_digest(given.encode(errors="replace"), secret.encode())


def require_secret(headers: Mapping[str, str], key: str, secret: str, *names: str) -> None:
    """Refuse unless the secret stands in a header of these names, in Authorization, or at the end of the address."""
    kind, _, token = found(headers, "Authorization").partition(" ")
    offered = [key, *(found(headers, name) for name in names)]
    if kind.casefold() == "bearer":
        offered.append(token.strip())
    elif kind.casefold() == "basic":
        offered.append(_password(token))
    elif kind and not token:
        # Harbor sends what it was given as the whole header.
        offered.append(kind)
    if not any(same(one, secret) for one in offered if one):
        raise NotAuthentic(
            "This request carries no secret, or not the one that was agreed. Give the sender the secret of the source:"
            " in a header (`Authorization: Bearer …`), or at the end of the address where it can set no header."
        )


def _password(token: str) -> str:
    try:
        return base64.b64decode(token, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def require_hex_signature(given: str, prefix: str, secret: str, body: bytes) -> None:
    """Refuse unless `given` is the prefix and the HMAC-SHA256 of the body, in hex."""
    wanted = prefix + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(given.encode(errors="replace"), wanted.encode()):
        raise NotAuthentic(
            "This request is not signed with the secret of this source. Set the same secret in both places."
        )


def require_standard_webhook(headers: Mapping[str, str], secret: str, body: bytes, now: datetime) -> None:
    """Refuse unless `webhook-signature` is right for id, time and body, and the time is now (Standard Webhooks)."""
    number, stamp = found(headers, "webhook-id"), found(headers, "webhook-timestamp")
    if (
        not stamp.isascii()
        or not stamp.isdigit()
        or len(stamp) > 12
        or abs(now.timestamp() - int(stamp)) > (LATE.total_seconds())
    ):
        raise NotAuthentic("This request was signed more than five minutes ago, or the clocks do not agree.")
    signed = number.encode() + b"." + stamp.encode() + b"." + body
    for key in _keys(secret):
        wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        for one in found(headers, "webhook-signature").split():
            version, _, signature = one.partition(",")
            if version == "v1" and same(signature, wanted):
                return
    raise NotAuthentic("This request is not signed with the secret of this source. Set the same secret in both places.")


def _keys(secret: str) -> list[bytes]:
    """The secret as bytes; `whsec_…` is base64."""
    if not secret.startswith("whsec_"):
        return [secret.encode()]
    try:
        return [base64.b64decode(secret.removeprefix("whsec_"), validate=True)]
    except binascii.Error:
        return [secret.encode()]
