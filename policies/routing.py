"""Routing: which engine a job starts on and, for some, at which rung.

The dispatcher hands over the services that the job may get now, best first, and asks only while an
engine that hosts one of them has a free place. A routing that does not weigh rungs is given the
controller's choice alone. Drawing at random needs the generator that the dispatcher was given.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random as Generator
from typing import NamedTuple, Protocol

from policies.fleet import Fleet
from policies.groups import Engine, Group
from policies.nouns import Service


class Offer(NamedTuple):
    """A place that a job can have: where, what, when it would be done, and the price."""

    engine_id: str
    service: Service
    completes_s: float
    price: float


class Moment(NamedTuple):
    """When and for whom an engine is chosen: due_s is the job's deadline, infinite if it has none."""

    fleet: Fleet
    now_s: float
    due_s: float
    draws: Generator


class Routing(Protocol):
    """What the dispatcher asks of a routing."""

    @property
    def weighs_rungs(self) -> bool:
        """Whether it chooses among rungs, from the controller's down to the job's floor."""

    @property
    def needs_costs(self) -> bool:
        """Whether it estimates by the cost table."""

    def choose(self, services: Sequence[Service], at: Moment) -> tuple[Engine, Service] | None:
        """An open engine and one of the services that it hosts; None if no open engine will do."""


def offer(engine: Engine, service: Service, fleet: Fleet, now_s: float) -> Offer:
    """What a start of this service on this engine promises; needs the cost table."""
    completes_s = fleet.start_ends_s(engine, service, now_s)
    return Offer(engine.engine_id, service, completes_s, fleet.price(engine.group, service))


@dataclass(frozen=True, slots=True)
class Uniform:
    """An open engine drawn at random, each with the same chance."""

    weighs_rungs: bool = field(default=False, init=False)
    needs_costs: bool = field(default=False, init=False)

    def choose(self, services: Sequence[Service], at: Moment) -> tuple[Engine, Service] | None:
        """See `Routing`."""
        for service, groups in _open(services, at.fleet):
            return _drawn(groups, at.draws), service
        return None


@dataclass(frozen=True, slots=True)
class RoundRobin:
    """In turn: the open engine whose turn came up longest ago.

    A job puts an engine behind all others. One that is full has no turn; it gets one, behind all
    others, when a place comes free.
    """

    weighs_rungs: bool = field(default=False, init=False)
    needs_costs: bool = field(default=False, init=False)

    def choose(self, services: Sequence[Service], at: Moment) -> tuple[Engine, Service] | None:
        """See `Routing`."""
        for service, groups in _open(services, at.fleet):
            _, engine = min((group.next_turn() for group in groups), key=lambda turn: turn[0])
            return engine, service
        return None


@dataclass(frozen=True, slots=True)
class ShortestQueue:
    """Join the shortest queue: the open engine with fewest jobs, and among groups of engines the
    one with most free places. Optimal for like exponential servers (Winston, 1977)."""

    weighs_rungs: bool = field(default=False, init=False)
    needs_costs: bool = field(default=False, init=False)

    def choose(self, services: Sequence[Service], at: Moment) -> tuple[Engine, Service] | None:
        """See `Routing`."""
        for service, groups in _open(services, at.fleet):
            emptiest = [group.emptiest() for group in groups]
            return min(emptiest, key=_jobs_and_places), service
        return None


@dataclass(frozen=True, slots=True)
class TwoChoices:
    """The emptier of two open engines drawn at random (Mitzenmacher, 2001): nearly as good as the
    shortest queue, and needs to look at two engines only."""

    weighs_rungs: bool = field(default=False, init=False)
    needs_costs: bool = field(default=False, init=False)

    def choose(self, services: Sequence[Service], at: Moment) -> tuple[Engine, Service] | None:
        """See `Routing`."""
        for service, groups in _open(services, at.fleet):
            pair = (_drawn(groups, at.draws), _drawn(groups, at.draws))
            return min(pair, key=_jobs_and_places), service
        return None


@dataclass(frozen=True, slots=True)
class LeastCompletion:
    """The open engine on which the job would be done first, by the cost table and what runs there:
    latency-optimal for the job itself, over unlike engines."""

    weighs_rungs: bool = field(default=False, init=False)
    needs_costs: bool = field(default=True, init=False)

    def choose(self, services: Sequence[Service], at: Moment) -> tuple[Engine, Service] | None:
        """See `Routing`."""
        for service, groups in _open(services, at.fleet):
            return _first_done(groups, service, at)[0], service
        return None


