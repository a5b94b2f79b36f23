"""The builders, their limits, and operators' own templates."""

from __future__ import annotations

import logging
from pathlib import Path

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import nodes

from bot.cards import card
from bot.render import BUILT_IN, LIMITS, Drawing, Message, Option, Templates, built_in, mention
from commands import mrkdwn
from commands.mrkdwn import Mrkdwn, cut, escape
from commands.subjects import Subject
from core.releases.world import PeopleGroup, World
from tests.bot.drawn import judge
from tests.samples import MOMENTS, NOW, WORLD

ABOUT = Subject("checkout", "r2")


def drawn_by(tmp_path: Path, source: str, **view: object) -> Message:
    (tmp_path / "told.jinja").write_text(source, encoding="utf-8")
    return Templates(tmp_path).message("told", WORLD, **view)


def words(tmp_path: Path, expression: str, **view: object) -> str:
    return drawn_by(tmp_path, "{% call draw.say() %}" + expression + "{% endcall %}", **view).text


# ---- escaping -------------------------------------------------------------------------------------------------------


def test_a_value_is_escaped_unless_a_filter_of_ours_made_it(tmp_path: Path):
    assert words(tmp_path, "{{ x }}", x="<!channel> & co") == "&lt;!channel&gt; &amp; co"
    assert words(tmp_path, "{{ x | link('https://a.example/?b&c') }}", x="a|<b>") == (
        "<https://a.example/?b&amp;c|a¦&lt;b&gt;>"
    )
    assert words(tmp_path, "{{ x | link('javascript:alert(1)') }}", x="a") == "a"
    assert words(tmp_path, "{{ x | code }} {{ x | strong }}", x="*`<b>`*") == "`*ˋ&lt;b&gt;ˋ*` *∗`&lt;b&gt;`∗*"
    assert words(tmp_path, "{{ xs | join(', ', ' and ') }}", xs=["<a>", Mrkdwn("<@U1>"), "c"]) == (
        "&lt;a&gt;, <@U1> and c"
    )
    assert words(tmp_path, "{{ x | short(8) | capital }}", x="<b>\n and more") == "&lt;b…"
    assert words(tmp_path, "{{ x | headline | link('https://a.example') }}", x="\n<b>\nsecond") == (
        "<https://a.example|&lt;b&gt;>"
    )
    assert words(tmp_path, "{{ at | time }}", at=NOW) == (
        "<!date^1772460000^{time}, {date_short_pretty}|2026-03-02 14:00 UTC>"
    )


@pytest.mark.parametrize("value", [None, True, [], {}, object()])
def test_only_text_and_numbers_are_printed(tmp_path: Path, value: object, caplog: pytest.LogCaptureFixture):
    (tmp_path / "told.jinja").write_text("{% call draw.say() %}{{ x }}{% endcall %}", encoding="utf-8")
    with pytest.raises(jinja2.UndefinedError):  # ours, used instead, is not given what it needs
        Templates(tmp_path).message("told", WORLD, x=value)
    assert "only text and numbers can be printed" in caplog.text


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("ann", "<@U0ANN>"),
        ("carol", "Carol"),
        ("payments-oncall", "<!subteam^S0ONCALL>"),
        ("reviewers", "reviewers (<@U0BOB>, Carol, <@U0EVE>)"),
        ("payments", "payments (<@U0ANN>, <@U0BOB>, Carol)"),
        ("slack:U7", "<@U7>"),
        ("slack:U7><!channel", "slack:U7&gt;&lt;!channel"),
        ("<nobody>", "&lt;nobody&gt;"),
    ],
)
def test_who_is_asked_is_mentioned_as_slack_knows_them(key: str, said: str):
    assert mention(key, WORLD) == said


def test_a_crowd_without_a_slack_group_is_named_not_mentioned_one_by_one():
    people = {f"p{n}": WORLD.people["ann"] for n in range(11)}
    world = World(people=people, groups={"all": PeopleGroup(name="all", members=frozenset(people))})
    assert mention("all", world) == "all"


# ---- lengths --------------------------------------------------------------------------------------------------------


@given(st.text(), st.integers(2, 40))
def test_what_is_cut_fits_says_so_and_splits_no_token(text: str, length: int):
    safe = escape(text) + mrkdwn.user("U123") + escape(text)
    short = cut(safe, length)
    assert len(short) <= length
    assert short == safe or short.endswith("…")
    left = short.removesuffix("…")
    assert left.count("<") == left.count(">")
    for entity in left.split("&")[1:]:
        assert entity.startswith(("amp;", "lt;", "gt;"))


def test_sixty_sections_become_fifty_blocks_that_say_what_is_missing_and_keep_their_buttons(tmp_path: Path):
    source = (
        "{% call draw.say() %}x{% endcall %}"
        "{% for n in range(60) %}{% call draw.section() %}{{ n }}{% endcall %}{% endfor %}"
        "{{ draw.button('Pause', 'pause', about) }}{{ draw.actions() }}"
    )
    message = drawn_by(tmp_path, source, about=ABOUT, range=range)
    assert len(message.blocks) == LIMITS["blocks"]
    assert message.blocks[-2]["elements"][0]["text"] == "… and 12 more"
    assert message.blocks[-1]["type"] == "actions"
    assert judge({"text": message.text, "blocks": message.blocks}) == []


