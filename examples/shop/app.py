"""The shop itself: one unit of one version, the standard library only, so that it starts at once.

Started as `python3 -m shop.app --port PORT`, with `version.json` and `page.html` beside this file. It reads from the
environment `ANDON_VERSION` and `ANDON_TARGET` (what the page says) and `SHOP_SWITCH` (the file of broken versions).

A broken version answers its customers with 500 and its health check with 200, as real faults like to do.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import signal
import string
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, urlsplit

from .page import ITEMS, basket_shown, goods, switch_shown
from .switch import Switch

_LARGEST_BODY = 64 * 1024
_MOST_OF_ONE = 20


class Counts:
    """What `/metrics` tells of this unit."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests = self._errors = self._orders = 0
        self._seconds = 0.0

    def add(self, *, is_error: bool, is_order: bool, seconds: float) -> None:
        """One request of a customer was answered."""
        with self._lock:
            self._requests += 1
            self._errors += is_error
            self._orders += is_order
            self._seconds += seconds

    def text(self, labels: Mapping[str, str]) -> str:
        """In Prometheus' text format."""
        inner = ",".join(f'{name}="{_label(value)}"' for name, value in labels.items())
        rows = (
            ("shop_requests_total", "counter", "Requests of customers.", self._requests),
            ("shop_errors_total", "counter", "Requests answered with 500.", self._errors),
            ("shop_orders_total", "counter", "Orders taken.", self._orders),
        )
        text = "".join(
            f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n{name}{{{inner}}} {value}\n"
            for name, kind, meaning, value in rows
        )
        return (
            f"{text}# HELP shop_request_seconds How long answers took.\n# TYPE shop_request_seconds summary\n"
            f"shop_request_seconds_sum{{{inner}}} {self._seconds:.6f}\n"
            f"shop_request_seconds_count{{{inner}}} {self._requests}\n"
        )


