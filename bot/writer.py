"""One thread that writes: everything that waits goes into one commit, each piece able to fail alone.

What is asked in one turn of the loop is handed over together, and while one commit is under way the next pieces gather;
whoever is alone waits for nobody. A piece that raises a domain
error did so before it wrote anything, and the others go on. Any other error undoes the whole batch, and each piece is
then tried in a commit of its own, so that only the guilty one fails. Nothing is answered before it is on disk.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from core.errors import AndonError
from storage.dialects import explain
from storage.errors import StorageError, StorageUnavailable, VersionConflict
from storage.journal import Store, Transaction
from storage.lanes import Birth, Born

T = TypeVar("T")
Publish = Callable[[], None]

MOST_AT_ONCE = 256
MOST_WAITING = 100_000
TRIES = 3
"""How often a piece that met somebody else's change is decided anew."""
PATIENCE = 1.0
"""Seconds that the pieces of a failed batch are tried one by one, once the database proved unavailable."""


class Memory(Protocol):
    """What the owner keeps in memory of a batch; called on the writing thread."""

    def begin(self) -> None:
        """A batch begins, or begins again."""

    def look_again(self, transaction: Transaction, about: Sequence[tuple[str, str]]) -> None:
        """Something had changed meanwhile: what is decided on (pipeline, delivery) must be looked up, all in one go."""

    def undo(self) -> None:
        """Nothing of the batch was written."""

    def birth(self) -> Birth | None:
        """What may be claimed in the commit that decides it; None if nobody here delivers."""

    def commit(self, born: Born) -> Publish:
        """It is on disk; what is returned is called on the loop, before anybody is answered."""


