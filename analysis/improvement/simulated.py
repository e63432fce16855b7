"""The same comparison in virtual time: more loads and many replications than a live run has time for.

Everything here is simulated, with the live policies and the costs that the engines counted in the
measured runs. Systems meet the same arrivals in each replication, so replications are pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.configured_server import configured_server
from analysis.improvement.measures import BY_KEY, MEASURES, Values, simulated_values
from analysis.improvement.paired import Improvement, improvement, with_holm
from analysis.prediction import TabulatedCosts
from analysis.server_config import ServerSettings
from analysis.simulator import Arrival, Overheads, Template, simulate
from loadgen.arrivals import poisson
from pipelines.costs import CostTable
from policies.costs import Costs
from policies.orders import Fifo, ShortestWork
from policies.policy import Policy
from policies.routing import ShortestQueue, Uniform

LOADS = (0.3, 0.6, 0.8, 0.95, 1.2, 1.6, 2.5)
SECONDS = 60.0
REPLICATIONS = 20
SEED = 2_000_000
"""First seed of the schedules: no run uses them."""

FACTOR_LOADS = (0.8, 1.5)
FACTOR_ENGINES = 2
SHORT_SHARE = 0.5
"""Share of the factors' requests that ask for fewer steps, and get exactly these."""

SHORT_STEPS = 10

CACHE, ORDER, ROUTING = "cached prompts", "shortest first", "shortest queue"
AT_START, IN_FLIGHT = "fewer steps at the start", "fewer steps in flight"
TOGETHER = "all together"
SINGLE = "one picture at a time"
BATCHES = "common batches"
"""What the base already has over SINGLE."""

FACTORS = (CACHE, ORDER, ROUTING, AT_START, IN_FLIGHT, TOGETHER)
FACTOR_KEYS = ("mean_s", "p95_s", "pictures_per_s", "engine_s")


@dataclass(frozen=True, slots=True)
class Inputs:
    """What was measured: settings by system, costs by pool, overheads, and taking in a job whose text
    is in the cache (`cached_s`) or is not (`new_s`)."""

    settings: Mapping[str, ServerSettings]
    tables: Mapping[str, CostTable]
    overheads: Overheads
    capacity_per_s: float
    cached_s: float
    new_s: float


class WithIntake:
    """A cost table with another cost of taking in a job."""

    def __init__(self, costs: Costs, intake_s: float) -> None:
        self._costs, self._intake_s = costs, intake_s

    def encode_s(self, variant: str) -> float:
        """Taking in one job."""
        del variant
        return self._intake_s

    def step_s(self, variant: str, batch: int, guided: int | None = None) -> float:
        """As in the table."""
        return self._costs.step_s(variant, batch, guided)

    def decode_s(self, variant: str, batch: int) -> float:
        """As in the table."""
        return self._costs.decode_s(variant, batch)


def systems_table(
    inputs: Inputs,
    base: str,
    replications: int = REPLICATIONS,
    seconds: float = SECONDS,
    loads: Sequence[float] = LOADS,
    tell: Callable[[str], None] = lambda what: None,
) -> list[dict[str, Any]]:
    """Every system against the base at every load: a row each, with all measures."""
    costs = _costs(inputs)
    found: list[tuple[float, str, list[Improvement]]] = []
    for load in loads:
        tell(f"simulating {load:g} times the capacity")
        values: dict[str, list[Values]] = {system: [] for system in inputs.settings}
        for number in range(replications):
            times_s = poisson(load * inputs.capacity_per_s, seconds, SEED + number)
            if not times_s.size:
                continue
            for system, settings in inputs.settings.items():
                floor = Template(settings.ladder.last)
                arrivals = [Arrival(float(time_s), floor) for time_s in times_s]
                server = configured_server(settings, costs, inputs.overheads)
                values[system].append(simulated_values(simulate(arrivals, server).records, seconds))
        for system in inputs.settings:
            if system != base:
                found.append((load, system, _against(values[base], values[system])))
    return _rows(found, "system")


def factors_table(
    inputs: Inputs,
    base: str,
    best: str,
    replications: int = REPLICATIONS,
    seconds: float = SECONDS,
    loads: Sequence[float] = FACTOR_LOADS,
    tell: Callable[[str], None] = lambda what: None,
) -> list[dict[str, Any]]:
    """What each optimisation brings alone, and all together (with the exits of the system `best`), to
    a server of two engines with none of them: new prompts, first come first served, an engine drawn
    at random, always full service. Some of the requests ask for fewer steps. A factor whose system was
    not measured is left out."""
    factors = [name for name in FACTORS if _system(base, name, best) in inputs.settings]
    found: list[tuple[float, str, list[Improvement]]] = []
    for load in loads:
        tell(f"simulating factors at {load:g} times the capacity")
        plain: list[Values] = []
        single: list[Values] = []
        by_factor: dict[str, list[Values]] = {name: [] for name in factors}
        for number in range(replications):
            arrivals = _mixed_arrivals(inputs, base, load, seconds, SEED + number)
            if not arrivals:
                continue
            plain.append(_simulated(inputs, base, "", best, arrivals, seconds))
            single.append(_simulated(inputs, base, SINGLE, best, arrivals, seconds))
            for name in factors:
                by_factor[name].append(_simulated(inputs, base, name, best, arrivals, seconds))
        found.append((load, BATCHES, _against(single, plain)))
        for name in factors:
            found.append((load, name, _against(plain, by_factor[name])))
    return _rows(found, "factor")


