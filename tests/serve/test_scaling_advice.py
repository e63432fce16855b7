"""Each pool is advised as many engines as its traffic needs at the best rung that it hosts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from policies.costs import completion_rate_per_s
from policies.load import Load
from serve.config import CONFIGS, Config, parse_config
from serve.scaling_advice import PoolCapacity, pool_capacities, wanted_engines
from serve.sections import AutoscalingSection

SCALING = AutoscalingSection(min_replicas=1, max_replicas=10, target_wait_s=0.5)
FULL = PoolCapacity(rung=0, engine_rate_per_s=2.0, places=4, scaling=SCALING)
CHEAP = PoolCapacity(rung=2, engine_rate_per_s=20.0, places=4, scaling=SCALING)


def load(rate_per_s: float) -> Load:
    return Load(100.0, waiting=0, running=0, engines=1, places=4, arrival_rate_per_s=rate_per_s)


def wanted(rate_per_s: float, pool: str = "full", **engines: int) -> int | None:
    pools = {"full": FULL, "cheap": CHEAP, "fixed": replace(FULL, scaling=None)}
    return wanted_engines(pool, load(rate_per_s), engines, pools)


def test_a_pool_alone_is_to_carry_all_traffic_at_its_best_rung() -> None:
    assert [wanted(rate, full=1) for rate in (0.1, 1.0, 3.0, 9.0, 100.0)] == [1, 1, 2, 6, 10]


def test_pools_of_the_same_rung_share_the_traffic_by_capacity() -> None:
    assert wanted(6.0, full=2) == wanted(12.0, full=2, fixed=2)


def test_a_pool_that_has_no_engine_yet_counts_as_one() -> None:
    assert wanted(1.0, full=0) == 1
    assert wanted(3.0, full=0, fixed=1) == wanted(1.5, full=0)


def test_a_cheaper_pool_is_to_carry_what_better_pools_cannot_finish() -> None:
    assert wanted(6.0, "cheap", full=3, cheap=1) == 1
    assert wanted(100.0, "cheap", full=10, cheap=1) == wanted(80.0, "cheap", cheap=1)
    assert wanted(100.0, "cheap", full=10, cheap=1) != wanted(100.0, "cheap", cheap=1)


def test_a_better_pool_is_not_spared_by_a_cheaper_one() -> None:
    assert wanted(9.0, full=1, cheap=4) == wanted(9.0, full=1)


def test_a_pool_of_fixed_size_and_an_unknown_one_get_no_advice() -> None:
    assert wanted(9.0, "fixed") is None
    assert wanted(9.0, "nowhere") is None


def scaled(**scaling: Any) -> Config:
    """A configuration that ships, with the number of its engines free or fixed."""
    path = CONFIGS / "deadline.yaml"
    content = yaml.safe_load(path.read_text())
    pool = content["engines"][0]
    pool.pop("replicas", None)
    return parse_config({**content, "engines": [{**pool, **scaling}]}, path)


def test_capacities_come_from_the_cost_table_at_the_best_rung_that_a_pool_hosts() -> None:
    scaling = {"min_replicas": 1, "max_replicas": 3, "target_wait_s": 1.0}
    config = scaled(autoscaling=scaling)
    (pool,) = config.engines
    best = config.build_ladder().best
    rate_per_s = completion_rate_per_s(config.costs()[pool.name], best, pool.max_batch)
    expected = PoolCapacity(0, rate_per_s, pool.max_batch, AutoscalingSection(**scaling))
    assert pool_capacities(config) == {pool.name: expected}


def test_without_a_pool_that_scales_no_costs_are_asked_for() -> None:
    assert pool_capacities(scaled()) == {}


def test_a_pool_that_scales_without_costs_is_refused() -> None:
    config = scaled(autoscaling={"max_replicas": 3, "target_wait_s": 1.0})
    bare = config.engines[0].model_copy(update={"costs": None})
    with pytest.raises(ValueError, match="autoscaling needs them"):
        pool_capacities(config.model_copy(update={"engines": (bare,)}))
