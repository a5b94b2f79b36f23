"""What is to be done next, from what all hosts say: pure, and the same for whoever looks.

Nothing but the hosts remembers a roll-out. Hosts only ever go forward (artifact there, begun, over), in one order that
is written down with the deployment. A host may begin while fewer than `at_once` before it in that order are not done.
Whoever knows less than is true sees fewer done, and so begins nothing that may not begin: two replicas that look at the
same time, or an old answer, never exceed the share.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from core.ports import DeploymentStatus, Outcome
from integrations.hosts.link import Answer


class At(StrEnum):
    """How far a host is."""

    AWAY = "away"
    BLANK = "blank"
    """It knows nothing of the deployment."""
    BARE = "bare"
    """The artifact is not there."""
    CARRYING = "carrying"
    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    """It will not begin any more, or went back when asked to stop."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens there."""
        return self in (At.DONE, At.FAILED, At.STOPPED)


@dataclass(frozen=True, slots=True)
class View:
    """How one host stands; `said` is why, `sealed` for what reason it does not begin any more."""

    name: str
    at: At
    step: str = ""
    said: str = ""
    output: str = ""
    age: float = 0.0
    """Seconds since the deployment was written down there."""
    sealed: str = ""
    room: int | None = None
    """Bytes free."""
    order: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """What is written down on every host when a deployment begins; `hosts` are in the order they are taken."""

    key: str
    target: str
    version: str
    digest: str
    artifact: str
    is_rollback: bool
    at_once: int
    one_per_zone: bool
    timeout: float
    hosts: tuple[tuple[str, str], ...]
    """Name and zone."""

    def as_text(self) -> str:
        """One line."""
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True)

    @classmethod
    def read(cls, text: str) -> Order:
        """What `as_text` wrote."""
        found = json.loads(text)
        return cls(**{**found, "hosts": tuple((name, zone) for name, zone in found["hosts"])})


@dataclass(frozen=True, slots=True)
class Steps:
    """What to ask of which hosts now."""

    prepare: tuple[str, ...] = ()
    carry: tuple[str, ...] = ()
    begin: tuple[str, ...] = ()
    seal: Mapping[str, str] = field(default_factory=dict)
    """Hosts, and the reason."""
    stop: bool = False
    """Whether those that run are asked to stop as well."""


