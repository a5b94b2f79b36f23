"""Talking to hosts: one verified connection to each, reused, a limited number at a time, and every question asked anew.

What a host says is an answer, a refusal (`HostRefusal`: it was asked and says no) or nothing (`Away`: unknown).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from core.errors import PermanentError, TransientError
from core.releases.problems import shown
from integrations.hosts.config import HostEntry, HostsConfig
from integrations.hosts.quoting import line

# Otherwise every command of every look is a line of Andon's log.
logging.getLogger("asyncssh").setLevel(logging.WARNING)

RUNNER = Path(__file__).with_name("runner.sh").read_bytes()
_RUNNER_NAME = f"runner-{hashlib.sha256(RUNNER).hexdigest()}"
_INSTALL = (
    'umask 022; f=$1/.andon/$2; mkdir -p "$1/.andon" && chmod 700 "$1/.andon" && '
    '{ { [ -f "$f" ] && cat >/dev/null; } || { cat >"$f.$$" && '
    '[ "runner-$(sha256sum <"$f.$$" | cut -c 1-64)" = "$2" ] && mv -f "$f.$$" "$f"; }; } && exit 0; '
    'rm -f "$f.$$"; cat >/dev/null; exit 4'
)
"""Puts the runner where it is called, whole or not at all; the only script that is sent as a command.

It reads all it is sent also where that is there already: what ends earlier looks like a connection that broke.
"""

_REFUSED, _NOT_INSTALLED = 3, 4
_PIECE = 1 << 18

Traced = Callable[[str, str], None]
"""Told of each answered question: the host's name, and what was asked."""


class Away(TransientError):
    """A host did not answer; how it stands there is not known."""


class Locked(PermanentError):
    """A host does not let us in, or is not the one it should be; nothing was asked of it."""


