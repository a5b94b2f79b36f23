"""Who asks GitHub, and where, as definition files say it; needs no package of GitHub's, so it is checked without."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from core.releases.fields import Url
from core.releases.problems import Strict, refusal

Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$", examples=["GITHUB_TOKEN"])]
"""The name of an environment variable."""


class AppAccess(Strict):
    """A GitHub App: its id, its private key (a file, or the name of a variable), and where it is installed."""

    id: Annotated[int, Field(gt=0)] | Annotated[str, Field(pattern=r"^[A-Za-z0-9.]{1,60}$")]
    installation: int = Field(gt=0, examples=[12345678])
    key_file: str | None = None
    key_env: Variable | None = None

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if (self.key_file is None) == (self.key_env is None):
            raise refusal(
                "a GitHub App needs its private key from one place",
                "write `key_file: PATH`, or `key_env: VARIABLE` with the key in that variable",
            )
        return self


class Access(Strict):
    """Where the API is and who asks; a base of `with:` wherever GitHub is asked.

    The variable is always named, so that a definition is seen to use a token, and whose.
    """

    api: Url = "https://api.github.com"
    token_env: Variable | None = None
    app: AppAccess | None = None

    @model_validator(mode="after")
    def _one_identity(self) -> Self:
        if (self.token_env is None) == (self.app is None):
            raise refusal(
                "GitHub must be asked by somebody: a token or an app, and not both",
                "write `token_env: GITHUB_TOKEN`, or `app: {id: …, installation: …, key_file: …}`",
            )
        return self
