"""A real step engine with tiny weights, beside an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

import serve.host
from pipelines.calls import Call
from pipelines.convergence import ConvergenceSettings
from pipelines.engine import REPLAN, StepEngine
from pipelines.faults import EngineBroken
from pipelines.loading import Variant, load_variant
from policies.events import Progress
from policies.exits import ExitRules
from policies.nouns import Ladder, Rung, Service
from serve.host import LOOK_S, EngineHost
from serve.messages import (
    Accepted,
    Closing,
    Control,
    Done,
    Ended,
    EngineWord,
    Failed,
    Grant,
    NotHere,
    Order,
    Partial,
)
from serve.pumping import ThreadPump

LADDER = Ladder((Rung("full", 12, "high"), Rung("full", 6, "medium")))
FULL = Service("full", 12, 0)


@pytest.fixture(scope="module")
def variant(tiny_config: Path) -> Variant:
    return load_variant("full", tiny_config.with_name("full"))


def order(job_id: str = "a", **changes: Any) -> Order:
    values: dict[str, Any] = {
        "job_id": job_id,
        "prompt": "a red circle",
        "negative_prompt": "",
        "seed": 3,
        "width": 16,
        "height": 16,
        "guidance_scale": None,
        "guidance_rescale": 0.0,
        "floor": 1,
        "fixed": False,
        "pinned": False,
        "converge": False,
        "partials": 0,
        "output_format": "png",
        "output_compression": 100,
    }
    return Order(**(values | changes))


def grant(job_id: str = "a", service: Service = FULL, *, alone: bool = False) -> Grant:
    return Grant(job_id, f"{job_id}#1", "main", "e", service, alone)


class Watched(EngineHost):
    """Remembers what it was told of endings, as a reporter takes them."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.closings: list[Closing] = []
        self.reports: list[tuple[tuple[Ended, ...], tuple[Progress, ...] | None]] = []
        super().__init__(*args, **options)

    async def report(self) -> None:
        """Take every report as it comes."""
        while True:
            await self.news.wait()
            self.news.clear()
            self.reports.append((tuple(self.ended), self.take_progress()))
            self.ended.clear()

    def left(self) -> list[str]:
        return [ended.outcome for report, _ in self.reports for ended in report]


def hosted(
    variant: Variant,
    body: Callable[[Watched, StepEngine], Coroutine[Any, Any, None]],
    *,
    overlap: bool = False,
    rules: ExitRules = REPLAN,
    convergence: ConvergenceSettings | None = None,
    **options: Any,
) -> Watched:
    """Run a test body with a started host; the host, with what it reported."""

    async def run() -> Watched:
        engine = StepEngine({"full": variant}, LADDER, 2, rules, convergence=convergence, threads=1)

        def close(closing: Closing) -> None:
            host.closings.append(closing)
            host.end_all()

        host = Watched(engine, LADDER, close, ThreadPump(engine, overlap=overlap), **options)
        reporting = asyncio.create_task(host.report())
        host.start()
        try:
            await body(host, engine)
            await asyncio.sleep(0)
        finally:
            reporting.cancel()
            host.stop()
        return host

    return asyncio.run(run())


async def words(
    host: EngineHost, job: Order, service: Service = FULL, *, alone: bool = False
) -> list[EngineWord]:
    async with aclosing(host.run(job, grant(job.job_id, service, alone=alone))) as told:
        return [word async for word in told]


