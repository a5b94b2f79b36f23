"""Names of environment variables in definitions: secrets are named there, never written; Andon's own go to nobody."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from core.releases.problems import refusal

OWN_NAMES = ("ANDON_", "SLACK_", "DATABASE_")
"""Variables that begin so are Andon's own, and its secrets are among them."""


def _lent(value: str) -> str:
    if value.startswith(OWN_NAMES):
        raise refusal(f"`{value}` is Andon's own and is given to nobody", "make a secret for this alone")
    return value


Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
Lent = Annotated[Variable, AfterValidator(_lent)]
