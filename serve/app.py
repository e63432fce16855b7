"""Builds the two Serve applications: the dispatcher alone, and the gateway with its engines.

They are apart because deploying one application again rolls all of its deployments together.
"""

from __future__ import annotations

import logging
from typing import Any

import ray
from ray import serve as ray_serve
from ray.serve import Application, RunTarget
from ray.serve.config import HTTPOptions
from ray.serve.schema import LoggingConfig
from starlette.types import ASGIApp

from serve.autoscaling import autoscaling_config
from serve.config import Config
from serve.dispatcher import DispatcherServer
from serve.engine import EngineServer
from serve.logs import log_to_terminal
from serve.names import (
    DISPATCHER_APP,
    DISPATCHER_NAME,
    GATEWAY_NAME,
    SERVICE_APP,
    engine_deployment,
)
from serve.preflight import check_gpus
from serve.routing import GrantRouter
from serve.sections import PoolSection

MANY_CALLS = 100_000
"""Concurrent calls that gateway and dispatcher take: waiting jobs are bounded by the queue's own
bound, and Serve must not hold any back before they are counted."""

SPARE_CALLS = 64
"""Calls beyond its places that an engine takes: jobs that were cancelled but not yet dropped."""

ROUTER = {
    "request_router_class": GrantRouter,
    "initial_backoff_s": 0.005,
    "backoff_multiplier": 1,
    "max_backoff_s": 0.01,
}
"""Ray's own back-off grows to half a second and leaves engines idle meanwhile."""

DRAIN_MAX_S = 3600.0
"""How long an engine or a gateway that is replaced or scaled away may take for what it has begun."""

STOP_MAX_S = 2.0
"""How long the dispatcher may take to stop: whoever holds a stream of it turns to the next one."""

QUIET = LoggingConfig(log_level=logging.WARNING, enable_access_log=False)


def build_dispatcher(config: Config) -> Application:
    """The dispatcher's application."""
    deployment = ray_serve.deployment(
        name=DISPATCHER_NAME,
        num_replicas=1,
        max_ongoing_requests=MANY_CALLS,
        ray_actor_options={"num_cpus": 0},
        **_common(STOP_MAX_S),
    )(DispatcherServer)
    return deployment.bind(config)


def build_service(config: Config) -> Application:
    """The gateway's application, with one engine deployment for each pool."""
    pools = [_build_pool(config, pool) for pool in config.engines]
    deployment = ray_serve.deployment(
        name=GATEWAY_NAME,
        num_replicas=config.server.gateways,
        max_ongoing_requests=MANY_CALLS,
        ray_actor_options={"num_cpus": 0},
        **_common(DRAIN_MAX_S),
    )(_gateway_class(config))
    return deployment.bind(*pools)


def deploy(config: Config) -> None:
    """Start Serve on the connected Ray cluster, and both applications; returns when they run.

    RuntimeError if a deployment fails, with what its constructor raised in the message; ConfigError
    if there are too few GPUs.
    """
    check_gpus(config, cluster_gpus())
    http = HTTPOptions(host=config.server.host, port=config.server.port)
    ray_serve.start(http_options=http, logging_config=QUIET)
    targets = [
        RunTarget(build_dispatcher(config), DISPATCHER_APP, None, QUIET),
        RunTarget(build_service(config), SERVICE_APP, "/", QUIET),
    ]
    ray_serve.run_many(targets)


def _build_pool(config: Config, pool: PoolSection) -> Application:
    on_gpu = pool.device == "cuda" or (pool.device == "auto" and cluster_gpus() > 0)
    deployment = ray_serve.deployment(
        name=engine_deployment(pool.name),
        **_size(pool),
        max_ongoing_requests=pool.max_batch + SPARE_CALLS,
        ray_actor_options={"num_cpus": 0, "num_gpus": pool.gpus if on_gpu else 0},
        request_router_config=ROUTER,
        **_common(DRAIN_MAX_S),
    )(EngineServer)
    return deployment.bind(config, pool.name)


def _size(pool: PoolSection) -> dict[str, Any]:
    scaling = pool.autoscaling
    if scaling is None:
        return {"num_replicas": pool.replicas}
    bounds = autoscaling_config(scaling.min_replicas, scaling.max_replicas)
    return {"autoscaling_config": bounds}


def cluster_gpus() -> float:
    """How many GPUs the connected Ray cluster has."""
    resources: dict[str, float] = ray.cluster_resources()
    return resources.get("GPU", 0.0)


def _gateway_class(config: Config) -> Any:
    names = [pool.name for pool in config.engines]

    def build_app() -> ASGIApp:
        from serve.gateway import create_app
        from serve.ray_backend import RayBackend

        log_to_terminal()
        return create_app(config, RayBackend.for_pools(names))

    return ray_serve.ingress(build_app)()


def _common(stop_max_s: float) -> dict[str, Any]:
    return {
        "health_check_period_s": 1,
        "health_check_timeout_s": 30,
        "graceful_shutdown_wait_loop_s": 0.1,
        "graceful_shutdown_timeout_s": stop_max_s,
        "logging_config": QUIET,
    }
