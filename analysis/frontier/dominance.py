"""Who dominates whom: violations at equal quality, and quality at equal violations.

Between two settings of a side every mixture counts as its own: that is what a fleet of such engines
gives if a share of them runs one setting and the rest the other, each with its share of the jobs.
Intervals resample the replications, the same ones for both sides (the paired bootstrap; Efron and
Tibshirani 1993), with the choice of the settings held fixed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from analysis.frontier.study import Tally
from analysis.intervals import Band, wilson
from analysis.records import Interval, confidence_interval

Array = NDArray[np.float64]
Picks = NDArray[np.int64]
"""Replications drawn with replacement, a row for each draw."""

DRAWS = 4000
ROUNDING = 1e-9
"""A setting whose every picture has a score has that mean, in whatever order they were added up."""

RATIO_WANTED = 1 / 3
"""The issue: at equal quality at most a third of the violations of the best baseline."""


@dataclass(frozen=True)
class Outcome:
    """One setting on one schedule, by replication: jobs, violations, sum of scores in time."""

    name: str
    jobs: Array
    violations: Array
    score_sum: Array

    @classmethod
    def of(cls, name: str, tallies: Sequence[Tally]) -> Outcome:
        """From the heats of a schedule."""
        return cls(
            name,
            np.array([t.jobs for t in tallies], dtype=np.float64),
            np.array([t.violations for t in tallies], dtype=np.float64),
            np.array([t.score_sum for t in tallies], dtype=np.float64),
        )

    @property
    def share(self) -> float:
        """Violations over jobs, of all replications together."""
        return float(self.violations.sum() / self.jobs.sum())

    @property
    def quality(self) -> float:
        """Mean score of what was delivered in time; nan if nothing was."""
        delivered = float((self.jobs - self.violations).sum())
        return float(self.score_sum.sum()) / delivered if delivered else math.nan

    @property
    def worth(self) -> float:
        """Mean score of all jobs, those without a picture in time counting 0."""
        return float(self.score_sum.sum() / self.jobs.sum())

    def share_interval(self) -> Interval:
        """95 % interval of `share` over the replications."""
        return ratio_interval(self.violations, self.jobs)

    def quality_interval(self) -> Interval:
        """95 % interval of `quality` over the replications."""
        return ratio_interval(self.score_sum, self.jobs - self.violations)

    def worth_interval(self) -> Interval:
        """95 % interval of `worth` over the replications."""
        return ratio_interval(self.score_sum, self.jobs)


def ratio_interval(over: Array, under: Array) -> Interval:
    """A ratio of sums over replications with Student's interval of its linearised residuals.

    (Cochran, Sampling Techniques, 1977, chapter 6.) The ratio is nan where nothing is under it.
    """
    if not under.sum():
        return Interval(math.nan, math.nan, len(over))
    ratio = float(over.sum() / under.sum())
    residuals = (over - ratio * under) / under.mean()
    return Interval(ratio, confidence_interval(residuals.tolist()).half_width, len(over))


@dataclass(frozen=True)
class Mixture:
    """A share `weight` of the engines under `first`, the others under `second` (None: weight is 1).

    Jobs that one part does not deliver do not count in its quality, so the quality of a mixture is
    nearer to that of the part that delivers more.
    """

    first: Outcome
    second: Outcome | None = None
    weight: float = 1.0

    @property
    def name(self) -> str:
        """For tables."""
        if self.second is None:
            return self.first.name
        return f"{self.weight:.1%} {self.first.name}, {1 - self.weight:.1%} {self.second.name}"

    @property
    def share(self) -> float:
        """Its share of violations."""
        return float(self.shares(_all(self.first))[0])

    @property
    def quality(self) -> float:
        """The mean score of what it delivers in time."""
        return float(self.qualities(_all(self.first))[0])

    def shares(self, picks: Picks) -> Array:
        """Its share of violations in each bootstrap draw (rows of replications)."""
        jobs, lost, _ = self._sums(picks)
        return np.asarray(lost / jobs)

    def qualities(self, picks: Picks) -> Array:
        """Its quality in each bootstrap draw."""
        jobs, lost, score = self._sums(picks)
        return np.asarray(score / (jobs - lost))

    def _sums(self, picks: Picks) -> tuple[Array, Array, Array]:
        """Jobs, violations and scores of each draw."""
        of_first = _sums(self.first, picks)
        if self.second is None:
            return of_first
        jobs, lost, score = (
            self.weight * one + (1 - self.weight) * other
            for one, other in zip(of_first, _sums(self.second, picks), strict=True)
        )
        return jobs, lost, score


def _sums(one: Outcome, picks: Picks) -> tuple[Array, Array, Array]:
    return (
        np.asarray(one.jobs[picks].sum(axis=1)),
        np.asarray(one.violations[picks].sum(axis=1)),
        np.asarray(one.score_sum[picks].sum(axis=1)),
    )


def _all(one: Outcome) -> Picks:
    """One draw, which is every replication once."""
    return np.arange(len(one.jobs))[None, :]


def fewest_violations(outcomes: Sequence[Outcome], quality: float) -> Mixture | None:
    """The fewest violations at this quality or better, if any setting (or mixture) reaches it."""
    better = [one for one in outcomes if one.quality >= quality - ROUNDING]
    if not better:
        return None
    # Of equally few violations the better quality.
    found = Mixture(min(better, key=lambda one: (one.share, -one.quality)))
    worse = [one for one in outcomes if one.quality < quality - ROUNDING]
    least = found.share
    for high, low in product(better, worse):
        if low.share < least and high.quality > quality + ROUNDING:
            mixture = Mixture(high, low, _weight_for(quality, high, low))
            if mixture.share < least:
                found, least = mixture, mixture.share
    return found


def _weight_for(quality: float, high: Outcome, low: Outcome) -> float:
    """The share of jobs under `high` at which a mixture with `low` has this quality."""
    surplus = (1 - high.share) * (high.quality - quality)
    lack = (1 - low.share) * (quality - low.quality)
    return lack / (lack + surplus)


def best_quality(outcomes: Sequence[Outcome], share: float) -> Mixture | None:
    """The best quality with at most this share of violations."""
    fewer = [one for one in outcomes if one.share <= share and not math.isnan(one.quality)]
    if not fewer:
        return None
    found = Mixture(max(fewer, key=lambda one: (one.quality, -one.share)))
    more = [one for one in outcomes if one.share > share and not math.isnan(one.quality)]
    most = found.quality
    for low, high in product(fewer, more):
        if high.quality > most:
            weight = (share - low.share) / (high.share - low.share)
            mixture = Mixture(high, low, weight)
            if mixture.quality > most:
                found, most = mixture, mixture.quality
    return found


@dataclass(frozen=True)
class AtQuality:
    """Violations of the two sides at a quality; None for a side that does not reach it.

    `ratio` is ours over theirs, None where theirs are none.
    """

    quality: float
    ours: Mixture | None
    theirs: Mixture | None
    ratio: float | None
    band: Band | None

    @property
    def wanted(self) -> bool | None:
        """At most a third of theirs; None where there is nothing to compare."""
        if self.theirs is None or (self.ratio is None and self.ours is not None):
            return None
        return self.ratio is not None and self.ratio <= RATIO_WANTED


@dataclass(frozen=True)
class AtShare:
    """Quality of the two sides with at most a share of violations; None if a side has more."""

    share: float
    ours: Mixture | None
    theirs: Mixture | None
    gain: float | None
    band: Band | None


def _picks(replications: int, seed: int) -> Picks:
    rng = np.random.default_rng(seed)
    return rng.integers(0, replications, size=(DRAWS, replications))


def at_quality(
    ours: Sequence[Outcome], theirs: Sequence[Outcome], quality: float, seed: int
) -> AtQuality:
    """Both sides at this quality or better."""
    mine = fewest_violations(ours, quality)
    other = fewest_violations(theirs, quality)
    if mine is None or other is None or other.share == 0:
        return AtQuality(quality, mine, other, None, None)
    picks = _picks(len(mine.first.jobs), seed)
    above, below = mine.shares(picks), other.shares(picks)
    drawn = np.full(DRAWS, math.inf)
    np.divide(above, below, out=drawn, where=below > 0)
    # Draws in which neither side has a violation say nothing. No line between a number and infinity.
    low, high = np.quantile(drawn[above + below > 0], (0.025, 0.975), method="higher")
    if not mine.share:
        # Every draw says 0; the jobs that were run bound it all the same.
        jobs = min(one.jobs.sum() for one in (mine.first, mine.second) if one is not None)
        high = wilson(0, int(jobs)).high / other.share
    band = Band(float(low), float(high))
    return AtQuality(quality, mine, other, mine.share / other.share, band)


def at_share(
    ours: Sequence[Outcome], theirs: Sequence[Outcome], share: float, seed: int
) -> AtShare:
    """Both sides with at most this share of violations."""
    mine = best_quality(ours, share)
    other = best_quality(theirs, share)
    if mine is None or other is None:
        return AtShare(share, mine, other, None, None)
    picks = _picks(len(mine.first.jobs), seed)
    gains = mine.qualities(picks) - other.qualities(picks)
    low, high = np.quantile(gains, (0.025, 0.975))
    return AtShare(share, mine, other, mine.quality - other.quality, Band(float(low), float(high)))
