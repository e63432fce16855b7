"""What any policy costs on a decision process in the long run."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph
from scipy.sparse.linalg import spsolve

from analysis.service_times import Array
from analysis.solvers.decision_process import DecisionProcess, Rungs
from policies import Controller
from policies.load import Load


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A policy in the long run, from the best of its closed classes if it has several.

    `cost_per_s` is per second, all prices together; the rest says what it consists of. The shares
    are of arriving jobs. `mean_score` is over finished jobs. `share` is the long-run probability by
    [phase, rung in force, jobs].
    """

    cost_per_s: float
    mean_jobs: float
    mean_score: float
    finished_per_s: float
    switches_per_s: float
    late_share: float | None
    refused_share: float
    share: Array


def evaluate(process: DecisionProcess, policy: Rungs, start: int | None = None) -> Evaluation:
    """The long-run cost of a policy and what it consists of.

    From an empty system at rung `start`; without that, from wherever it costs least. The two differ
    only for policies that split the chain, such as a static one. ValueError if the policy does not
    fit, or chance decides which part of the chain the start leads into.
    """
    policy = process.checked(policy)
    classes = closed_classes(process, policy)
    if start is not None and len(classes) > 1:
        classes = _reached(process, policy, classes, start)
    shares = [_stationary(process, policy, states) for states in classes]
    leaving, entering, rates = process.moves()
    changed = (policy != np.arange(process.shape[1])[None, :, None]).ravel()
    switches = [float((share[leaving] * rates) @ changed[entering]) for share in shares]
    costs = [
        float(share @ process.cost.ravel()) + process.prices.switch * count
        for share, count in zip(shares, switches, strict=True)
    ]
    best = int(np.argmin(costs))
    share = shares[best].reshape(process.shape)
    arrive = np.asarray(process.arrivals.rates_per_s)[:, None, None]
    arriving = float((share * arrive).sum())
    finished = float((share * process.finish_per_s).sum())
    scores = np.asarray(process.station.scores)[:, None]
    late = None
    if process.late_share is not None:
        late = float((share * arrive * process.late_share)[..., :-1].sum()) / arriving
    return Evaluation(
        cost_per_s=costs[best],
        mean_jobs=float(share.sum(axis=(0, 1)) @ np.arange(process.shape[2])),
        mean_score=float((share * process.finish_per_s * scores).sum()) / finished,
        finished_per_s=finished,
        switches_per_s=switches[best],
        late_share=late,
        refused_share=float((share * arrive)[..., -1].sum()) / arriving,
        share=share,
    )


def policy_of(process: DecisionProcess, controller: Controller, engines: int = 1) -> Rungs:
    """What a controller decides in every state, as if each rung had stood for ever.

    So a minimum hold never binds, a memory is what it was at the start, and the rate that the
    controller measures is that of the phase. ValueError if it chooses a rung that is not there.
    """
    places, capacity = process.station.places, process.station.capacity_per_s
    policy = np.zeros(process.shape, dtype=np.int64)
    for phase, current, jobs in np.ndindex(process.shape):
        rate = process.arrivals.rates_per_s[phase]
        running = min(jobs, places)
        load = Load(0.0, jobs - running, running, engines, places, rate, rate, capacity)
        state = replace(controller.initial(), rung=current, since_s=float("-inf"))
        policy[phase, current, jobs] = controller.decide(load, state).rung
    return process.checked(policy)


def closed_classes(process: DecisionProcess, policy: Rungs) -> list[Rungs]:
    """The sets of states that the chain never leaves under the policy."""
    start, end, rates = process.moves(policy)
    size = process.size
    graph = sparse.coo_array((rates, (start, end)), shape=(size, size)).tocsr()
    count, label = csgraph.connected_components(graph, directed=True, connection="strong")
    leaves = np.zeros(count, dtype=bool)
    leaves[label[start[label[start] != label[end]]]] = True
    return [np.flatnonzero(label == one) for one in range(count) if not leaves[one]]


def _reached(
    process: DecisionProcess, policy: Rungs, classes: list[Rungs], start: int
) -> list[Rungs]:
    """The one class that an empty system at rung `start` ends in."""
    graph = process.generator(policy)
    first = start * process.shape[2]
    reached = csgraph.breadth_first_order(graph, first, return_predecessors=False)
    ends = [states for states in classes if np.isin(states[0], reached)]
    if len(ends) > 1:
        raise ValueError(f"from rung {start} this policy may end in {len(ends)} parts of the chain")
    return ends


def _stationary(process: DecisionProcess, policy: Rungs, states: Rungs) -> Array:
    """The stationary law on one closed class, 0 elsewhere."""
    share = np.zeros(process.size)
    if states.size == 1:
        share[states] = 1.0
        return share
    inside = process.generator(policy)[states][:, states]
    matrix = sparse.lil_array(inside.T)
    matrix[[0], :] = np.ones((1, states.size))  # one balance equation follows from the others
    right = np.zeros(states.size)
    right[0] = 1.0
    solved = np.maximum(np.asarray(spsolve(sparse.csc_array(matrix), right)), 0.0)
    share[states] = solved / solved.sum()
    return share
