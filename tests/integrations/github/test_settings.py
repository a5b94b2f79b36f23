"""What definitions say of GitHub is checked offline, also where the extra `github` is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bot import adapter_settings

WITH = {"repository": "octo/shop", "workflow": "deploy.yml", "token_env": "SHOP_TOKEN"}
CHECKS = (
    "import sys; from bot.adapter_settings import *; "
    f"assert deployer_problems('github-actions', {WITH!r}, {{}}) == test_problems('github-workflow', {WITH!r}) == []; "
    "assert not {'gidgethub', 'jwt'} & set(sys.modules)"
)


def test_checking_needs_no_package_of_githubs() -> None:
    assert subprocess.run([sys.executable, "-c", CHECKS], check=False).returncode == 0


@pytest.mark.parametrize(
    ("settings", "target", "sentence"),
    [
        ({}, {}, ""),
        ({"token_env": "A", "app": {"id": 1, "installation": 2, "key_file": "/k"}}, {}, "not both"),
        ({"repository": "shop"}, {}, "repository"),
        ({"workflow": "deploy"}, {}, "workflow"),
        ({"poll": "1s"}, {}, "every 2 s to 5 min"),
        ({"token": "secret-word"}, {}, "`token` is no key"),
        ({"inputs": {"digest": "x"}}, {}, "`digest` is given by Andon itself"),
        ({}, {"running": "https://x.example.com/{version}"}, "`{version}` is not known here"),
        ({}, {"environment": " "}, "cannot be the name of an environment"),
        ({}, {"inputs": {f"i{n}": "" for n in range(24)}}, "more than the 25 inputs"),
        ({"inputs": {"a": "1"}}, {"inputs": {f"i{n}": "" for n in range(23)}}, "more than the 25 inputs"),
    ],
)
def test_what_is_wrong_is_found_and_placed(
    settings: dict[str, object], target: dict[str, object], sentence: str
) -> None:
    problems = adapter_settings.deployer_problems("github-actions", {**WITH, **settings}, {"web": target})
    if not sentence:
        assert problems == []
        return
    (problem,) = problems
    assert sentence in f"{problem.path} {problem.sentence}"
    assert problem.path[:1] == (("targets",) if target else ("with",))


def test_a_test_of_a_stage_is_checked_too() -> None:
    (problem,) = adapter_settings.test_problems("github-workflow", {**WITH, "pol": "5s"})
    assert (problem.path, problem.mend) == (("with", "pol"), "did you mean `poll`?")
