"""What comes from outside is made harmless before anybody reads it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import PermanentError
from integrations.intake import clean, document, instant, line, link


def test_tricks_are_taken_out_of_text_and_languages_are_left_alone():
    assert clean("a\x00b\x1b[31m \u202egnp.exe\u202c\u2066x", 99) == "ab[31m gnp.exex"
    assert clean("Überlast – «очередь» 队列 🔥\r\nzweite Zeile", 99) == "Überlast – «очередь» 队列 🔥\nzweite Zeile"
    assert clean("broken \ud83d surrogate", 99) == "broken  surrogate"
    assert line("two\n\n  lines\t here", 99) == "two lines here"


def test_text_is_cut_and_says_so():
    assert clean("x" * 50, 10) == "x" * 9 + "…"
    assert clean("x" * 10, 10) == "x" * 10


@pytest.mark.parametrize("value", [None, True, [], {}, object()])
def test_what_is_no_text_is_empty(value):
    assert clean(value, 10) == ""


def test_a_number_is_text():
    assert clean(5615590933959184469, 30) == "5615590933959184469"


@given(st.text(max_size=300), st.integers(2, 80))
def test_cleaned_text_is_short_storable_and_stays_the_same(text, limit):
    once = clean(text, limit)
    assert len(once) <= limit
    once.encode("utf-8")
    assert not any(char in once for char in "\x00\x1b\u202e\u2067\ud800")
    assert clean(once, limit) == once


@pytest.mark.parametrize(
    "address",
    [
        "https://runbooks.example.test/HighErrors",
        "http://prom:9090/graph?g0.expr=sum+by+%28service%29&g0.tab=1",
        "http://[::1]:9090/x",
    ],
)
def test_a_link_is_kept_as_it_is(address):
    assert link(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "ftp://files.example.test",
        "//example.test/x",
        "https://",
        "https://ann:secret@example.test/",
        "http://[broken",
        "https://example.test/\u202efdp",
        "https://example.test/\nHost: evil",
        "https://example.test/" + "x" * 3000,
        "",
        None,
        7,
    ],
)
def test_what_is_no_plain_web_address_is_dropped(address):
    assert link(address) == ""


def test_a_link_cannot_break_out_of_the_mark_up_around_it():
    assert link("https://example.test/a|b>c <d") == "https://example.test/a%7Cb%3Ec%20%3Cd"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-02T12:00:00.123456789Z", datetime(2026, 3, 2, 12, 0, 0, 123456, UTC)),
        ("2016-08-01T13:27:08.008+03:00", datetime(2016, 8, 1, 10, 27, 8, 8000, UTC)),
        ("2026-03-02T12:00:00", datetime(2026, 3, 2, 12, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59-08:00", None),
        ("soon", None),
        (None, None),
        (1700000000, None),
    ],
)
def test_instants_are_utc_or_nothing(text, expected):
    assert instant(text) == expected


@pytest.mark.parametrize("body", [b"", b"not json", b"\xff\xfe", b"[" * 200_000, b'{"a": ' + b"9" * 5000 + b"}"])
def test_what_is_no_json_is_refused_with_a_sentence(body):
    with pytest.raises(PermanentError, match=r"The request of Alertmanager is not JSON"):
        document(body, "Alertmanager")


def test_the_refusal_says_where():
    with pytest.raises(PermanentError, match="at line 2"):
        document(b'{\n"a": }', "Alertmanager")
