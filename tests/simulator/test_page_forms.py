"""People use buttons, menus, fields and modals in the page, and the app hears what they chose."""

from __future__ import annotations

import copy
from typing import Any

from playwright.async_api import expect

from tests.simulator.test_page_stage import button, in_browser, message, mrkdwn, plain, staged

pytestmark = in_browser

MODAL: dict[str, Any] = {
    "type": "modal",
    "callback_id": "pause",
    "notify_on_close": True,
    "title": plain("Pause checkout"),
    "submit": plain("Pause"),
    "blocks": [
        {"type": "section", "block_id": "intro", "text": mrkdwn("Nothing new starts.")},
        {
            "type": "input",
            "block_id": "why",
            "label": plain("Why?"),
            "element": {"type": "plain_text_input", "action_id": "text", "max_length": 20},
        },
        {
            "type": "input",
            "block_id": "who",
            "optional": True,
            "label": plain("Tell"),
            "element": {"type": "multi_users_select", "action_id": "people"},
        },
        {"type": "actions", "block_id": "more", "elements": [button("Refresh", "refresh"), button("More", "push")]},
    ],
}
CARD = [{"type": "actions", "block_id": "card", "elements": [button("Pause…", "open")]}]


async def opens(body: dict[str, Any], client: Any) -> None:
    """Open the modal."""
    await client.views_open(trigger_id=body["trigger_id"], view=MODAL)


async def refreshes(body: dict[str, Any], client: Any) -> None:
    """Change a sentence of the modal."""
    view = copy.deepcopy(MODAL)
    view["blocks"][0]["text"] = mrkdwn("Changed meanwhile.")
    view["blocks"][1]["label"] = plain("Why, really?")
    await client.views_update(view_id=body["view"]["id"], view=view)


async def pushes(body: dict[str, Any], client: Any) -> None:
    """Push a second modal."""
    view = {"type": "modal", "title": plain("Second"), "blocks": [{"type": "section", "text": mrkdwn("More of it")}]}
    await client.views_push(trigger_id=body["trigger_id"], view=view)


async def test_a_modal_keeps_what_was_typed_shows_errors_under_fields_and_sends_it_all() -> None:
    async with staged() as stage:
        stage.app.action("open")(stage.keep(opens))
        stage.app.action("refresh")(stage.keep(refreshes))

        @stage.app.view("pause")
        async def submitted(ack: Any, body: dict[str, Any]) -> None:
            reason = body["view"]["state"]["values"]["why"]["text"]["value"]
            if len(reason) < 5:
                await ack(response_action="errors", errors={"why": "Please say a little more."})
            else:
                await ack()
                stage.heard.put_nowait(body)

        await stage.posts(blocks=CARD)
        page = await stage.looks("ann")
        await page.get_by_role("button", name="Pause…").click()
        await stage.hears("block_actions")
        dialog = page.get_by_role("dialog", name="Pause checkout")
        await expect(dialog.get_by_role("textbox", name="Why?")).to_be_focused()
        await page.keyboard.type("bad")
        await dialog.get_by_role("button", name="Refresh").click()
        heard = await stage.hears("block_actions")
        assert heard["view"]["state"]["values"]["why"]["text"]["value"] == "bad"
        await expect(dialog).to_contain_text("Changed meanwhile.")
        field = dialog.get_by_role("textbox", name="Why, really?")
        await expect(field).to_have_value("bad")
        await dialog.get_by_role("button", name="Tell: ").click()
        await page.keyboard.type("bo")
        await page.keyboard.press("Enter")
        await page.keyboard.press("Escape")
        await expect(dialog.get_by_role("button", name="Tell: Bob Baker")).to_be_focused()
        await field.press("Enter")
        await expect(dialog.get_by_role("alert").filter(has_text="Please say a little more.")).to_be_visible()
        await expect(field).to_be_focused()
        await field.fill("the error rate doubled at noon")
        await expect(field).to_have_value("the error rate doubl")
        await dialog.get_by_role("button", name="Pause", exact=True).click()
        values = (await stage.hears("view_submission"))["view"]["state"]["values"]
        assert values["why"]["text"]["value"] == "the error rate doubl"
        assert values["who"]["people"]["selected_users"] == [stage.simulator.person("bob").id]
        await expect(dialog).to_be_hidden()
        await expect(page.get_by_role("button", name="Pause…")).to_be_focused()


async def test_focus_stays_in_a_stack_of_modals_and_escape_closes_one_at_a_time() -> None:
    async with staged() as stage:
        stage.app.action("open")(stage.keep(opens))
        stage.app.action("push")(stage.keep(pushes))
        stage.app.view_closed("pause")(stage.keep())
        await stage.posts(blocks=CARD)
        page = await stage.looks("ann")
        await page.get_by_role("button", name="Pause…").click()
        first = page.get_by_role("dialog", name="Pause checkout")
        await first.get_by_role("textbox", name="Why?").fill("kept")
        for _ in range(12):
            await page.keyboard.press("Tab")
            inside = "() => document.activeElement === document.body || !!document.activeElement.closest('dialog')"
            assert await page.evaluate(inside)
        await first.get_by_role("button", name="More", exact=True).click()
        await expect(page.get_by_role("dialog", name="Second")).to_contain_text("More of it")
        await page.keyboard.press("Escape")
        await expect(first.get_by_role("textbox", name="Why?")).to_have_value("kept")
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        for kind in ("block_actions", "block_actions", "view_closed"):
            await stage.hears(kind)


