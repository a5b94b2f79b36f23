"""The directory of what was begun: one directory for each key, which appears whole or not at all.

    runs/HASH/order.json      what is run, and for whom; without secrets
              lock            held by whoever is responsible: first the client, then the runner, to its end
              started.json    the runner is about to begin the program
              program.json    which process that is
              cancel          somebody wants it to end
              output          what it prints
              result.json     how the program ended
              verdict.json    what that came to, where more than the program decides
    targets/HASH.json         the newest run of a target, and what was known good before it

Everything here blocks; call it in a thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from core.errors import PermanentError, TransientError
from core.ports import Outcome
from core.releases.problems import Strict
from integrations.command import runner

RUNNER = Path(runner.__file__)
REMEMBERED = 1_000
"""Runs that are kept; the oldest that are over are forgotten first."""
LOCK_PATIENCE = 10.0
OUTPUT_READ = 1 << 17
"""Bytes read of what a program printed: its end."""


class Good(Strict):
    """A version that a target is known to run."""

    digest: str
    version: str


class Order(Strict):
    """What is run, and for whom."""

    key: str
    target: str
    version: str
    digest: str
    is_rollback: bool
    facts: dict[str, str]
    """What placeholders are filled with, by their names."""
    argv: list[str] = Field(min_length=1)
    cwd: str
    hidden: list[str]
    """Names of variables whose values must not be seen in what it prints."""
    limit: float = Field(gt=0)
    grace: float = Field(ge=0)
    previous: Good | None
    has_health: bool
    """Whether a probe decides after the program."""

    def told(self) -> dict[str, str]:
        """What the program finds in its environment: `ANDON_VERSION` and so on."""
        return {f"ANDON_{name.upper()}": value for name, value in self.facts.items() if "." not in name}


class Result(Strict):
    """How the program ended: `exited`, `cancelled`, `late` or `not_run`; `code` is negative for a signal."""

    how: str
    code: int
    error: str
    at: float


class Verdict(Strict):
    """What a run came to."""

    outcome: Outcome = Field(strict=False)
    message: str


class Phase(Enum):
    """What can be seen of a run."""

    NEVER = "nothing was begun"
    ALIVE = "its runner sees to it"
    ORPHAN = "its runner is gone, the program lives"
    LOST = "nobody saw how it ended"
    OVER = "it is over"


@dataclass(frozen=True, slots=True)
class Run:
    """One run as it stands; `pid` is that of its program, where one is known to live."""

    name: str
    order: Order
    phase: Phase
    is_cancelled: bool
    result: Result | None = None
    verdict: Verdict | None = None
    pid: int = 0
    can_be_seen: bool = True
    """Whether the machine on which it ran can be looked at from here."""


class Runs:
    """All runs of one state directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._runs, self._targets = root / "runs", root / "targets"

    @staticmethod
    def name_of(key: str) -> str:
        """The name of the directory of a key; safe whatever the key holds."""
        return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:40]

    # ---- beginning --------------------------------------------------------------------------------------------------

    def begin(
        self,
        key: str,
        target: str,
        order: Callable[[Good | None], Order],
        environment: Mapping[str, str],
        patience: float,
    ) -> str:
        """Begin a run, or leave the one with this key as it is; its name.

        `order` is asked once nothing of this key is found, with what the target ran before. Raises what it raises, and
        TransientError where another run on this target may be alive.
        """
        name = self.name_of(key)
        self._make()
        with self._held(self._targets / f"{self.name_of(target)}.lock"):
            here = self._runs / name
            if not here.exists():
                before = self._before(target)
                self._publish(here, order(before))
            elif self.look(name).phase is not Phase.NEVER:
                return name
            self._begin_program(here, environment, patience)
        self._forget()
        return name

    def _begin_program(self, here: Path, environment: Mapping[str, str], patience: float) -> None:
        with (here / "lock").open("r+") as lock:
            if not _locked(lock.fileno(), LOCK_PATIENCE):
                return
            if (here / "started.json").exists() or (here / "cancel").exists():
                return
            order = _read(here / "order.json", Order)
            assert order is not None, "a run's directory appears whole"
            newest = {"latest": here.name, "good": order.previous.model_dump() if order.previous else None}
            runner.write(self._targets / f"{self.name_of(order.target)}.json", newest)
            command = [sys.executable, "-I", "-S", str(RUNNER), str(here), str(lock.fileno())]
            try:
                ended = subprocess.run(
                    command,
                    env={**environment, **order.told()},
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    pass_fds=(lock.fileno(),),
                    start_new_session=True,
                    timeout=patience,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise TransientError("The program's runner did not begin in time.") from None
            except OSError as error:
                raise TransientError(
                    f"The program's runner cannot begin now: {os.strerror(error.errno or 0)}."
                ) from None
            if ended.returncode:
                raise TransientError("The program's runner did not begin; it is tried again.")

    def _publish(self, here: Path, order: Order) -> None:
        fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=self._runs))
        try:
            (fresh / "lock").touch(mode=0o600)
            runner.write(fresh / "order.json", order.model_dump(mode="json"))
            # Onto a directory that is there, with something in it, this cannot be done: one key, one run.
            fresh.rename(here)
        except OSError as error:
            if not here.exists():
                raise TransientError(f"{self._root} cannot be written to: {os.strerror(error.errno or 0)}.") from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _before(self, target: str) -> Good | None:
        """What a target ran before; raises TransientError while another run on it may be alive."""
        latest, good = self._newest(target)
        if latest is None:
            return good
        if latest.phase in (Phase.ALIVE, Phase.ORPHAN):
            raise TransientError(
                f"An earlier program, for {latest.order.version}, still runs on {target}; nothing is begun beside it."
            )
        return Good(digest=latest.order.digest, version=latest.order.version) if succeeded(latest) else good

    # ---- looking ----------------------------------------------------------------------------------------------------

    def look(self, name: str) -> Run:
        """A run as it stands; raises PermanentError if there is none of this name."""
        here = self._runs / name
        order = _read(here / "order.json", Order)
        if order is None:
            raise PermanentError("Nothing is known here of this deployment any more.")
        is_cancelled = (here / "cancel").exists()
        result = _read(here / "result.json", Result)
        if result is None:
            if not _is_free(here / "lock"):
                return Run(name, order, Phase.ALIVE, is_cancelled)
            # It may have ended between the two looks.
            result = _read(here / "result.json", Result)
        if result is not None:
            return Run(name, order, Phase.OVER, is_cancelled, result, _read(here / "verdict.json", Verdict))
        if not (here / "started.json").exists():
            return Run(name, order, Phase.NEVER, is_cancelled)
        pid, can_be_seen = _living(here)
        return Run(name, order, Phase.ORPHAN if pid else Phase.LOST, is_cancelled, pid=pid, can_be_seen=can_be_seen)

    def has(self, key: str) -> bool:
        """Whether something was begun under a key."""
        name = self.name_of(key)
        return (self._runs / name).exists() and self.look(name).phase is not Phase.NEVER

    def is_over(self, name: str) -> bool:
        """Whether a program has ended; quick."""
        return (self._runs / name / "result.json").exists()

    def is_attended(self, name: str) -> bool:
        """Whether somebody is responsible for a run; quick."""
        try:
            return not _is_free(self._runs / name / "lock")
        except FileNotFoundError:
            return False

    def output(self, name: str) -> str:
        """The end of what a program printed."""
        try:
            with (self._runs / name / "output").open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - OUTPUT_READ))
                text = file.read(OUTPUT_READ).decode("utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        return text if size <= OUTPUT_READ else text.partition("\n")[2] or text

    def running(self, target: str) -> tuple[Good | None, bool]:
        """What a target runs by what was begun here, and whether a run since may have changed it half."""
        latest, good = self._newest(target)
        if latest is None or latest.phase is Phase.NEVER:
            return good, False
        if succeeded(latest):
            return Good(digest=latest.order.digest, version=latest.order.version), False
        return good, not (latest.result is not None and latest.result.how == "not_run")

    def named(self, target: str, *, digest: str = "", version: str = "") -> Good:
        """A version that a target says it runs by one of its names alone, as it was deployed from here.

        What is not known stays empty.
        """
        latest, good = self._newest(target)
        known = [Good(digest=latest.order.digest, version=latest.order.version)] if latest is not None else []
        known += [good] if good is not None else []
        entries = sorted((e for e in os.scandir(self._runs) if not e.name.startswith(".")), key=_age) if known else []
        older = (order for e in entries if (order := _read(Path(e.path, "order.json"), Order)) is not None)
        for each in (*known, *(Good(digest=order.digest, version=order.version) for order in older)):
            if each.digest == digest or (version and each.version == version):
                return each
        return Good(digest=digest, version=version)

    def _newest(self, target: str) -> tuple[Run | None, Good | None]:
        try:
            told = json.loads((self._targets / f"{self.name_of(target)}.json").read_text())
        except FileNotFoundError:
            return None, None
        except ValueError:
            raise TransientError(f"What is recorded of {target} cannot be read.") from None
        good = Good.model_validate(told["good"]) if told["good"] else None
        return self.look(told["latest"]), good

    # ---- ending -----------------------------------------------------------------------------------------------------

    def cancel(self, name: str) -> None:
        """Have a run end; whoever sees to it looks for this."""
        here = self._runs / name
        run = self.look(name)
        if run.phase is Phase.OVER:
            return
        with contextlib.suppress(FileExistsError):
            (here / "cancel").touch(mode=0o600, exist_ok=False)
        self.end_orphan(self.look(name))

    def give_up(self, name: str) -> None:
        """See that a run which nobody began is never begun, unless somebody is about to."""
        with (self._runs / name / "lock").open("r+") as lock:
            if _locked(lock.fileno(), 0) and self.look(name).phase is not Phase.OVER:
                (self._runs / name / "cancel").touch(mode=0o600)

    def end_orphan(self, run: Run) -> None:
        """Do what its runner would: ask the program to end, and kill it when its grace is over."""
        if run.phase is not Phase.ORPHAN or not run.is_cancelled:
            return
        asked_at = (self._runs / run.name / "cancel").stat().st_mtime
        is_late = time.time() - asked_at > run.order.grace
        runner.tell(run.pid, signal.SIGKILL if is_late else signal.SIGTERM)

    def decide(self, name: str, verdict: Verdict) -> Verdict:
        """Write down what a run came to; the first verdict stays."""
        here = self._runs / name / "verdict.json"
        with self._held(self._runs / name / "verdict.lock"):
            known = _read(here, Verdict)
            if known is None:
                runner.write(here, verdict.model_dump(mode="json"))
        return known or verdict

    # ---- housekeeping -----------------------------------------------------------------------------------------------

    def _make(self) -> None:
        try:
            for directory in (self._root, self._runs, self._targets):
                directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise PermanentError(
                f"The directory {self._root}, where Andon keeps what it began, cannot be made: "
                f"{os.strerror(error.errno or 0)}."
            ) from error

    def _forget(self) -> None:
        """Remove the oldest runs that are over, and no target's newest."""
        names = [entry for entry in os.scandir(self._runs) if not entry.name.startswith(".new-")]
        if len(names) <= REMEMBERED:
            return
        newest = {json.loads(path.read_text())["latest"] for path in self._targets.glob("*.json")}
        for entry in sorted(names, key=_age, reverse=True)[: len(names) - REMEMBERED]:
            if entry.name not in newest and self.is_over(entry.name):
                shutil.rmtree(entry.path, ignore_errors=True)

    @contextlib.contextmanager
    def _held(self, path: Path) -> Iterator[None]:
        """Alone with something, among all clients of this directory."""
        try:
            lock = path.open("a")
        except OSError as error:
            raise TransientError(f"{self._root} cannot be written to: {os.strerror(error.errno or 0)}.") from error
        with lock:
            if not _locked(lock.fileno(), LOCK_PATIENCE):
                raise TransientError("Another replica is busy with this target.")
            yield


def _age(entry: os.DirEntry[str]) -> float:
    """The newest first."""
    return -entry.stat().st_mtime


def succeeded(run: Run) -> bool:
    """Whether a run surely put its version there."""
    if run.order.has_health:
        return run.verdict is not None and run.verdict.outcome is Outcome.SUCCEEDED
    return run.result is not None and (run.result.how, run.result.code) == ("exited", 0)


def _read(path: Path, model: type[Any]) -> Any:
    try:
        return model.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        raise TransientError(f"{path.name} of a deployment cannot be read; somebody may have changed it.") from None


def _locked(lock: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        else:
            return True


def _is_free(path: Path) -> bool:
    """Whether nobody is responsible for a run; looked at without keeping others from looking."""
    with path.open("r") as lock:
        try:
            fcntl.flock(lock.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _living(here: Path) -> tuple[int, bool]:
    """The process of a program whose runner is gone, 0 if it is gone too; and whether that can be told at all."""
    is_born = (here / "program.json").exists()
    try:
        mark = json.loads((here / ("program.json" if is_born else "started.json")).read_text())
        boot, host, space, pid, ticks = (mark[name] for name in ("boot", "host", "space", "pid", "ticks"))
    except (ValueError, KeyError, TypeError):
        return 0, False
    if boot != runner.boot():
        return 0, host == os.uname().nodename
    if space != runner.space() or not is_born:
        # Another container's; or the runner died beside the birth of the program, whose number it took along.
        return 0, False
    return (pid if ticks and runner.ticks(pid) == ticks else 0), True
