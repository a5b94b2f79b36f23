"""What is wrong with a file, in words people can act on: the place, the problem and the mend."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from core.releases.likeness import most_like

Path = tuple[str | int, ...]
ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong (or, as a warning, unwise). `path` leads to it from the top of the file.

    `at_key` says that the key is meant rather than its value; `code` names the kind for programs.
    """

    path: Path
    sentence: str
    mend: str = ""
    is_warning: bool = False
    at_key: bool = False
    code: str = "rule"


class Strict(BaseModel):
    """The base of everything read from files: no unknown keys, no silent conversions, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


def refusal(sentence: str, mend: str = "", code: str = "rule") -> PydanticCustomError:
    """An error for validators to raise; it arrives as a `Problem` with this sentence and mend."""
    return PydanticCustomError(
        cast("Any", code if code.isidentifier() else "rule"),
        "{sentence}",
        {"sentence": sentence, "mend": mend, "is_ours": True},
    )


def validated(model: type[ModelT], document: object) -> tuple[ModelT | None, tuple[Problem, ...]]:
    """The document as a model and no problems; or what is wrong, all of it.

    Where the rest is readable without the wrong parts, both are given, so that more can be looked at.
    """
    empty = _empties(document)
    problems = tuple(
        Problem(
            path, f"`{shown(str(path[-1]))}` is empty", "fill it in, or leave the key out", at_key=True, code="empty"
        )
        for path in empty
    )
    pruned = _without(document, empty)
    try:
        return model.model_validate(pruned), problems
    except ValidationError as error:
        details = error.errors(include_url=False)
    problems += tuple(_problem(model, detail) for detail in details if detail["loc"] not in empty)
    return _remains(model, pruned, [detail["loc"] for detail in details]), problems


def _remains(model: type[ModelT], document: object, wrong: list[Path]) -> ModelT | None:
    """The model without its wrong optional parts, or without what holds them; None if something needed is wrong."""
    for _ in range(5):
        document = _without(document, wrong)
        try:
            return model.model_validate(document)
        except ValidationError as error:
            wrong = [_holder(detail["loc"]) for detail in error.errors(include_url=False)]
    return None


def _holder(path: Path) -> Path:
    """The nearest key above a place; an item of a list cannot go without moving the others."""
    path = path[:-1]
    while path and isinstance(path[-1], int):
        path = path[:-1]
    return path


def path_text(path: Path) -> str:
    """A path as people write it: `stages[2].bake`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{shown(step)}" if text else shown(step)
    return text or "(the file)"


def shown(text: str, limit: int = 60) -> str:
    """Untrusted text on one line: control characters escaped, cut to `limit`."""
    line = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text[: limit * 2])
    return line if len(line) <= limit else line[: limit - 1] + "…"


