"""People live in the page: they talk, follow threads, run commands, switch eyes and find their way by keyboard."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Route, expect

from tests.simulator.test_page_stage import button, in_browser, message, staged

pytestmark = in_browser


async def test_what_bob_writes_appears_at_anns_and_marks_a_channel_she_is_not_in() -> None:
    async with staged() as stage:
        bob = stage.simulator.person("bob")
        page = await stage.looks("ann")
        await bob.says("#checkout", "Is 1.4.2 out?")
        await expect(message(page, "Is 1.4.2 out?")).to_be_visible()
        await expect(page.locator("#say-polite")).to_contain_text("Bob Baker: Is 1.4.2 out?")

        general = page.get_by_role("link", name="general, channel")
        await bob.says("#general", "Hello all")
        await expect(general).to_have_accessible_name("general, channel, 1 unread")
        await bob.says("#general", "and @ann")
        await expect(general).to_have_accessible_name("general, channel, 2 unread, 1 for you")
        await general.click()
        await expect(page.locator("#messages .new-line")).to_have_count(1)
        await expect(general).to_have_accessible_name("general, channel")


async def test_enter_sends_shift_enter_breaks_the_line_and_drafts_stay_with_their_channel() -> None:
    async with staged() as stage:
        page = await stage.looks("ann")
        field = page.get_by_role("combobox", name="Message #checkout")
        await expect(field).to_be_focused()
        await page.keyboard.type("first")
        await page.keyboard.press("Shift+Enter")
        await page.keyboard.type("second")
        await page.keyboard.press("Enter")
        await expect(message(page, "first").locator(".text")).to_have_text("first\nsecond", use_inner_text=True)
        await page.keyboard.type("half a thou")
        await page.get_by_role("link", name="general, channel").click()
        await expect(page.get_by_role("combobox", name="Message #general")).to_have_value("")
        await page.get_by_role("link", name="checkout, channel").click()
        await expect(field).to_have_value("half a thou")


async def test_mentions_complete_by_keyboard_and_become_real_ones() -> None:
    async with staged() as stage:
        page = await stage.looks("ann")
        await page.keyboard.type("ask @appr")
        await expect(page.get_by_role("option", name="approvers")).to_be_visible()
        await page.keyboard.press("Enter")
        await page.keyboard.type("or @bo")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        sent = message(page, "ask @approvers or @Bob Baker")
        await expect(sent).to_be_visible()
        await expect(sent.locator(".mention")).to_have_count(2)


async def test_a_command_is_completed_explained_run_and_answered_to_its_person_only() -> None:
    async with staged() as stage:

        @stage.app.command("/release")
        async def release(ack: Any, respond: Any, command: dict[str, Any]) -> None:
            await ack()
            await respond(text=f"You asked: {command['text']}", response_type="ephemeral")

        page = await stage.looks("ann")
        await page.keyboard.type("/")
        await expect(page.get_by_role("option")).to_have_count(2)
        await expect(page.get_by_role("option").first).to_contain_text("[why|status] [service]")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("ArrowUp")
        await page.keyboard.press("Enter")
        await page.keyboard.type("why checkout")
        await expect(page.locator("#composer-slot .usage")).to_contain_text("[why|status] [service]")
        await page.keyboard.press("Enter")
        answer = message(page, "You asked: why checkout")
        await expect(answer).to_contain_text("Only visible to you")

        await page.keyboard.press("Control+Shift+U")
        await expect(page.get_by_role("menuitemradio", name="Ann Archer")).to_be_focused()
        await page.keyboard.press("b")
        await page.keyboard.press("Enter")
        await expect(page.locator("#people")).to_have_accessible_name("You are Bob Baker. Change who you are")
        await expect(page).to_have_url(f"{stage.simulator.url}?as=bob#/{stage.simulator.channel('#checkout').id}")
        await expect(answer).to_have_count(0)


async def test_a_thread_is_answered_counted_and_refuses_commands_without_losing_them() -> None:
    async with staged() as stage:
        await stage.posts("checkout 1.4.2 is baking")
        page = await stage.looks("ann")
        await message(page, "is baking").focus()
        await page.keyboard.press("Enter")
        reply = page.locator("#thread").get_by_role("combobox", name="Reply…")
        await expect(reply).to_be_focused()
        await page.keyboard.type("Looks good")
        await page.keyboard.press("Enter")
        await expect(message(page, "Looks good", "#thread-messages")).to_be_visible()
        await expect(page.get_by_role("button", name="1 reply")).to_be_visible()
        await expect(message(page, "Looks good")).to_have_count(0)

        await page.keyboard.type("Done at last")
        await page.get_by_label("Also send to the channel").check()
        await reply.press("Enter")
        await expect(message(page, "Done at last")).to_contain_text("Replied to a thread")
        await expect(page.get_by_role("button", name="2 replies")).to_be_visible()

        await reply.fill("/release why")
        await reply.press("Enter")
        await expect(page.locator("#thread").get_by_role("alert")).to_contain_text("not supported in threads")
        await expect(reply).to_have_value("/release why")
        await page.keyboard.press("Escape")
        await expect(page.locator("#thread")).to_be_hidden()
        await expect(page.get_by_role("button", name="2 replies")).to_be_focused()


async def test_a_reply_that_comes_while_its_thread_is_read_is_not_lost_and_another_pair_of_eyes_sees_the_thread() -> (
    None
):
    async with staged() as stage:
        bob = stage.simulator.person("bob")
        await stage.posts("checkout 1.4.2 is baking")
        card = stage.simulator.channel("#checkout").messages[0]
        await bob.says("#checkout", "first", thread=card)
        page = await stage.looks("ann")

        async def answers_late(route: Route) -> None:
            answer = await route.fetch()
            await bob.says("#checkout", "second", thread=card)
            await expect(page.get_by_role("button", name="2 replies")).to_be_visible()
            await route.fulfill(response=answer)

        await page.route("**/_sim/thread*", answers_late, times=1)
        await page.get_by_role("button", name="1 reply").click()
        await expect(message(page, "first", "#thread-messages")).to_be_visible()
        await expect(message(page, "second", "#thread-messages")).to_be_visible()

        await page.keyboard.press("Control+Shift+U")
        await page.keyboard.press("b")
        await page.keyboard.press("Enter")
        await expect(page.locator("#people")).to_have_accessible_name("You are Bob Baker. Change who you are")
        await expect(message(page, "second", "#thread-messages")).to_be_visible()


async def test_ones_own_message_is_edited_in_place_and_deleted_after_a_question() -> None:
    async with staged() as stage:
        page = await stage.looks("ann")
        await page.keyboard.type("Relase & @bob is <happy>")
        await page.keyboard.press("Enter")
        await expect(message(page, "Relase")).to_be_visible()
        await page.keyboard.press("ArrowUp")
        field = page.get_by_role("textbox", name="Edit message")
        await expect(field).to_have_value("Relase & @bob is <happy>")
        await field.fill("Release & @bob is <happy>")
        await field.press("Enter")
        sent = message(page, "Release & @Bob Baker is <happy>")
        await expect(sent).to_contain_text("(edited)")
        await sent.focus()
        await page.keyboard.press("m")
        await page.get_by_role("menuitem", name="Delete message…").click()
        await page.get_by_role("button", name="Delete").click()
        await expect(sent).to_have_count(0)


async def test_reading_upwards_is_not_disturbed_by_edits_and_new_messages() -> None:
    async with staged() as stage:
        bob = stage.simulator.person("bob")
        first = await stage.posts("a card at the top")
        for number in range(120):
            await bob.says("#checkout", f"message {number}")
        page = await stage.looks("ann")
        box = page.locator("#messages-box")
        await expect(message(page, "message 119")).to_be_in_viewport()
        assert await page.locator("#messages .message").count() == 50
        while await message(page, "a card at the top").count() == 0:
            shown = await page.locator("#messages .message").count()
            await box.evaluate("(node) => { node.scrollTop = 0; }")
            await expect(page.locator("#messages .message")).not_to_have_count(shown)
        await box.evaluate("(node) => { node.scrollTop = 600; }")
        still = page.locator("#messages .message", has_text="message 20")
        await still.evaluate("(node) => node.scrollIntoView({ block: 'center' })")
        before = await still.bounding_box()
        channel = stage.simulator.channel("#checkout").id
        await stage.client.chat_update(channel=channel, ts=first, text="one\ntwo\nthree\nfour\nfive")
        await expect(message(page, "five")).to_have_count(1)
        await bob.says("#checkout", "something new")
        newest = page.get_by_role("button", name="New messages")
        await expect(newest).to_be_visible()
        after = await still.bounding_box()
        assert before is not None
        assert after is not None
        assert abs(before["y"] - after["y"]) < 2
        await newest.click()
        await expect(message(page, "something new")).to_be_in_viewport()
        await expect(newest).to_be_hidden()


async def test_a_lost_connection_is_said_made_again_and_nothing_is_missed() -> None:
    async with staged() as stage:
        page = await stage.looks("ann")
        bob = stage.simulator.person("bob")
        await bob.says("#checkout", "before")
        await expect(message(page, "before")).to_be_visible()
        await page.evaluate(
            """() => {
                window.states = [];
                const node = document.getElementById('states');
                new MutationObserver(() => window.states.push(node.textContent)).observe(node, { childList: true });
            }"""
        )
        await stage.simulator.server.live.close()
        await page.wait_for_function("() => window.states.length > 0")
        await bob.says("#checkout", "meanwhile")
        await expect(message(page, "meanwhile")).to_be_visible()
        assert "Reconnecting" in (await page.evaluate("() => window.states"))[0]
        await expect(page.locator("#states")).to_be_empty()
        await bob.says("#checkout", "and live again")
        await expect(message(page, "and live again")).to_be_visible()


async def test_a_link_to_a_message_opens_its_channel_its_thread_and_marks_it() -> None:
    async with staged() as stage:
        bob = stage.simulator.person("bob")
        top = await bob.says("#checkout", "the top message")
        reply = await bob.says("#checkout", "the reply", thread=top)
        for number in range(60):
            await bob.says("#checkout", f"later {number}")
        channel = stage.simulator.channel("#checkout").id
        page = await stage.looks("ann", f"#/{channel}/p{top.ts.replace('.', '')}")
        await expect(message(page, "the top message")).to_be_focused()
        await expect(message(page, "the top message")).to_be_in_viewport()
        link = await stage.client.chat_getPermalink(channel=channel, message_ts=reply.ts)
        await stage.posts(f"See <{link['permalink']}|that reply>")
        await page.get_by_role("link", name="that reply").click()
        await expect(message(page, "the reply", "#thread-messages")).to_be_focused()


async def test_days_and_times_are_the_readers() -> None:
    async with staged() as stage:
        bob = stage.simulator.person("bob")
        await bob.says("#checkout", "late on the 14th in Berlin")
        stage.clock.at += 3_600
        await stage.posts("starts <!date^1700003600^{date_num} at {time}|never>")
        page = await stage.looks("ann")
        await expect(page.get_by_role("separator", name="Tuesday, November 14th, 2023")).to_be_visible()
        await expect(page.get_by_role("separator", name="Wednesday, November 15th, 2023")).to_be_visible()
        await expect(message(page, "late on").locator("time")).to_have_text("23:13")
        await expect(message(page, "starts 2023-11-15 at 0:13")).to_be_visible()


async def test_everything_is_reached_by_keyboard() -> None:
    async with staged() as stage:
        stage.app.shortcut("feedback_add")(stage.keep())
        await stage.simulator.person("bob").says("#checkout", "one")
        await stage.posts("two")
        page = await stage.looks("ann")
        seen = []
        for _ in range(4):
            await page.keyboard.press("F6")
            seen.append(await page.evaluate("() => document.activeElement.closest('[id]')?.id"))
        assert seen == ["people", "sidebar", "messages", "composer"]
        await page.keyboard.press("Shift+F6")
        await expect(message(page, "two")).to_be_focused()
        await page.keyboard.press("ArrowUp")
        await expect(message(page, "one")).to_be_focused()
        await page.keyboard.press("m")
        await page.keyboard.press("l")
        await expect(page.get_by_role("menuitem", name="Log as feedback")).to_be_focused()
        await page.keyboard.press("Enter")
        assert (await stage.hears("message_action"))["message"]["text"] == "one"
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
        await page.keyboard.press("Escape")
        await page.keyboard.press("Control+k")
        await expect(page.get_by_role("option", name="general")).to_be_visible()
        await page.keyboard.type("gen")
        await expect(page.get_by_role("option", name="random")).to_have_count(0)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="general", level=1)).to_be_visible()
        await page.keyboard.press("Alt+ArrowUp")
        await expect(page.get_by_role("heading", name="checkout", level=1)).to_be_visible()


async def test_reactions_are_added_counted_and_taken_back() -> None:
    async with staged() as stage:
        await stage.posts("ship it")
        page = await stage.looks("ann")
        await message(page, "ship it").hover()
        await page.get_by_role("button", name="Add a reaction").click()
        await page.get_by_role("textbox", name="Find an emoji").fill("rocket")
        await page.keyboard.press("Enter")
        chip = page.get_by_role("button", name="rocket, 1: Ann Archer")
        await expect(chip).to_have_attribute("aria-pressed", "true")
        await chip.click()
        await expect(chip).to_have_count(0)


async def test_a_file_is_uploaded_and_shown() -> None:
    async with staged() as stage:
        page = await stage.looks("ann")
        files = [{"name": "why & how.txt", "mimeType": "text/plain", "buffer": b"because"}]
        await page.locator("#composer-slot input[type=file]").set_input_files(files)  # type: ignore[arg-type]
        shared = page.locator("#messages .file", has_text="why & how.txt")
        await expect(shared).to_contain_text("7 B")
        async with page.expect_download() as download:
            await shared.click()
        assert (await (await download.value).path()).read_bytes() == b"because"


async def test_a_public_channel_is_looked_at_and_joined_a_direct_message_opened() -> None:
    async with staged() as stage:
        await stage.simulator.person("bob").says("#random", "lunch?")
        page = await stage.looks("ann")
        await page.get_by_role("link", name="random, channel").click()
        await expect(message(page, "lunch?")).to_be_visible()
        await page.get_by_role("button", name="Join channel").click()
        await expect(page.get_by_role("combobox", name="Message #random")).to_be_visible()
        await page.get_by_role("button", name="New message").click()
        await page.keyboard.type("bob")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Bob Baker", level=1)).to_be_visible()
        await page.get_by_role("combobox", name="Message Bob Baker").fill("psst")
        await page.keyboard.press("Enter")
        await expect(message(page, "psst")).to_be_visible()


async def test_on_a_phone_one_goes_from_list_to_channel_to_thread_and_back() -> None:
    async with staged() as stage:
        word = "unbreakable" * 12
        card = await stage.posts(f"{word} <https://example.test/{word}>", blocks=None)
        await stage.posts("a step", thread_ts=card)
        page = await stage.looks("ann", "", width=390)
        await page.get_by_role("link", name="checkout, channel").click()
        await page.get_by_role("button", name="1 reply").click()
        await expect(message(page, "a step", "#thread-messages")).to_be_visible()
        wide = """() => [document.documentElement, document.querySelector('#thread-box')]
            .every((node) => node.scrollWidth <= 390)"""
        assert await page.evaluate(wide)
        await page.get_by_role("button", name="Close the thread").click()
        await page.get_by_role("button", name="Back to the channel list").click()
        await expect(page.get_by_role("link", name="general, channel")).to_be_visible()


async def test_a_silent_app_is_said_where_one_clicked_and_an_absent_one_on_top() -> None:
    async with staged(ack_seconds=1.0) as stage:
        await stage.posts("card", blocks=[{"type": "actions", "elements": [button("Approve", "nobody_listens")]}])
        page = await stage.looks("ann")
        press = page.get_by_role("button", name="Approve")
        await stage.simulator.server.socket.disconnect("drop")
        await expect(page.get_by_text("Andon is not connected").first).to_be_visible()
        await press.click()
        card = page.locator("#messages .message", has=press)
        await expect(card.locator(".notice")).to_contain_text("did not respond: it is not connected")
        await expect(page.locator("#say-assertive")).to_contain_text("did not respond: it is not connected")
