"""Batched service step by step: a limited processor sharing engine whose jobs go through stages.

Assumptions. Poisson arrivals, one line, first come first served. Up to `places` jobs run together;
with n running, full services would be completed at the total rate rates_per_s[n - 1], which all share
equally (limited processor sharing with a state-dependent rate: Avi-Itzhak and Halfin 1988,
Teletraffic Science; Gupta and Zhang 2014, Stochastic Models 30). Every full service is `stages`
exponential stages one after the other (Erlang's method; Neuts 1981, Matrix-Geometric Solutions), so
services vary by cv2 = 1 / stages: the more stages, the nearer to a fixed number of steps.

Early exit is a jump over stages. A rung's `work` is the share of a full service that it takes; the
rung follows the number waiting, once all who can have started, by the thresholds `enter` and `leave`
of `policies.controllers.Hysteresis` (without a least hold), asked at every arrival and end. A job that
starts at a rung has work * stages stages to go through: one of the two whole numbers around it, drawn
with that mean, which adds at most 1/4 of a squared stage to the variance of a service. It is at least
one, so a rung with work * stages below 1 takes longer here than it should. Where rungs bind in flight,
a fall scales the stages to come of each running job in the same way, by work[new] / work[its own]; at
least one is left, and they do not grow back when the rung does.

The long run is a quasi-birth-death process (`stage_chains`, `levels`), exact up to rounding. The
response time is that of a followed job (`followed`), of which about 1e-8 is cut off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from analysis.models.crowd import Kinds, between_neighbours
from analysis.models.followed import response_law
from analysis.models.stage_chains import LEFT_OUT, Engine, LongRun
from analysis.models.steady import Prediction, Unstable, prediction
from policies.controllers import Hysteresis

CROWDS_MAX = 4_000
_CROWDS_QUICK = 400
_PLACES_FEW = 4
"""With no more places a job is followed through few states, and many crowds take no second."""

_STAGES_MOST = 5
_CARRIED_MOST = 0.5
"""A figure that would change by more on the way to many stages tells nothing of them."""


@dataclass(frozen=True, slots=True)
class StageServer:
    """A batching engine; see the module. ValueError for what cannot be.

    rates_per_s: full services completed a second with 1, 2, ... running; as many places as rates.
    work: of each rung, as a share of a full service; falling, from 1. enter, leave: numbers waiting, one
    of each per rung below the first. steps: see `stage_chain`.
    """

    rates_per_s: tuple[float, ...]
    stages: int = 4
    work: tuple[float, ...] = (1.0,)
    enter: tuple[int, ...] = ()
    leave: tuple[int, ...] = ()
    in_flight: bool = False
    steps: int | None = None

    def __post_init__(self) -> None:
        rates = self.rates_per_s
        if not rates or not all(rate > 0 and math.isfinite(rate) for rate in rates):
            raise ValueError(f"completion rates {rates} must be given, finite and above 0")
        if self.stages < 1:
            raise ValueError(f"stages {self.stages} must be at least 1")
        if self.steps is not None and self.steps < self.stages:
            raise ValueError(f"steps {self.steps} must be at least the {self.stages} stages")
        if not self.work or self.work[0] != 1 or not all(share > 0 for share in self.work):
            raise ValueError(f"work {self.work} must begin with 1, full service, and stay above 0")
        if any(lower >= share for share, lower in pairwise(self.work)):
            raise ValueError(f"work {self.work} must fall from rung to rung")
        Hysteresis(self.enter, self.leave)
        if len(self.enter) != len(self.work) - 1:
            raise ValueError(
                f"{len(self.work)} rungs of work need {len(self.work) - 1} enter and leave"
                f" thresholds, not {len(self.enter)}"
            )

    def crowds(self) -> int:
        """How many ways there are to fill the places at all rungs: what a chain's cost grows with."""
        kinds = Kinds(self.stages, self.work, in_flight=self.in_flight)
        places = len(self.rates_per_s)
        return sum(
            math.comb(places + kinds.count(rung) - 1, places) for rung in range(len(self.work))
        )


def with_quick_stages(server: StageServer) -> StageServer:
    """The server with as many stages, up to 5, as are solved in about a second."""
    most = CROWDS_MAX if len(server.rates_per_s) <= _PLACES_FEW else _CROWDS_QUICK
    for stages in range(min(_STAGES_MOST, server.steps or _STAGES_MOST), 1, -1):
        fewer = replace(server, stages=stages)
        if fewer.crowds() <= most:
            return fewer
    return replace(server, stages=1)


