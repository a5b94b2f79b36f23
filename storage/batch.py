"""PostgreSQL: all that a batch of decisions writes, as one statement. Round trips are what such a database costs.

The statement locks the pipelines that it touches, in the order of their names, so that two replicas never wait for
each other in a circle. Then it judges: is each pipeline still at the version it was decided on, is the world the one
it was decided in, is no delivery recorded that was taken for new, has no effect's key been used for another? Only if
all of it holds does it write anything; else it answers which of them does not, and the batch is decided anew. It also
moves this replica's count of batches on: by that it is known later whether a batch was written whose answer was lost,
and a batch that was given up can no longer be written.

What was done is told to every replica in the same commit: which pipelines moved, and whether something waits to be
delivered.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from storage import hot
from storage.tables import events, outbox, seen

CHANNEL = "andon"
"""Where replicas tell each other what they wrote (LISTEN, NOTIFY)."""
MOST_TOLD = 80
"""Pipelines in one notice; PostgreSQL takes 8,000 bytes."""

_TYPES = {"INTEGER": "integer", "BIGINT": "bigint", "BOOLEAN": "boolean", "BLOB": "bytea", "TEXT": "text"}


def _types(table: Any, names: Sequence[str]) -> list[str]:
    return [_TYPES[str(table.c[name].type).upper()] for name in names]


def _rows(prefix: str, table: Any, names: Sequence[str]) -> str:
    """`unnest` of one array for each column, in order, numbered."""
    arrays = ", ".join(f"%({prefix}_{name})s::{kind}[]" for name, kind in zip(names, _types(table, names), strict=True))
    return f"unnest({arrays}) WITH ORDINALITY AS g({', '.join((*names, 'n'))})"


_EVENT = ", ".join(hot.EVENT)
_SEEN = ", ".join(hot.SEEN)
_OUTBOX = ", ".join(hot.OUTBOX)

# Put together from our own names of columns; whatever anybody wrote is passed as a value.
WRITE = f"""
WITH mine AS MATERIALIZED (SELECT number FROM commits WHERE replica = %(replica)s FOR NO KEY UPDATE),
moved AS MATERIALIZED (
    SELECT * FROM unnest(
        %(ids)s::text[], %(olds)s::bigint[], %(news)s::bigint[], %(chains)s::text[], %(wakes)s::bigint[],
        %(schemas)s::integer[], %(states)s::text[], %(revisions)s::text[]
    ) AS g(id, old, new, chain, wake_at, schema, state, revision)
),
held AS MATERIALIZED (
    SELECT p.id, p.version FROM pipelines p JOIN moved g ON g.id = p.id ORDER BY p.id FOR NO KEY UPDATE OF p
),
stale AS MATERIALIZED (
    SELECT g.id FROM moved g LEFT JOIN held h ON h.id = g.id WHERE h.version IS DISTINCT FROM g.old
),
hoped AS MATERIALIZED (
    SELECT * FROM unnest(%(hoped_pipelines)s::text[], %(hoped_keys)s::text[]) AS g(pipeline_id, key)
),
effects AS MATERIALIZED (SELECT * FROM {_rows("outbox", outbox, hot.OUTBOX)}),
verdict AS MATERIALIZED (
    SELECT (SELECT number FROM mine) = %(before)s AS is_mine,
        NOT EXISTS (SELECT FROM stale)
        AND (%(world)s::bigint IS NULL OR %(world)s = coalesce((SELECT max(revision) FROM world), 0))
        AND (%(outage)s::bigint IS NULL OR NOT EXISTS (SELECT FROM outages WHERE until_at > %(outage)s))
        AND NOT EXISTS (
            SELECT FROM hoped g JOIN events e ON e.pipeline_id = g.pipeline_id AND e.dedupe_key = g.key
        )
        AND NOT EXISTS (SELECT FROM hoped g JOIN seen s ON s.pipeline_id = g.pipeline_id AND s.key = g.key) AS is_fresh,
        (
            SELECT min(g.pipeline_id || ' carry the key ' || g.key)
            FROM effects g JOIN outbox o ON o.pipeline_id = g.pipeline_id AND o.key = g.key
            WHERE (o.kind, o.body) <> (g.kind, g.body)
        ) AS clash
),
go AS MATERIALIZED (SELECT FROM verdict WHERE is_mine AND is_fresh AND clash IS NULL),
marked AS (
    UPDATE commits SET number = %(number)s WHERE replica = %(replica)s AND EXISTS (SELECT FROM go)
),
saved AS (
    UPDATE pipelines p SET version = g.new, chain = g.chain, wake_at = g.wake_at, schema = coalesce(g.schema, p.schema),
        state = coalesce(g.state, p.state), definition_revision = coalesce(g.revision, p.definition_revision)
    FROM moved g WHERE p.id = g.id AND g.new IS NOT NULL AND EXISTS (SELECT FROM go)
),
recorded AS (
    INSERT INTO events ({_EVENT})
    SELECT {_EVENT} FROM {_rows("event", events, hot.EVENT)} WHERE EXISTS (SELECT FROM go) ORDER BY n
),
noted AS (
    INSERT INTO seen ({_SEEN}) SELECT {_SEEN} FROM {_rows("seen", seen, hot.SEEN)} WHERE EXISTS (SELECT FROM go)
),
waiting AS MATERIALIZED (
    SELECT seq, lane FROM outbox
    WHERE lane = ANY(%(card_lanes)s::text[]) AND state IN ('pending', 'claimed') AND state = 'pending'
        AND kind = 'RefreshCard' AND EXISTS (SELECT FROM go)
    FOR UPDATE SKIP LOCKED
),
superseded AS (
    UPDATE outbox o SET key = g.key, body = g.body, schema = g.schema, due_at = g.due_at
    FROM waiting w JOIN effects g ON g.lane = w.lane
    WHERE o.seq = w.seq AND g.kind = 'RefreshCard' AND w.lane = ANY(%(urgent_lanes)s::text[])
),
put AS (
    INSERT INTO outbox ({_OUTBOX})
    SELECT {_OUTBOX} FROM effects g
    WHERE EXISTS (SELECT FROM go)
        AND NOT (g.kind = 'RefreshCard' AND EXISTS (SELECT FROM waiting w WHERE w.lane = g.lane))
    ORDER BY n
    ON CONFLICT DO NOTHING
)
SELECT is_mine, is_fresh, clash, (SELECT count(*) FROM stale),
    (SELECT count(pg_notify('{CHANNEL}', notice)) FROM unnest(%(told)s::text[]) AS notice WHERE EXISTS (SELECT FROM go))
