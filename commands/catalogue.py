"""The catalogue of services: what there is, whose it is, what it uses and who uses it, as the definitions say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from commands.answers import Facts, joined
from commands.dialect import Dialect
from commands.words import listed, shorten
from core.releases.likeness import most_like
from core.releases.pipeline import About, Pipeline
from core.releases.roster import definitions
from core.releases.state import PipelineState
from core.releases.world import World

NAMES_SHOWN = 12


def services_of(subject: str, pipelines: Mapping[str, PipelineState], world: World, d: Dialect) -> tuple[str, Facts]:
    """One line for each service of a team, with a part of a name or description, or of all; most needed first."""
    every = _services(pipelines)
    found = {name: lines for name, lines in every.items() if _is_meant(subject, name, lines)}
    if not found:
        near = most_like(subject, [*every, *world.teams]) if subject else ()
        offer = f" Did you mean {listed(near, 'or')}?" if near else ""
        whole = f"No service is called “{shorten(subject)}” or belongs to such a team.{offer}"
        return d.words(whole if subject else "There is no service yet; `/release init` makes the first."), {
            "services": []
        }
    users = _users(every)
    ordered = sorted(found, key=lambda name: (_about(found[name]).tier or 9, name))
    lines = [_line(name, found[name], d) for name in ordered]
    facts: list[object] = [_facts(name, found[name], users.get(name, []), world) for name in ordered]
    return joined(lines, d, len(lines)), {"services": facts if d.carries_facts else []}


def owner_of(service: str, pipelines: Mapping[str, PipelineState], world: World, d: Dialect) -> tuple[str, Facts]:
    """All that the catalogue knows of one service."""
    every = _services(pipelines)
    found, users = every[service], _users(every).get(service, [])
    lines = list(_described(service, found, users, world, d))
    return joined(lines, d, len(lines)), _facts(service, found, users, world)


def _services(pipelines: Mapping[str, PipelineState]) -> dict[str, list[Pipeline]]:
    found: dict[str, list[Pipeline]] = {}
    for definition in sorted(definitions(pipelines), key=lambda definition: definition.id):
        found.setdefault(definition.service, []).append(definition)
    return found


def _is_meant(subject: str, name: str, lines: list[Pipeline]) -> bool:
    if any(line.team == subject for line in lines):
        return True
    return subject in name or subject in _about(lines).description.casefold()


def _about(lines: list[Pipeline]) -> About:
    """What its pipelines say together: the first that says something, and the dependencies of all."""
    told = [line.about for line in lines]
    return About(
        description=next((about.description for about in told if about.description), ""),
        tier=min((about.tier for about in told if about.tier), default=0),
        links=tuple(dict.fromkeys(link for about in told for link in about.links)),
        interfaces=tuple(dict.fromkeys(one for about in told for one in about.interfaces)),
        depends_on=tuple(dict.fromkeys(name for about in told for name in about.depends_on)),
    )


def _users(every: Mapping[str, list[Pipeline]]) -> dict[str, list[str]]:
    """For each service, those that say they depend on it."""
    users: dict[str, list[str]] = {}
    for name, lines in every.items():
        for used in _about(lines).depends_on:
            users.setdefault(used, []).append(name)
    return users


def _teams(lines: Iterable[Pipeline]) -> list[str]:
    return list(dict.fromkeys(line.team for line in lines))


def _line(name: str, lines: list[Pipeline], d: Dialect) -> str:
    about = _about(lines)
    tier = f", tier {about.tier}" if about.tier else ""
    what = f": {d.words(about.description)}" if about.description else ""
    channels = listed([d.channel(name) for name in dict.fromkeys(line.channel for line in lines)])
    return f"• {d.strong(name)} of the team {d.words(listed(_teams(lines)))}{tier}, in {channels}{what}"


def _described(name: str, lines: list[Pipeline], users: list[str], world: World, d: Dialect) -> Iterable[str]:
    about = _about(lines)
    tier = f", tier {about.tier}" if about.tier else ""
    yield f"{d.strong(name)} belongs to the team {d.words(listed(_teams(lines)))}{tier}."
    if about.description:
        yield d.words(about.description)
    for team_name in _teams(lines):
        yield from _people(team_name, world, d)
    yield f"Channel: {listed([d.channel(name) for name in dict.fromkeys(line.channel for line in lines)])}"
    links = [
        *about.links,
        *((word, url) for line in lines for word, url in (("dashboard", line.dashboard), ("runbook", line.runbook))),
    ]
    if shown := [d.link(words, url) for words, url in dict.fromkeys(links) if url]:
        yield f"Links: {' · '.join(shown)}"
    if about.interfaces:
        yield f"Interfaces: {' · '.join(d.link(words, url) for words, url in about.interfaces)}"
    if about.depends_on:
        yield f"It uses: {d.words(listed(about.depends_on, most=NAMES_SHOWN))}"
    if users:
        yield f"Used by: {d.words(listed(users, most=NAMES_SHOWN))}"
    if not about.depends_on and not users:
        yield d.words("Nobody has said what it uses or who uses it; `about:` in its definition is the place.")
    if len(lines) > 1:
        yield f"Pipelines: {d.words(listed([line.id for line in lines], most=NAMES_SHOWN))}"


def _people(name: str, world: World, d: Dialect) -> Iterable[str]:
    team = world.teams.get(name)
    if team is None:
        yield d.words(f"The organisation file has no team {name}.")
        return
    owners = [world.name_of(key) for key in sorted(team.owners)]
    members = [world.name_of(key) for key in sorted(team.members)]
    said = [f"Owners: {listed(owners, most=NAMES_SHOWN)}"] if owners else []
    said.append(f"Members: {listed(members, most=NAMES_SHOWN) or 'nobody yet'}")
    if team.on_call:
        called = sorted(world.name_of(key) for key in world.expand((team.on_call,)))
        said.append(f"On call ({team.on_call}): {listed(called, most=NAMES_SHOWN) or 'nobody'}")
    yield d.words(". ".join(said) + ".")


def _facts(name: str, lines: list[Pipeline], users: list[str], world: World) -> Facts:
    about = _about(lines)
    teams = _teams(lines)
    known = [world.teams[team] for team in teams if team in world.teams]
    return {
        "service": name,
        "teams": teams,
        "owners": sorted({key for team in known for key in team.owners}),
        "on_call": sorted({key for team in known if team.on_call for key in world.expand((team.on_call,))}),
        "tier": about.tier or None,
        "description": about.description,
        "channels": list(dict.fromkeys(line.channel for line in lines)),
        "links": dict(about.links),
        "interfaces": dict(about.interfaces),
        "depends_on": list(about.depends_on),
        "used_by": users,
        "pipelines": [line.id for line in lines],
    }
