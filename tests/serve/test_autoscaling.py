"""Ray Serve's autoscaler is given the number of engines that the engines heard is wanted."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from typing import Any

import pytest

from tests.conftest import ROOT

with warnings.catch_warnings():
    # Ray's own classes are declared in a way that pydantic is about to drop.
    warnings.simplefilter("ignore")
    from ray.serve._private.common import DeploymentID, ReplicaID, TimeStampedValue
    from ray.serve.config import AutoscalingContext

    from serve.autoscaling import REPLICAS_WANTED, autoscaling_config, follow_advice

POOL = DeploymentID("Engine-main", "sluice")


def context(*heard: list[float], target: int = 2, metric: str = REPLICAS_WANTED) -> Any:
    """What Serve shows of engines that reported these numbers one after another."""
    replicas = [ReplicaID(f"engine{k}", POOL) for k in range(len(heard))]
    series = {
        replica: [TimeStampedValue(100.0 + at_s, value) for at_s, value in enumerate(values)]
        for replica, values in zip(replicas, heard, strict=True)
    }
    return AutoscalingContext(
        deployment_id=POOL,
        deployment_name=POOL.name,
        app_name=POOL.app_name,
        current_num_replicas=len(replicas),
        target_num_replicas=target,
        running_replicas=replicas,
        total_num_requests=lambda: 99.0,
        total_queued_requests=lambda: 99.0,
        aggregated_metrics=lambda: {},
        raw_metrics=lambda: {metric: series},
        capacity_adjusted_min_replicas=1,
        capacity_adjusted_max_replicas=5,
        policy_state={},
        last_scale_up_time=None,
        last_scale_down_time=None,
        current_time=200.0,
        config=autoscaling_config(1, 5),
    )


def wanted(*heard: list[float], **known: Any) -> int:
    return follow_advice(context(*heard, **known))[0]


def test_each_engine_counts_with_what_it_heard_last_and_the_most_is_wanted() -> None:
    assert wanted([5.0, 2.0]) == 2
    assert wanted([1.0, 3.0], [4.0, 2.0]) == 3


def test_the_advice_is_kept_within_the_bounds() -> None:
    assert wanted([9.0]) == 5
    assert wanted([0.0]) == 1


@pytest.mark.parametrize("heard", [(), ([],), ([], [])])
def test_while_no_engine_has_reported_the_number_stands(heard: tuple[list[float], ...]) -> None:
    assert wanted(*heard, target=3) == 3


def test_other_metrics_are_no_advice() -> None:
    assert wanted([5.0], target=3, metric="temperature") == 3


def test_the_configuration_carries_the_policy_to_serves_controller() -> None:
    config = autoscaling_config(2, 7, upscale_delay_s=1.0, downscale_delay_s=60.0)
    assert (config.min_replicas, config.max_replicas) == (2, 7)
    assert (config.upscale_delay_s, config.downscale_delay_s) == (1.0, 60.0)
    carried = config.policy.get_policy()
    assert carried(context([4.0])) == (4, {})


@pytest.mark.parametrize("bounds", [(0, 2), (3, 2)])
def test_bounds_that_would_stop_the_last_engine_or_none_are_refused(
    bounds: tuple[int, int],
) -> None:
    with pytest.raises(ValueError, match="at least 1 and at most"):
        autoscaling_config(*bounds)


@pytest.mark.ray
def test_a_deployment_follows_the_advice_up_and_down() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.serve.scaled_deployment"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told = [line for line in ended.stdout.splitlines() if line.startswith("replicas: ")]
    assert told == ["replicas: 1", "replicas: 2", "replicas: 1"]
