"""Why a prediction is off, in words: the largest of the swaps that lead from it to the measurement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.comparison.comparing import Comparison
from analysis.prediction import LATENCIES, Figures

TOLERANCE = 0.10
"""A prediction further off than this share must be explained."""

NAMES = {"mean_s": "mean", "p50_s": "p50", "p95_s": "p95", "p99_s": "p99"}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one figure was missed: a headline, and the effects of all swaps behind it."""

    headline: str
    detail: str


def deviation(measured: float, predicted: float) -> float | None:
    """Prediction over measurement, minus 1; None where one of them is not a number."""
    if not (np.isfinite(measured) and np.isfinite(predicted)) or measured == 0:
        return None
    return predicted / measured - 1


def effects_of(comparison: Comparison, name: str) -> dict[str, float]:
    """What each swap of the error budget changes in a figure."""
    return {entry.name: entry.effects[name] for entry in comparison.budget.entries}


def explain(comparison: Comparison, predicted: Figures, model: str) -> list[Explanation]:
    """An explanation for each latency figure that `predicted`, with which the error budget begins,
    misses by more than TOLERANCE."""
    found = []
    for name in LATENCIES:
        value, said = getattr(comparison.measured, name), getattr(predicted, name)
        off = deviation(value, said)
        if off is None or abs(off) <= TOLERANCE:
            continue
        effects = effects_of(comparison, name)
        # Only what moves the prediction towards the measurement can be its cause.
        helping = {
            cause: effect for cause, effect in effects.items() if effect * (value - said) > 0
        }
        cause = max(helping, key=lambda one: abs(helping[one]))
        headline = (
            f"{NAMES[name]}: the {model} says {said:.2f} s, measured were {value:.2f} s ({off:+.0%})."
            f" Largest cause: {cause}, worth {effects[cause]:+.2f} s."
        )
        told = [f"{one} {effect:+.2f} s" for one, effect in effects.items() if effect]
        band = comparison.a_priori.bands[name]
        chance = "can" if value in band else "cannot"
        detail = (
            f"All: {', '.join(told)}. 95 % of simulated runs fall in {band.low:.2f} to"
            f" {band.high:.2f} s, so chance alone {chance} do this in a run of this length."
        )
        found.append(Explanation(headline, detail))
    return found
