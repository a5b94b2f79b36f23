"""What people type, and what is understood."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.grammar import ALIASES, FORMS, MEANT, VERBS, parse
from commands.intents import Act, ForAll, Freezes, Help, History, Intent, Status, Why, spell
from commands.pieces import NOWHERE, Context
from commands.words import Words, heard_in_shell, heard_in_slack
from core.errors import UsageError
from core.releases.events import (
    AcknowledgeRequested,
    ApproveRequested,
    CancelRequested,
    LiftRequested,
    OverrideRequested,
    PauseRequested,
    PromoteRequested,
    ReconcileRequested,
    RejectRequested,
    ResumeRequested,
    RetryRequested,
    RollbackRequested,
)
from core.releases.freezing import Covered, FreezeRequested, UnfreezeRequested
from core.releases.state import PipelineState
from tests import samples
from tests.samples import ANN

CHECKOUT = samples.waiting_for_approval()
PIPELINES: dict[str, PipelineState] = {
    "checkout": CHECKOUT,
    "payments": samples.start(samples.definition("payments")),
    "search/app": samples.start(samples.definition("search", "app")),
    "search/config": samples.start(samples.definition("search", "config")),
}
THREAD = Context("checkout", "r2")


def hear(text: str, context: Context = NOWHERE) -> Intent:
    return parse(heard_in_slack(text), ANN, PIPELINES, context)


def trouble(text: str, context: Context = NOWHERE) -> str:
    with pytest.raises(UsageError) as error:
        hear(text, context)
    return f"{error.value.message} {error.value.mend}"


def act(event: object, pipeline: str = "checkout") -> object:
    return Act(pipeline, event)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("status", Status()),
        ("status checkout", Status("checkout")),
        ("status search", Status("search")),
        ("status search/app", Status("search/app")),
        ("why checkout?", Why("checkout")),
        ("WHY Checkout", Why("checkout")),
        ("promote checkout", act(PromoteRequested(by=ANN))),
        ("promote checkout 1.4.2", act(PromoteRequested(by=ANN, version="1.4.2"))),
        ("promote checkout to wave-1", act(PromoteRequested(by=ANN, to_stage="wave-1"))),
        ("promote checkout 1.4.2 to wave‑1.", act(PromoteRequested(by=ANN, version="1.4.2", to_stage="wave-1"))),
        ("pause checkout prices look wrong", act(PauseRequested(by=ANN, reason="prices look wrong"))),
        ("pause checkout: prices", act(PauseRequested(by=ANN, reason="prices"))),
        (
            "pause checkout in wave-1 for 2h prices look wrong",
            act(PauseRequested(by=ANN, reason="prices look wrong", scope_name="wave-1", duration=timedelta(hours=2))),
        ),
        (
            "pause checkout for 1h30m in production “prices look wrong”",
            act(
                PauseRequested(
                    by=ANN, reason="prices look wrong", scope_name="production", duration=timedelta(minutes=90)
                )
            ),
        ),
        (
            "pause checkout for 2 days holidays",
            act(PauseRequested(by=ANN, reason="holidays", duration=timedelta(days=2))),
        ),
        ("pause checkout for now it is late", act(PauseRequested(by=ANN, reason="for now it is late"))),
        ("pause checkout for 3 customers it fails", act(PauseRequested(by=ANN, reason="for 3 customers it fails"))),
        ('pause checkout "in the evening it fails"', act(PauseRequested(by=ANN, reason="in the evening it fails"))),
        ("pause checkout don’t", act(PauseRequested(by=ANN, reason="don’t"))),
        ("resume checkout", act(ResumeRequested(by=ANN))),
        ("unpause checkout in production", act(ResumeRequested(by=ANN, scope_name="production"))),
        ("rollback checkout orders fail", act(RollbackRequested(by=ANN, reason="orders fail"))),
        (
            "Roll  back checkout everywhere orders fail",
            act(RollbackRequested(by=ANN, reason="orders fail", everywhere=True)),
        ),
        ("roll-back checkout in everywhere bad", act(RollbackRequested(by=ANN, reason="bad", everywhere=True))),
        (
            "rollback checkout to 1.4.1 in wave-1 orders fail",
            act(RollbackRequested(by=ANN, reason="orders fail", scope_name="wave-1", to_version="1.4.1")),
        ),
        (
            "rollback checkout in eu-1 it is slow",
            act(RollbackRequested(by=ANN, reason="it is slow", scope_name="eu-1")),
        ),
        ("approve checkout", act(ApproveRequested(by=ANN))),
        ("approve checkout 1.4.2!", act(ApproveRequested(by=ANN, version="1.4.2"))),
        ("approve checkout <http://1.4.2|1.4.2>", act(ApproveRequested(by=ANN, version="1.4.2"))),
        ("reject checkout not today", act(RejectRequested(by=ANN, reason="not today"))),
        ("reject checkout 1.4.2 not today", act(RejectRequested(by=ANN, reason="not today", version="1.4.2"))),
        ('reject checkout "1.4.2"', act(RejectRequested(by=ANN, reason="1.4.2"))),
        ("reject checkout 3 people complained", act(RejectRequested(by=ANN, reason="3 people complained"))),
        (
            "override checkout 1.4.2 wave-1 the fix",
            act(OverrideRequested(by=ANN, version="1.4.2", stage="wave-1", reason="the fix")),
        ),
        ("lift checkout 1.4.2 wrong alarm", act(LiftRequested(by=ANN, version="1.4.2", reason="wrong alarm"))),
        ("reconcile checkout keep", act(ReconcileRequested(by=ANN, choice="keep"))),
        (
            "reconcile checkout Restore eu-1 somebody tried a fix",
            act(ReconcileRequested(by=ANN, choice="restore", target="eu-1", reason="somebody tried a fix")),
        ),
        (
            "reconcile checkout dead the host is gone",
            act(ReconcileRequested(by=ANN, choice="dead", reason="the host is gone")),
        ),
        ("retry checkout in gamma", act(RetryRequested(by=ANN, stage="gamma"))),
        (
            "cancel checkout 1.4.2 we ship another",
            act(CancelRequested(by=ANN, version="1.4.2", reason="we ship another")),
        ),
        ("ack checkout", act(AcknowledgeRequested(by=ANN))),
        ("acknowledge checkout", act(AcknowledgeRequested(by=ANN))),
        ("history checkout", History("checkout")),
        ("history checkout 1.4.2", History("checkout", "1.4.2")),
        ("history checkout 5", History("checkout", count=5)),
        ("history checkout 1.4.2 last 5", History("checkout", "1.4.2", 5)),
        ("help", Help()),
        ("", Help()),
        ("help roll back", Help("rollback")),
        ("/release status #checkout", Status("checkout")),
        ("<@U0BOT> status <#C1|checkout>", Status("checkout")),
        ("@andon: status", Status()),
        ("andon why checkout", Why("checkout")),
    ],
)
def test_what_is_typed_is_understood(text, meant):
    assert hear(text) == meant


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("why", Why("checkout")),
        ("status", Status("checkout")),
        ("status payments", Status("payments")),
        ("promote", act(PromoteRequested(by=ANN, version="1.4.2"))),
        ("promote to wave-1", act(PromoteRequested(by=ANN, version="1.4.2", to_stage="wave-1"))),
        ("pause prices look wrong", act(PauseRequested(by=ANN, reason="prices look wrong"))),
        ("pause in wave-1 prices", act(PauseRequested(by=ANN, reason="prices", scope_name="wave-1"))),
        ("approve", act(ApproveRequested(by=ANN, version="1.4.2"))),
        ("reject too late today", act(RejectRequested(by=ANN, reason="too late today", version="1.4.2"))),
        ("override wave-1 the fix", act(OverrideRequested(by=ANN, version="1.4.2", stage="wave-1", reason="the fix"))),
        ("lift the alarm was wrong", act(LiftRequested(by=ANN, version="1.4.2", reason="the alarm was wrong"))),
        ("ack", act(AcknowledgeRequested(by=ANN))),
        ("history", History("checkout", "1.4.2")),
        # Another service named in the thread is that service, and nothing of the thread's release goes with it.
        ("promote payments", act(PromoteRequested(by=ANN), "payments")),
    ],
)
def test_a_thread_says_which_service_and_release(text, meant):
    assert hear(text, THREAD) == meant


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("why chekout", "There is no service “chekout”. Did you mean checkout? `/release status` lists all."),
        ("why", "Which service? It goes `/release why SERVICE`, for example `/release why checkout`."),
        (
            "promote checkout 1.4.9",
            "checkout has no version “1.4.9”. Did you mean 1.4.2 or 1.4.1? It has 1.4.2 and 1.4.1.",
        ),
        ("cancel checkout 1.4.3 broken", "checkout has no version “1.4.3”."),
        ("promote checkout to wave-3", "has no stage “wave-3”. Did you mean wave-2 or wave-1?"),
        ("promote checkout to production", "Did you mean one-box, wave-1 or wave-2?"),
        ("pause checkout in the evening it fails", "If “in” begins your reason, put the reason in quotes."),
        ("pause checkout", "A reason is missing"),
        ("pause checkout for 2x broken", "I did not understand how long “2x” is. Say it like 30m, 2h, 1d or 1h30m."),
        ("pause checkout for 400d broken", "A pause lasts between a minute and 90 days."),
        (f"pause checkout {'x' * 301}", "The reason has 301 characters; 300 is the most."),
        ("pause search it fails", "search has several pipelines: search/app and search/config. Which one?"),
        ("pause search it fails", "`/release pause search/app it fails`"),
        ("rollback checkout 1.4.1 orders fail", "I am not sure whether to roll back from 1.4.1 or to it."),
        ("rollback checkout to 1.4.0 orders fail", "checkout has no version “1.4.0”."),
        ("reconcile checkout maybe", "“maybe” is none of keep, restore and dead."),
        ("reconcile checkout keep eu-9", "has no target “eu-9”. Did you mean eu-2 or eu-1?"),
        ("statsu checkout", "I do not know “statsu”. Did you mean status?"),
        ("deploy checkout", "I do not know “deploy”. Did you mean promote?"),
        ("checkout", "What about checkout? Try `/release status checkout`"),
        ("xyzzy", "I do not know “xyzzy”. `/release help` lists what I understand."),
        ("ack checkout now", "I did not expect “now” there. It goes `/release ack SERVICE`"),
        ("history checkout last 0", "How many lines? Between 1 and 100."),
        ("approve checkout $(rm -rf /)", "checkout has no version “$(rm”."),
        ("why <!channel>", "There is no service “@channel”."),
    ],
)
def test_what_is_not_understood_gets_the_nearest_right_words(text, said):
    assert said in trouble(text)


def test_a_channel_stands_for_its_service_unless_several_share_it():
    def on(channel: str, service: str) -> PipelineState:
        return samples.start(replace(samples.definition(service), channel=channel))

    alone = {"cart": on("C0CART", "cart"), "tax": on("#money", "tax"), "invoices": on("#money", "invoices")}
    assert parse(heard_in_slack("why <#C0CART>"), ANN, alone) == Why("cart")
    with pytest.raises(UsageError, match="no service “#money”"):
        parse(heard_in_slack("why <#C1|money>"), ANN, alone)


def test_the_shell_keeps_together_what_stood_in_quotes():
    said = heard_in_shell(["pause", "checkout", "in the evening it fails"])
    assert parse(said, ANN, PIPELINES) == act(PauseRequested(by=ANN, reason="in the evening it fails"))


def test_mentions_and_escapes_become_what_was_meant():
    text = "pause checkout ask <@U0BOB> or <@U1|carol>: a &lt; b &amp;&amp; <https://x.example/a?b=1> &lt;!here&gt;"
    heard = heard_in_slack(text, {"U0BOB": "Bob"}.__getitem__)
    assert heard == "pause checkout ask @Bob or @carol: a < b && https://x.example/a?b=1 <!here>"


def test_every_example_of_the_table_means_its_verb():
    with_versions = {"checkout": samples.start()}
    for form in FORMS:
        intent = parse(form.example, ANN, with_versions)
        assert spell(intent).split()[0] == form.verb
        assert form.usage.split()[0] == form.verb


def test_words_of_other_tools_are_offered_never_obeyed():
    assert not set(MEANT) & set(VERBS)
    assert not set(MEANT) & set(ALIASES)
    for word, verb in MEANT.items():
        assert f"Did you mean {verb}?" in trouble(f"{word} checkout it fails")


# ---- anything at all ------------------------------------------------------------------------------------------------

MINUTE = timedelta(minutes=1)
VOCABULARY = [
    "everything", "team", "from", "until", "2030-01-02", "08:00", "Europe/Berlin", "freeze-1",
    *VERBS, *ALIASES, *MEANT, "checkout", "payments", "search", "search/app", "1.4.2", "1.4.1", "wave-1", "production",
    "in", "to", "for", "2h", "everywhere", "last", "keep", "restore", "dead", "eu-1", '"', "“", "”", "'", "`", "<", ">",
    "&lt;", "<@U1|x>", "<!", "|", "#", "$(x)", "9" * 50, "\u0661", "\u202e", "\x00", "²", "roll", "back",
]  # fmt: skip
sentences = st.lists(st.sampled_from(VOCABULARY) | st.text(max_size=8), max_size=9).map(" ".join)
contexts = st.sampled_from([NOWHERE, THREAD, Context("gone", "gone"), Context("search/app")])


@given(sentences | st.text(), contexts)
def test_nothing_but_a_usage_error_ever_comes_of_words(text, context):
    for heard in (heard_in_slack(text), heard_in_shell(text.split(" "))):
        try:
            intent = parse(heard, ANN, PIPELINES, context)
        except UsageError as error:
            understood = bool(error.message and error.mend)
        else:
            understood = isinstance(intent, Act | ForAll | Freezes | Status | Why | History | Help)
        assert understood


awkward = [
    "1.4.2",
    "to",
    "in",
    "7",
    "last",
    "beta",
    "$(rm -rf /)",
    "a b",
    "a b c",
    "<!channel>",
    "ü–1",
    "5%&amp;",
    "“q”",
]
STRANGE = samples.start()
STRANGE = replace(
    STRANGE,
    releases=tuple(
        replace(samples.NEW, id=f"r{n}", version=version, sequence=n) for n, version in enumerate(awkward, start=2)
    ),
)
versions = st.sampled_from(awkward)
stages = st.sampled_from(["beta", "gamma", "one-box", "wave-1", "wave-2"])
scopes = stages | st.sampled_from(["", "production", "eu-1"])
reasons = (
    st.text(min_size=1, max_size=300).map(lambda text: " ".join(text.split()))
    | sentences.map(lambda s: " ".join(s.split()))
).filter(lambda reason: 0 < len(reason) <= 300 and not {'"', "”", "»", "’"} <= set(reason))
lengths = st.none() | st.integers(1, 90 * 24 * 60).map(lambda minutes: timedelta(minutes=minutes))
maybe_version = versions | st.just("")
events = st.one_of(
    st.builds(PromoteRequested, by=st.just(ANN), version=maybe_version, to_stage=stages | st.just("")),
    st.builds(PauseRequested, by=st.just(ANN), reason=reasons, scope_name=scopes, duration=lengths),
    st.builds(ResumeRequested, by=st.just(ANN), scope_name=scopes),
    st.builds(RollbackRequested, by=st.just(ANN), reason=reasons, scope_name=scopes, to_version=maybe_version),
    st.builds(RollbackRequested, by=st.just(ANN), reason=reasons, everywhere=st.just(True), to_version=maybe_version),
    st.builds(ApproveRequested, by=st.just(ANN), version=maybe_version),
    st.builds(RejectRequested, by=st.just(ANN), reason=reasons, version=maybe_version),
    st.builds(OverrideRequested, by=st.just(ANN), version=versions, stage=stages, reason=reasons),
    st.builds(LiftRequested, by=st.just(ANN), version=versions, reason=reasons),
    st.builds(
        ReconcileRequested,
        by=st.just(ANN),
        choice=st.sampled_from(["keep", "restore", "dead"]),
        target=st.sampled_from(["eu-1", "beta-1"]),
        reason=reasons | st.just(""),
    ),
    st.builds(RetryRequested, by=st.just(ANN), stage=stages | st.just("")),
    st.builds(CancelRequested, by=st.just(ANN), version=maybe_version, reason=reasons),
    st.just(AcknowledgeRequested(by=ANN)),
)
covered = st.builds(
    Covered,
    st.sampled_from(["", "checkout"]),
    st.just(""),
    st.sampled_from(["", "production", "one-box", "wave-1"]),
) | st.builds(Covered, team=st.just("payments"), scope_name=st.sampled_from(["", "production"]))
whole_minutes = st.none() | st.integers(0, 2_000_000).map(lambda n: datetime(2026, 1, 1, tzinfo=UTC) + n * MINUTE)
for_all = st.one_of(
    st.builds(FreezeRequested, by=st.just(ANN), what=covered, reason=reasons, from_at=whole_minutes, duration=lengths),
    st.builds(
        FreezeRequested, by=st.just(ANN), what=covered, reason=reasons, from_at=whole_minutes, until_at=whole_minutes
    ),
    st.builds(UnfreezeRequested, by=st.just(ANN), what=covered),
    st.builds(UnfreezeRequested, by=st.just(ANN), name=st.sampled_from(["freeze-1", "freeze-217"])),
)
intents = st.one_of(
    st.builds(ForAll, for_all),
    st.just(Freezes()),
    st.builds(Act, st.just("checkout"), events),
    st.builds(History, st.just("checkout"), maybe_version, st.integers(1, 100)),
    st.sampled_from([Status(), Status("checkout"), Why("checkout"), Help(), Help("lift")]),
)


@given(intents)
def test_every_command_written_down_is_read_back_as_itself(intent):
    written = spell(intent)
    assert parse(written, ANN, {"checkout": STRANGE}) == intent
    assert parse(heard_in_slack(escape_for_slack(written)), ANN, {"checkout": STRANGE}) == intent


def escape_for_slack(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def test_names_with_spaces_are_taken_whole():
    words = Words("a b c d")
    assert words.take_name(["a", "a b", "a b c"]) == "a b c"
    assert words.rest == "d"


# ---- freezes --------------------------------------------------------------------------------------------------------

NOON = datetime(2026, 10, 24, 12, 0, tzinfo=UTC)


def frozen(text: str) -> FreezeRequested:
    intent = parse(text, ANN, PIPELINES, now=NOON)
    assert isinstance(intent, ForAll)
    assert isinstance(intent.command, FreezeRequested)
    return intent.command


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("everything", Covered()),
        ("all in production", Covered(scope_name="production")),
        ("checkout", Covered("checkout")),
        ("checkout in wave-1", Covered("checkout", scope_name="wave-1")),
        ("search/app", Covered("search/app")),
        ("payments", Covered("payments")),
        ("team payments in production", Covered(team="payments", scope_name="production")),
    ],
)
def test_what_is_frozen_is_a_service_a_team_or_everything(words: str, what: Covered):
    assert frozen(f"freeze {words} the bank is down").what == what
    assert frozen(f"freeze {words} the bank is down").reason == "the bank is down"


def test_when_is_said_with_a_zone_or_as_the_next_time_of_day():
    said = frozen("freeze everything from 2026-10-25 02:30 Europe/Berlin until 2026-10-25 02:45 Europe/Berlin backup")
    assert said.from_at == datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "the first of two"
    assert said.until_at == datetime(2026, 10, 25, 1, 45, tzinfo=UTC), "the second of two"
    assert frozen("freeze everything until 18:00 x").until_at == datetime(2026, 10, 24, 18, 0, tzinfo=UTC)
    assert frozen("freeze everything until 08:00 x").until_at == datetime(2026, 10, 25, 8, 0, tzinfo=UTC)
    assert frozen("freeze everything until 2026-12-24 x").until_at == datetime(2026, 12, 24, tzinfo=UTC)
    assert frozen("freeze everything for 2h x").duration == timedelta(hours=2)
    assert frozen("freeze everything until we know more").reason == "until we know more"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("freeze", "What? A service, a team, or everything."),
        ("freeze chekout x", "There is no service or team “chekout”. Did you mean checkout?"),
        ("freeze everything", "A reason is missing"),
        ("freeze everything until 25:00 x", "I did not understand when “until 25:00” is."),
        ("freeze everything until 2030-02-31 x", "I did not understand when"),
        ("freeze everything until 5pm x", "I did not understand when “5pm” is."),
        ("freeze everything until 18:00 Europe/Berln x", "There is no time zone “Europe/Berln”. Did you mean"),
        ("freeze everything for 2h until 18:00 x", "said twice"),
        ("freeze checkout in wave-9 x", "checkout has no stage or group “wave-9”. Did you mean wave-"),
    ],
)
def test_a_freeze_that_is_not_understood_says_what_would_help(words: str, says: str):
    with pytest.raises(UsageError) as caught:
        parse(words, ANN, PIPELINES, now=NOON)
    assert says in f"{caught.value.message} {caught.value.mend}"
    assert caught.value.mend
