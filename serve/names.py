"""Names of the Serve applications and deployments."""

from __future__ import annotations

DISPATCHER_APP = "dispatcher"
DISPATCHER_NAME = "Dispatcher"
SERVICE_APP = "sluice"
GATEWAY_NAME = "Gateway"


def engine_deployment(pool: str) -> str:
    """The deployment that holds the engines of a pool."""
    return f"Engine-{pool}"
