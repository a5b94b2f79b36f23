"""What `andon check` says of `with:`, offline."""

from __future__ import annotations

from typing import Any

import pytest

from bot.adapter_settings import deployer_problems
from core.errors import PermanentError
from core.releases.problems import path_text
from integrations.hosts.deployer import HostsDeployer

GOOD: dict[str, Any] = {
    "user": "deploy",
    "known_hosts": "/etc/andon/known_hosts",
    "key_file": "/etc/andon/key",
    "root": "/srv/checkout",
    "unit": "checkout.service",
}
TARGETS: dict[str, Any] = {
    "one-box": {"hosts": ["web-1"]},
    "rest": {"hosts": ["web-2", {"name": "web-3", "zone": "b", "port": 2222}]},
}


def said(settings: dict[str, Any], targets: dict[str, Any] | None = None) -> list[str]:
    given = {key: value for key, value in {**GOOD, **settings}.items() if value is not None}
    return [
        f"{path_text(problem.path)}: {problem.sentence} — {problem.mend}"
        for problem in deployer_problems("hosts", given, TARGETS if targets is None else targets)
    ]


def test_what_is_right_is_let_past():
    assert said({}) == []
    assert said({"agent": True, "key_file": None, "jump": {"address": "bastion"}, "running": {"command": ["v"]}}) == []
    assert (
        said({"start": ["{release}/run", "{root}/x", "--v={version}", "{{braces}}"], "root": "/srv/{host}/{target}"})
        == []
    )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"known_hosts": None}, "with.known_hosts: `known_hosts` is missing"),
        ({"known_hosts": "known_hosts"}, "is no whole path"),
        ({"key_file": None}, "it is not said which key opens the hosts"),
        ({"unit": None}, "it is not said how the service starts"),
        ({"unit": None, "start": ["x"]}, "it is not said when the service is healthy"),
        ({"unit": "x y"}, "with.unit"),
        ({"root": "/"}, "is no directory that Andon could have for itself"),
        ({"root": "/srv/../etc"}, "is no directory that Andon could have for itself"),
        ({"root": "/srv/{version}"}, "only `{host}` and `{target}` may stand in `root`"),
        ({"user": "a b"}, "with.user"),
        ({"user": "-oProxyCommand"}, "with.user"),
        ({"drain": "touch /x"}, "this must be a list"),
        ({"drain": ["{version}"]}, "a command begins with the name of a program"),
        ({"drain": []}, "a command begins with the name of a program"),
        ({"drain": ["x", "{version}"]}, "what a version says could be taken for an option"),
        ({"drain": ["sudo", "sh", "-c", "echo {version}"]}, "`sh` would run what is filled in as commands"),
        ({"drain": ["bash", "-ec", "x {host}"]}, "`bash` would run what is filled in as commands"),
        ({"drain": ["ssh", "lb", "drain v{version}"]}, "`ssh` hands its arguments to a shell"),
        ({"drain": ["lb", "{hots}"]}, "there is no `{hots}` here — did you mean `host`?"),
        ({"drain": ["lb", "{values.port}"]}, "give every host `values: {port: …}`"),
        ({"health": {}}, "say either `url` or `command`"),
        ({"health": {"url": "http://a:b@localhost/"}}, "an address in a file must carry no user or password"),
        ({"health": {"url": "localhost:80"}}, "is no web address"),
        ({"passphrase": "sesame"}, "`passphrase` is no key of this place — did you mean `passphrase_env`?"),
        ({"keep": 0}, "with.keep"),
        ({"drained": 15}, "with.drained: a duration is a number with its unit"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(settings: dict[str, Any], sentence: str):
    (found,) = said(settings)
    assert sentence in found


@pytest.mark.parametrize(
    ("targets", "sentence"),
    [
        ({"a": {"hosts": []}}, "targets.a.hosts"),
        ({"a": {}}, "`hosts` is missing"),
        ({"a": {"hosts": ["web 1"]}}, "is no name or address of a host"),
        ({"a": {"hosts": ["-oProxyCommand=x"]}}, "is no name or address of a host"),
        ({"a": {"hosts": ["web-1", "web-1"]}}, "`web-1` is named twice"),
        ({"a": {"hosts": ["web-1"]}, "b": {"hosts": ["web-1"]}}, "web-1 has the same `root` for a and for b"),
        ({"a": {"hosts": [{"name": "web-1", "values": {"p": "1\n2"}}]}}, "values.p"),
    ],
)
def test_what_is_wrong_with_a_target_is_said_with_its_place(targets: dict[str, Any], sentence: str):
    (found,) = said({}, targets)
    assert sentence in found


def test_a_deployer_is_not_built_from_what_is_wrong():
    with pytest.raises(PermanentError, match=r"cannot use its settings: with\.root: .*"):
        HostsDeployer.from_settings({**GOOD, "root": "/"}, TARGETS)
    assert repr(HostsDeployer.from_settings(GOOD, TARGETS)) == "HostsDeployer(one-box, rest)"