def nearest(word: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """The mend for a name that does not exist: the one probably meant, else what there is."""
    names = sorted(set(known))
    close = most_like(word, names, 1)
    if close:
        return f"did you mean `{close[0]}`?"
    if names:
        listed = ", ".join(f"`{name}`" for name in names[:14])
        return f"there is {listed}" + (" …" if len(names) > 14 else "")
    return otherwise


def described(value: object) -> str:
    """What a value is, in words; text is never repeated in full."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() | float():
            digits = repr(value) if isinstance(value, float) or -(10**18) < value < 10**18 else "too long to print"
            return f"the number {digits}"
        case str():
            return f"the text `{shown(value, 30)}`" if value else "an empty text"
        case list() | tuple():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return f"a value of the kind {type(value).__name__}"


_WANTED = {
    "string_type": "text",
    "string_unicode": "text without broken characters",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "`true` or `false`",
    "list_type": "a list",
    "dict_type": "a mapping (`key: value`)",
    "model_type": "a mapping (`key: value`)",
    "model_attributes_type": "a mapping (`key: value`)",
}


def _problem(model: type[BaseModel], detail: ErrorDetails) -> Problem:
    """One error of pydantic's in our words."""
    loc, kind, value = detail["loc"], detail["type"], detail["input"]
    context: Mapping[str, Any] = detail.get("ctx", {})
    at_key = bool(loc) and loc[-1] == "[key]"
    path: Path = loc[:-1] if at_key else loc
    if context.get("is_ours"):
        return Problem(path, context["sentence"], context["mend"], at_key=at_key, code=kind)
    if kind == "missing":
        field = _fields(model, loc[:-1]).get(str(loc[-1]))
        example = field.examples[0] if field is not None and field.examples else "…"
        return Problem(path, f"`{loc[-1]}` is missing", f"add `{loc[-1]}: {example}`", code=kind)
    if kind == "extra_forbidden":
        mend = nearest(str(loc[-1]), _fields(model, loc[:-1]))
        return Problem(path, f"`{shown(str(loc[-1]))}` is no key of this place", mend, at_key=True, code=kind)
    if kind in _WANTED:
        return Problem(path, f"this must be {_WANTED[kind]}, not {described(value)}", _how(kind, value), code=kind)
    if kind in ("enum", "literal_error"):
        choices = [choice.strip("'") for choice in str(context["expected"]).replace(" or ", ", ").split(", ")]
        sentence = f"this must be one of {', '.join(f'`{choice}`' for choice in choices)}, not {described(value)}"
        mend = nearest(str(value), choices) if isinstance(value, str) else ""
        return Problem(path, sentence, mend if mend.startswith("did") else f"write one of them, such as `{choices[0]}`")
    if kind == "invalid_key":
        return Problem(path[:-1], f"a key must be text, not {described(value)}", "write the key in quotes", code=kind)
    sentence = detail["msg"].removeprefix("Value error, ").replace("Input should", "this should")
    return Problem(path, sentence, "" if kind == "value_error" else "change the value", code=kind)


def _how(kind: str, value: object) -> str:
    if kind == "string_type" and isinstance(value, int | float):
        written = ("true" if value else "false") if isinstance(value, bool) else described(value).split()[-1]
        return f'write it in quotes: "{written}"'
    if kind == "bool_type":
        return "write `true` or `false`, without quotes"
    if kind == "list_type":
        return "write `[a, b]`, or one `- item` a line"
    if kind in ("int_type", "int_from_float", "float_type"):
        return "write digits only, without quotes"
    if value is None:
        return "fill it in, or leave the key out"
    return "see docs/definition.md for what stands here"


# ---- what a model allows at a place ---------------------------------------------------------------------------------


def _fields(model: type[BaseModel], loc: Sequence[str | int]) -> dict[str, FieldInfo]:
    """The fields of the model that stands at `loc`, by the names of the file."""
    here: list[Any] = [model]
    for step in loc:
        here = [inner for kind in here for inner in _inside(kind, step)]
    return {
        field.alias or name: field
        for kind in here
        if isinstance(kind, type) and issubclass(kind, BaseModel)
        for name, field in kind.model_fields.items()
    }


def _inside(kind: Any, step: str | int) -> list[Any]:
    """The types that a step into a value of type `kind` may lead to."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            if step == (field.alias or name):
                return _plain(field.annotation)
        return []
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is list and isinstance(step, int):
        return _plain(arguments[0])
    if origin is dict:
        return _plain(arguments[1])
    return []


def _plain(kind: Any) -> list[Any]:
    """A type without `Annotated` and `| None`."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _plain(get_args(kind)[0])
    if origin in (Union, types.UnionType):
        return [inner for argument in get_args(kind) for inner in _plain(argument)]
    return [kind]


def _empties(document: object) -> list[Path]:
    """Where a key has no value; settings of others (`with:`) may hold what they like. Deep places are left alone."""
    found: list[Path] = []
    rest: list[tuple[object, Path]] = [(document, ())]
    while rest:
        value, path = rest.pop()
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in inner:
            if item is None and isinstance(key, str):
                found.append((*path, key))
            elif key != "with" and len(path) < 8:
                rest.append((item, (*path, key)))
    return found


def _without(document: object, places: Iterable[Path]) -> object:
    """A copy of the document without the parts at `places`.

    Items of lists stay, so that paths go on meaning the same. Only the way to those places is walked, however deep the
    document is.
    """
    gone = set(places)
    ways = {place[:length] for place in gone for length in range(len(place))}

    def copy(value: object, path: Path) -> object:
        if path not in ways:
            return value
        if isinstance(value, dict):
            return {key: copy(inner, (*path, key)) for key, inner in value.items() if (*path, key) not in gone}
        if isinstance(value, list):
            return [copy(inner, (*path, index)) for index, inner in enumerate(value)]
        return value

    return copy(document, ())