@pytest.mark.parametrize("overlap", [False, True])
def test_an_order_becomes_a_picture_with_partials_and_facts(
    variant: Variant, overlap: bool
) -> None:
    async def body(host: Watched, engine: StepEngine) -> None:
        accepted, *partials, done = await words(host, order(partials=2))
        assert isinstance(accepted, Accepted)
        assert accepted.text_tokens > 0
        assert [p.index for p in partials if isinstance(p, Partial)] == [0, 1]
        assert isinstance(done, Done)
        assert done.data.startswith(b"\x89PNG")
        assert (done.facts.quality_admitted, done.facts.quality_delivered) == ("high", "high")
        assert 0 <= done.facts.queued_s < 60
        assert 0 < done.facts.service_s < 60
        assert (host.pictures_total, host.running()) == (1, ())
        made = done.facts.picture
        assert (made.steps_run, made.guided_steps) == (12, 12)
        assert engine.batch_limits() == ()
        assert host.convergence is None
        assert [row[-3] for row in engine.costs.snapshot().to_plain()["encode"]] == [1]

    ((ended,), progress), *rest = hosted(variant, body, overlap=overlap).reports
    assert (progress, rest) == ((), [])
    assert (ended.grant_id, ended.outcome) == ("a#1", "finished")
    assert ended.facts is not None


@pytest.mark.parametrize("overlap", [False, True])
def test_closing_the_words_cancels_the_job(variant: Variant, overlap: bool) -> None:
    async def body(host: Watched, engine: StepEngine) -> None:
        long = grant(service=Service("full", 900, 0))
        async with aclosing(host.run(order(fixed=True), long)) as told:
            assert isinstance(await anext(told), Accepted)
            assert host.running() == ("a#1",)
        assert host.running() == ()
        while engine.job_ids():
            await asyncio.sleep(0.001)
        assert host.steps_total < 900

    host = hosted(variant, body, overlap=overlap)
    assert host.left() == ["cancelled"]
    assert host.reports[0][1] is None


@pytest.mark.parametrize("overlap", [False, True])
def test_with_an_ending_it_is_told_how_far_the_others_are(variant: Variant, overlap: bool) -> None:
    async def body(host: Watched, engine: StepEngine) -> None:
        long = grant("long", Service("full", 900, 0))
        async with aclosing(host.run(order("long"), long)) as told:
            assert isinstance(await anext(told), Accepted)
            await words(host, order("short"), Service("full", 3, 0))

    (first, progress), (last, _) = hosted(variant, body, overlap=overlap).reports
    assert [one.grant_id for one in first] == ["short#1"]
    assert progress is not None
    (other,) = progress
    assert (other.job_id, other.planned) == ("long#1", 900)
    assert 0 < other.done < 900
    assert [one.outcome for one in last] == ["cancelled"]


def test_jobs_that_end_in_one_boundary_are_reported_together(variant: Variant) -> None:
    async def body(host: Watched, engine: StepEngine) -> None:
        engine.step = lambda: []  # type: ignore[method-assign]  # nothing moves until both are there
        both = asyncio.gather(words(host, order("a")), words(host, order("b")))
        while len(engine.job_ids()) < 2:
            await asyncio.sleep(0.001)
        del engine.step
        await both

    ((ended, progress),) = hosted(variant, body).reports
    assert [one.grant_id for one in ended] == ["a#1", "b#1"]
    assert [one.facts.picture.rung_delivered for one in ended if one.facts] == [0, 0]
    assert progress == ()


def test_one_job_is_lowered_by_the_grant_that_the_dispatcher_knows(variant: Variant) -> None:
    async def body(host: Watched, engine: StepEngine) -> None:
        async with aclosing(host.run(order(), grant(service=Service("full", 900, 0)))) as told:
            assert isinstance(await anext(told), Accepted)
            host.follow(Control(0, {"nobody#1": 1, "a#1": 1}))
            done = await anext(told)
        assert isinstance(done, Done)
        made = done.facts.picture
        assert (made.early_exit, made.rung_delivered) == ("replan", 1)

    hosted(variant, body)


def test_a_lowering_that_overtakes_its_job_waits_for_it(variant: Variant) -> None:
    async def body(host: Watched, engine: StepEngine) -> None:
        host.follow(Control(0, {"a#1": 1}))
        _, done = await words(host, order())
        assert isinstance(done, Done)
        assert (done.facts.picture.steps_run, done.facts.picture.rung_delivered) == (6, 1)
        host.follow(Control())
        _, done = await words(host, order())
        assert isinstance(done, Done)
        assert done.facts.picture.steps_run == 12

    hosted(variant, body)


