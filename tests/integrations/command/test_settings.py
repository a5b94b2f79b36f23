"""What `andon check` says of the settings of the deployer `command`, without running anything."""

from __future__ import annotations

from typing import Any

import pytest

from bot.adapter_settings import deployer_problems
from core.errors import PermanentError
from core.releases.problems import path_text
from integrations.command.deployer import CommandDeployer

GOOD: dict[str, Any] = {"state": "/var/lib/andon", "run": ["deploy", "{target}", "--to={version}"]}


def said(settings: dict[str, Any], targets: dict[str, dict[str, Any]] | None = None) -> list[str]:
    found = deployer_problems("command", settings, targets or {"web-1": {}})
    return [f"{path_text(problem.path)}: {problem.sentence} — {problem.mend}" for problem in found]


def test_everything_that_may_stand_there_is_right() -> None:
    whole = {
        **GOOD,
        "rollback": ["deploy", "--back", "--", "{previous_version}", "{values.zone}"],
        "running": "https://{target}.example.com/version",
        "health": {"run": ["healthy", "{target}", "{digest}"], "times": 3, "within": "2m", "every": "5s"},
        "env": {"MODE": "quick"},
        "env_from": ["DEPLOY_TOKEN"],
        "cwd": "/srv/deploy",
        "timeout": "10m",
        "grace": "30s",
        "output": "failures",
    }
    assert said(whole, {"web-1": {"values": {"zone": "a"}, "env": {"MODE": "slow"}}}) == []
    made = CommandDeployer.from_settings(whole, {"web-1": {"values": {"zone": "a"}}})
    assert repr(made) == "CommandDeployer(deploy for 1 targets)"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"run": []}, "with.run: "),
        ({"run": "deploy {version}"}, "with.run: this must be a list, not the text"),
        ({"run": ["{artifact}"]}, "with.run[0]: the program itself must not depend on what is deployed"),
        ({"run": ["deploy", "{verison}"]}, "with.run[1]: there is no `{verison}` here — did you mean `version`?"),
        ({"run": ["deploy", "{values.zone}"]}, "with.run[1]: there is no `{values.zone}` here — give every target"),
        ({"run": ["sh", "-c", "deploy {digest}"]}, "with.run[2]: `sh` would run what is filled in as commands"),
        ({"run": ["/bin/bash", "-ec", "{version}"]}, "with.run[2]: `bash` would run what is filled in as commands"),
        ({"run": ["ssh", "web-1", "deploy", "{version}"]}, "with.run[3]: `ssh` hands its arguments to a shell"),
        ({"rollback": ["deploy", "{x}"]}, "with.rollback[1]: there is no `{x}` here"),
        ({"running": ["probe", "{version}"]}, "with.running.run[1]: there is no `{version}` here"),
        ({"health": "https://example.com/{version}"}, "with.health.url: there is no `{version}` here"),
        ({"running": {"timeout": "1s"}}, "with.running: a probe asks a program or an address"),
        ({"running": {"run": ["x"], "token_env": "X"}}, "with.running: `token_env` goes with an address"),
        ({"state": "runs"}, "with.state: `runs` is no absolute path"),
        ({"env_from": ["ANDON_ADMIN_TOKEN"]}, "with.env_from[0]: `ANDON_ADMIN_TOKEN` is Andon's own"),
        ({"env_from": ["A B"]}, "with.env_from[0]: "),
        ({"timeout": 5}, "with.timeout: a duration is a number with its unit"),
        ({"shell": True}, "with.shell: `shell` is no key of this place"),
        ({"output": "never"}, "with.output: this must be one of `always`, `failures`"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(change: dict[str, Any], problem: str) -> None:
    assert [line for line in said({**GOOD, **change}) if line.startswith(problem)], said({**GOOD, **change})
    with pytest.raises(PermanentError, match="The deployer command cannot use its settings: "):
        CommandDeployer.from_settings({**GOOD, **change}, {"web-1": {}})


def test_what_is_missing_and_what_a_target_may_not_hold_is_said() -> None:
    assert said({}, {"web-1": {"host": "x"}}) == [
        "with.state: `state` is missing — add `state: /var/lib/andon/commands`",
        'with.run: `run` is missing — add `run: [/srv/deploy/deploy.sh, "{target}", "{digest}"]`',
        "targets.web-1.host: `host` is no key of this place — there is `env`, `values`",
    ]


def test_a_value_must_be_given_by_every_target() -> None:
    problems = said({**GOOD, "run": ["d", "{values.zone}"]}, {"web-1": {"values": {"zone": "a"}}, "web-2": {}})
    assert problems == ["with.run[1]: there is no `{values.zone}` here — give every target `values: {zone: …}`"]
