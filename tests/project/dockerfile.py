"""Reads the Dockerfile: its instructions in order, by stage, so that tests can judge and run them without an engine."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Instruction:
    """One line of it, joined where it was continued."""

    stage: int
    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its arguments; of the JSON form, the list."""
        return json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)


def instructions() -> list[Instruction]:
    """All of them, from the first FROM on."""
    found: list[Instruction] = []
    stage, begun = -1, ""
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.lstrip().startswith("#") or not line.strip():
            continue
        begun += line.strip().removesuffix("\\")
        if line.endswith("\\"):
            continue
        name, _, text = begun.partition(" ")
        stage += name == "FROM"
        found.append(Instruction(stage, name, text.strip()))
        begun = ""
    return found


def of(name: str, stage: int | None = None) -> list[Instruction]:
    """Those of one name, of one stage or of all."""
    return [i for i in instructions() if i.name == name and stage in (None, i.stage)]
