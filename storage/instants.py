"""Instants as the database keeps them: whole microseconds since 1970, UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_START = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_number(at: datetime) -> int:
    """Microseconds since 1970; raises ValueError for an instant without a zone."""
    if at.tzinfo is None:
        msg = f"{at.isoformat()} has no time zone; every instant needs one."
        raise ValueError(msg)
    return (at - _START) // _MICROSECOND


def from_number(number: int) -> datetime:
    """The instant, aware, in UTC."""
    return _START + timedelta(microseconds=number)


def to_number_or_none(at: datetime | None) -> int | None:
    """Like `to_number`, passing None on."""
    return None if at is None else to_number(at)


def from_number_or_none(number: int | None) -> datetime | None:
    """Like `from_number`, passing None on."""
    return None if number is None else from_number(number)
