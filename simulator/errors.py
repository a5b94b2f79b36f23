"""The two ways to be refused here: by Slack's Web API (a code for programs) and by Slack's client (a sentence)."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """A Web API method refused; `code` is Slack's error and `extra` further fields of the answer."""

    def __init__(self, code: str, *messages: str, **extra: Any) -> None:
        super().__init__(f"{code}: {'; '.join(messages)}" if messages else code)
        self.code = code
        self.messages = list(messages)
        self.extra = extra

    def answer(self) -> dict[str, Any]:
        """Return the JSON body Slack would answer with."""
        body: dict[str, Any] = {"ok": False, "error": self.code, **self.extra}
        if self.messages:
            body["response_metadata"] = {"messages": self.messages}
        return body


class Refused(Exception):
    """Slack's client would not let a person do this; carries a code, a sentence and fields for the page."""

    def __init__(self, code: str, message: str, status: int = 400, **extra: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.extra = extra
