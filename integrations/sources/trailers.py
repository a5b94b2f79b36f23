"""Who is behind a commit, as its message and addresses tell."""

from __future__ import annotations

import re

from integrations.intake import line

MOST_CO_AUTHORS = 50
_CO_AUTHOR = re.compile(r"^[ \t]*co-authored-by:[^<\n]{0,200}<([^<>\s]{1,254})>", re.IGNORECASE | re.MULTILINE)
_NOREPLY = re.compile(r"(?:\d+\+)?([A-Za-z0-9-]{1,39}(?:\[bot\])?)@users\.noreply\.[A-Za-z0-9.-]+", re.IGNORECASE)


def names_of(email: str, login: str = "") -> tuple[str, ...]:
    """What somebody is known by: the login that is told, their address, the login that a hidden address holds."""
    address = line(email, 254)
    hidden = _NOREPLY.fullmatch(address)
    found = (line(login, 100), address, hidden[1] if hidden else "")
    return tuple(dict.fromkeys(name for name in found if name))


def co_authors(message: str) -> tuple[tuple[str, ...], ...]:
    """Those whom `Co-authored-by:` names."""
    found = dict.fromkeys(_CO_AUTHOR.findall(message)[:MOST_CO_AUTHORS])
    return tuple(names_of(address) for address in found)
