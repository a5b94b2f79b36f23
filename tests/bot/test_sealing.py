"""What is sealed can be read with its key, and with nothing else."""

from __future__ import annotations

import pytest

from bot.sealing import CannotOpen, Seal
from bot.slack_install import authorize_url, page

OLD, NEW = "a" * 32, "b" * 40


def test_only_the_keys_open_it_and_the_first_one_seals() -> None:
    sealed = Seal(OLD).seal({"token": "xoxb-test"})
    assert b"xoxb-test" not in sealed
    assert Seal(f"{NEW},{OLD}").open(sealed) == {"token": "xoxb-test"}
    with pytest.raises(CannotOpen):
        Seal(NEW).open(sealed)
    with pytest.raises(CannotOpen):
        Seal(OLD).open(sealed[:-4] + b"AAA=")
    with pytest.raises(CannotOpen):
        Seal(OLD).open(Seal(f"{NEW},{OLD}").seal({}))
    with pytest.raises(ValueError, match="at least 32"):
        Seal(f"{NEW},short")


@pytest.mark.parametrize(
    ("api", "wanted"),
    [
        ("https://slack.com/api/", "https://slack.com/oauth/v2/authorize"),
        ("http://127.0.0.1:8765/api", "http://127.0.0.1:8765/oauth/v2/authorize"),
        ("https://proxy.example.com/slack/api/", "https://proxy.example.com/slack/oauth/v2/authorize"),
        ("https://proxy.example.com/slack/", "https://proxy.example.com/slack/oauth/v2/authorize"),
    ],
)
def test_people_are_asked_at_the_host_of_the_api(api: str, wanted: str) -> None:
    assert authorize_url(api) == wanted


def test_what_a_page_says_is_text() -> None:
    drawn = page("<script>", 'a "quote" & <b>', link=("Go", "javascript:'\"<"))
    assert "<script>" not in drawn
    assert "<b>" not in drawn
    assert 'href="javascript:&#x27;&quot;&lt;"' in drawn
