"""`replace` for frozen values with slots: what `dataclasses.replace` does, at a tenth of its price.

A decision makes dozens of such copies, and every acknowledgement waits for one. The slots are copied as they are, past
`__init__`: a copy of a whole value is whole. What copies is written out for each class when it is first needed, as
dataclasses write their own methods.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")
Put = Callable[[Any, Any], None]
Shape = tuple[Callable[[Any], Any], dict[str, Put]]
"""What copies a value of a class, and what writes each of its fields."""

if TYPE_CHECKING:
    # Type checkers know the fields of every dataclass by this name.
    from dataclasses import replace as replace  # noqa: PLC0414 - handed on
else:

    def replace(value: T, /, **changes: object) -> T:
        """The value with some of its fields changed."""
        copied, puts = _KNOWN.get(value.__class__) or _shape(value.__class__)
        copy = copied(value)
        for name, field in changes.items():
            puts[name](copy, field)
        return copy


def overwrite(value: Any, name: str, field: object) -> None:
    """Change a field of a frozen value in place: only of a copy that nobody else has seen."""
    puts = (_KNOWN.get(value.__class__) or _shape(value.__class__))[1]
    puts[name](value, field)


def writers(of: type) -> dict[str, Put]:
    """For each field of a class what overwrites it, for whoever does it often."""
    return (_KNOWN.get(of) or _shape(of))[1]


_KNOWN: dict[type, Shape] = {}


def _shape(of: type) -> Shape:
    puts: dict[str, Put] = {field.name: of.__dict__[field.name].__set__ for field in dataclasses.fields(of)}
    known = _KNOWN[of] = (_written_out(of, puts), puts)
    return known


def _written_out(of: type, puts: dict[str, Put]) -> Callable[[Any], Any]:
    """A function that copies a value of one class, field by field, without a loop."""
    lines = ["def copied(value):", "    copy = new(shape)"]
    lines += [f"    put_{name}(copy, value.{name})" for name in puts]
    lines += ["    return copy"]
    # Names of fields are all that goes in, and Python has taken them for names already.
    made: dict[str, Any] = {"new": object.__new__, "shape": of} | {f"put_{name}": put for name, put in puts.items()}
    exec("\n".join(lines), made)  # noqa: S102
    copied: Callable[[Any], Any] = made["copied"]
    return copied
