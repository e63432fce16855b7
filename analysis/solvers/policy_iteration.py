"""Optimal policies of a decision process, and the long-run cost of any policy.

Policy iteration (Howard 1960) for the long-run average, with exact sparse solves. A better policy
may split the chain, for instance into "stay at rung 0" and "stay at rung 1"; then the class of
least cost is kept and every other state is sent there (Haviv and Puterman 1991), which a
communicating process allows: any state can reach any other.

The result carries its own proof. For any function W of the states, the smallest right side of the
optimality equation is a lower bound on the long-run cost of every policy whatever (Odoni 1969;
Puterman 1994, theorem 8.5.5); with the relative values of the last policy the bound meets that
policy's cost up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve

from analysis.service_times import Array
from analysis.solvers.decision_process import DecisionProcess, Rungs
from analysis.solvers.evaluation import Evaluation, closed_classes, evaluate

ROUNDS_MAX = 500
BETTER = 1e-12
"""A change must gain more than this share of the spread of the relative values, else it is
rounding."""


class NotSolved(RuntimeError):
    """Policy iteration did not come to rest; says how far it got."""


@dataclass(frozen=True, slots=True)
class Solution:
    """The optimal policy, its evaluation, and the bound that proves it.

    No policy on this chain costs less than `bound_per_s` per second. `values` are relative values
    by [phase, rung in force, jobs].
    """

    policy: Rungs
    evaluation: Evaluation
    bound_per_s: float
    rounds: int
    values: Array

    def table(self, phase: int = 0) -> list[list[int]]:
        """rungs[current][jobs in the system] -> next rung, as `DecisionTable` reads it."""
        return [[int(rung) for rung in row] for row in self.policy[phase]]


def solve(process: DecisionProcess) -> Solution:
    """The policy of least long-run cost. NotSolved if rounding keeps it from coming to rest.

    Where several rungs cost the same the current one is kept while iterating; in the end the best
    one is taken, so that nothing is degraded for nothing.
    """
    policy = np.full(process.shape, process.station.fastest, dtype=np.int64)
    for rounds in range(1, ROUNDS_MAX + 1):
        policy = _unichain(process, policy)
        values = relative_values(process, policy)
        better, changed = _improved(process, policy, values)
        if not changed:
            policy = _best_of_equals(process, policy, values)
            evaluation = evaluate(process, policy)
            return Solution(policy, evaluation, bound_per_s(process, values), rounds, values)
        policy = better
    raise NotSolved(
        f"the policy still changed after {ROUNDS_MAX} rounds; prices of very different size do that"
    )


def relative_values(process: DecisionProcess, policy: Rungs) -> Array:
    """Relative values of the states with a rung in force; the first is 0.

    Solves cost - gain + sum of rate x (switching + value after - value) = 0 for a policy with one
    closed class.
    """
    start, end, rates = process.moves()
    switching = process.switching_cost(policy).ravel()
    cost = process.cost.ravel() + np.bincount(start, rates * switching[end], process.size)
    matrix = sparse.lil_array(-process.generator(policy))
    matrix[:, [0]] = np.ones((process.size, 1))  # the first value is 0; its column is the gain's
    values = np.asarray(spsolve(sparse.csc_array(matrix), cost))
    values[0] = 0.0
    return values.reshape(process.shape)


def bound_per_s(process: DecisionProcess, values: Array) -> float:
    """No policy on this chain has a lower long-run cost, whatever the values."""
    before = choices(process, values).min(axis=0)  # the best that a decision can make of a state
    start, end, rates = process.moves()
    after = np.bincount(start, rates * before.ravel()[end], process.size)
    gain = process.cost.ravel() + after - (process.total_per_s * values).ravel()
    return float(gain.min())


def choices(process: DecisionProcess, values: Array) -> Array:
    """What every decision costs, as relative values.

    [next rung, phase, current rung, jobs]: the price of the change and the value after it.
    """
    rungs = process.shape[1]
    current = np.arange(rungs)
    price = process.prices.switch * (current[:, None] != current[None, :])  # [next, current]
    after = np.moveaxis(values, 1, 0)  # [next, phase, jobs]
    return np.asarray(price[:, None, :, None] + after[:, :, None, :])


def _improved(process: DecisionProcess, policy: Rungs, values: Array) -> tuple[Rungs, bool]:
    options = choices(process, values)
    kept = np.take_along_axis(options, policy[None], axis=0)[0]
    better = kept - options.min(axis=0) > _rounding(values)
    return np.where(better, options.argmin(axis=0), policy), bool(better.any())


def _best_of_equals(process: DecisionProcess, policy: Rungs, values: Array) -> Rungs:
    options = choices(process, values)
    equal = options <= options.min(axis=0) + _rounding(values)
    best = equal.argmax(axis=0).astype(np.int64)
    # Among states of equal value a mixture of optimal rungs can split the chain, where the policy
    # itself does not; then that one stands.
    return best if len(closed_classes(process, best)) == 1 else policy


def _rounding(values: Array) -> float:
    return BETTER * (1.0 + float(np.ptp(values)))


def _unichain(process: DecisionProcess, policy: Rungs) -> Rungs:
    """The policy, changed outside its cheapest closed class so that all states lead into that."""
    classes = closed_classes(process, policy)
    if len(classes) == 1:
        return policy
    share = evaluate(process, policy).share.ravel()
    home = next(states for states in classes if share[states].sum() > 0.5)
    policy = policy.copy()
    reaching = np.zeros(process.size, dtype=bool)
    reaching[home] = True
    while not reaching.all():
        more = _led_home(process, policy, reaching)
        if not more.size:
            raise NotSolved("some states cannot reach the others, whatever the policy")
        reaching[more] = True
    return policy


def _led_home(process: DecisionProcess, policy: Rungs, reaching: NDArray[np.bool_]) -> Rungs:
    """States that reach the class by one event more; changes `policy` where that takes it.

    A decision that already leads there stands, so what was reached before stays so.
    """
    shaped = reaching.reshape(process.shape)
    leads = np.take_along_axis(shaped, policy, axis=1)
    turned = ~leads & shaped.any(axis=1, keepdims=True)
    policy[turned] = np.broadcast_to(shaped.argmax(axis=1)[:, None, :], process.shape)[turned]
    start, end, _ = process.moves(policy)
    return np.unique(start[reaching[end] & ~reaching[start]])
