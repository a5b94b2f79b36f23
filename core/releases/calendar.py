"""Calendars: hours of a zone's clock as instants, decided once and exactly [22].

A calendar is open where one of its open spans is and none of its closed ones; without open spans it is open except
where it is closed. Spans are half-open: their end is not in them. Each end of a span is one instant:

* a time that the clock skips (spring) is the instant at which it jumps;
* a time that it shows twice (autumn) is the first for an open span, and the longer way for a closed one: closed begins
  at the first and ends at the second.

So a span is never torn in two, and where nobody can tell which of two hours was meant the stricter reading holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

HORIZON_DAYS = 367
"""How far ahead an opening is looked for: a year, and a day for the clock's sake."""
DAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
ALL_DAYS = tuple(range(7))
_MIDNIGHT = time(0, 0)
_SECOND = timedelta(seconds=1)
_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Span:
    """Hours by the calendar's clock; `until` not after `since` means the next day. Days: Monday is 0, in order.

    With `dates` (first and last of each stretch) only on those, and still only on `days`.
    """

    days: tuple[int, ...]
    since: time
    until: time
    dates: tuple[tuple[date, date], ...] = ()

    def is_on(self, day: date) -> bool:
        """Whether it begins on this day."""
        return day.weekday() in self.days and (not self.dates or any(a <= day <= b for a, b in self.dates))


@dataclass(frozen=True, slots=True)
class Calendar:
    """Hours in which stages may be entered; empty `opens` is always, and `closed` beats it."""

    name: str
    zone: str
    opens: tuple[Span, ...]
    closed: tuple[Span, ...]

    def __hash__(self) -> int:
        # It is looked up at every look at a gate; hours are seldom all that tells two apart.
        return hash((self.name, self.zone))


Stretch = tuple[datetime, datetime]


# ---- questions ------------------------------------------------------------------------------------------------------


