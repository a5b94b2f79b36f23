"""Every template, word for word; and with the text of strangers in it.

After a change that is meant: `ANDON_GOLDEN=write pytest tests/bot/test_render_golden.py`, then read the difference.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bot.render import built_in
from tests.bot.drawn import SAMPLES, Sample, judge, state_with, strange_tokens, texts
from tests.samples import HOSTILE

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_each_template_is_drawn_as_it_was_read_and_agreed(sample: Sample):
    file = GOLDEN / f"{sample.name}.json"
    drawn = json.dumps(sample.drawn(), indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("ANDON_GOLDEN") == "write":
        file.write_text(drawn, encoding="utf-8")
    assert drawn == file.read_text(encoding="utf-8")


def test_every_template_has_a_golden_file_and_every_golden_file_a_template():
    assert {sample.template for sample in SAMPLES} == set(built_in().names())
    assert {file.stem for file in GOLDEN.glob("*.json")} == {sample.name for sample in SAMPLES}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_slack_takes_what_is_drawn(sample: Sample):
    assert judge(sample.drawn()) == []


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_a_strangers_text_breaks_nothing_and_calls_nobody(sample: Sample, kind: str):
    drawn = sample.draw(state_with(sample.moment, HOSTILE[kind]), HOSTILE[kind])
    assert judge(drawn) == []
    assert strange_tokens(drawn) == []
    for text in texts(drawn):
        assert not set("\x00\x1b\u202e\u2067") & set(text["text"])


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_drawn_twice_it_is_equal(sample: Sample):
    assert sample.drawn() == sample.drawn()
