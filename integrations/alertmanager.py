"""Alertmanager's webhook: what Prometheus' alerts say, alert by alert.

The message's own status is not looked at: it says `firing` while some of its alerts are over. An alert is told apart
by its fingerprint, its episodes by `startsAt`. Version 4 is what Alertmanager sends; version 3 (before 2017) is
understood too. Fields that are not needed may come, go and change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import PermanentError
from core.ports import AlarmReport, AlarmState
from integrations.intake import clean, document, instant, line, link

MAX_LABELS = 64
MAX_LABEL = 300
MAX_TITLE = 120
MAX_TEXT = 1000
_STATES = {"firing": AlarmState.ALARM, "resolved": AlarmState.OK}


class Alertmanager:
    """The alarm source `alertmanager`."""

    name = "alertmanager"

    def parse(self, headers: Mapping[str, str], body: bytes) -> Sequence[AlarmReport]:  # noqa: ARG002
        """The alerts of one webhook message; raises PermanentError where it is no such message."""
        message = document(body, "Alertmanager")
        alerts = message.get("alerts") if isinstance(message, dict) else None
        if not isinstance(message, dict) or not isinstance(alerts, list):
            raise PermanentError(
                "This is no webhook message of Alertmanager: it has no list `alerts`. "
                "Point a `webhook_configs` receiver here, not Prometheus itself."
            )
        understood = [alert for alert in alerts if isinstance(alert, dict)]
        if alerts and not understood:
            raise PermanentError("None of the alerts in this message of Alertmanager is an object.")
        left_out = _left_out(message.get("truncatedAlerts"), len(alerts))
        return tuple(_report(alert, left_out) for alert in understood)


def _report(alert: Mapping[str, Any], left_out: str) -> AlarmReport:
    labels, annotations = _labels(alert.get("labels")), _mapping(alert.get("annotations"))
    words = [
        clean(annotations.get(name), MAX_TEXT) for name in ("summary", "description", "message") if name in annotations
    ]
    text = clean("\n".join(dict.fromkeys(filter(None, words))), MAX_TEXT)
    return AlarmReport(
        source=Alertmanager.name,
        key=line(alert.get("fingerprint"), 64) or _fingerprint(labels),
        # A status nobody knows is neither good nor bad.
        state=_STATES.get(str(alert.get("status")), AlarmState.UNKNOWN),
        labels=labels,
        title=_title(labels),
        text=f"{text}\n{left_out}".strip(),
        url=_first_link(annotations, "dashboard", "dashboard_url") or link(alert.get("generatorURL")),
        runbook=_first_link(annotations, "runbook_url", "runbook"),
        started_at=instant(alert.get("startsAt")),
        ended_at=instant(alert.get("endsAt")),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _labels(value: object) -> dict[str, str]:
    pairs = list(_mapping(value).items())[:MAX_LABELS]
    return {line(name, MAX_LABEL): line(worth, MAX_LABEL) for name, worth in pairs}


def _title(labels: Mapping[str, str]) -> str:
    """What the alert is called; always the same for one alert, because what it is known by follows from it."""
    name = labels.get("alertname", "")
    if name:
        return line(name, MAX_TITLE)
    told_by = ", ".join(f"{label}={value}" for label, value in sorted(labels.items())[:3])
    return line(f"alert without a name ({told_by or 'no labels'})", MAX_TITLE)


def _fingerprint(labels: Mapping[str, str]) -> str:
    """What tells alerts apart where the sender does not say (version 3)."""
    canonical = json.dumps(labels, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _first_link(annotations: Mapping[str, Any], *names: str) -> str:
    return next(filter(None, (link(annotations.get(name)) for name in names)), "")


def _left_out(truncated: object, shown: int) -> str:
    if not isinstance(truncated, int) or isinstance(truncated, bool) or truncated <= 0:
        return ""
    return f"Alertmanager left out {truncated} of {shown + truncated} alerts; raise `max_alerts` to see them all."
