"""The HTTP side in front of a fake service."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from serve.backend import EngineLost
from serve.config import DEFAULT_CONFIG, load_config
from serve.gateway import create_app
from serve.messages import Accepted, Failed
from tests.serve.fakes import DONE, PARTIALS, FakeBackend

CONFIG = load_config(DEFAULT_CONFIG, environment={})
PATH = "/v1/images/generations"


def call(
    method: str, path: str, backend: FakeBackend | None = None, **options: Any
) -> httpx.Response:
    async def body() -> httpx.Response:
        app = create_app(CONFIG, backend or FakeBackend())
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **options)

    return asyncio.run(body())


def generate(backend: FakeBackend | None = None, **body: Any) -> httpx.Response:
    return call("POST", PATH, backend, json={"prompt": "a red circle"} | body)


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    told = []
    for block in answer.text.strip().split("\n\n"):
        name, data = block.split("\n")
        content = json.loads(data.removeprefix("data: "))
        assert name == f"event: {content.get('type', 'error')}"
        told.append(content)
    return told


def test_a_picture_is_answered_as_the_official_api_does() -> None:
    answer = generate().json()
    (image,) = answer["data"]
    assert base64.b64decode(image["b64_json"]) == b"picture"
    assert image["serving"]["early_exit"] == "replan"
    assert (image["serving"]["steps_run"], image["serving"]["guided_steps"]) == (18, 12)
    assert (answer["quality"], answer["size"], answer["output_format"]) == (
        "medium",
        "64x64",
        "png",
    )
    assert answer["usage"]["input_tokens"] == 4


def test_n_pictures_have_consecutive_seeds() -> None:
    backend = FakeBackend()
    answer = generate(backend, n=3, seed=5)
    assert len(answer.json()["data"]) == 3
    assert sorted(order.seed for order in backend.orders) == [5, 6, 7]


def test_one_refused_picture_refuses_the_request() -> None:
    backend = FakeBackend(answers=["grant", "queue_full"])
    answer = generate(backend, n=2)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "2"
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("backend", "status"),
    [
        (FakeBackend(), 200),
        (FakeBackend(answers=["expired"]), 504),
        (FakeBackend(answers=[ZeroDivisionError()]), 500),
    ],
)
def test_every_answer_says_when_the_request_came(backend: FakeBackend, status: int) -> None:
    answer = generate(backend, deadline_s=1)
    assert answer.status_code == status
    assert abs(float(answer.headers["x-received-at"]) - time.time()) < 60
    assert len(answer.headers["x-received-at"].split(".")[1]) == 6


def test_a_stream_tells_partial_pictures_and_then_the_whole() -> None:
    backend = FakeBackend(runs=[[Accepted(4), *PARTIALS, DONE]])
    answer = generate(backend, stream=True, partial_images=3)
    assert answer.headers["content-type"].startswith("text/event-stream")
    *partial, completed = events(answer)
    assert [event["partial_image_index"] for event in partial] == [0, 1, 2]
    assert {event["type"] for event in partial} == {"image_generation.partial_image"}
    assert completed["type"] == "image_generation.completed"
    assert completed["quality"] == "medium"
    assert completed["serving"]["steps_run"] == 18
    assert completed["usage"]["total_tokens"] == 4


def test_a_stream_of_n_pictures_completes_each() -> None:
    told = events(generate(stream=True, n=3))
    assert sorted(event["image_index"] for event in told) == [0, 1, 2]


def test_a_stream_that_is_refused_has_its_own_status() -> None:
    answer = generate(FakeBackend(answers=["queue_full"]), stream=True)
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "queue_full"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Failed("It overflowed.", "not_a_number"), "It overflowed."),
        (ValueError("secret"), "The server failed"),
    ],
)
def test_a_fault_in_mid_stream_ends_it_with_an_error(
    fault: Failed | ValueError, message: str
) -> None:
    backend = FakeBackend(runs=[[Accepted(4), PARTIALS[0], fault]])
    partial, error = events(generate(backend, stream=True, partial_images=1))
    assert partial["partial_image_index"] == 0
    assert message in error["error"]["message"]
    assert "secret" not in error["error"]["message"]


def test_a_stream_goes_on_after_an_engine_is_lost() -> None:
    backend = FakeBackend(runs=[[*PARTIALS[:1], EngineLost("e")], [*PARTIALS[:2], DONE]])
    told = events(generate(backend, stream=True, partial_images=2))
    assert [event.get("partial_image_index") for event in told] == [0, 1, None]


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"", 400), (b"{", 400), (b"[]", 400), (b"\xff", 400), (b" " * 1_000_001, 413)],
)
def test_a_body_that_cannot_be_read_is_refused(content: bytes, status: int) -> None:
    answer = call("POST", PATH, content=content)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_a_body_of_unknown_length_is_bounded_too() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 100_000

    assert call("POST", PATH, content=endless()).status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", PATH, 405),
        ("GET", "/v1/models/dall-e-3", 404),
        ("DELETE", "/v1/models", 405),
    ],
)
def test_what_is_not_there_is_told_in_the_official_form(
    method: str, path: str, status: int
) -> None:
    answer = call(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_models_are_the_family_and_its_variants() -> None:
    listed = [card["id"] for card in call("GET", "/v1/models").json()["data"]]
    assert listed[0] == "sluice-shapes"
    assert "sluice-shapes/turbo" in listed
    for name in listed:
        assert call("GET", f"/v1/models/{name}").json()["object"] == "model"


def test_ready_means_that_every_variant_is_hosted() -> None:
    backend = FakeBackend()
    assert call("GET", "/readyz", backend).status_code == 200
    backend.variants = ["full"]
    answer = call("GET", "/readyz", backend)
    assert answer.status_code == 503
    assert "small, turbo" in answer.json()["error"]["message"]


def test_a_lost_dispatcher_leaves_the_gateway_alive_but_not_ready() -> None:
    backend = FakeBackend()
    backend.lost = True
    assert call("GET", "/healthz", backend).status_code == 200
    for path in ("/readyz", "/v1/status", "/v1/costs", "/metrics"):
        assert call("GET", path, backend).status_code == 503


def test_metrics_are_in_the_prometheus_format() -> None:
    answer = call("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "sluice_jobs_waiting 0" in answer.text


def test_costs_in_service_are_told_by_engine() -> None:
    told = call("GET", "/v1/costs").json()
    assert told == {"e1": {"pool": "main", "sums": {"step": []}}}
