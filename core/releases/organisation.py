"""The organisation file: people, groups, teams, calendars, freezes and what the company sets for all pipelines.

It never holds a secret: where one is needed it names an environment variable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from core.releases.calendar import Calendar, instant
from core.releases.calendar_parts import build_calendar, never_opens, unsound_calendars
from core.releases.definition import NO_POLICY, PipelineFile, Policy
from core.releases.limits import OWN_ONLY, Limits
from core.releases.organisation_file import FreezePart, OrganisationFile, SelfServicePart
from core.releases.parts import ApprovalPart
from core.releases.pipeline import ApprovalRule
from core.releases.problems import Path, Problem, nearest, shown, validated
from core.releases.source_parts import RegistryPart, SourceConnectionPart
from core.releases.words import listed
from core.releases.world import Freeze, PeopleGroup, Person, Team, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Organisation:
    """The organisation file as values."""

    people: dict[str, Person] = field(default_factory=dict)
    groups: dict[str, PeopleGroup] = field(default_factory=dict)
    teams: dict[str, Team] = field(default_factory=dict)
    administrators: frozenset[str] = frozenset()
    calendars: dict[str, Calendar] = field(default_factory=dict)
    freezes: tuple[Freeze, ...] = ()
    policy: Policy = NO_POLICY
    spread: timedelta = timedelta(minutes=5)
    pager_variable: str = ""
    limits: Limits = OWN_ONLY
    sources: Mapping[str, SourceConnectionPart] = field(default_factory=dict)
    registries: Mapping[str, RegistryPart] = field(default_factory=dict)

    def applied_to(self, world: World, now: datetime) -> World:
        """The world with these people, calendars and planned freezes; those that people placed stay.

        A planned freeze that was taken out of the file while it was on ends `now`.
        """
        planned = {freeze.name for freeze in self.freezes}
        by_hand = tuple(freeze for freeze in world.freezes if freeze.by is not None)
        ended = tuple(
            freeze if freeze.is_over(now) else replace(freeze, ends_at=now)
            for freeze in world.freezes
            if freeze.by is None and freeze.name not in planned and freeze.starts_at < now
        )
        return replace(
            world,
            people=self.people,
            groups=self.groups,
            teams=self.teams,
            administrators=self.administrators,
            calendars=self.calendars,
            freezes=self.freezes + tuple(f for f in ended if f.is_remembered(now)) + by_hand,
            spread=self.spread,
        )


@dataclass(frozen=True, slots=True)
class OrganisationReading:
    """What a document came to: the file as far as it was readable, the organisation if right, and the problems."""

    file: OrganisationFile | None
    organisation: Organisation | None
    problems: tuple[Problem, ...]


def read_organisation(document: object, today: date | None = None) -> OrganisationReading:
    """A document as an organisation, with all that is wrong or unwise; never raises.

    With `today` calendars with dates are asked whether they still open within a year.
    """
    file, problems = validated(OrganisationFile, document)
    if file is None:
        return OrganisationReading(None, None, problems)
    problems += (*_unsound(file), *unsound_calendars(file.calendars, today=today))
    is_good = all(problem.is_warning for problem in problems)
    return OrganisationReading(file, build_organisation(file) if is_good else None, problems)


def build_organisation(file: OrganisationFile) -> Organisation:
    """The values a sound file means."""
    approval = file.policy.production_approval
    return Organisation(
        people={
            key: Person(
                key=key,
                name=part.name,
                slack=part.slack or "",
                identities=frozenset(identity.lower() for identity in (*part.emails, *part.logins)),
                is_bot=part.bot,
            )
            for key, part in file.people.items()
        },
        groups={
            name: PeopleGroup(name=name, members=frozenset(part.members), slack=part.slack or "")
            for name, part in file.groups.items()
        },
        teams={
            name: Team(
                name=name,
                members=frozenset(part.members),
                owners=frozenset(part.owners),
                on_call=part.on_call or "",
            )
            for name, part in file.teams.items()
        },
        administrators=frozenset(file.administrators),
        calendars={name: build_calendar(name, part) for name, part in file.calendars.items()},
        freezes=tuple(_freeze(part) for part in file.freezes),
        policy=Policy(
            minimum_bake=file.policy.minimum_bake or NO_POLICY.minimum_bake,
            production_approval=ApprovalRule(count=approval.count, by=tuple(approval.by), expires=approval.expires)
            if approval
            else None,
        ),
        spread=file.policy.spread_openings,
        pager_variable=file.pager.webhook_env if file.pager else "",
        sources=file.sources,
        registries=file.registries,
        limits=_limits(file.policy.self_service),
    )


def _limits(part: SelfServicePart) -> Limits:
    return Limits(
        deployers=frozenset(part.deployers) if part.deployers is not None else None,
        tests=frozenset(part.tests) if part.tests is not None else None,
        variables=tuple(part.variables),
        files=tuple(part.files),
        values={
            **OWN_ONLY.values,
            **{name: {key: tuple(ways) for key, ways in keys.items()} for name, keys in part.values.items()},
        },
    )


def _freeze(part: FreezePart) -> Freeze:
    """In UTC; of a moment that the clock shows twice the freeze takes the longer way [22]."""
    zone = ZoneInfo(part.zone)
    return Freeze(
        name=part.name,
        starts_at=instant(part.from_, zone),
        ends_at=instant(part.to, zone, is_last=True),
        reason=part.reason or "",
        services=frozenset(part.services),
        scopes=frozenset(part.stages),
        teams=frozenset(part.teams),
    )


# ---- whether it makes sense -----------------------------------------------------------------------------------------


def _unsound(file: OrganisationFile) -> Iterator[Problem]:
    yield from _names_used_twice(file)
    yield from _identities_used_twice(file)
    for name, group in file.groups.items():
        yield from _unknown(file.people, group.members, ("groups", name, "members"), "person")
        if not group.members and group.slack is None:
            yield Problem(("groups", name), f"nobody is in `{name}`", "name `members`, or a `slack` user group")
    for name, team in file.teams.items():
        yield from _unknown(file.people, team.members, ("teams", name, "members"), "person")
        for number, owner in enumerate(team.owners):
            if owner not in team.members:
                mend = nearest(owner, team.members, otherwise="add members")
                yield Problem(("teams", name, "owners", number), f"`{owner}` is no member of `{name}`", mend)
        if team.on_call is not None and team.on_call not in file.groups:
            mend = nearest(team.on_call, file.groups, otherwise=f"add `{team.on_call}: […]` under `groups`")
            yield Problem(("teams", name, "on_call"), f"there is no group `{team.on_call}`", mend)
        if team.on_call is None:
            mend = "add `on_call: GROUP`"
            yield Problem(("teams", name), f"nobody is called when `{name}` needs help", mend, is_warning=True)
    yield from _unknown(file.people, file.administrators, ("administrators",), "person")
    for index, freeze in enumerate(file.freezes):
        if freeze.to <= freeze.from_:
            yield Problem(("freezes", index, "to"), "this freeze ends before it begins", "swap `from` and `to`")
        if freeze.name in (other.name for other in file.freezes[:index]):
            sentence = f"another freeze is called `{freeze.name}`"
            yield Problem(("freezes", index, "name"), sentence, "rename one: people are told by its name")
        for number, owner in enumerate(freeze.teams):
            if owner not in file.teams:
                mend = nearest(owner, file.teams, otherwise=f"add `{owner}` under `teams`")
                yield Problem(("freezes", index, "teams", number), f"there is no team `{owner}`", mend)
    if (rule := file.policy.production_approval) is not None:
        yield from _impossible_approval(file, rule, ("policy", "production_approval"), frozenset())


def _names_used_twice(file: OrganisationFile) -> Iterator[Problem]:
    taken: dict[str, str] = {}
    rooms = (("people", "a person", file.people), ("groups", "a group", file.groups), ("teams", "a team", file.teams))
    for room, what, names in rooms:
        for name in names:
            if name in taken:
                yield Problem((room, name), f"`{name}` is already {taken[name]}", "rename one of them", at_key=True)
            taken.setdefault(name, what)


def _identities_used_twice(file: OrganisationFile) -> Iterator[Problem]:
    """Approvals look people up by these: two owners of one would let an author pass as somebody else [19]."""
    owner: dict[str, str] = {}
    for key, person in file.people.items():
        lists: tuple[tuple[Path, list[str]], ...] = (
            (("people", key, "emails"), person.emails),
            (("people", key, "logins"), person.logins),
        )
        said = [((*path, number), identity) for path, part in lists for number, identity in enumerate(part)]
        if person.slack is not None:
            said.append((("people", key, "slack"), person.slack))
        for path, identity in said:
            other = owner.setdefault(identity.lower(), key)
            if other != key:
                yield Problem(path, f"`{shown(identity)}` belongs to `{other}` already", "give it to one person only")
            elif identity.lower() in file.people and identity.lower() != key:
                yield Problem(path, f"`{shown(identity)}` is the key of another person", "rename that person's key")


def _unknown(known: Iterable[str], names: list[str], path: Path, what: str) -> Iterator[Problem]:
    known, counts = list(known), Counter[str]()
    for number, name in enumerate(names):
        if name not in known:
            mend = nearest(name, known, otherwise=f"add `{name}` under `people`")
            yield Problem((*path, number), f"there is no {what} `{name}`", mend)
        elif counts[name]:
            yield Problem((*path, number), f"`{name}` is named twice", "take one out", is_warning=True)
        counts[name] += 1


def _impossible_approval(
    file: OrganisationFile, rule: ApprovalPart, path: Path, team: frozenset[str]
) -> Iterator[Problem]:
    """Approvals by people who do not exist, or are too few; `team` writes the changes."""
    approvers: set[str] = set()
    is_open = False
    for number, name in enumerate(rule.by):
        if name in file.groups:
            approvers.update(file.groups[name].members)
            is_open = is_open or file.groups[name].slack is not None
        elif name in file.teams:
            approvers.update(file.teams[name].members)
        elif name in file.people:
            approvers.add(name)
        else:
            is_open = True
            mend = nearest(name, [*file.groups, *file.teams, *file.people], otherwise="add it to the organisation file")
            yield Problem((*path, "by", number), f"no person, group or team is called `{name}`", mend)
    people = {name for name in approvers if name in file.people and not file.people[name].bot}
    if is_open:
        return
    if len(people) < rule.count:
        sentence = f"{rule.count} must approve, but only {len(people)} can: machines do not count"
        yield Problem(path, sentence, "name more people, or ask for fewer")
    elif len(people) == rule.count and (writers := sorted(people & team)):
        sentence = f"a change by `{writers[0]}` could never be approved: nobody approves their own, and nobody is left"
        yield Problem(path, sentence, "name one more person who may approve")


def unknown_to_organisation(
    pipeline: PipelineFile, file: OrganisationFile, today: date | None = None
) -> Iterator[Problem]:
    """What a pipeline says of people, teams and calendars that the organisation file does not bear out."""
    if pipeline.team not in file.teams:
        mend = nearest(
            pipeline.team, file.teams, otherwise=f"add `{pipeline.team}` under `teams` in the organisation file"
        )
        yield Problem(("team",), f"there is no team `{pipeline.team}`", mend)
    team = frozenset(file.teams[pipeline.team].members) if pipeline.team in file.teams else frozenset()
    places: list[tuple[Path, Any]] = [(("stages", index), part) for index, part in enumerate(pipeline.stages)]
    places += [(("groups", name), part) for name, part in pipeline.groups.items()]
    for path, part in places:
        if part.approval is not None:
            yield from _impossible_approval(file, part.approval, (*path, "approval"), team)
    yield from _impossible_windows(pipeline, file, today)
    for index, source in enumerate(pipeline.sources):
        if source.from_ not in file.sources:
            mend = nearest(source.from_, file.sources, otherwise=f"add `{source.from_}` under `sources` in org.yaml")
            yield Problem(("sources", index, "from"), f"the organisation has no source `{source.from_}`", mend)


def _impossible_windows(pipeline: PipelineFile, file: OrganisationFile, today: date | None) -> Iterator[Problem]:
    for name in pipeline.calendars:
        if name in file.calendars:
            sentence = f"`{name}` is a calendar of the organisation file already"
            yield Problem(("calendars", name), sentence, "rename this one, or take it out", at_key=True)
    known = {**pipeline.calendars, **file.calendars}
    places: list[tuple[Path, list[str]]] = [(("groups", name), part.windows) for name, part in pipeline.groups.items()]
    places += [(("stages", index), part.windows) for index, part in enumerate(pipeline.stages)]
    for path, windows in places:
        for number, window in enumerate(windows):
            if window not in known:
                mend = nearest(window, known, otherwise=f"add `{window}` under `calendars`")
                yield Problem((*path, "windows", number), f"there is no calendar `{window}`", mend)
    for index, part in enumerate(pipeline.stages):
        group = pipeline.groups[part.group].windows if part.group in pipeline.groups else []
        names = dict.fromkeys([*group, *part.windows])
        calendars = [build_calendar(name, known[name]) for name in names if name in known]
        if len(calendars) > 1 and not any(never_opens([c], today) for c in calendars) and never_opens(calendars, today):
            sentence = (
                f"`{part.name}` could never be entered: {listed([f'`{n}`' for n in names])} are never open together"
            )
            yield Problem(("stages", index), sentence, "leave one of them out, or give them hours in common")
