"""Calendars as files write them: their shape, what they mean, and what is wrong with them [22]."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from itertools import combinations
from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from core.releases.calendar import ALL_DAYS, HORIZON_DAYS, Calendar, Span, next_closed, next_open
from core.releases.likeness import most_like
from core.releases.problems import Path, Problem, Strict, described, refusal, shown

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MIDNIGHT = time(0, 0)
_MOMENT = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})")
_DATES = re.compile(r"(\d{4}-\d{2}-\d{2})(?:\s*(?:\.\.|to)\s*(\d{4}-\d{2}-\d{2}))?")
_DATES_MEND = 'write `2030-12-24`, `"2030-12-24 to 2031-01-01"` or a list of them'
_ZONES = frozenset(available_timezones())
"""Read once: it walks through a directory."""
_ANY_MONDAY = date(2030, 1, 7)
"""Where only days of the week matter, any week will do."""


# ---- values ---------------------------------------------------------------------------------------------------------


def is_zone(value: str) -> bool:
    """Whether there is a time zone of this name."""
    return value in _ZONES


def _zone(value: str) -> str:
    if not is_zone(value):
        raise refusal(f"`{shown(value)}` is no time zone", nearest_zone(value))
    return value


def nearest_zone(value: str) -> str:
    """The mend for a zone that does not exist."""
    near = most_like(value, _PLACES, 1)
    return f"did you mean `{near[0]}`?" if near else "write `Europe/Dublin`"


def _time_of_day(value: object) -> time:
    found = re.fullmatch(r"(\d{2}):(\d{2})", value) if isinstance(value, str) else None
    if found is None or int(found[2]) > 59 or int(found[1]) > 24 or value > "24:00":  # type: ignore[operator]
        raise refusal(f"this must be a time of day, not {described(value)}", 'write it in quotes: "09:00"')
    return MIDNIGHT if value == "24:00" else time(int(found[1]), int(found[2]))


def _moment(value: object) -> datetime:
    """A wall-clock moment, without a zone: the calendar says which."""
    found = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    try:
        return datetime.fromisoformat(f"{found[1]}T{found[2]}")  # type: ignore[index]
    except (TypeError, ValueError):
        raise refusal(
            f"this must be a moment, not {described(value)}", 'write it in quotes: "2030-12-20 18:00"'
        ) from None


def _days(value: object) -> list[int]:
    """Weekdays, Monday is 0: `mon-fri`, `sat`, `[mon, wed]`."""
    parts = value if isinstance(value, list) else str(value).split(",") if isinstance(value, str) else []
    days: set[int] = set()
    for part in parts:
        ends = [end.strip().lower()[:3] for end in str(part).split("-")][:2]
        if not ends or any(end not in DAYS for end in ends):
            raise refusal(f"`{shown(str(part), 30)}` is no day of the week", "write `mon-fri`, `sat` or `[mon, wed]`")
        first, last = DAYS.index(ends[0]), DAYS.index(ends[-1])
        days.update((first + step) % 7 for step in range((last - first) % 7 + 1))
    if not days:
        raise refusal(
            f"this must be days of the week, not {described(value)}", "write `mon-fri`, `sat` or `[mon, wed]`"
        )
    return sorted(days)


def _dates(value: object) -> list[tuple[date, date]]:
    """Dates and stretches of them: `2030-12-24`, `2030-12-24 to 2031-01-01`, or a list."""
    parts = value if isinstance(value, list) else str(value).split(",") if isinstance(value, str) else [value]
    stretches = []
    for part in parts:
        found = _DATES.fullmatch(part.strip()) if isinstance(part, str) else None
        try:
            first = date.fromisoformat(found[1])  # type: ignore[index]
            last = date.fromisoformat(found[2]) if found[2] else first  # type: ignore[index]
        except (TypeError, ValueError):
            raise refusal(f"this must be a date, not {described(part)}", _DATES_MEND) from None
        if last < first:
            raise refusal(f"`{shown(str(part), 40)}` ends before it begins", "swap the two dates")
        stretches.append((first, last))
    if not stretches:
        raise refusal(f"this must be dates, not {described(value)}", _DATES_MEND)
    return stretches


_PLACES = sorted(zone for zone in _ZONES if "/" in zone and not zone.startswith(("Etc", "posix", "right")))
Zone = Annotated[str, AfterValidator(_zone)]
TimeOfDay = Annotated[
    time, BeforeValidator(_time_of_day), WithJsonSchema({"type": "string", "pattern": r"^\d\d:\d\d$"})
]
Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "pattern": _MOMENT.pattern})]
Days = Annotated[
    list[int],
    BeforeValidator(_days),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
Dates = Annotated[
    list[tuple[date, date]],
    BeforeValidator(_dates),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


# ---- shapes ---------------------------------------------------------------------------------------------------------


class SpanPart(Strict):
    """Hours on days of the week or on dates, by the calendar's clock."""

    days: Days = Field(default=list(range(7)), description="`mon-fri`, `sat`, `[mon, wed]` [every day].")
    dates: Dates | None = Field(
        default=None, description="Only on these: `2030-12-24`, `2030-12-24 to 2031-01-01`, or a list [all]."
    )
    from_: TimeOfDay = Field(default=MIDNIGHT, alias="from", description='["00:00"]')
    to: TimeOfDay = Field(default=MIDNIGHT, description='Not included; earlier than `from`: the next day ["24:00"].')


