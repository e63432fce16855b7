"""What a client is told whose gateway died, by the proxy in front of it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from serve.proxy import GatewayLoss


def answer_of(app: Any) -> httpx.Response:
    async def body() -> httpx.Response:
        transport = httpx.ASGITransport(GatewayLoss(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/v1/models")

    return asyncio.run(body())


def test_a_request_that_nobody_answered_may_be_sent_again() -> None:
    async def lost(scope: Any, receive: Any, send: Any) -> None:
        """As Serve's proxy returns when the gateway is gone."""

    answer = answer_of(lost)
    assert answer.status_code == 503
    assert answer.headers["x-should-retry"] == "true"
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["error"]["code"] == "gateway_lost"


def test_an_answer_passes_as_it_is() -> None:
    async def answering(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b"tea"})

    answer = answer_of(answering)
    assert (answer.status_code, answer.content) == (418, b"tea")
