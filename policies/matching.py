"""Who starts next, where, and with which service: order, routing and controller put together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from policies.controllers import DeadlineAware
from policies.fleet import Engine, Fleet
from policies.line import LaneKey, WaitingLine
from policies.nouns import Job, Service
from policies.policy import Policy
from policies.routing import OBJECTIVES, Offer, Routing, WithinBudget, offer
from policies.service import service_for


class Start(NamedTuple):
    """A job, the engine in which it gets a place, and its service."""

    job: Job
    engine: Engine
    service: Service


class Matcher:
    """Looks at the line and the fleet, and changes neither. `draws` serves routings that draw."""

    def __init__(self, policy: Policy, fleet: Fleet, line: WaitingLine, draws: Random) -> None:
        self._policy = policy
        self._fleet = fleet
        self._line = line
        self._draws = draws
        self._by_deadline = (
            policy.controller if isinstance(policy.controller, DeadlineAware) else None
        )
        self._services: dict[tuple[LaneKey, int], tuple[Service, ...]] = {}
        self._hosted = fleet.hosted

    def routing_of(self, objective: str | None) -> Routing:
        """The routing that a job asked for, else the usual one."""
        return self._policy.routing if objective is None else OBJECTIVES[objective]

    def services(self, key: LaneKey, job: Job, rung: int) -> tuple[Service, ...]:
        """What a lane's jobs may get while the controller stands at `rung`, best first.

        One service, unless rungs are weighed job by job: then all from there down to the floor.
        ValueError if the ladder has none.
        """
        if self._hosted is not self._fleet.hosted:
            self._services.clear()
            self._hosted = self._fleet.hosted
        found = self._services.get((key, rung))
        if found is None:
            found = self._services[key, rung] = self._listed(key, job, rung)
        return found

    def _listed(self, key: LaneKey, job: Job, rung: int) -> tuple[Service, ...]:
        first = rung if key.start_rung is None else key.start_rung
        last = first
        if self.routing_of(key.objective).weighs_rungs:
            last = self._policy.ladder.last
        elif self._by_deadline is not None:
            last = max(first, self._by_deadline.deepest)
        ladder, hosted = self._policy.ladder, self._fleet.hosted
        steps_down = (service_for(job, ladder, r, hosted) for r in range(first, last + 1))
        return tuple(dict.fromkeys(steps_down))

    def can_ever_start(self, key: LaneKey, job: Job, rung: int) -> bool:
        """Whether the ladder has a rung for such a job, and its budget an engine."""
        try:
            services = self.services(key, job, rung)
        except ValueError:
            return False
        routing = self.routing_of(key.objective)
        if isinstance(routing, WithinBudget) and self._fleet.engines:
            return routing.affords(services, self._fleet)
        return True

    def placeable(self, rung: int) -> int:
        """How many waiting jobs would start now at this rung.

        Exact where every group of engines hosts the same variants; else a lane takes the places of
        the first group that can serve it, which after a single event (one job or one place more)
        is exact as well.
        """
        if not self._line or not self._fleet.has_free_place:
            return 0
        taken: dict[int, int] = {}
        starts = 0
        for key, lane in self._line.lanes:
            left = len(lane)
            for service in self.services(key, lane.job, rung):
                for group in self._fleet.open_groups(service.variant):
                    free = group.free_places - taken.get(id(group), 0)
                    placed = min(left, free)
                    taken[id(group)] = taken.get(id(group), 0) + placed
                    left -= placed
            starts += len(lane) - left
        return starts

    def starts(self, rung: int, now_s: float) -> Iterator[Start]:
        """The next start, again and again, until nobody can; each must be carried out at once."""
        blocked: set[LaneKey] = set()
        while self._line and self._fleet.has_free_place:
            movable = {
                key
                for key, lane in self._line.lanes
                if key not in blocked and self._can_move(key, lane.job, rung)
            }
            job = self._line.first(movable)
            if job is None:
                return
            key = self._line.lane_of(job.job_id)
            chosen = self._choose(job, self.services(key, job, rung), now_s)
            if chosen is None:
                blocked.add(key)  # whatever is open now, it had better wait for something else
            else:
                yield Start(job, *chosen)

    def _can_move(self, key: LaneKey, job: Job, rung: int) -> bool:
        return any(
            self._fleet.open_groups(service.variant) for service in self.services(key, job, rung)
        )

    def _choose(
        self, job: Job, services: tuple[Service, ...], now_s: float
    ) -> tuple[Engine, Service] | None:
        routing = self.routing_of(job.objective)
        due_s = math.inf if job.deadline_s is None else job.deadline_s
        if self._by_deadline is None or routing.weighs_rungs:
            return routing.choose(services, self._fleet, now_s, due_s, self._draws)
        due_s = self._by_deadline.due_s(job, now_s, len(self._line) - 1)
        best = self._by_deadline.choose(self._offers(routing, services, now_s, due_s), due_s)
        return None if best is None else (self._fleet.engines[best.engine_id], best.service)

    def _offers(
        self, routing: Routing, services: tuple[Service, ...], now_s: float, due_s: float
    ) -> Iterator[Offer]:
        for service in services:
            chosen = routing.choose((service,), self._fleet, now_s, due_s, self._draws)
            if chosen is not None:
                yield offer(*chosen, self._fleet, now_s)
