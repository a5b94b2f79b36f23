"""Bad days: an alarm turns red, a target fails, a rollback fails, somebody changes things past Andon."""

from __future__ import annotations

import json
from pathlib import Path

from core.ports import Outcome
from integrations.pager import signature
from integrations.scripted import Act, Cue
from simulator.seen import Seen
from tests.scenarios.kit import PAGER_SECRET, Story, story
from tests.scenarios.props import digest, people, shop

ALERT = {
    "status": "firing",
    "labels": {"alertname": "ShopSlow", "severity": "page"},
    "annotations": {"summary": "p99 is 4 s", "runbook_url": "https://wiki.example.com/slow"},
    "startsAt": "2026-03-02T10:20:00Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "fingerprint": "f00d",
}


async def in_wave(s: Story, version: str = "1.1.0", **more: object) -> None:
    """1.0.0 is everywhere and good; a version bakes in wave-1."""
    await s.everywhere("1.0.0", s.ann)
    await s.to_production(version, s.ann, **more)
    await s.advance(minutes=15, until=lambda: s.running["web-3"] == version)
    await s.settle()


async def test_the_plain_webhook_turns_red_and_everything_goes_back_by_itself(tmp_path: Path, database: str) -> None:
    async with story(tmp_path, database=database) as s:
        await in_wave(s)
        facts = await s.alarm(title="8 % of carts fail", url="https://graphs.example.com/7")
        assert facts == {"understood": True, "alarms": 1, "matched": 1, "note": ""}
        assert {s.running[t] for t in ("box-1", "web-1", "web-2", "web-3")} == {"1.0.0"}
        assert s.running["beta-1"] == "1.1.0", "the alarm is production's"
        card = s.card("1.1.0")
        assert "is rolled back in one-box and wave-1: the alarm errors turned red" in card.text
        assert "one-box ↶ rolled back → wave-1 ↶ rolled back" in card.plain
        assert "8 % of carts fail" in card.text
        begun = s.told("1.1.0", "is being rolled back in one-box and wave-1 to 1.0.0")
        assert "@UBOB" in begun, "the on-call is asked to look"
        s.told("1.1.0", "was rolled back in one-box, which runs 1.0.0 again")
        s.told("1.1.0", "was rolled back in wave-1, which runs 1.0.0 again")


