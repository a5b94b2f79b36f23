"""Reading a workflow's file before it is run: can its runs be found again, and what does it want to be told?"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from core.errors import PermanentError
from integrations.github.client import Api

KEY_INPUT = "andon_key"
_NAMES_KEY = re.compile(r"\$\{\{[^}]*\binputs\.andon_key\b[^}]*\}\}")


@dataclass(frozen=True, slots=True)
class WorkflowFile:
    """The inputs a workflow declares, and whether its `run-name` carries our key."""

    inputs: frozenset[str]
    names_key: bool
    can_be_run: bool


async def read_workflow(api: Api, repository: str, workflow: str, ref: str) -> WorkflowFile:
    """The workflow as it stands at `ref`; raises PermanentError where it is not there or cannot be read."""
    found = await api.get(
        f"show the workflow {workflow} of {repository} at {ref}",
        f"/repos/{repository}/contents/.github/workflows/{workflow}{{?ref}}",
        ref=ref,
    )
    try:
        text = base64.b64decode(found["content"]).decode("utf-8")
        # Only texts are made of it: to YAML 1.1, the key `on` is a truth value.
        document = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - the safest there is
    except (binascii.Error, UnicodeDecodeError, KeyError, TypeError, yaml.YAMLError):
        raise PermanentError(f"{workflow} of {repository} at {ref} is no workflow that can be read.") from None
    return understood(document)


def understood(document: Any) -> WorkflowFile:
    """What a workflow's YAML says of itself."""
    if not isinstance(document, Mapping):
        return WorkflowFile(frozenset(), names_key=False, can_be_run=False)
    triggers = document.get("on")
    dispatch = triggers.get("workflow_dispatch") if isinstance(triggers, Mapping) else None
    inputs = dispatch.get("inputs") if isinstance(dispatch, Mapping) else None
    can_be_run = (
        triggers == "workflow_dispatch"
        or (isinstance(triggers, list) and "workflow_dispatch" in triggers)
        or (isinstance(triggers, Mapping) and "workflow_dispatch" in triggers)
    )
    return WorkflowFile(
        inputs=frozenset(inputs) if isinstance(inputs, Mapping) else frozenset(),
        names_key=bool(_NAMES_KEY.search(str(document.get("run-name", "")))),
        can_be_run=can_be_run,
    )
