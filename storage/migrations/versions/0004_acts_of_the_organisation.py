"""Acts of the organisation, in a chain of their own; overrides can be found by their time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Expand only."""
    op.create_table(
        "acts",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("schema", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("refused", sa.Boolean(), nullable=False),
        sa.Column("dedupe_key", sa.Text(), nullable=True),
        sa.Column("world_revision", sa.BigInteger(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.CheckConstraint("seq >= 1", name="ck_acts_seq"),
        sa.CheckConstraint("kind <> ''", name="ck_acts_kind"),
        sa.CheckConstraint("dedupe_key <> ''", name="ck_acts_dedupe_key"),
        sa.CheckConstraint("length(digest) = 64 AND length(chain) = 64", name="ck_acts_hashes"),
        sa.PrimaryKeyConstraint("seq", name="pk_acts"),
    )
    is_given = sa.text("dedupe_key IS NOT NULL")
    op.create_index(
        "uq_acts_dedupe_key", "acts", ["dedupe_key"], unique=True, sqlite_where=is_given, postgresql_where=is_given
    )
    is_override = sa.text("kind = 'OverrideRequested'")
    op.create_index("ix_events_overrides", "events", ["at"], sqlite_where=is_override, postgresql_where=is_override)
