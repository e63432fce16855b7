"""What the gateway needs of the rest of the service."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Protocol

from policies.nouns import Job
from serve.messages import EngineWord, Grant, LostGrant, Order, Refusal


class EngineLost(Exception):
    """A granted job's engine did not see it through. `gone`: Serve does not list the engine any more."""

    def __init__(self, engine_id: str, *, gone: bool = False) -> None:
        super().__init__(engine_id)
        self.gone = gone


class DispatcherLost(Exception):
    """The dispatcher is gone or cannot be reached; Serve starts another."""


class Backend(Protocol):
    """The service behind the gateway."""

    def lease(
        self, job: Job, *, again: bool, lost: LostGrant | None
    ) -> AsyncGenerator[Grant | Refusal]:
        """Hold a job until the stream is closed: see `QueueDriver.lease`; DispatcherLost."""

    def generate(self, grant: Grant, order: Order) -> AsyncGenerator[EngineWord]:
        """Run a granted job; EngineLost if its engine does not answer to the end."""

    async def ask(self, what: str) -> Any:
        """Call a method of the dispatcher that shows something: status, costs, metrics or hosted;
        DispatcherLost if it does not answer at once."""
