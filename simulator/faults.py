"""Faults on demand for the Web API, the documented rate limits when switched on, and a count of calls."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from simulator import limits
from simulator.errors import Refused
from simulator.records import Json

FaultKind = Literal["rate_limited", "server_error", "unavailable", "slow", "drop_before", "drop_after", "error"]


@dataclass
class Fault:
    """One fault of a method (`*`: any), for `times` calls or until removed; `channel` narrows it to calls there."""

    id: int
    method: str
    fault: FaultKind
    times: int | None = None
    retry_after: int = 1
    seconds: float = 0
    code: str = "internal_error"
    channel: str | None = None

    def shape(self) -> Json:
        """Return it as the page protocol shows it."""
        return dict(vars(self))


@dataclass
class Faults:
    """What goes wrong at present; `wall_clock` counts real seconds for the rate limits."""

    wall_clock: Callable[[], float]
    paused: bool = False
    enforce_rate_limits: bool = False
    calls: Counter[str] = field(default_factory=Counter)
    _active: list[Fault] = field(default_factory=list)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))
    _history: dict[tuple[str, str], deque[float]] = field(default_factory=dict)

    def set(self, method: str, fault: FaultKind, **how: Any) -> Fault:
        """Add a fault; `how` are further fields of `Fault`. Raises Refused when they make no sense."""
        known = set(get_args(FaultKind))
        if fault not in known:
            raise Refused("bad_request", f"Unknown fault {fault!r}. There are: {', '.join(sorted(known))}.")
        unknown = set(how) - {"times", "retry_after", "seconds", "code", "channel"}
        if unknown:
            raise Refused("bad_request", f"A fault does not take {', '.join(sorted(unknown))}.")
        made = Fault(next(self._numbers), method, fault, **how)
        if made.times is not None and made.times < 1:
            raise Refused("bad_request", "`times` must be at least 1; leave it out to last until cleared.")
        self._active.append(made)
        return made

    def clear(self, identity: int | None = None) -> None:
        """Remove one fault, or all of them."""
        self._active = [fault for fault in self._active if identity is not None and fault.id != identity]

    def active(self) -> list[Fault]:
        """Return the faults in force."""
        return list(self._active)

    def strike(self, method: str, channel: str | None = None) -> Fault | None:
        """Return the fault that befalls this call, oldest first, and use it up once."""
        for fault in self._active:
            if fault.method in {method, "*"} and fault.channel in {None, channel}:
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self._active.remove(fault)
                return fault
        return None

    def over_the_limit(self, method: str, tier: int, channel: str | None) -> int | None:
        """Return Retry-After seconds when this call exceeds Slack's documented rate, counting it otherwise."""
        if not self.enforce_rate_limits:
            return None
        if method in {"chat.postMessage", "chat.postEphemeral"} and channel is not None:
            wait = self._window((method, channel), limits.POSTS_BURST, float(limits.POSTS_BURST))
        else:
            wait = None
        if wait is None and tier:
            wait = self._window((method, ""), limits.TIERS_PER_MINUTE[tier], 60.0)
        return wait

    def _window(self, key: tuple[str, str], most: int, seconds: float) -> int | None:
        now = self.wall_clock()
        calls = self._history.setdefault(key, deque())
        while calls and now - calls[0] >= seconds:
            calls.popleft()
        if len(calls) >= most:
            return max(1, int(seconds - (now - calls[0])) + 1)
        calls.append(now)
        return None
