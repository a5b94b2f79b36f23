"""Names and figures of all pipelines: asked of whoever knows them, else looked up."""

from __future__ import annotations

from collections.abc import Iterable

from core.releases.decide import new_pipeline
from core.releases.pipeline import Pipeline, Stage, Target
from core.releases.roster import Figures, Named, definitions, figures, names
from core.releases.state import PipelineState


def waiting(name: str) -> PipelineState:
    stages = (Stage(name="beta", targets=(Target(name=f"{name}-1"),)),)
    return new_pipeline(Pipeline(id=name, service=name, team="shop", channel="#shop", revision="r1", stages=stages))


class Knows(dict[str, PipelineState]):
    def names(self) -> Iterable[Named]:
        return [Named("cart", "cart", "web", "#cart")]

    def definitions(self) -> Iterable[Pipeline]:
        return [waiting("cart").definition]

    def figures(self) -> Iterable[tuple[str, Figures]]:
        return [("cart", Figures(1, 2, 3, 4))]


def test_any_mapping_is_looked_through():
    some = {"cart": waiting("cart"), "shop": waiting("shop")}
    assert [named.id for named in names(some)] == ["cart", "shop"]
    assert dict(figures(some)) == {"cart": Figures(0, 0, 0, 0), "shop": Figures(0, 0, 0, 0)}
    assert [definition.id for definition in definitions(some)] == ["cart", "shop"]


def test_one_that_knows_is_asked():
    some = Knows(shop=waiting("shop"))
    assert [named.team for named in names(some)] == ["web"]
    assert dict(figures(some)) == {"cart": Figures(1, 2, 3, 4)}
    assert [definition.id for definition in definitions(some)] == ["cart"]
