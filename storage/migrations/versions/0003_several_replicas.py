"""What several replicas on one PostgreSQL need: counts of batches, duties, turns of periodic jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Expand only: replicas of the version before go on beside this."""
    op.create_table(
        "commits",
        sa.Column("replica", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("replica <> ''", name="ck_commits_named"),
        sa.CheckConstraint("number >= 0", name="ck_commits_number"),
        sa.PrimaryKeyConstraint("replica", name="pk_commits"),
    )
    op.create_table(
        "duties",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("name <> '' AND holder <> ''", name="ck_duties_named"),
        sa.PrimaryKeyConstraint("name", name="pk_duties"),
    )
    op.create_table(
        "firings",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("replica", sa.Text(), nullable=False),
        sa.CheckConstraint("job <> '' AND replica <> ''", name="ck_firings_named"),
        sa.PrimaryKeyConstraint("job", name="pk_firings"),
    )