class Writer:
    """The thread, and what waits for it."""

    def __init__(self, store: Store, book: Memory, checkpoint: Callable[[str], None], ended: Publish) -> None:
        self._store = store
        self._book = book
        self._checkpoint = checkpoint
        self._on_end = ended
        self._gathered: list[_Piece[Any]] = []
        self._waiting: queue.SimpleQueue[_Piece[Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._live, name="andon-writer", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Future[None] | None = None
        self._is_closing = False
        self._under_way: Sequence[_Piece[Any]] = ()
        self.crash: BaseException | None = None
        """What stopped the program dead, if anything did."""

    def start(self) -> None:
        """Begin; answers are given on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._thread.start()

    async def do(
        self, act: Callable[[Transaction], T], *, can_undo: bool = False, about: tuple[str, str] | None = None
    ) -> T:
        """Have it written, and wait until it is on disk.

        `can_undo`: the piece undoes what it wrote when it raises, whatever it raises. Else it raises domain errors
        before it writes anything. `about`: the pipeline it decides on, and the key of the delivery, or "".
        Raises StorageUnavailable, StorageError, and what `act` raises.
        """
        if self.crash is not None:
            raise self.crash
        if self._is_closing or self._loop is None:
            msg = "Andon is stopping. Nothing was recorded; try again in a moment."
            raise StorageUnavailable(msg)
        if self._waiting.qsize() > MOST_WAITING:
            msg = "Too much waits to be recorded. Nothing was recorded; try again in a moment."
            raise StorageUnavailable(msg)
        future: asyncio.Future[T] = self._loop.create_future()
        self._gathered.append(_Piece(act, future, can_undo=can_undo, about=about))
        if len(self._gathered) == 1:
            # The thread would begin with the first alone, and then fight the loop for the interpreter.
            self._loop.call_soon(self._hand_over)
        return await future

    def halt(self, crash: BaseException) -> None:
        """Stop dead, as if killed: nothing more is written, and whoever waits gets `crash`."""
        if self.crash is None:
            self.crash = crash
        self._hand_over()
        self._waiting.put(None)

    async def close(self) -> None:
        """Write what waits, then end the thread."""
        if self._ended is None or self._is_closing:
            return
        self._is_closing = True
        self._hand_over()
        self._waiting.put(None)
        await self._ended
        self._thread.join()

    def _hand_over(self) -> None:
        gathered, self._gathered = self._gathered, []
        for piece in gathered:
            self._waiting.put(piece)

    # ---- on the thread ----------------------------------------------------------------------------------------------

    def _live(self) -> None:
        carrier = _Carrier(BaseException)
        with carrier:
            while batch := self._take():
                # Noted first: whoever is in it must hear of a crash that came while it was taken.
                self._under_way = batch
                if self.crash is not None:
                    break
                self._write(batch)
        self.crash = self.crash or carrier.error
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._end)

    def _take(self) -> list[_Piece[Any]]:
        """Everything that waits; empty when it is time to end."""
        batch: list[_Piece[Any]] = []
        piece = self._waiting.get()
        while piece is not None:
            if not piece.future.cancelled():
                batch.append(piece)
            if len(batch) >= MOST_AT_ONCE:
                return batch
            try:
                piece = self._waiting.get_nowait()
            except queue.Empty:
                if batch:
                    return batch
                piece = self._waiting.get()
        if batch:
            self._waiting.put(None)
        return batch

    def _write(self, batch: Sequence[_Piece[Any]]) -> None:
        error = self._attempt(batch)
        for _ in range(TRIES - 1):
            if not isinstance(error, VersionConflict):
                break
            error = self._attempt(batch, is_again=True)
        if error is not None:
            give_up_at = time.monotonic() + PATIENCE
            unavailable: Exception | None = None
            for piece in batch:
                if unavailable is not None and time.monotonic() > give_up_at:
                    piece.error = unavailable
                    self._answer_later([piece], None)
                else:
                    error = self._write_alone(piece)
                    unavailable = error if isinstance(error, StorageUnavailable) else unavailable
        self._under_way = ()

    def _write_alone(self, piece: _Piece[Any]) -> Exception | None:
        error: Exception | None = None
        for _ in range(TRIES):
            error = self._attempt([piece], is_again=True)
            if not isinstance(error, VersionConflict):
                break
        if error is not None:
            error = explain(error) if isinstance(error, SQLAlchemyError) else error
            piece.error = error
            self._answer_later([piece], None)
        return error

    def _attempt(self, batch: Sequence[_Piece[Any]], *, is_again: bool = False) -> Exception | None:
        """Write a batch and have it answered, or return why nothing of it was written."""
        self._book.begin()
        carrier = _Carrier(Exception)
        born = Born()
        with carrier, self._store.transaction() as transaction:
            transaction.birth, transaction.born = self._book.birth(), born
            if is_again:
                self._book.look_again(transaction, [piece.about for piece in batch if piece.about is not None])
            # What needs the database in between goes first: what decides is gathered, and written in one go.
            for piece in (
                batch if self._store.is_exclusive else sorted(batch, key=lambda piece: piece.about is not None)
            ):
                piece.do(transaction)
            transaction.flush()
            self._checkpoint("commit:before")
            if self.crash is not None:
                raise self.crash
        if isinstance(carrier.error, Exception):
            self._book.undo()
            return carrier.error
        self._checkpoint("commit:after")
        self._answer_later(batch, self._book.commit(born))
        return None

    def _answer_later(self, batch: Sequence[_Piece[Any]], publish: Publish | None) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._answer, batch, publish)

    # ---- on the loop ------------------------------------------------------------------------------------------------

    def _answer(self, batch: Sequence[_Piece[Any]], publish: Publish | None) -> None:
        if self.crash is not None:
            self._refuse(batch, self.crash)
            return
        if publish is not None:
            publish()
        for piece in batch:
            piece.answer()

    def _end(self) -> None:
        if self.crash is not None:
            self._refuse([*self._under_way, *self._left()], self.crash)
        assert self._ended is not None
        self._ended.set_result(None)
        self._on_end()

    def _left(self) -> list[_Piece[Any]]:
        self._hand_over()
        left: list[_Piece[Any]] = []
        while not self._waiting.empty():
            piece = self._waiting.get_nowait()
            left += [] if piece is None else [piece]
        return left

    @staticmethod
    def _refuse(pieces: Sequence[_Piece[Any]], crash: BaseException) -> None:
        for piece in pieces:
            piece.error = crash
            piece.answer()


class _Carrier:
    """Carries an error out of a `with` block, to be raised where it belongs: at whoever asked. Swallows nothing."""

    def __init__(self, kinds: type[BaseException]) -> None:
        self._kinds = kinds
        self.error: BaseException | None = None

    def __enter__(self) -> None:
        self.error = None

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> bool:
        if isinstance(error, self._kinds):
            self.error = error
            return True
        return False


class _Piece(Generic[T]):
    """Something to be written, and who waits for it."""

    __slots__ = ("_act", "_can_undo", "_value", "about", "error", "future")

    def __init__(
        self,
        act: Callable[[Transaction], T],
        future: asyncio.Future[T],
        *,
        can_undo: bool,
        about: tuple[str, str] | None,
    ) -> None:
        self._act = act
        self.about = about
        self._can_undo = can_undo
        self._value: T
        self.future = future
        self.error: BaseException | None = None

    def do(self, transaction: Transaction) -> None:
        """Let it write. Errors after which the batch can go on are kept for whoever asked."""
        self.error = None
        carrier = _Carrier(Exception)
        with carrier:
            self._value = self._act(transaction)
        error = carrier.error
        if error is None:
            return
        is_ours_alone = self._can_undo or isinstance(error, AndonError)
        if not is_ours_alone or isinstance(error, SQLAlchemyError | StorageError):
            raise error
        self.error = error

    def answer(self) -> None:
        """Tell whoever waits."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self._value)
        else:
            self.future.set_exception(self.error)
