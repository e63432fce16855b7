"""Run in a process of its own: a deployment without any model follows advice from 1 to 2 to 1.

It has a local Ray cluster to itself and no HTTP port. Prints the number of running replicas each
time that it is as advised, as `replicas: 2`.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

from serve.service import OBJECT_STORE_BYTES, RAY_ENVIRONMENT

os.environ.update(RAY_ENVIRONMENT)
os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent.parent)

# Ray reads its environment when it is imported.
import ray
from ray import serve as ray_serve
from ray.serve.config import HTTPOptions
from ray.serve.schema import LoggingConfig

from serve.autoscaling import REPLICAS_WANTED, autoscaling_config

PATIENCE_S = 300.0
TOLD = "replicas: "  # Ray writes lines of its own between
QUIET = LoggingConfig(log_level=logging.ERROR, enable_access_log=False)
COMMON: dict[str, Any] = {"ray_actor_options": {"num_cpus": 0}, "logging_config": QUIET}


class Adviser:
    """Stands for the dispatcher."""

    def __init__(self) -> None:
        self._wanted = 1

    def advise(self, replicas: int) -> None:
        self._wanted = replicas

    def wanted(self) -> int:
        return self._wanted


class Worker:
    """Stands for an engine."""

    def __init__(self) -> None:
        self._adviser = ray_serve.get_deployment_handle("Adviser", "adviser")

    async def record_autoscaling_stats(self) -> dict[str, int]:
        return {REPLICAS_WANTED: await self._adviser.wanted.remote()}


def running() -> int:
    deployment = ray_serve.status().applications["worker"].deployments["Worker"]
    return sum(count for state, count in deployment.replica_states.items() if state == "RUNNING")


def wait_for(replicas: int) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while running() != replicas:
        if time.monotonic() > deadline_s:
            sys.exit(f"{running()} replicas run, and {replicas} were advised")
        time.sleep(0.1)
    print(f"{TOLD}{replicas}", flush=True)


def main() -> None:
    ray.init(
        address="local",
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        logging_level=logging.ERROR,
        log_to_driver=False,
    )
    try:
        ray_serve.start(http_options=HTTPOptions(location="NoServer"), logging_config=QUIET)
        adviser = ray_serve.run(
            ray_serve.deployment(**COMMON)(Adviser).bind(), name="adviser", route_prefix=None
        )
        scaling = autoscaling_config(1, 2, upscale_delay_s=0.0, downscale_delay_s=0.0)
        worker = ray_serve.deployment(autoscaling_config=scaling, **COMMON)(Worker)
        ray_serve.run(worker.bind(), name="worker", route_prefix=None)
        wait_for(1)
        for replicas in (2, 1):
            adviser.advise.remote(replicas).result()
            wait_for(replicas)
    finally:
        ray_serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main()
