"""Reading what others send without trust in its shape: a field of another kind is a field that is not there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from core.errors import PermanentError
from integrations.intake import document, line

NOTHING: Mapping[str, Any] = {}
LONGEST = 300
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
GONE = re.compile(r"0+")
"""What git calls a commit that is not there."""


def mapping(body: bytes, sender: str) -> Mapping[str, Any]:
    """The JSON object of a request; raises PermanentError where it is none."""
    found = document(body, sender)
    if not isinstance(found, dict):
        raise PermanentError(f"The request of {sender} is no JSON object.")
    return found


def part(of: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """What stands under these names, one in the other; empty where there is no mapping."""
    here: Any = of
    for name in names:
        here = here.get(name) if isinstance(here, dict) else None
    return here if isinstance(here, dict) else NOTHING


def several(of: Mapping[str, Any], name: str, most: int = 200) -> list[Mapping[str, Any]]:
    """The mappings of a list."""
    found = of.get(name)
    return [one for one in found[:most] if isinstance(one, dict)] if isinstance(found, list) else []


def text(of: Mapping[str, Any], name: str) -> str:
    """A text or number on one line, without tricks; empty where there is none."""
    return line(of.get(name), LONGEST)


def digest(value: object) -> str:
    """A digest, or nothing."""
    return value if isinstance(value, str) and DIGEST.fullmatch(value) else ""


def commit(value: object) -> str:
    """A whole commit id, or nothing."""
    return value if isinstance(value, str) and COMMIT.fullmatch(value) and not GONE.fullmatch(value) else ""


def is_true(value: object) -> bool:
    """Whether something is said, in whichever of the usual ways."""
    return value is True or (isinstance(value, str) and value.casefold() == "true")
