"""The log of one unit's place: bounded in size, with the last words kept at hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class UnitLog:
    """Appends to a file that is put aside as `.log.1` when it is full; the one before is forgotten."""

    def __init__(self, path: Path, most_bytes: int = 1 << 20) -> None:
        self._path = path
        self._most = most_bytes
        self._size = path.stat().st_size if path.exists() else 0

    def write(self, piece: bytes) -> None:
        """Append; a full disk loses lines of the log, never the unit."""
        try:
            if self._size and self._size + len(piece) > self._most:
                self._path.replace(self._path.with_suffix(".log.1"))
                self._size = 0
            with self._path.open("ab") as file:
                file.write(piece)
        except OSError:
            return
        self._size += len(piece)


class LastWords:
    """The end of what a unit wrote to its error output."""

    def __init__(self, most_bytes: int = 4096, *, hide: Sequence[str] = ()) -> None:
        self._most = most_bytes
        self._hide = sorted(hide, key=len, reverse=True)
        self._text = b""
        self._is_cut = False

    def add(self, piece: bytes) -> None:
        """Remember the end of it."""
        text = self._text + piece
        self._is_cut = self._is_cut or len(text) > self._most
        self._text = text[-self._most :]

    def sentence(self, most_lines: int = 5, most_characters: int = 600) -> str:
        """The last lines, in one line, without what would move a cursor or colour a screen."""
        text = self._text.decode("utf-8", "replace").replace("\r\n", "\n")
        if self._is_cut and "\n" in text:
            # Half a line could hold half of what is to be hidden.
            text = text.partition("\n")[2]
        clean = _CONTROL.sub("", text)
        for secret in self._hide:
            clean = clean.replace(secret, "…")
        lines = [line.strip() for line in clean.split("\n") if line.strip()]
        return " / ".join(lines[-most_lines:])[-most_characters:]
