"""The first tables: pipelines and their events, the outbox, messages, webhooks, the world, signs of life, tokens."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def where(condition: str) -> dict[str, Any]:
    """A partial index, on either database."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    """Expand only; what is no longer used is dropped a version later."""
    _pipelines()
    _outbox()
    _records()


def _pipelines() -> None:
    op.create_table(
        "definitions",
        sa.Column("pipeline_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("schema", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("pipeline_id", "revision", name="pk_definitions"),
    )
    op.create_table(
        "pipelines",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("wake_at", sa.BigInteger(), nullable=True),
        sa.Column("schema", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("definition_revision", sa.Text(), nullable=False),
        sa.CheckConstraint("id <> ''", name="ck_pipelines_named"),
        sa.CheckConstraint("length(chain) = 64", name="ck_pipelines_chain"),
        sa.CheckConstraint("version >= 1", name="ck_pipelines_version"),
        sa.ForeignKeyConstraint(
            ["id", "definition_revision"],
            ["definitions.pipeline_id", "definitions.revision"],
            name="fk_pipelines_id_definition_revision",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_pipelines"),
    )
    op.create_index("ix_pipelines_wake_at", "pipelines", ["wake_at"], **where("wake_at IS NOT NULL"))
    op.create_table(
        "events",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("pipeline_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("schema", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("refused", sa.Boolean(), nullable=False),
        sa.Column("dedupe_key", sa.Text(), nullable=True),
        sa.Column("world_revision", sa.BigInteger(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.CheckConstraint("dedupe_key <> ''", name="ck_events_dedupe_key"),
        sa.CheckConstraint("kind <> ''", name="ck_events_kind"),
        sa.CheckConstraint("length(digest) = 64 AND length(chain) = 64", name="ck_events_hashes"),
        sa.CheckConstraint("seq >= 1", name="ck_events_seq"),
        sa.ForeignKeyConstraint(["pipeline_id"], ["pipelines.id"], name="fk_events_pipeline_id"),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sa.UniqueConstraint("pipeline_id", "seq", name="uq_events_pipeline_id_seq"),
    )
    op.create_index("ix_events_release", "events", ["pipeline_id", "release", "seq"], **where("release <> ''"))
    op.create_index(
        "uq_events_dedupe_key", "events", ["pipeline_id", "dedupe_key"], unique=True, **where("dedupe_key IS NOT NULL")
    )
    op.create_table(
        "seen",
        sa.Column("pipeline_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.CheckConstraint("key <> ''", name="ck_seen_key"),
        sa.PrimaryKeyConstraint("pipeline_id", "key", name="pk_seen"),
    )
    op.create_index("ix_seen_at", "seen", ["at"])


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("seq", NUMBER, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("pipeline_id", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("schema", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("claimed_until", sa.BigInteger(), nullable=True),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("(state = 'claimed') = (claimed_until IS NOT NULL)", name="ck_outbox_lease"),
        sa.CheckConstraint("key <> '' AND lane <> ''", name="ck_outbox_named"),
        sa.CheckConstraint("state IN ('pending', 'claimed', 'done', 'buried')", name="ck_outbox_state"),
        sa.CheckConstraint("attempts >= 0 AND fence >= 0", name="ck_outbox_counts"),
        sa.ForeignKeyConstraint(["pipeline_id"], ["pipelines.id"], name="fk_outbox_pipeline_id"),
        sa.PrimaryKeyConstraint("seq", name="pk_outbox"),
        sa.UniqueConstraint("pipeline_id", "key", name="uq_outbox_pipeline_id_key"),
    )
    op.create_index("ix_outbox_buried", "outbox", ["seq"], **where("state = 'buried'"))
    op.create_index("ix_outbox_done", "outbox", ["created_at"], **where("state = 'done'"))
    op.create_index("ix_outbox_due", "outbox", ["due_at"], **where("state IN ('pending', 'claimed')"))
    op.create_index("ix_outbox_lane", "outbox", ["lane", "seq"], **where("state IN ('pending', 'claimed')"))
    op.create_index("uq_outbox_lane_claimed", "outbox", ["lane"], unique=True, **where("state = 'claimed'"))


def _records() -> None:
    op.create_table(
        "messages",
        sa.Column("pipeline_id", sa.Text(), nullable=False),
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("ts", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("channel <> '' AND ts <> '' AND purpose <> ''", name="ck_messages_named"),
        sa.PrimaryKeyConstraint("pipeline_id", "release", "purpose", name="pk_messages"),
        sa.UniqueConstraint("channel", "ts", name="uq_messages_channel_ts"),
    )
    op.create_table(
        "inbox",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("dedupe", sa.Text(), nullable=True),
        sa.CheckConstraint("dedupe <> ''", name="ck_inbox_dedupe"),
        sa.CheckConstraint("state IN ('waiting', 'done', 'kept')", name="ck_inbox_state"),
        sa.PrimaryKeyConstraint("id", name="pk_inbox"),
    )
    op.create_index("ix_inbox_received_at", "inbox", ["received_at"])
    op.create_index("ix_inbox_waiting", "inbox", ["id"], **where("state = 'waiting'"))
    op.create_index("uq_inbox_dedupe", "inbox", ["source", "dedupe"], unique=True, **where("dedupe IS NOT NULL"))
    op.create_table(
        "world",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("schema", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.CheckConstraint("revision >= 1", name="ck_world_revision"),
        sa.PrimaryKeyConstraint("revision", name="pk_world"),
    )
    op.create_table(
        "liveness",
        sa.Column("replica", sa.Text(), nullable=False),
        sa.Column("beat_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("replica", name="pk_liveness"),
    )
    op.create_table(
        "outages",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("from_at", sa.BigInteger(), nullable=False),
        sa.Column("until_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("until_at > from_at", name="ck_outages_order"),
        sa.PrimaryKeyConstraint("id", name="pk_outages"),
    )
    op.create_index("ix_outages_until_at", "outages", ["until_at"])
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("expires_at > created_at", name="ck_tokens_expiry"),
        sa.CheckConstraint("length(hash) = 64", name="ck_tokens_hash"),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("hash", name="uq_tokens_hash"),
    )
