"""The whole service on a real local Ray cluster, with tiny random weights."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openai import APIStatusError, BadRequestError, NotFoundError, OpenAI, RateLimitError
from PIL import Image

from tests.conftest import LiveServer

pytestmark = pytest.mark.ray

PATH = "/v1/images/generations"
LONG_STEPS = 900
LONG = {"prompt": "a red circle", "steps": LONG_STEPS}  # about ten seconds, not to be lowered
PATIENCE_S = 600  # a new engine takes long to start where other work has the cores


@pytest.fixture
def server(live: LiveServer) -> LiveServer:
    """The server with nobody in it and at full service."""
    live.wait_until(lambda s: s["waiting"] + s["running"] + s["rung"] == 0 and s["engines"] != [])
    return live


@pytest.fixture
def client(server: LiveServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def pixels(b64_json: str | None) -> Image.Image:
    assert b64_json is not None
    return Image.open(io.BytesIO(base64.b64decode(b64_json)))


def counters(server: LiveServer) -> dict[str, int]:
    """The counters, checked against the invariant of the queue."""
    status = server.status()
    counts: dict[str, int] = status["counters"]
    left = ("finished", "cancelled", "failed", "expired")
    gone = sum(counts[name] for name in left)
    assert counts["admitted"] == gone + status["waiting"] + status["running"]
    return counts


class Crowd:
    """Requests that are on their way at the same time."""

    def __init__(self, server: LiveServer) -> None:
        self.server = server
        self.http = httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_S)
        self.tasks: list[asyncio.Task[httpx.Response]] = []

    def send(self, body: dict[str, Any], times: int = 1) -> None:
        for _ in range(times):
            self.tasks.append(asyncio.create_task(self.http.post(PATH, json=body)))

    async def until(self, **wanted: int) -> dict[str, Any]:
        """Wait for a state of the queue, such as running=2."""
        return await asyncio.to_thread(
            self.server.wait_until, lambda s: all(s[key] == n for key, n in wanted.items())
        )

    async def answers(self) -> list[httpx.Response]:
        return await asyncio.gather(*self.tasks)

    async def hang_up(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.http.aclose()


def test_the_ready_line_holds_a_request_that_works(live: LiveServer) -> None:
    assert live.ready_line.count("\n") == 1
    assert f"curl -s {live.url}{PATH}" in live.ready_line
    assert live.log.read_text() == ""


def test_the_official_client_gets_a_picture_with_its_facts(client: OpenAI) -> None:
    answer = client.images.generate(prompt="a red circle", model="tiny", size="16x16")
    assert answer.data is not None
    (image,) = answer.data
    assert pixels(image.b64_json).size == (16, 16)
    assert answer.quality == "high"
    assert answer.usage is not None
    assert answer.usage.input_tokens > 0
    facts = image.model_extra["serving"] if image.model_extra else {}
    assert (facts["variant"], facts["steps_planned"], facts["steps_run"]) == ("full", 12, 12)
    assert facts["early_exit"] == "none"
    assert 0 < facts["service_ms"] <= facts["total_ms"]


def test_a_seed_gives_the_same_picture_alone_and_among_others(client: OpenAI) -> None:
    one = client.images.generate(prompt="red", extra_body={"seed": 6})
    three = client.images.generate(prompt="red", n=3, extra_body={"seed": 5})
    assert one.data is not None
    assert three.data is not None
    alone, among = (pixels(image.b64_json) for image in (one.data[0], three.data[1]))
    pairs = zip(alone.tobytes(), among.tobytes(), strict=True)
    assert max(abs(a - b) for a, b in pairs) <= 2
    assert len({image.b64_json for image in three.data}) == 3


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_a_picture_comes_in_the_format_that_was_asked_for(client: OpenAI, kind: Any) -> None:
    answer = client.images.generate(prompt="red", size="32x32", output_format=kind)
    assert answer.data is not None
    picture = pixels(answer.data[0].b64_json)
    assert (picture.format, picture.size) == (kind.upper(), (32, 32))


def test_a_stream_shows_the_picture_on_its_way(client: OpenAI) -> None:
    stream = client.images.generate(prompt="red", stream=True, partial_images=2)
    *partial, completed = list(stream)
    assert [event.type for event in partial] == ["image_generation.partial_image"] * 2
    assert [getattr(event, "partial_image_index", None) for event in partial] == [0, 1]
    assert completed.type == "image_generation.completed"
    assert completed.usage.total_tokens > 0
    assert completed.model_extra is not None
    assert completed.model_extra["serving"]["steps_run"] == 12
    assert len({event.b64_json for event in (*partial, completed)}) == 3


@pytest.mark.parametrize(
    ("body", "steps", "variant", "quality"),
    [
        ({"model": "tiny/turbo"}, 4, "turbo", "low"),
        ({"extra_body": {"steps": 7}}, 7, "full", "medium"),
        ({"extra_body": {"steps": 3}}, 3, "full", "low"),
        ({"quality": "high"}, 12, "full", "high"),
    ],
)
def test_wishes_are_met(
    client: OpenAI, body: dict[str, Any], steps: int, variant: str, quality: str
) -> None:
    answer = client.images.generate(prompt="red", **body)
    assert answer.data is not None
    assert answer.data[0].model_extra is not None
    facts = answer.data[0].model_extra["serving"]
    assert (facts["steps_run"], facts["variant"]) == (steps, variant)
    assert answer.quality == quality


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "dall-e-3"}, "model"),
        ({"size": "64x64"}, "size"),
        ({"n": 11}, "n"),
        ({"prompt": "x " * 40}, "prompt"),
        ({"quality": "max"}, "quality"),
        ({"extra_body": {"steps": 901}}, "steps"),
    ],
)
def test_a_wrong_request_is_refused(client: OpenAI, body: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        client.images.generate(**({"prompt": "red"} | body))
    assert caught.value.param == param
    assert float(caught.value.response.headers["x-received-at"]) > 1e9


def test_models_are_listed_and_shown(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny", "tiny/full", "tiny/turbo"]
    assert client.models.retrieve("tiny/turbo").id == "tiny/turbo"
    with pytest.raises(NotFoundError):
        client.models.retrieve("gpt-image-1")


def test_state_is_shown(server: LiveServer) -> None:
    status = server.status()
    assert [rung["steps"] for rung in status["ladder"]] == [12, 6, 4]
    assert status["engines"][0]["places"] == 2
    assert server.get("/healthz").status_code == server.get("/readyz").status_code == 200
    text = server.get("/metrics").text
    assert f'sluice_jobs_total{{event="finished"}} {counters(server)["finished"]}' in text
    assert "sluice_service_seconds_bucket" in text


def test_too_many_are_refused_and_those_who_hang_up_free_their_places(server: LiveServer) -> None:
    before = counters(server)

    async def body() -> None:
        crowd = Crowd(server)
        crowd.send(LONG, 2)
        await crowd.until(running=2, waiting=0)
        crowd.send(LONG, 6)
        await crowd.until(running=2, waiting=6)
        with (
            OpenAI(base_url=f"{server.url}/v1", api_key="none") as client,
            pytest.raises(RateLimitError) as caught,
        ):
            await asyncio.to_thread(client.images.generate, prompt="red")
        assert int(caught.value.response.headers["retry-after"]) >= 1
        assert caught.value.response.headers["x-should-retry"] == "false"
        await crowd.hang_up()

    asyncio.run(body())
    server.wait_until(lambda s: s["waiting"] + s["running"] == 0, patience_s=30)
    after = counters(server)
    assert after["rejected"] == before["rejected"] + 1
    assert after["cancelled"] == before["cancelled"] + 8
    assert after["finished"] == before["finished"]
    # The engine itself is free too: a new request does not stand behind the abandoned ones.
    steps_before = server.status()["engines"][0]["steps"]
    httpx.post(f"{server.url}{PATH}", json={"prompt": "red"}, timeout=PATIENCE_S).raise_for_status()
    assert server.status()["engines"][0]["steps"] - steps_before < LONG_STEPS / 2


def test_a_deadline_that_passes_in_the_line_is_told_and_the_job_never_runs(
    server: LiveServer,
) -> None:
    before = counters(server)

    async def body() -> None:
        crowd = Crowd(server)
        crowd.send(LONG, 2)
        await crowd.until(running=2)
        with (
            OpenAI(base_url=f"{server.url}/v1", api_key="none") as client,
            pytest.raises(APIStatusError) as caught,
        ):
            await asyncio.to_thread(
                client.images.generate, prompt="red", extra_body={"deadline_s": 0.3}
            )
        assert caught.value.status_code == 504
        await crowd.hang_up()

    asyncio.run(body())
    after = counters(server)
    assert after["expired"] == before["expired"] + 1
    assert after["finished"] == before["finished"]


def test_pressure_shortens_jobs_that_run_and_then_quality_returns(server: LiveServer) -> None:
    async def body() -> list[httpx.Response]:
        crowd = Crowd(server)
        crowd.send(LONG | {"quality": "medium"}, 2)
        await crowd.until(running=2)
        crowd.send({"prompt": "red"}, 5)
        answers = await crowd.answers()
        await crowd.http.aclose()
        return answers

    shortened, waited = (lambda all_: (all_[:2], all_[2:]))(asyncio.run(body()))
    for answer in shortened:
        facts = answer.json()["data"][0]["serving"]
        assert facts["early_exit"] == "replan"
        assert facts["steps_run"] < facts["steps_planned"] == 900
        assert answer.json()["quality"] == facts["quality_delivered"] == "medium"
    assert all(answer.status_code == 200 for answer in waited)
    assert {a.json()["data"][0]["serving"]["variant"] for a in waited} & {"turbo"}
    server.wait_until(lambda s: s["rung"] == 0)
