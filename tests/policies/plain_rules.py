"""What the dispatcher's rules say of a state of affairs, with lists that are searched and sorted anew
for every question."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random

from policies import (
    OBJECTIVES,
    Costs,
    DeadlineAware,
    Job,
    Load,
    Policy,
    Routing,
    Service,
    WithinBudget,
    completion_rate_per_s,
    service_for,
)
from policies.routing import Offer
from tests.policies.plain_fleet import Choice, PlainEngine, PlainFleet, choose, quickest_s


@dataclass
class PlainWaiting:
    """A job in the line."""

    job: Job
    seq: int
    start_rung: int | None
    rank: float


class PlainRules:
    """What is the case, and what the rules say about it; nothing here changes anything."""

    def __init__(
        self, policy: Policy, costs: Mapping[str, Costs], draws: Random, window_s: float
    ) -> None:
        self.policy = policy
        self.controller = policy.controller
        self.state = policy.controller.initial()
        self.fleet = PlainFleet(policy.ladder, costs)
        self.draws = draws
        self.window_s = window_s
        self.line: list[PlainWaiting] = []
        self.given: dict[str, float] = {}
        self.level = 0.0
        self.arrivals: list[float] = []
        self.finishes: list[float] = []
        self.scores: list[float] = []
        self.seq = count()
        self.now_s = -math.inf

    # -- the line -------------------------------------------------------------------------------

    def waiting(self, job_id: str) -> PlainWaiting | None:
        return next((w for w in self.line if w.job.job_id == job_id), None)

    def place(self, entry: PlainWaiting) -> tuple[float, float, int]:
        return entry.rank, entry.job.arrival_s, entry.seq

    def in_order(self) -> list[PlainWaiting]:
        """Who starts before whom, if all can."""
        if not self.policy.order.by_tenant:
            return sorted(self.line, key=self.place)
        return sorted(self.line, key=lambda w: (self.given[w.job.tenant], self.place(w)))

    def leaves_s(self, entry: PlainWaiting) -> float:
        """When it leaves the line unserved, as the engines are now."""
        if entry.job.deadline_s is None:
            return math.inf
        run_s = self.quickest_s(entry) if self.policy.admission.refuse_hopeless else None
        return entry.job.deadline_s - (run_s or 0.0)

    def quickest_s(self, entry: PlainWaiting) -> float | None:
        return quickest_s(self.services(entry, self.controller.deepest), self.fleet)

    def is_hopeless(self, entry: PlainWaiting) -> bool:
        run_s = self.quickest_s(entry)
        if entry.job.deadline_s is None or run_s is None:
            return False
        services = self.services(entry, self.controller.deepest)
        wait_s = 0.0
        if not any(self.fleet.open_to(service) for service in services):
            entry.rank = self.policy.order.rank(entry.job, self.services(entry, 0)[0].steps)
            before = sum(self.place(other) < self.place(entry) for other in self.line)
            wait_s = (before + 1) / self.drain_per_s()
        return self.now_s + wait_s + run_s > entry.job.deadline_s

    def drain_per_s(self) -> float:
        """Every engine at the quickest rung that it hosts, of those that the controller can choose
        or, hosting none of these, of all."""
        total = 0.0
        rungs, deepest = self.policy.ladder.rungs, self.controller.deepest
        for key in sorted({e.key for e in self.fleet.engines}, key=self.fleet.kinds.__getitem__):
            hosted = [r for r in rungs[: deepest + 1] if r.variant in key.variants]
            hosted = hosted or [r for r in rungs if r.variant in key.variants]
            costs = self.fleet.costs[key.pool]
            rates_per_s = [completion_rate_per_s(costs, rung, key.places) for rung in hosted]
            alike = sum(engine.key == key for engine in self.fleet.engines)
            total += alike * max(rates_per_s, default=0.0)
        return total

    # -- load -----------------------------------------------------------------------------------

    def rate_per_s(self, times_s: list[float], window_s: float) -> float:
        if not times_s:
            return 0.0
        recent = [t for t in times_s if t >= self.now_s - window_s]
        return len(recent) / min(window_s, max(self.now_s - times_s[0], 0.1 * window_s))

    def retry_after_s(self) -> float:
        rate_per_s = self.rate_per_s(self.finishes, self.window_s)
        drain_s = math.ceil(len(self.line) / rate_per_s) if rate_per_s > 0 else 0
        return min(60.0, max(1.0, drain_s))

    def load(self, waiting: int) -> Load:
        engines = self.fleet.engines
        return Load(
            now_s=self.now_s,
            waiting=waiting,
            running=sum(len(e.running) for e in engines) + len(self.line) - waiting,
            engines=len(engines),
            places=sum(e.key.places for e in engines),
            arrival_rate_per_s=self.rate_per_s(self.arrivals, self.window_s),
            recent_rate_per_s=self.rate_per_s(self.arrivals, 0.2 * self.window_s),
            capacity_per_s=self.fleet.capacity_per_s(),
            score_sum=sum(self.scores),
            scored=len(self.scores),
        )

    def placeable(self) -> int:
        """How many would start at the rung that stands: those who can go to fewest kinds of engines
        take places first, each in the first kind, for its best service, that has one."""
        free = {engine.engine_id: engine.free for engine in self.fleet.engines}
        starts = 0
        for entry in sorted(self.line, key=self.kinds):
            engines = [
                e for kind in self.kinds(entry)[1] for e in self.fleet.engines if e.kind == kind
            ]
            engine = next((e for e in engines if free[e.engine_id]), None)
            if engine is not None:
                free[engine.engine_id] -= 1
                starts += 1
        return starts

    def kinds(self, entry: PlainWaiting) -> tuple[int, list[int]]:
        """How many and which kinds of engines, full or not, it could go to."""
        routing = self.routing_of(entry.job)
        price_max = routing.price_max if isinstance(routing, WithinBudget) else math.inf
        kinds = [
            engine.kind
            for service in self.services(entry, self.state.rung)
            for engine in sorted(self.fleet.engines, key=lambda e: e.kind)
            if service.variant in engine.key.variants
            if price_max == math.inf or self.fleet.price(engine, service) <= price_max
        ]
        kinds = list(dict.fromkeys(kinds))
        return len(kinds), kinds

    def can_start(self, entry: PlainWaiting) -> bool:
        return any(e.free for e in self.fleet.engines if e.kind in self.kinds(entry)[1])

    # -- starts ---------------------------------------------------------------------------------

    def routing_of(self, job: Job) -> Routing:
        return self.policy.routing if job.objective is None else OBJECTIVES[job.objective]

    def services(self, entry: PlainWaiting, rung: int) -> list[Service]:
        first = rung if entry.start_rung is None else entry.start_rung
        last = first
        if isinstance(self.controller, DeadlineAware):
            last = max(first, self.controller.deepest)
        elif self.routing_of(entry.job).weighs_rungs:
            last = self.policy.ladder.last
        services: list[Service] = []
        for index in range(first, last + 1):
            service = service_for(entry.job, self.policy.ladder, index, self.fleet.hosted)
            if service not in services:
                services.append(service)
        return services

    def chosen(self, entry: PlainWaiting, drawn: Mapping[str, str]) -> Choice | None:
        job, routing = entry.job, self.routing_of(entry.job)
        services = self.services(entry, self.state.rung)
        due_s = math.inf if job.deadline_s is None else job.deadline_s

        def pick(engines: Sequence[PlainEngine]) -> PlainEngine:
            return next(e for e in engines if e.engine_id == drawn.get(job.job_id))

        if not isinstance(self.controller, DeadlineAware) or routing.weighs_rungs:
            return choose(routing, services, self.fleet, self.now_s, due_s, pick)
        due_s = self.controller.due_s(job, self.now_s, len(self.line) - 1)
        offers = []
        for service in services:
            found = choose(routing, [service], self.fleet, self.now_s, due_s, pick)
            if found is not None:
                completes_s = self.fleet.end_s(*found, self.now_s)
                offers.append(Offer(found[0].engine_id, service, completes_s, 0.0))
        best = self.controller.choose(offers, due_s)
        engine = None if best is None else self.fleet.engine(best.engine_id)
        return None if best is None or engine is None else (engine, best.service)

    def can_be_served(self, entry: PlainWaiting) -> bool:
        try:
            return bool(self.services(entry, 0))
        except ValueError:
            return False
