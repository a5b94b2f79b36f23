"""What Andon finds out at start, and what it says where something is missing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bot.manifest import SCOPES
from bot.slack_channels import Channels, is_channel_id
from bot.slack_start import GroupWatch, SlackNotReady, check_settings, look_around, read_groups
from core.errors import TransientError
from core.releases.world import PeopleGroup, World
from simulator.people import Simulator
from tests.bot.slack_office import people_in, settings
from tests.bot.slack_stage import Hands, clients, config


async def test_a_workspace_that_grants_everything_leaves_nothing_to_say():
    async with Simulator.running(config=config()) as simulator, clients(simulator) as pair:
        found = await look_around(pair.reader, Channels(pair.reader), wanted=["#checkout"])

        assert found.sentences == ()
        assert found.identity.bot_user_id == simulator.workspace.app.bot_user
        assert found.reads_history
        assert found.reads_groups
        assert found.reads_email
        assert found.uploads_files
        assert not found.reacts


@pytest.mark.parametrize("scope", [scope.name for scope in SCOPES if scope.is_optional])
async def test_each_optional_scope_that_is_missing_is_named_with_what_is_lost(scope):
    async with Simulator.running(config=config(without=(scope,))) as simulator, clients(simulator) as pair:
        found = await look_around(pair.reader, Channels(pair.reader), wanted=["#checkout"])
        (sentence,) = found.sentences
        assert sentence.startswith(f"Without the optional scope {scope}, ")


async def test_a_scope_andon_cannot_do_without_is_named_with_the_mend():
    async with Simulator.running(config=config(without=("chat:write",))) as simulator, clients(simulator) as pair:
        found = await look_around(pair.reader, Channels(pair.reader), wanted=[])
        (sentence,) = found.sentences
        assert "lacks the scope chat:write" in sentence
        assert "andon manifest" in sentence


async def test_channels_without_andon_are_named_with_the_invitation():
    async with Simulator.running(config=config()) as simulator, clients(simulator) as pair:
        found = await look_around(pair.reader, Channels(pair.reader), wanted=["#checkout", "#elsewhere", "nowhere", ""])
        assert found.uninvited == ("elsewhere", "nowhere")
        assert found.sentences == (
            "Andon is not in #elsewhere: invite it there with /invite @andon.",
            "Andon is not in #nowhere: invite it there with /invite @andon.",
        )


async def test_a_workspace_that_hides_its_channels_is_no_reason_to_stop():
    async with (
        Simulator.running(config=config(without=("channels:read", "groups:read", "im:read"))) as simulator,
        clients(simulator) as pair,
    ):
        found = await look_around(pair.reader, Channels(pair.reader), wanted=["#checkout"])
        assert any("cannot be seen which channels" in sentence for sentence in found.sentences)


async def test_a_token_slack_does_not_accept_ends_the_start_with_a_plain_sentence():
    async with Simulator.running(config=config()) as simulator, clients(simulator, token="xoxb-wrong") as pair:
        with pytest.raises(SlackNotReady, match="copy it again") as refusal:
            await look_around(pair.reader, Channels(pair.reader), wanted=[])
        assert "xoxb-wrong" not in str(refusal.value)


async def test_slack_being_away_is_not_a_wrong_token():
    async with Simulator.running(config=config()) as simulator, clients(simulator) as pair:
        simulator.faults.paused = True
        with pytest.raises(TransientError):
            await look_around(pair.reader, Channels(pair.reader), wanted=[])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"bot_token": ""}, "no Slack bot token"),
        ({"bot_token": "xapp-test", "app_token": "xapp-test"}, "has not the form"),
        ({"bot_token": "xoxb-test", "app_token": "xoxb-test"}, "app token has not the form"),
        ({"bot_token": "xoxb-test"}, "no way to Andon"),
        ({"bot_token": "xoxb-test", "signing_secret": "  "}, "no way to Andon"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_is_asked(given, says):
    with pytest.raises(SlackNotReady, match=says) as refusal:
        check_settings(**given)
    assert "xoxb-test" not in str(refusal.value)


def test_settings_of_either_way_in_are_enough():
    check_settings(bot_token="xoxb-test", app_token="xapp-test")
    check_settings(bot_token="xoxb-test", signing_secret="signing-secret")


# ---- channels -------------------------------------------------------------------------------------------------------


async def test_a_renamed_channel_keeps_its_old_name_for_andon():
    async with Simulator.running(config=config()) as simulator, clients(simulator) as pair:
        hands = Hands()
        channels = Channels(pair.reader, monotonic=hands.monotonic)
        id_ = await channels.id_of("#checkout")
        simulator.workspace.channel("#checkout").name = "payments"
        channels.hear({"type": "channel_rename", "channel": {"id": id_, "name": "payments"}}, me="U0B01")
        hands.now += 3600
        await channels.look()

        assert await channels.id_of("#checkout") == id_
        assert await channels.id_of("payments") == id_
        assert await channels.id_of(id_) == id_


async def test_an_id_that_changes_is_followed():
    async with Simulator.running(config=config()) as simulator, clients(simulator) as pair:
        channels = Channels(pair.reader)
        old = await channels.id_of("checkout")
        channels.hear({"type": "channel_id_changed", "old_channel_id": old, "new_channel_id": "C0NEW"}, me="U0B01")
        assert await channels.id_of("checkout") == "C0NEW"


async def test_a_name_that_is_not_found_is_not_asked_for_again_and_again():
    async with Simulator.running(config=config()) as simulator, clients(simulator) as pair:
        hands = Hands()
        channels = Channels(pair.reader, monotonic=hands.monotonic)
        for _ in range(5):
            assert await channels.missing({"nowhere"}) == ["nowhere"]
        before = simulator.faults.calls["conversations.list"]
        for _ in range(5):
            with pytest.raises(Exception, match="/invite @andon"):
                await channels.id_of("nowhere")
        assert simulator.faults.calls["conversations.list"] == before

        channels.hear({"type": "member_joined_channel", "user": "U7", "channel": "C1"}, me="U0B01")
        with pytest.raises(Exception, match="/invite @andon"):
            await channels.id_of("nowhere")
        assert simulator.faults.calls["conversations.list"] == before


def test_ids_and_names_are_told_apart():
    assert is_channel_id("C0123ABCD")
    assert not is_channel_id("checkout")
    assert not is_channel_id("CI")


# ---- user groups ----------------------------------------------------------------------------------------------------


def _with_group(simulator: Simulator) -> World:
    world = people_in(simulator)
    group = simulator.workspace.groups[next(iter(simulator.workspace.groups))]
    return replace(world, groups={"on-call": PeopleGroup(name="on-call", slack=group.id)})


async def test_members_of_slack_groups_become_people():
    setting = settings(groups=[{"handle": "on-call", "members": ["ann", "zoe"]}])
    async with Simulator.running(config=setting) as simulator, clients(simulator) as pair:
        read = await read_groups(pair.reader, _with_group(simulator))
        assert read == {"on-call": frozenset({"ann", f"slack:{simulator.person('zoe').id}"})}


async def test_a_group_that_slack_does_not_know_is_left_as_it_is(caplog):
    async with Simulator.running(config=settings()) as simulator, clients(simulator) as pair:
        world = replace(people_in(simulator), groups={"gone": PeopleGroup(name="gone", slack="S9999")})
        assert await read_groups(pair.reader, world) == {}
        assert "gone" in caplog.text


async def test_a_change_of_a_group_is_heard_at_once_and_nothing_else_is_told():
    setting = settings(groups=[{"handle": "on-call", "members": ["ann"]}])
    async with Simulator.running(config=setting) as simulator, clients(simulator) as pair:
        world = _with_group(simulator)
        told: asyncio.Queue[dict[str, frozenset[str]]] = asyncio.Queue()

        async def update(changed):
            nonlocal world
            groups = {name: replace(world.groups[name], members=members) for name, members in changed.items()}
            world = replace(world, groups={**world.groups, **groups})
            await told.put(dict(changed))

        watch = GroupWatch(pair.reader, lambda: world, update, every=3600)
        task = asyncio.create_task(watch.run())
        try:
            assert await asyncio.wait_for(told.get(), 5) == {"on-call": frozenset({"ann"})}
            simulator.workspace.set_group_members("on-call", ["ann", "bob"])
            watch.hear({"type": "subteam_members_changed"})
            assert await asyncio.wait_for(told.get(), 5) == {"on-call": frozenset({"ann", "bob"})}
            await watch.refresh()
            assert told.empty()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
