"""The catalogue of services, asked for in words."""

from __future__ import annotations

from dataclasses import replace

from core.releases.decide import new_pipeline
from core.releases.pipeline import About, Pipeline
from core.releases.state import PipelineState
from core.releases.world import Actor, Via
from tests import samples
from tests.commands.test_desk import ANN_IN_SHELL, CAROL_IN_SLACK, FloorInMemory, ask

STRANGER = Actor("slack:U9", "Zoe", Via.SLACK)


def service(name: str, *, team: str = "", about: About | None = None, pipeline: str = "") -> PipelineState:
    base: Pipeline = samples.baking().definition
    id_ = f"{name}/{pipeline}" if pipeline else name
    return new_pipeline(
        replace(base, id=id_, service=name, team=team or base.team, channel=f"#{name}", about=about or About())
    )


CHECKOUT = About(
    description="Takes orders <!channel>",
    tier=1,
    links=(("wiki", "https://wiki.example.com/checkout"),),
    interfaces=(("orders API", "https://api.example.com/orders"), ("order events", "https://api.example.com/events")),
    depends_on=("payments", "stock"),
)


async def test_the_catalogue_lists_what_everybody_depends_on_first():
    floor = FloorInMemory(service("archive"), service("checkout", about=CHECKOUT), service("stock"))
    reply = await ask(floor, "services", STRANGER)
    lines = reply.text.splitlines()
    assert [line.split("*")[1] for line in lines] == ["checkout", "archive", "stock"]
    assert "tier 1" in lines[0]
    assert "Takes orders &lt;!channel&gt;" in lines[0], "nobody is called by a description"
    assert not reply.is_public


async def test_a_team_or_a_word_narrows_it_down():
    floor = FloorInMemory(
        service("archive", team="storage"), service("checkout", about=CHECKOUT), service("stock", team="storage")
    )
    named = (await ask(floor, "services storage", ANN_IN_SHELL)).facts["services"]
    assert isinstance(named, list)
    assert [one["service"] for one in named] == ["archive", "stock"]
    by_word = await ask(floor, "services ORDERS", ANN_IN_SHELL)
    assert "checkout" in by_word.text
    assert "archive" not in by_word.text


async def test_a_team_there_is_not_gets_the_nearest_word():
    floor = FloorInMemory(service("checkout"))
    reply = await ask(floor, "services chekout", CAROL_IN_SLACK)
    assert "Did you mean checkout?" in reply.text


async def test_the_owner_says_who_uses_it_and_what_it_uses():
    payments = service("payments", about=About(tier=2))
    floor = FloorInMemory(service("checkout", about=CHECKOUT), payments)
    reply = await ask(floor, "owner payments", ANN_IN_SHELL)
    assert "payments belongs to the team" in reply.text
    assert "Used by: checkout" in reply.text
    assert reply.facts["used_by"] == ["checkout"]
    whole = (await ask(floor, "owner checkout", CAROL_IN_SLACK)).text
    assert "It uses: payments and stock" in whole
    assert "<https://api.example.com/orders|orders API>" in whole
    assert "On call" in whole


async def test_several_pipelines_are_one_service():
    floor = FloorInMemory(service("checkout", about=CHECKOUT), service("checkout", pipeline="configuration"))
    reply = await ask(floor, "owner checkout/configuration", ANN_IN_SHELL)
    assert "Pipelines: checkout and checkout/configuration" in reply.text
    assert len((await ask(floor, "services", ANN_IN_SHELL)).text.splitlines()) == 1


async def test_a_service_without_words_says_where_they_go():
    floor = FloorInMemory(service("checkout", team="nobody"))
    text = (await ask(floor, "owner checkout", ANN_IN_SHELL)).text
    assert "The organisation file has no team nobody." in text
    assert "`about:` in its definition" in text
