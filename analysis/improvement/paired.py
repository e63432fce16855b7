"""Improvements from pairs: two systems that met the same load in each of several rounds.

Ratios are compared by their logarithms, whose mean over rounds is nearly normal and symmetric: half
as long and twice as long are equally far from none. Student's t over rounds gives the interval, and
Holm's procedure (1979) keeps the chance of a single false claim in a family of them below 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests

from analysis.improvement.measures import PERCENT, Measure
from analysis.intervals import Band, student

LEVEL = 0.05

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Improvement:
    """How much better one system is than the base, above zero if better: percent of the base's figure
    (less of what should be less, more of what should be more), or points of a share.

    `base` and `other` are the systems' means over rounds. `p` is for no difference at all, `p_holm`
    the same within its family.
    """

    key: str
    base: float
    other: float
    rounds: int
    value: float
    band: Band
    p: float
    p_holm: float = math.nan

    @property
    def verdict(self) -> str:
        """better, worse, or open, at 5 % within the family."""
        if not self.p_holm <= LEVEL:
            return "open"
        return "better" if self.value > 0 else "worse"


def improvement(measure: Measure, base: Sequence[float], other: Sequence[float]) -> Improvement:
    """From the figures of both in each round. ValueError for fewer than two rounds, rounds that do not
    match, or a figure that has no logarithm where one is needed."""
    if len(base) != len(other) or len(base) < 2:
        raise ValueError("an improvement needs at least two rounds, each with both systems")
    ones, others = np.array(base, dtype=np.float64), np.array(other, dtype=np.float64)
    if measure.told_in == PERCENT:
        if min(ones.min(), others.min()) <= 0:
            raise ValueError(
                f"{measure.title} was 0 in a round, so there is no ratio; give more --seconds"
            )
        gains = measure.sign * np.log(others / ones)
    else:
        gains = measure.sign * (others - ones)
    band = student(gains)
    value, low, high = (_told(measure, gain) for gain in (float(gains.mean()), band.low, band.high))
    return Improvement(
        measure.key,
        float(ones.mean()),
        float(others.mean()),
        len(base),
        value,
        Band(low, high),
        _p_of(gains),
    )


def _told(measure: Measure, gain: float) -> float:
    """A gain in percent of the base's figure, or in points."""
    if measure.told_in != PERCENT:
        return 100 * gain
    return 100 * measure.sign * math.expm1(measure.sign * gain)


def _p_of(gains: Array) -> float:
    """Two-sided p of Student's test; gains without any spread are certain, or none."""
    deviation = float(gains.std(ddof=1))
    mean = float(gains.mean())
    if deviation <= 1e-12 * max(1.0, abs(mean)):
        return 1.0 if abs(mean) <= 1e-12 else 0.0
    t = mean / (deviation / math.sqrt(gains.size))
    return float(2 * stats.t.sf(abs(t), gains.size - 1))


def with_holm(family: Sequence[Improvement]) -> list[Improvement]:
    """The same with p values corrected for all of them together."""
    if not family:
        return []
    corrected = multipletests([one.p for one in family], alpha=LEVEL, method="holm")[1]
    return [replace(one, p_holm=float(p)) for one, p in zip(family, corrected, strict=True)]
