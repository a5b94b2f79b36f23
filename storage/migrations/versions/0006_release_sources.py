"""Requests of release sources, kept until their builds are announced, and for a while after."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Expand only."""
    op.create_table(
        "source_requests",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("dedupe", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("state IN ('waiting', 'announced', 'ignored', 'kept')", name="ck_source_requests_state"),
        sa.CheckConstraint("source <> '' AND dedupe <> ''", name="ck_source_requests_named"),
        sa.CheckConstraint("attempts >= 0", name="ck_source_requests_attempts"),
        sa.PrimaryKeyConstraint("id", name="pk_source_requests"),
    )
    _index("uq_source_requests_dedupe", ["source", "dedupe"], "dedupe IS NOT NULL", is_unique=True)
    _index("ix_source_requests_due", ["due_at"], "state = 'waiting'")
    _index("ix_source_requests_kept", ["id"], "state = 'kept'")
    op.create_index("ix_source_requests_received_at", "source_requests", ["received_at"])


def _index(name: str, columns: list[str], where: str, *, is_unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(
        name, "source_requests", columns, unique=is_unique, sqlite_where=condition, postgresql_where=condition
    )
