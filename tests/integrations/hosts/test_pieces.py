"""What needs no host: quoting, stripes, shares, and what is next from what all hosts say."""

from __future__ import annotations

import itertools
import subprocess
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import PermanentError
from core.ports import Outcome
from integrations.hosts.config import read
from integrations.hosts.link import Answer
from integrations.hosts.plan import plan
from integrations.hosts.quoting import filled, line, quoted
from integrations.hosts.rollout import At, Order, View, at_once, next_steps, standing, striped, view_of

CURIOUS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
NASTY = [
    "",
    " ",
    "a b",
    "$(touch x)",
    "`id`",
    "'",
    '"',
    "\\",
    "a\nb",
    "*",
    "~root",
    "-rf",
    ";rm",
    "!x",
    "{version}",
    "é",
]


def read_back(text: str) -> list[str]:
    """What a shell makes of a line of words."""
    shown = subprocess.run(("sh", "-c", f'printf "%s\\0" {text}'), capture_output=True, check=True).stdout
    return [part.decode() for part in shown.split(b"\0")[:-1]]


def test_a_shell_reads_back_the_words_that_were_meant():
    assert read_back(line(NASTY)) == NASTY


@settings(max_examples=25, deadline=None)
@given(st.lists(CURIOUS, min_size=1, max_size=8))
def test_whatever_is_in_them(words: list[str]):
    assert read_back(line(words)) == words


def test_a_zero_byte_is_refused():
    with pytest.raises(PermanentError, match="zero byte"):
        quoted("a\0b")


def test_places_become_variables_that_are_never_read_as_shell_again():
    word = filled("--v={version}/{values.port} {other}'s {{x}}", {"version": "V"}, {"values.port": "80; {version}"})
    assert word.count("${V}") == 1
    evil = "$(id) '; \" {port}"
    shown = subprocess.run(
        ("sh", "-c", f'V={quoted(evil)}; printf "%s\\0" {word}'), capture_output=True, check=True
    ).stdout
    assert shown.decode() == f"--v={evil}/80; {{version}} {{other}}'s {{x}}\0"


@pytest.mark.parametrize("word", NASTY)
def test_a_plan_is_a_script_whatever_a_version_or_a_value_says(word: str):
    config, targets, problems = read(
        {
            "user": "andon",
            "known_hosts": "/etc/known",
            "key_file": "/etc/key",
            "root": "/srv/x",
            "start": ["start", "x{values.own}", "--v={version}"],
            "health": {"url": "http://127.0.0.1/{host}"},
        },
        {"t": {"hosts": [{"name": "web-1", "values": {"own": word.replace("\n", "")}}]}},
    )
    assert config is not None
    assert problems == []
    version = word.replace("\n", "")
    script = plan(config, "t", targets["t"].hosts[0], hex_digest="ab", version=version, artifact="/x")
    done = subprocess.run(
        ("sh", "-euc", f'run() {{ shift; printf "%s\\0" "$@"; }}\n{script}\ndo_start'), capture_output=True, check=True
    )
    assert done.stdout.decode().split("\0")[:-1] == ["start", f"x{version}", f"--v={version}"]


def test_a_version_that_cannot_be_printed_is_refused():
    config, targets, _ = read(
        {"user": "a", "known_hosts": "/k", "key_file": "/k", "root": "/srv/x", "unit": "x"}, {"t": {"hosts": ["web-1"]}}
    )
    assert config is not None
    with pytest.raises(PermanentError, match="printed"):
        plan(config, "t", targets["t"].hosts[0], version="1\n2")


# ---- stripes and shares ---------------------------------------------------------------------------------------------


def test_hosts_are_taken_from_each_zone_in_turn():
    hosts = [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("c1", "c"), ("c2", "c")]
    assert [name for name, _ in striped(hosts)] == ["a1", "b1", "c1", "a2", "c2", "a3"]