def striped(hosts: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Hosts (name, zone) in an order that takes one from each zone in turn."""
    zones: dict[str, list[tuple[str, str]]] = {}
    for host in hosts:
        zones.setdefault(host[1], []).append(host)
    rows = max((len(of_zone) for of_zone in zones.values()), default=0)
    return tuple(of_zone[row] for row in range(rows) for of_zone in zones.values() if row < len(of_zone))


def at_once(count: int, batch_percent: int, healthy_percent: int) -> int:
    """How many of so many hosts may change together: both shares hold, but one always may."""
    return max(1, min(count * batch_percent // 100, count - math.ceil(count * healthy_percent / 100)))


def view_of(name: str, answer: Answer) -> View:
    """How a host stands, from its answer to `look`."""
    words = answer.words
    state, ended = words.get("state", "none"), words.get("end", "")
    at, said = At.BLANK, ""
    if words.get("bring") == "failed":
        at, said = At.FAILED, words.get("brought", "")
    elif state == "sealed":
        at = At.STOPPED
    elif state == "ended":
        at = {"ok": At.DONE, "cancelled": At.STOPPED}.get(ended, At.FAILED)
        said = words.get("said", "")
    elif state == "interrupted":
        at, said = At.FAILED, f"its job was cut off at the step {words.get('step', '')}; was the host restarted?"
    elif state == "running":
        at = At.RUNNING
    elif state in ("waiting", "busy"):
        at = At.CARRYING if words.get("bring") == "running" else At.BARE
        at = At.READY if words.get("have") == "yes" else at
    room = words.get("room", "")
    return View(
        name,
        at,
        step="busy" if state == "busy" else words.get("step", ""),
        said=said,
        output=answer.log,
        age=float(words.get("age") or 0),
        sealed=words.get("sealed", ""),
        room=int(room) * 1024 if room.isdigit() else None,
        order=words.get("order", ""),
    )


def next_steps(order: Order, views: Mapping[str, View]) -> Steps:
    """What to do, from how all hosts stand; nothing new begins once one failed, time is over or somebody cancelled."""
    seen = [views[name] for name, _ in order.hosts if name in views]
    if reason := _ending(order, seen):
        open_ones = {view.name: reason for view in seen if not view.at.is_over and view.at is not At.AWAY}
        if reason not in ("cancelled", "superseded"):
            open_ones = {name: why for name, why in open_ones.items() if views[name].at is not At.RUNNING}
            return Steps(seal=open_ones)
        return Steps(seal=open_ones, stop=True)
    prepare = tuple(view.name for view in seen if view.at is At.BLANK)
    carry = tuple(view.name for view in seen if view.at is At.BARE)
    if any(view.at is At.AWAY for view in seen) and not order.is_rollback:
        return Steps(prepare, carry)
    if any(view.at in (At.BLANK, At.BARE, At.CARRYING) for view in seen):
        return Steps(prepare, carry)
    return Steps(begin=tuple(_may_begin(order, views)))


def _may_begin(order: Order, views: Mapping[str, View]) -> Iterable[str]:
    not_done = 0
    zones: Counter[str] = Counter()
    for name, zone in order.hosts:
        view = views.get(name)
        if view is None or view.at in (At.DONE, At.AWAY):
            continue
        if view.at is At.READY and not_done < order.at_once and not (order.one_per_zone and zones[zone]):
            yield name
        not_done += 1
        zones[zone] += 1


def _ending(order: Order, seen: Sequence[View]) -> str:
    """Why nothing more begins; empty while it may."""
    if all(view.at is At.DONE for view in seen):
        return ""
    reasons = [view.sealed for view in seen if view.sealed]
    if "cancelled" in reasons:
        return "cancelled"
    if any(view.at is At.FAILED for view in seen):
        return "failed"
    if reasons:
        return reasons[0]
    return "late" if any(view.age > order.timeout for view in seen) else ""


def standing(order: Order, views: Mapping[str, View]) -> DeploymentStatus:
    """How the deployment stands; unknown where it hangs on hosts that do not answer."""
    seen = [views[name] for name, _ in order.hosts if name in views]
    done, count = sum(view.at is At.DONE for view in seen), len(seen)
    run = f"{done} of {count} host{'s' if count != 1 else ''} run{'s' if done == 1 else ''} {order.version}"
    away = [view for view in seen if view.at is At.AWAY]
    moving = [view for view in seen if not view.at.is_over and view.at is not At.AWAY]
    failed = [view for view in seen if view.at is At.FAILED]
    reason = _ending(order, seen)
    output = "\n".join(f"--- {view.name}\n{view.output.rstrip()}" for view in failed if view.output.strip())

    def told(outcome: Outcome, sentence: str) -> DeploymentStatus:
        return DeploymentStatus(outcome, sentence, done, count, output if outcome is Outcome.FAILED else "")

    if moving and (order.is_rollback or reason or not away or _in_motion(moving)):
        return told(Outcome.RUNNING, f"{run}; {_each((*moving, *away))}.")
    if away:
        names = "; ".join(view.said.rstrip(".") for view in away[:3])
        return told(Outcome.UNKNOWN, f"{run}. {names}{' …' if len(away) > 3 else ''}.")
    if failed:
        return told(Outcome.FAILED, f"{'; '.join(f'{view.name}: {view.said}' for view in failed[:3])}. {run}.")
    match reason:
        case "":
            return told(Outcome.SUCCEEDED, f"{run}.")
        case "late":
            return told(Outcome.FAILED, f"It did not finish within {order.timeout:g} s. {run}.")
        case "superseded":
            return told(Outcome.CANCELLED, f"Another deployment took its place. {run}.")
        case _:
            return told(Outcome.CANCELLED, f"Stopped when asked to. {run}.")


def _in_motion(views: Iterable[View]) -> bool:
    return any(view.at in (At.RUNNING, At.CARRYING) for view in views)


_DOING = {
    "drain": "is drained",
    "stop": "stops what ran",
    "switch": "is switched",
    "start": "starts",
    "health": "is asked for its health",
    "undrain": "gets its traffic again",
    "back": "goes back",
    "busy": "is busy with another deployment",
}


def _each(views: Sequence[View]) -> str:
    """What each host does, or how many do what."""
    words = {
        At.AWAY: "does not answer",
        At.BLANK: "waits",
        At.BARE: "waits for the artifact",
        At.CARRYING: "unpacks the artifact",
        At.READY: "waits",
    }
    doing = {
        view.name: _DOING.get(view.step, "begins")
        if view.at is At.RUNNING or view.step == "busy"
        else words.get(view.at, "")
        for view in views
    }
    if len(doing) <= 6:
        return ", ".join(f"{name} {what}" for name, what in doing.items())
    return ", ".join(f"{count} × {what}" for what, count in Counter(doing.values()).most_common())