def stage_chain(rate_per_s: float, server: StageServer) -> Prediction:
    """Prediction for Poisson arrivals at `rate_per_s`.

    utilisation is the share of time in which any job runs. degraded_share, None without rungs, is the
    share of jobs delivered below full work: started at a lower rung or, in flight, lowered in their
    run. With `server.steps` every figure is carried on in 1 / stages to that many, by the polynomial
    through the last two numbers of stages; three without rungs, where no stages are drawn at random.

    error_estimate: the largest relative change of a figure on the way to services that do not vary,
    as the last two numbers of stages tell it, and the cut-off; with `steps` a third of that change:
    simulated engines of 25 steps lay within it.

    ValueError for a rate that cannot be, for more crowds than can be described, for too few stages to
    serve the last rung, or to be carried on to `steps`, and for a line too long to be followed;
    Unstable if the last rung does not keep up.
    """
    _check(rate_per_s, server)
    numbers = _numbers(rate_per_s, server)
    solved = [_solve(rate_per_s, replace(server, stages=number)) for number in numbers]
    ours = solved[numbers.index(server.stages)]
    error = _distance(ours, _carried(numbers[-2:], solved[-2:], math.inf))
    how = f"chain of {server.stages} stages a job"
    if server.steps is not None:
        if error > _CARRIED_MOST:
            raise ValueError(
                f"with {numbers[-1]} stages a rung of {server.work[-1]:g} of the work is too far from"
                f" {server.steps} steps: a figure would change by {error:.0%}; take more stages"
            )
        ours = _carried(numbers, solved, server.steps)
        how = f"chains of {numbers[0]} to {numbers[-1]} stages a job, carried on to {server.steps} steps"
        error /= 3
    binding = "in flight" if server.in_flight else "at the start"
    rungs = f", {len(server.enter)} lower rungs that bind {binding}" if server.enter else ""
    method = f"limited processor sharing in {len(server.rates_per_s)} places{rungs}: {how}"
    return replace(ours, method=method, error_estimate=error + 10 * LEFT_OUT)


def _check(rate_per_s: float, server: StageServer) -> None:
    if not (rate_per_s > 0 and math.isfinite(rate_per_s)):
        raise ValueError(f"rate_per_s {rate_per_s} must be a finite number above 0")
    utilisation = rate_per_s * server.work[-1] / server.rates_per_s[-1]
    if utilisation >= 1:
        raise Unstable(utilisation)
    if server.crowds() > CROWDS_MAX:
        raise ValueError(
            f"{server.stages} stages of {len(server.rates_per_s)} jobs on {len(server.work)} rungs are"
            f" {server.crowds()} states a level, more than {CROWDS_MAX}; take fewer stages"
        )


def _numbers(rate_per_s: float, server: StageServer) -> list[int]:
    """Of stages that are solved: the server's own and those before, where the last rung keeps up
    with so few, else the next."""
    if not _keeps_up(rate_per_s, server):
        raise ValueError(
            f"{server.stages} stages are too few for a rung of {server.work[-1]:g} of the work: at"
            " least one of them is served, which does not keep up; take more stages"
        )
    wanted = 2 if server.steps and not server.enter else 1
    numbers = [server.stages]
    while len(numbers) <= wanted and numbers[0] > 1:
        if not _keeps_up(rate_per_s, replace(server, stages=numbers[0] - 1)):
            break
        numbers.insert(0, numbers[0] - 1)
    return numbers if len(numbers) > 1 else [server.stages, server.stages + 1]


def _keeps_up(rate_per_s: float, server: StageServer) -> bool:
    """Whether the last rung does, with whole stages, of which at least one is served."""
    admitted = between_neighbours(server.work[-1] * server.stages)
    least = sum(stages * chance for stages, chance in admitted.items())
    return rate_per_s * least / server.stages < server.rates_per_s[-1]


def _solve(rate_per_s: float, server: StageServer) -> Prediction:
    kinds = Kinds(server.stages, server.work, in_flight=server.in_flight)
    engine = Engine(
        rate_per_s, server.rates_per_s, server.stages, kinds, server.enter, server.leave
    )
    long_run = LongRun(engine)
    share = long_run.share
    inside = np.arange(share.size)
    in_line = float(np.maximum(inside - engine.places, 0) @ share)
    return prediction(
        in_line / rate_per_s,
        (float(inside @ share) - in_line) / rate_per_s,
        response_law(engine, long_run),
        1 - float(share[0]),
        rate_per_s,
        "",
        degraded_share=long_run.degraded_share() if server.enter else None,
    )


# -- from a few stages to many --------------------------------------------------------------------


_CARRIED = (
    "mean_wait_s",
    "mean_response_s",
    "p50_s",
    "p95_s",
    "p99_s",
    "utilisation",
    "degraded_share",
)


def _figures(solved: Prediction) -> list[float]:
    return [getattr(solved, name) or 0.0 for name in _CARRIED]


def _carried(numbers: Sequence[int], solved: Sequence[Prediction], steps: float) -> Prediction:
    """Lagrange's polynomial in 1 / stages; a share stays one, and a wait at least 0."""
    inverse = [1 / number for number in numbers]
    carried = np.zeros(len(_CARRIED))
    for i, one in enumerate(solved):
        rest = [x for j, x in enumerate(inverse) if j != i]
        weight = math.prod((1 / steps - x) / (inverse[i] - x) for x in rest)
        carried += weight * np.array(_figures(one))
    figures = dict(zip(_CARRIED, np.maximum(carried, 0.0).tolist(), strict=True))
    for name in ("utilisation", "degraded_share"):
        figures[name] = min(figures[name], 1.0)
    if solved[0].degraded_share is None:
        del figures["degraded_share"]
    return replace(solved[-1], **figures)


def _distance(one: Prediction, other: Prediction) -> float:
    """Largest relative difference; waits against the response, shares against 1."""
    scale = np.array([one.mean_response_s, *_figures(one)[1:5], 1.0, 1.0])
    return float(np.abs((np.array(_figures(other)) - np.array(_figures(one))) / scale).max())
