"""The errors of storage; a docstring is the message where none is given.

StorageError
├── StorageUnavailable  the database cannot be written now; nothing was recorded
│   └── OutcomeUnknown  it was lost while it answered; whether something was recorded is not known
├── StoreLocked         another process has this file
├── VersionConflict     somebody else was faster; load again
├── KeyReused           two different effects with one key
└── CodecError          stored text that this version does not understand, or text that cannot be stored
"""

from __future__ import annotations

from core.errors import AndonError


class StorageError(AndonError):
    """This could not be recorded."""


class StorageUnavailable(StorageError):
    """The database cannot be written now. Nothing was recorded and nothing was started; try again."""


class OutcomeUnknown(StorageUnavailable):
    """The database was lost while it answered; whether this was recorded is not known yet. Look, or ask again."""


class StoreLocked(StorageError):
    """Another Andon process works on this database file."""


class VersionConflict(StorageError):
    """The pipeline was changed by somebody else at the same time."""


class KeyReused(StorageError):
    """Two different effects carry one key."""


class CodecError(StorageError):
    """The stored text is not understood."""
