"""What a host is told to do, as a script of definitions: functions that run commands, and variables they refer to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from core.errors import PermanentError
from core.releases.durations import duration_text
from core.releases.problems import shown
from integrations.command.placeholders import VALUES, used
from integrations.hosts.config import HostEntry, HostsConfig, Question
from integrations.hosts.quoting import filled, quoted

_VARIABLES: Mapping[str, str] = {
    "version": "A_version",
    "digest": "A_digest",
    "release": "A_release",
    "root": "A_root",
    "target": "A_target",
    "host": "A_host",
    "artifact": "A_artifact",
    "file": "part",
}
_FETCHED = ("https://", "http://")


def plan(
    config: HostsConfig, target: str, host: HostEntry, *, hex_digest: str = "", version: str = "", artifact: str = ""
) -> str:
    """The script for one host: without a digest, only what asks what runs there."""
    if not version.isprintable():
        raise PermanentError(f"The version `{shown(version)}` has characters that cannot be printed.")
    patience, health = config.patience, config.health
    settings = {
        "A_hex": hex_digest,
        "A_version": version,
        "A_artifact": artifact,
        "A_target": target,
        "A_host": host.name,
        "A_keep": str(config.keep),
        "A_strip": str(config.strip),
        "A_drained": _seconds(config.drained),
        "A_unpack": _seconds(patience.unpack),
        "A_within": str(round((health.within if health else timedelta(seconds=60)).total_seconds() * 100)),
        "A_within_text": duration_text(health.within) if health else "1m",
        "A_every": _seconds(health.every) if health else "1",
        "A_times": str(health.times) if health else "3",
    }
    lines = [f"{name}={quoted(value)}" for name, value in settings.items()]
    stop = config.stop or (config.systemctl("stop") if config.unit else None)
    start = config.start or (config.systemctl("restart") if config.unit else None)
    for name, words in (("drain", config.drain), ("stop", stop), ("start", start), ("undrain", config.undrain)):
        if words is not None:
            lines.append(_function(name, _run(words, host, patience.command)))
    lines.append(_function("health", _health(config, host)))
    if config.running is not None:
        lines.append(_function("running", _asked(config.running, host, patience.answer / 2, "http_get")))
    if artifact.startswith(_FETCHED) and config.fetch is None:
        lines.append(_function("fetch", f'http_fetch {_seconds(patience.fetch)} "$A_artifact" "$part"'))
    elif config.fetch is not None and not artifact.startswith("/"):
        lines.append(_function("fetch", _run(config.fetch, host, patience.fetch)))
    return "\n".join((*lines, "# end", ""))


def needed(config: HostsConfig, artifact: str) -> list[str]:
    """The programs that the commands begin with, as a host is asked for them before anything begins."""
    named = [words[0] for key, words in config.commands() if key != "fetch" or not is_uploaded(artifact)]
    urls = [name for name in named if name.startswith(_FETCHED)]
    programs = {name for name in named if name not in urls and not used(name)}
    if config.unit is not None:
        programs |= {"systemctl", *(("sudo",) if config.sudo else ())}
    if urls or (artifact.startswith(_FETCHED) and config.fetch is None):
        programs.add("curl-or-wget")
    return sorted(programs)


def is_uploaded(artifact: str) -> bool:
    """Whether Andon itself brings an artifact to the hosts: a file beside it."""
    return artifact.startswith("/")


def _health(config: HostsConfig, host: HostEntry) -> str:
    if config.health is None:
        return _run(["systemctl", "is-active", "--quiet", config.unit or ""], host, config.patience.answer)
    return _asked(config.health, host, config.health.patience, "http_ok")


def _asked(question: Question, host: HostEntry, patience: timedelta, by_url: str) -> str:
    if question.command is not None:
        return _run(question.command, host, patience)
    return f"{by_url} {_seconds(patience)} {filled(question.url or '', _VARIABLES, _values(host))}"


def _run(words: Sequence[str], host: HostEntry, patience: timedelta) -> str:
    return " ".join(("run", _seconds(patience), *(filled(word, _VARIABLES, _values(host)) for word in words)))


def _values(host: HostEntry) -> dict[str, str]:
    return {f"{VALUES}{name}": value for name, value in host.values.items()}


def _function(name: str, body: str) -> str:
    return f"do_{name}() {{ {body}; }}"


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():g}"
