"""How the core says things: durations, lists, and the nearest right word; one voice for every sentence."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import assert_never

from core.releases.likeness import most_like
from core.releases.pipeline import Pipeline, Scope, ScopeKind
from core.releases.state import Release


def duration(span: timedelta) -> str:
    """A duration for people: `45 s`, `12 min`, `1 h 30 min`, `1 day`, `3 days 4 h`."""
    seconds = max(0, round(span.total_seconds()))
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, seconds = divmod(rest, 60)
    if days:
        whole = f"{days} day{'s' if days > 1 else ''}"
        return f"{whole} {hours} h" if hours else whole
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    if minutes:
        return f"{minutes} min {seconds} s" if seconds and minutes < 5 else f"{minutes} min"
    return f"{seconds} s"


def clock(at: datetime) -> str:
    """An instant for people who read a log: UTC."""
    return at.strftime("%Y-%m-%d %H:%M UTC")


def listed(names: Iterable[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    words = list(names)
    if len(words) <= 1:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def nearest(word: str, known: Iterable[str]) -> str:
    """A sentence that offers the nearest right words, or all of them where they are few; empty if there are none."""
    names = list(dict.fromkeys(known))
    close = most_like(word, names)
    if close:
        return f"Did you mean {listed(close, 'or')}?"
    return f"There is {listed(names[:8])}{' and more' if len(names) > 8 else ''}." if names else ""


def title(definition: Pipeline, release: Release) -> str:
    """What to call a release."""
    return f"{definition.service} {release.version}"


def place(scope: Scope) -> str:
    """What to call a part of the pipeline in a sentence."""
    match scope.kind:
        case ScopeKind.SERVICE:
            return "the whole service"
        case ScopeKind.GROUP:
            return f"the group {scope.name}"
        case ScopeKind.STAGE:
            return scope.name
        case ScopeKind.TARGET:
            return f"the target {scope.name}"
        case _:
            assert_never(scope.kind)
