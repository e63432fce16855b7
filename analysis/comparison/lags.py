"""How long the way from a free place, or from an arrival, to an engine's start takes under load.

The simulator has one time for the way of a grant. Live there are two: a job that finds a free place
is on its way from its arrival at the gateway; one that waited is on its way once the engine has
reported that another has ended. Both begin between two boundaries and wait for the next one, which
is not part of the way. So the two times are found by comparison: they are those with which
simulated jobs start as late after the free place, or their arrival, as the measured ones did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from analysis.runs import Request

ROUNDS = 4
SHORTEST_S = 0.001
STARTS_MIN = 20
"""Fewer starts of a kind do not tell its time."""


class Stay(NamedTuple):
    """A job's times: received by the server, started and ended in its engine."""

    received_s: float
    started_s: float
    ended_s: float


@dataclass(frozen=True, slots=True)
class Lags:
    """Seconds on the way: from an arrival to its engine, and from a report of a free place."""

    arrival_s: float
    place_s: float


@dataclass(frozen=True, slots=True)
class StartLags:
    """Seconds from the arrival, or from the end that freed the place, to the start of the next."""

    arrivals: tuple[float, ...]
    places: tuple[float, ...]


def stays_of(requests: Sequence[Request]) -> list[Stay]:
    """Of the requests that were served."""
    stays = []
    for one in requests:
        if one.received_s is not None and one.queue_s is not None and one.service_s is not None:
            started_s = one.received_s + one.queue_s
            stays.append(Stay(one.received_s, started_s, started_s + one.service_s))
    return stays


def start_lags(stays: Sequence[Stay], places: int) -> StartLags:
    """In the order of their starts, a job takes the place that the one `places` ends before it
    gave up; it was held up by that or by its own arrival, whichever was later."""
    ends_s = sorted(stay.ended_s for stay in stays)
    arrivals, held = [], []
    for number, stay in enumerate(sorted(stays, key=lambda stay: stay.started_s)):
        free_s = ends_s[number - places] if number >= places else float("-inf")
        if free_s > stay.received_s:
            held.append(stay.started_s - free_s)
        else:
            arrivals.append(stay.started_s - stay.received_s)
    return StartLags(tuple(arrivals), tuple(held))


def find_lags(
    measured: StartLags,
    simulated: Callable[[Lags], StartLags],
    first: Lags,
) -> Lags:
    """The times with which the simulation's starts lag as the measured ones; those of which a run
    has too few starts stay as they are in `first`."""
    lags = first
    for _ in range(ROUNDS):
        found = simulated(lags)
        lags = Lags(
            _nearer(lags.arrival_s, measured.arrivals, found.arrivals),
            _nearer(lags.place_s, measured.places, found.places),
        )
    return lags


def _nearer(lag_s: float, measured: Sequence[float], simulated: Sequence[float]) -> float:
    if min(len(measured), len(simulated)) < STARTS_MIN:
        return lag_s
    return max(SHORTEST_S, lag_s + float(np.mean(measured)) - float(np.mean(simulated)))
