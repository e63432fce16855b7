"""How Ray Serve provides what the gateway needs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from ray import serve as ray_serve
from ray.exceptions import RayActorError, RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from policies.nouns import Job
from serve.backend import DispatcherLost, EngineLost
from serve.messages import EngineWord, Grant, NotHere, Order, Refusal
from serve.names import DISPATCHER_APP, DISPATCHER_NAME, SERVICE_APP, engine_deployment

logger = logging.getLogger(__name__)

FIRST_WORD_S = 10.0
"""How long an engine may take to say that it has a job before it counts as lost."""


class RayBackend:
    """The service over Ray Serve handles.

    A picture's calls must run in a task with a context of its own: Serve keys the calls made
    within one HTTP request by that request's id, and its router would confuse them.
    """

    def __init__(self, pools: Mapping[str, DeploymentHandle[Any]]) -> None:
        self._dispatcher: DeploymentHandle[Any] = ray_serve.get_deployment_handle(
            DISPATCHER_NAME, DISPATCHER_APP
        )
        self._pools = pools
        self._background: set[asyncio.Task[None]] = set()

    @classmethod
    def for_pools(cls, names: list[str]) -> RayBackend:
        """The backend of a running service with these engine pools."""
        return cls(
            {
                name: ray_serve.get_deployment_handle(engine_deployment(name), SERVICE_APP)
                for name in names
            }
        )

    async def acquire(self, job: Job, *, again: bool, lost_engine: str | None) -> Grant | Refusal:
        """See `Backend`. Cancelling this call withdraws the job at the dispatcher."""
        answer: Grant | Refusal = await self._ask("acquire", job, again, lost_engine)
        return answer

    def release(self, job_id: str) -> None:
        """See `Backend`."""
        task = asyncio.create_task(self._release(job_id))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _release(self, job_id: str) -> None:
        try:
            await self._ask("release", job_id)
        except DispatcherLost:
            logger.info("job %s: a new dispatcher does not know it, so nothing is freed", job_id)

    async def generate(self, grant: Grant, order: Order) -> AsyncGenerator[EngineWord]:
        """See `Backend`. Closing the iterator cancels the job in its engine."""
        engine = self._pools[grant.pool].options(stream=True, session_id=grant.engine_id)
        # Ray's stubs do not tell a streaming call from a plain one, nor type `cancel`.
        words: Any = engine.generate.remote(order, grant.service, grant.engine_id)
        exhausted = False
        try:
            async with asyncio.timeout(FIRST_WORD_S) as limit:
                async for word in words:
                    if isinstance(word, NotHere):
                        raise EngineLost(grant.engine_id)
                    limit.reschedule(None)
                    yield word
            exhausted = True
        except (TimeoutError, RayActorError, RayServeException) as error:
            logger.info("job %s: engine %s lost: %r", order.job_id, grant.engine_id, error)
            raise EngineLost(grant.engine_id) from error
        finally:
            if not exhausted:
                words.cancel()

    async def status(self) -> dict[str, Any]:
        """See `Backend`."""
        answer: dict[str, Any] = await self._ask("status")
        return answer

    async def costs(self) -> dict[str, Any]:
        """See `Backend`."""
        answer: dict[str, Any] = await self._ask("costs")
        return answer

    async def metrics(self) -> str:
        """See `Backend`."""
        answer: str = await self._ask("metrics")
        return answer

    async def hosted(self) -> list[str]:
        """See `Backend`."""
        answer: list[str] = await self._ask("hosted")
        return answer

    async def _ask(self, method: str, *args: Any) -> Any:
        response: Any = self._dispatcher.options(method_name=method).remote(*args)
        try:
            return await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        except (RayError, RayServeException) as error:
            raise DispatcherLost(str(error)) from error
