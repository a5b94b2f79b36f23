"""What a definition may use that a team applies itself: definitions in files are the operator's, these are not.

Andon acts with its operator's rights. Without limits whoever may write a definition could run programs on its machine,
send its secrets elsewhere by naming their variables, or deploy over another team's service.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from core.releases.problems import Path, Problem, nearest
from core.releases.source_parts import Origin
from core.releases.words import listed

LOCAL_DEPLOYERS = frozenset({"processes", "command", "scripted"})
LOCAL_TESTS = frozenset({"command", "load"})
"""What runs programs on Andon's own machine."""
FILE_KEYS = ("_file", "kubeconfig", "known_hosts")
"""Ends of keys whose value is a file on Andon's machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`{service}`, `{team}` and their `{SERVICE}`, `{TEAM}` for variables stand in all patterns; `*` for anything."""

    deployers: frozenset[str] | None = None
    """None: all but those that run programs on Andon's machine."""
    tests: frozenset[str] | None = None
    variables: tuple[str, ...] = ("{SERVICE}_*", "{TEAM}_*")
    files: tuple[str, ...] = ("/etc/andon/{service}/*", "/etc/andon/{team}/*")
    values: Mapping[str, Mapping[str, tuple[str, ...]]] = field(
        default_factory=lambda: {"kubernetes": {"namespace": ("{service}", "{service}-*", "{team}", "{team}-*")}}
    )
    """By deployer and key: what its settings may say. Left out, such a key is refused as well."""

    def of_deployer(
        self,
        owner: Owner,
        use: str,
        settings: Mapping[str, Any],
        targets: Mapping[str, Mapping[str, Any]],
    ) -> Iterator[Problem]:
        """What is beyond them in a deployer's settings; paths as those of `bot.definitions.Validate`."""
        if not self.lets_deploy(use):
            yield _not_let("deployer", use, self.deployers)
        places: list[tuple[Path, Mapping[str, Any]]] = [(("with",), settings)]
        places += [(("targets", name), own) for name, own in targets.items()]
        for path, said in places:
            yield from self._named(owner, path, said)
        for key, patterns in self.values.get(use, {}).items():
            yield from _values(owner, key, patterns, settings, targets)

    def lets_deploy(self, use: str) -> bool:
        """Whether a team's definition may name this deployer."""
        return _is_let(use, self.deployers, LOCAL_DEPLOYERS)

    def of_test(self, owner: Owner, use: str, settings: Mapping[str, Any]) -> Iterator[Problem]:
        """What is beyond them in a test."""
        if not _is_let(use, self.tests, LOCAL_TESTS):
            yield _not_let("test", use, self.tests)
        yield from self._named(owner, ("with",), settings)

    def of_origin(self, owner: Owner, origin: Origin) -> Iterator[Problem]:
        """What is beyond them in where releases come from: variables and files that the code is reached with."""
        if origin.repository is None:
            return
        said = origin.repository.model_dump(by_alias=True, exclude_none=True)
        yield from self._named(owner, ("repository",), said)
        if origin.repository.url.startswith("/"):
            mend = "have the operator put the mirror there"
            yield from _outside(owner, ("repository",), origin.repository.url, self.files, "directory", mend)

    def _named(self, owner: Owner, path: Path, said: Any) -> Iterator[Problem]:
        """Variables and files that settings name, however deep."""
        if isinstance(said, Mapping):
            for key, value in said.items():
                here = (*path, str(key))
                if key == "agent" and value is True:
                    mend = "name a key of the team's own with `key_file`"
                    yield Problem(here, "a team's definition may not use the keys of Andon's own agent", mend)
                for text in _texts(value):
                    if str(key).endswith(("_env", "env_from")):
                        yield from _outside(owner, here, text, self.variables, "variable", "set one of these for Andon")
                    elif str(key).endswith(FILE_KEYS):
                        yield from _outside(owner, here, text, self.files, "file", "have the operator put it there")
                yield from self._named(owner, here, value)
        elif isinstance(said, list):
            for index, value in enumerate(said):
                yield from self._named(owner, (*path, index), value)


OWN_ONLY = Limits()


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose definition it is."""

    service: str
    team: str

    def filled(self, pattern: str) -> str:
        """A pattern with its names put in."""
        names = {"service": self.service, "team": self.team}
        for name, value in names.items():
            pattern = pattern.replace(f"{{{name}}}", value)
            pattern = pattern.replace(f"{{{name.upper()}}}", value.upper().replace("-", "_"))
        return pattern


def _is_let(use: str, named: frozenset[str] | None, local: frozenset[str]) -> bool:
    return use not in local if named is None else use in named


def _not_let(what: str, use: str, named: frozenset[str] | None) -> Problem:
    sentence = f"the {what} `{use}` may only be used in files on Andon's machine"
    mend = "ask its operator for that, or for `self_service` in the organisation's policy"
    return Problem(("use",), sentence, nearest(use, named) if named else mend)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (inner for inner in value if isinstance(inner, str))


def _outside(owner: Owner, path: Path, text: str, patterns: tuple[str, ...], what: str, mend: str) -> Iterator[Problem]:
    ways = [owner.filled(pattern) for pattern in patterns]
    # A path that climbs could leave whatever it seems to lie in.
    if ".." in text.split("/") or not any(fnmatchcase(text, way) for way in ways):
        yield Problem(path, f"a team's definition may not name this {what}", f"{mend}: {listed(ways, 'or')}")


def _values(
    owner: Owner,
    key: str,
    patterns: tuple[str, ...],
    settings: Mapping[str, Any],
    targets: Mapping[str, Mapping[str, Any]],
) -> Iterator[Problem]:
    ways = [owner.filled(pattern) for pattern in patterns]
    mend = f"write {listed(ways, 'or')}"
    for name, own in targets.items():
        path: Path = ("targets", name, key) if key in own else ("with", key)
        value = own.get(key, settings.get(key))
        if value is None:
            yield Problem(("with",), f"a team's definition must say `{key}` here", mend)
            return
        if not isinstance(value, str) or not any(fnmatchcase(value, way) for way in ways):
            yield Problem(path, f"a team's definition may not say this `{key}`", mend)