def test_an_announced_rung_shortens_what_runs(variant: Variant) -> None:
    async def body(host: Watched, engine: StepEngine) -> None:
        host.follow(Control(1))
        _, done = await words(host, order(), Service("full", 900, 0))
        assert isinstance(done, Done)
        assert done.facts.picture.early_exit == "replan"
        assert done.facts.quality_delivered == "medium"
        assert done.facts.picture.steps_run < done.facts.picture.steps_planned

    hosted(variant, body)


def test_a_job_that_is_far_enough_is_finished_by_a_lower_rung(variant: Variant) -> None:
    async def body(host: Watched, engine: StepEngine) -> None:
        async with aclosing(host.run(order(), grant(service=Service("full", 900, 0)))) as told:
            assert isinstance(await anext(told), Accepted)
            while host.steps_total < 3:
                await asyncio.sleep(0.001)
            host.follow(Control(1))
            done = await anext(told)
        assert isinstance(done, Done)
        assert (done.facts.picture.early_exit, done.facts.quality_delivered) == ("finish", "medium")
        assert 3 <= done.facts.picture.steps_run < 450

    hosted(variant, body, rules=ExitRules("finish", finish_from=0.001))


def test_pictures_with_rescaled_guidance_differ_and_say_so(variant: Variant) -> None:
    async def body(host: Watched, engine: StepEngine) -> None:
        plain = (await words(host, order()))[-1]
        rescaled = (await words(host, order("b", guidance_rescale=1.0)))[-1]
        assert isinstance(plain, Done)
        assert isinstance(rescaled, Done)
        assert (plain.facts.picture.guidance_rescale, rescaled.facts.picture.guidance_rescale) == (
            0.0,
            1.0,
        )
        assert plain.data != rescaled.data

    hosted(variant, body)


@pytest.mark.parametrize("overlap", [False, True])
def test_what_audits_show_is_told(variant: Variant, overlap: bool) -> None:
    async def body(host: Watched, engine: StepEngine) -> None:
        assert host.convergence is not None
        assert (host.convergence.audits, host.convergence.threshold) == (0, 0.0)
        for number in range(3):
            await words(host, order(f"job-{number}", converge=True))
        while host.convergence.audits < 3:  # a picture may be there before its audit is looked at
            await asyncio.sleep(0.001)
        assert host.convergence.threshold > 0

    everything = ConvergenceSettings(1e6, audited_share=1.0, audits_min=2)
    hosted(variant, body, overlap=overlap, convergence=everything)


@pytest.mark.parametrize(
    ("change", "service", "param"),
    [
        ({"prompt": "x " * 60}, FULL, "prompt"),
        ({"negative_prompt": "x " * 60}, FULL, "negative_prompt"),
        ({}, Service("full", 5000, 0), "steps"),
    ],
)
def test_what_cannot_be_made_is_told_by_parameter(
    variant: Variant, change: dict[str, Any], service: Service, param: str
) -> None:
    async def body(host: Watched, engine: StepEngine) -> None:
        (failed,) = await words(host, order(**change), service)
        assert isinstance(failed, Failed)
        assert failed.param == param

    assert hosted(variant, body).left() == ["failed"]


def test_a_job_s_own_fault_fails_it_alone_and_is_logged_once(
    variant: Variant, caplog: pytest.LogCaptureFixture
) -> None:
    """A lone surrogate is no text for a tokenizer."""

    async def body(host: Watched, engine: StepEngine) -> None:
        other = asyncio.create_task(words(host, order("b")))
        (failed,) = await words(host, order(prompt="\ud800"))
        assert isinstance(failed, Failed)
        assert (failed.kind, failed.param) == ("error", None)
        assert isinstance((await other)[-1], Done)
        host.check()

    host = hosted(variant, body)
    assert sorted(host.left()) == ["failed", "finished"]
    assert [record.exc_info is not None for record in caplog.records] == [True]
    assert "a#1" in caplog.text