async def test_alertmanager_turns_red_and_its_own_stage_goes_back(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        await in_wave(s)
        await s.advance(minutes=5)
        message = {"version": "4", "status": "firing", "alerts": [ALERT | {"startsAt": s.clock.now().isoformat()}]}
        status, facts = await s.call("POST", "/api/alarms/alertmanager", message)
        assert (status, facts["matched"]) == (200, 1)
        await s.settle()
        assert {s.running[t] for t in ("web-1", "web-2", "web-3")} == {"1.0.0"}
        assert s.running["box-1"] == "1.1.0", "the alarm is wave-1's"
        # The same message once more changes nothing.
        before = s.thread("1.1.0")
        await s.call("POST", "/api/alarms/alertmanager", message)
        await s.settle()
        assert s.thread("1.1.0") == before


async def test_the_fix_is_announced_as_one_and_goes_where_the_bad_one_may_not(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        await in_wave(s)
        await s.alarm()
        await s.alarm("ok")
        await s.announce("1.1.1")
        await s.advance(minutes=5)
        assert "Approve" not in s.card("1.1.1").buttons or s.running["box-1"] == "1.0.0"
        why = await s.ann.types("#shop", "/release why shop")
        assert "1.1.0" in why.text, "1.1.1 may contain what was bad"
        await s.announce("1.1.2", fixes=["1.1.0"])
        await s.ann.presses("Approve", on=s.card("1.1.2"), confirm=True)
        await s.advance(hours=2, until=lambda: "is everywhere" in s.card("1.1.2").text)
        assert set(s.running.values()) == {"1.1.2"}


async def test_a_bad_version_is_lifted_by_an_owner_with_a_reason(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        await in_wave(s)
        await s.alarm()
        await s.alarm("ok")
        await s.announce("1.1.1")
        refused = await s.dave.types("#shop", "/release lift shop 1.1.1 it was the network")
        assert "Only an owner" in refused.text
        await s.carol.types("#shop", "/release lift shop 1.1.1 it was the network", wait=False)
        await s.settle()
        assert "Approve" in s.card("1.1.1").buttons
        await s.ann.presses("Approve", on=s.card("1.1.1"), confirm=True)
        await s.settle()
        assert s.running["box-1"] == "1.1.1"


async def test_a_person_rolls_back_in_a_window_that_asks_for_a_reason(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        await in_wave(s)
        opened = await s.dave.chooses("Roll back…", on=s.card("1.1.0"))
        assert opened.modal is not None
        assert "1.1.0 → 1.0.0" in str(opened.modal).replace("*", "")
        missing = await opened.modal.submits({})
        assert missing is not None
        assert missing.errors, "without a reason nothing happens"
        assert s.running["web-1"] == "1.1.0"
        assert await missing.submits({"reason": "customers call"}) is None
        await s.settle()
        assert {s.running[t] for t in ("web-1", "web-2", "web-3")} == {"1.0.0"}
        assert "customers call" in s.told("1.1.0", "is being rolled back in wave-1")


async def test_a_failed_target_goes_back_alone_and_is_tried_again(tmp_path: Path, database: str) -> None:
    async with story(tmp_path, database=database) as s:
        s.script.when(Cue(target="web-2", version="1.1.0"), Act(outcome=Outcome.FAILED, message="no memory left"))
        await s.everywhere("1.0.0", s.ann)
        await s.to_production("1.1.0", s.ann)
        await s.advance(minutes=11)
        assert (s.running["web-1"], s.running["web-2"]) == ("1.1.0", "1.0.0")
        assert "no memory left" in s.card("1.1.0").text
        s.script.when(Cue(target="web-2"), Act())
        await s.dave.chooses("Retry in wave-1", on=s.card("1.1.0"))
        await s.advance(hours=1)
        assert set(s.running.values()) == {"1.1.0"}
        assert s.outside.overlaps == []


async def test_a_failed_test_stops_it_in_beta_until_it_is_tried_again(tmp_path: Path) -> None:
    async with story(tmp_path, smokes=lambda smoke: shop(smoke, patience="500ms")) as s:
        s.receiver.smoke_status = 500
        await s.announce("1.0.0")
        assert "smoke" in s.card("1.0.0").text
        assert "Approve" not in s.card("1.0.0").buttons
        s.receiver.smoke_status = 200
        await s.ann.types("#shop", "/release retry shop in beta", wait=False)
        await s.settle()
        assert "Approve" in s.card("1.0.0").buttons


async def test_a_failed_test_is_run_again_by_a_button_that_asks_who_presses(tmp_path: Path) -> None:
    team = {"members": ["ann", "bob", "carol"], "owners": ["ann", "carol"], "on_call": "on-call"}
    async with story(
        tmp_path, organisation=people(teams={"shop": team}), smokes=lambda smoke: shop(smoke, patience="500ms")
    ) as s:
        s.receiver.smoke_status = 500
        await s.announce("1.0.0")
        (failed,) = [m for m in s.simulator.thread(s.card("1.0.0")) if "Run the tests again" in m.buttons]
        s.receiver.smoke_status = 200
        await s.dave.presses("Run the tests again", on=failed)
        await s.settle()
        assert "Approve" not in s.card("1.0.0").buttons, "Dave is not of the team"
        assert "Only the team shop may retry shop." in s.privately(s.dave)[-1]
        await s.ann.presses("Run the tests again", on=failed)
        await s.settle()
        assert "Approve" in s.card("1.0.0").buttons


async def test_an_override_in_production_takes_a_second_person(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        await s.everywhere("1.0.0", s.ann)
        await s.advance(hours=1)
        await s.alarm()
        await s.announce("1.0.1")
        await s.ann.presses("Approve", on=s.card("1.0.1"), confirm=True)
        await s.settle()
        assert s.running["box-1"] == "1.0.0", "an alarm that is red already blocks the entry"
        first = await s.ann.types("#shop", "/release override shop 1.0.1 one-box this is the fix")
        assert "second" in first.text
        again = await s.ann.types("#shop", "/release override shop 1.0.1 one-box this is the fix")
        assert s.running["box-1"] == "1.0.0", again.text
        await s.carol.types("#shop", "/release override shop 1.0.1 one-box this is the fix", wait=False)
        await s.settle()
        assert s.running["box-1"] == "1.0.1"
        assert "Override" in s.card("1.0.1").plain


async def test_what_was_changed_past_andon_is_shown_and_reconciled(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        await s.everywhere("1.0.0", s.ann)
        s.outside.replace("web-2", digest("0.9.9"), "0.9.9")
        await s.app.look_at_targets()
        await s.settle()
        status = await s.ann.types("#shop", "/release status shop")
        assert "0.9.9" in status.text
        await s.to_production("1.1.0", s.ann)
        await s.advance(hours=1)
        assert s.running["web-1"] == "1.0.0", "it is not entered over something nobody knows"
        assert "0.9.9 runs there, but 1.0.0 is recorded" in (await s.ann.types("#shop", "/release why shop")).text
        await s.ann.types("#shop", "/release reconcile shop restore web-2", wait=False)
        await s.settle()
        await s.advance(hours=1)
        assert set(s.running.values()) == {"1.1.0"}
        assert ("web-2", "1.0.0") in [(r.target, r.version) for r in s.script.requests[5:]], "it was put back first"


async def failed_rollback(s: Story) -> Seen:
    await in_wave(s)
    s.script.when(Cue(target="box-1", is_rollback=True), Act(outcome=Outcome.FAILED, message="the disk is full"))
    await s.alarm()
    return s.card("1.1.0")


async def test_a_page_is_repeated_until_somebody_takes_it(tmp_path: Path, database: str) -> None:
    async with story(tmp_path, database=database) as s:
        await failed_rollback(s)
        assert len(s.receiver.pages) == 1
        headers, body = s.receiver.pages[0]
        assert headers["X-Andon-Signature"] == signature(PAGER_SECRET, headers["X-Andon-Timestamp"], body)
        assert json.loads(body)["kind"] == "page"
        assert "the disk is full" in json.loads(body)["sentence"]
        direct = s.simulator.workspace
        heard = [m.text for c in direct.channels.values() if c.kind == "im" for m in c.messages.values()]
        assert sum("You are on call" in text for text in heard) == 2, "Bob and Dave"
        await s.advance(minutes=16)
        assert len(s.receiver.pages) == 2
        assert s.receiver.pages[0][0]["Idempotency-Key"] != s.receiver.pages[1][0]["Idempotency-Key"]
        await s.dave.types("#shop", "/release ack shop", wait=False)
        await s.settle()
        assert json.loads(s.receiver.pages[-1][1])["kind"] == "end"
        await s.advance(hours=3)
        assert len(s.receiver.pages) == 3, "nobody is called any more"


async def test_a_pager_that_is_down_is_called_again_under_the_same_key(tmp_path: Path) -> None:
    async with story(tmp_path) as s:
        s.receiver.answers = [503, 500]
        await failed_rollback(s)
        assert s.receiver.pages == []
        await s.advance(minutes=1)
        assert [json.loads(body)["repetition"] for _, body in s.receiver.pages] == [1]
