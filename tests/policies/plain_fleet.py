"""Engines as plain lists, and the choice among them by looking at every one: what the dispatcher's
oracle goes by. Slow on purpose; estimates of time are the fleet's own, asked of a fleet that is
built anew for each question."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from policies import (
    BestQuality,
    Cheapest,
    Costs,
    EngineUp,
    Ladder,
    LeastCompletion,
    RoundRobin,
    Routing,
    Service,
    ShortestQueue,
    WithinBudget,
    completion_rate_per_s,
)
from policies.fleet import Fleet
from policies.groups import Engine, GroupKey, Running


@dataclass
class PlainEngine:
    """One engine; `running` in order of start. `since` and `turn` are numbers of what happened."""

    engine_id: str
    key: GroupKey
    kind: int  # when engines like it first came up
    since: int  # when the number of its jobs last changed
    turn: int  # when it last got a job, or came to have a free place
    running: list[Running] = field(default_factory=list)
    suspected: bool = False

    @property
    def free(self) -> int:
        return 0 if self.suspected else max(0, self.key.places - len(self.running))


class PlainFleet:
    """All engines, in a list."""

    def __init__(self, ladder: Ladder, costs: Mapping[str, Costs]) -> None:
        self.ladder = ladder
        self.costs = costs
        self.engines: list[PlainEngine] = []
        self.kinds: dict[GroupKey, int] = {}
        self.numbers = count()

    def engine(self, engine_id: str) -> PlainEngine | None:
        return next((e for e in self.engines if e.engine_id == engine_id), None)

    def engine_with(self, job_id: str) -> PlainEngine | None:
        return next((e for e in self.engines for r in e.running if r.job_id == job_id), None)

    def find(self, job_id: str) -> Running | None:
        return next((r for e in self.engines for r in e.running if r.job_id == job_id), None)

    def up(self, event: EngineUp) -> PlainEngine:
        key = GroupKey(event.pool, event.variants, event.places, event.price_per_s)
        if all(engine.key != key for engine in self.engines):
            self.kinds[key] = next(self.numbers)
        number = next(self.numbers)
        engine = PlainEngine(event.engine_id, key, self.kinds[key], number, number)
        self.engines.append(engine)
        return engine

    def suspect(self, engine: PlainEngine, suspected: bool) -> None:
        if engine.suspected != suspected:
            engine.suspected = suspected
            engine.since = engine.turn = next(self.numbers)

    def place(self, engine: PlainEngine, running: Running) -> None:
        engine.running.append(running)
        engine.since = engine.turn = next(self.numbers)

    def take_out(self, job_id: str) -> Running:
        engine = self.engine_with(job_id)
        assert engine is not None
        running = next(r for r in engine.running if r.job_id == job_id)
        was_full = not engine.free
        engine.running.remove(running)
        engine.since = next(self.numbers)
        if was_full:
            engine.turn = engine.since
        return running

    @property
    def hosted(self) -> frozenset[str]:
        return frozenset(name for engine in self.engines for name in engine.key.variants)

    def open_to(self, service: Service) -> list[PlainEngine]:
        """The engines on which it can start: of old kinds before new, the emptier first, of equals
        the one that has had so many jobs for longest."""
        can = [e for e in self.engines if e.free and service.variant in e.key.variants]
        return sorted(can, key=lambda e: (e.kind, len(e.running), e.since))

    # -- estimates ------------------------------------------------------------------------------

    def _copy(self, engine: PlainEngine) -> tuple[Fleet, Engine]:
        fleet = Fleet(self.ladder, self.costs)
        copy = fleet.up(engine.engine_id, engine.key)
        for running in engine.running:
            fleet.place(copy, running)
        return fleet, copy

    def end_s(self, engine: PlainEngine, service: Service, now_s: float) -> float:
        fleet, copy = self._copy(engine)
        return fleet.start_ends_s(copy, service, now_s)

    def runs_end_s(self, engine: PlainEngine, now_s: float) -> dict[str, float]:
        fleet, copy = self._copy(engine)
        return fleet.runs_end_s(copy, now_s)

    def changed_end_s(
        self, engine: PlainEngine, job_id: str, service: Service, left: int, now_s: float
    ) -> float:
        fleet, copy = self._copy(engine)
        return fleet.changed_ends_s(copy, job_id, service, left, now_s)

    def done(self, engine: PlainEngine, running: Running, now_s: float) -> int:
        fleet, copy = self._copy(engine)
        return fleet.done(copy, running, now_s)

    def price(self, engine: PlainEngine, service: Service) -> float:
        if engine.key.price_per_s == 0:
            return 0.0
        return engine.key.price_per_s / self.rate_per_s(engine, service)

    def rate_per_s(self, engine: PlainEngine, service: Service) -> float:
        return completion_rate_per_s(self.costs[engine.key.pool], service, engine.key.places)

    def capacity_per_s(self) -> tuple[float, ...]:
        """By rung; kind by kind, so that sums are added up in the same order."""
        if not self.costs:
            return ()
        totals = []
        for rung in self.ladder.rungs:
            total = 0.0
            for key in sorted({e.key for e in self.engines}, key=self.kinds.__getitem__):
                if rung.variant in key.variants:
                    rate_per_s = completion_rate_per_s(self.costs[key.pool], rung, key.places)
                    total += sum(e.key == key for e in self.engines) * rate_per_s
            totals.append(total)
        return tuple(totals)


Choice = tuple[PlainEngine, Service]
Drawn = Callable[[Sequence[PlainEngine]], PlainEngine]


def choose(
    routing: Routing,
    services: Sequence[Service],
    fleet: PlainFleet,
    now_s: float,
    due_s: float,
    drawn: Drawn,
) -> Choice | None:
    """What the routing's docstring says, by comparing every engine with every service."""
    options = [(e, s) for s in services for e in fleet.open_to(s)]
    if isinstance(routing, WithinBudget):
        options = [(e, s) for e, s in options if fleet.price(e, s) <= routing.price_max]
    if not options:
        return None
    best = options[0][1]
    engines = [engine for engine, service in options if service == best]
    if isinstance(routing, RoundRobin):
        return min(engines, key=lambda e: e.turn), best
    if isinstance(routing, ShortestQueue):
        return min(engines, key=lambda e: (len(e.running), -e.free)), best
    if not routing.needs_costs:
        return drawn(engines), best

    def end_s(option: Choice) -> float:
        return fleet.end_s(*option, now_s)

    if isinstance(routing, LeastCompletion | WithinBudget):
        return min(((e, best) for e in engines), key=end_s)
    in_time = [option for option in options if end_s(option) <= due_s]
    if not in_time:
        return min(options, key=end_s)
    if isinstance(routing, BestQuality):
        best = in_time[0][1]
        return min((option for option in in_time if option[1] == best), key=end_s)
    assert isinstance(routing, Cheapest)
    return min(in_time, key=lambda o: (fleet.price(*o), services.index(o[1]), end_s(o)))


def quickest_s(services: Sequence[Service], fleet: PlainFleet) -> float | None:
    """The shortest run in a full batch; None if nobody hosts any of these services."""
    runs_s = [
        engine.key.places / fleet.rate_per_s(engine, service)
        for service in services
        for engine in fleet.engines
        if service.variant in engine.key.variants
    ]
    return min(runs_s, default=None)
