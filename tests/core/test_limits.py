"""What a definition may use that a team applies itself."""

from __future__ import annotations

from typing import Any

import pytest

from core.releases.limits import OWN_ONLY, Limits, Owner
from core.releases.source_parts import Origin, RepositoryPart

US = Owner("check-out", "payments")


def refused(use: str, settings: dict[str, Any] | None = None, limits: Limits = OWN_ONLY, **targets: Any) -> list[str]:
    found = limits.of_deployer(US, use, settings or {}, targets)
    return [f"{'.'.join(map(str, p.path))}: {p.sentence}; {p.mend}" for p in found]


def test_what_runs_elsewhere_is_let_and_what_runs_programs_here_is_not():
    assert refused("webhook") == []
    for here in ("processes", "command"):
        (said,) = refused(here)
        assert f"use: the deployer `{here}` may only be used in files on Andon's machine" in said
    assert [p.path for p in OWN_ONLY.of_test(US, "command", {"run": ["x"]})] == [("use",)]
    assert list(OWN_ONLY.of_test(US, "http", {"url": "https://x.example"})) == []


def test_an_organisation_may_name_what_is_let():
    limits = Limits(deployers=frozenset({"hosts", "webhook"}), tests=frozenset())
    assert refused("hosts", limits=limits) == []
    assert "did you mean `hosts`?" in refused("host", limits=limits)[0]
    assert [p.path for p in limits.of_test(US, "http", {})] == [("use",)]


@pytest.mark.parametrize(
    ("settings", "is_let"),
    [
        ({"token_env": "CHECK_OUT_TOKEN"}, True),
        ({"token_env": "PAYMENTS_TOKEN"}, True),
        ({"token_env": "SLACK_BOT_TOKEN"}, False),
        ({"env_from": ["PAYMENTS_A", "ANDON_ADMIN_TOKEN"]}, False),
        ({"auth": [{"secret_env": "DATABASE_URL"}]}, False),
        ({"key_file": "/etc/andon/payments/id"}, True),
        ({"key_file": "/etc/andon/others/id"}, False),
        ({"kubeconfig": "/etc/andon/payments/../others/config"}, False),
        ({"known_hosts": "/etc/andon/check-out/known_hosts"}, True),
        ({"known_hosts": 7}, True),
        ({"agent": True}, False),
        ({"agent": False}, True),
    ],
)
def test_variables_and_files_are_its_own(settings: dict[str, Any], is_let: bool):
    assert (refused("webhook", settings) == []) is is_let
    assert (refused("webhook", {}, OWN_ONLY, **{"web-1": settings}) == []) is is_let


def test_a_namespace_is_the_teams_or_the_services_and_must_be_said():
    assert refused("kubernetes", {"namespace": "payments-eu"}, a={}, b={"namespace": "check-out"}) == []
    assert (
        "targets.b.namespace: a team's definition may not say this"
        in refused("kubernetes", {"namespace": "payments"}, a={}, b={"namespace": "kube-system"})[0]
    )
    assert "with.namespace" in refused("kubernetes", {"namespace": ["payments"]}, a={})[0]
    assert "must say `namespace`" in refused("kubernetes", {}, a={}, b={})[0]
    anywhere = Limits(values={"kubernetes": {"namespace": ("*",)}})
    assert refused("kubernetes", {"namespace": "kube-system"}, limits=anywhere, a={}) == []


def test_where_releases_come_from_names_only_our_own_variables_and_files():
    def refused_in(**repository: str) -> list[str]:
        origin = Origin.of([], RepositoryPart.model_validate(repository))
        return [".".join(map(str, p.path)) for p in OWN_ONLY.of_origin(US, origin)]

    assert list(OWN_ONLY.of_origin(US, Origin())) == []
    address = "https://code.example.com/checkout.git"
    assert refused_in(url=address, token_env="CHECK_OUT_TOKEN") == []
    assert refused_in(url=address, token_env="ANDON_ADMIN_TOKEN") == ["repository.token_env"]
    assert refused_in(url="git@code.example.com:checkout.git", key_file="/etc/ssh/key") == ["repository.key_file"]
    assert refused_in(url="/etc/andon/check-out/mirror.git") == []
    assert refused_in(url="/srv/other/mirror.git") == ["repository"]
