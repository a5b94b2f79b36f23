"""The outbox on PostgreSQL, for many lanes in one statement each: round trips are what a round costs there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from storage import batch, hot
from storage.instants import from_number, to_number
from storage.lanes import Claimed, Ending, Lanes

if TYPE_CHECKING:
    from storage.journal import Transaction

END = """
UPDATE outbox o SET state = g.state, last_error = g.reason, claimed_until = NULL,
    due_at = coalesce(g.due_at, o.due_at), attempts = coalesce(g.attempts, o.attempts)
FROM unnest(
    %(seqs)s::bigint[], %(fences)s::bigint[], %(states)s::text[], %(reasons)s::text[], %(dues)s::bigint[],
    %(attempts)s::integer[]
) AS g(seq, fence, state, reason, due_at, attempts)
WHERE o.seq = g.seq AND o.state = 'claimed' AND o.fence = g.fence
RETURNING o.seq
"""
LATER = """
SELECT lane, min(due_at) FROM outbox
WHERE lane = ANY(%(lanes)s::text[]) AND state IN ('pending', 'claimed') AND state = 'pending' AND due_at > %(now)s
GROUP BY lane
"""
Run = Callable[[str, Any], list[Any]]


class SharedLanes(Lanes):
    """The outbox within one transaction; `run` runs a statement on its connection."""

    def __init__(self, transaction: Transaction, run: Run, claim_among: hot.Prepared) -> None:
        super().__init__(transaction)
        self._run = run
        self._among = claim_among

    def end_all(self, endings: Sequence[Ending]) -> list[Claimed]:
        """End these claims; returns those that are no longer ours."""
        if not endings:
            return []
        columns = {
            "seqs": (e.claimed.seq for e in endings),
            "fences": (e.claimed.fence for e in endings),
            "states": (e.state for e in endings),
            "reasons": (e.reason for e in endings),
            "dues": (None if e.due_at is None else to_number(e.due_at) for e in endings),
            "attempts": (e.attempts for e in endings),
        }
        self._begin()
        ended = {row[0] for row in self._run(END, {name: batch.array(values) for name, values in columns.items()})}
        return [e.claimed for e in endings if e.claimed.seq not in ended]

    def claim_in(
        self, lanes: Iterable[str], now: datetime, *, lease: timedelta, limit: int
    ) -> tuple[list[Claimed], dict[str, datetime], list[str]]:
        """Lease the heads of these lanes, up to `limit`; when to look again, and what was left out by the limit."""
        names = list(lanes)
        if not names:
            return [], {}, []
        if limit <= 0:
            return [], {}, names
        until = now + lease
        rows = self._claim(self._among, (to_number(now), to_number(until), limit, names))
        claims = [claimed for row in sorted(rows) if (claimed := self._read(row, until)) is not None]
        waits = self._run(LATER, {"lanes": batch.array(names), "now": to_number(now)})
        left = set(names) - {claimed.lane for claimed in claims} if len(rows) >= limit else ()
        return claims, {lane: from_number(at) for lane, at in waits}, sorted(left)

    def _begin(self) -> None:
        """Have a transaction begun, with everything gathered so far in it."""
        _ = self._transaction.connection
