"""The shell's side of the API: `andon why checkout` and its like. Imports next to nothing, so that it answers at once.

Exit codes: 0 done, 1 refused, 2 not understood, 3 Andon could not be reached or did not let us in.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

DONE, REFUSED, MISUNDERSTOOD, UNREACHABLE = range(4)
TIMEOUT_SECONDS = 30


class Unreachable(Exception):
    """Andon does not answer."""


def command(words: Sequence[str], *, as_json: bool) -> int:
    """Say to Andon what one would say in Slack, and print the answer."""
    # A key of its own for every call: the same words twice are two acts, a repeated request is one.
    status, answer = _ask("POST", "/api/commands", {"words": list(words)}, key=uuid.uuid4().hex)
    if status != 200:
        return _complain(status, answer)
    sys.stdout.write((json.dumps(answer, indent=2) if as_json else str(answer["text"])) + "\n")
    return REFUSED if answer["refused"] else DONE


def announce(given: Mapping[str, Any], *, as_json: bool) -> int:
    """Tell Andon that a version exists."""
    artifact = str(given["artifact"])
    if Path(artifact).exists():
        given = {**given, "artifact": str(Path(artifact).absolute())}
    status, answer = _ask("POST", "/api/releases", given)
    if status != 201:
        return _complain(status, answer)
    sys.stdout.write((json.dumps(answer, indent=2) if as_json else str(answer["answer"])) + "\n")
    return DONE


def apply(files: Sequence[str], *, dry_run: bool, revision: str, as_json: bool) -> int:
    """Have definitions put in force, one after the other, or only compared with what is; `-` is standard input."""
    worst = DONE
    for name in files:
        try:
            text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", "") or "it is no UTF-8"
            sys.stderr.write(f"{name} cannot be read: {reason}\n")
            worst = max(worst, MISUNDERSTOOD)
            continue
        wanted = {"text": text, "name": name, "dry_run": dry_run, "revision": revision}
        status, answer = _ask("POST", "/api/definitions", wanted, key=uuid.uuid4().hex)
        if status not in (200, 201):
            worst = max(worst, _complain(status, answer))
        elif as_json:
            sys.stdout.write(json.dumps(answer, indent=2) + "\n")
        else:
            sys.stdout.write(_compared(name, text, answer, is_dry_run=dry_run))
        if status in (200, 201) and answer["refused"]:
            worst = max(worst, REFUSED)
    return worst


def _compared(name: str, text: str, answer: Mapping[str, Any], *, is_dry_run: bool) -> str:
    """What a definition changes, in sentences and as a difference of the text; a new one as the line it makes."""
    lines = list(answer["warnings"])
    if answer["is_new"]:
        lines += [answer["picture"], ""]
    else:
        for change in answer["changes"]:
            place = f"{change['place']}: " if change["place"] else ""
            lines.append(f"  {place}{change['sentence']}{' (less careful)' if change['is_less_careful'] else ''}")
        if is_dry_run and answer["before"]:
            from difflib import unified_diff

            difference = unified_diff(
                answer["before"].splitlines(), text.splitlines(), "in force", name, lineterm="", n=2
            )
            lines += ["", *difference]
    if answer["refused"]:
        lines.append(f"It would be refused: {answer['refused']}")
    elif not answer["is_changed"]:
        lines.append(f"{answer['id']}: nothing changes.")
    elif is_dry_run:
        lines.append(f"{answer['id']}: this would be applied; nothing was.")
    else:
        lines.append(answer["answer"])
    return "\n".join(lines) + "\n"


def tokens(action: str, given: Mapping[str, Any]) -> int:
    """Make, list or revoke tokens."""
    match action:
        case "create":
            status, answer = _ask("POST", "/api/tokens", given)
        case "revoke":
            status, answer = _ask("DELETE", f"/api/tokens/{given['id']}")
        case _:
            status, answer = _ask("GET", "/api/tokens")
    if status >= 300:
        return _complain(status, answer)
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    return DONE


def verify_audit() -> int:
    """Have every pipeline's chain of events verified."""
    status, answer = _ask("GET", "/api/audit")
    if status != 200:
        return _complain(status, answer)
    for pipeline, broken in answer.items():
        sys.stdout.write(f"{pipeline}: {'whole' if broken is None else f'broken at event {broken}'}\n")
    return REFUSED if any(broken is not None for broken in answer.values()) else DONE


def _complain(status: int, answer: Any) -> int:
    detail = answer.get("detail", "") if isinstance(answer, dict) else ""
    sys.stderr.write((detail or f"Andon answered {status}.") + "\n")
    if status in (401, 403, 503):
        return UNREACHABLE
    return MISUNDERSTOOD if status in (400, 422) else REFUSED


def _ask(method: str, path: str, body: Mapping[str, Any] | None = None, *, key: str = "") -> tuple[int, Any]:
    """One request; returns status and decoded answer."""
    base = os.environ.get("ANDON_URL", "http://127.0.0.1:8080")
    token = os.environ.get("ANDON_TOKEN", "")
    if not token:
        raise Unreachable("ANDON_TOKEN is not set; make a token with `andon token create` and put it there.")
    at = urlsplit(base)
    if at.scheme not in ("http", "https") or not at.hostname:
        raise Unreachable("ANDON_URL must look like http://127.0.0.1:8080.")
    kind = http.client.HTTPSConnection if at.scheme == "https" else http.client.HTTPConnection
    connection = kind(at.hostname, at.port, timeout=TIMEOUT_SECONDS)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    if key:
        headers["Idempotency-Key"] = key
    try:
        connection.request(method, at.path.rstrip("/") + path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(f"Andon does not answer at {base} ({type(error).__name__}); is `andon run` up?") from error
    finally:
        connection.close()
