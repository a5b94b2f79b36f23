"""The shelf: what is not in use is packed, and nobody who reads can tell."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from bot.shelf import Known, Shelf
from core.releases.decide import new_pipeline
from core.releases.pipeline import Alarm, Pipeline, Stage, Target
from core.releases.roster import Figures, Named
from core.releases.state import Deployment, Installed, OpenPage, PipelineState
from storage.codec import Codec
from storage.entries import Head
from storage.journal import Loaded

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
WHAT = Installed("shop-1", "1.0.0", "sha256:1", "sha256:1", 1)


def a_state(name: str, *alarms: Alarm, revision: str = "r1") -> PipelineState:
    stages = (Stage(name="beta", targets=(Target(name=f"{name}-1"), Target(name=f"{name}-2")), deployer="scripted"),)
    return new_pipeline(
        Pipeline(
            id=name, service=name, team="shop", channel=f"#{name}", revision=revision, stages=stages, alarms=alarms
        )
    )


def known(state: PipelineState, version: int = 1) -> Known:
    return Known(state, Head(version, "0" * 64), NOON)


def shelf(in_use: int = 1) -> Shelf:
    return Shelf(Codec(), few=0, in_use=in_use)


def test_what_was_packed_comes_back_as_it_was():
    kept = shelf()
    states = {name: a_state(name) for name in ("shop", "cart", "pay")}
    for name, state in states.items():
        kept.put(name, known(state))
    assert list(kept) == ["cart", "pay", "shop"]
    assert dict(kept) == states
    assert list(kept.values()) == [states[name] for name in sorted(states)]
    assert kept["shop"] == states["shop"]
    assert kept["shop"] is not states["shop"], "it was packed meanwhile"
    assert kept["shop"] is kept["shop"], "and is in use now"


def test_the_newest_version_is_found_whatever_was_packed():
    kept = shelf()
    kept.put("shop", known(a_state("shop"), 1))
    kept.put("cart", known(a_state("cart"), 1))
    moved = replace(a_state("shop"), counter=7)
    kept.put("shop", known(moved, 2))
    kept.put("cart", known(a_state("cart"), 1))
    assert kept["shop"].counter == 7
    assert kept.version("shop") == 2
    assert kept.versions() == {"shop": 2, "cart": 1}
    assert kept.version("nobody") == 0
    assert "nobody" not in kept


def test_waking_it_anew_changes_nothing_but_when_it_wakes():
    kept = shelf()
    kept.put("shop", known(a_state("shop")))
    kept.put("cart", known(a_state("cart")))
    later = NOON.replace(hour=13)
    kept.put("shop", replace(known(a_state("shop")), wake_at=later))
    kept.put("cart", known(a_state("cart")))
    found = kept.known("shop")
    assert found is not None
    assert found.wake_at == later


def test_names_figures_and_targets_are_known_without_unpacking():
    flying = Deployment(key="k", what=WHAT, is_rollback=False, is_automatic=False, requested_at=NOON)
    state = a_state("shop")
    first, second = state.targets
    page = OpenPage(id="p", stage="beta", release="shop-1", reason="red", first_at=NOON, next_at=NOON)
    odd = replace(second, current=WHAT, drift="runs something else")
    state = replace(state, targets=(replace(first, deployment=flying), odd), pages=(page,))
    kept = shelf()
    for _ in range(2):
        kept.put("shop", known(state))
        assert list(kept.names())[-1] == Named("shop", "shop", "shop", "#shop")
        assert dict(kept.figures())["shop"] == Figures(live=0, in_flight=1, pages=1, approvals=0)
        (looks,) = dict(kept.looks())["shop"]
        assert [(w.target, w.digest, w.is_odd) for w in looks.targets] == [("shop-2", "sha256:1", True)]
        kept.put("cart", known(a_state("cart")))
        assert dict(kept.figures())["shop"].in_flight == 1, "packed, and still known"
        assert [w.target for look in dict(kept.looks())["shop"] for w in look.targets] == ["shop-2"]
        assert next(named for named in kept.names() if named.id == "shop").channel == "#shop"


def test_each_definition_is_told_once_until_it_changes():
    told: list[str] = []
    kept = shelf()
    kept.defined.append(lambda definition: told.append(f"{definition.id} {definition.revision}"))
    kept.put_away("shop", Loaded(a_state("shop"), Head(1, "0" * 64), None))
    kept.put("shop", known(a_state("shop"), 2))
    kept.put("cart", known(a_state("cart")))
    kept.put("shop", known(a_state("shop"), 3))
    kept.put("shop", known(a_state("shop", revision="r2"), 4))
    assert told == ["shop r1", "cart r1", "shop r2"]
    assert kept.revision("shop") == "r2"
    assert kept.revision("cart") == "r1"
    assert kept.revision("nobody") == ""


def test_a_stage_run_keeps_the_definition_it_is_pinned_to():
    kept = shelf()
    old = a_state("shop").definition
    state = replace(a_state("shop", revision="r2"), pinned=(old,))
    kept.put("shop", known(state))
    kept.put("cart", known(a_state("cart")))
    assert kept["shop"] == state
    assert [definition.revision for definition in kept.definitions()] == ["r1", "r2"], "the one in force of each"


def test_only_definitions_that_ask_for_canaries_are_unpacked_for_them():
    canary = Alarm(name="front page", source="canary", settings='{"url": "http://127.0.0.1/"}')
    kept = shelf()
    for name, alarms in (("shop", (canary,)), ("cart", ()), ("pay", (canary,))):
        kept.put(name, known(a_state(name, *alarms)))
    assert [definition.id for definition in kept.with_canaries()] == ["pay", "shop"]


def test_few_pipelines_are_never_packed():
    kept = Shelf(Codec(), few=3, in_use=1)
    states = {name: a_state(name) for name in ("shop", "cart", "pay")}
    for name, state in states.items():
        kept.put(name, known(state))
    assert all(kept[name] is state for name, state in states.items())
    kept.put("web", known(a_state("web")))
    assert kept["shop"] is not states["shop"], "of more, only what was used last stays as it is"
    assert kept["shop"] == states["shop"]
