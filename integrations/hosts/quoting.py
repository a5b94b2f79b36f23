"""The one place where words become text for a shell: SSH carries a single string, and a plan is a script."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping

from core.errors import PermanentError

_PLACE = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_.]*)\}")


def quoted(word: str) -> str:
    """A word that a POSIX shell reads back as exactly this, whatever is in it."""
    if "\0" in word:
        raise PermanentError("A word of a command holds a zero byte, which no command line can carry.")
    return shlex.quote(word)


def line(words: Iterable[str]) -> str:
    """A command line of these words, and nothing but these."""
    return " ".join(quoted(word) for word in words)


def filled(word: str, variables: Mapping[str, str], values: Mapping[str, str]) -> str:
    """A word with its places, as a shell is to read it: `{version}` becomes a reference to a variable.

    `variables` maps places to names of shell variables, `values` places to texts known now. What a variable holds is
    never read as shell again, and a value is never read as a place. `{{` and `}}` stand for single braces.
    """
    parts: list[str] = []
    end = 0
    for found in _PLACE.finditer(word):
        name = found[1]
        if found.start() > end:
            parts.append(quoted(word[end : found.start()]))
        if name in variables:
            parts.append(f'"${{{variables[name]}}}"')
        else:
            parts.append(quoted(values.get(name, found[0]) if name else found[0][0]))
        end = found.end()
    if end < len(word) or not parts:
        parts.append(quoted(word[end:]))
    return "".join(parts)