def _costs(inputs: Inputs, intake_s: float | None = None) -> dict[str, Costs]:
    """By pool; with another cost of taking in a job if one is given."""
    found: dict[str, Costs] = {}
    settings = next(iter(inputs.settings.values()))
    for pool in settings.pools:
        table = inputs.tables[pool.name]
        variants = [name for name in pool.variants if name in table.variants]
        costs: Costs = TabulatedCosts(table, variants, pool.max_batch)
        found[pool.name] = costs if intake_s is None else WithIntake(costs, intake_s)
    return found


def _simulated(
    inputs: Inputs,
    base: str,
    factor: str,
    best: str,
    arrivals: Sequence[Arrival],
    seconds: float,
) -> Values:
    settings = inputs.settings[_system(base, factor, best)]
    several = tuple(
        replace(
            pool,
            replicas=FACTOR_ENGINES,
            max_batch=1 if factor == SINGLE else pool.max_batch,
        )
        for pool in settings.pools
    )
    policy = with_factor(settings.policy, factor)
    costs = _costs(inputs, inputs.cached_s if factor in (CACHE, TOGETHER) else inputs.new_s)
    server = configured_server(
        replace(settings, pools=several, policy=policy), costs, inputs.overheads
    )
    return simulated_values(simulate(arrivals, server).records, seconds)


def _system(base: str, factor: str, best: str) -> str:
    """Whose controller and exits are simulated."""
    return {AT_START: "at_start", IN_FLIGHT: "in_flight", TOGETHER: best}.get(factor, base)


def with_factor(policy: Policy, factor: str) -> Policy:
    """The policy with the plainest order and routing, but for what the factor changes."""
    order = ShortestWork() if factor in (ORDER, TOGETHER) else Fifo()
    routing = ShortestQueue() if factor in (ROUTING, TOGETHER) else Uniform()
    return replace(policy, order=order, routing=routing)


def _mixed_arrivals(
    inputs: Inputs, base: str, load: float, seconds: float, seed: int
) -> list[Arrival]:
    """Load counts the work: a share of the requests ask for fewer steps, so more of them come."""
    ladder = inputs.settings[base].ladder
    short = min(SHORT_STEPS, ladder.best.steps)
    work = 1 - SHORT_SHARE + SHORT_SHARE * short / ladder.best.steps
    rate_per_s = load * FACTOR_ENGINES * inputs.capacity_per_s / work
    times_s = poisson(rate_per_s, seconds, seed)
    asks_less = np.random.default_rng([seed, 8]).random(times_s.size) < SHORT_SHARE
    full = Template(ladder.last)
    less = Template(ladder.last, variant=ladder.best.variant, steps=short, fixed=True)
    return [
        Arrival(float(time_s), less if few else full)
        for time_s, few in zip(times_s, asks_less, strict=True)
    ]


def _against(base: Sequence[Values], other: Sequence[Values]) -> list[Improvement]:
    """Every measure that both have in all replications."""
    found = []
    for measure in MEASURES:
        pairs = [(b[measure.key], o[measure.key]) for b, o in zip(base, other, strict=True)]
        ones = [float(b) for b, o in pairs if b is not None and o is not None]
        others = [float(o) for b, o in pairs if b is not None and o is not None]
        if len(ones) == len(pairs) and pairs:
            found.append(improvement(measure, ones, others))
    return found


def _rows(
    found: Sequence[tuple[float, str, Sequence[Improvement]]], name: str
) -> list[dict[str, Any]]:
    """One family for Holm's correction."""
    corrected = iter(with_holm([one for _, _, its in found for one in its]))
    return [
        {"load": load, name: what, "measures": {one.key: as_plain(next(corrected)) for one in its}}
        for load, what, its in found
    ]


def as_plain(one: Improvement) -> dict[str, Any]:
    """As JSON values, with the unit that it is told in."""
    return {
        "base": one.base,
        "other": one.other,
        "rounds": one.rounds,
        "value": one.value,
        "low": one.band.low,
        "high": one.band.high,
        "told_in": BY_KEY[one.key].told_in,
        "p": one.p,
        "p_holm": one.p_holm,
        "verdict": one.verdict,
    }
