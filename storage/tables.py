"""The tables, with every constraint written out: the database refuses what the code must not do.

Instants are whole microseconds since 1970 in UTC (`instants.py`): they compare alike on every database and never lose
their zone. Text of our own making is JSON with a schema number beside it (`codec.py`).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite numbers rows by itself only in a column that is exactly INTEGER.
Number = BigInteger().with_variant(Integer(), "sqlite")

definitions = Table(
    "definitions",
    metadata,
    Column("pipeline_id", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("schema", Integer, nullable=False),
    Column("body", Text, nullable=False),
    PrimaryKeyConstraint("pipeline_id", "revision"),
)
"""Each definition once; snapshots name revisions only."""

pipelines = Table(
    "pipelines",
    metadata,
    Column("id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("chain", Text, nullable=False),
    Column("wake_at", BigInteger),
    Column("schema", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("definition_revision", Text, nullable=False),
    CheckConstraint("id <> ''", name="named"),
    CheckConstraint("version >= 1", name="version"),
    CheckConstraint("length(chain) = 64", name="chain"),
    ForeignKeyConstraint(["id", "definition_revision"], ["definitions.pipeline_id", "definitions.revision"]),
    Index(
        "ix_pipelines_wake_at",
        "wake_at",
        sqlite_where=text("wake_at IS NOT NULL"),
        postgresql_where=text("wake_at IS NOT NULL"),
    ),
)
"""One row an aggregate. `version` is the number of its last event, `chain` its link: a missing end is found."""

events = Table(
    "events",
    metadata,
    Column("id", Number, primary_key=True),
    Column("pipeline_id", Text, ForeignKey("pipelines.id"), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("actor_name", Text, nullable=False),
    Column("via", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("schema", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("sentence", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("refused", Boolean, nullable=False),
    Column("dedupe_key", Text),
    Column("world_revision", BigInteger, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("digest", Text, nullable=False),
    Column("chain", Text, nullable=False),
    UniqueConstraint("pipeline_id", "seq"),
    CheckConstraint("seq >= 1", name="seq"),
    CheckConstraint("kind <> ''", name="kind"),
    CheckConstraint("dedupe_key <> ''", name="dedupe_key"),
    CheckConstraint("length(digest) = 64 AND length(chain) = 64", name="hashes"),
    Index(
        "uq_events_dedupe_key",
        "pipeline_id",
        "dedupe_key",
        unique=True,
        sqlite_where=text("dedupe_key IS NOT NULL"),
        postgresql_where=text("dedupe_key IS NOT NULL"),
    ),
    Index(
        "ix_events_release",
        "pipeline_id",
        "release",
        "seq",
        sqlite_where=text("release <> ''"),
        postgresql_where=text("release <> ''"),
    ),
    Index(
        "ix_events_definitions",
        "pipeline_id",
        "seq",
        sqlite_where=text("kind = 'DefinitionApplied'"),
        postgresql_where=text("kind = 'DefinitionApplied'"),
    ),
    Index(
        "ix_events_overrides",
        "at",
        sqlite_where=text("kind = 'OverrideRequested'"),
        postgresql_where=text("kind = 'OverrideRequested'"),
    ),
)
"""Everything that happened, refusals included; a hash chain for each pipeline (`chain.py`)."""

acts = Table(
    "acts",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("actor_name", Text, nullable=False),
    Column("via", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("schema", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("sentence", Text, nullable=False),
    Column("refused", Boolean, nullable=False),
    Column("dedupe_key", Text),
    Column("world_revision", BigInteger, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("digest", Text, nullable=False),
    Column("chain", Text, nullable=False),
    CheckConstraint("seq >= 1", name="seq"),
    CheckConstraint("kind <> ''", name="kind"),
    CheckConstraint("dedupe_key <> ''", name="dedupe_key"),
    CheckConstraint("length(digest) = 64 AND length(chain) = 64", name="hashes"),
    Index(
        "uq_acts_dedupe_key",
        "dedupe_key",
        unique=True,
        sqlite_where=text("dedupe_key IS NOT NULL"),
        postgresql_where=text("dedupe_key IS NOT NULL"),
    ),
)
"""What was done to the organisation, not to one pipeline; a hash chain of its own (`acts.py`)."""

seen = Table(
    "seen",
    metadata,
    Column("pipeline_id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("answer", Text, nullable=False),
    PrimaryKeyConstraint("pipeline_id", "key"),
    CheckConstraint("key <> ''", name="key"),
    Index("ix_seen_at", "at"),
)
"""Deliveries that left no event; `pipeline_id` is empty for those that speak of no pipeline."""

OPEN = "state IN ('pending', 'claimed')"
"""What a lane still has to do; the very words of the partial indexes, so that the planner uses them."""
_OPEN = text(OPEN)

outbox = Table(
    "outbox",
    metadata,
    Column("seq", Number, primary_key=True),
    Column("key", Text, nullable=False),
    Column("pipeline_id", Text, ForeignKey("pipelines.id"), nullable=False),
    Column("lane", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("schema", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("claimed_until", BigInteger),
    Column("fence", BigInteger, nullable=False),
    Column("last_error", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("pipeline_id", "key"),
    CheckConstraint("state IN ('pending', 'claimed', 'done', 'buried')", name="state"),
    CheckConstraint("(state = 'claimed') = (claimed_until IS NOT NULL)", name="lease"),
    CheckConstraint("attempts >= 0 AND fence >= 0", name="counts"),
    CheckConstraint("key <> '' AND lane <> ''", name="named"),
    Index("ix_outbox_due", "due_at", sqlite_where=_OPEN, postgresql_where=_OPEN),
    Index("ix_outbox_lane", "lane", "seq", sqlite_where=_OPEN, postgresql_where=_OPEN),
    Index(
        "uq_outbox_lane_claimed",
        "lane",
        unique=True,
        sqlite_where=text("state = 'claimed'"),
        postgresql_where=text("state = 'claimed'"),
    ),
    Index(
        "ix_outbox_buried",
        "seq",
        sqlite_where=text("state = 'buried'"),
        postgresql_where=text("state = 'buried'"),
    ),
    Index(
        "ix_outbox_done",
        "created_at",
        sqlite_where=text("state = 'done'"),
        postgresql_where=text("state = 'done'"),
    ),
)
"""Effects. While one is claimed, `due_at` equals `claimed_until`: due means claimable, whichever state it is in."""

messages = Table(
    "messages",
    metadata,
    Column("pipeline_id", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("ts", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("pipeline_id", "release", "purpose"),
    UniqueConstraint("channel", "ts"),
    CheckConstraint("channel <> '' AND ts <> '' AND purpose <> ''", name="named"),
)
"""Where a card, a thread's root or a notice can be found again."""

