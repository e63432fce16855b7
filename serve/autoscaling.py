"""Engines follow the load: the queueing model's advice, by way of Ray Serve's own autoscaler.

    the dispatcher's answers to its engines (`Directions.replicas_wanted`)
        --> EngineServer.record_autoscaling_stats --> Serve's controller
        --> follow_advice --> number of replicas

The dispatcher knows the load and computes the advice (`serve.scaling_advice`); Serve decides when
to follow it, and starts and stops the engines. While the dispatcher is away engines repeat what
they last heard, and while no engine reports the number stands.
"""

from __future__ import annotations

import math
from typing import Any

from ray.serve.config import AutoscalingConfig, AutoscalingContext, AutoscalingPolicy

REPLICAS_WANTED = "replicas_wanted"
"""The metric by which every engine reports how many engines its pool should have."""

UPSCALE_DELAY_S = 10.0
"""How long more engines must be wanted: the arrival rate's window, so that a gust starts none."""

DOWNSCALE_DELAY_S = 120.0
"""How long fewer must be wanted: an engine that is stopped too soon has to load its weights anew."""


def follow_advice(ctx: AutoscalingContext) -> tuple[int, dict[str, Any]]:
    """Ray Serve's autoscaling policy: the most that any engine last heard is wanted, within bounds.

    While no engine has reported, as many as there are to be. It keeps no state.
    """
    reports = (ctx.raw_metrics or {}).get(REPLICAS_WANTED, {})
    heard = [
        max(series, key=lambda point: point.timestamp).value
        for series in reports.values()
        if series
    ]
    wanted = math.ceil(max(heard)) if heard else ctx.target_num_replicas
    most = ctx.capacity_adjusted_max_replicas
    return max(ctx.capacity_adjusted_min_replicas, min(most, wanted)), {}


def autoscaling_config(
    min_replicas: int,
    max_replicas: int,
    *,
    upscale_delay_s: float = UPSCALE_DELAY_S,
    downscale_delay_s: float = DOWNSCALE_DELAY_S,
) -> AutoscalingConfig:
    """The `autoscaling_config` of an engine deployment that follows the dispatcher's advice.

    ValueError unless 1 <= min_replicas <= max_replicas: advice comes by way of an engine, so the
    last one must not be stopped.
    """
    if not 1 <= min_replicas <= max_replicas:
        raise ValueError(
            f"min_replicas {min_replicas} must be at least 1 and at most max_replicas {max_replicas}"
        )
    return AutoscalingConfig(
        min_replicas=min_replicas,
        max_replicas=max_replicas,
        upscale_delay_s=upscale_delay_s,
        downscale_delay_s=downscale_delay_s,
        policy=AutoscalingPolicy(policy_function=follow_advice),
    )