class HostRefusal(PermanentError):
    """A host was asked and says why it cannot."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a host is reached, and its directory there."""

    name: str
    address: str
    port: int
    root: str
    entry: HostEntry


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host answered: words by name, and what was printed behind them."""

    words: Mapping[str, str]
    log: str = ""

    @classmethod
    def read(cls, text: str) -> Answer:
        """Lines of a name and its words, until the line `log`."""
        words: dict[str, str] = {}
        head, mark, log = f"\n{text}".partition("\nlog\n")
        for row in head.split("\n"):
            name, _, value = row.partition(" ")
            words[name] = value
        return cls(words, log if mark else "")


class Links:
    """The connections to all hosts of a deployer."""

    def __init__(
        self, config: HostsConfig, *, environ: Mapping[str, str], traced: Traced | None = None, idle: float = 300.0
    ) -> None:
        """After `idle` seconds without a question a connection is ended: nobody says when a deployer is done with."""
        self._config = config
        self._environ = environ
        self._traced = traced
        self._idle = idle
        self._endings: dict[tuple[str, int], asyncio.TimerHandle] = {}
        self._answer = config.patience.answer.total_seconds()
        self._limit = asyncio.Semaphore(config.connections)
        self._open: dict[tuple[str, int], asyncssh.SSHClientConnection] = {}
        self._ready: set[tuple[asyncssh.SSHClientConnection, str]] = set()
        """Connections and directories where the runner is known to be."""
        self._turns: defaultdict[tuple[str, int], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._jump: asyncssh.SSHClientConnection | None = None
        self._jumping = asyncio.Lock()
        self._is_closed = False
        self._key: asyncssh.SSHKey | None = None
        self._reading = asyncio.Lock()

    async def ask(self, place: Place, verb: str, *words: str, given: str = "") -> Answer:
        """Ask a host; every question may be asked again. Raises Away, Locked or HostRefusal."""
        async with self._turns[place.address, place.port], self._limit:
            try:
                async with asyncio.timeout(self._answer):
                    return await self._asked(place, verb, words, given)
            except TimeoutError as error:
                # Whatever it does there goes on by itself; this connection is not trusted with another question.
                self._forget(place)
                raise Away(f"{place.name} did not answer within {self._answer:g} s.") from error
            finally:
                self._used(place)

    async def upload(self, place: Place, source: Path, name: str, *, seconds: float) -> bool:
        """Bring more of a file into the directory of what comes in; whether all of it is there after so many seconds.

        What is there already is not sent again. Raises Away, or HostRefusal where the host cannot keep it.
        """
        async with self._turns[place.address, place.port], self._limit:
            try:
                async with asyncio.timeout(self._answer + seconds):
                    connection = await self._connected(place)
                    return await _sent(connection, source, f"{place.root}/.andon/incoming/{name}", seconds)
            except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection) as error:
                self._forget(place)
                raise Away(f"The connection to {place.name} was lost.") from error
            except asyncssh.SFTPError as error:
                why = shown(error.reason, 100) or type(error).__name__
                raise HostRefusal(f"the artifact could not be stored there ({why}); is the disk full?") from error
            except TimeoutError as error:
                self._forget(place)
                raise Away(f"{place.name} did not take the artifact in time.") from error
            except (OSError, asyncssh.Error) as error:
                self._forget(place)
                raise _meaning(place, error, self._config) from error
            finally:
                self._used(place)
                self._trace(place, "upload")

    async def close(self) -> None:
        """End all connections for good; jobs on hosts go on."""
        self._is_closed = True
        for ending in self._endings.values():
            ending.cancel()
        self._endings.clear()
        leaving = [*self._open.values(), *([self._jump] if self._jump is not None else [])]
        self._open.clear()
        self._ready.clear()
        self._jump = None
        for connection in leaving:
            connection.close()
        for connection in leaving:
            await connection.wait_closed()

    async def _asked(self, place: Place, verb: str, words: Sequence[str], given: str) -> Answer:
        oddly = ""
        for _ in range(2):
            was_open = (place.address, place.port) in self._open
            try:
                connection = await self._connected(place)
                if (connection, place.root) not in self._ready:
                    await self._install(connection, place)
                runner = f"{place.root}/.andon/{_RUNNER_NAME}"
                ended = await connection.run(
                    line(("sh", runner, place.root, verb, *words)), input=given, errors="replace"
                )
            except (OSError, asyncssh.Error) as error:
                self._forget(place)
                if was_open and isinstance(error, OSError | asyncssh.ConnectionLost | asyncssh.ChannelOpenError):
                    # A connection may have gone while nobody used it.
                    continue
                raise _meaning(place, error, self._config) from error
            self._trace(place, verb)
            if ended.exit_status is None or ended.exit_status < 0:
                self._forget(place)
                raise Away(f"The connection to {place.name} was lost in the middle of an answer.")
            if ended.exit_status == 0:
                return Answer.read(str(ended.stdout))
            if ended.exit_status == _REFUSED:
                raise HostRefusal(
                    f"{place.name}: {shown(Answer.read(str(ended.stdout)).words.get('refused', ''), 300)}."
                )
            # Somebody may have tidied the runner away.
            self._ready.discard((connection, place.root))
            oddly = _last_line(str(ended.stderr))
        raise Away(f"{place.name} answers oddly: {oddly or 'it says nothing'}.")

    async def _install(self, connection: asyncssh.SSHClientConnection, place: Place) -> None:
        command = line(("sh", "-c", _INSTALL, "andon", place.root, _RUNNER_NAME))
        ended = await connection.run(command, input=RUNNER.decode(), errors="replace")
        self._trace(place, "install")
        if ended.exit_status == _NOT_INSTALLED:
            why = _last_line(str(ended.stderr)) or "the disk may be full"
            raise HostRefusal(f"{place.name}: {place.root}/.andon cannot be written to: {why}.")
        if ended.exit_status != 0:
            raise Away(f"{place.name} answers oddly: {_last_line(str(ended.stderr)) or 'it says nothing'}.")
        self._ready.add((connection, place.root))

    # ---- connecting -------------------------------------------------------------------------------------------------

    async def _connected(self, place: Place) -> asyncssh.SSHClientConnection:
        known = self._open.get((place.address, place.port))
        if known is not None and not known.is_closed():
            return known
        self._refuse_if_closed(place)
        config = self._config
        tunnel = await self._jumped() if config.jump is not None else None
        opened = await self._opened(place.address, place.port, config.user, tunnel)
        try:
            self._refuse_if_closed(place)
        except Away:
            opened.abort()
            raise
        self._open[place.address, place.port] = opened
        return opened

    def _refuse_if_closed(self, place: Place) -> None:
        if self._is_closed:
            raise Away(f"{place.name} is not asked any more: Andon ends.")

    async def _jumped(self) -> asyncssh.SSHClientConnection:
        jump = self._config.jump
        assert jump is not None
        async with self._jumping:
            if self._jump is None or self._jump.is_closed():
                self._jump = await self._opened(jump.address, jump.port, jump.user or self._config.user, None)
            return self._jump

    async def _opened(
        self, address: str, port: int, user: str, tunnel: asyncssh.SSHClientConnection | None
    ) -> asyncssh.SSHClientConnection:
        known_hosts = Path(self._config.known_hosts)
        if not await asyncio.to_thread(known_hosts.is_file):
            raise Locked(
                f"There is no file {known_hosts}: write the keys of the hosts there, as `ssh-keyscan` shows them."
            )
        async with self._keys() as keys:
            return await asyncssh.connect(
                address,
                port,
                tunnel=tunnel or (),
                config=None,
                username=user,
                client_keys=keys,
                agent_path=None,
                known_hosts=str(known_hosts),
                preferred_auth="publickey",
                connect_timeout=self._answer,
                login_timeout=self._answer,
                keepalive_interval=15,
                keepalive_count_max=3,
            )

    @contextlib.asynccontextmanager
    async def _keys(self) -> AsyncIterator[list[asyncssh.SSHKey] | list[asyncssh.SSHKeyPair]]:
        if self._config.key_file is not None:
            async with self._reading:
                if self._key is None:
                    self._key = await asyncio.to_thread(self._read_key, self._config.key_file)
            yield [self._key]
            return
        path = self._environ.get("SSH_AUTH_SOCK")
        if not path:
            raise Locked("No ssh-agent is there: SSH_AUTH_SOCK is not set for Andon. Start one, or name a `key_file`.")
        try:
            agent = await asyncssh.connect_agent(path)
        except OSError as error:
            raise Locked(
                f"The ssh-agent at SSH_AUTH_SOCK does not answer: {error.strerror or 'it is gone'}."
            ) from error
        async with agent:
            pairs = list(await agent.get_keys())
            if not pairs:
                raise Locked("The ssh-agent holds no key: add one with `ssh-add`.")
            yield pairs

    def _read_key(self, name: str) -> asyncssh.SSHKey:
        variable = self._config.passphrase_env
        passphrase = self._environ.get(variable) if variable else None
        if variable and not passphrase:
            raise Locked(f"The environment variable {variable} is not set: it should hold the passphrase of {name}.")
        try:
            return asyncssh.read_private_key(name, passphrase)
        except OSError as error:
            raise Locked(f"The key {name} cannot be read: {error.strerror or 'it is not there'}.") from error
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
            # The cause is left out: nothing that was near a passphrase is shown.
            why = "the passphrase does not open it" if variable else "is it one, and without a passphrase?"
            raise Locked(f"The key {name} cannot be used: {why}.") from None

    def _forget(self, place: Place) -> None:
        connection = self._open.pop((place.address, place.port), None)
        if connection is not None:
            self._ready = {ready for ready in self._ready if ready[0] is not connection}
            connection.abort()

    def _used(self, place: Place) -> None:
        key = (place.address, place.port)
        if key in self._endings:
            self._endings.pop(key).cancel()
        if key in self._open:
            self._endings[key] = asyncio.get_running_loop().call_later(self._idle, self._end_idle, key)

    def _end_idle(self, key: tuple[str, int]) -> None:
        self._endings.pop(key, None)
        if (lock := self._turns.get(key)) is not None and lock.locked():
            return
        connection = self._open.pop(key, None)
        if connection is not None:
            self._ready = {ready for ready in self._ready if ready[0] is not connection}
            connection.close()
        if not self._open and self._jump is not None:
            self._jump.close()
            self._jump = None

    def _trace(self, place: Place, verb: str) -> None:
        if self._traced is not None:
            self._traced(place.name, verb)


async def _sent(connection: asyncssh.SSHClientConnection, source: Path, name: str, seconds: float) -> bool:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    async with connection.start_sftp_client() as sftp:
        with await asyncio.to_thread(source.open, "rb") as reading:
            total = os.fstat(reading.fileno()).st_size
            there = 0
            with contextlib.suppress(asyncssh.SFTPNoSuchFile):
                there = (await sftp.stat(name)).size or 0
            if there == total:
                return True
            flags = asyncssh.FXF_WRITE | asyncssh.FXF_CREAT | (asyncssh.FXF_TRUNC if there > total else 0)
            async with sftp.open(name, flags, encoding=None) as writing:
                at = 0 if there > total else there
                reading.seek(at)
                while loop.time() < until and (piece := await asyncio.to_thread(reading.read, _PIECE)):
                    await writing.write(piece, at)
                    at += len(piece)
            return at >= total


def _meaning(place: Place, error: OSError | asyncssh.Error, config: HostsConfig) -> TransientError | PermanentError:
    """What an error of the connection says of a host."""
    match error:
        case asyncssh.HostKeyNotVerifiable():
            return Locked(
                f"{place.name} shows a host key that is not in {config.known_hosts}. If the host was made anew, put "
                "its new key there; if not, somebody may stand in between."
            )
        case asyncssh.PermissionDenied():
            return Locked(
                f"{place.name} does not let {config.user} in: put Andon's public key into ~{config.user}/.ssh/"
                "authorized_keys there."
            )
        case asyncssh.ProtocolNotSupported() | asyncssh.KeyExchangeFailed():
            return Locked(f"{place.name} and Andon find no way to speak: {shown(error.reason, 100)}.")
        case asyncssh.Error():
            return Away(f"{place.name} cannot be reached: {shown(error.reason, 100) or 'the connection was lost'}.")
        case _:
            return Away(f"{place.name} cannot be reached: {shown(error.strerror or type(error).__name__, 100)}.")


def _last_line(text: str) -> str:
    rows = text.strip().splitlines()
    return shown(rows[-1], 200).rstrip(".") if rows else ""
