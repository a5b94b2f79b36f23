"""Alarms of any system that can send JSON: one report, or a list of them.

    {"alarm": "errors", "state": "alarm", "service": "checkout", "stage": "wave-1", "title": "8 % of checkouts fail"}

Everything but `alarm` and `state` may be left out. A link that is none is left out; anything else that is wrong refuses
the whole request, naming the field and what would mend it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from core.errors import PermanentError
from core.ports import AlarmReport, AlarmState
from core.releases.problems import Problem, Strict, path_text, refusal, validated
from integrations.intake import clean, document, line, link

MAX_REPORTS = 1000
MAX_NAMED = 5
"""Problems that an answer names; the rest is counted."""


def _instant(value: object) -> datetime:
    mend = 'write it as "2026-03-02T12:00:00Z"'
    if not isinstance(value, str):
        raise refusal("an instant must be text", mend)
    try:
        parsed = datetime.fromisoformat(value.strip())
    except ValueError:
        raise refusal("this is no instant", mend) from None
    if parsed.tzinfo is None:
        raise refusal("this instant has no time zone", f"{mend}, with the Z or an offset")
    try:
        return parsed.astimezone(UTC)
    except OverflowError:
        raise refusal("this instant is out of reach", mend) from None


def _named(value: object) -> object:
    if isinstance(value, str) and not line(value, 200):
        raise refusal("this must not be empty", "name the alarm as the pipeline's definition does")
    return value


class Told(Strict):
    """One report, as it is sent."""

    alarm: Annotated[str, BeforeValidator(_named), Field(examples=["errors"])]
    state: Annotated[Literal["ok", "alarm", "unknown"], Field(examples=["alarm"])]
    service: str = ""
    pipeline: str = ""
    group: str = ""
    stage: str = ""
    target: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    key: str = ""
    """Tells alerts of one alarm apart; by default the alarm with the part of the pipeline it speaks of."""
    started_at: Annotated[datetime | None, BeforeValidator(_instant)] = None
    """When the present episode began. With it messages may come late and twice; without, they count as they come."""
    ended_at: Annotated[datetime | None, BeforeValidator(_instant)] = None
    """When it ended, with `ok`: an end after the start that is known is the end of that episode."""
    title: str = ""
    text: str = ""
    url: str = ""
    runbook: str = ""


class Webhook:
    """The alarm source `webhook`."""

    name = "webhook"

    def parse(self, headers: Mapping[str, str], body: bytes) -> Sequence[AlarmReport]:  # noqa: ARG002
        """The reports of one request; raises PermanentError naming every wrong field and its mend."""
        sent = document(body, "the alarm webhook")
        items = sent if isinstance(sent, list) else [sent]
        if len(items) > MAX_REPORTS:
            raise PermanentError(f"{len(items)} reports at once are too many; send at most {MAX_REPORTS} in a request.")
        problems: list[Problem] = []
        reports: list[AlarmReport] = []
        for index, item in enumerate(items):
            # Machines send null for what they have not got.
            given = (
                {name: value for name, value in item.items() if value is not None} if isinstance(item, dict) else item
            )
            told, wrong = validated(Told, given)
            place: tuple[str | int, ...] = (index,) if isinstance(sent, list) else ()
            problems += [Problem((*place, *p.path), p.sentence, p.mend) for p in wrong]
            if told is not None:
                reports.append(_report(told))
        if problems:
            raise PermanentError(_sentence(problems))
        return tuple(reports)


def _report(told: Told) -> AlarmReport:
    named = {name: line(getattr(told, name), 200) for name in ("service", "pipeline", "group", "stage", "target")}
    labels = {line(name, 200): line(value, 300) for name, value in told.labels.items()}
    labels.update({name: value for name, value in named.items() if value})
    labels["alarm"] = line(told.alarm, 200)
    return AlarmReport(
        source=Webhook.name,
        key=line(told.key, 200) or "/".join(filter(None, [labels["alarm"], *named.values()])),
        state=AlarmState(told.state),
        labels=labels,
        title=line(told.title, 120) or labels["alarm"],
        text=clean(told.text, 1000),
        url=link(told.url),
        runbook=link(told.runbook),
        started_at=told.started_at,
        ended_at=told.ended_at,
    )


def _sentence(problems: Sequence[Problem]) -> str:
    parts = [
        f"{path_text(p.path) if p.path else 'the report'}: {p.sentence}" + (f" ({p.mend})" if p.mend else "")
        for p in problems[:MAX_NAMED]
    ]
    more = len(problems) - MAX_NAMED
    return "; ".join(parts) + (f"; and {more} more" if more > 0 else "") + "."
