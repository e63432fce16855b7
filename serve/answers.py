"""The two forms of a successful answer: one JSON object, or a stream of server-sent events."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial as bind

from pydantic import BaseModel

from policies.nouns import quality_index
from serve.errors import TYPE_SERVER, ApiError
from serve.maker import Made, Maker, all_of
from serve.messages import Partial
from serve.orders import Commission
from serve.schemas import (
    CompletedEvent,
    GenerationRequest,
    ImageData,
    ImagesResponse,
    PartialImageEvent,
    Usage,
)

logger = logging.getLogger(__name__)


async def whole_answer(
    maker: Maker, request: GenerationRequest, pictures: Sequence[Commission]
) -> ImagesResponse:
    """Make all pictures, then answer. ApiError if any of them could not be had."""
    made = await all_of([maker.start(picture, lambda partial: None) for picture in pictures])
    delivered = [one.facts.quality_delivered for one in made]
    return ImagesResponse(
        created=int(time.time()),
        data=[ImageData(b64_json=_text(one.data), serving=one.facts) for one in made],
        output_format=request.output_format,
        quality=min(delivered, key=quality_index),
        size=_size(pictures[0]),
        usage=Usage.of_prompt(sum(one.text_tokens for one in made)),
    )


class StreamedAnswer:
    """Pictures as events, each as soon as it is there.

    `open` waits for the first event, so that a refusal still gets its own HTTP status; after that
    a fault can only be told as an error event, which ends the stream.
    """

    def __init__(
        self, maker: Maker, request: GenerationRequest, pictures: Sequence[Commission]
    ) -> None:
        self._maker = maker
        self._request = request
        self._pictures = pictures
        self._events: asyncio.Queue[BaseModel | BaseException] = asyncio.Queue()
        self._tasks: list[asyncio.Task[Made]] = []
        self._first: BaseModel | None = None

    async def open(self) -> None:
        """Start all pictures and wait for the first event; ApiError if it is a refusal."""
        for index, picture in enumerate(self._pictures):
            task = self._maker.start(picture, self._teller(index, picture))
            task.add_done_callback(bind(self._ended, index, picture))
            self._tasks.append(task)
        try:
            first = await self._events.get()
            if isinstance(first, BaseException):
                raise first
        except BaseException:
            await self._give_up()
            raise
        self._first = first

    async def events(self) -> AsyncIterator[bytes]:
        """The events as bytes; closing the iterator gives up what is not yet done."""
        unfinished = len(self._tasks)
        event: BaseModel | BaseException | None = self._first
        try:
            while event is not None:
                if isinstance(event, BaseException):
                    yield _error_event(event)
                    return
                unfinished -= isinstance(event, CompletedEvent)
                yield _event(event)
                event = await self._events.get() if unfinished else None
        finally:
            await self._give_up()

    async def _give_up(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _teller(self, index: int, picture: Commission) -> Callable[[Partial], None]:
        def tell(partial: Partial) -> None:
            event = PartialImageEvent(
                b64_json=_text(partial.data),
                partial_image_index=partial.index,
                image_index=index,
                created_at=int(time.time()),
                size=_size(picture),
                quality=self._request.quality_floor,
                output_format=self._request.output_format,
            )
            self._events.put_nowait(event)

        return tell

    def _ended(self, index: int, picture: Commission, task: asyncio.Task[Made]) -> None:
        if task.cancelled():
            return
        fault = task.exception()
        if fault is not None:
            self._events.put_nowait(fault)
            return
        made = task.result()
        event = CompletedEvent(
            b64_json=_text(made.data),
            image_index=index,
            created_at=int(time.time()),
            size=_size(picture),
            quality=made.facts.quality_delivered,
            output_format=self._request.output_format,
            usage=Usage.of_prompt(made.text_tokens),
            serving=made.facts,
        )
        self._events.put_nowait(event)


def _event(event: BaseModel) -> bytes:
    content = event.model_dump()
    return f"event: {content['type']}\ndata: {json.dumps(content)}\n\n".encode()


def _error_event(fault: BaseException) -> bytes:
    if not isinstance(fault, ApiError):
        logger.error("a picture in a stream failed", exc_info=fault)
        fault = ApiError(500, "The server failed to make the picture.", type_=TYPE_SERVER)
    return f"event: error\ndata: {json.dumps(fault.body())}\n\n".encode()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _size(picture: Commission) -> str:
    return f"{picture.order.width}x{picture.order.height}"
