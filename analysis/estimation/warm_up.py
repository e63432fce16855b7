"""How much of a run's beginning to leave out, so that an empty start does not speak for the long run.

MSER-5 (White 1997; White, Cobb, Spratt 2000): means of five neighbours; the truncation that leaves the
least standard error of the mean, taken as if they were independent. Among simple rules it does best
(Franklin, White 2008). Where the minimum lies in the last half, the run never settled: then it is no
truncation point but a sign that the run is too short.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

GROUP = 5
VALUES_MIN = 50
"""Fewer values make too few groups of five for a minimum that means anything."""


@dataclass(frozen=True, slots=True)
class WarmUp:
    """`cut` of `n` values belong to the warm-up; `settled` is False where they are more than half,
    which tells of a run that is too short, not where to cut it. `statistic` after each number of
    groups left out."""

    n: int
    cut: int
    settled: bool
    mean_of_all: float
    mean_of_rest: float
    statistic: tuple[float, ...]


def mser5(values: Array) -> WarmUp:
    """The truncation point of values in the order of time. ValueError for fewer than 50."""
    n = values.size
    if n < VALUES_MIN:
        raise ValueError(f"{n} values are too few to find a warm-up: at least {VALUES_MIN}")
    groups = n // GROUP
    means = values[: groups * GROUP].reshape(groups, GROUP).mean(axis=1)
    # Sums over what is left after each cut; centred, for the difference of squares loses digits.
    centred = means - means.mean()
    left = np.arange(groups, 0, -1)
    first = np.cumsum(centred[::-1])[::-1]
    second = np.cumsum(centred[::-1] ** 2)[::-1]
    # The last groups are left out of the search: few are alike by chance (Spratt 1998).
    statistic = (np.maximum(0.0, second - first**2 / left) / left**2)[: groups - GROUP]
    best = int(np.argmin(statistic))
    cut = best * GROUP
    return WarmUp(
        n=n,
        cut=cut,
        settled=best <= groups // 2,
        mean_of_all=float(values.mean()),
        mean_of_rest=float(values[cut:].mean()),
        statistic=tuple(statistic.tolist()),
    )