FROM verdict
"""  # noqa: S608
"""Answers one row: whether this replica's count was as expected, whether what was decided on still holds, the effect
whose key means another one (or NULL), how many pipelines had moved on, how many notices went out."""

MARK = "UPDATE commits SET number = %(number)s WHERE replica = %(replica)s AND number = %(before)s RETURNING 1"
"""Only the count, for work that gathered nothing."""

EARLIER = """
SELECT g.pipeline_id, g.key, e.answer, e.refused
FROM unnest(%s::text[], %s::text[]) AS g(pipeline_id, key)
JOIN events e ON e.pipeline_id = g.pipeline_id AND e.dedupe_key = g.key
UNION ALL
SELECT g.pipeline_id, g.key, s.answer, false
FROM unnest(%s::text[], %s::text[]) AS g(pipeline_id, key)
JOIN seen s ON s.pipeline_id = g.pipeline_id AND s.key = g.key
"""
"""What was answered to these deliveries when they came first."""


def array(values: Iterable[object]) -> str:
    """An array as PostgreSQL writes it; several times as fast as the driver's own way, which looks at each value."""
    return f"{{{','.join(map(_element, values))}}}"


def _element(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, bytes):
        return f'"\\\\x{value.hex()}"'
    return str(value)


def columns(prefix: str, names: Sequence[str], rows: Sequence[hot.Row]) -> dict[str, str]:
    """Rows as one array for each column."""
    if not rows:
        return {f"{prefix}_{name}": "{}" for name in names}
    return {f"{prefix}_{name}": array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def notices(replica: str, moved: Sequence[tuple[str, int]], *, has_effects: bool) -> list[str]:
    """What the others are told, in pieces that PostgreSQL takes."""
    pieces = [moved[at : at + MOST_TOLD] for at in range(0, len(moved), MOST_TOLD)] or ([()] if has_effects else [])
    return [notice(replica, pipelines=dict(piece), has_effects=has_effects) for piece in pieces]


def notice(
    replica: str, *, pipelines: dict[str, int] | None = None, has_effects: bool = False, is_world: bool = False
) -> str:
    """One notice: who, which pipelines are at which version now, what else."""
    told: dict[str, object] = {"from": replica}
    told |= {"pipelines": pipelines} if pipelines else {}
    told |= {"effects": True} if has_effects else {}
    told |= {"world": True} if is_world else {}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))
