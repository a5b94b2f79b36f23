"""Rule 22, calendars: hours of a zone's clock as instants, decided once where the clock jumps."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.releases.calendar import (
    ALL_DAYS,
    Calendar,
    Span,
    changes_between,
    hours_text,
    instant,
    is_open,
    next_change,
    next_closed,
    next_open,
)
from core.releases.organisation import read_organisation, unknown_to_organisation
from core.releases.problems import Problem, path_text
from core.releases.soundness import read_pipeline

MOMENT = timedelta(microseconds=1)
WEEKDAYS = tuple(range(5))
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Havana", "UTC")
QUICK = settings(max_examples=60, deadline=None)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def daily(zone: str, since: str, until: str, *, closed: bool = False) -> Calendar:
    span = Span(ALL_DAYS, time.fromisoformat(since), time.fromisoformat(until))
    return Calendar("c", zone, () if closed else (span,), (span,) if closed else ())


# ---- the clock jumps ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "local", "first", "last"),
    [
        ("Europe/Berlin", "2030-03-31 02:30", "2030-03-31 01:00", "2030-03-31 01:00"),
        ("Europe/Berlin", "2030-10-27 02:30", "2030-10-27 00:30", "2030-10-27 01:30"),
        ("America/New_York", "2030-03-10 02:00", "2030-03-10 07:00", "2030-03-10 07:00"),
        ("America/New_York", "2030-11-03 01:59", "2030-11-03 05:59", "2030-11-03 06:59"),
        ("Australia/Lord_Howe", "2030-10-06 02:15", "2030-10-05 15:30", "2030-10-05 15:30"),
        ("Australia/Lord_Howe", "2030-04-07 01:45", "2030-04-06 14:45", "2030-04-06 15:15"),
        ("Asia/Kathmandu", "2030-03-31 02:30", "2030-03-30 20:45", "2030-03-30 20:45"),
        ("Pacific/Apia", "2011-12-30 12:00", "2011-12-30 10:00", "2011-12-30 10:00"),
    ],
)
def test_rule_22_a_time_that_is_skipped_or_shown_twice_is_decided_once(zone: str, local: str, first: str, last: str):
    wanted = datetime.fromisoformat(local)
    assert instant(wanted, ZoneInfo(zone)) == at(first)
    assert instant(wanted, ZoneInfo(zone), is_last=True) == at(last)


@pytest.mark.parametrize(
    ("zone", "since", "until", "opens", "closes"),
    [
        # Spring: the window begins in the hour that is skipped, ends in it, or lies within it and does not open.
        ("Europe/Berlin", "02:30", "04:00", "2030-03-31 01:00", "2030-03-31 02:00"),
        ("Europe/Berlin", "01:00", "02:30", "2030-03-31 00:00", "2030-03-31 01:00"),
        ("Europe/Berlin", "02:15", "02:45", "2030-04-01 00:15", "2030-04-01 00:45"),
        ("Australia/Lord_Howe", "02:10", "02:50", "2030-10-05 15:30", "2030-10-05 15:50"),
    ],
)
def test_rule_22_windows_in_spring(zone: str, since: str, until: str, opens: str, closes: str):
    office = daily(zone, since, until)
    assert next_open(office, at("2030-03-30 12:00" if zone == "Europe/Berlin" else "2030-10-05 10:00")) == at(opens)
    assert next_closed(office, at(opens)) == at(closes)


@pytest.mark.parametrize(
    ("zone", "day", "since", "until", "opens", "closes"),
    [
        ("Europe/Berlin", "2030-10-26 12:00", "02:15", "02:45", "2030-10-27 00:15", "2030-10-27 00:45"),
        ("Europe/Berlin", "2030-10-26 12:00", "02:30", "04:00", "2030-10-27 00:30", "2030-10-27 03:00"),
        ("America/New_York", "2030-11-02 12:00", "01:30", "01:40", "2030-11-03 05:30", "2030-11-03 05:40"),
        ("Australia/Lord_Howe", "2030-04-06 04:00", "01:40", "01:50", "2030-04-06 14:40", "2030-04-06 14:50"),
    ],
)
def test_rule_22_open_hours_in_autumn_are_the_first_of_the_two(
    zone: str, day: str, since: str, until: str, opens: str, closes: str
):
    office = daily(zone, since, until)
    assert next_open(office, at(day)) == at(opens)
    assert next_closed(office, at(opens)) == at(closes)
    again = next_open(office, at(closes))
    assert again is not None
    assert again > at(closes) + timedelta(hours=20), "not a second time on that day"


def test_rule_22_closed_hours_in_autumn_are_the_longer_way():
    night = daily("Europe/Berlin", "02:15", "02:45", closed=True)
    closes = next_closed(night, at("2030-10-26 12:00"))
    assert closes == at("2030-10-27 00:15")
    assert next_open(night, closes) == at("2030-10-27 01:45"), "an hour and a half of clock time that shows twice"


# ---- hours and exceptions -------------------------------------------------------------------------------------------

HOLIDAYS = Span(ALL_DAYS, time(0), time(0), ((date(2030, 12, 24), date(2031, 1, 1)),))
OFFICE = Calendar("office", "Europe/Dublin", (Span(WEEKDAYS, time(9), time(16)),), (HOLIDAYS,))


def test_rule_22_weeks_and_holidays():
    assert is_open(OFFICE, at("2030-12-23 09:00"))
    assert not is_open(OFFICE, at("2030-12-23 16:00")), "the end is not in it"
    assert next_open(OFFICE, at("2030-12-23 16:00")) == at("2031-01-02 09:00")
    assert next_change(OFFICE, at("2031-01-02 09:00")) == at("2031-01-02 16:00")
    assert next_change(OFFICE, at("2031-01-04 09:00")) == at("2031-01-06 09:00"), "over the week-end"
    assert hours_text(OFFICE) == "Mon-Fri 09:00-16:00; closed 2030-12-24 to 2031-01-01, Europe/Dublin time"


def test_rule_22_a_date_may_be_open_besides_the_week():
    saturday = Span(ALL_DAYS, time(10), time(12), ((date(2030, 11, 30), date(2030, 11, 30)),))
    office = Calendar("office", "UTC", (Span(WEEKDAYS, time(9), time(16)), saturday), ())
    assert next_open(office, at("2030-11-29 16:00")) == at("2030-11-30 10:00")
    assert next_open(office, at("2030-11-30 12:00")) == at("2030-12-02 09:00")


def test_rule_22_hours_over_midnight_belong_to_the_day_they_begin_on():
    night = Calendar("night", "Asia/Kathmandu", (Span((4,), time(22), time(6)),), ())
    friday = next_open(night, at("2030-01-07 00:00"))
    assert friday == at("2030-01-11 16:15")
    assert next_closed(night, friday) == at("2030-01-12 00:15")


def test_rule_22_a_calendar_that_never_opens_says_so():
    never = Calendar("never", "Europe/Berlin", (), (Span(ALL_DAYS, time(0), time(0)),))
    assert next_open(never, at("2030-01-01 00:00")) is None
    past = Calendar("past", "UTC", (Span(ALL_DAYS, time(9), time(10), ((date(2020, 1, 1), date(2020, 1, 1)),)),), ())
    assert next_open(past, at("2030-01-01 00:00")) is None
    assert next_closed(Calendar("always", "UTC", (), ()), at("2030-01-01 00:00")) is None


@pytest.mark.parametrize(
    ("days", "text"),
    [({0, 1, 2, 3, 4}, "Mon-Fri"), ({5, 6, 0}, "Sat-Mon"), ({0, 2}, "Mon, Wed"), ({5, 6}, "Sat, Sun"), ({6}, "Sun")],
)
def test_days_in_words(days: set[int], text: str):
    calendar = Calendar("c", "UTC", (Span(tuple(sorted(days)), time(9), time(0)),), ())
    assert hours_text(calendar) == f"{text} 09:00-24:00, UTC time"


# ---- whatever the hours ---------------------------------------------------------------------------------------------

minutes = st.integers(0, 95).map(lambda n: time(n // 4, 15 * (n % 4)))
some_dates = st.dates(date(2030, 1, 1), date(2030, 12, 31))


@st.composite
def spans(draw: st.DrawFn) -> Span:
    days = tuple(sorted(draw(st.frozensets(st.integers(0, 6), min_size=1))))
    first = draw(st.none() | some_dates)
    dates = () if first is None else ((first, first + timedelta(days=draw(st.integers(0, 20)))),)
    return Span(days, draw(minutes), draw(minutes), dates)


calendars = st.builds(
    Calendar,
    st.just("c"),
    st.sampled_from(ZONES),
    st.lists(spans(), max_size=3).map(tuple),
    st.lists(spans(), max_size=2).map(tuple),
)
# Half of them on days on which some clock jumps.
JUMPS = [
    date(2030, 3, 10),
    date(2030, 3, 31),
    date(2030, 4, 7),
    date(2030, 10, 6),
    date(2030, 10, 27),
    date(2030, 11, 3),
]
instants = st.builds(
    lambda day, seconds: datetime.combine(day, time(0), UTC) + timedelta(seconds=seconds),
    st.sampled_from(JUMPS) | some_dates,
    st.integers(-86_400, 86_400),
)


@QUICK
@given(calendars, instants)
def test_rule_22_the_next_opening_is_open_and_the_instant_before_is_not(calendar: Calendar, now: datetime):
    opens = next_open(calendar, now)
    if opens is None:
        assert not is_open(calendar, now)
        return
    assert opens >= now
    assert is_open(calendar, opens)
    assert opens == now or not is_open(calendar, opens - MOMENT)


@QUICK
@given(calendars, instants, st.integers(1, 20_000))
def test_rule_22_nothing_changes_before_the_next_change(calendar: Calendar, now: datetime, step: int):
    change = next_change(calendar, now)
    later = now + timedelta(seconds=61 * step)
    if change is None or later < change:
        assert is_open(calendar, later) is is_open(calendar, now)
    if change is not None:
        assert is_open(calendar, change) is not is_open(calendar, now)
        assert is_open(calendar, change - MOMENT) is is_open(calendar, now)
        assert change in set(changes_between(calendar, now, change))


@QUICK
@given(calendars, spans(), instants)
def test_rule_22_deny_beats_allow(calendar: Calendar, closed: Span, now: datetime):
    stricter = Calendar(calendar.name, calendar.zone, calendar.opens, (*calendar.closed, closed))
    assert not is_open(stricter, now) or is_open(calendar, now)
    if not is_open(Calendar("c", calendar.zone, (), (closed,)), now):
        assert not is_open(stricter, now)


@QUICK
@given(st.sampled_from(ZONES), instants)
def test_rule_22_there_and_back_is_the_same_time(zone: str, now: datetime):
    local = now.replace(tzinfo=None)
    place = ZoneInfo(zone)
    first, last = instant(local, place), instant(local, place, is_last=True)
    shown = first.astimezone(place).replace(tzinfo=None)
    if shown != local:
        assert first == last, "skipped: it is one instant"
        before = (first - MOMENT).astimezone(place).replace(tzinfo=None)
        assert before < local < shown, "that at which the clock jumps past it"
    else:
        assert last.astimezone(place).replace(tzinfo=None) == local
        assert first <= last


# ---- what a file may say --------------------------------------------------------------------------------------------


def problems_of(**calendar: Any) -> list[tuple[str, str, str, bool]]:
    reading = read_organisation({"calendars": {"office": {"zone": "UTC", **calendar}}}, date(2030, 6, 1))
    return [(path_text(p.path), p.sentence, p.mend, p.is_warning) for p in reading.problems]


@pytest.mark.parametrize(
    ("calendar", "path", "sentence"),
    [
        ({"zone": "Europe/Berln"}, "calendars.office.zone", "no time zone"),
        ({"open": [{"from": "09:00", "to": "09:00"}]}, "calendars.office.open[0]", "a whole day, and into the next"),
        (
            {"open": [{"days": "mon"}], "closed": [{"days": "sun-tue"}]},
            "calendars.office",
            "does not open within a year",
        ),
        ({"open": [{"dates": "2029-12-24"}]}, "calendars.office", "does not open within a year"),
        ({"open": [{"dates": "2030-12-24", "days": "mon"}]}, "calendars.office.open[0]", "none of these dates"),
        (
            {"open": [{"days": "mon"}, {"dates": "2030-12-24"}], "closed": [{"dates": "2030-12-20 to 2030-12-31"}]},
            "calendars.office.open[1]",
            "closed beats open",
        ),
        ({"closed": [{"dates": "2030-12-24 to 2030-12-01"}]}, "calendars.office.closed[0].dates", "before it begins"),
        ({"closed": [{"dates": "2030-02-30"}]}, "calendars.office.closed[0].dates", "must be a date"),
        ({"closed": [{"dates": []}]}, "calendars.office.closed[0].dates", "must be dates"),
    ],
)
def test_rule_22_hours_that_cannot_be_meant_are_refused(calendar: dict[str, Any], path: str, sentence: str):
    errors = [found for found in problems_of(**calendar) if not found[3]]
    assert (path, True) in [(found[0], sentence in found[1]) for found in errors], errors
    assert all(found[2] for found in errors)


def test_rule_22_the_nearest_zone_is_offered():
    ((_, _, mend, _),) = problems_of(zone="europe/berln")
    assert mend == "did you mean `Europe/Berlin`?"


def test_rule_22_hours_said_twice_or_not_at_all_are_only_warned_of():
    twice = [{"dates": "2030-12-24 to 2030-12-26"}, {"dates": ["2030-12-26"]}]
    ((path, sentence, _, is_warning),) = problems_of(open=[{"days": "mon"}], closed=twice)
    assert (path, is_warning) == ("calendars.office.closed[1]", True)
    assert "2030-12-26 is in `closed` twice" in sentence
    ((_, sentence, _, is_warning),) = problems_of()
    assert is_warning
    assert "always open" in sentence
    half = [{"dates": "2030-12-24", "from": "14:00"}]
    assert problems_of(open=[{"days": "mon"}, {"dates": "2030-12-24", "from": "09:00"}], closed=half) == []


def test_rule_22_exceptions_that_do_not_meet_are_nobodys_business():
    def of_dates(dates: str, **more: str) -> dict[str, str]:
        return {"dates": dates, **more}

    week = {"days": "mon"}
    apart = [of_dates("2030-12-01 to 2030-12-05"), of_dates("2030-12-06 to 2030-12-09")]
    assert problems_of(open=[week], closed=apart) == []
    halves = [
        of_dates("2030-12-01 to 2030-12-31", to="09:00"),
        of_dates("2030-12-01 to 2030-12-31", **{"from": "09:00"}),
    ]
    assert problems_of(open=[week], closed=halves) == [], "the same dates, but not the same hours"
    saturdays = of_dates("2030-12-01 to 2030-12-31", days="sat")
    sundays = of_dates("2030-12-01 to 2030-12-31", days="sun")
    assert problems_of(open=[week], closed=[saturdays, sundays]) == [], "nor the same days of the week"
    ((_, sentence, _, _),) = problems_of(open=[week], closed=[saturdays, of_dates("2030-12-01 to 2030-12-31")])
    assert sentence.startswith("2030-12-07 is in `closed` twice"), "the first Saturday"


def test_rule_22_a_year_later_what_was_right_does_not_stop_the_bot():
    document = {"calendars": {"sale": {"zone": "UTC", "open": [{"dates": "2030-11-30"}]}}}
    assert read_organisation(document, date(2032, 1, 1)).organisation is None
    assert read_organisation(document).organisation is not None


def test_rule_22_windows_that_never_meet_are_refused():
    hours = {"early": {"days": "mon", "to": "09:00"}, "late": {"days": "mon", "from": "09:00"}}
    calendars = {name: {"zone": "UTC", "open": [span]} for name, span in hours.items()}
    organisation = read_organisation({"teams": {"shop": {"members": []}}, "calendars": {"late": calendars["late"]}})
    document = {
        "service": "shop",
        "team": "shop",
        "channel": "#shop",
        "deployer": "processes",
        "calendars": {"early": calendars["early"]},
        "groups": {"production": {"windows": "early"}},
        "stages": [{"name": "wave-1", "targets": ["a"], "group": "production", "windows": "late"}],
    }
    reading = read_pipeline(document)
    assert reading.file is not None
    assert organisation.file is not None
    found: list[Problem] = list(unknown_to_organisation(reading.file, organisation.file))
    assert [path_text(p.path) for p in found] == ["stages[0]"]
    assert "`early` and `late` are never open together" in found[0].sentence
