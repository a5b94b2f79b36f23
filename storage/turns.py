"""The statements that look after many lanes of the outbox at once.

Each round trip, and each hand-over between threads, costs more than what a statement does. The words are the same on
every database, but for how an array becomes a table.
"""

# ruff: noqa: S608 - every word of these statements is our own; values are bound
from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.sql import ClauseElement

from core.releases.effects import RefreshCard
from storage import dialects
from storage.tables import OPEN, outbox

CLAIMED = (
    "seq", "key", "pipeline_id", "lane", "kind", "schema", "body", "attempts", "fence", "created_at", "claimed_until",
)  # fmt: skip
INSERTED = tuple(c.name for c in outbox.columns if c.name != "seq")

# The words of `OPEN` stand in them so that the planner takes the index of lanes and reads no more.
_IS_CARD = f"kind = '{RefreshCard.__name__}'"
_PUT_OFF = f"({_IS_CARD} AND state = 'pending' AND attempts = 0 AND due_at > :b_now)"


def stands(dialect: str) -> ClauseElement:
    """How lanes stand: (lane, is something claimed, is anything open, the card that waits in it or null)."""
    here = f"FROM outbox WHERE lane = each.value AND {OPEN}"
    card = f"SELECT seq {here} AND state = 'pending' AND {_IS_CARD} ORDER BY seq LIMIT 1"
    claimed = "SELECT 1 FROM outbox WHERE lane = each.value AND state = 'claimed'"
    lanes = dialects.each("lanes", "text", dialect)
    return text(f"SELECT each.value, EXISTS ({claimed}), EXISTS (SELECT 1 {here}), ({card}) FROM {lanes}")


def turns(dialect: str) -> ClauseElement:
    """Who may be next in lanes, up to three rows (lane, rank, seq, due_at) for each.

    0: who holds it; 1: the first that is not put off; 2: the first that is.
    """
    lanes = dialects.each("lanes", "text", dialect)
    here = f"SELECT seq FROM outbox WHERE lane = each.value AND {OPEN}"
    held = "SELECT seq FROM outbox WHERE lane = each.value AND state = 'claimed'"
    ranked = (
        f"SELECT lane, {rank}, seq, due_at FROM outbox"
        f" WHERE seq IN (SELECT ({first} ORDER BY seq LIMIT 1) FROM {lanes})"
        for rank, first in enumerate((held, f"{here} AND NOT {_PUT_OFF}", f"{here} AND {_PUT_OFF}"))
    )
    return text(" UNION ALL ".join(ranked))


def take(dialect: str) -> ClauseElement:
    """Lease effects, as far as they still are open and due; returns `CLAIMED` and the version of their pipeline."""
    version = "0" if dialect == "sqlite" else "(SELECT version FROM pipelines WHERE id = outbox.pipeline_id)"
    return text(
        "UPDATE outbox SET state = 'claimed', attempts = attempts + 1, fence = fence + 1, claimed_until = :b_until,"
        f" due_at = :b_until WHERE seq IN (SELECT value FROM {dialects.each('seqs', 'bigint', dialect)})"
        f" AND {OPEN} AND due_at <= :b_now RETURNING {', '.join(CLAIMED)}, {version}"
    )


def end(dialect: str) -> ClauseElement:
    """Mark claims as done; `held` names each by "place/fence". Returns the places of those that were still ours."""
    return text(
        "UPDATE outbox SET state = 'done', claimed_until = NULL, last_error = ''"
        f" WHERE seq IN (SELECT value FROM {dialects.each('seqs', 'bigint', dialect)}) AND state = 'claimed'"
        f" AND CAST(seq AS TEXT) || '/' || CAST(fence AS TEXT)"
        f" IN (SELECT value FROM {dialects.each('held', 'text', dialect)}) RETURNING seq"
    )
