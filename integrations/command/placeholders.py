"""Fill in the arguments of programs and the addresses of probes, so that no value can be more than a value.

`{version}` may stand for a whole argument or within one. A program gets its arguments as a list, never through a shell;
what could still be taken for something else is refused: an argument that becomes an option because of what was filled
in, and text of others where a shell reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from core.errors import PermanentError
from core.releases.problems import Path, Problem, nearest, shown

OF_A_DEPLOYMENT = (
    "service", "pipeline", "stage", "target", "version", "digest", "artifact", "key",
    "previous_version", "previous_digest", "batch_percent", "healthy_percent", "is_rollback",
)  # fmt: skip
"""What is known when something is deployed; a running probe knows `target` alone."""
OF_A_TARGET = ("target",)
VALUES = "values."
"""Before the names that a target's `values:` gives."""
UNTRUSTED = frozenset({"version", "artifact", "previous_version"})
"""Text of whoever announces: anything may stand there."""
SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "busybox", "su", "script"})
REMOTE = frozenset({"ssh", "rsh", "autossh"})
"""They hand their arguments to a shell on the other side."""

_PLACE = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_.]*)\}")


def used(text: str) -> list[str]:
    """The names of the placeholders of a text, in order."""
    return [found[1] for found in _PLACE.finditer(text) if found[1]]


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with every placeholder filled in; `{{` and `}}` stand for single braces."""

    def one(found: re.Match[str]) -> str:
        name = found[1]
        return values[name] if name else found[0][0]

    return _PLACE.sub(one, text)


def arguments(template: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """A program's arguments; raises PermanentError where a value would be taken for an option.

    After an argument that is `--` nothing is an option any more. An argument that begins with fixed text is what that
    text makes of it: `--to={version}` is safe with every version.
    """
    made: list[str] = []
    for each in template:
        argument = filled(each, values)
        name = _first(each)
        if name and argument.startswith("-") and "--" not in template[: len(made)]:
            raise PermanentError(
                f"The {_called(name)} begins with a dash, and `{shown(template[0], 40)}` would take it for an option. "
                f"Write `--` before `{shown(each, 40)}` in its arguments, or give it a name that begins otherwise."
            )
        made.append(argument)
    return made


def problems(template: Sequence[str], known: Sequence[str], path: Path) -> Iterator[Problem]:
    """What is wrong with the arguments of a program, whatever will be filled in."""
    for number, argument in enumerate(template):
        yield from unknown(argument, known, (*path, number))
        if number == 0 and used(argument):
            yield Problem(
                (*path, 0), "the program itself must not depend on what is deployed", "name the program; fill in behind"
            )
        if "\0" in argument:
            yield Problem((*path, number), "an argument cannot hold a NUL character", "take it out")
    yield from _read_by_shells(template, path)


def unknown(text: str, known: Sequence[str], path: Path) -> Iterator[Problem]:
    """The placeholders of a text that nothing fills in."""
    for name in used(text):
        if name not in known:
            mend = (
                nearest(name, known)
                if not name.startswith(VALUES)
                else f"give every target `values: {{{name[7:]}: …}}`"
            )
            yield Problem(path, f"there is no `{{{shown(name, 40)}}}` here", mend)


def _read_by_shells(template: Sequence[str], path: Path) -> Iterator[Problem]:
    program = PurePosixPath(template[0]).name if template else ""
    for number, argument in enumerate(template[1:], start=1):
        foreign = [name for name in used(argument) if name in UNTRUSTED]
        is_script = program in SHELLS and re.fullmatch(r"-[a-z]*c", template[number - 1]) and used(argument)
        if is_script:
            yield Problem(
                (*path, number),
                f"`{program}` would run what is filled in as commands",
                'let the script read the environment instead: `"$ANDON_VERSION"`, in quotes',
            )
        elif program in REMOTE and foreign:
            yield Problem(
                (*path, number),
                f"`{program}` hands its arguments to a shell, and `{{{foreign[0]}}}` may hold anything",
                "fill in `{digest}`, which is plain, or use a program that takes arguments",
            )


def _first(template: str) -> str:
    """The placeholder that a text begins with; empty if it begins otherwise."""
    found = _PLACE.match(template)
    return found[1] or "" if found else ""


def _called(name: str) -> str:
    return name.removeprefix(VALUES).replace("_", " ")
