"""Why a prediction is off: one thing at a time is replaced by what was measured.

The chain from prediction to measurement is walked in named steps: from the closed form to the
simulator, from average arrivals to this run's own, and from there, one by one, to the speed that
the engine really had and to the time really spent outside of it. What no step explains is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.prediction import LATENCIES, APriori, Figures, Trace, World, replay, trace_driven
from analysis.runs import Outcome, Request

TOLERANCE = 0.10
"""A prediction further off than this share must be explained."""

SPEED_ROUNDS = 6
SPEED_PRECISION = 0.005

MODEL = "the closed form's assumptions (exponential service)"
ARRIVALS = "this run's arrivals, which were not average"
SPEED = "the engine's speed in service, other than in the profile"
OUTSIDE = "the time outside the engine under load, other than without load"
REST = "nothing that was swapped (interplay, or what the simulator leaves out)"


@dataclass(frozen=True, slots=True)
class Causes:
    """What each swap changes, in seconds, by figure and by name of the swap.

    slowness: measured over profiled time per step. calibrated: the trace-driven simulation with
    the measured speed and the measured time outside together.
    """

    effects: Mapping[str, Mapping[str, float]]
    slowness: float
    outside_s: float
    calibrated: Figures


def find_causes(
    world: World,
    requests: Sequence[Request],
    trace: Trace,
    measured: Figures,
    predicted: Figures,
    prior: APriori,
    replayed: Figures,
) -> Causes:
    """Walk from `predicted` (closed form, or `prior` itself) to `measured`."""
    outcomes = [o for o in (request.outcome for request in requests) if o is not None]
    slowness = fit_speed(world, trace, outcomes)
    after_s = [request.after_s for request in requests if request.after_s is not None]
    outside_s = max(0.0, float(np.mean(after_s)))
    slow = world.slower(slowness)
    overheads = replace(world.overheads, response_s=outside_s)
    _, with_speed = replay(slow, trace)
    _, with_outside = replay(replace(world, overheads=overheads), trace)
    _, calibrated = replay(replace(slow, overheads=overheads), trace)
    effects: dict[str, dict[str, float]] = {}
    for name in LATENCIES:
        start, average, own = (getattr(f, name) for f in (predicted, prior.figures, replayed))
        parts = {
            MODEL: average - start,
            ARRIVALS: own - average,
            SPEED: getattr(with_speed, name) - own,
            OUTSIDE: getattr(with_outside, name) - own,
        }
        parts[REST] = getattr(measured, name) - start - sum(parts.values())
        effects[name] = parts
    return Causes(effects, slowness, outside_s, calibrated)


def fit_speed(world: World, trace: Trace, outcomes: Sequence[Outcome]) -> float:
    """How many times longer the engine took per step than in the profile.

    Found by making the simulated engines slower until a step of a job takes as long as measured,
    at the batches that then form. Time per step, not per job: a controller answers a slow engine
    with fewer steps, so the time per job hardly tells its speed.
    """
    wanted_s = seconds_per_step(outcomes)
    factor = 1.0
    for _ in range(SPEED_ROUNDS):
        simulated, _ = trace_driven(world.slower(factor), trace)
        ratio = wanted_s / seconds_per_step(simulated)
        factor *= ratio
        if abs(ratio - 1) < SPEED_PRECISION:
            break
    return factor


def seconds_per_step(outcomes: Sequence[Outcome]) -> float:
    """Time in the engine over steps run, all jobs together; ValueError if none was served."""
    steps = sum(outcome.steps for outcome in outcomes)
    if steps == 0:
        raise ValueError("no request was served, so the engine's speed is unknown")
    return sum(outcome.service_s for outcome in outcomes) / steps


def deviation(measured: float, predicted: float) -> float | None:
    """Prediction over measurement, minus 1; None where one of them is not a number."""
    if not (np.isfinite(measured) and np.isfinite(predicted)) or measured == 0:
        return None
    return predicted / measured - 1


SHORT = {
    MODEL: "closed form",
    ARRIVALS: "arrivals",
    SPEED: "engine speed",
    OUTSIDE: "outside the engine",
    REST: "rest",
}
NAMES = {"mean_s": "mean", "p50_s": "p50", "p95_s": "p95", "p99_s": "p99"}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one figure was missed: a headline, and the effects of all swaps behind it."""

    headline: str
    detail: str


def explain(
    measured: Figures, predicted: Figures, prior: APriori, causes: Causes, model: str
) -> list[Explanation]:
    """An explanation for each latency figure that the prediction misses by more than TOLERANCE."""
    found = []
    for name in LATENCIES:
        value, said = getattr(measured, name), getattr(predicted, name)
        off = deviation(value, said)
        if off is None or abs(off) <= TOLERANCE:
            continue
        effects = causes.effects[name]
        # Only what moves the prediction towards the measurement can be its cause.
        helping = {
            cause: effect for cause, effect in effects.items() if effect * (value - said) > 0
        }
        cause = max(helping, key=lambda one: abs(helping[one]))
        headline = (
            f"{NAMES[name]}: the {model} says {said:.2f} s, measured were {value:.2f} s ({off:+.0%})."
            f" Largest cause: {cause}, worth {effects[cause]:+.2f} s."
        )
        told = [f"{SHORT[one]} {effect:+.2f} s" for one, effect in effects.items() if effect]
        band = prior.bands[name]
        chance = "can" if value in band else "cannot"
        detail = (
            f"All: {', '.join(told)}. 95 % of simulated runs fall in {band.low:.2f} to"
            f" {band.high:.2f} s, so chance alone {chance} do this in a run of this length."
        )
        found.append(Explanation(headline, detail))
    return found
