"""How many engines each pool should have, from the load: the dispatcher's half of autoscaling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from policies.costs import completion_rate_per_s
from policies.load import Load
from policies.scaling import WaitTarget, replicas_wanted
from serve.config import Config
from serve.sections import AutoscalingSection


@dataclass(frozen=True, slots=True)
class PoolCapacity:
    """What a pool can do, and whether it may grow.

    `rung` is the best that it hosts, `engine_rate_per_s` what one of its engines finishes of that
    with a full batch of `places`.
    """

    rung: int
    engine_rate_per_s: float
    places: int
    scaling: AutoscalingSection | None = None


def pool_capacities(config: Config) -> dict[str, PoolCapacity]:
    """The capacities of all pools by name; none if no pool scales. Reads the cost tables.

    ValueError if a pool scales and one has no cost table.
    """
    if all(pool.autoscaling is None for pool in config.engines):
        return {}
    ladder, costs = config.build_ladder(), config.costs()
    found: dict[str, PoolCapacity] = {}
    for pool in config.engines:
        if pool.name not in costs:
            raise ValueError(f"pool {pool.name} has no costs, and autoscaling needs them; add them")
        rung = next(i for i, rung in enumerate(ladder.rungs) if rung.variant in pool.variants)
        rate_per_s = completion_rate_per_s(costs[pool.name], ladder[rung], pool.max_batch)
        found[pool.name] = PoolCapacity(rung, rate_per_s, pool.max_batch, pool.autoscaling)
    return found


def wanted_engines(
    pool: str, load: Load, engines: Mapping[str, int], capacities: Mapping[str, PoolCapacity]
) -> int | None:
    """How many engines the pool should have for its target; None if its number is fixed.

    `engines` counts those that are up in each pool. They are to serve at the best rung that they
    host: a lower rung bridges the time until they are there. So a pool's traffic is what pools
    with a better rung cannot finish, shared with pools of the same rung by capacity.
    """
    own = capacities.get(pool)
    if own is None or own.scaling is None:
        return None
    better_per_s = like_per_s = 0.0
    for name, other in capacities.items():
        # The pool itself counts as one engine even before the first is up.
        up = max(1, engines.get(name, 0)) if name == pool else engines.get(name, 0)
        if other.rung < own.rung:
            better_per_s += up * other.engine_rate_per_s
        elif other.rung == own.rung:
            like_per_s += up * other.engine_rate_per_s
    current = engines.get(pool, 0)
    share = max(1, current) * own.engine_rate_per_s / like_per_s
    return replicas_wanted(
        share * max(0.0, load.arrival_rate_per_s - better_per_s),
        own.engine_rate_per_s,
        own.places,
        WaitTarget(own.scaling.target_wait_s),
        current=current,
        fewest=own.scaling.min_replicas,
        most=own.scaling.max_replicas,
    )