@pytest.mark.parametrize(
    ("count", "batch", "healthy", "together"),
    [
        (3, 33, 66, 1),
        (3, 100, 0, 3),
        (10, 33, 66, 3),
        (10, 50, 90, 1),
        (10, 100, 66, 3),
        (1, 1, 100, 1),
        (4, 50, 50, 2),
    ],
)
def test_both_shares_hold_and_one_always_may(count: int, batch: int, healthy: int, together: int):
    assert at_once(count, batch, healthy) == together


# ---- what is next ---------------------------------------------------------------------------------------------------

HOSTS = (("a1", "a"), ("b1", "b"), ("a2", "a"), ("b2", "b"))
ORDER = Order(
    key="k",
    target="t",
    version="2",
    digest="sha256:ab",
    artifact="/x",
    is_rollback=False,
    at_once=2,
    one_per_zone=False,
    timeout=60,
    hosts=HOSTS,
)


def views(*states: At, **more: object) -> dict[str, View]:
    return {name: View(name, at) for (name, _), at in zip(HOSTS, states, strict=True)}


R, U, D, F, S, W = At.READY, At.RUNNING, At.DONE, At.FAILED, At.STOPPED, At.AWAY


@pytest.mark.parametrize(
    ("states", "begins"),
    [
        ((R, R, R, R), ("a1", "b1")),
        ((U, U, R, R), ()),
        ((D, U, R, R), ("a2",)),
        ((D, D, R, R), ("a2", "b2")),
        ((U, D, R, R), ("a2",)),
        ((D, D, D, D), ()),
        ((D, F, R, R), ()),
        ((D, W, R, R), ()),
        ((D, At.CARRYING, R, R), ()),
    ],
)
def test_never_more_than_may_change_together(states: tuple[At, ...], begins: tuple[str, ...]):
    assert next_steps(ORDER, views(*states)).begin == begins


def test_one_in_a_zone_at_a_time():
    order = replace(ORDER, at_once=4, one_per_zone=True)
    assert next_steps(order, views(R, R, R, R)).begin == ("a1", "b1")
    assert next_steps(order, views(U, D, R, R)).begin == ("b2",)


@pytest.mark.parametrize("together", [1, 2, 3])
@pytest.mark.parametrize("one_per_zone", [False, True])
def test_replicas_that_know_less_begin_nothing_that_may_not_begin(together: int, one_per_zone: bool):
    """Every state a roll-out can be in, seen late by another in every way: together they stay within the share."""
    order = replace(ORDER, at_once=together, one_per_zone=one_per_zone)
    stages = (R, U, D)
    seen: set[tuple[At, ...]] = set()
    open_states: list[tuple[At, ...]] = [(R, R, R, R)]
    while open_states:
        state = open_states.pop()
        if state in seen:
            continue
        seen.add(state)
        assert state.count(U) <= together
        if one_per_zone:
            assert all(
                [at for at, (_, zone) in zip(state, HOSTS, strict=True) if zone == z].count(U) <= 1 for z in "ab"
            )
        # Somebody acts upon what was true some time before: each host as it is, or as it was.
        for known in itertools.product(*(stages[: stages.index(at) + 1] for at in state)):
            for name in next_steps(order, views(*known)).begin:
                place = [host for host, _ in HOSTS].index(name)
                if state[place] is R:
                    open_states.append((*state[:place], U, *state[place + 1 :]))
        open_states += [(*state[:i], D, *state[i + 1 :]) for i, at in enumerate(state) if at is U]
    assert (D, D, D, D) in seen


def test_a_failed_host_seals_those_that_have_not_begun_and_lets_the_others_end():
    steps = next_steps(ORDER, views(F, U, R, R))
    assert (dict(steps.seal), steps.stop, steps.begin) == ({"a2": "failed", "b2": "failed"}, False, ())
    assert standing(ORDER, views(F, U, S, S)).outcome is Outcome.RUNNING
    assert standing(ORDER, views(F, D, S, S)).outcome is Outcome.FAILED


