"""What the units of these tests run; `behaviour.json` beside it says how it behaves.

Copied into artifacts, never imported. Gates are files: what waits for one goes on when it exists.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

BEHAVIOUR = json.loads((Path(__file__).parent / "behaviour.json").read_text())


def wait_for(path: str) -> None:
    while not Path(path).exists():
        time.sleep(0.005)


def die_when(path: str) -> None:
    wait_for(path)
    os._exit(9)


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
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
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half")
            self.wfile.flush()
            os._exit(7)
        elif url.path == "/breed":
            child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
            self.say(200, str(child.pid))
        elif url.path == "/environment":
            self.say(200, json.dumps(dict(os.environ)))
        else:
            self.tell()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/die"):
            with (Path(parse_qs(urlsplit(self.path).query)["log"][0])).open("a") as log:
                log.write("x")
            os._exit(7)
        self.tell(body)

    def tell(self, body: bytes = b"") -> None:
        told = {
            "version": os.environ["ANDON_VERSION"],
            "path": self.path,
            "headers": [list(pair) for pair in self.headers.items()],
            "body": hashlib.sha256(body).hexdigest(),
            "size": len(body),
        }
        self.say(200, json.dumps(told))

    def say(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.send_header("Set-Cookie", "one=1")
        self.send_header("Set-Cookie", "two=2")
        self.send_header("X-Andon-Target", "a lie")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text.encode())

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


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
