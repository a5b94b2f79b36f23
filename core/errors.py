"""The errors of the core; a docstring is the message where none is given.

AndonError
├── CommandRefused      a person asked for what cannot be done now; nothing changed
├── UsageError          words that were not understood
├── DefinitionError     a pipeline or organisation file is wrong
└── PortError           an outside system
    ├── TransientError  try again later
    └── PermanentError  will not work, however often it is tried
        ├── ArtifactMissing  … because what was to be deployed is not there
        └── NotAuthentic     … because it does not prove whom it comes from
"""

from __future__ import annotations

from datetime import timedelta


class AndonError(Exception):
    """Andon could not do this."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())

    @property
    def message(self) -> str:
        """The sentence for people."""
        return str(self.args[0])


class CommandRefused(AndonError):
    """This is not possible now; nothing was changed."""

    def __init__(self, message: str = "", *, mend: str = "") -> None:
        super().__init__(message)
        self.mend = mend
        """What would help, as a sentence; may be empty."""

    def __str__(self) -> str:
        return f"{self.message} {self.mend}".strip()


class UsageError(AndonError):
    """These words were not understood."""

    def __init__(self, message: str = "", *, mend: str = "") -> None:
        super().__init__(message)
        self.mend = mend


class DefinitionError(AndonError):
    """The definition is wrong."""


class PortError(AndonError):
    """An outside system did not do what was asked."""


class TransientError(PortError):
    """The outside system cannot answer now; it will be asked again."""

    def __init__(self, message: str = "", *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PermanentError(PortError):
    """The outside system refused, and asking again will not help."""


class ArtifactMissing(PermanentError):
    """The artifact is not there any more, or not what it was."""


class NotAuthentic(PermanentError):
    """This request does not prove whom it comes from; nothing was done."""
