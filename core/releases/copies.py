"""`replace` for frozen values with slots, `quick` for those often made: what dataclasses do, at a third of the price.

A decision makes dozens of such values, and every acknowledgement waits for one. The slots are copied as they are, past
`__init__`: a copy of a whole value is whole. What copies or makes a value is written out for its class, as dataclasses
write their own methods, but for one thing: it writes the slots themselves, where theirs go by way of `object`.
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


def quick(of: type[T]) -> type[T]:
    """A frozen dataclass with slots, above whose own decorator this one stands, made in a third of the time."""
    fields = dataclasses.fields(of)  # type: ignore[arg-type]
    made: dict[str, Any] = {f"put_{field.name}": getattr(of, field.name).__set__ for field in fields}
    made |= {f"usual_{field.name}": field.default for field in fields}
    takes = {True: ["*"], False: ["self"]}
    for field in fields:
        assert field.default_factory is dataclasses.MISSING, f"{of.__name__}.{field.name} makes its own default"
        usual = "" if field.default is dataclasses.MISSING else f"=usual_{field.name}"
        takes[bool(field.kw_only)].append(f"{field.name}{usual}")
    lines = [f"def __init__({', '.join(takes[False] + (takes[True] if len(takes[True]) > 1 else []))}):"]
    lines += [f"    put_{field.name}(self, {field.name})" for field in fields]
    lines += ["    self.__post_init__()"] if hasattr(of, "__post_init__") else []
    exec("\n".join([*lines, "    return None"]), made)  # noqa: S102
    made["__init__"].__qualname__ = f"{of.__qualname__}.__init__"
    made["__init__"].__annotations__ = of.__init__.__annotations__
    of.__init__ = made["__init__"]  # type: ignore[method-assign]
    return of


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
