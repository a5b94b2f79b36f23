"""What an operator may set: how hosts are reached, what is done on each, and which hosts a target has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from core.releases.fields import Duration, Shorthand
from core.releases.problems import Problem, Strict, refusal, shown, validated
from integrations.command.placeholders import REMOTE, SHELLS, UNTRUSTED, VALUES, unknown, used

PLACES = ("version", "digest", "release", "root", "target", "host")
"""What may stand in every command, beside the values of a host."""
_FETCH_PLACES = ("artifact", "file")
_ADDRESS = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]+(%[A-Za-z0-9]+)?")

Word = Annotated[str, StringConstraints(max_length=4096, pattern=r"^[^\x00\n\r]*$")]
Account = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$")]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,199}$")]
Port = Annotated[int, Field(ge=1, le=65535)]


def _command(words: list[str]) -> list[str]:
    if not words or not words[0] or words[0].startswith("-") or UNTRUSTED.intersection(used(words[0])):
        raise refusal("a command begins with the name of a program", 'write a list, as `["lbctl", "drain", "{host}"]`')
    for number, word in enumerate(words):
        before, after = words[:number], words[number + 1 :]
        if re.match(r"\{(version|artifact)\}", word) and "--" not in before:
            raise refusal(
                "what a version says could be taken for an option",
                "write `--version={version}`, or `--` before it, or let the program read ANDON_VERSION",
            )
        program = PurePosixPath(word).name
        is_script = program in SHELLS and any(re.fullmatch(r"-[a-z]*c", each) for each in after)
        if is_script and any(used(each) for each in after):
            raise refusal(
                f"`{shown(program, 20)}` would run what is filled in as commands",
                'let the script read the environment instead: `"$ANDON_VERSION"`, in quotes',
            )
        if program in REMOTE and UNTRUSTED.intersection(name for each in after for name in used(each)):
            raise refusal(
                f"`{program}` hands its arguments to a shell, and a version may hold anything",
                "fill in `{digest}`, which is plain",
            )
    return words


def _address(value: str) -> str:
    if not _ADDRESS.fullmatch(value) or len(value) > 253:
        raise refusal(f"`{shown(value)}` is no name or address of a host", "write `web-1.example.com` or `10.0.0.5`")
    return value


def _place_of_files(value: str) -> str:
    path = PurePosixPath(value)
    if not path.is_absolute() or ".." in path.parts or len(path.parts) < 3 or not value.isprintable():
        raise refusal(
            f"`{shown(value)}` is no directory that Andon could have for itself", "write one such as `/srv/checkout`"
        )
    return value.rstrip("/")


def _file(value: str) -> str:
    if not PurePosixPath(value).is_absolute() or not value.isprintable():
        raise refusal(f"`{shown(value)}` is no whole path", "write the path from `/`, on the machine Andon runs on")
    return value


def _asked_url(value: str) -> str:
    if not re.fullmatch(r"https?://[!-~]{1,2000}", value):
        raise refusal(f"`{shown(value)}` is no web address", "write it as the host sees it: `http://127.0.0.1:8080/`")
    if re.match(r"https?://[^/?#]*@", value):
        raise refusal("an address in a file must carry no user or password", "ask with a `command` that knows them")
    return value


Command = Annotated[list[Word], Field(max_length=256), AfterValidator(_command)]
Address = Annotated[str, AfterValidator(_address)]
FilePath = Annotated[str, AfterValidator(_file)]
AskedUrl = Annotated[str, AfterValidator(_asked_url)]


class Jump(Strict):
    """A host through which the others are reached."""

    address: Address = Field(examples=["bastion.example.com"])
    port: Port = 22
    user: Account | None = None
    """Left out: the same as on the hosts."""


class Question(Strict):
    """How something is asked on the host itself: by an address, or by a command."""

    url: AskedUrl | None = None
    command: Command | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.url is None) == (self.command is None):
            raise refusal("say either `url` or `command`", "write `{url: http://127.0.0.1:8080/healthz}`")
        return self


class Health(Question):
    """When a host is healthy: the address answers 2xx, or the command ends with 0, so many times in a row."""

    within: Duration = timedelta(seconds=60)
    every: Duration = timedelta(seconds=1)
    times: int = Field(default=3, ge=1, le=100)
    patience: Duration = timedelta(seconds=5)
    """For one look."""


class Patience(Strict):
    """How long each kind of command may take before it is killed, and that confirmed."""

    command: Duration = timedelta(minutes=2)
    fetch: Duration = timedelta(minutes=30)
    unpack: Duration = timedelta(minutes=10)
    answer: Duration = timedelta(seconds=30)
    """For a host to answer one question."""


class HostsConfig(Strict):
    """The `with:` that all hosts have in common."""

    user: Account = Field(examples=["andon"])
    known_hosts: FilePath = Field(examples=["/etc/andon/known_hosts"])
    key_file: FilePath | None = None
    passphrase_env: Variable | None = None
    agent: bool = False
    jump: Jump | None = None
    connections: int = Field(default=16, ge=1, le=200)
    """Hosts that are talked to at the same time."""

    root: Annotated[str, AfterValidator(_place_of_files)] = Field(examples=["/srv/checkout"])
    strip: int = Field(default=0, ge=0, le=10)
    """Directories to take off the names in the archive."""
    keep: int = Field(default=3, ge=1, le=100)
    unit: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9@][A-Za-z0-9:_.@\\-]{0,200}$")] | None = None
    sudo: bool = False
    """Whether systemctl is asked through sudo."""
    drain: Command | None = None
    drained: Duration = timedelta()
    """How long to wait after `drain`, for requests in flight."""
    stop: Command | None = None
    start: Command | None = None
    undrain: Command | None = None
    health: Health | None = None
    running: Question | None = None
    """What the service itself says it runs; its digest must be in the answer."""
    fetch: Command | None = None
    """Brings `{artifact}` to `{file}`, where that is neither a path here nor a web address."""
    one_per_zone: bool = False
    patience: Patience = Patience()

    def systemctl(self, verb: str) -> list[str]:
        """A command for the unit."""
        return [*(["sudo", "-n"] if self.sudo else []), "systemctl", verb, self.unit or ""]

    def commands(self) -> Iterator[tuple[str, list[str]]]:
        """Every command there is, with the key it stands under."""
        for name in ("drain", "stop", "start", "undrain", "fetch"):
            if (words := getattr(self, name)) is not None:
                yield name, words
        for name in ("health", "running"):
            question: Question | None = getattr(self, name)
            if question is not None:
                yield name, question.command or [question.url or ""]

    @field_validator("root", mode="after")
    @classmethod
    def _root_is_known(cls, root: str) -> str:
        if set(used(root)) - {"host", "target"}:
            raise refusal("only `{host}` and `{target}` may stand in `root`", "take the other out")
        return root

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.key_file is None and not self.agent:
            raise refusal("it is not said which key opens the hosts", "add `key_file: /etc/andon/key` or `agent: true`")
        if self.unit is None and self.start is None:
            raise refusal(
                "it is not said how the service starts", "add `unit: checkout.service`, or `start` and `stop`"
            )
        if self.unit is None and self.health is None:
            raise refusal(
                "it is not said when the service is healthy", "add `health: {url: http://127.0.0.1:8080/healthz}`"
            )
        return self


class HostEntry(Shorthand):
    """One host of a target. `values` fill places of its own in commands: `{values.backend}`, `{values.port}`."""

    short_key: ClassVar[str] = "name"

    name: Address = Field(examples=["web-1.example.com"])
    """What people read, and `{host}`."""
    address: Address | None = None
    port: Port = 22
    zone: Annotated[str, StringConstraints(pattern=r"^[!-~]{0,60}$")] = ""
    values: Mapping[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,40}$")], Word] = Field(
        default_factory=dict, max_length=20
    )


class HostsTarget(Strict):
    """The `with:` of one target: its hosts."""

    hosts: list[HostEntry] = Field(min_length=1, max_length=500, examples=[["web-1.example.com"]])

    @field_validator("hosts", mode="after")
    @classmethod
    def _names_differ(cls, hosts: list[HostEntry]) -> list[HostEntry]:
        names = [host.name for host in hosts]
        for name in names:
            if names.count(name) > 1:
                raise refusal(f"`{name}` is named twice", "name every host once")
        return hosts


def read(
    settings: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]
) -> tuple[HostsConfig | None, dict[str, HostsTarget], list[Problem]]:
    """The settings and those of each target; or what is wrong, with paths from the place of the deployer."""
    config, found = validated(HostsConfig, dict(settings))
    wrong = [replace(problem, path=("with", *problem.path)) for problem in found]
    known: dict[str, HostsTarget] = {}
    for name, own in targets.items():
        target, found = validated(HostsTarget, dict(own))
        wrong += [replace(problem, path=("targets", name, *problem.path)) for problem in found]
        if target is not None:
            known[name] = target
    if config is not None and not wrong:
        wrong += (*_unfilled(config, known), *_shared(config, known))
    return config, known, wrong


def _unfilled(config: HostsConfig, targets: Mapping[str, HostsTarget]) -> Iterator[Problem]:
    """Places in commands that nothing fills: a value is there if every host has it."""
    entries = [host for target in targets.values() for host in target.hosts]
    shared = set.intersection(*(set(host.values) for host in entries)) if entries else set()
    own = tuple(f"{VALUES}{name}" for name in sorted(shared))
    for key, words in config.commands():
        known = (*PLACES, *own, *(_FETCH_PLACES if key == "fetch" else ()))
        for word in words:
            for problem in unknown(word, known, ("with", key)):
                yield replace(problem, mend=problem.mend.replace("every target", "every host"))


def _shared(config: HostsConfig, targets: Mapping[str, HostsTarget]) -> Iterator[Problem]:
    """Directories that two targets would have in common."""
    seen: dict[tuple[str, int, str], str] = {}
    for name, target in targets.items():
        for host in target.hosts:
            place = (host.address or host.name, host.port, root_of(config, name, host))
            if (other := seen.setdefault(place, name)) != name:
                sentence = f"{shown(host.name)} has the same `root` for {other} and for {name}"
                yield Problem(("targets", name, "hosts"), sentence, "put `{target}` into `root`")


def root_of(config: HostsConfig, target: str, host: HostEntry) -> str:
    """The directory on a host."""
    return config.root.replace("{host}", host.name).replace("{target}", target)
