"""Draws Slack messages and modals from `templates/`: the words are theirs, escaping and structure are not.

A template prints nothing itself. It calls the builders of `draw`; every `{{ value }}` in it is escaped unless one of
our filters made it. An operator's directory of templates comes before ours.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import jinja2

from bot.drawing import LIMITS, Drawing, Message, Option, TemplateMistake, plain
from commands import mrkdwn
from commands.mrkdwn import Mrkdwn, cut, escape
from commands.words import listed
from core.releases.words import place
from core.releases.world import World

__all__ = ["LIMITS", "Drawing", "Message", "Option", "TemplateMistake", "Templates", "built_in", "mention"]

log = logging.getLogger(__name__)

MENTIONS: Final = 10
"""A group without a Slack group of its own is mentioned person by person up to this size."""
BUILT_IN: Final = Path(__file__).resolve().parent.parent / "templates"


class Templates:
    """All templates: an operator's directory first, ours behind it."""

    def __init__(self, overrides: Path | None = None) -> None:
        self._own = _environment(BUILT_IN)
        self._overridden = _environment(overrides) if overrides is not None else None

    def names(self) -> tuple[str, ...]:
        """The names of all templates."""
        return tuple(sorted(name.removesuffix(".jinja") for name in self._own.list_templates(["jinja"])))

    def compile(self) -> None:
        """Compile all of ours now: a third of a second, in which nobody else would be answered later."""
        for name in self.names():
            self._own.get_template(f"{name}.jinja")

    def draw(self, name: str, world: World, **view: object) -> Drawing:
        """Run a template on what it shows; an operator's that fails is logged and ours is used, so no card is lost."""
        if self._overridden is not None:
            try:
                return _run(self._overridden, name, world, view)
            except jinja2.TemplateNotFound:
                pass
            except (jinja2.TemplateError, TemplateMistake, TypeError, ValueError) as error:
                log.error("the template %s of the operator cannot be used: %s", name, error)  # noqa: TRY400
        return _run(self._own, name, world, view)

    def message(self, name: str, world: World, **view: object) -> Message:
        """A message drawn from a template."""
        return self.draw(name, world, **view).message(name)


@functools.cache
def built_in() -> Templates:
    """Our own templates, compiled once; what `build()` passes on where no operator overrides them."""
    return Templates()


def _run(environment: jinja2.Environment, name: str, world: World, view: Mapping[str, object]) -> Drawing:
    drawing = Drawing()
    rest = environment.get_template(f"{name}.jinja").render(draw=drawing, world=world, **view)
    if rest.strip():
        raise TemplateMistake(f"{name} has words outside of a block: {rest.strip()[:60]}")
    if name.startswith("modal_"):
        if not drawing.title or not any(block.get("block_id") == "reason" for block in drawing.blocks):
            raise TemplateMistake(f"{name} needs draw.name and draw.reason.")
    elif not drawing.text:
        raise TemplateMistake(f"{name} says nothing: call draw.say once.")
    return drawing


def _environment(directory: Path) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(directory),
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        # Not Jinja's own escaping, which is for HTML: quotes would arrive as entities.
        autoescape=False,  # noqa: S701
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.clear()
    environment.filters.update(
        {
            "mention": _mention,
            "mentions": _mentions,
            "named": _named,
            "time": mrkdwn.date,
            "link": mrkdwn.link,
            "code": mrkdwn.code,
            "strong": mrkdwn.strong,
            "join": mrkdwn.join,
            "people": _people,
            "place": place,
            "is_url": mrkdwn.is_url,
            "short": _short,
            "headline": _headline,
            "capital": _capital,
            "length": len,
        }
    )
    return environment


def _finalize(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | Mrkdwn | jinja2.Undefined):
        raise TemplateMistake(f"a template prints {type(value).__name__}: only text and numbers can be printed")
    return value if isinstance(value, Mrkdwn) else escape(str(value))


@jinja2.pass_context
def _mention(context: jinja2.runtime.Context, key: str) -> Mrkdwn:
    """Ask somebody: a mention where their Slack id is known, else their name."""
    return mention(key, context["world"])


@jinja2.pass_context
def _mentions(context: jinja2.runtime.Context, keys: Sequence[str]) -> Mrkdwn:
    """Ask several."""
    return mrkdwn.join((mention(key, context["world"]) for key in keys), ", ", " and ")


def mention(key: str, world: World) -> Mrkdwn:
    """A mention of a person, group or team by key; of each member where a group has no Slack id of its own."""
    if key in world.people:
        person = world.people[key]
        return mrkdwn.user(person.slack) if person.slack else escape(person.name)
    if key.startswith("slack:"):
        return mrkdwn.user(key.removeprefix("slack:")) if key[6:].isalnum() else escape(key)
    group = world.groups.get(key)
    if group is not None and group.slack:
        return mrkdwn.user_group(group.slack)
    team = world.teams.get(key)
    members = sorted(group.members if group else team.members if team else ())
    if not members or len(members) > MENTIONS:
        return escape(key)
    people = [mention(member, world) for member in members if member in world.people]
    return Mrkdwn(f"{escape(key)} ({mrkdwn.join(people)})")


@jinja2.pass_context
def _named(context: jinja2.runtime.Context, identity: str) -> str:
    """The name of a person by key or identity, without mention."""
    world: World = context["world"]
    person = world.person_known_as(identity)
    return person.name if person is not None else identity


@jinja2.pass_context
def _people(context: jinja2.runtime.Context, identities: Sequence[str], most: int = 3) -> str:
    """The names of people known by these identities, once each; without mention."""
    names = list(dict.fromkeys(cut(plain(_named(context, identity)), 60) for identity in identities))
    return listed(names, most=most)


def _short(text: str, length: int = 120) -> Mrkdwn:
    """Somebody's text on one line, cut."""
    return Mrkdwn(cut(" ".join(escape(text).split()), length))


def _headline(text: str, length: int = 120) -> Mrkdwn:
    """The first line of somebody's text that says something, cut."""
    line = next((line for line in text.splitlines() if mrkdwn.clean(line).strip()), "")
    return _short(Mrkdwn(line) if isinstance(text, Mrkdwn) else line, length)


def _capital(text: str) -> str:
    """The text with a capital first letter, as a sentence begins."""
    return type(text)(text[:1].upper() + text[1:])
