"""How Ray Serve provides what the gateway and the engines need: calls to each other and their losses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import grpc
from ray import serve as ray_serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from policies.nouns import Job
from serve.backend import DispatcherLost, EngineLost
from serve.messages import (
    Acknowledged,
    Control,
    EngineWord,
    Grant,
    Heartbeat,
    LostGrant,
    NotHere,
    Order,
    Refusal,
)
from serve.names import DISPATCHER_APP, DISPATCHER_NAME, SERVICE_APP, engine_deployment

logger = logging.getLogger(__name__)

FIRST_WORD_S = 10.0
"""How long an engine may take to say that it has a job before the call counts as lost."""

ASK_MAX_S = 1.0
"""How long the dispatcher may take to show its state: probes must not wait for its replacement."""

LOST = (RayError, RayServeException, grpc.RpcError, TimeoutError)
"""What Serve raises where a call has not come to its end."""


def dispatcher_handle() -> DeploymentHandle[Any]:
    """The dispatcher's deployment."""
    handle: DeploymentHandle[Any] = ray_serve.get_deployment_handle(DISPATCHER_NAME, DISPATCHER_APP)
    return handle


class RayBackend:
    """The service over Ray Serve handles.

    A picture's calls must run in a task with a context of its own: Serve keys the calls made
    within one HTTP request by that request's id, and its router would confuse them.
    """

    def __init__(self, pools: Mapping[str, DeploymentHandle[Any]]) -> None:
        self._dispatcher = dispatcher_handle()
        self._pools = pools

    @classmethod
    def for_pools(cls, names: list[str]) -> RayBackend:
        """The backend of a running service with these engine pools."""
        return cls(
            {
                name: ray_serve.get_deployment_handle(engine_deployment(name), SERVICE_APP)
                for name in names
            }
        )

    async def lease(
        self, job: Job, *, again: bool, lost: LostGrant | None
    ) -> AsyncGenerator[Grant | Refusal]:
        """See `Backend`. Closing the iterator withdraws the job at the dispatcher."""
        # Ray's stubs do not tell a streaming call from a plain one, nor type `cancel`.
        lease = self._dispatcher.options(stream=True, method_name="lease")
        answers: Any = lease.remote(job, again, lost)
        try:
            async for answer in answers:
                yield answer
        except LOST as error:
            raise DispatcherLost(str(error)) from error
        finally:
            answers.cancel()

    async def generate(self, grant: Grant, order: Order) -> AsyncGenerator[EngineWord]:
        """See `Backend`. Closing the iterator cancels the job in its engine."""
        engine = self._pools[grant.pool].options(stream=True, session_id=grant.engine_id)
        words: Any = engine.generate.remote(order, grant)
        try:
            async with asyncio.timeout(FIRST_WORD_S) as limit:
                async for word in words:
                    if isinstance(word, NotHere):
                        raise EngineLost(grant.engine_id, gone=word.engine_id != grant.engine_id)
                    limit.reschedule(None)
                    yield word
        except LOST as error:
            logger.info("job %s: engine %s lost: %r", order.job_id, grant.engine_id, error)
            raise EngineLost(grant.engine_id) from error
        finally:
            words.cancel()

    async def ask(self, what: str) -> Any:
        """See `Backend`."""
        try:
            async with asyncio.timeout(ASK_MAX_S):
                return await self._dispatcher.options(method_name=what).remote()
        except LOST as error:
            raise DispatcherLost(str(error)) from error


class RayLink:
    """The dispatcher's deployment as `serve.reporting` wants it."""

    def __init__(self) -> None:
        self._dispatcher = dispatcher_handle()

    async def heartbeat(self, beat: Heartbeat) -> Acknowledged:
        """See `serve.reporting.DispatcherLink`."""
        try:
            answer: Acknowledged = await self._dispatcher.heartbeat.remote(beat)
        except LOST as error:
            raise DispatcherLost(str(error)) from error
        return answer

    async def controls(self, engine_id: str) -> AsyncGenerator[Control]:
        """See `serve.reporting.DispatcherLink`."""
        handle = self._dispatcher.options(stream=True, method_name="controls")
        controls: Any = handle.remote(engine_id)
        try:
            async for control in controls:
                yield control
        except LOST as error:
            raise DispatcherLost(str(error)) from error
        finally:
            controls.cancel()
