"""Queueing models of a static server with its own cost table: what they say of a run.

M/G/c where an engine runs one job at a time, the birth-death chain of a batching engine otherwise,
and none at all in overload, where only the growth of the queue and a run of finite length can be
predicted. A controlled server has no closed form here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from analysis.models.lines import mgc
from analysis.models.lps import lps
from analysis.models.steady import Prediction, Unstable
from analysis.prediction import Figures, World, full_step_rates_per_s
from analysis.server_config import ServerSettings
from analysis.service_times import Empirical
from analysis.simulation_inputs import Overheads

Model = Literal["M/G/1", "M/G/c", "birth-death chain", "none", "simulator"]


@dataclass(frozen=True, slots=True)
class ClosedForm:
    """The queueing model of a run. `figures` is None where the model has no steady state."""

    model: Model
    method: str
    figures: Figures | None
    growth_per_s: float | None = None


def closed_form(
    world: World, rate_per_s: float, unloaded_service_s: Sequence[float]
) -> ClosedForm | None:
    """The queueing model of a static server; None for a controlled one.

    `unloaded_service_s`: measured service times of single jobs, which M/G/c takes as they are.
    """
    settings = world.settings
    if settings.controlled:
        return None
    batches = settings.batches_of_best()
    try:
        if max(batches) == 1:
            busy_s = np.asarray(unloaded_service_s) + world.overheads.grant_s
            prediction = mgc(rate_per_s, Empirical(busy_s), len(batches))
            model: Model = "M/G/1" if len(batches) == 1 else "M/G/c"
            # The way to the engine is part of the time that its one place is taken.
            outside_s = world.overheads.network_s + world.overheads.response_s
        else:
            rates_per_s = full_step_rates_per_s(settings, world.costs)
            prediction = lps(rate_per_s, rates_per_s, stages=settings.ladder.best.steps)
            model, outside_s = "birth-death chain", _around(world.overheads)
    except Unstable as unstable:
        capacity = rate_per_s / unstable.utilisation
        method = (
            f"no steady state: {rate_per_s:.2f}/s arrive and {capacity:.2f}/s can be served"
            f" (utilisation {unstable.utilisation:.2f}), so the queue grows by"
            f" {rate_per_s - capacity:.2f} jobs a second for as long as this lasts"
        )
        return ClosedForm("none", method, None, rate_per_s - capacity)
    return ClosedForm(model, prediction.method, _steady(prediction, outside_s, settings))


def with_measured_service(
    world: World, rate_per_s: float, service_s: Sequence[float]
) -> ClosedForm | None:
    """A static batching server as M/G/c: one server a place, each as slow as the run's own jobs.

    Unlike the chain it has to know how long jobs took at this load, batch and all; what it then
    predicts is the waiting, and percentiles that owe nothing to an exponential law. None for a
    controlled server, for engines that run one job at a time, and in overload.
    """
    batches = world.settings.batches_of_best()
    if world.settings.controlled or max(batches) == 1 or not len(service_s):
        return None
    try:
        prediction = mgc(rate_per_s, Empirical(service_s), sum(batches))
    except Unstable:
        return None
    figures = _steady(prediction, _around(world.overheads), world.settings)
    return ClosedForm("M/G/c", prediction.method, figures)


def _around(overheads: Overheads) -> float:
    return overheads.network_s + overheads.grant_s + overheads.response_s


def _steady(prediction: Prediction, outside_s: float, settings: ServerSettings) -> Figures:
    return Figures(
        n=float("nan"),
        mean_s=prediction.mean_response_s + outside_s,
        p50_s=prediction.p50_s + outside_s,
        p95_s=prediction.p95_s + outside_s,
        p99_s=prediction.p99_s + outside_s,
        mean_steps=float(settings.ladder.best.steps),
        degraded_share=0.0,
        rejected=0.0,
    )
