"""`andon-artifact.json`: how a unit of an artifact is started and asked for its health."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from core.errors import PermanentError

FILE_NAME = "andon-artifact.json"
LARGEST = 64 * 1024
"""Bytes a manifest may have."""

_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "fish", "env"})
_PLACE = re.compile(r"\{(port|target|version|digest)\}")

Word = Annotated[str, StringConstraints(max_length=4096, pattern=r"^[^\x00]*$")]


class Manifest(BaseModel):
    """How a unit starts. `command` is an argument list, never a line for a shell."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: tuple[Word, ...] = Field(min_length=1, max_length=256)
    env: Mapping[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], Word] = Field(
        default_factory=dict
    )
    health: Annotated[str, StringConstraints(pattern=r"^/[!-~]*$")] | None = "/healthz"
    """Path that answers 2xx when the unit can serve; None: a connection is enough."""

    @field_validator("command")
    @classmethod
    def _version_stays_harmless(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        if not command[0] or "{" in command[0]:
            raise ValueError("command must begin with the name of a program")
        if any(word.startswith("{version}") for word in command):
            raise ValueError("a version could be taken for an option: write --version={version}, or read ANDON_VERSION")
        if Path(command[0]).name in _SHELLS and any("{version}" in word for word in command):
            raise ValueError("a shell would run what a version says: let the program read ANDON_VERSION instead")
        return command

    @classmethod
    def read(cls, directory: Path) -> Self:
        """The manifest of the artifact in `directory`; raises `PermanentError` where it is missing or wrong."""
        path = directory / FILE_NAME
        try:
            with path.open("rb") as file:
                text = file.read(LARGEST + 1)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise PermanentError(
                f"The artifact has no {FILE_NAME} at its top, so it is not known how to start it. "
                'Add one, such as {"command": ["python3", "app.py", "--port", "{port}"], "health": "/healthz"}.'
            ) from error
        if len(text) > LARGEST:
            raise PermanentError(f"{FILE_NAME} is larger than {LARGEST} bytes.")
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise PermanentError(f"{FILE_NAME} is wrong: {sentence(error)}") from error

    def arguments(self, *, port: int, target: str, version: str, digest: str) -> list[str]:
        """The command with its places filled in one pass, so that no value is read as a place again."""
        values = {"port": str(port), "target": target, "version": version, "digest": digest}
        return [_PLACE.sub(lambda found: values[found[1]], word) for word in self.command]


def sentence(error: ValidationError) -> str:
    """What pydantic found, in one line and without the values themselves."""
    found = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        place = ".".join(str(part) for part in problem["loc"])
        message = str(problem["msg"]).removeprefix("Value error, ")
        found.append(f"{place}: {message}" if place else message)
    return "; ".join(found[:5])
