"""The company that the storm passes over: services with quick pipelines, and their people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.scenarios.props import PEOPLE, people

VOICES = tuple(PEOPLE)


def service(number: int) -> str:
    """The name of a service; its channel has the same."""
    return f"s{number}"


def targets(name: str) -> tuple[str, ...]:
    """All targets of a service, in the order of its stages."""
    return (f"{name}-beta", f"{name}-box", f"{name}-1", f"{name}-2")


def organisation() -> dict[str, Any]:
    """Everybody may approve and owns everything: the storm is not about authority."""
    org = people()
    org["groups"] = {"approvers": list(VOICES), "on-call": list(VOICES)}
    org["teams"] = {"shop": {"members": list(VOICES), "owners": list(VOICES), "on_call": "on-call"}}
    return org


def pipeline(name: str, bake: str) -> dict[str, Any]:
    """Beta, and a one-box and a wave of production after an approval."""
    beta, box, one, two = targets(name)
    return {
        "service": name,
        "team": "shop",
        "channel": f"#{name}",
        "deployer": {"use": "scripted"},
        "watch": bake,
        "rollback_guard": "10s",
        "stages": [
            {"name": "beta", "targets": [beta], "bake": "0s"},
            {"name": "one-box", "group": "production", "targets": [box], "bake": {"for": bake}},
            {"name": "wave", "group": "production", "targets": [one, two], "bake": {"for": bake}, "batch": 50},
        ],
        "groups": {"production": {"approval": {"count": 1, "by": ["approvers"]}}},
        "alarms": [
            {
                "name": "errors", "source": "webhook", "scope": "production", "silence_is": "ok",
                "match": {"alarm": f"{name}-errors"},
            },
        ],
    }  # fmt: skip


def write(folder: Path, services: int, bake: str) -> None:
    """Put the configuration directory of the company into a folder."""
    (folder / "pipelines").mkdir(parents=True)
    # JSON is YAML too.
    (folder / "org.yaml").write_text(json.dumps(organisation()))
    for number in range(services):
        name = service(number)
        (folder / "pipelines" / f"{name}.yaml").write_text(json.dumps(pipeline(name, bake)))
