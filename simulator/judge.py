"""Looks at one JSON value inside a payload and notes what Slack would say is wrong with it, and where."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any


class Node:
    """A JSON value, its JSON pointer, and the list which collects faults of the whole payload."""

    def __init__(self, value: Any, pointer: str = "", faults: list[str] | None = None) -> None:
        self.value = value
        self.pointer = pointer
        self.faults: list[str] = [] if faults is None else faults

    def fault(self, what: str) -> None:
        """Note a fault at this place, worded as Slack's `response_metadata.messages` are."""
        self.faults.append(f"[ERROR] {what} [json-pointer:{self.pointer or '/'}]")

    def child(self, key: str | int) -> Node:
        """Return the value under `key`; it must be there."""
        return Node(self.value[key], f"{self.pointer}/{key}", self.faults)

    def has(self, key: str) -> bool:
        """Say whether this object holds `key` with something else than null."""
        return isinstance(self.value, dict) and self.value.get(key) is not None

    def fields(self, required: str, optional: str = "") -> bool:
        """Check that this is an object with all `required` and only known keys (names split by spaces)."""
        if not isinstance(self.value, dict):
            self.fault("must be an object")
            return False
        needed, known = required.split(), {*required.split(), *optional.split(), "type"}
        missing = [key for key in needed if self.value.get(key) is None]
        for key in missing:
            self.fault(f"missing required field: {key}")
        for key in self.value:
            if key not in known:
                self.fault(f"invalid additional property: {key}")
        return not missing

    def string(self, key: str, most: int, least: int = 1, pattern: str | None = None) -> str | None:
        """Check the optional string under `key` and return it when it is one."""
        if not self.has(key):
            return None
        here = self.child(key)
        if not isinstance(here.value, str):
            here.fault("must be a string")
            return None
        if len(here.value) < least:
            here.fault(f"must be more than {least - 1} characters")
        if len(here.value) > most:
            here.fault(f"must be less than {most + 1} characters")
        if pattern is not None and not re.fullmatch(pattern, here.value):
            here.fault("failed to match the required pattern")
        return here.value

    def flag(self, *keys: str) -> None:
        """Check that each of `keys`, where given, is a boolean."""
        for key in keys:
            if self.has(key) and not isinstance(self.value[key], bool):
                self.child(key).fault("must be a boolean")

    def whole(self, key: str, least: int, most: int) -> int | None:
        """Check the optional integer under `key`."""
        if not self.has(key):
            return None
        here = self.child(key)
        if not isinstance(here.value, int) or isinstance(here.value, bool):
            here.fault("must be an integer")
            return None
        if not least <= here.value <= most:
            here.fault(f"must be between {least} and {most}")
        return here.value

    def one_of(self, key: str, allowed: Collection[Any]) -> None:
        """Check that the optional value under `key` is one of `allowed`."""
        if self.has(key) and self.value[key] not in allowed:
            self.child(key).fault(f"must be one of: {', '.join(sorted(map(str, allowed)))}")

    def items(self, key: str, most: int, least: int = 1) -> list[Node]:
        """Check the optional array under `key` and return its items."""
        return self.child(key).array(most, least) if self.has(key) else []

    def array(self, most: int, least: int = 1) -> list[Node]:
        """Check that this is an array of `least` to `most` items and return them."""
        if not isinstance(self.value, list):
            self.fault("must be an array")
            return []
        if len(self.value) < least:
            self.fault(f"no less than {least} items allowed" if least > 1 else "must have at least 1 item")
        if len(self.value) > most:
            self.fault(f"no more than {most} items allowed")
        return [self.child(index) for index in range(len(self.value))]
