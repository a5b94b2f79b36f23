"""What is installed beside Andon is exactly what was tested: every requirement, down to the last, has its pin."""

from __future__ import annotations

import re
from importlib.metadata import distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.project.tree import ROOT

LINES = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]


def pins() -> dict[str, str]:
    """Version by name."""
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in LINES)}


def test_each_line_is_a_name_and_a_version() -> None:
    """No hashes, hosts, paths or ranges: the file works with whatever index people have."""
    for line in LINES:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.+!_-]*", line), line
    assert len(pins()) == len(LINES), "a name stands there twice"
    names = [line.partition("==")[0].casefold() for line in LINES]
    assert sorted(names) == names, "as pip freeze writes it"


def test_every_requirement_is_pinned_and_every_pin_required() -> None:
    needed: set[str] = set()
    waiting = [Requirement(f"andon[{extra}]") for extra in ("dev",)]
    while waiting:
        wanted = waiting.pop()
        for text in distribution(wanted.name).requires or []:
            requirement = Requirement(text)
            extras = wanted.extras or {""}
            if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
                name = canonicalize_name(requirement.name)
                assert name in pins(), f"{name}, which {wanted.name} needs, has no pin"
                assert requirement.specifier.contains(pins()[name], prereleases=True), f"{requirement} forbids its pin"
                if name not in needed:
                    needed.add(name)
                    waiting.append(requirement)
    assert set(pins()) <= needed, f"nobody needs {set(pins()) - needed}"
