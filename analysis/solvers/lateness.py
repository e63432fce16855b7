"""How likely a job misses its deadline, from the state that it finds.

Three answers. `late_shares` is a formula: quick, for a rung that stays as it is. `late_by_state`
follows a tagged job through the chain under a given policy and is exact there. `least_late_shares`
is what no policy can go below.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from analysis.service_times import Array
from analysis.solvers.decision_process import DecisionProcess, Rungs
from analysis.solvers.defaults import STAGES
from analysis.solvers.station import Station
from analysis.solvers.tagged import TaggedChain


def late_shares(station: Station, jobs_max: int, deadline_s: float, stages: int = STAGES) -> Array:
    """[rung, jobs found]: P(late) if that rung stays, by a gamma law with the right moments.

    A job that finds all places taken waits until enough others have finished, one after another at
    the full batch's rate, then runs for as long as a job takes in such a batch. Waits between
    finishes are exponential, the own run is of `stages` exponential stages. ValueError for a
    deadline that is not above 0.
    """
    _check(deadline_s, stages)
    late = np.zeros((station.rungs, jobs_max + 1))
    for rung in range(station.rungs):
        full_per_s = station.capacity_per_s[rung]
        for found in range(jobs_max + 1):
            before = max(0, found + 1 - station.places)
            together = min(found + 1, station.places)
            run_s = together / station.completion_per_s(together, rung)
            mean_s = before / full_per_s + run_s
            variance = before / full_per_s**2 + run_s**2 / stages
            late[rung, found] = special.gammaincc(
                mean_s**2 / variance, deadline_s * mean_s / variance
            )
    return late


def late_by_state(
    process: DecisionProcess, policy: Rungs, deadline_s: float, stages: int = STAGES
) -> Array:
    """[phase, rung in force, jobs found]: P(late) of an arriving job under a policy, exactly.

    First come first served; the running jobs share the engines equally. The last entry of each row,
    a job that is refused, is 0. ValueError for a deadline that is not above 0.
    """
    _check(deadline_s, stages)
    return TaggedChain(process, stages).late(process.checked(policy), deadline_s)


def least_late_shares(process: DecisionProcess, deadline_s: float, stages: int = STAGES) -> Array:
    """[phase, rung, jobs found]: P(late) that no policy can go below, the same for all rungs.

    It is that of the fastest rung for ever. More speed ends the jobs before the tagged one sooner
    and leaves it with fewer to share with, so that no policy is quicker for it, provided that a job
    is never slowed by there being fewer others. ValueError if the cost table has such a batch, or a
    rung that is faster for some number of jobs only.
    """
    rates = np.asarray(process.station.rates_per_s)
    each = rates / np.arange(1, process.station.places + 1)
    fastest = process.station.fastest
    if (rates > rates[fastest] * (1 + 1e-9)).any() or (np.diff(each[fastest]) > 1e-9).any():
        raise ValueError(
            "the fastest rung is not the fastest for every batch, or a job of it runs slower in a"
            " smaller batch; there is no simple bound for such costs"
        )
    always = np.full(process.shape, fastest, dtype=np.int64)
    late = late_by_state(process, always, deadline_s, stages)
    return np.broadcast_to(late[:, [fastest], :], process.shape).copy()


def _check(deadline_s: float, stages: int) -> None:
    if not 0 < deadline_s < math.inf:
        raise ValueError(f"deadline_s {deadline_s} must be above 0")
    if stages < 1:
        raise ValueError(f"stages {stages} must be at least 1")
