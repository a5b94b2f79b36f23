"""Where the Slack app was installed by OAuth, and installations that were begun."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Two new tables; nothing else changes."""
    op.create_table(
        "slack_installations",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("installed_by", sa.Text(), nullable=False),
        sa.Column("installed_at", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("renewing_until", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_why", sa.Text(), nullable=False),
        sa.CheckConstraint("client_id <> '' AND team_id <> ''", name="ck_slack_installations_named"),
        sa.CheckConstraint("(ended_at IS NULL) = (ended_why = '')", name="ck_slack_installations_end"),
        sa.CheckConstraint("(ended_at IS NULL) = (length(sealed) > 0)", name="ck_slack_installations_sealed"),
        sa.PrimaryKeyConstraint("id", name="pk_slack_installations"),
    )
    in_force = sa.text("ended_at IS NULL")
    op.create_index(
        "uq_slack_installations_in_force",
        "slack_installations",
        ["client_id"],
        unique=True,
        sqlite_where=in_force,
        postgresql_where=in_force,
    )
    op.create_table(
        "slack_install_states",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("length(hash) = 64", name="ck_slack_install_states_hash"),
        sa.PrimaryKeyConstraint("hash", name="pk_slack_install_states"),
    )
