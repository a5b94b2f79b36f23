"""The kinds of values that definition and organisation files are made of: names, durations, percentages, settings."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema

from core.releases.durations import DURATION_PATTERN, duration_text, parse_duration
from core.releases.problems import Strict, described, refusal, shown

NAME_PATTERN = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
LONGEST_NAME = 40
LARGEST_SETTINGS = 20_000
DEEPEST_SETTINGS = 20
RESERVED = frozenset({"service", "in", "to", "for", "everywhere", "all", "none", "everything", "team", "from", "until"})
"""Words that commands use beside names."""
_NAME = re.compile(NAME_PATTERN)
_PERCENT = re.compile(r"(\d{1,3}) ?%")
_SECRET_KEY = re.compile(r"(^|[_-])(password|passwd|secret|token|api_?key|private_?key|webhook_url)$", re.IGNORECASE)
_SECRET_VALUE = re.compile(
    r"xox[a-z]-|xapp-|gh[pousr]_|hooks\.slack\.com/|-----BEGIN|AKIA[0-9A-Z]{12}|://[^/\s:@]+:[^/\s@]+@"
)


def name_suggestion(text: str) -> str:
    """A name made of a text, or nothing where that cannot be done."""
    words = re.findall(r"[a-z0-9]+", re.sub(r"([a-z0-9])([A-Z])", r"\1-\2", text[:200]).lower())
    slug = "-".join(words)[:LONGEST_NAME].rstrip("-")
    return slug if _NAME.fullmatch(slug) else ""


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise refusal(
            f"a name is a word, not {described(value)}", "write a word that begins with a letter, as `wave-1`"
        )
    if not _NAME.fullmatch(value) or len(value) > LONGEST_NAME:
        better = name_suggestion(value)
        raise refusal(
            f"`{shown(value, 50)}` cannot be a name: names are typed in chat, so they are small letters, digits and "
            f"single dashes, begin with a letter and have at most {LONGEST_NAME} characters",
            f"write `{better}`" if better and better != value else "choose a word such as `wave-1`",
        )
    if value in RESERVED:
        raise refusal(f"`{value}` is a word of the commands and cannot be a name", f"write `{value}-1`, for example")
    return value


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**6:
            mend = f"write `{value}s`, `{value}m` or `{value}h`"
        else:
            mend = "write `90s`, `15m`, `12h`, `7d` or `1h30m`"
        raise refusal(f"a duration is a number with its unit, not {described(value)}", mend)
    try:
        return parse_duration(value)
    except ValueError as error:
        raise refusal(shown(str(error), 90), "write `90s`, `15m`, `12h`, `7d` or `1h30m`, a year at most") from None


def _percent(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and (found := _PERCENT.fullmatch(value.strip())):
        number = int(found[1])
    else:
        raise refusal(f"this must be a percentage, a whole number from 0 to 100, not {described(value)}", "write `33`")
    if not 0 <= number <= 100:
        raise refusal("a percentage lies between 0 and 100", "write `33`, for example")
    return number


def _rate(value: object) -> float:
    text = value.strip().removesuffix("%").rstrip() if isinstance(value, str) else ""
    if isinstance(value, str) and re.fullmatch(r"\d{1,3}(\.\d{1,6})?", text):
        value = float(text)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise refusal(f"this must be a percentage from 0 to 100, not {described(value)}", "write `99.5`")
    if 0 < value < 1:
        raise refusal(f"{value} % is next to nothing", f"write percent: `{value * 100:g}`")
    return float(value)


def _statuses(value: object) -> str:
    """One status, a range, or several of both, as the text `200-299,304`."""
    parts = value if isinstance(value, list) else str(value).split(",") if isinstance(value, str | int) else []
    texts = [str(part).strip() for part in parts if not isinstance(part, bool)]
    for text in texts:
        ends = [int(end) for end in text.split("-")] if re.fullmatch(r"\d{3}(-\d{3})?", text) else [0]
        if not all(100 <= end <= 599 for end in ends) or ends[0] > ends[-1]:
            raise refusal(f"`{shown(text, 20)}` is no HTTP status", "write `200`, `200-399` or `[200, 204]`")
    if not texts:
        raise refusal(f"this must be an HTTP status, not {described(value)}", "write `200`, `200-399` or `[200, 204]`")
    return ",".join(texts)


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        parts, is_good = urlsplit(""), False
    if not is_good or not value.isprintable() or " " in value or len(value) > 2000:
        raise refusal(f"`{shown(value)}` is no web address", "write the whole address, beginning with `https://`")
    if parts.password or parts.username:
        raise refusal(
            "an address in a file must carry no user or password", "take it out; name an environment variable"
        )
    return value


def _channel(value: str) -> str:
    if re.fullmatch(r"#[a-z0-9][a-z0-9_-]{0,79}|[CG][A-Z0-9]{2,20}", value):
        return value
    better = re.sub(r"[^a-z0-9_-]+", "-", value.lower()).strip("-_")[:79]
    raise refusal(
        f"`{shown(value)}` is no Slack channel",
        f'write `"#{better or "releases"}"` in quotes, because # begins a comment, or the id of the channel',
    )


def _line(value: str) -> str:
    if not value.strip() or not value.isprintable() or len(value) > 200:
        raise refusal("this must be one line of 1 to 200 characters", "shorten it")
    return value


def json_text(value: object) -> str:
    """A value as canonical JSON: one text for one meaning."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _settings(value: dict[str, Any]) -> dict[str, Any]:
    """Whether settings are plain JSON, small, and free of secrets; walked without recursion."""
    rest: list[tuple[object, int]] = [(value, 1)]
    while rest:
        here, depth = rest.pop()
        if depth > DEEPEST_SETTINGS:
            raise refusal(f"settings are nested more than {DEEPEST_SETTINGS} deep", "make them flatter")
        if isinstance(here, dict):
            for key, inner in here.items():
                if not isinstance(key, str) or not key.isprintable():
                    raise refusal(f"a key must be text, not {described(key)}", "write the key in quotes")
                _refuse_secret(key, inner)
                rest.append((inner, depth + 1))
        elif isinstance(here, list):
            for inner in here:
                _refuse_secret("value", inner)
                rest.append((inner, depth + 1))
        else:
            _refuse_odd(here)
    if len(json_text(value)) > LARGEST_SETTINGS:
        raise refusal(
            f"settings are larger than {LARGEST_SETTINGS} characters", "keep large things in files of their own"
        )
    return value