def _label(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Shop:
    """What all requests of one unit share."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        about = json.loads((directory / "version.json").read_text())
        self.version = environment.get("ANDON_VERSION") or about["version"]
        self.target = environment.get("ANDON_TARGET", "")
        self.colour: str = about["colour"]
        self.changes: list[str] = about["changes"]
        self.page = string.Template((directory / "page.html").read_text())
        path = environment.get("SHOP_SWITCH")
        self.switch = Switch(Path(path) if path else None)
        self.switch.see(self.version)
        self.counts = Counts()
        self.in_flight = 0
        self.idle = threading.Condition()

    @property
    def is_broken(self) -> bool:
        """Whether this version is to answer with errors."""
        return self.switch.is_broken(self.version)


class Visit(BaseHTTPRequestHandler):
    """One connection of a customer."""

    protocol_version = "HTTP/1.1"
    # Without this an answer on a kept connection waits 40 ms for an acknowledgement.
    disable_nagle_algorithm = True
    timeout = 120
    server_version = "shop"
    shop: ClassVar[Shop]

    def do_GET(self) -> None:
        self._visit(self._get)

    def do_HEAD(self) -> None:
        self._visit(self._get)

    def do_POST(self) -> None:
        self._visit(self._post)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Customers are not logged."""

    def _visit(self, act: Callable[[], None]) -> None:
        shop = self.shop
        with shop.idle:
            shop.in_flight += 1
        try:
            act()
        finally:
            with shop.idle:
                shop.in_flight -= 1
                shop.idle.notify_all()

    def _get(self) -> None:
        path = urlsplit(self.path).path
        if path == "/healthz":
            self._send(HTTPStatus.OK, "ok\n", "text/plain")
        elif path == "/metrics":
            labels = {"version": self.shop.version, "target": self.shop.target}
            self._send(HTTPStatus.OK, self.shop.counts.text(labels), "text/plain; version=0.0.4")
        elif path == "/":
            thanks = parse_qs(urlsplit(self.path).query).get("order", [""])[0]
            self._serve(lambda: self._show(f"Thank you! Order {thanks}." if thanks else ""))
        else:
            self._send(HTTPStatus.NOT_FOUND, "There is nothing here.\n", "text/plain")

    def _show(self, note: str) -> bool:
        self._send_page(HTTPStatus.OK, note=note)
        return False

    def _post(self) -> None:
        path = urlsplit(self.path).path
        form = self._form()
        if form is None:
            return
        if path == "/_switch":
            self._switch(form)
        elif path == "/buy":
            self._serve(lambda: self._buy(form))
        elif path == "/basket":
            self._serve(lambda: self._fill_basket(form))
        else:
            self._send(HTTPStatus.NOT_FOUND, "There is nothing here.\n", "text/plain")

    def _serve(self, act: Callable[[], bool]) -> None:
        """What customers ask for: it is counted, and a broken version fails at it. `act` says if it took an order."""
        began = time.perf_counter()
        is_broken = self.shop.is_broken
        is_order = False
        if not is_broken:
            is_order = act()
        elif self._wants_page:
            self._send_page(HTTPStatus.INTERNAL_SERVER_ERROR, note="This version of the shop is broken.")
        else:
            self._send_json(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "This version of the shop is broken."})
        self.shop.counts.add(is_error=is_broken, is_order=is_order, seconds=time.perf_counter() - began)

    def _buy(self, form: Mapping[str, Any]) -> bool:
        wanted: Mapping[str, int] = self._basket()
        if form.get("item") in ITEMS:
            wanted = {str(form["item"]): 1}
        total = sum(ITEMS[item][1] * count for item, count in wanted.items())
        order = os.urandom(4).hex()
        if self._wants_page:
            self._send_to(f"/?order={order}" if wanted else "/", cookie="basket=; Path=/; Max-Age=0; SameSite=Lax")
        elif wanted:
            self._send_json(HTTPStatus.OK, {"order": order, "total": total, "version": self.shop.version})
        else:
            self._send_json(HTTPStatus.BAD_REQUEST, {"error": f"Name an item: {', '.join(ITEMS)}."})
        return bool(wanted)

    def _fill_basket(self, form: Mapping[str, Any]) -> bool:
        basket = Counter(self._basket())
        item = str(form.get("item", ""))
        if item in ITEMS:
            basket[item] = min(basket[item] + 1, _MOST_OF_ONE)
        kept = ".".join(f"{name}-{count}" for name, count in basket.items())
        self._send_to("/", cookie=f"basket={kept}; Path=/; SameSite=Lax; HttpOnly")
        return False

    def _switch(self, form: Mapping[str, Any]) -> None:
        origin = self.headers.get("Origin")
        if origin and urlsplit(origin).netloc != self.headers.get("Host"):
            self._send_json(HTTPStatus.FORBIDDEN, {"error": "Only the shop's own page may press this."})
            return
        version, broken = form.get("version", self.shop.version), form.get("broken")
        if broken not in (True, False, "true", "false") or not isinstance(version, str) or not 0 < len(version) <= 200:
            self._send_json(HTTPStatus.BAD_REQUEST, {"error": 'Say {"broken": true or false, "version": "1.4.2"}.'})
            return
        is_broken = broken in (True, "true")
        self.shop.switch.turn(version, broken=is_broken)
        if self._wants_page:
            self._send_to("/")
        else:
            self._send_json(HTTPStatus.OK, {"version": version, "broken": is_broken})

    @property
    def _wants_page(self) -> bool:
        return "text/html" in self.headers.get("Accept", "")

    def _form(self) -> Mapping[str, Any] | None:
        """The fields of the body; None where it was refused, and the answer is sent."""
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            length = -1
        if not 0 <= length <= _LARGEST_BODY or self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            self._send(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Say how long it is, and be brief.\n", "text/plain")
            return None
        body = self.rfile.read(length)
        try:
            if "json" in self.headers.get("Content-Type", ""):
                found = json.loads(body or b"{}")
                if isinstance(found, dict):
                    return found
            else:
                return {name: values[0] for name, values in parse_qs(body.decode()).items()}
        except ValueError:
            pass
        self._send(HTTPStatus.BAD_REQUEST, "This is neither a form nor a JSON object.\n", "text/plain")
        return None

    def _basket(self) -> dict[str, int]:
        try:
            morsel = SimpleCookie(self.headers.get("Cookie", "")).get("basket")
        except CookieError:
            return {}
        basket = {}
        for part in (morsel.value if morsel else "").split("."):
            item, _, count = part.partition("-")
            if item in ITEMS and count.isascii() and count.isdigit():
                basket[item] = min(int(count[:4]), _MOST_OF_ONE)
        return basket

    def _send_page(self, status: HTTPStatus, *, note: str) -> None:
        shop = self.shop
        self._send(
            status,
            shop.page.substitute(
                version=html.escape(shop.version),
                target=html.escape(shop.target or "no target"),
                colour=html.escape(shop.colour),
                changes="".join(f"<li>{html.escape(change)}</li>" for change in shop.changes),
                note=f'<p class="note" role="status">{html.escape(note)}</p>' if note else "",
                goods="" if status.value >= 500 else goods(),
                basket="" if status.value >= 500 else basket_shown(self._basket()),
                switch=switch_shown(shop.switch.versions(), shop.version),
            ),
            "text/html; charset=utf-8",
        )

    def _send_json(self, status: HTTPStatus, found: Mapping[str, Any]) -> None:
        self._send(status, json.dumps(found), "application/json")

    def _send_to(self, path: str, cookie: str = "") -> None:
        more = {"Location": quote(path, safe="/?=&"), **({"Set-Cookie": cookie} if cookie else {})}
        self._send(HTTPStatus.SEE_OTHER, "", "text/plain", more)

    def _send(self, status: HTTPStatus, text: str, kind: str, more: Mapping[str, str] | None = None) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(more or {})}.items():
            self.send_header(name, value)
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A customer who leaves early is no fault of ours."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def main() -> None:
    """Serve until SIGTERM, then finish what is being answered."""
    parser = argparse.ArgumentParser(description="one unit of the example shop")
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "8000")))
    shop = Shop(Path(__file__).resolve().parent, os.environ)
    visit = type("ThisVisit", (Visit,), {"shop": shop})
    with _Server(("127.0.0.1", parser.parse_args().port), visit) as server:
        for sign in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sign, lambda *_: threading.Thread(target=server.shutdown).start())
        server.serve_forever(poll_interval=0.05)
        with shop.idle:
            shop.idle.wait_for(lambda: shop.in_flight == 0, timeout=10)


if __name__ == "__main__":
    main()