def test_a_picture_that_cannot_be_encoded_fails_alone(
    variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encode(image: Any, output_format: str, compression: int) -> bytes:
        if output_format == "webp":
            raise MemoryError("no more")
        return b"picture"

    monkeypatch.setattr(serve.host, "encode_image", encode)

    async def body(host: Watched, engine: StepEngine) -> None:
        both = (words(host, order("a")), words(host, order("b", output_format="webp")))
        good, bad = await asyncio.gather(*both)
        assert isinstance(good[-1], Done)
        assert isinstance(bad[-1], Failed)
        host.check()

    hosted(variant, body)


class Breaks:
    """Stands in for a method of the engine and raises."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self) -> list[Any]:
        raise self.error


@pytest.mark.parametrize(
    ("broken", "overlap"), [("step", False), ("denoise", True), ("finish", True)]
)
def test_a_broken_engine_closes_once_and_gives_its_jobs_away(
    variant: Variant, broken: str, overlap: bool
) -> None:
    async def body(host: Watched, engine: StepEngine) -> None:
        setattr(engine, broken, Breaks(RuntimeError("the accelerator is gone")))
        assert isinstance((await words(host, order()))[-1], NotHere)
        assert isinstance((await words(host, order("b")))[0], NotHere)
        with pytest.raises(RuntimeError, match="the accelerator is gone"):
            host.check()

    host = hosted(variant, body, overlap=overlap)
    (closing,) = host.closings
    assert closing == Closing("RuntimeError: the accelerator is gone", frozenset({"a#1"}))


def test_only_the_jobs_of_the_call_that_broke_an_engine_are_suspects(variant: Variant) -> None:
    async def body(host: Watched, engine: StepEngine) -> None:
        engine.step = Breaks(EngineBroken("it broke", frozenset({"b#1"})))  # type: ignore[method-assign]
        await asyncio.gather(words(host, order()), words(host, order("b")))

    (closing,) = hosted(variant, body).closings
    assert closing.suspects == {"b#1"}


class Hangs:
    """Stands in for an engine's `call`, which another thread never ends."""

    def __init__(self, call: Call | None) -> None:
        self.call = call

    def __get__(self, engine: object, owner: type) -> Call | None:
        return self.call


@pytest.mark.parametrize("first", [False, True])
def test_a_call_that_hangs_closes_the_engine_unless_it_is_the_first_of_its_shape(
    variant: Variant, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    monkeypatch.setattr(serve.host, "LOOK_S", 0.001)
    hanging = Call(("a#1",), "step", 0.0, first, alone=False)

    async def body(host: Watched, engine: StepEngine) -> None:
        monkeypatch.setattr(type(engine), "call", Hangs(hanging))
        await asyncio.sleep(0.2)
        assert bool(host.closings) is not first

    host = hosted(variant, body, call_max_s=0.02)
    if not first:
        (closing,) = host.closings
        assert closing.suspects == {"a#1"}
        assert "step" in closing.cause


def test_calls_that_end_in_time_close_nothing(
    variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve.host, "LOOK_S", 0.001)
    assert LOOK_S > 0.001

    async def body(host: Watched, engine: StepEngine) -> None:
        assert isinstance((await words(host, order()))[-1], Done)
        await asyncio.sleep(0.1)
        host.check()

    hosted(variant, body, call_max_s=30.0)


def test_a_suspect_is_run_in_calls_of_its_own(variant: Variant) -> None:
    calls: list[int] = []

    async def body(host: Watched, engine: StepEngine) -> None:
        forward = variant.unet.forward

        def counted(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            calls.append(len(inputs))
            return forward(inputs, *args, **kwargs)

        variant.unet.forward = counted
        try:
            suspect = words(host, order("a", guidance_scale=1.0), alone=True)
            other = words(host, order("b", guidance_scale=1.0))
            told = await asyncio.gather(suspect, other)
        finally:
            variant.unet.forward = forward
        assert all(isinstance(one[-1], Done) for one in told)

    hosted(variant, body)
    assert set(calls) == {1}