class CalendarPart(Strict):
    """When stages that name it may be entered; closed hours beat open ones."""

    zone: Zone = Field(description="IANA time zone.", examples=["Europe/Dublin"])
    open: list[SpanPart] = Field(default_factory=list, max_length=50, description="Open hours [always].")
    closed: list[SpanPart] = Field(default_factory=list, max_length=50, description="Closed hours [never].")


def build_calendar(name: str, part: CalendarPart) -> Calendar:
    """What a calendar of a file means."""
    return Calendar(name, part.zone, _spans(part.open), _spans(part.closed))


def _spans(parts: Sequence[SpanPart]) -> tuple[Span, ...]:
    return tuple(Span(tuple(p.days), p.from_, p.to, tuple(p.dates or ())) for p in parts)


# ---- what is wrong with them ----------------------------------------------------------------------------------------


def unsound_calendars(
    parts: Mapping[str, CalendarPart], path: Path = ("calendars",), today: date | None = None
) -> Iterator[Problem]:
    """Spans that say nothing or contradict each other, and calendars that never open.

    Without `today` those that depend on dates are not asked whether they still open: what was right when it was written
    must not stop a bot that starts a year later.
    """
    for name, part in parts.items():
        yield from _empty_spans(part, (*path, name))
        yield from _overlapping_dates(part, (*path, name))
        calendar = build_calendar(name, part)
        if not part.open and not part.closed:
            mend = 'add `open: [{days: mon-fri, from: "09:00", to: "16:00"}]`'
            yield Problem((*path, name), f"`{name}` has no hours, so it is always open", mend, is_warning=True)
        elif never_opens([calendar], today):
            mend = "take something out of `closed`, or add hours to `open`"
            yield Problem((*path, name), f"`{name}` does not open within a year", mend, at_key=True)


def never_opens(calendars: Sequence[Calendar], today: date | None) -> bool:
    """Whether there is no instant within a year at which all of them are open; False where it cannot be told."""
    has_dates = any(span.dates for calendar in calendars for span in (*calendar.opens, *calendar.closed))
    if (has_dates and today is None) or not calendars:
        return False
    at = datetime.combine(today or _ANY_MONDAY, MIDNIGHT, UTC)
    end = at.toordinal() + HORIZON_DAYS
    while at.toordinal() <= end:
        opens = [next_open(calendar, at) for calendar in calendars]
        if any(moment is None for moment in opens):
            return True
        latest = max(moment for moment in opens if moment is not None)
        if latest == at:
            return False
        at = latest
    return True


def _empty_spans(part: CalendarPart, path: Path) -> Iterator[Problem]:
    for key, spans in (("open", part.open), ("closed", part.closed)):
        for number, span in enumerate(spans):
            if span.from_ == span.to and span.from_ != MIDNIGHT:
                sentence = f"this begins and ends at {span.from_:%H:%M}: it is a whole day, and into the next"
                yield Problem((*path, key, number), sentence, "change one of them, or leave both out for a whole day")
            if span.dates and not any(_is_on(span, first, last) for first, last in span.dates):
                sentence = "none of these dates is one of these days of the week"
                yield Problem((*path, key, number), sentence, "leave `days` out, or correct the dates")


def _is_on(span: SpanPart, first: date, last: date) -> bool:
    return any(
        date.fromordinal(n).weekday() in span.days
        for n in range(first.toordinal(), min(last.toordinal(), first.toordinal() + 6) + 1)
    )


def _overlapping_dates(part: CalendarPart, path: Path) -> Iterator[Problem]:
    """Exceptions that speak of the same hours of the same date: twice the same, or open against closed."""
    dated = [
        (key, number, Span(tuple(span.days), span.from_, span.to, tuple(span.dates)))
        for key, spans in (("open", part.open), ("closed", part.closed))
        for number, span in enumerate(spans)
        if span.dates
    ]
    for (key, number, one), (other_key, other_number, other) in combinations(dated, 2):
        day = _shared_date(one, other) if _hours_meet(one, other) else None
        if day is None:
            continue
        if key == other_key:
            sentence = f"{day} is in `{key}` twice, at the same hours (see {key}[{number}])"
            yield Problem((*path, other_key, other_number), sentence, "take it out of one", is_warning=True)
        elif not _is_partly_open(one, other, day):
            sentence = f"{day} is in `closed` as well, and closed beats open: this never opens then"
            yield Problem((*path, key, number), sentence, f"take the date out of closed[{other_number}]")


def _shared_date(one: Span, other: Span) -> date | None:
    for first, last in one.dates:
        for a, b in other.dates:
            start, end = max(first, a).toordinal(), min(last, b).toordinal()
            # After a week the days of the week come again.
            for day in map(date.fromordinal, range(start, min(end, start + 6) + 1)):
                if one.is_on(day) and other.is_on(day):
                    return day
    return None


def _hours_meet(one: Span, other: Span) -> bool:
    (a, b), (c, d) = _minutes(one), _minutes(other)
    return a < d and c < b


def _minutes(span: Span) -> tuple[int, int]:
    start, end = (t.hour * 60 + t.minute for t in (span.since, span.until))
    return start, end if end > start else end + 24 * 60


def _is_partly_open(opens: Span, closed: Span, day: date) -> bool:
    """Whether open hours of a date are left besides the closed ones."""
    calendar = Calendar("", "UTC", (Span(ALL_DAYS, opens.since, opens.until, ((day, day),)),), (closed,))
    start = datetime.combine(day, opens.since, UTC)
    first = next_open(calendar, start)
    return first is not None and next_closed(calendar, start) != first