@dataclass(frozen=True, slots=True)
class Cheapest:
    """The lowest price at which the deadline is met, over rungs and engines; where none meets it,
    whatever is done first. Of equal prices the better rung, then the earlier end. Without a
    deadline that is the cheapest of all."""

    weighs_rungs: bool = field(default=True, init=False)
    needs_costs: bool = field(default=True, init=False)

    def choose(self, services: Sequence[Service], at: Moment) -> tuple[Engine, Service] | None:
        """See `Routing`."""
        best: tuple[float, int, float] | None = None
        chosen: tuple[Engine, Service] | None = None
        hurried: tuple[float, Engine, Service] | None = None
        for index, (service, groups) in enumerate(_open(services, at.fleet)):
            for group in groups:
                engine, ends_s = _first_done((group,), service, at)
                if hurried is None or ends_s < hurried[0]:
                    hurried = ends_s, engine, service
                key = at.fleet.price(group, service), index, ends_s
                if ends_s <= at.due_s and (best is None or key < best):
                    best, chosen = key, (engine, service)
        if chosen is None and hurried is not None:
            return hurried[1], hurried[2]
        return chosen


@dataclass(frozen=True, slots=True)
class BestQuality:
    """The best rung that meets the deadline on some open engine, there where it is done first;
    where none meets it, whatever is done first. Without a deadline, the best rung."""

    weighs_rungs: bool = field(default=True, init=False)
    needs_costs: bool = field(default=True, init=False)

    def choose(self, services: Sequence[Service], at: Moment) -> tuple[Engine, Service] | None:
        """See `Routing`."""
        hurried: tuple[float, Engine, Service] | None = None
        for service, groups in _open(services, at.fleet):
            engine, ends_s = _first_done(groups, service, at)
            if ends_s <= at.due_s:
                return engine, service
            if hurried is None or ends_s < hurried[0]:
                hurried = ends_s, engine, service
        return None if hurried is None else hurried[1:]


@dataclass(frozen=True, slots=True)
class WithinBudget:
    """The best rung that some open engine makes for at most `price_max` a picture, there where it
    is done first. If all open engines are dearer the job waits for one that is not."""

    price_max: float
    weighs_rungs: bool = field(default=True, init=False)
    needs_costs: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        if not 0.0 < self.price_max < math.inf:
            raise ValueError(f"price_max {self.price_max} must be a price above 0")

    def affords(self, group: Group, service: Service, fleet: Fleet) -> bool:
        """Whether these engines make it within the budget."""
        return fleet.price(group, service) <= self.price_max

    def choose(self, services: Sequence[Service], at: Moment) -> tuple[Engine, Service] | None:
        """See `Routing`."""
        for service, groups in _open(services, at.fleet):
            within = [group for group in groups if self.affords(group, service, at.fleet)]
            if within:
                return _first_done(within, service, at)[0], service
        return None


OBJECTIVES: Mapping[str, Routing] = {
    "latency": LeastCompletion(),
    "cost": Cheapest(),
    "quality": BestQuality(),
}
"""What a request may ask to be routed by, instead of as the server usually does."""


def _open(services: Sequence[Service], fleet: Fleet) -> Iterable[tuple[Service, Sequence[Group]]]:
    """The services that can start now, with the groups that have a place for them."""
    for service in services:
        groups = fleet.open_groups(service.variant)
        if groups:
            yield service, groups


def _drawn(groups: Sequence[Group], draws: Generator) -> Engine:
    index = draws.randrange(sum(len(group.open) for group in groups))
    for group in groups:
        if index < len(group.open):
            return group.open[index]
        index -= len(group.open)
    raise AssertionError("a drawn index lies within the open engines")


def _jobs_and_places(engine: Engine) -> tuple[int, int]:
    running = len(engine.running)
    return running, running - engine.group.key.places


def _first_done(groups: Sequence[Group], service: Service, at: Moment) -> tuple[Engine, float]:
    """The candidate on which a start now would end first, and when."""
    found: tuple[Engine, float] | None = None
    for group in groups:
        for engine in group.candidates():
            ends_s = at.fleet.start_ends_s(engine, service, at.now_s)
            if found is None or ends_s < found[1]:
                found = engine, ends_s
    if found is None:
        raise AssertionError("open groups have candidates")
    return found