def test_all_blocks_together_stay_below_what_slack_refuses(tmp_path: Path):
    source = (
        "{% call draw.say() %}{{ x }}{% endcall %}{% call draw.header() %}{{ x }}{% endcall %}"
        "{% for n in range(20) %}{% call draw.section() %}{{ x }}{% endcall %}"
        "{% call draw.context() %}{% for m in range(20) %}{{ x }}\n{% endfor %}{% endcall %}{% endfor %}"
    )
    message = drawn_by(tmp_path, source, x="&" * 5_000, range=range)
    assert judge({"text": message.text, "blocks": message.blocks}) == []
    assert len(message.text) <= LIMITS["text"]


def test_at_most_three_buttons_and_five_entries(tmp_path: Path):
    source = (
        "{% call draw.say() %}x{% endcall %}{% for n in range(9) %}"
        "{{ draw.button('B', 'pause', about) }}{{ draw.entry('E', 'why', about) }}{% endfor %}{{ draw.actions() }}"
        "{{ draw.button('again', 'pause', about) }}{{ draw.actions() }}"
    )
    message = drawn_by(tmp_path, source, about=ABOUT, range=range)
    *buttons, menu = message.blocks[0]["elements"]
    assert len(buttons) == 3
    assert len(menu["options"]) == 5
    ids = [e["action_id"] for block in message.blocks for e in block["elements"]]
    assert len(ids) == len(set(ids))


def test_a_menu_entry_whose_ids_are_too_long_is_left_out_and_logged(caplog: pytest.LogCaptureFixture):
    drawing = Drawing()
    drawing.entry("Why?", "why", Subject("p" * 200))
    drawing.actions()
    assert drawing.blocks == []
    assert "left out" in caplog.text


def test_a_choice_beyond_slacks_number_says_how_many_are_missing():
    drawing = Drawing()
    drawing.choice("scope", "Where", [Option(f"s{n}", f"s{n}") for n in range(120)], "s3")
    block = drawing.blocks[0]
    assert len(block["element"]["options"]) == 100
    assert block["label"]["text"] == "Where (20 more by command)"
    assert block["element"]["initial_option"]["value"] == "s3"


def test_another_state_has_other_block_ids_and_the_same_state_the_same(tmp_path: Path):
    source = (
        "{% call draw.say() %}x{% endcall %}{% call draw.section() %}same{% endcall %}"
        "{% call draw.section() %}{{ x }}{% endcall %}"
    )
    one, again, other = (drawn_by(tmp_path, source, x=x).blocks for x in ("a", "a", "b"))
    assert one == again
    assert not {b["block_id"] for b in one} & {b["block_id"] for b in other}


# ---- templates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("{% call draw.say() %}x{% endcall %} words", "has words outside of a block: words"),
        ("{% call draw.section() %}x{% endcall %}", "says nothing"),
        ("{% call draw.say() %}{{ nothing_of_the_kind }}{% endcall %}", "undefined"),
        ("{% call draw.say() %}", "end of template"),
        ("{{ draw.button('B') }}", "missing 2 required positional arguments"),
    ],
)
def test_an_operators_mistake_is_logged_and_ours_is_used(
    tmp_path: Path, source: str, problem: str, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "card.jinja").write_text(source, encoding="utf-8")
    state = MOMENTS["baking"]()
    with caplog.at_level(logging.ERROR):
        message = card(state, state.released("r2"), WORLD, NOW, templates=Templates(tmp_path))
    assert message == card(state, state.released("r2"), WORLD, NOW)
    assert problem in caplog.text


def test_an_operators_words_come_first(tmp_path: Path):
    assert (
        words(tmp_path, "Everything in our own words about {{ x }}", x="it") == "Everything in our own words about it"
    )


def test_templates_hold_words_and_no_logic_that_could_undo_the_escaping():
    environment = jinja2.Environment(autoescape=False, loader=jinja2.FileSystemLoader(BUILT_IN))
    for name in built_in().names():
        tree = environment.parse((BUILT_IN / f"{name}.jinja").read_text(encoding="utf-8"))
        assert not list(tree.find_all((nodes.Macro, nodes.Include, nodes.Import, nodes.FromImport))), name
        for output in tree.find_all(nodes.Output):
            assert not any(isinstance(node, nodes.Concat) for node in output.nodes), f"{name} prints with ~"


def test_templates_speak_calmly_and_never_of_everybody():
    for file in BUILT_IN.glob("*.jinja"):
        text = file.read_text(encoding="utf-8")
        for word in ("!<", "!!", "@here", "@channel", "@everyone", "<!", "please note", "ERROR"):
            assert word not in text, f"{file.name} says {word}"
        assert "! " not in text


def test_a_modal_that_asks_for_no_reason_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "modal_pause.jinja").write_text("{{ draw.name('Pause') }}", encoding="utf-8")
    drawing = Templates(tmp_path).draw("modal_pause", WORLD, service="checkout")
    assert drawing.blocks[0]["block_id"] == "reason"
    assert "needs draw.name and draw.reason" in caplog.text


def test_compiled_beforehand_no_template_is_compiled_while_people_wait():
    templates = Templates()
    templates.compile()
    loaded = templates._own.cache
    assert loaded is not None
    assert {name for _, name in loaded.keys()} >= {f"{name}.jinja" for name in templates.names()}  # noqa: SIM118
