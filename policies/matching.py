"""Who starts next, where, and with which service: order, routing and controller put together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from policies.controllers import DeadlineAware
from policies.fleet import Fleet
from policies.groups import Engine, Group
from policies.line import Bundle, LaneKey, Reach, WaitingLine
from policies.nouns import Job, Service
from policies.policy import Policy
from policies.routing import OBJECTIVES, Moment, Offer, Routing, WithinBudget, offer
from policies.service import service_for

OPTIONS_MAX = 50_000
"""Lanes times rungs that are remembered before all are worked out anew: clients may wish for any
number of steps."""


class Start(NamedTuple):
    """A job, the engine in which it gets a place, and its service."""

    job: Job
    engine: Engine
    service: Service


class Options(NamedTuple):
    """What the jobs of a lane may get, best first, and where they can get any of it."""

    services: tuple[Service, ...]
    reach: Reach


class Matcher:
    """Looks at the line and the fleet; all that it changes is how the line is bundled.

    `draws` serves routings that draw.
    """

    def __init__(self, policy: Policy, fleet: Fleet, line: WaitingLine, draws: Random) -> None:
        self._policy = policy
        self._fleet = fleet
        self._line = line
        self._draws = draws
        self._by_deadline = (
            policy.controller if isinstance(policy.controller, DeadlineAware) else None
        )
        self._options: dict[tuple[LaneKey, int], Options] = {}
        self._regroupings = fleet.regroupings
        self._bundled: tuple[int, int] | None = None

    def routing_of(self, objective: str | None) -> Routing:
        """The routing that a job asked for, else the usual one."""
        return self._policy.routing if objective is None else OBJECTIVES[objective]

    def services(self, key: LaneKey, job: Job, rung: int) -> tuple[Service, ...]:
        """What a lane's jobs may get while the controller stands at `rung`, best first.

        One service, unless rungs are weighed job by job: then all from there down, to the floor for
        a routing that weighs them, else to the deepest of the controller. ValueError if the ladder
        has none.
        """
        return self._options_of(key, job, rung).services

    def steps(self, key: LaneKey, job: Job) -> int:
        """The steps that a lane's jobs run if nothing presses."""
        return self.services(key, job, 0)[0].steps

    def _options_of(self, key: LaneKey, job: Job, rung: int) -> Options:
        if self._regroupings != self._fleet.regroupings or len(self._options) >= OPTIONS_MAX:
            self._options.clear()
            self._regroupings = self._fleet.regroupings
        found = self._options.get((key, rung))
        if found is None:
            services = self._listed(key, job, rung)
            found = self._options[key, rung] = Options(services, self._reach(key, services))
        return found

    def _listed(self, key: LaneKey, job: Job, rung: int) -> tuple[Service, ...]:
        first = rung if key.start_rung is None else key.start_rung
        last = first
        if self._by_deadline is not None:
            last = max(first, self._by_deadline.deepest)
        elif self.routing_of(key.objective).weighs_rungs:
            last = self._policy.ladder.last
        ladder, hosted = self._policy.ladder, self._fleet.hosted
        steps_down = (service_for(job, ladder, r, hosted) for r in range(first, last + 1))
        return tuple(dict.fromkeys(steps_down))

    def _reach(self, key: LaneKey, services: tuple[Service, ...]) -> Reach:
        routing = self.routing_of(key.objective)
        budget = routing if isinstance(routing, WithinBudget) else None
        groups = (
            group
            for service in services
            for group in self._fleet.hosting(service.variant)
            if budget is None or budget.affords(group, service, self._fleet)
        )
        return tuple(dict.fromkeys(groups))

    def can_ever_start(self, key: LaneKey, job: Job) -> bool:
        """Whether the ladder has a rung for such a job, and its objective what it goes by."""
        routing = self._policy.routing if key.objective is None else OBJECTIVES.get(key.objective)
        if routing is None or (routing.needs_costs and not self._fleet.has_costs):
            return False
        try:
            self.services(key, job, 0)
        except ValueError:
            return False
        return True

    def is_too_dear(self, key: LaneKey, job: Job) -> bool:
        """Whether engines that are up host something for the job, but nothing within its budget.

        The ladder must have a rung for it.
        """
        found = self._options_of(key, job, 0)
        return not found.reach and any(self._fleet.hosting(s.variant) for s in found.services)

    def _bundle(self, rung: int) -> None:
        """Have the line bundled by where its jobs can go at this rung."""
        wanted = (rung, self._fleet.regroupings)
        if self._bundled != wanted:
            self._bundled = wanted
            self._line.bundle(lambda key, job: self._options_of(key, job, rung).reach)

    def placeable(self, rung: int) -> int:
        """How many waiting jobs would start now at this rung.

        Exact after an event that frees one place or brings one job, and where every group of
        engines hosts the same variants. Else an estimate that is seldom wrong: those who can go to
        fewest groups take places first, each in the first of its groups that has one.
        """
        if not self._line or not self._fleet.has_free_place:
            return 0
        self._bundle(rung)
        free: dict[Group, int] = {}
        starts = 0
        for bundle in sorted(self._line.bundles, key=_few_and_old_groups):
            left = bundle.jobs
            for group in bundle.reach:
                has = free.get(group, group.free_places)
                placed = min(left, has)
                free[group] = has - placed
                left -= placed
            starts += bundle.jobs - left
        return starts

    def starts(self, rung: int, now_s: float) -> Iterator[Start]:
        """The next start, again and again, until nobody can; each must be carried out at once."""
        while self._line and self._fleet.has_free_place:
            self._bundle(rung)
            job = self._line.first(bundle for bundle in self._line.bundles if _can_move(bundle))
            if job is None:
                return
            key = self._line.lane_of(job.job_id)
            yield Start(job, *self._choose(job, self.services(key, job, rung), now_s))

    def _choose(
        self, job: Job, services: tuple[Service, ...], now_s: float
    ) -> tuple[Engine, Service]:
        routing = self.routing_of(job.objective)
        by_deadline = None if routing.weighs_rungs else self._by_deadline
        chosen: tuple[Engine, Service] | None
        if by_deadline is None:
            due_s = math.inf if job.deadline_s is None else job.deadline_s
            chosen = routing.choose(services, Moment(self._fleet, now_s, due_s, self._draws))
        else:
            due_s = by_deadline.due_s(job, now_s, len(self._line) - 1)
            at = Moment(self._fleet, now_s, due_s, self._draws)
            best = by_deadline.choose(self._offers(routing, services, at), due_s)
            chosen = None if best is None else (self._fleet.engines[best.engine_id], best.service)
        if chosen is None:
            raise AssertionError("a job is placed only while something in its reach is free")
        return chosen

    def _offers(
        self, routing: Routing, services: tuple[Service, ...], at: Moment
    ) -> Iterator[Offer]:
        for service in services:
            chosen = routing.choose((service,), at)
            if chosen is not None:
                yield offer(*chosen, self._fleet, at.now_s)


def _can_move(bundle: Bundle) -> bool:
    return any(group.free_places for group in bundle.reach)


def _few_and_old_groups(bundle: Bundle) -> tuple[int, list[int]]:
    return len(bundle.reach), [group.number for group in bundle.reach]
