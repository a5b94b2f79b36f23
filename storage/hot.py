"""The few statements of the hot path, as prepared SQL: the one place where speed beats comfort.

SQLAlchemy compiles each statement once for the dialect at hand; afterwards rows go straight to the driver, many at a
time: a lookup takes microseconds instead of a tenth of a millisecond (`bench/transitions.py`), and the SQL stays right
for every dialect without being written twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    ARRAY,
    Connection,
    Dialect,
    Text,
    and_,
    bindparam,
    cast,
    exists,
    func,
    insert,
    literal_column,
    null,
    or_,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement

from core.releases.effects import RefreshCard
from storage import dialects, turns
from storage.tables import OPEN, events, outbox, pipelines, seen

Row = tuple[Any, ...]


class Prepared:
    """A statement compiled for one dialect; rows are tuples in the order of `names`. Errors are SQLAlchemy's."""

    def __init__(self, statement: ClauseElement, dialect: Dialect, names: Sequence[str]) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self._sql = str(compiled)
        self._dialect = dialect
        self._errors = dialect.loaded_dbapi.Error
        self._names = tuple(f"b_{name}" for name in names)
        assert set(compiled.params) == set(self._names), f"{set(compiled.params)} is not {set(self._names)}"
        order: Sequence[str] | None = compiled.positiontup
        self._places = None if order is None else tuple(self._names.index(name) for name in order)
        self._is_straight = self._places == tuple(range(len(self._names)))

    def _bind(self, row: Row) -> Any:
        if self._is_straight:
            return row
        if self._places is None:
            return dict(zip(self._names, row, strict=True))
        return tuple(row[place] for place in self._places)

    def rows(self, connection: Connection, row: Row) -> list[Row]:
        """Run it with one row; what it returns."""
        # Written out, as in `many`: a `with` around it would take longer than what it guards.
        cursor = cursor_of(connection)
        try:
            cursor.execute(self._sql, self._bind(row))
            found: list[Row] = cursor.fetchall()
        except self._errors as error:
            raise self._wrapped(error) from error
        finally:
            cursor.close()
        return found

    def many(self, connection: Connection, rows: Sequence[Row]) -> int:
        """Run it with many rows; how many it touched."""
        cursor = cursor_of(connection)
        try:
            if len(rows) == 1:
                cursor.execute(self._sql, self._bind(rows[0]))
            else:
                cursor.executemany(self._sql, [self._bind(row) for row in rows])
            return int(cursor.rowcount)
        except self._errors as error:
            raise self._wrapped(error) from error
        finally:
            cursor.close()

    def each(self, connection: Connection, rows: Sequence[Row]) -> list[int | None]:
        """Insert rows one by one: the number that SQLite gave to each, None for those that were there before."""
        cursor = cursor_of(connection)
        numbers: list[int | None] = []
        try:
            for row in rows:
                cursor.execute(self._sql, self._bind(row))
                numbers.append(cursor.lastrowid if cursor.rowcount == 1 else None)
        except self._errors as error:
            raise self._wrapped(error) from error
        finally:
            cursor.close()
        return numbers

    def say(self, connection: Connection) -> None:
        """Run it, where it takes no row and returns nothing."""
        self.many(connection, _NO_ROW)

    def _wrapped(self, error: Exception) -> DBAPIError:
        wrapped = DBAPIError.instance(self._sql, None, error, self._errors, hide_parameters=True, dialect=self._dialect)
        assert isinstance(wrapped, DBAPIError)
        return wrapped


_NO_ROW: Sequence[Row] = ((),)


def cursor_of(connection: Connection) -> Any:
    """A cursor of the driver's own."""
    driver: Any = connection.connection.dbapi_connection
    return driver.cursor()


class Block:
    """A transaction on a connection of ours, said in plain words: SQLAlchemy's own takes longer than a statement."""

    def __init__(self, dialect: Dialect, begin: str) -> None:
        self._begin, self._commit, self._rollback = (
            Prepared(text(words), dialect, ()) for words in (begin, "COMMIT", "ROLLBACK")
        )

    @contextmanager
    def within(self, connection: Connection) -> Iterator[None]:
        """Whatever is raised inside, or by the commit, undoes everything."""
        self._begin.say(connection)
        try:
            yield
            self._commit.say(connection)
        except BaseException:
            driver: Any = connection.connection.dbapi_connection
            # A disk that is full has ended it already.
            if driver.in_transaction:
                self._rollback.say(connection)
            raise


EVENT = tuple(c.name for c in events.columns if c.name != "id")
OUTBOX = turns.INSERTED
SEEN = tuple(c.name for c in seen.columns)
CLAIMED = tuple(outbox.c[name] for name in turns.CLAIMED)
MOVED = ("version", "chain", "wake_at")
SNAPSHOT = ("schema", "state", "definition_revision")


