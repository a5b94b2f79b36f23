"""Takes the pieces of `freeze` and `unfreeze`: what is covered, where, from when, until when."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from commands.intents import ForAll, Intent
from commands.pieces import Hearing, pipelines_named, take_length, take_named, take_reason, unknown
from commands.words import listed, shorten
from core.errors import UsageError
from core.releases.calendar import instant
from core.releases.calendar_parts import is_zone, nearest_zone
from core.releases.freezing import Covered, FreezeRequested, UnfreezeRequested
from core.releases.likeness import most_like
from core.releases.roster import names
from core.releases.state import PipelineState

_ZONE = r"(?:\s?(?P<zone>Z|UTC|[A-Za-z]+(?:/[A-Za-z0-9_+-]+)+))?"
_MOMENT = re.compile(
    r"(?P<word>from|until)\s+"
    r"(?:(?P<date>\d{4}-\d\d-\d\d)(?:[T ](?P<time>\d\d?:\d\d))?|(?P<clock>\d\d?:\d\d))"
    rf"{_ZONE}(?=\s|$)",
    re.IGNORECASE,
)
_ALMOST = re.compile(r"(from|until)\s+(\d\S*)", re.IGNORECASE)
_MEND = "Say it like 2030-12-20 18:00 Europe/Berlin, or 18:00 for the next such time; without a zone it is UTC."


def freeze(h: Hearing) -> Intent:
    """`freeze SERVICE|TEAM|everything [in STAGE|GROUP] [from T] [until T|for 2h] REASON`."""
    service, team = _subject(h)
    scope, duration = "", None
    moments: dict[str, datetime] = {}
    while True:
        if not scope and h.words.take_keyword("in"):
            scope = _take_place(h, service, team)
        elif not moments.get("until") and duration is None and (length := take_length(h, "A freeze")):
            duration = length
        elif (found := _take_moment(h)) is not None:
            word, at = found
            if word in moments or (word == "until" and duration is not None):
                raise UsageError(f"“{word}” is said twice.", mend=h.form.right_form)
            moments[word] = at
        else:
            break
    return ForAll(
        FreezeRequested(
            by=h.by,
            what=Covered(service, team, scope),
            reason=take_reason(h),
            from_at=moments.get("from"),
            until_at=moments.get("until"),
            duration=duration,
        )
    )


def unfreeze(h: Hearing) -> Intent:
    """`unfreeze SERVICE|TEAM|everything|NAME [in STAGE|GROUP]`."""
    if re.fullmatch(r"freeze-\d+", h.words.next, re.IGNORECASE):
        return ForAll(UnfreezeRequested(by=h.by, name=h.words.take().lower()))
    service, team = _subject(h)
    scope = _take_place(h, service, team) if h.words.take_keyword("in") else ""
    return ForAll(UnfreezeRequested(by=h.by, what=Covered(service, team, scope)))


def _subject(h: Hearing) -> tuple[str, str]:
    """A service or a team by name; both empty for everything."""
    teams = sorted({named.team for named in names(h.pipelines)})
    if h.words.take_keyword("everything", "all"):
        return "", ""
    if h.words.next.casefold() == "team":
        h.words.take()
        if team := h.words.take_name(teams):
            return "", team
        raise _unknown(h, teams)
    if service := take_named(h):
        return service, ""
    if team := h.words.take_name(teams):
        return "", team
    here = h.pipelines.get(h.context.pipeline)
    if here is not None:
        return here.definition.service, ""
    raise _unknown(h, teams)


def _unknown(h: Hearing, teams: list[str]) -> UsageError:
    if not h.words:
        return UsageError("What? A service, a team, or everything.", mend=h.form.right_form)
    known = sorted({*teams, *(named.service for named in names(h.pipelines)), "everything"})
    near = most_like(h.words.next, known)
    offer = f" Did you mean {listed(near, 'or')}?" if near else ""
    message = f"There is no service or team “{shorten(h.words.next)}”.{offer}"
    return UsageError(message, mend=h.form.right_form)


def _take_place(h: Hearing, service: str, team: str) -> str:
    """A stage or group of what is covered."""
    covered: Iterable[PipelineState] = h.pipelines.values()
    if service:
        covered = pipelines_named(service, h.pipelines)
    elif team:
        covered = (h.pipelines[named.id] for named in names(h.pipelines) if named.team == team)
    # One state after the other, and nothing of it but the names of its places: there may be thousands.
    stages = list(dict.fromkeys((stage.name, stage.group) for state in covered for stage in state.definition.stages))
    places = list(dict.fromkeys([name for name, _ in stages] + [group for _, group in stages if group]))
    if place := h.words.take_name(places):
        return place
    if not h.words:
        raise UsageError(f"In which stage or group? There is {listed(places, most=12)}.", mend=h.form.right_form)
    what = service or team or "Everything"
    error = unknown("stage or group", h.words.next, most_like(h.words.next, places), listed(places, most=12), what)
    error.mend += " If “in” begins your reason, put the reason in quotes."
    raise error


def _take_moment(h: Hearing) -> tuple[str, datetime] | None:
    """`from` or `until` with a moment; None where such a word begins something else."""
    found = _MOMENT.match(h.words.rest)
    if found is None:
        if almost := _ALMOST.match(h.words.rest):
            raise UsageError(f"I did not understand when “{shorten(almost[2])}” is.", mend=_MEND)
        return None
    word, zone = found["word"].lower(), found["zone"] or "UTC"
    zone = "UTC" if zone.upper() in ("Z", "UTC") else zone
    if not is_zone(zone):
        raise UsageError(f"There is no time zone “{shorten(zone)}”.", mend=nearest_zone(zone).capitalize())
    try:
        hour, minute = (int(part) for part in (found["time"] or found["clock"] or "0:00").split(":"))
        clock = time(hour, minute)
        day = date.fromisoformat(found["date"]) if found["date"] else None
    except ValueError:
        raise UsageError(f"I did not understand when “{shorten(found[0])}” is.", mend=_MEND) from None
    h.words.rest = h.words.rest[found.end() :].lstrip()
    return word, _instant(h, day, clock, ZoneInfo(zone), is_last=word == "until")


def _instant(h: Hearing, day: date | None, clock: time, zone: ZoneInfo, *, is_last: bool) -> datetime:
    if day is not None:
        return instant(datetime.combine(day, clock), zone, is_last=is_last)
    today = h.now.astimezone(zone).date()
    at = instant(datetime.combine(today, clock), zone, is_last=is_last)
    if at <= h.now:
        at = instant(datetime.combine(today + timedelta(days=1), clock), zone, is_last=is_last)
    return at.astimezone(UTC)