def is_open(calendar: Calendar, at: datetime) -> bool:
    """Whether it is open at an instant."""
    all_hour = _all_hour(calendar, int(at.timestamp()) // _HOUR)
    return _is_open(calendar, at) if all_hour is None else all_hour


@lru_cache(maxsize=8192)
def _all_hour(calendar: Calendar, hour: int) -> bool | None:
    """Whether it is open, or closed, all through an hour since 1970 began; None if anything begins or ends in it."""
    start = datetime.fromtimestamp(hour * _HOUR, UTC)
    end = start + timedelta(seconds=_HOUR)
    return None if any(True for _ in changes_between(calendar, start, end)) else _is_open(calendar, start)


def _is_open(calendar: Calendar, at: datetime) -> bool:
    today = at.astimezone(ZoneInfo(calendar.zone)).toordinal()
    opens = not calendar.opens
    for ordinal in range(today - 2, today + 2):
        day_opens, day_closed = _day(calendar, ordinal)
        if any(start <= at < end for start, end in day_closed):
            return False
        opens = opens or any(start <= at < end for start, end in day_opens)
    return opens


def next_open(calendar: Calendar, at: datetime) -> datetime | None:
    """The first instant from `at` on at which it is open; None if there is none within a year."""
    return _first(calendar, at, wanted=True)


def next_closed(calendar: Calendar, at: datetime) -> datetime | None:
    """The first instant from `at` on at which it is closed; None if there is none within a year."""
    return _first(calendar, at, wanted=False)


def next_change(calendar: Calendar, at: datetime) -> datetime | None:
    """The first instant after `at` at which it opens or closes; None if there is none within a year."""
    return _first(calendar, at, wanted=not is_open(calendar, at))


def changes_between(calendar: Calendar, after: datetime, until: datetime) -> Iterator[datetime]:
    """The instants later than `after`, up to and with `until`, at which a span begins or ends; in no order."""
    zone = ZoneInfo(calendar.zone)
    first, last = after.astimezone(zone).toordinal() - 2, until.astimezone(zone).toordinal() + 1
    for ordinal in range(first, last + 1):
        yield from (edge for edge in _edges(calendar, ordinal) if after < edge <= until)


def _first(calendar: Calendar, at: datetime, *, wanted: bool) -> datetime | None:
    if is_open(calendar, at) is wanted:
        return at
    hour = int(at.timestamp()) // _HOUR
    return _search(calendar, at, wanted) if _all_hour(calendar, hour) is None else _after_hour(calendar, hour, wanted)


@lru_cache(maxsize=8192)
def _after_hour(calendar: Calendar, hour: int, wanted: bool) -> datetime | None:
    """The same of any instant of an hour in which nothing begins or ends."""
    return _search(calendar, datetime.fromtimestamp(hour * _HOUR, UTC), wanted)


def _search(calendar: Calendar, at: datetime, wanted: bool) -> datetime | None:
    zone = ZoneInfo(calendar.zone)
    today = at.astimezone(zone).toordinal()
    waiting: list[datetime] = []
    for ordinal in range(today - 2, today + HORIZON_DAYS):
        waiting = sorted({*waiting, *(edge for edge in _edges(calendar, ordinal) if edge > at)})
        if not waiting:
            continue
        # Spans of later days begin no earlier than their midnight: what lies before it is in order now.
        settled = instant(datetime.combine(date.fromordinal(ordinal + 1), _MIDNIGHT), zone)
        while waiting and waiting[0] <= settled:
            edge = waiting.pop(0)
            if is_open(calendar, edge) is wanted:
                return edge
    return None


# ---- one day --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=8192)
def _day(calendar: Calendar, ordinal: int) -> tuple[tuple[Stretch, ...], tuple[Stretch, ...]]:
    """The stretches that begin on a day of the calendar's clock: open ones and closed ones."""
    day, zone = date.fromordinal(ordinal), ZoneInfo(calendar.zone)
    return (
        tuple(_stretches(calendar.opens, day, zone, is_closed=False)),
        tuple(_stretches(calendar.closed, day, zone, is_closed=True)),
    )


def _stretches(spans: tuple[Span, ...], day: date, zone: ZoneInfo, *, is_closed: bool) -> Iterator[Stretch]:
    for span in spans:
        if not span.is_on(day):
            continue
        last = day if span.until > span.since else day + timedelta(days=1)
        start = instant(datetime.combine(day, span.since), zone)
        end = instant(datetime.combine(last, span.until), zone, is_last=is_closed)
        if start < end:
            yield start, end


def _edges(calendar: Calendar, ordinal: int) -> Iterator[datetime]:
    for stretches in _day(calendar, ordinal):
        for stretch in stretches:
            yield from stretch


def instant(local: datetime, zone: ZoneInfo, *, is_last: bool = False) -> datetime:
    """The instant, in UTC, at which a zone's clock shows `local`; of two the first, or the last.

    Where the clock never shows it: the instant at which the clock jumps past it.
    """
    early, late = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if early <= late:
        return late if is_last else early
    # Skipped: read with the clock as it was before the jump it lies after it, and the other way round.
    before, after = late.replace(microsecond=0), early.replace(microsecond=0)
    offset = before.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = (before + (after - before) // 2).replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after


# ---- words ----------------------------------------------------------------------------------------------------------


def hours_text(calendar: Calendar) -> str:
    """Its hours in a few words: `Mon-Fri 09:00-16:00, Europe/Dublin; closed 2030-12-24 to 2031-01-01`."""
    opens = ", ".join(_span_text(span) for span in calendar.opens) or "always"
    closed = "; closed " + ", ".join(_span_text(span) for span in calendar.closed) if calendar.closed else ""
    return f"{opens}{closed}, {calendar.zone} time"


def _span_text(span: Span) -> str:
    dates = ", ".join(f"{a}" if a == b else f"{a} to {b}" for a, b in span.dates)
    days = "" if span.days == ALL_DAYS else _days_text(span.days)
    is_whole_day = span.since == span.until == _MIDNIGHT
    until = "24:00" if span.until == _MIDNIGHT else f"{span.until:%H:%M}"
    hours = "" if is_whole_day else f"{span.since:%H:%M}-{until}"
    return " ".join(part for part in (dates, days, hours) if part) or "every day"


def _days_text(days: tuple[int, ...]) -> str:
    """`Mon-Fri`, `Sat`, `Mon, Wed`, `Sat-Mon`."""
    start = next((d for d in days if (d - 1) % 7 not in days), 0)
    turned = [d for d in (*range(start, 7), *range(start)) if d in days]
    is_run = all((b - a) % 7 == 1 for a, b in pairwise(turned))
    if is_run and len(turned) > 2:
        return f"{DAY_NAMES[turned[0]]}-{DAY_NAMES[turned[-1]]}"
    return ", ".join(DAY_NAMES[d] for d in turned)
