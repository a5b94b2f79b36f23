"""When teams let versions into production: office hours in zones of their own, and the quiet weeks of a year [22].

The hours are of zones that change their clocks, on both halves of the earth; services begin in any week of a year, so
that every change of clocks and every quiet week is lived through by some.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

from company.chance import Chance
from core.releases.calendar import Calendar, Span
from core.releases.pipeline import Group, Pipeline
from core.releases.world import Freeze, World

ZONES = ("America/Los_Angeles", "Europe/London", "Europe/Berlin", "Australia/Sydney")
WITH_HOURS = 0.4
"""Of the services, those whose production is entered in office hours only."""
WITH_QUIET_WEEKS = 0.4
"""Of the services, those that keep the quiet weeks of a year."""
OFFICE = "office"
QUIET_WEEKS = (("sale", (11, 24), (12, 1)), ("year-end", (12, 18), (1, 3)))
"""Name, first day, and the day on which it is over, at midnight UTC."""
YEARS_AHEAD = 3
WEEKS = 52


def office(zone: str) -> Calendar:
    """Monday to Thursday all day, on Friday not after lunch; over lunch nobody looks."""
    days = Span((0, 1, 2, 3), time(9), time(17))
    return Calendar(
        OFFICE, zone, (days, Span((4,), time(9), time(13))), (Span((0, 1, 2, 3, 4), time(12), time(12, 30)),)
    )


def kept(line: Pipeline, world: World, chance: Chance, start: datetime) -> tuple[Pipeline, World]:
    """The line and its world with the hours and quiet weeks that its team keeps, if it does."""
    if chance.once_in(WITH_HOURS):
        calendar = office(chance.pick(ZONES))
        world = replace(world, calendars={OFFICE: calendar})
        groups = tuple(replace(g, windows=(OFFICE,)) if g.name == "production" else g for g in line.groups)
        line = replace(line, groups=groups or (Group(name="production", windows=(OFFICE,)),))
    if chance.once_in(WITH_QUIET_WEEKS):
        world = replace(world, freezes=tuple(_quiet_weeks(start)))
    return line, world


def _quiet_weeks(start: datetime) -> list[Freeze]:
    found = []
    for year in range(start.year, start.year + YEARS_AHEAD):
        for name, (month, day), (last_month, last_day) in QUIET_WEEKS:
            begins = datetime(year, month, day, tzinfo=UTC)
            ends = datetime(year + (last_month < month), last_month, last_day, tzinfo=UTC)
            found.append(Freeze(f"{name}-{year}", begins, ends, scopes=frozenset({"production"})))
    return found


def first_day(chance: Chance, start: datetime) -> datetime:
    """The Monday on which a service begins, in any week of the year that follows `start`."""
    return start + timedelta(weeks=chance.between(0, WEEKS - 1))
