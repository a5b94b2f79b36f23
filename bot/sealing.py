"""Seals what is secret before it is stored, with keys that only the operator has.

The library is loaded by whoever has keys: it takes seven megabytes, and most have none.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from bot.settings import SHORTEST_KEY
from core.errors import AndonError


class CannotOpen(AndonError):
    """It was sealed with another key, or changed since."""


class Seal:
    """Seals with the first of the keys, opens with any of them; `keys` are separated by commas.

    A key is any text of 32 characters or more. Raises ValueError for a shorter one.
    """

    def __init__(self, keys: str) -> None:
        from cryptography.fernet import Fernet, MultiFernet

        each = [key.strip() for key in keys.split(",")]
        if any(len(key) < SHORTEST_KEY for key in each):
            raise ValueError(f"a key has at least {SHORTEST_KEY} characters")
        self._fernet = MultiFernet([Fernet(_derived(key)) for key in each])

    def seal(self, content: Mapping[str, str]) -> bytes:
        """Return what may be stored."""
        return self._fernet.encrypt(json.dumps(dict(content), sort_keys=True).encode())

    def open(self, sealed: bytes) -> dict[str, str]:
        """Return what was sealed; raises `CannotOpen`."""
        from cryptography.fernet import InvalidToken

        try:
            found: dict[str, str] = json.loads(self._fernet.decrypt(sealed))
        except InvalidToken:
            raise CannotOpen("It was sealed with another key, or changed since.") from None
        return found


def _derived(key: str) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"andon: what is stored sealed")
    return base64.urlsafe_b64encode(derived.derive(key.encode()))
