"""Durations as people write them in files: `90s`, `15m`, `12h`, `7d`, `1h30m`."""

from __future__ import annotations

import re
from datetime import timedelta

DURATION_PATTERN = r"^(\d{1,6}d)?(\d{1,6}h)?(\d{1,6}m)?(\d{1,6}s)?(\d{1,6}ms)?$"
LONGEST = timedelta(days=366)
_DURATION = re.compile(DURATION_PATTERN)
_UNITS = ("days", "hours", "minutes", "seconds", "milliseconds")


def parse_duration(text: str) -> timedelta:
    """The duration meant; units in descending order, each once at most. Raises ValueError with a sentence."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or not any(found.groups()):
        raise ValueError(f"`{text[:40]}` is no duration")
    amounts = [int(part.rstrip("dhms")) if part else 0 for part in found.groups()]
    duration = timedelta(**dict(zip(_UNITS, amounts, strict=True)))
    if duration > LONGEST:
        raise ValueError(f"`{text[:40]}` is more than a year")
    return duration


def duration_text(duration: timedelta) -> str:
    """The shortest way to write a duration, such as `1h30m`; nothing is rounded but parts of a millisecond."""
    milliseconds = duration // timedelta(milliseconds=1)
    text = ""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        amount, milliseconds = divmod(milliseconds, size)
        if amount:
            text += f"{amount}{unit}"
    return text or "0s"
