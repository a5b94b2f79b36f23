"""Takes what somebody typed apart: Slack's escapes away, then name by name from the front, forgiving about quotes."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from core.releases.likeness import QUOTES, fold

KEYWORDS = frozenset({"in", "to", "for", "everywhere", "last"})
"""Words of the grammar; a name like one of them must stand in quotes."""
_CLOSING = {"“": "”“", "„": "“”", "‟": "”", "«": "»", "»": "«", "‘": "’‘", "‚": "‘’"}
_PUNCTUATION = ".,;:!?"
_TOKEN = re.compile(r"<([^<>]*)>")
_ADDRESSED = re.compile(r"^(?:<@[^<>]*>|@?andon\b(?!-)|/release\b)[\s:,]*", re.IGNORECASE)


def heard_in_slack(text: str, name_of: Callable[[str], str] = lambda identity: identity) -> str:
    """What a person meant by a text as Slack sends it; `name_of` turns a Slack user id into a name."""
    text = _ADDRESSED.sub("", text.strip())
    # Entities last: an escaped `&lt;@U1&gt;` is what somebody typed, not a mention.
    return tidy(html.unescape(_TOKEN.sub(lambda found: _meant(found[1], name_of), text)))


def heard_in_shell(arguments: Sequence[str]) -> str:
    """The words of a shell's command line; what the shell had in quotes stays together."""
    return tidy(" ".join(f'"{word}"' if re.search(r"\s", word) else word for word in arguments))


def tidy(text: str) -> str:
    """One line, single spaces, without a leading `/release` or the bot's name."""
    return _ADDRESSED.sub("", " ".join(text.split()))


def _meant(token: str, name_of: Callable[[str], str]) -> str:
    target, _, label = token.partition("|")
    match target[:1]:
        case "@":
            return "@" + (label.lstrip("@") or name_of(target[1:]))
        case "#":
            return "#" + (label.lstrip("#") or target[1:])
        case "!":
            return label or "@" + target[1:].partition("^")[0]
    return label or target


def shorten(word: str, length: int = 60) -> str:
    """A word as it can be repeated in an answer."""
    return word if len(word) <= length else word[: length - 1] + "…"


def listed(names: Sequence[str], last: str = "and", most: int = 5) -> str:
    """Names in a sentence: "a, b and c"; beyond `most`, "a, b, … and 12 more"."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"


class Words:
    """What is left of a tidied text, taken from the front."""

    def __init__(self, text: str) -> None:
        self.rest = text.strip()

    def __bool__(self) -> bool:
        return bool(self.rest)

    @property
    def next(self) -> str:
        """The next word as typed, empty at the end."""
        return self.rest.partition(" ")[0]

    def take(self) -> str:
        """The next word."""
        word, _, self.rest = self.rest.partition(" ")
        self.rest = self.rest.lstrip()
        return word

    def take_keyword(self, *keywords: str) -> str:
        """The next word if it is one of these (never one in quotes), else nothing is taken and it is empty."""
        word = self.next.casefold()
        return self.take().casefold() if word in keywords else ""

    def take_name(self, names: Iterable[str]) -> str:
        """One of these names, in quotes or not, else empty. Names may hold spaces; the longest that fits is taken."""
        by_typed: dict[str, str] = {}
        for name in names:
            by_typed.setdefault(" ".join(name.split()), name)
        for form, name in self._beginnings(max((typed.count(" ") for typed in by_typed), default=0) + 1):
            if form not in KEYWORDS and name in by_typed and name:
                self.rest = self.rest[len(form) :].lstrip()
                return by_typed[name]
        return self._take_alike(by_typed)

    def _beginnings(self, most_words: int) -> Iterator[tuple[str, str]]:
        """The first words, longest first, as they stand and as the name they may be: in plain quotes, then without."""
        ends = [found.start() for found in islice(re.finditer(" |$", self.rest), most_words + 2)]
        for end in reversed(ends):
            form = self.rest[:end]
            if len(form) > 2 and form[0] == form[-1] == '"':
                yield form, form[1:-1]
            yield form, form

    def _take_alike(self, by_typed: dict[str, str]) -> str:
        alike = self.quoted() or self.next
        if self.next.casefold() in KEYWORDS:
            return ""
        for form in (alike, alike.rstrip(_PUNCTUATION)):
            found = [name for typed, name in by_typed.items() if fold(typed) == fold(form)]
            if len(found) == 1 and fold(form):
                self._drop(alike)
                return found[0]
        return ""

    def quoted(self) -> str:
        """What stands in quotes at the front, without them; empty if nothing does. A closing quote ends a word."""
        if not self.rest or self.rest[0] not in QUOTES:
            return ""
        closing = _CLOSING.get(self.rest[0], self.rest[0])
        end = re.search(f"[{re.escape(closing)}](?=\\s|$|[{re.escape(_PUNCTUATION)}](?:\\s|$))", self.rest[1:])
        return self.rest[1 : end.start() + 1] if end else ""

    def _drop(self, alike: str) -> None:
        if self.quoted() == alike and alike:
            self.rest = self.rest[len(alike) + 2 :].lstrip(_PUNCTUATION).lstrip()
        else:
            self.take()

    def take_all(self) -> str:
        """Everything that is left; one pair of quotes around all of it is taken off."""
        text, self.rest = self.rest, ""
        if len(text) > 1 and text[0] in QUOTES and text[-1] in _CLOSING.get(text[0], text[0]):
            return text[1:-1].strip()
        return text