def test_a_cancel_stops_what_runs_and_is_over_when_nothing_does():
    known = views(D, U, R, R)
    known["a2"] = replace(known["a2"], at=S, sealed="cancelled")
    steps = next_steps(ORDER, known)
    assert (dict(steps.seal), steps.stop) == ({"b1": "cancelled", "b2": "cancelled"}, True)
    known.update({name: View(name, S, sealed="cancelled") for name in ("b1", "b2")})
    assert standing(ORDER, known).outcome is Outcome.CANCELLED
    assert standing(ORDER, known).done_units == 1


def test_what_takes_too_long_begins_nothing_more_and_fails_when_what_runs_has_ended():
    known = views(D, U, R, R)
    known["a2"] = replace(known["a2"], age=61)
    assert dict(next_steps(ORDER, known).seal) == {"a2": "late", "b2": "late"}
    known = views(D, D, S, S)
    known["b2"] = replace(known["b2"], sealed="late")
    status = standing(ORDER, known)
    assert (status.outcome, status.message) == (
        Outcome.FAILED,
        "It did not finish within 60 s. 2 of 4 hosts run 2.",
    )
    done = views(D, D, D, D)
    done["a1"] = replace(done["a1"], age=61)
    assert standing(ORDER, done).outcome is Outcome.SUCCEEDED


def test_a_silent_host_stops_a_roll_out_and_not_a_rollback():
    known = views(W, R, R, R)
    assert standing(ORDER, known).outcome is Outcome.UNKNOWN
    back = replace(ORDER, is_rollback=True, at_once=1)
    assert next_steps(back, known).begin == ("b1",)
    assert standing(back, known).outcome is Outcome.RUNNING
    assert standing(back, views(W, D, D, D)).outcome is Outcome.UNKNOWN, "three of four is not all"


def test_an_order_is_read_back_as_it_was_written():
    assert Order.read(ORDER.as_text()) == ORDER
    assert "\n" not in replace(ORDER, version="a\nb").as_text()


@pytest.mark.parametrize(
    ("words", "at"),
    [
        ({}, At.BLANK),
        ({"state": "waiting", "have": "no"}, At.BARE),
        ({"state": "waiting", "have": "yes"}, At.READY),
        ({"state": "waiting", "have": "no", "bring": "running"}, At.CARRYING),
        ({"state": "waiting", "have": "no", "bring": "failed"}, At.FAILED),
        ({"state": "busy", "have": "yes"}, At.READY),
        ({"state": "running"}, At.RUNNING),
        ({"state": "interrupted"}, At.FAILED),
        ({"state": "ended", "end": "ok"}, At.DONE),
        ({"state": "ended", "end": "failed"}, At.FAILED),
        ({"state": "ended", "end": "cancelled"}, At.STOPPED),
        ({"state": "ended", "end": "gibberish"}, At.FAILED),
        ({"state": "sealed"}, At.STOPPED),
    ],
)
def test_what_a_host_says_has_one_meaning(words: dict[str, str], at: At):
    assert view_of("web-1", Answer(words)).at is at


def test_an_answer_is_words_and_then_what_was_printed():
    answer = Answer.read("state ended\nsaid it broke: a b\nlog\nline 1\nlog\nline 2\n")
    assert answer.words["said"] == "it broke: a b"
    assert answer.log == "line 1\nlog\nline 2\n"


def test_many_hosts_are_counted_and_few_are_named():
    few = standing(ORDER, views(D, U, R, R)).message
    assert few == "1 of 4 hosts runs 2; b1 begins, a2 waits, b2 waits."
    names = [(f"h{number}", "") for number in range(20)]
    order = replace(ORDER, hosts=tuple(names), timeout=timedelta(hours=1).total_seconds())
    many = standing(order, {name: View(name, R if name != "h0" else U, step="health") for name, _ in names}).message
    assert many == "0 of 20 hosts run 2; 19 × waits, 1 × is asked for its health."
