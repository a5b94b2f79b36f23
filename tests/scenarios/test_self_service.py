"""Teams bring their own definitions, from a shell, from CI: looked at, compared, applied, and never beyond limits."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.scenarios.kit import ADMIN, Story, story
from tests.scenarios.props import definitions, people, shop
from tests.scenarios.test_without_slack import shell, token_of

OURS = {"policy": {"self_service": {"deployers": ["scripted", "webhook"], "variables": ["{SERVICE}_*"]}}}
OTHERS = {"books": {"members": ["carol"], "owners": ["carol"]}}


def organisation() -> dict[str, Any]:
    known = people(**OURS)
    return {**known, "teams": {**known["teams"], **OTHERS}}


def line(**more: Any) -> str:
    """The text of a definition of `stock`, a service nobody has defined yet."""
    return yaml.safe_dump({**shop(), "service": "stock", **more}, sort_keys=False)


async def told(s: Story, token: str, text: str, **more: Any) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    return await s.call("POST", "/api/definitions", {"text": text, "name": "stock.yaml", **more}, headers=headers)


async def test_a_team_makes_a_pipeline_and_releases_on_it_without_an_administrator(tmp_path: Path) -> None:
    async with story(tmp_path, organisation=organisation()) as s:
        (tmp_path / "stock.yaml").write_text(line())
        dave = await token_of(s, "dave")
        code, said = await shell(s, "apply", str(tmp_path / "stock.yaml"), "--dry-run", token=dave)
        assert (code, "this would be applied; nothing was" in said) == (0, True), said
        assert "stock" not in s.app.engine.pipelines()
        code, said = await shell(s, "apply", str(tmp_path / "stock.yaml"), token=dave)
        assert (code, "stock has a pipeline now." in said) == (0, True), said
        await s.announce("1.0.0", service="stock", artifact="registry.example.com/stock:1")
        assert s.running["beta-1"] == "1.0.0"
        code, said = await shell(s, "apply", str(tmp_path / "stock.yaml"), token=dave)
        assert (code, "nothing changes" in said) == (0, True), said


async def test_what_changes_is_said_before_and_after_and_what_makes_it_less_careful_above_all(tmp_path: Path) -> None:
    async with story(tmp_path, organisation=organisation()) as s:
        ann = await token_of(s, "ann")
        status, made = await told(s, ann, line())
        assert status == 201, made
        await s.announce("1.0.0", service="stock", artifact="registry.example.com/stock:1")
        hasty = yaml.safe_load(line())
        hasty["stages"][2]["bake"] = "1m"
        hasty["watch"] = "2h"
        (tmp_path / "stock.yaml").write_text(yaml.safe_dump(hasty, sort_keys=False))
        code, said = await shell(s, "apply", str(tmp_path / "stock.yaml"), "--dry-run", token=ann)
        assert code == 0
        assert "wave-1: bake 20 min → 1 min (less careful)" in said
        assert "-    for: 20m" in said, "what the text says differently stands there too"
        await told(s, ann, (tmp_path / "stock.yaml").read_text())
        await s.settle()
        said = s.simulator.transcript()
        assert "A new definition of stock, applied by Ann, is in force from the next entry on: wave-1: bake" in said
        assert "20 min → 1 min (less careful)" in said
        status, shown = await s.call("GET", "/api/definitions/stock")
        assert [r["by"] for r in shown["revisions"]] == ["Ann", "Ann"]
        assert yaml.safe_load(shown["text"]) == hasty
        assert yaml.safe_load(shown["revisions"][1]["text"])["stages"][2]["bake"] == {"for": "20m"}


async def test_nobody_defines_what_belongs_to_another_team(tmp_path: Path) -> None:
    async with story(tmp_path, organisation=organisation()) as s:
        ann, dave = await token_of(s, "ann"), await token_of(s, "dave")
        assert (await told(s, ann, line()))[0] == 201
        status, answer = await told(s, dave, line(service="ledger", team="books"))
        assert status == 409
        assert "Only the team books may" in answer["detail"]
        assert "Ask Carol" in answer["detail"]
        status, answer = await told(s, dave, line(team="books"))
        assert (status, "take stock into the team books" in answer["detail"]) == (409, True), answer
        status, answer = await told(s, dave, line(team="books"), dry_run=True)
        assert (status, "Only the team books" in answer["refused"]) == (200, True), "a dry run says so as well"
        carol = await token_of(s, "carol")
        assert (await told(s, carol, line(team="books")))[0] == 200, "Carol is in both"


async def test_a_machine_defines_only_what_its_token_names(tmp_path: Path) -> None:
    async with story(tmp_path, organisation=organisation()) as s:
        wanted = {"name": "ci", "actor": "ci", "scopes": ["define:stock"]}
        _, made = await s.call("POST", "/api/tokens", wanted)
        assert (await told(s, made["token"], line()))[0] == 201
        status, answer = await told(s, made["token"], line(service="ledger"))
        assert (status, "define:ledger" in answer["detail"]) == (403, True)
        _, reader = await s.call("POST", "/api/tokens", {"name": "r", "actor": "r", "scopes": ["announce"]})
        assert (await told(s, reader["token"], "what: ever"))[0] == 403


async def test_a_person_makes_tokens_for_machines_of_the_own_team_and_no_others(tmp_path: Path) -> None:
    async with story(tmp_path, organisation=organisation()) as s:
        dave = {"Authorization": f"Bearer {await token_of(s, 'dave')}"}

        async def asks(actor: str, *scopes: str) -> tuple[int, Any]:
            return await s.call(
                "POST", "/api/tokens", {"name": "t", "actor": actor, "scopes": list(scopes)}, headers=dave
            )

        status, made = await asks("shop-ci", "announce:shop", "define:shop")
        assert status == 201
        assert (await told(s, made["token"], line(service="shop", watch="2h")))[0] == 200
        for actor, scope in (("ann", "announce:shop"), ("ci", "announce"), ("ci", "admin"), ("ci", "define:nothing")):
            assert (await asks(actor, scope))[0] == 403, (actor, scope)
        carol = await token_of(s, "carol")
        assert (await told(s, carol, line(service="ledger", team="books")))[0] == 201
        status, answer = await asks("ci", "define:ledger")
        assert (status, "Only the team books may make a token" in answer["detail"]) == (409, True)


async def test_mistakes_are_named_by_line_and_nothing_is_applied(tmp_path: Path) -> None:
    async with story(tmp_path, organisation=organisation()) as s:
        (tmp_path / "stock.yaml").write_text(line(wacth="1h"))
        code, said = await shell(s, "apply", str(tmp_path / "stock.yaml"))
        assert code == 2
        assert "stock.yaml:" in said
        assert "did you mean `watch`?" in said
        assert (await shell(s, "apply", str(tmp_path / "nowhere.yaml")))[0] == 2
        status, answer = await told(s, ADMIN, "\ud800")
        assert status == 422, answer
        assert "stock" not in s.app.engine.pipelines()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"deployer": {"use": "processes", "with": {"root": "/srv"}}}, "the deployer `processes` may only be used in"),
        ({"deployer": {"use": "scripted", "with": {"token_env": "ANDON_ADMIN_TOKEN"}}}, "may not name this variable"),
        ({"deployer": {"use": "scripted", "with": {"key_file": "/etc/shadow"}}}, "may not name this file"),
        (
            {"repository": {"url": "https://x.example/y", "token_env": "ANDON_ADMIN_TOKEN"}},
            "may not name this variable",
        ),
        (
            {"deployer": {"use": "scripted", "with": {"key_file": "/etc/andon/stock/../../shadow"}}},
            "may not name this file",
        ),
    ],
)
async def test_a_teams_definition_names_only_its_own_secrets_and_runs_nothing_on_andons_machine(
    tmp_path: Path, more: dict[str, Any], words: str
) -> None:
    async with story(tmp_path, organisation=organisation()) as s:
        status, answer = await told(s, await token_of(s, "ann"), line(**more))
        assert status == 422
        assert words in answer["detail"], answer
        assert "stock" not in s.app.engine.pipelines()


async def test_what_a_team_owns_it_may_name(tmp_path: Path) -> None:
    async with story(tmp_path, organisation=organisation()) as s:
        settings = {"token_env": "STOCK_TOKEN", "key_file": "/etc/andon/stock/key"}
        status, answer = await told(s, await token_of(s, "ann"), line(deployer={"use": "scripted", "with": settings}))
        assert status == 201, answer


async def test_two_who_change_it_at_once_do_not_undo_each_other(tmp_path: Path) -> None:
    async with story(tmp_path, organisation=organisation()) as s:
        ann = await token_of(s, "ann")
        _, first = await told(s, ann, line())
        assert (await told(s, ann, line(watch="2h"), revision=first["revision"]))[0] == 200
        status, answer = await told(s, ann, line(watch="3h"), revision=first["revision"])
        assert (status, "meanwhile" in answer["detail"]) == (409, True), answer


async def test_a_pipeline_that_a_file_defines_is_changed_in_that_file(tmp_path: Path) -> None:
    async with story(tmp_path, organisation=organisation(), start=False) as s:
        (tmp_path / "pipelines").mkdir()
        s.files = replace(s.files, files={"shop": "pipelines/shop.yaml"})
        await s.start_bot()
        status, answer = await told(s, await token_of(s, "ann"), line(service="shop"))
        assert (status, "pipelines/shop.yaml" in answer["detail"]) == (409, True), answer


async def test_a_stricter_policy_reaches_what_teams_applied_before(tmp_path: Path) -> None:
    async with story(tmp_path, organisation=organisation()) as s:
        ann = await token_of(s, "ann")
        by_default = yaml.safe_load(line())
        for stage in by_default["stages"]:
            stage.pop("bake", None)
        assert (await told(s, ann, yaml.safe_dump(by_default)))[0] == 201
        assert (await told(s, ann, line(service="ledger")))[0] == 201
        stricter = {**OURS["policy"], "minimum_bake": "13h"}
        (tmp_path / "org.yaml").write_text(yaml.safe_dump({**organisation(), "policy": stricter}))
        s.files = replace(s.files, organisation=definitions(shop(), organisation=people(policy=stricter)).organisation)
        await s.restart()
        assert any("stock was brought up to" in sentence for sentence in s.app.sentences), s.app.sentences
        definition = s.app.engine.pipelines()["stock"].definition
        assert definition.by_name["wave-1"].bake.duration == timedelta(hours=13)
        assert any(sentence.startswith("ledger is less careful") for sentence in s.app.sentences), "it says 20 minutes"
        await s.restart()
        assert not any("brought up" in sentence for sentence in s.app.sentences)


# ---- in Slack -------------------------------------------------------------------------------------------------------

IN_SLACK = {"policy": {"self_service": {"deployers": ["processes"]}}}


def in_slack() -> dict[str, Any]:
    return {**organisation(), **IN_SLACK}


async def test_five_answers_in_a_window_make_a_careful_line_and_put_it_in_force(tmp_path: Path) -> None:
    async with story(tmp_path, organisation=in_slack()) as s:
        answered = await s.dave.types("#shop", "/release init stock")
        assert answered.modal is not None
        modal = await answered.modal.submits(
            {
                "team": "shop",
                "channel": "#shop",
                "runs_on": "processes",
                "source": "announce",
                "health": "https://stock.example.com/health",
            }
        )
        assert modal is not None
        assert "This is a careful line" in modal
        said = await modal.submits()
        assert said is not None
        assert "stock has a pipeline now." in said
        assert "one-box" in said, "and the line is drawn"
        definition = s.app.engine.pipelines()["stock"].definition
        assert [stage.name for stage in definition.stages] == ["beta", "gamma", "one-box", "wave-1", "wave-2"]
        assert definition.channel == "CSHOP"
        assert definition.approvals_of["one-box"]
        (revision,) = (await s.call("GET", "/api/definitions/stock"))[1]["revisions"]
        assert revision["by"] == "Dave"


async def test_what_is_wrong_in_the_window_is_said_under_it_and_what_was_typed_stays(tmp_path: Path) -> None:
    async with story(tmp_path, organisation=in_slack()) as s:
        modal = (await s.dave.types("#shop", "/release init")).modal
        assert modal is not None
        answers = {
            "service": "My Stock",
            "team": "books",
            "channel": "#shop",
            "runs_on": "processes",
            "source": "announce",
        }
        wrong = await modal.submits(answers)
        assert wrong is not None
        assert "Try my-stock" in wrong.errors["service"]
        shown = await wrong.submits({**answers, "service": "my-stock"})
        assert shown is not None
        refused = await shown.submits()
        assert refused is not None
        assert "Only the team books may" in refused.errors["definition"]
        mistaken = await refused.submits({"definition": "service: my-stock\nteam: shop\nstagse: []\n"})
        assert mistaken is not None
        assert "definition:3" in mistaken.errors["definition"]
        assert "did you mean `stages`?" in mistaken.errors["definition"]
        assert "my-stock" not in s.app.engine.pipelines()


async def test_what_is_there_already_is_not_made_again(tmp_path: Path) -> None:
    async with story(tmp_path, organisation=in_slack()) as s:
        said = await s.dave.types("#shop", "/release init shop")
        assert "shop has a pipeline already" in said.text
        assert "opens a window" in (await s.dave.asks("#shop", "@andon init")).text
    (tmp_path / "none").mkdir()
    async with story(
        tmp_path / "none", organisation={**organisation(), "policy": {"self_service": {"deployers": []}}}
    ) as s:
        assert "no deployer by themselves" in (await s.dave.types("#shop", "/release init stock")).text
