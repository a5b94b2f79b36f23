"""Outlives the supervisor by a moment: when its pipe closes, it ends every process group it was told of.

Run as a plain file, without anything of ours, so that it is small and starts at once. It reads lines `+GROUP` and
`-GROUP` from standard input. A supervisor that ends in order has taken all its groups back by then.
"""

from __future__ import annotations

import os
import signal
import sys
import time

_MERCY = 2.0
"""Seconds between SIGTERM and SIGKILL."""


def main() -> None:
    """Read until the pipe closes, then end what is left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin.buffer:
        group = int(line[1:])
        (groups.add if line.startswith(b"+") else groups.discard)(group)
    groups = {group for group in groups if _tell(group, signal.SIGTERM)}
    until = time.monotonic() + _MERCY
    while groups and time.monotonic() < until:
        time.sleep(0.05)
        groups = {group for group in groups if _tell(group, 0)}
    for group in groups:
        _tell(group, signal.SIGKILL)


def _tell(group: int, what: int) -> bool:
    """Whether there was anybody to tell."""
    try:
        os.killpg(group, what)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()
