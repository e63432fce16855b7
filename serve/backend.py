"""What the gateway needs of the rest of the service."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Protocol

from policies.nouns import Job
from serve.messages import EngineWord, Grant, Order, Refusal


class EngineLost(Exception):
    """The engine of a granted job is gone or cannot be reached."""


class DispatcherLost(Exception):
    """The dispatcher is gone or cannot be reached; Serve starts another."""


class Backend(Protocol):
    """The service behind the gateway."""

    async def acquire(self, job: Job, *, again: bool, lost_engine: str | None) -> Grant | Refusal:
        """Wait for a place; DispatcherLost if there is nobody to ask."""

    def release(self, job_id: str) -> None:
        """Give a job up without waiting for the answer."""

    def generate(self, grant: Grant, order: Order) -> AsyncGenerator[EngineWord]:
        """Run a granted job; EngineLost if its engine is gone."""

    async def status(self) -> dict[str, Any]:
        """What `/v1/status` shows; DispatcherLost."""

    async def costs(self) -> dict[str, Any]:
        """What `/v1/costs` shows; DispatcherLost."""

    async def metrics(self) -> str:
        """The Prometheus scrape; DispatcherLost."""

    async def hosted(self) -> list[str]:
        """The variants that some engine hosts now; DispatcherLost."""
