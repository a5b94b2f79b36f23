"""What the units of these tests run; `behaviour.json` beside it says how it behaves.

Copied into artifacts, never imported. Gates are files: what waits for one goes on when it exists.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socketserver
import sys
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

BEHAVIOUR = json.loads((Path(__file__).parent / "behaviour.json").read_text())


def wait_for(path: str) -> None:
    while not Path(path).exists():
        time.sleep(0.005)


def die_when(path: str) -> None:
    wait_for(path)
    os._exit(9)


class Answer(socketserver.StreamRequestHandler):
    """A little HTTP by hand: what the standard library has takes longer to load than these units may."""

    disable_nagle_algorithm = True

    def handle(self) -> None:
        while line := self.rfile.readline().split():
            self.command, self.path = line[0].decode(), line[1].decode()
            self.headers: list[tuple[str, str]] = []
            while (row := self.rfile.readline().decode("latin-1").strip()) != "":
                name, _, value = row.partition(":")
                self.headers.append((name.strip(), value.strip()))
            self.sent = {name.lower(): value for name, value in self.headers}
            if self.command == "POST":
                self.post()
            else:
                self.get()

    def get(self) -> None:
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/healthz":
            gate = BEHAVIOUR.get("healthy_when")
            self.say(200 if gate is None or Path(gate).exists() else 503, "health")
        elif url.path == "/slow":
            Path(asked["begun"]).touch()
            wait_for(asked["gate"])
            self.say(200, os.environ["ANDON_VERSION"])
        elif url.path == "/die":
            if Path(asked["once"]).exists():
                self.say(200, "survived")
            else:
                Path(asked["once"]).touch()
                os._exit(7)
        elif url.path == "/half":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
            self.wfile.flush()
            os._exit(7)
        elif url.path == "/breed":
            import subprocess

            stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN);" if "stubborn" in asked else ""
            program = f"import signal; {stubborn} print('ready', flush=True); signal.pause()"
            child = subprocess.Popen([sys.executable, "-I", "-S", "-c", program], stdout=subprocess.PIPE)
            assert child.stdout is not None
            child.stdout.readline()
            self.say(200, str(child.pid))
        elif url.path == "/environment":
            self.say(200, json.dumps(dict(os.environ)))
        else:
            self.tell()

    def post(self) -> None:
        if "chunked" in self.sent.get("transfer-encoding", ""):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.sent.get("content-length", 0)))
        if self.path.startswith("/die"):
            with (Path(parse_qs(urlsplit(self.path).query)["log"][0])).open("a") as log:
                log.write("x")
            os._exit(7)
        self.tell(body)

    def tell(self, body: bytes = b"") -> None:
        told = {
            "version": os.environ["ANDON_VERSION"],
            "path": self.path,
            "headers": self.headers,
            "body": hashlib.sha256(body).hexdigest(),
            "size": len(body),
        }
        self.say(200, json.dumps(told))

    def say(self, status: int, text: str) -> None:
        body = text.encode()
        head = (
            f"HTTP/1.1 {status} OK\r\nContent-Length: {len(body)}\r\n"
            "Set-Cookie: one=1\r\nSet-Cookie: two=2\r\nX-Andon-Target: a lie\r\n\r\n"
        )
        self.wfile.write(head.encode() + (b"" if self.command == "HEAD" else body))


class Server(socketserver.ThreadingTCPServer):
    request_queue_size = 256
    daemon_threads = True
    allow_reuse_address = True


def main() -> None:
    print("starting", os.environ["ANDON_VERSION"], flush=True)
    if reason := BEHAVIOUR.get("dies_saying"):
        print(reason, file=sys.stderr, flush=True)
        sys.exit(3)
    if BEHAVIOUR.get("ignores_sigterm"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    server = Server(("127.0.0.1", int(os.environ["PORT"])), Answer)
    if after := BEHAVIOUR.get("dies_when"):
        threading.Thread(target=die_when, args=(after,), daemon=True).start()
    server.serve_forever()


main()