inbox = Table(
    "inbox",
    metadata,
    Column("id", Number, primary_key=True),
    Column("source", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("headers", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("dedupe", Text),
    CheckConstraint("state IN ('waiting', 'done', 'kept')", name="state"),
    CheckConstraint("dedupe <> ''", name="dedupe"),
    Index(
        "uq_inbox_dedupe",
        "source",
        "dedupe",
        unique=True,
        sqlite_where=text("dedupe IS NOT NULL"),
        postgresql_where=text("dedupe IS NOT NULL"),
    ),
    Index(
        "ix_inbox_waiting",
        "id",
        sqlite_where=text("state = 'waiting'"),
        postgresql_where=text("state = 'waiting'"),
    ),
    Index("ix_inbox_received_at", "received_at"),
)
"""Webhooks, stored before they are answered; `kept` are authentic but not understood."""

source_requests = Table(
    "source_requests",
    metadata,
    Column("id", Number, primary_key=True),
    Column("source", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("headers", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("dedupe", Text),
    Column("attempts", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    CheckConstraint("state IN ('waiting', 'announced', 'ignored', 'kept')", name="state"),
    CheckConstraint("source <> '' AND dedupe <> ''", name="named"),
    CheckConstraint("attempts >= 0", name="attempts"),
    Index(
        "uq_source_requests_dedupe",
        "source",
        "dedupe",
        unique=True,
        sqlite_where=text("dedupe IS NOT NULL"),
        postgresql_where=text("dedupe IS NOT NULL"),
    ),
    Index(
        "ix_source_requests_due",
        "due_at",
        sqlite_where=text("state = 'waiting'"),
        postgresql_where=text("state = 'waiting'"),
    ),
    Index(
        "ix_source_requests_kept",
        "id",
        sqlite_where=text("state = 'kept'"),
        postgresql_where=text("state = 'kept'"),
    ),
    Index("ix_source_requests_received_at", "received_at"),
)
"""Webhooks of release sources; whoever works on one that waits first moves its `due_at` on."""

world = Table(
    "world",
    metadata,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("what", Text, nullable=False),
    Column("schema", Integer, nullable=False),
    Column("body", Text, nullable=False),
    CheckConstraint("revision >= 1", name="revision"),
)
"""What pipelines share, every revision kept: an event names the one it was decided with."""

liveness = Table(
    "liveness",
    metadata,
    Column("replica", Text, primary_key=True),
    Column("beat_at", BigInteger, nullable=False),
)

outages = Table(
    "outages",
    metadata,
    Column("id", Number, primary_key=True),
    Column("from_at", BigInteger, nullable=False),
    Column("until_at", BigInteger, nullable=False),
    CheckConstraint("until_at > from_at", name="order"),
    Index("ix_outages_until_at", "until_at"),
)

commits = Table(
    "commits",
    metadata,
    Column("replica", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    CheckConstraint("replica <> ''", name="named"),
    CheckConstraint("number >= 0", name="number"),
)
"""How many batches each replica has written: by that one is known whose answer was lost. SQLite needs none of it."""

duties = Table(
    "duties",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until_at", BigInteger, nullable=False),
    CheckConstraint("name <> '' AND holder <> ''", name="named"),
)
"""What one replica does for all, by lease: running the canaries, holding one of the connections to Slack."""

firings = Table(
    "firings",
    metadata,
    Column("job", Text, primary_key=True),
    Column("turn", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("replica", Text, nullable=False),
    CheckConstraint("job <> '' AND replica <> ''", name="named"),
)
"""The last turn of each periodic job, and who took it."""

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("hash", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    CheckConstraint("length(hash) = 64", name="hash"),
    CheckConstraint("expires_at > created_at", name="expiry"),
)
"""Tokens of the shell and of machines: only a hash of each; `scopes` is a sorted JSON list."""

installations = Table(
    "slack_installations",
    metadata,
    Column("id", Number, primary_key=True),
    Column("client_id", Text, nullable=False),
    Column("team_id", Text, nullable=False),
    Column("team", Text, nullable=False),
    Column("installed_by", Text, nullable=False),
    Column("installed_at", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("expires_at", BigInteger),
    Column("renewing_until", BigInteger),
    Column("ended_at", BigInteger),
    Column("ended_why", Text, nullable=False),
    CheckConstraint("client_id <> '' AND team_id <> ''", name="named"),
    CheckConstraint("(ended_at IS NULL) = (ended_why = '')", name="end"),
    CheckConstraint("(ended_at IS NULL) = (length(sealed) > 0)", name="sealed"),
    Index(
        "uq_slack_installations_in_force",
        "client_id",
        unique=True,
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)
"""Where the app was installed by OAuth: one workspace at a time. `sealed` holds its tokens, none once it is over."""

install_states = Table(
    "slack_install_states",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("expires_at", BigInteger, nullable=False),
    CheckConstraint("length(hash) = 64", name="hash"),
)
"""Installations that were begun: hashes of OAuth's `state`, each good once."""
