"""What Ray Serve's HTTP proxy answers where a gateway dies: JSON, as every other error."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.middleware import Middleware

from serve.errors import unavailable

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def middlewares() -> list[Middleware]:
    """What Serve wraps around its proxy; `serve.service` names it in the environment."""
    return [Middleware(GatewayLoss)]


class GatewayLoss:
    """ASGI middleware in the proxy: a request whose gateway is lost gets a 503 that may be retried.

    Once an answer has begun it can only be broken off.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, and answer where nobody else has."""
        begun = False

        async def send_on(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        # Serve's proxy logs the loss and returns without an answer, of which uvicorn makes plain text.
        await self._app(scope, receive, send_on)
        if begun or scope["type"] != "http":
            return
        fault = unavailable("The gateway was lost; try again shortly.", code="gateway_lost")
        headers = {"content-type": "application/json", **fault.headers()}
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": fault.status, "headers": pairs})
        await send({"type": "http.response.body", "body": json.dumps(fault.body()).encode()})
