"""The difference between two worlds, shared out to the assumptions in which they differ.

Assumptions are swapped one at a time, in one order and in the reverse one, and what a swap changes
is averaged over both: the Shapley value of the swaps (Shapley 1953), estimated from two opposite
permutations (Castro, Gómez and Tejada 2009, with antithetic permutations). In each order the changes
add up to the whole difference, so their averages do too. Where both orders disagree, assumptions
work together; that is told beside each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from analysis.comparison.ensembles import BUDGETED, Ensemble

Array = NDArray[np.float64]

Swaps = frozenset[str]


@dataclass(frozen=True, slots=True)
class Entry:
    """What one swap changes, by figure: mean over both orders, its Monte Carlo standard error, and
    the difference between the orders."""

    segment: str
    name: str
    effects: Mapping[str, float]
    standard_errors: Mapping[str, float]
    order_dependence: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Milestone:
    """A world between two segments, or at an end."""

    name: str
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Budget:
    """From the first milestone to the last by way of all entries; they add up for every figure."""

    milestones: tuple[Milestone, ...]
    entries: tuple[Entry, ...]

    @property
    def segments(self) -> tuple[str, ...]:
        """Their names in order, each once."""
        return tuple(dict.fromkeys(entry.segment for entry in self.entries))


def share_out(
    segment: str,
    names: Sequence[str],
    world: Callable[[Swaps], Ensemble],
    start: Array | None = None,
) -> list[Entry]:
    """The entries of a segment: from `world` without swaps to that with all of `names`.

    `world` is asked twice for as many swaps as there are, but for the ends; it may keep its answers.
    `start`: the figures without swaps, where they are known better than by simulation. What the
    simulation is off by then counts to the last of `names`.
    """
    forth, back = _walk(names, world), _walk(list(reversed(names)), world)
    back.reverse()
    entries = []
    for name, one, other in zip(names, forth, back, strict=True):
        weighted = [(0.5, one[1]), (-0.5, one[0]), (0.5, other[1]), (-0.5, other[0])]
        effect = (_effect(one) + _effect(other)) / 2
        if start is not None and name == names[-1]:
            nothing = world(frozenset())
            weighted.append((1.0, nothing))
            effect = effect + nothing.table().mean(axis=0) - start
        errors, order = _standard_errors(weighted), _effect(one) - _effect(other)
        entries.append(Entry(segment, name, _by_name(effect), _by_name(errors), _by_name(order)))
    return entries


def _walk(
    names: Sequence[str], world: Callable[[Swaps], Ensemble]
) -> list[tuple[Ensemble, Ensemble]]:
    """Before and after each swap in this order."""
    worlds = [world(frozenset(names[:count])) for count in range(len(names) + 1)]
    return list(pairwise(worlds))


def _effect(pair: tuple[Ensemble, Ensemble]) -> Array:
    before, after = pair
    return np.asarray(after.table().mean(axis=0) - before.table().mean(axis=0))


def _standard_errors(weighted: Sequence[tuple[float, Ensemble]]) -> Array:
    """Of a weighted sum of means over draws: draws of one number share their random numbers, so the
    means of n and of m >= n draws have the covariance of single draws over m."""
    variance = np.zeros(len(BUDGETED))
    for weight, one in weighted:
        for other_weight, other in weighted:
            variance += weight * other_weight * _covariance(one.table(), other.table())
    return np.sqrt(np.maximum(0.0, variance))


def _covariance(one: Array, other: Array) -> Array:
    common, most = min(len(one), len(other)), max(len(one), len(other))
    if common < 2:
        return np.zeros(one.shape[1])
    a, b = one[:common], other[:common]
    products = (a - a.mean(axis=0)) * (b - b.mean(axis=0))
    return np.asarray(products.sum(axis=0) / (common - 1) / most)


def _by_name(values: Array) -> dict[str, float]:
    return {name: float(value) for name, value in zip(BUDGETED, values, strict=True)}
