"""Local ports for units."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

_FIRST = 20_000
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class FreePorts:
    """Hands out ports nobody listens on, below those the system lends to outgoing connections.

    A unit binds its port a moment after it was chosen. A port of the system's own range could be lent to somebody
    else in that moment; one below it is only taken by who asks for it by number.
    """

    def __init__(self) -> None:
        self._candidates = _candidates()

    def take(self) -> int:
        """A port that was free just now."""
        for port in self._candidates:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return int(probe.getsockname()[1])
        raise AssertionError("the candidates never end")


def _candidates() -> Iterator[int]:
    try:
        above = int(_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        above = 0
    if above < _FIRST + 1000:
        while True:
            yield 0
    port = _FIRST + secrets.randbelow(above - _FIRST)
    while True:
        port = _FIRST + (port + 1 - _FIRST) % (above - _FIRST)
        yield port
