"""`replace` for frozen values with slots: what `dataclasses.replace` does, at a third of its price.

A decision makes dozens of such copies, and every acknowledgement waits for one. The slots are copied as they are, past
`__init__`: a copy of a whole value is whole.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")
Put = Callable[[Any, Any], None]

if TYPE_CHECKING:
    # Type checkers know the fields of every dataclass by this name.
    from dataclasses import replace as replace  # noqa: PLC0414 - handed on
else:

    def replace(value: T, /, **changes: object) -> T:
        """The value with some of its fields changed."""
        slots = _slots(type(value))
        copy = object.__new__(type(value))
        for put, field in zip(slots.puts, slots.read(value), strict=False):
            put(copy, field)
        for name, field in changes.items():
            slots.put[name](copy, field)
        return copy


def overwrite(value: Any, name: str, field: object) -> None:
    """Change a field of a frozen value in place: only of a copy that nobody else has seen."""
    _slots(type(value)).put[name](value, field)


@dataclass(frozen=True, slots=True)
class _Slots:
    """How to read all fields of a class at once, and how to write each, in order and by name."""

    read: Callable[[Any], tuple[Any, ...]]
    puts: tuple[Put, ...]
    put: dict[str, Put]


_KNOWN: dict[type, _Slots] = {}


def _slots(shape: type) -> _Slots:
    known = _KNOWN.get(shape)
    if known is None:
        names = [field.name for field in dataclasses.fields(shape)]
        put = {name: shape.__dict__[name].__set__ for name in names}
        read = attrgetter(*names) if len(names) > 1 else lambda value: (getattr(value, names[0]),)
        known = _KNOWN[shape] = _Slots(read, tuple(put.values()), put)
    return known
