"""The definitions a pipeline ever had can be found among its events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Expand only."""
    is_definition = sa.text("kind = 'DefinitionApplied'")
    op.create_index(
        "ix_events_definitions",
        "events",
        ["pipeline_id", "seq"],
        sqlite_where=is_definition,
        postgresql_where=is_definition,
    )
