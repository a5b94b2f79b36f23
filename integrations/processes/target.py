"""A target: some units of one version (two while it changes), one share of the front's requests."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from integrations.processes.config import ProcessesTarget
from integrations.processes.counts import TargetCounts
from integrations.processes.keeper import Keeper
from integrations.processes.state import TargetState, Version
from integrations.processes.unit import Host, Unit, UnitPlan
from integrations.processes.unit_log import UnitLog


class Target:
    """`places` hold what serves; `aside` is what comes up or goes away during a change."""

    def __init__(self, host: Host, name: str, settings: ProcessesTarget) -> None:
        self.name = name
        self.settings = settings
        self.places: list[Keeper | None] = [None] * settings.units
        self.aside: set[Keeper] = set()
        self.counts = TargetCounts()
        self._host = host
        self._logs: dict[int, UnitLog] = {}
        self._turn = 0

    @property
    def serving(self) -> list[Unit]:
        """The units that may be given requests."""
        units = (keeper.unit for keeper in self.places if keeper is not None)
        return [unit for unit in units if unit is not None and unit.is_serving]

    @property
    def versions(self) -> list[Version | None]:
        """What each place is to run."""
        return [None if keeper is None else keeper.version for keeper in self.places]

    @property
    def usual(self) -> Version | None:
        """What most places run."""
        counted = Counter(version for version in self.versions if version is not None)
        return counted.most_common(1)[0][0] if counted else None

    @property
    def is_mixed(self) -> bool:
        """Whether places differ, an empty one from one that is not included."""
        return len(set(self.versions)) > 1

    def left_of(self, tried: Collection[Unit]) -> list[Unit]:
        """The units that serve and were not tried."""
        return [unit for unit in self.serving if unit not in tried]

    def pick(self, tried: Collection[Unit]) -> Unit | None:
        """The unit with the fewest requests in flight, in turn where several have; None where none is left."""
        units = self.left_of(tried)
        if not units:
            return None
        self._turn += 1
        start = self._turn % len(units)
        return min(units[start:] + units[:start], key=lambda unit: unit.in_flight)

    def keeper(self, place: int, version: Version) -> Keeper:
        """A keeper for a place, not begun and not in it yet."""
        log = self._logs.setdefault(place, UnitLog(self._host.logs / f"{self.name}-{place}.log"))
        plan = UnitPlan(self.name, place, version, self.settings.env)
        return Keeper(self._host, plan, log, self.counts)

    def fill(self, versions: Iterable[Version | None]) -> None:
        """Begin what was recorded, each in its place."""
        for place, version in enumerate(versions):
            if version is not None and place < len(self.places):
                keeper = self.places[place] = self.keeper(place, version)
                keeper.begin()

    def swap(self, arrivals: Mapping[int, Keeper]) -> list[Keeper]:
        """Put keepers into their places, all in this moment; those who had them are returned and stand aside."""
        leaving = []
        for place, keeper in arrivals.items():
            if (old := self.places[place]) is not None:
                leaving.append(old)
            self.places[place] = keeper
            self.aside.discard(keeper)
        self.aside.update(leaving)
        self._host.changes.notify()
        return leaving

    async def dismiss(self, keepers: Iterable[Keeper]) -> None:
        """Drain and end keepers that are in no place."""
        keepers = list(keepers)
        await asyncio.gather(*(keeper.stop() for keeper in keepers))
        self.aside.difference_update(keepers)

    def adopt(self, settings: ProcessesTarget) -> list[Keeper]:
        """Take new settings; places are added with what most run, and those left over are returned to dismiss."""
        version = self.usual
        self.settings = settings
        leaving = [keeper for keeper in self.places[settings.units :] if keeper is not None]
        self.aside.update(leaving)
        del self.places[settings.units :]
        for place in range(len(self.places), settings.units):
            keeper = None if version is None else self.keeper(place, version)
            self.places.append(keeper)
            if keeper is not None:
                keeper.begin()
        return leaving

    async def end(self) -> None:
        """Drain and end everything."""
        keepers = [keeper for keeper in self.places if keeper is not None]
        await asyncio.gather(*(keeper.stop() for keeper in (*keepers, *self.aside)))

    def as_state(self) -> TargetState:
        """What of it must survive the supervisor."""
        return TargetState(settings=self.settings, places=self.versions)
