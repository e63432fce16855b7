"""The HTTP side: FastAPI routes of the OpenAI Images API and of the server's own state.

Nothing here imports torch. The application is built around a `Backend`, so that it can be tested
without Ray.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from serve.answers import StreamedAnswer, whole_answer
from serve.backend import Backend, DispatcherLost
from serve.config import Config
from serve.errors import (
    TYPE_SERVER,
    ApiError,
    bad_request,
    from_validation,
    model_not_found,
    unavailable,
)
from serve.maker import Maker
from serve.orders import commissions
from serve.schemas import GenerationRequest, ModelCard, ModelList

logger = logging.getLogger(__name__)

GENERATIONS_PATH = "/v1/images/generations"
RECEIVED_HEADER = "x-received-at"
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # the Prometheus text format

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class StampArrival:
    """ASGI middleware: notes when a generation came in, by the monotonic clock for the service and in
    unix seconds in every answer's header.

    Plain ASGI, because a wrapping response class would hide a client's disconnect.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on; only generations are stamped."""
        if scope["type"] != "http" or scope["path"] != GENERATIONS_PATH:
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})["received_s"] = time.monotonic()
        header = (RECEIVED_HEADER.encode(), f"{time.time():.6f}".encode())

        async def send_stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), header]
            await send(message)

        await self._app(scope, receive, send_stamped)


def create_app(config: Config, backend: Backend) -> StampArrival:
    """The HTTP application of this configuration in front of this backend."""
    app = FastAPI(title="Sluice", docs_url=None, redoc_url=None)
    _add_error_handlers(app)
    _add_generations(app, config, backend)
    _add_models(app, config)
    _add_state(app, config, backend)
    # Around everything, so that the answer to an unforeseen fault is stamped too.
    return StampArrival(app)


def _add_generations(app: FastAPI, config: Config, backend: Backend) -> None:
    ladder = config.build_ladder()
    maker = Maker(backend, config.dispatcher.max_waiting, config.dispatcher.tenant_max)

    @app.post(GENERATIONS_PATH)
    async def generate(http: Request) -> Response:
        body = await _read_body(http, config.server.body_bytes_max)
        try:
            request = GenerationRequest.model_validate_json(body)
        except ValidationError as error:
            raise from_validation(error) from None
        pictures = commissions(request, config, ladder, http.state.received_s)
        if not request.stream:
            answer = await whole_answer(maker, request, pictures)
            return Response(answer.model_dump_json(), media_type="application/json")
        stream = StreamedAnswer(maker, request, pictures)
        await stream.open()
        headers = {"cache-control": "no-store"}
        return StreamingResponse(stream.events(), media_type="text/event-stream", headers=headers)


def _add_models(app: FastAPI, config: Config) -> None:
    cards = [ModelCard(id=name, created=config.model.created) for name in config.model_ids()]

    @app.get("/v1/models")
    async def list_models() -> ModelList:
        return ModelList(data=cards)

    @app.get("/v1/models/{model_id:path}")
    async def show_model(model_id: str) -> ModelCard:
        for card in cards:
            if card.id == model_id:
                return card
        raise model_not_found(model_id, [card.id for card in cards])


def _add_state(app: FastAPI, config: Config, backend: Backend) -> None:
    @app.get("/healthz")
    async def alive() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def ready() -> dict[str, str]:
        missing = sorted(set(config.variants) - set(await backend.ask("hosted")))
        if missing:
            raise unavailable(f"No engine serves {', '.join(missing)} now; try again shortly.")
        return {"status": "ready"}

    @app.get("/v1/status")
    async def status() -> JSONResponse:
        return JSONResponse(await backend.ask("status"))

    @app.get("/v1/costs")
    async def costs() -> JSONResponse:
        return JSONResponse(await backend.ask("costs"))

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(await backend.ask("metrics"), headers={"content-type": METRICS_TYPE})


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(ApiError)
    async def told(http: Request, error: ApiError) -> JSONResponse:
        return JSONResponse(error.body(), error.status, headers=error.headers())

    @app.exception_handler(DispatcherLost)
    async def lost(http: Request, error: DispatcherLost) -> JSONResponse:
        return await told(http, unavailable("The dispatcher does not answer; try again shortly."))

    @app.exception_handler(HTTPException)
    async def no_route(http: Request, error: HTTPException) -> JSONResponse:
        message = f"{error.detail}: {http.method} {http.url.path}."
        return await told(http, ApiError(error.status_code, message, code="unknown_url"))

    @app.exception_handler(Exception)
    async def failed(http: Request, error: Exception) -> JSONResponse:
        logger.error("%s %s failed", http.method, http.url.path, exc_info=error)
        fault = ApiError(500, "The server failed on this request.", type_=TYPE_SERVER)
        return await told(http, fault)


async def _read_body(http: Request, bytes_max: int) -> bytes:
    """The request's body; 413 as soon as it is larger than allowed."""
    too_large = ApiError(
        413,
        f"The body is larger than {bytes_max} bytes; shorten the prompt.",
        code="body_too_large",
    )
    announced = http.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced) > bytes_max:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    async for chunk in http.stream():
        size += len(chunk)
        if size > bytes_max:
            raise too_large
        chunks.append(chunk)
    if not size:
        raise bad_request("The body is empty; send one JSON object.", code="invalid_json")
    return b"".join(chunks)
