"""Rule 22, freezes that people place and lift: who may, what they cover, and what the world is afterwards."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from core.errors import CommandRefused
from core.releases.freezing import Covered, FreezeRequested, UnfreezeRequested, act, in_sight
from core.releases.world import Actor, Freeze, Team, World
from tests.core.line import ANN, BOB, CAROL, CI, DAVE, EVE, START, WORLD, in_other_world, pipeline

HOUR = timedelta(hours=1)
SHOP, CART, CONFIG = pipeline(), pipeline(id="cart", service="cart", team="cart"), pipeline(id="shop/config")
PIPELINES = (SHOP, CART, CONFIG)
TEAMS = {**WORLD.teams, "cart": Team(name="cart", members=frozenset({"dave"}))}
PLACE = in_other_world(WORLD, administrators=frozenset({"dave"}), teams=TEAMS)
EVERYTHING, THE_SHOP = Covered(), Covered("shop")


def freeze(by: Actor, what: Covered = EVERYTHING, world: World = PLACE, **more: Any) -> World:
    command = FreezeRequested(by=by, what=what, reason="the bank is down", **more)
    return act(world, PIPELINES, command, START).world


def refusal(by: Actor, what: Covered = EVERYTHING, **more: Any) -> str:
    with pytest.raises(CommandRefused) as caught:
        freeze(by, what, **more)
    return str(caught.value)


def test_rule_22_an_administrator_stops_everything_and_is_told_what_that_means():
    command = FreezeRequested(by=DAVE, what=EVERYTHING, reason="the bank is down.")
    decision = act(PLACE, PIPELINES, command, START)
    (placed,) = decision.world.freezes
    assert placed.is_everything
    assert placed.is_on(START)
    assert (placed.name, placed.by, placed.ends_at) == ("freeze-2", DAVE, None)
    assert decision.answer == (
        "Everything is frozen: the bank is down. It holds 2 services. Nothing new is entered; what is in flight "
        "finishes, bakes run on, alarms and rollbacks stay live. "
        "It lasts until somebody lifts it: `unfreeze everything`."
    )
    assert decision.sentence == "Dave froze everything: the bank is down."


def test_rule_22_a_freeze_may_be_placed_for_later_and_for_a_part():
    what = Covered("shop", scope_name="production")
    command = FreezeRequested(by=ANN, what=what, reason="sale", from_at=START + HOUR, duration=HOUR)
    decision = act(PLACE, PIPELINES, command, START)
    (placed,) = decision.world.freezes
    assert (placed.starts_at, placed.ends_at) == (START + HOUR, START + 2 * HOUR)
    assert placed.services == {"shop"}
    assert placed.scopes == {"production"}
    assert decision.answer.startswith(
        "shop in production will be frozen from 2026-03-02 10:00 UTC until 2026-03-02 11:00 UTC: sale. It holds shop."
    )


def test_rule_22_a_team_freezes_what_is_its_own_and_no_more():
    assert freeze(ANN, THE_SHOP).freezes[0].services == {"shop"}
    assert freeze(ANN, Covered(team="shop")).freezes[0].teams == {"shop"}
    assert "Only administrators may freeze everything. Ask Dave. Anyone may stop one service at once" in refusal(ANN)
    assert "Only the team cart and administrators may freeze cart. Ask Dave." in refusal(ANN, Covered("cart"))
    assert "may freeze team cart" in refusal(ANN, Covered(team="cart"))
    assert "Only administrators may freeze everything" in refusal(ANN, Covered(scope_name="production"))
    for stranger in (EVE, CI):
        refusal(stranger, THE_SHOP)


def test_rule_22_what_makes_no_sense_is_refused_with_what_would_help():
    assert "There is no service or team shp. Did you mean shop?" in refusal(DAVE, Covered("shp"))
    assert "There is no stage or group wave-2 there. Did you mean wave-1" in refusal(DAVE, Covered(scope_name="wave-2"))
    assert "is over already" in refusal(DAVE, until_at=START)
    assert "ends before it begins" in refusal(DAVE, from_at=START + 2 * HOUR, until_at=START + HOUR)
    assert "400 days" in refusal(DAVE, duration=timedelta(days=500))
    assert "no `administrators`" in refusal(ANN, world=in_other_world(PLACE, administrators=frozenset()))


# ---- lifting ----


def unfreeze(by: Actor, world: World, what: Covered = EVERYTHING, name: str = "", at_hour: int = 1) -> World:
    return act(world, PIPELINES, UnfreezeRequested(by=by, what=what, name=name), START + at_hour * HOUR).world


def test_rule_22_a_lifted_freeze_is_over_and_remembered_for_what_waited():
    (lifted,) = unfreeze(DAVE, freeze(DAVE)).freezes
    assert lifted.is_over(START + HOUR)
    assert (lifted.ends_at, lifted.lifted_by) == (START + HOUR, DAVE)
    assert not in_sight(unfreeze(DAVE, freeze(DAVE)), START + HOUR)
    (only,) = freeze(DAVE, world=replace(PLACE, freezes=(replace(lifted, ends_at=START - 25 * HOUR),))).freezes
    assert only.name != lifted.name or only.is_on(START), "a day later it is forgotten"


def test_rule_22_two_freezes_need_two_to_lift_and_ones_own_goes_first():
    world = in_other_world(PLACE, administrators=frozenset({"dave", "ann"}))
    world = freeze(DAVE, world=world)
    world = freeze(ANN, world=replace(world, revision=2))
    command = UnfreezeRequested(by=ANN, what=EVERYTHING)
    decision = act(world, PIPELINES, command, START + HOUR)
    assert "by Ann (the bank is down) is lifted. 1 more freeze still holds it." in decision.answer
    assert [f.by for f in in_sight(decision.world, START + HOUR)] == [DAVE]
    last = act(decision.world, PIPELINES, command, START + HOUR)
    assert "What waited goes on by itself, spaced out over the services." in last.answer


def test_rule_22_one_that_never_began_leaves_no_trace():
    assert unfreeze(DAVE, freeze(DAVE, from_at=START + 5 * HOUR)).freezes == ()


def test_rule_22_what_the_company_froze_a_team_may_not_lift_but_what_a_colleague_did():
    assert unfreeze(ANN, freeze(BOB, THE_SHOP), THE_SHOP).freezes[0].lifted_by == ANN
    with pytest.raises(CommandRefused, match=r"Dave placed this freeze \(the bank is down\); you may not"):
        unfreeze(ANN, freeze(DAVE, THE_SHOP), THE_SHOP)
    with pytest.raises(CommandRefused, match="you may not lift it"):
        unfreeze(CAROL, freeze(DAVE))
    with pytest.raises(CommandRefused, match="you may not lift it"):
        unfreeze(EVE, freeze(BOB, THE_SHOP), THE_SHOP)


def test_rule_22_it_may_be_named_and_what_is_not_there_is_said():
    world = freeze(BOB, THE_SHOP)
    assert unfreeze(BOB, world, name="freeze-2").freezes[0].lifted_by == BOB
    with pytest.raises(CommandRefused, match=r"No freeze of cart is on or to come. There is freeze-2 \(shop\)"):
        unfreeze(BOB, world, Covered("cart"))
    planned = replace(PLACE, freezes=(Freeze("year-end", START, START + 9 * HOUR),))
    with pytest.raises(CommandRefused, match=r"year-end is planned in the organisation file; it ends there. Take"):
        unfreeze(DAVE, planned)
