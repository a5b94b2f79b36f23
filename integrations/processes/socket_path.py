"""Where the control socket is: `<root>/<name>.sock`, or a short place it points at where that is too long."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

_LONGEST = 100
"""Bytes; systems allow 104 to 108 in a socket's address."""


def for_clients(root: Path, name: str) -> Path:
    """The path to connect to."""
    path = _plain(root, name)
    return path.readlink() if path.is_symlink() else path


def for_server(root: Path, name: str) -> Path:
    """The path to bind, with whatever an earlier supervisor left there removed; the lock must be held."""
    clear(root, name)
    path = _plain(root, name)
    if len(str(path).encode()) <= _LONGEST:
        return path
    # A fresh directory of this user alone: nobody else can have put something in its place.
    short = Path(tempfile.mkdtemp(prefix="andon-", dir="/tmp")) / "s"
    path.symlink_to(short)
    return short


def clear(root: Path, name: str) -> None:
    """Remove the socket and, where it had one, its short place."""
    path = _plain(root, name)
    if path.is_symlink():
        short = path.readlink()
        short.unlink(missing_ok=True)
        if short.parent.name.startswith("andon-") and short.parent.is_dir():
            short.parent.rmdir()
        path.unlink()
    elif path.exists() and stat.S_ISSOCK(path.lstat().st_mode):
        path.unlink()


def _plain(root: Path, name: str) -> Path:
    return root.absolute() / f"{name}.sock"
