"""A batching engine as a birth-death chain: limited processor sharing, first come first served.

Assumption: arrivals are Poisson and the engine's completions are exponential, at a total rate that
depends on the number n of jobs in it only. Up to `places` jobs run and share that rate equally;
the others wait in line. The tagged job, whose response time is followed, may go through `stages`
equal exponential stages instead (Erlang's method: a picture's denoising steps), so that its own
service varies as little as a real picture's while the others around it come and go as the chain
says. In processor sharing the mean does not depend on the stages; the percentiles do, much.

Within the assumption everything here is exact but for the truncation of the chain, which leaves
out at most TRUNCATION of the probability.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse, special

from analysis.models.laws import FormulaLaw
from analysis.models.steady import Prediction, Unstable, prediction
from analysis.service_times import Array

TRUNCATION = 1e-10
STATES_MAX = 4000


@dataclass(frozen=True, slots=True)
class Chain:
    """The chain: rates[n-1] is the total completion rate with n in the system, the last one holds
    for all larger n; share[n] is the long-run probability of n in the system."""

    rate_per_s: float
    rates_per_s: tuple[float, ...]
    places: int
    share: Array

    def completion_per_s(self, n: int) -> float:
        """Total completion rate with n >= 1 jobs in the system."""
        return self.rates_per_s[min(n, len(self.rates_per_s)) - 1]


def lps(
    rate_per_s: float,
    rates_per_s: Sequence[float],
    places: int | None = None,
    stages: int = 1,
) -> Prediction:
    """Prediction for Poisson arrivals at `rate_per_s` to an engine with these completion rates.

    rates_per_s[n-1] is the total rate with n jobs in the system, and the last entry holds for all
    larger n. `places` is how many run at once (default: as many as there are rates). More rates
    than places describe a server that speeds up as its line grows: a threshold controller that
    re-plans in flight. `stages` are those of the tagged job. utilisation is the share of time with
    at least one job. ValueError for rates that cannot be; Unstable if the last rate does not exceed the arrival rate.
    """
    chain = build_chain(rate_per_s, rates_per_s, places)
    n = np.arange(chain.share.size)
    jobs = float(n @ chain.share)
    lined_up = float(np.maximum(n - chain.places, 0) @ chain.share)
    wait_s, response_s = lined_up / rate_per_s, jobs / rate_per_s
    return prediction(
        wait_s,
        response_s - wait_s,
        lps_law(chain, stages),
        1 - float(chain.share[0]),
        rate_per_s,
        f"birth-death chain, {chain.places} places shared equally, exponential completions:"
        f" exact; percentiles by uniformisation of a tagged job of {stages} stages",
    )


def build_chain(
    rate_per_s: float, rates_per_s: Sequence[float], places: int | None = None
) -> Chain:
    """The stationary chain; errors as in `lps`."""
    rates = tuple(float(rate) for rate in rates_per_s)
    running = len(rates) if places is None else places
    if not rates or not all(rate > 0 and math.isfinite(rate) for rate in rates):
        raise ValueError(f"completion rates {rates} must be given and all above 0")
    if not 1 <= running <= len(rates):
        raise ValueError(f"places {running} must lie between 1 and the {len(rates)} rates given")
    if not rate_per_s > 0:
        raise ValueError(f"rate_per_s {rate_per_s} must be above 0")
    utilisation = rate_per_s / rates[-1]
    if utilisation >= 1:
        raise Unstable(utilisation)
    tail = math.ceil(math.log(TRUNCATION * (1 - utilisation)) / math.log(utilisation))
    size = len(rates) + max(tail, 1)
    if size > STATES_MAX:
        raise ValueError(
            f"utilisation {utilisation:.4f} is so near 1 that the chain needs {size} states; the"
            f" limit is {STATES_MAX}"
        )
    log_share = np.zeros(size + 1)
    padded = np.concatenate((rates, np.full(size - len(rates), rates[-1])))
    log_share[1:] = np.cumsum(math.log(rate_per_s) - np.log(padded))
    share = np.exp(log_share - log_share.max())
    return Chain(rate_per_s, rates, running, share / share.sum())


def lps_law(chain: Chain, stages: int = 1) -> FormulaLaw:
    """Response time of an arriving job of `stages` stages, by following it to its end.

    A tagged job is described by (jobs that must finish before it can run, jobs in the system, own
    stages done). The chain of these, made discrete at a uniform rate, gives the probability of
    having ended within k jumps; jumps are Poisson in time. ValueError for less than one stage.
    """
    if stages < 1:
        raise ValueError(f"stages {stages} must be at least 1")
    move, ending, start, uniform_per_s = _tagged(chain, stages)
    ended: list[float] = [0.0]  # ended[k] = P(the job has ended within k jumps)
    left = [start]

    def grow(jumps: int) -> None:
        while len(ended) <= jumps:
            ended.append(ended[-1] + float(left[0] @ ending))
            left[0] = move @ left[0]

    def cdf(t_s: float) -> float:
        mean = uniform_per_s * t_s
        if mean == 0:
            return 0.0
        spread = 8 * math.sqrt(mean) + 40
        low, high = max(0, int(mean - spread)), int(mean + spread)
        grow(high)
        k = np.arange(low, high + 1)
        weights = np.exp(k * math.log(mean) - mean - special.gammaln(k + 1))
        return float(weights @ np.asarray(ended[low : high + 1]))

    scale_s = float(np.arange(chain.share.size) @ chain.share) / chain.rate_per_s
    return FormulaLaw(cdf, scale_s)


def _tagged(chain: Chain, stages: int) -> tuple[sparse.csr_array, Array, Array, float]:
    """Transition matrix (columns: from), ending probabilities, start, and the uniform rate."""
    size, places = chain.share.size, chain.places
    own_per_s = [stages * chain.completion_per_s(n) / min(n, places) for n in range(1, size)]
    uniform_per_s = chain.rate_per_s + max(chain.rates_per_s) + max(own_per_s)
    index = _states(size, places, stages)
    rows: list[int] = []
    columns: list[int] = []
    chances: list[float] = []
    ending = np.zeros(len(index))
    for (ahead, n, stage), here in index.items():
        completion = chain.completion_per_s(n) / uniform_per_s
        arrival = chain.rate_per_s / uniform_per_s if n + 1 < size else 0.0
        others, own = completion, 0.0
        if ahead == 0:
            own = own_per_s[n - 1] / uniform_per_s
            others = completion * (1 - 1 / min(n, places))
        moves = [
            (arrival, (ahead, n + 1, stage)),
            (others, (max(ahead - 1, 0), n - 1, stage)),
            (1.0 - arrival - others - own, (ahead, n, stage)),
        ]
        if stage + 1 == stages:
            ending[here] = own
        else:
            moves.append((own, (ahead, n, stage + 1)))
        for chance, there in moves:
            if chance > 0:
                rows.append(index[there])
                columns.append(here)
                chances.append(chance)
    start = np.zeros(len(index))
    for n in range(size - 1):
        start[index[max(0, n + 1 - places), n + 1, 0]] = chain.share[n]
    start /= start.sum()
    shape = (len(index), len(index))
    move = sparse.csr_array(sparse.coo_array((chances, (rows, columns)), shape=shape))
    return move, ending, start, uniform_per_s


def _states(size: int, places: int, stages: int) -> dict[tuple[int, int, int], int]:
    """Numbers the states (ahead, n, stage): with `ahead` > 0 there are `places` + ahead - 1 before
    the tagged job, and it has not begun its first stage."""
    states = [(0, n, stage) for n in range(1, size) for stage in range(stages)]
    states += [
        (ahead, n, 0) for ahead in range(1, size - places) for n in range(places + ahead, size)
    ]
    return {state: number for number, state in enumerate(states)}
