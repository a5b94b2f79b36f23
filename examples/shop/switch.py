"""Which versions of the shop are broken: a small file every unit of every version reads and may change."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

_VERSIONS_SHOWN = 5


class Switch:
    """Which versions are broken, and which were ever started, in a file every unit reads anew when it changed."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._mark: tuple[int, int, int] | None = None
        self._state: dict[str, list[str]] = {"broken": [], "seen": []}

    def is_broken(self, version: str) -> bool:
        """Whether this version is to answer with errors."""
        return version in self._read()["broken"]

    def versions(self) -> list[tuple[str, bool]]:
        """The last versions that were started, newest first, and whether each is broken."""
        state = self._read()
        return [(version, version in state["broken"]) for version in reversed(state["seen"])][:_VERSIONS_SHOWN]

    def see(self, version: str) -> None:
        """A unit of this version was started."""
        self._change(lambda state: {**state, "seen": _with(state["seen"], version)})

    def turn(self, version: str, *, broken: bool) -> None:
        """Break a version, or mend it."""

        def turned(state: dict[str, list[str]]) -> dict[str, list[str]]:
            rest = [other for other in state["broken"] if other != version]
            return {"seen": _with(state["seen"], version), "broken": [*rest, version] if broken else rest}

        self._change(turned)

    def _read(self) -> dict[str, list[str]]:
        if self._path is None:
            return self._state
        try:
            found = self._path.stat()
            mark = (found.st_ino, found.st_mtime_ns, found.st_size)
            if mark != self._mark:
                self._state, self._mark = json.loads(self._path.read_text()), mark
        except FileNotFoundError:
            self._state, self._mark = {"broken": [], "seen": []}, None
        return self._state

    def _change(self, change: Callable[[dict[str, list[str]]], dict[str, list[str]]]) -> None:
        with self._lock:
            if self._path is None:
                self._state = change(self._state)
                return
            with self._path.with_name(self._path.name + ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                handle, fresh = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}-")
                with os.fdopen(handle, "w") as file:
                    json.dump(change(self._read()), file)
                Path(fresh).replace(self._path)


def _with(seen: Iterable[str], version: str) -> list[str]:
    seen = list(seen)
    return seen if version in seen else [*seen, version][-50:]