def _refuse_odd(value: object) -> None:
    """Refuse what JSON or the database could not give back as it was."""
    match value:
        case str() if any("\ud800" <= char <= "\udfff" or char == "\0" for char in value):
            raise refusal("this text holds broken characters", "write it again, as UTF-8")
        case float() if not math.isfinite(value):
            raise refusal("a number must be finite", "write a number")
        case int() if not -(2**63) <= value < 2**63:
            raise refusal("a number is too large", "write it in quotes, if it is a name")
        case str() | float() | int() | None:
            pass
        case _:
            raise refusal(f"settings cannot hold {described(value)}", "write text, numbers, lists and mappings only")


def _refuse_secret(key: str, value: object) -> None:
    if isinstance(value, str) and ((value and _SECRET_KEY.search(key)) or _SECRET_VALUE.search(value)):
        raise refusal(
            f"`{shown(key)}` seems to hold a secret; definition files are read by many people",
            f"keep it in an environment variable and name that: `{shown(key)}_env: MY_VARIABLE`",
            "secret",
        )


def matching(pattern: str, what: str, mend: str) -> AfterValidator:
    """Text that matches a pattern in full."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise refusal(f"`{shown(value, 40)}` is no {what}", mend)
        return value

    return AfterValidator(check)


Name = Annotated[
    str,
    BeforeValidator(_name),
    WithJsonSchema({"type": "string", "pattern": NAME_PATTERN, "maxLength": LONGEST_NAME}),
]
Names = Annotated[
    list[Name],
    Field(max_length=50),
    BeforeValidator(_one_or_many),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string", "pattern": NAME_PATTERN}}]}
    ),
]
Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(duration_text),
    WithJsonSchema(
        {"type": "string", "pattern": DURATION_PATTERN, "minLength": 2, "examples": ["90s", "15m", "1h30m"]}
    ),
]
Percent = Annotated[
    int,
    BeforeValidator(_percent),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 100}, {"type": "string", "pattern": r"^\d{1,3} ?%$"}]}
    ),
]
Rate = Annotated[
    float,
    BeforeValidator(_rate),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0, "maximum": 100}, {"type": "string"}]}),
]
Statuses = Annotated[
    str,
    BeforeValidator(_statuses),
    WithJsonSchema(
        {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "array", "items": {"type": "integer"}}]}
    ),
]
Url = Annotated[str, AfterValidator(_url), WithJsonSchema({"type": "string", "pattern": "^https?://"})]
Channel = Annotated[
    str, AfterValidator(_channel), WithJsonSchema({"type": "string", "pattern": "^(#[a-z0-9_-]+|[CG][A-Z0-9]+)$"})
]
Line = Annotated[str, AfterValidator(_line)]
Variable = Annotated[
    str,
    matching("[A-Z][A-Z0-9_]{0,99}", "name of an environment variable", "write its name only: `ANDON_PAGER_URL`"),
]
Settings = Annotated[dict[str, Any], AfterValidator(_settings)]
Labels = Annotated[dict[Line, Line], Field(max_length=20)]


class Shorthand(Strict):
    """A mapping of which one key may stand for the whole: `bake: 15m` for `bake: {for: 15m}`."""

    short_key: ClassVar[str]
    short_is_list: ClassVar[bool] = False
    """A list, and one text alone, are short for that key too."""

    short_is_number: ClassVar[bool] = False

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: object) -> object:
        if isinstance(value, str) or (cls.short_is_number and isinstance(value, int)):
            return {cls.short_key: [value] if cls.short_is_list else value}
        if isinstance(value, list) and cls.short_is_list:
            return {cls.short_key: value}
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The long form, or what the short key takes."""
        schema = handler(core_schema)
        whole = handler.resolve_ref_schema(schema)
        properties: Mapping[str, Any] = whole["properties"]
        short = {key: value for key, value in properties[cls.short_key].items() if key not in ("default", "title")}
        texts = [{"type": "string"}] if cls.short_is_list else []
        long = dict(whole)
        whole.clear()
        whole.update({"anyOf": [*texts, short, long]})
        return schema
