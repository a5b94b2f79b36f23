"""The page draws what apps and people write: marks, rich text, every kind of block, and never any markup of theirs."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from playwright.async_api import expect

from simulator.block_kit import BLOCKS
from tests.simulator.test_page_stage import button, in_browser, message, mrkdwn, plain, staged

pytestmark = in_browser

MRKDWN = {
    "*bold* _it_ ~gone~ `a*b*c`": "<strong>bold</strong> <em>it</em> <s>gone</s> <code>a*b*c</code>",
    "snake_case_name 2*3*4 a_b_": "snake_case_name 2*3*4 a_b_",
    "*bold _both_*": "<strong>bold <em>both</em></strong>",
    "* no* *no *": "* no* *no *",
    "&lt;b&gt; &amp;amp; x": "&lt;b&gt; &amp;amp; x",
    "a\n&gt; one\n&gt; two\nb": "a<blockquote>one\ntwo</blockquote>b",
    "x ```a &lt; b\n*c*``` y": 'x <pre class="pre" tabindex="0">a &lt; b\n*c*</pre> y',
    "12:30:45 :nope:": "12:30:45 :nope:",
    "<javascript:alert(1)|click>": "<span>click</span>",
    "<!here>": '<span class="mention is-me">@here</span>',
    "<!subteam^S1>": '<span class="mention" title="People">@people</span>',
    "<#C1|gone>": '<a class="mention" href="#/C1">#shop</a>',
    "<mailto:a@example.test|mail>": (
        '<a class="link" href="mailto:a@example.test" target="_blank" rel="noopener noreferrer">mail</a>'
    ),
    "see https://example.test/x_y_.": (
        'see <a class="link" href="https://example.test/x_y" target="_blank" rel="noopener noreferrer">'
        "https://example.test/x_y</a>_."
    ),
    "<!date^nonsense^{date}|then>": "then",
}
MARKDOWN = {
    "**b** *i* ~~s~~ `c` [t](https://example.test/)": (
        '<p><strong>b</strong> <em>i</em> <s>s</s> <code>c</code> <a class="link" href="https://example.test/" '
        'target="_blank" rel="noopener noreferrer">t</a></p>'
    ),
    "[x](javascript:alert(1))": "<p><span>x</span></p>",
    "## Title\n- a\n- b\n  1. c": (
        '<div class="md-heading level-2" role="heading" aria-level="4">Title</div><ul class="rich-list"><li>a</li>'
        '<li>b<ol class="rich-list"><li>c</li></ol></li></ul>'
    ),
    "> q\n\n---": "<blockquote><p>q</p></blockquote><hr>",
    "<img src=x onerror=alert(1)>": "<p>&lt;img src=x onerror=alert(1)&gt;</p>",
}
DRAW = """async ([file, name, texts]) => {
    const draw = (await import(file))[name];
    const names = {
        me: 'U1', user: () => null, channel: (id) => (id === 'C1' ? { name: 'shop' } : null),
        group: () => ({ handle: 'people', name: 'People', members: [] }),
    };
    return texts.map((text) => {
        const box = document.createElement('div');
        box.append(...draw(text, names));
        return box.innerHTML;
    });
}"""


async def test_mrkdwn_and_markdown_read_as_in_slack() -> None:
    async with staged() as stage:
        page = await stage.looks("ann")
        drawn = await page.evaluate(DRAW, ["/page/mrkdwn.js", "mrkdwn", list(MRKDWN)])
        assert dict(zip(MRKDWN, drawn, strict=True)) == MRKDWN
        drawn = await page.evaluate(DRAW, ["/page/markdown.js", "markdown", list(MARKDOWN)])
        assert dict(zip(MARKDOWN, drawn, strict=True)) == MARKDOWN


def _card(words: str) -> dict[str, Any]:
    return {"type": "card", "title": plain(words), "body": mrkdwn(words), "actions": [button("Open", "open")]}


def gallery(words: str) -> list[dict[str, Any]]:
    """Return one block of every kind a message may hold, each showing `words`."""
    piece: dict[str, Any] = {"type": "text", "text": words, "style": {"bold": True}}
    section = {"type": "rich_text_section", "elements": [piece, {"type": "user", "user_id": "U0001"}]}
    rich = [
        section,
        {"type": "rich_text_list", "style": "bullet", "elements": [section]},
        {"type": "rich_text_list", "style": "ordered", "indent": 1, "elements": [section]},
        {"type": "rich_text_quote", "elements": [piece, {"type": "link", "url": "javascript:hack()", "text": words}]},
        {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": words}]},
    ]
    options = [{"text": plain(words), "value": "1"}, {"text": plain("other"), "value": "2"}]
    return [
        {"type": "header", "text": plain(words)},
        {"type": "section", "text": mrkdwn(words), "fields": [mrkdwn(words), plain(words)]},
        {"type": "section", "text": mrkdwn("menu"), "accessory": {"type": "overflow", "options": options}},
        {"type": "context", "elements": [mrkdwn(words), plain(words)]},
        {"type": "divider"},
        {
            "type": "actions",
            "elements": [
                button(words, "press", accessibility_label="Press it"),
                {"type": "static_select", "placeholder": plain(words), "options": options},
                {"type": "radio_buttons", "options": options},
                {"type": "checkboxes", "options": options},
                {"type": "datepicker"},
                {"type": "timepicker"},
                {"type": "datetimepicker"},
                {"type": "users_select"},
                {"type": "multi_conversations_select"},
                {"type": "channels_select"},
                {"type": "external_select"},
            ],
        },
        {
            "type": "context_actions",
            "elements": [
                {
                    "type": "feedback_buttons",
                    "positive_button": {"text": plain("Good"), "value": "g"},
                    "negative_button": {"text": plain("Bad"), "value": "b"},
                }
            ],
        },
        {"type": "image", "image_url": "http://127.0.0.1:1/none.png", "alt_text": words, "title": plain(words)},
        {"type": "input", "label": plain(words), "hint": plain(words), "element": {"type": "plain_text_input"}},
        {"type": "rich_text", "elements": rich},
        {"type": "markdown", "text": words},
        {"type": "table", "rows": [[{"type": "raw_text", "text": words}], [{"type": "rich_text", "elements": rich}]]},
        {
            "type": "video",
            "alt_text": words,
            "title": plain(words),
            "thumbnail_url": "http://127.0.0.1:1/none.png",
            "video_url": "https://example.test/video",
        },
        _card(words),
        {"type": "carousel", "elements": [_card(words)]},
    ]


HOSTILE = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'>\"'><svg/onload=window.hacked=1>"


async def test_every_block_of_a_message_is_drawn_and_hostile_text_stays_text() -> None:
    kinds = {kind for kind, (_, surfaces) in BLOCKS.items() if "message" in surfaces}
    assert {block["type"] for block in gallery("x")} == kinds
    async with staged() as stage:
        await stage.posts(HOSTILE, attachments=[{"text": HOSTILE, "title": HOSTILE, "title_link": "javascript:hack()"}])
        await stage.posts("gallery", blocks=gallery(HOSTILE[:70]))
        await stage.simulator.person("bob").says("#checkout", HOSTILE)
        page = await stage.looks("ann")
        await expect(page.locator("#messages .block")).to_have_count(len(gallery("x")) + 1)
        await expect(page.get_by_text("is not shown here")).to_have_count(0)
        await expect(page.locator("#messages script, #messages img[src='x'], #messages [onerror]")).to_have_count(0)
        assert await page.locator("#messages a[href^='javascript']").count() == 0
        assert await page.evaluate("() => window.hacked") is None
        await expect(message(page, "<script>window.hacked=1</script>").first).to_be_visible()
        await expect(page.get_by_role("button", name="Press it")).to_be_visible()


async def test_an_edit_redraws_only_what_changed_and_leaves_focus_and_choices_alone() -> None:
    blocks: list[dict[str, Any]] = [
        {"type": "header", "block_id": "h", "text": plain("baking")},
        {"type": "actions", "block_id": "a", "elements": [button("Pause", "pause")]},
        {
            "type": "input",
            "block_id": "i",
            "label": plain("Note"),
            "element": {"type": "plain_text_input", "action_id": "n"},
        },
    ]
    async with staged() as stage:
        ts = await stage.posts(blocks=blocks)
        page = await stage.looks("ann")
        await page.get_by_role("textbox", name="Note").fill("half")
        after = copy.deepcopy(blocks)
        after[0]["text"] = plain("baked")
        after[2]["label"] = plain("Your note")
        await page.get_by_role("textbox", name="Note").focus()
        await stage.client.chat_update(
            channel=stage.simulator.channel("#checkout").id, ts=ts, text="baked", blocks=after
        )
        await expect(page.get_by_role("heading", name="baked")).to_be_visible()
        note = page.get_by_role("textbox", name="Your note")
        await expect(note).to_have_value("half")
        await expect(note).to_be_focused()


CONTRAST = """() => {
    const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const parse = (text) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = text;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const linear = (value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
    const behind = (node) => {
        for (let at = node; at; at = at.parentElement) {
            const style = getComputedStyle(at);
            if (style.backgroundImage !== 'none') return null;
            const color = parse(style.backgroundColor);
            if (color[3] === 255) return color;
        }
        return [255, 255, 255];
    };
    const isShown = (node) =>
        node.checkVisibility({ opacityProperty: true, visibilityProperty: true })
        && !node.closest('.emoji, .unseen, .skip, [aria-hidden=true]');
    const found = { poor: [], looked: 0 };
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const node = walk.currentNode.parentElement;
        const text = walk.currentNode.textContent.trim();
        const back = text && isShown(node) ? behind(node) : null;
        if (!back) continue;
        found.looked += 1;
        const [one, other] = [light(parse(getComputedStyle(node).color)), light(back)].sort((a, b) => b - a);
        const ratio = (one + 0.05) / (other + 0.05);
        if (ratio < 4.5) found.poor.push(`${ratio.toFixed(2)} ${node.className} ${text.slice(0, 30)}`);
    }
    return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_all_text_has_enough_contrast(scheme: str) -> None:
    async with staged() as stage:
        words = "a `code` <@U0001> <@U0002> <#C0001> <https://example.test|link>"
        styled = [button("Go", "go", style="primary"), button("Stop", "stop", style="danger"), button("Wait", "wait")]
        card = await stage.posts(blocks=[*gallery(words), {"type": "actions", "block_id": "s", "elements": styled}])
        await stage.posts(words, thread_ts=card)
        page = await stage.looks("ann", scheme=scheme)
        await stage.simulator.person("bob").says("#general", "and @ann")
        await page.get_by_role("button", name="1 reply").click()
        await expect(page.get_by_role("combobox", name="Reply…")).to_be_focused()
        await page.get_by_role("combobox", name="Message #checkout").fill("/")
        await expect(page.get_by_role("option").first).to_be_visible()
        found = await page.evaluate(CONTRAST)
        assert found["poor"] == []
        assert found["looked"] > 100
