"""How long a Markov chain takes to its end: the law of a tagged job's response time.

A model describes what can happen to a job between its arrival and its end as moves between states
0..size-1 at given rates. The chain is made discrete at a uniform rate (Jensen 1953, uniformisation):
the probability of having ended within k jumps is summed up jump by jump, and the number of jumps in
a time is Poisson. All terms are positive, so nothing cancels; what is left out of the Poisson law is
below 1e-14.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, special
from scipy.optimize import brentq

from analysis.models.laws import require_share
from analysis.service_times import Array

Integers: TypeAlias = NDArray[np.int64]

_SPREAD = 8.0  # standard deviations of the number of jumps that are summed
_WORK_MAX = 3e9  # jumps times moves, a few seconds
_JUMP_WORK = 20_000  # what a jump costs beside its moves


@dataclass
class Moves:
    """Moves of a chain of `size` states, each at a rate per second, added a vector at a time."""

    size: int
    _moves: list[tuple[Integers, Integers, Array]] = field(default_factory=list)
    _ending: Array = field(init=False)

    def __post_init__(self) -> None:
        self._ending = np.zeros(self.size)

    def add(self, origin: Integers, target: ArrayLike, rate_per_s: ArrayLike) -> None:
        """From each of `origin` to its `target`; those of rate 0, and to where they are, do nothing."""
        targets = np.broadcast_to(np.asarray(target, dtype=np.int64), origin.shape)
        rates = np.broadcast_to(np.asarray(rate_per_s, dtype=np.float64), origin.shape)
        kept = (rates > 0) & (targets != origin)
        self._moves.append((origin[kept], targets[kept], rates[kept]))

    def end(self, origin: Integers, rate_per_s: ArrayLike) -> None:
        """From each of `origin` the job ends as it should."""
        np.add.at(self._ending, origin, rate_per_s)

    def law(self, start: Array) -> AbsorptionLaw:
        """The law of the time to the end, from these probabilities of the first state."""
        origin, target, rate = (np.concatenate(column) for column in zip(*self._moves, strict=True))
        total = np.bincount(origin, rate, self.size) + self._ending
        uniform_per_s = float(total.max())
        stay = np.arange(self.size)
        chances = np.concatenate((rate / uniform_per_s, 1 - total / uniform_per_s))
        places = (np.concatenate((target, stay)), np.concatenate((origin, stay)))
        move = sparse.csr_array((chances, places), shape=(self.size, self.size))
        return AbsorptionLaw(move, self._ending / uniform_per_s, start, uniform_per_s)


class AbsorptionLaw:
    """Law of the time to the end of a chain that jumps at a uniform rate; see `Moves.law`."""

    def __init__(
        self,
        move: sparse.csr_array,
        ending: Array,
        start: Array,
        uniform_per_s: float,
    ) -> None:
        self._move, self._uniform_per_s = move, uniform_per_s
        self._last = np.flatnonzero(ending)  # few: the sum over them is not worth a thread's start
        self._ending = ending[self._last]
        self._left = start / start.sum()
        self._ended = [0.0]  # [k]: P(ended within k jumps)

    def _grow(self, jumps: int) -> None:
        if jumps * (self._move.nnz + _JUMP_WORK) > _WORK_MAX:
            raise ValueError(
                "a response takes too many jumps to be followed: the rates lie too far apart, or the"
                " load too near capacity"
            )
        while len(self._ended) <= jumps:
            step = float((self._left[self._last] * self._ending).sum())
            self._ended.append(self._ended[-1] + step)
            self._left = self._move @ self._left

    def cdf(self, t_s: Array) -> Array:
        """P(T <= t) at each t. ValueError if it takes too many jumps to know."""
        return np.array([self._cdf(float(t)) if t > 0 else 0.0 for t in np.ravel(t_s)])

    def _cdf(self, t_s: float) -> float:
        mean = self._uniform_per_s * t_s
        spread = _SPREAD * math.sqrt(mean) + 40
        low, high = max(0, int(mean - spread)), int(mean + spread)
        self._grow(high)
        k = np.arange(low, high + 1)
        weights = np.exp(special.xlogy(k, mean) - mean - special.gammaln(k + 1))
        return float(weights @ np.asarray(self._ended[low : high + 1]))

    def percentile(self, share: float) -> float:
        """The time that `share` (0 to 1) of all jobs do not exceed, to 1e-12 relative. ValueError for
        a share not between 0 and 1, and if it takes too many jumps to know."""
        require_share(share)
        jumps = 64
        while self._ended[-1] < share:
            self._grow(jumps)
            jumps += jumps // 2
        # About as many jumps as bring the share; its Poisson number lies within the spread.
        near = int(np.searchsorted(self._ended, share))
        spread = 3 * math.sqrt(near) + 10
        low, high = max(0.0, near - spread), near + spread
        while low > 0 and self._cdf(low / self._uniform_per_s) > share:
            low = max(0.0, low - spread)
        while self._cdf(high / self._uniform_per_s) < share:
            high += spread
        root = brentq(
            lambda jumps: self._cdf(jumps / self._uniform_per_s) - share if jumps > 0 else -share,
            low,
            high,
            xtol=1e-12,
            rtol=1e-13,
        )
        return float(root) / self._uniform_per_s
