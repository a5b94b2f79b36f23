"""What definition files say of where releases come from: whose builds a pipeline takes, and how sources are reached."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from core.ports import BuildEvent
from core.releases.fields import Line, Name, Settings, Shorthand, Variable, json_text
from core.releases.problems import Strict, nearest, refusal, shown

FILLED = ("tag", "branch", "commit", "short", "number", "attempt", "digest", "repository", "name", "version")
"""What may stand between braces: `short` is the commit's first twelve characters, `name` the repository's last part."""
_FILLED = re.compile(r"\{([^{}]*)\}")
_GIT = re.compile(
    r"(https|ssh)://[^\s'\"\\-][^\s'\"\\]*|/[^\s'\"\\]*|[A-Za-z0-9_][A-Za-z0-9._-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^\s'\"\\-][^\s'\"\\]*"
)


def _template(value: str) -> str:
    for name in _FILLED.findall(value):
        if name not in FILLED:
            raise refusal(f"`{{{shown(name, 30)}}}` is nothing that a build has", nearest(name, FILLED))
    if "{" in _FILLED.sub("", value) or "}" in _FILLED.sub("", value):
        raise refusal("a brace stands alone", "write `{tag}`, for example")
    return value


def filled(template: str, values: Mapping[str, str]) -> str:
    """A template with its braces filled in."""
    return _FILLED.sub(lambda found: values.get(found[1], ""), template)


def named_in(template: str) -> frozenset[str]:
    """What a template asks for."""
    return frozenset(_FILLED.findall(template))


def _git(value: str) -> str:
    if not _GIT.fullmatch(value) or len(value) > 500:
        raise refusal(
            f"`{shown(value)}` is no git repository",
            "write `https://…`, `ssh://…`, `git@HOST:PATH` or the absolute path of a local mirror",
        )
    if re.match(r"https://[^/]*@", value):
        raise refusal("an address in a file must carry no user or password", "name a variable: `token_env: …`")
    return value


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str) else value


Template = Annotated[Line, AfterValidator(_template)]
Patterns = Annotated[list[Line], Field(min_length=1, max_length=20), BeforeValidator(_one_or_many)]
GitAddress = Annotated[str, AfterValidator(_git)]


class SourcePart(Strict):
    """Builds of one kind that become releases of this pipeline."""

    from_: Name = Field(alias="from", description="A source of the organisation file.", examples=["github"])
    event: Annotated[BuildEvent, Field(strict=False)] = Field(
        description="What happened: a `run` succeeded, a `release` was published …", examples=["run"]
    )
    repository: Line = Field(description="Whose, as the source names it.", examples=["acme/checkout"])
    workflow: Line | None = Field(default=None, description="Only runs of this workflow, by file or name [any].")
    branch: Patterns | None = Field(default=None, description="Only of these; `*` stands for anything [the default].")
    tag: Patterns | None = Field(default=None, description="Only with these tags [any; of images all but `latest`].")
    prereleases: bool = Field(default=False, description="Take pre-releases too [false].")
    version: Template | None = Field(default=None, description="What people call it [`{tag}`, of a run `{number}`].")
    artifact: Template | None = Field(default=None, description="What the deployer is given [the image, the commit].")
    image: Template | None = Field(
        default=None, description="The image; its digest is asked of its registry.", examples=["…/checkout:{short}"]
    )
    asset: Line | None = Field(default=None, description="The file of a release or run whose digest it is.")
    identity: Literal["commit"] | None = Field(
        default=None, description="`commit`: what is deployed is the commit itself."
    )

    @model_validator(mode="after")
    def _one_identity(self) -> Self:
        """What exactly is deployed is said in one way."""
        said = [key for key in ("image", "asset", "identity") if getattr(self, key) is not None]
        if len(said) > 1:
            raise refusal(f"`{said[0]}` and `{said[1]}` both say what is deployed", "keep one of them")
        if self.event in (BuildEvent.RUN, BuildEvent.TAG, BuildEvent.PUSH, BuildEvent.DEPLOYMENT) and not said:
            raise refusal(
                f"a `{self.event.value}` alone does not say what exactly is deployed",
                "add `image: HOST/NAME:{short}`, `asset: FILE`, or `identity: commit`",
            )
        if self.event is BuildEvent.RELEASE and not said:
            raise refusal(
                "a release alone does not say what exactly is deployed",
                "add `asset: FILE`, `image: HOST/NAME:{tag}`, or `identity: commit`",
            )
        if self.asset and self.event not in (BuildEvent.RUN, BuildEvent.RELEASE):
            raise refusal(f"a `{self.event.value}` has no files", "take `asset` out")
        for key, later in (("version", {"version", "digest"}), ("image", {"digest"})):
            if named_in(getattr(self, key) or "") & later:
                raise refusal(f"`{key}` cannot be made of what is made of it", "use `{tag}`, `{short}` or `{number}`")
        return self


class RepositoryPart(Shorthand):
    """The code repository, from which Andon itself finds ancestors, changes and authors."""

    short_key: ClassVar[str] = "url"
    url: GitAddress = Field(description="What git fetches from.", examples=["https://code.example.com/checkout.git"])
    token_env: Variable | None = Field(default=None, description="Name of the variable with a token for https.")
    key_file: Line | None = Field(default=None, description="A private key for ssh, on the machine of Andon.")
    web: Line | None = Field(default=None, description="Where people see a comparison: `https://…/{base}...{head}`.")


class Origin(Strict):
    """Where the releases of a pipeline come from, as its file says."""

    sources: list[SourcePart] = Field(default_factory=list)
    repository: RepositoryPart | None = None

    @property
    def text(self) -> str:
        """As canonical JSON; empty where the file says nothing."""
        if not self.sources and self.repository is None:
            return ""
        return json_text(self.model_dump(mode="json", by_alias=True, exclude_none=True))

    @classmethod
    def of(cls, sources: list[SourcePart], repository: RepositoryPart | None) -> Origin:
        """The origin that a file speaks of."""
        return cls(sources=sources, repository=repository)

    @classmethod
    def read(cls, text: str) -> Origin:
        """The origin of such a text."""
        return cls.model_validate_json(text) if text else cls()


class SourceConnectionPart(Strict):
    """How a source is let in, and reached."""

    use: Name | None = Field(default=None, description="Which source it is [its name].", examples=["github"])
    with_: Settings = Field(default_factory=dict, alias="with", description="The source's own settings.")


class RegistryPart(Strict):
    """Credentials of an image registry; they stand in the environment."""

    username_env: Variable | None = Field(default=None, description="Name of the variable with the user's name.")
    password_env: Variable | None = Field(default=None, description="Name of the variable with the password or token.")
    url: Line | None = Field(default=None, description="Where it is reached [https:// and its name].")
