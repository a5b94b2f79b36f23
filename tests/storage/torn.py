"""A line to PostgreSQL that can be torn at the worst moment: while the answer to one statement is on its way."""

from __future__ import annotations

import contextlib
import select
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

SOCKET = ".s.PGSQL.5432"


class Line:
    """Passes bytes on. `tear` names words of a client; the line breaks after (or before) they reached the server."""

    def __init__(self, folder: Path, server: Path) -> None:
        self.folder = folder
        self.tear = b""
        self.reaches = True
        """Whether the torn statement still reaches the server, which answers nobody."""
        self.torn = 0
        self.is_cut = False
        """While it is, nobody gets through at all."""
        self._server = server
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / SOCKET))
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def url(self, direct: str) -> str:
        """The same database, over this line."""
        return direct.replace(str(self._server), str(self.folder))

    def close(self) -> None:
        """Take nobody in any more, and wait until all have left."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._pass_on, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _pass_on(self, client: socket.socket) -> None:
        # Either side may be gone at any moment: its process was killed, or the server restarted.
        with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
            if self.is_cut:
                return
            server.connect(str(self._server / SOCKET))
            while True:
                ready, _, _ = select.select([client, server], [], [])
                for side in ready:
                    data = side.recv(65_536)
                    if not data:
                        return
                    if side is client and self.tear and self.tear in data:
                        self.tear = b""
                        self.torn += 1
                        if self.reaches:
                            server.sendall(data)
                            # Its answer, which nobody will see.
                            server.recv(65_536)
                        return
                    (server if side is client else client).sendall(data)


@contextlib.contextmanager
def line_to(url: str) -> Iterator[Line]:
    """A line to the server of this URL."""
    server = Path(url.partition("?host=")[2])
    folder = Path(tempfile.mkdtemp(prefix="andon-line-", dir=server.parent))
    line = Line(folder, server)
    try:
        yield line
    finally:
        line.close()
        shutil.rmtree(folder)
