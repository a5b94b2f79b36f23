"""The store and its transactions: states, events in their chains, and what must be delivered, written together.

A `Transaction` gathers what `append`, `create`, `rewake` and `put_effects` are given and writes it in a few statements
when it ends (or when anything reads through it), so that a hundred decisions cost little more than one. It knows
nothing of rules: whoever decides hands it the new state.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Connection, Engine, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from core.releases.effects import Effect
from core.releases.state import PipelineState
from core.releases.world import World
from storage import chain, dialects, hot
from storage.acts import Acts
from storage.codec import Codec, StoredDefinitions
from storage.entries import Entry, Head, linked
from storage.errors import StorageUnavailable, VersionConflict
from storage.history import History
from storage.installations import Installations
from storage.instants import from_number_or_none, to_number, to_number_or_none
from storage.lanes import Birth, Born, Lanes
from storage.migrate import migrate
from storage.records import Inbox, Liveness, Messages, Tokens, Worlds
from storage.tables import definitions, pipelines

if TYPE_CHECKING:
    from storage.shared import Shared


@dataclass(frozen=True, slots=True)
class Loaded:
    """A pipeline as it is stored."""

    state: PipelineState
    head: Head
    wake_at: datetime | None
    text: str = field(default="", compare=False)
    """The state as it is stored; empty where this version would write it in another way."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What was answered when a delivery came first."""

    answer: str
    refused: bool