async def test_a_dangerous_button_asks_first_and_a_menu_is_chosen_from_by_keyboard() -> None:
    confirm = {
        "title": plain("Roll back?"),
        "text": mrkdwn("to *1.4.1*"),
        "confirm": plain("Do it"),
        "deny": plain("Keep"),
    }
    menu = {
        "type": "overflow",
        "action_id": "more",
        "options": [{"text": plain("Pause"), "value": "p"}, {"text": plain("Abort"), "value": "a"}],
    }
    elements = [button("Roll back", "back", style="danger", confirm=confirm), menu]
    async with staged() as stage:
        stage.app.action("back")(stage.keep())
        stage.app.action("more")(stage.keep())
        await stage.posts(blocks=[{"type": "actions", "elements": elements}])
        page = await stage.looks("ann")
        await page.get_by_role("button", name="Roll back").click()
        dialog = page.get_by_role("dialog", name="Roll back?")
        await expect(dialog.get_by_role("button", name="Keep")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(dialog).to_have_count(0)
        await page.get_by_role("button", name="More actions").first.focus()
        await page.keyboard.press("Enter")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Enter")
        heard = await stage.hears("block_actions")
        assert heard["actions"][0]["selected_option"]["value"] == "a"
        await page.get_by_role("button", name="Roll back").click()
        await dialog.get_by_role("button", name="Do it").click()
        assert (await stage.hears("block_actions"))["actions"][0]["action_id"] == "back"


async def test_choices_on_a_message_reach_the_app() -> None:
    options = [{"text": plain(name), "value": name} for name in ("beta", "gamma", "prod")]
    elements = [
        {"type": "static_select", "action_id": "stage", "placeholder": plain("Stage"), "options": options},
        {"type": "external_select", "action_id": "version", "placeholder": plain("Version"), "min_query_length": 1},
        {"type": "checkboxes", "action_id": "checks", "options": options},
        {"type": "radio_buttons", "action_id": "radio", "options": options[:2]},
        {"type": "datepicker", "action_id": "day"},
    ]
    async with staged() as stage:
        for action in ("stage", "version", "checks", "radio", "day"):
            stage.app.action(action)(stage.keep())

        @stage.app.options("version")
        async def versions(ack: Any, body: dict[str, Any]) -> None:
            await ack(options=[{"text": plain(f"{body['value']}.{n}"), "value": f"v{n}"} for n in range(3)])

        await stage.posts(blocks=[{"type": "actions", "elements": elements}])
        page = await stage.looks("ann")

        async def chosen() -> dict[str, Any]:
            return dict((await stage.hears("block_actions"))["actions"][0])

        await page.get_by_role("button", name="Stage: Stage").press("Enter")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Enter")
        assert (await chosen())["selected_option"]["value"] == "gamma"
        await expect(page.get_by_role("button", name="Stage: gamma")).to_be_focused()
        await page.get_by_role("button", name="Version: Version").press("Enter")
        await page.keyboard.type("7")
        await page.get_by_role("option", name="7.2").click()
        assert (await chosen())["selected_option"]["value"] == "v2"
        await page.get_by_role("checkbox", name="prod").check()
        assert [one["value"] for one in (await chosen())["selected_options"]] == ["prod"]
        await page.get_by_role("radio", name="gamma").check()
        assert (await chosen())["selected_option"]["value"] == "gamma"
        await page.get_by_label("Date").fill("2026-01-31")
        assert (await chosen())["selected_date"] == "2026-01-31"


async def test_a_link_button_opens_a_new_tab_and_the_app_hears_of_it() -> None:
    async with staged() as stage:
        stage.app.action("shop")(stage.keep())
        elements = [button("Shop", "shop", url=f"{stage.simulator.url}page/base.css")]
        await stage.posts(blocks=[{"type": "actions", "elements": elements}])
        page = await stage.looks("ann")
        async with page.context.expect_page() as opened:
            await page.get_by_role("link", name="Shop").click()
        assert (await opened.value).url.endswith("/page/base.css")
        assert await (await opened.value).evaluate("() => window.opener") is None
        await stage.hears("block_actions")


async def test_app_home_opens_and_changes_live() -> None:
    async with staged() as stage:
        ann = stage.simulator.person("ann")

        async def publish(words: str) -> None:
            view = {"type": "home", "blocks": [{"type": "header", "text": plain(words)}]}
            await stage.client.views_publish(user_id=ann.id, view=view)

        page = await stage.looks("ann")
        await page.get_by_role("link", name="Andon, app").click()
        await expect(page.locator("#home")).to_contain_text("has not shown anything")
        await publish("Your releases")
        await expect(page.get_by_role("heading", name="Your releases")).to_be_visible()
        await publish("None left")
        await expect(page.get_by_role("heading", name="None left")).to_be_visible()


async def test_a_message_shortcut_opens_its_modal_over_the_message() -> None:
    async with staged() as stage:
        stage.app.shortcut("feedback_add")(stage.keep(opens))
        await stage.simulator.person("bob").says("#checkout", "the cart is slow")
        page = await stage.looks("ann")
        await message(page, "the cart is slow").hover()
        await page.get_by_role("group", name="Message actions").get_by_role("button", name="More actions").click()
        await page.get_by_role("menuitem", name="Log as feedback").click()
        assert (await stage.hears("message_action"))["message"]["text"] == "the cart is slow"
        await expect(page.get_by_role("dialog", name="Pause checkout")).to_be_visible()