class Statements:
    """Every prepared statement, for one dialect; what each row must hold stands beside it."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._said: dict[str, Prepared] = {}
        self.insert_event = Prepared(insert(events).inline().values(_binds(EVENT)), dialect, EVENT)
        self.insert_seen = Prepared(insert(seen).inline().values(_binds(SEEN)), dialect, SEEN)
        effects = dialects.insert_or_ignore(outbox, dialect.name).inline().values(_binds(OUTBOX))
        self.insert_effect = Prepared(effects, dialect, OUTBOX)
        self.stands = Prepared(turns.stands(dialect.name), dialect, ("lanes",))
        taken = ("key", "body", "schema", "due_at")
        supersede = update(outbox).where(outbox.c.seq == _b("seq")).values(_binds(taken))
        self.supersede = Prepared(supersede, dialect, (*taken, "seq"))
        self.earlier = Prepared(_earlier(), dialect, ("pipeline_id", "key"))

        unmoved = (pipelines.c.id == _b("id"), pipelines.c.version == _b("old_version"))
        save = update(pipelines).where(*unmoved).values(_binds((*MOVED, *SNAPSHOT)))
        self.save = Prepared(save, dialect, (*MOVED, *SNAPSHOT, "id", "old_version"))
        advance = update(pipelines).where(*unmoved).values(_binds(MOVED))
        self.advance = Prepared(advance, dialect, (*MOVED, "id", "old_version"))

        self.claim = Prepared(_claim(dialect.name), dialect, ("now", "until", "most"))
        self.turns = Prepared(turns.turns(dialect.name), dialect, ("now", "lanes"))
        self.take = Prepared(turns.take(dialect.name), dialect, ("now", "until", "seqs"))
        self.end_all = Prepared(turns.end(dialect.name), dialect, ("seqs", "held"))
        held = (outbox.c.seq == _b("seq"), outbox.c.state == _word("claimed"), outbox.c.fence == _b("fence"))
        end = update(outbox).where(*held).values(claimed_until=null(), **_binds(("state", "last_error")))
        self.end = Prepared(end, dialect, ("state", "last_error", "seq", "fence"))
        postponed = ("last_error", "due_at", "attempts")
        postpone = update(outbox).where(*held)
        postpone = postpone.values(claimed_until=null(), state=_word("pending"), **_binds(postponed))
        self.postpone = Prepared(postpone, dialect, (*postponed, "seq", "fence"))
        first = (
            select(outbox.c.due_at)
            .where(text(OPEN), _is_head())
            .order_by(outbox.c.due_at)
            .limit(_number(1))
            .offset(_number(0))
        )
        self.next_due = Prepared(first, dialect, ())

    def say(self, connection: Connection, words: str) -> None:
        """Say something that takes no row and returns nothing; of few different ones."""
        said = self._said.get(words)
        if said is None:
            said = self._said[words] = Prepared(text(words), self._dialect, ())
        said.say(connection)


def _b(name: str) -> Any:
    # Prefixed, because SQLAlchemy keeps the bare names of columns for itself in INSERT and UPDATE.
    return bindparam(f"b_{name}")


def _binds(names: Sequence[str]) -> dict[str, Any]:
    return {name: _b(name) for name in names}


def _word(word: str) -> Any:
    """A constant written into the SQL, so that the planner sees that a partial index applies."""
    return literal_column(f"'{word}'")


def _number(number: int) -> Any:
    return literal_column(str(number))


def _earlier() -> ClauseElement:
    """The answer that was given to a delivery when it came first: (answer, was it refused)."""
    event = select(events.c.answer, events.c.refused).where(
        events.c.pipeline_id == _b("pipeline_id"), events.c.dedupe_key == _b("key")
    )
    silent = select(seen.c.answer, literal_column("1 = 0")).where(
        seen.c.pipeline_id == _b("pipeline_id"), seen.c.key == _b("key")
    )
    return union_all(event, silent)


def _leased() -> dict[str, Any]:
    return {
        "state": _word("claimed"),
        "attempts": outbox.c.attempts + _number(1),
        "fence": outbox.c.fence + _number(1),
        "claimed_until": _b("until"),
        "due_at": _b("until"),
    }


def _is_head(now: Any = None) -> Any:
    """Whether it is its lane's turn: it was claimed, or nothing is and nothing that is still open stands before it.

    A card that was put off (its edits keep their distance) holds up nobody: it is drawn as things are when its time
    comes, and a card that can be put off is there already for its thread to hang on. One that failed does hold up.
    When its time comes while a sentence behind it is being delivered, it waits for that: a lane has one claim.
    """
    before, holder = outbox.alias("earlier"), outbox.alias("holder")
    still_open = before.c.state.in_([_word("pending"), _word("claimed")])
    put_off = [
        before.c.kind == _word(RefreshCard.__name__),
        before.c.state == _word("pending"),
        before.c.attempts == _number(0),
    ]
    if now is not None:
        put_off.append(before.c.due_at > now)
    is_behind = exists().where(before.c.lane == outbox.c.lane, before.c.seq < outbox.c.seq, still_open, ~and_(*put_off))
    is_held = exists().where(holder.c.lane == outbox.c.lane, holder.c.state == _word("claimed"))
    return or_(outbox.c.state == _word("claimed"), and_(~is_held, ~is_behind))


def claim_among(dialect: str) -> ClauseElement:
    """Lease the heads of these lanes that are due; for databases that know arrays."""
    return _claim(dialect, outbox.c.lane == func.any(cast(_b("lanes"), ARRAY(Text))))


def _claim(dialect: str, *which: Any) -> ClauseElement:
    """Lease the heads of lanes that are due.

    The test of state and time stands in the outer WHERE too: on PostgreSQL a replica that waited for the row looks at
    it again there, and then takes nothing.
    """
    is_open = outbox.c.state.in_([_word("pending"), _word("claimed")])
    is_due = outbox.c.due_at <= _b("now")
    heads = (
        select(outbox.c.seq).where(is_open, is_due, *which, _is_head(_b("now"))).order_by(outbox.c.due_at, outbox.c.seq)
    )
    heads = dialects.skip_locked(heads.limit(_b("most")).offset(_number(0)), dialect)
    chosen = dialects.chosen_once(heads, dialect)
    return (
        update(outbox)
        .where(outbox.c.seq.in_(chosen), is_open, is_due)
        .values(**_leased())
        .returning(*CLAIMED, dialects.version_of(outbox.c.pipeline_id, dialect))
    )