@dataclass(slots=True)
class Change:
    """The end of a pipeline's row in this transaction."""

    old_version: int
    head: Head
    wake_at: datetime | None
    state: PipelineState | None


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a transaction has to write; rows in the orders of `hot`."""

    changes: Mapping[str, Change]
    events: Sequence[hot.Row]
    seen: Sequence[hot.Row]
    effects: Sequence[hot.Row]
    objects: Sequence[Effect]
    """The effects themselves, in the order of their rows."""


class Transaction:
    """One unit of work. Not thread-safe; ends with the `with` block of `Store.transaction`."""

    is_shared = False
    """Whether other processes, perhaps of another version, work on the same database."""

    def __init__(self, connection: Connection, codec: Codec, statements: hot.Statements) -> None:
        self.codec = codec
        self.statements = statements
        self._connection = connection
        self._depth = 0
        self._changes: dict[str, Change] = {}
        self._events: list[hot.Row] = []
        self._seen: list[hot.Row] = []
        self._effects: list[hot.Row] = []
        self._objects: list[Effect] = []
        self._is_expecting = False
        self.birth: Birth | None = None
        """Effects that find their lane free are claimed in this transaction, for whoever set this to deliver."""
        self.born = Born()

    @property
    def connection(self) -> Connection:
        """The connection, with everything gathered so far written: whoever reads through it sees it."""
        self.flush()
        return self._connection

    @property
    def _straight(self) -> Connection:
        """The connection, for writing past what is gathered."""
        return self._connection

    def expect(self, deliveries: Sequence[tuple[str, str]]) -> None:
        """These (pipeline, key) are about to be asked about by `earlier`: a database far away finds all in one go."""
        self._is_expecting = bool(deliveries)

    def confirm(self, pipeline_id: str, head: Head, world: World) -> None:
        """Something is being decided on this; where others write too, it must still be so when it is written."""

    def finish(self) -> None:
        """Write what is left; the last thing before the end."""
        self.flush()

    # ---- pipelines and their events ---------------------------------------------------------------------------------

    def load(self, pipeline_id: str) -> Loaded | None:
        """One pipeline, or None if there is none of this name."""
        return next(iter(self._load(pipelines.c.id == pipeline_id)), (None, None))[1]

    def load_all(self) -> dict[str, Loaded]:
        """Every pipeline, by id."""
        found: dict[str, Loaded] = {}
        while part := self.load_part(next(reversed(found), "")):
            found |= part
        return found

    def load_some(self, names: Collection[str]) -> dict[str, Loaded]:
        """Of these pipelines the ones that are there, by id."""
        return dict(self._load(pipelines.c.id.in_(names)))

    def load_part(self, after: str, most: int = 64) -> dict[str, Loaded]:
        """Up to so many pipelines, those whose ids follow this one in the order of the database."""
        return dict(self._load(pipelines.c.id > after, most))

    def _load(self, which: ColumnElement[bool], most: int | None = None) -> Iterator[tuple[str, Loaded]]:
        rows = select(pipelines).where(which).order_by(pipelines.c.id).limit(most)
        # Definitions after the rows that name them: another replica may be writing in between.
        found = self.connection.execute(rows).all()
        bodies = select(definitions).where(definitions.c.pipeline_id.in_([row.id for row in found]))
        texts = {(d.pipeline_id, d.revision): (d.body, d.schema) for d in self.connection.execute(bodies)}
        for row in found:
            known = StoredDefinitions(self.codec, row.id, texts)
            state = self.codec.decode_state(row.state, row.schema, row.definition_revision, known)
            text = row.state if row.schema == self.codec.schema else ""
            yield row.id, Loaded(state, Head(row.version, row.chain), from_number_or_none(row.wake_at), text)

    def due(self, now: datetime) -> Sequence[str]:
        """The pipelines that want to be woken by now, earliest first."""
        query = select(pipelines.c.id).where(pipelines.c.wake_at <= to_number(now)).order_by(pipelines.c.wake_at)
        return tuple(self.connection.execute(query).scalars())

    def earlier(self, pipeline_id: str, key: str, *, leaves_event: bool = False) -> Earlier | None:
        """The answer given when this delivery came first, or None.

        `leaves_event`: whatever is decided on it, an event will carry its key. Such a delivery is taken for new without
        asking, unless it was expected: a repeat is refused where it is written, and decided again.
        """
        if leaves_event and not self._is_expecting:
            return None
        found = self.statements.earlier.rows(self._connection, (pipeline_id, key))
        return Earlier(found[0][0], bool(found[0][1])) if found else None

    def create(self, state: PipelineState, entry: Entry, wake_at: datetime | None) -> Head:
        """A new pipeline and its first event. The row is written at once, because events refer to it."""
        revision = state.definition.revision
        self._put_definitions(state, before=None)
        head = self._link(state.id, Head(0, chain.START), entry)
        row = {
            "id": state.id,
            "version": head.version,
            "chain": head.chain,
            "wake_at": to_number_or_none(wake_at),
            "schema": self.codec.schema,
            "state": self.codec.encode_state(state),
            "definition_revision": revision,
        }
        created = dialects.insert_or_ignore(pipelines, self._connection.dialect.name).returning(pipelines.c.id)
        if self._straight.execute(created, row).first() is None:
            raise VersionConflict
        return head

    def append(
        self,
        pipeline_id: str,
        head: Head,
        entry: Entry,
        *,
        before: PipelineState,
        after: PipelineState,
        wake_at: datetime | None,
    ) -> Head:
        """Record an event after `head`, and the state that follows; returns the new head.

        That the stored version still is `head`'s is checked when it is written: VersionConflict.
        """
        new = self._link(pipeline_id, head, entry)
        if after is not before:
            self._put_definitions(after, before=before)
        change = self._change(pipeline_id, head, wake_at)
        change.head = new
        change.state = after if after is not before else change.state
        return new

    def rewake(self, pipeline_id: str, head: Head, wake_at: datetime | None) -> None:
        """Change nothing but when the pipeline wants to be woken."""
        self._change(pipeline_id, head, wake_at)

    def put_seen(self, pipeline_id: str, key: str, at: datetime, answer: str) -> None:
        """Remember a delivery that left no event; `pipeline_id` may be empty."""
        self._seen.append((pipeline_id, key, to_number(at), chain.plain(answer)))

    def put_effects(self, pipeline_id: str, effects: Sequence[Effect], at: datetime) -> None:
        """Have these delivered, due at once. Keys are unique within a pipeline; raises KeyReused when written."""
        self._effects.extend(self.outbox_rows(pipeline_id, effects, at))
        self._objects.extend(effects)

    def outbox_rows(self, pipeline_id: str, effects: Sequence[Effect], at: datetime) -> list[hot.Row]:
        """Effects as rows; raises CodecError before anything is written."""
        return Lanes.rows(self.codec, pipeline_id, effects, to_number(at))

    def _change(self, pipeline_id: str, head: Head, wake_at: datetime | None) -> Change:
        change = self._changes.get(pipeline_id)
        if change is None:
            change = self._changes[pipeline_id] = Change(head.version, head, wake_at, None)
        change.wake_at = wake_at
        return change

    def _link(self, pipeline_id: str, head: Head, entry: Entry) -> Head:
        new, row = linked(pipeline_id, head, entry, self.codec.schema)
        self._events.append(row)
        return new

    def _put_definitions(self, state: PipelineState, before: PipelineState | None) -> None:
        stored = () if before is None else (before.definition, *before.pinned)
        known = {d.revision for d in stored}
        new = [d for d in (state.definition, *state.pinned) if d.revision not in known]
        for definition in new:
            row = {
                "pipeline_id": state.id,
                "revision": definition.revision,
                "schema": self.codec.schema,
                "body": self.codec.encode_definition(definition),
            }
            self._straight.execute(dialects.insert_or_ignore(definitions, self._connection.dialect.name), row)

    def flush(self) -> None:
        """Write what was gathered. Raises VersionConflict, KeyReused or the database's errors."""
        if not (self._changes or self._events or self._seen or self._effects):
            return
        gathered = Gathered(self._changes, self._events, self._seen, self._effects, self._objects)
        self._changes, self._events, self._seen, self._effects, self._objects = {}, [], [], [], []
        self._write(gathered)

    def _write(self, gathered: Gathered) -> None:
        self._flush_changes(gathered.changes)
        if gathered.events:
            self._insert_events(gathered.events)
        if gathered.seen:
            self.statements.insert_seen.many(self._connection, gathered.seen)
        if gathered.effects:
            birth = self.birth and replace(self.birth, room=self.birth.room - len(self.born.claims))
            born = self.outbox.insert(gathered.effects, gathered.objects, birth)
            self.born.claims += born.claims
            self.born.lanes |= born.lanes

    def _insert_events(self, events: Sequence[hot.Row]) -> None:
        try:
            self.statements.insert_event.many(self._connection, events)
        except IntegrityError as error:
            if not self._is_expecting and "dedupe_key" in str(error.orig):
                raise VersionConflict from error  # one of them came before: decided again, it is known
            raise

    def _flush_changes(self, changes: Mapping[str, Change]) -> None:
        saves: list[hot.Row] = []
        moves: list[hot.Row] = []
        for pipeline_id, change in changes.items():
            moved = (change.head.version, change.head.chain, to_number_or_none(change.wake_at))
            where = (pipeline_id, change.old_version)
            if change.state is None:
                moves.append((*moved, *where))
            else:
                state = change.state
                snapshot = (self.codec.schema, self.codec.encode_state(state), state.definition.revision)
                saves.append((*moved, *snapshot, *where))
        for statement, rows in ((self.statements.save, saves), (self.statements.advance, moves)):
            if rows and statement.many(self._connection, rows) != len(rows):
                raise VersionConflict

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Work that can fail alone: an error undoes what was written inside, and nothing before it."""
        connection = self.connection
        self._depth += 1
        name = f"piece_{self._depth}"
        claims, lanes = len(self.born.claims), frozenset(self.born.lanes)
        # Said plainly, because SQLAlchemy's own nested transactions compile these words anew each time.
        say = self.statements.say
        say(connection, f"SAVEPOINT {name}")
        try:
            yield
            self.flush()
        except BaseException:
            say(connection, f"ROLLBACK TO SAVEPOINT {name}")
            del self.born.claims[claims:]
            self.born.lanes &= lanes
            raise
        finally:
            say(connection, f"RELEASE SAVEPOINT {name}")
            self._depth -= 1

    # ---- the rest ---------------------------------------------------------------------------------------------------

    # Made anew each time: one that was kept would hold the transaction that holds it, and only the collector of
    # garbage would ever find the two.

    @property
    def outbox(self) -> Lanes:
        """Effects to be delivered."""
        return Lanes(self)

    @property
    def history(self) -> History:
        """What happened."""
        return History(self)

    @property
    def messages(self) -> Messages:
        """Where messages can be found again."""
        return Messages(self)

    @property
    def acts(self) -> Acts:
        """What was done to the organisation."""
        return Acts(self)

    @property
    def inbox(self) -> Inbox:
        """Webhooks, stored first."""
        return Inbox(self)

    @property
    def worlds(self) -> Worlds:
        """What pipelines share."""
        return Worlds(self)

    @property
    def liveness(self) -> Liveness:
        """When Andon was looking, and when not."""
        return Liveness(self)

    @property
    def installations(self) -> Installations:
        """Where the Slack app was installed by OAuth."""
        return Installations(self)

    @property
    def tokens(self) -> Tokens:
        """Who may use the HTTP API."""
        return Tokens(self)


class Store:
    """A database: opened, brought up to date, locked against a second process where it is a file."""

    def __init__(self, url: str, *, codec: Codec | None = None, replica: str = "") -> None:
        """`replica` names this process among others on one PostgreSQL. Raises StoreLocked, StorageError."""
        parsed = dialects.parse_url(url)
        self.codec = codec or Codec()
        self.shared: Shared | None = None
        """What several processes on one database need; None for a SQLite file, which one process has to itself."""
        self._turn = threading.Lock()
        self._held: Connection | None = None
        self._lock = dialects.lock(parsed)
        try:
            self._open(parsed, replica)
        except SQLAlchemyError as error:
            self.close()
            msg = f"The database cannot be opened: {dialects.reason(error)}."
            raise StorageUnavailable(msg) from None
        except BaseException:
            self.close()
            raise

    def _open(self, url: URL, replica: str) -> None:
        if dialects.is_sqlite(url):
            self._writer: Engine = dialects.writing_engine(url)
            self._reader: Engine = dialects.reading_engine(url)
            migrate(self._writer)
            self._statements = hot.Statements(self._writer.dialect)
            self._block = hot.Block(self._writer.dialect, dialects.WRITING)
        else:
            # The driver takes a tenth of a second to load; whoever works on a file does without.
            from storage.shared import Shared

            self.shared = Shared(url, self.codec, replica)

    @property
    def is_exclusive(self) -> bool:
        """Whether no other process can be working on it."""
        return self.shared is None

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Work that is written as a whole when the block ends, or not at all."""
        if self.shared is not None:
            with self.shared.transaction() as shared:
                yield shared
            return
        with self._turn:
            # Kept from one to the next: to take it from the pool and give it back costs as much as a statement.
            if self._held is None:
                self._held = self._writer.connect().execution_options(**{dialects.SAYS_BEGIN: True})
            with self._block.within(self._held):
                transaction = Transaction(self._held, self.codec, self._statements)
                yield transaction
                transaction.finish()

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A look at what is committed, beside the writer. Raises StorageUnavailable."""
        if self.shared is not None:
            with self.shared.reading() as shared:
                yield shared
            return
        with self._reader.connect() as connection, connection.begin():
            yield Transaction(connection, self.codec, self._statements)

    def tidy(self) -> None:
        """Copy SQLite's log back into the file as far as nobody is in the way; may be done on any thread."""
        if self.shared is not None:
            return
        with contextlib.closing(self._reader.raw_connection()) as connection:
            connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)")

    def verify(self, pipeline_id: str) -> int | None:
        """The number of the first event that was changed, removed or put in; None if history is whole."""
        with self.reading() as transaction:
            return transaction.history.verify(pipeline_id)

    def close(self) -> None:
        """Close every connection and let go of the file."""
        if self.shared is not None:
            self.shared.close()
        if self._held is not None:
            self._held.close()
        for engine in (getattr(self, "_writer", None), getattr(self, "_reader", None)):
            if engine is not None:
                engine.dispose()
        if self._lock is not None:
            self._lock.release()


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return make_url("sqlite://").set(database=str(path)).render_as_string()
