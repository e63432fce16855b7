"""A real step engine with tiny weights, beside an event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

import serve.host
from pipelines.convergence import ConvergenceSettings
from pipelines.engine import REPLAN, StepEngine
from pipelines.loading import Variant, load_variant
from policies.exits import ExitRules
from policies.nouns import Ladder, Rung, Service
from serve.host import EngineHost, Report
from serve.messages import Accepted, Done, Ended, EngineWord, Failed, NotHere, Order, Partial
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


def give_up() -> None:
    raise RuntimeError("the accelerator is gone")


def hosted(
    variant: Variant,
    body: Callable[[EngineHost, StepEngine], Coroutine[Any, Any, None]],
    *,
    overlap: bool = False,
    rules: ExitRules = REPLAN,
    convergence: ConvergenceSettings | None = None,
    broken: str | None = None,
) -> list[Report]:
    """Run a test body with a started host; what it reported, in order.

    `broken` names a method of the engine that raises.
    """
    reports: list[Report] = []

    async def run() -> None:
        engine = StepEngine(
            {"full": variant},
            LADDER,
            2,
            rules,
            convergence=convergence,
            threads=1,
            clock=time.time,
        )
        if broken is not None:
            setattr(engine, broken, give_up)
        host = EngineHost(engine, LADDER, reports.append, ThreadPump(overlap=overlap))
        host.start()
        try:
            await body(host, engine)
        finally:
            host.stop()

    asyncio.run(run())
    return reports


def left(reports: list[Report]) -> list[Ended]:
    return [ended for report in reports for ended in report.ended]


async def words(host: EngineHost, job: Order, service: Service = FULL) -> list[EngineWord]:
    async with aclosing(host.run(job, service, "e")) as told:
        return [word async for word in told]


@pytest.mark.parametrize("overlap", [False, True])
def test_an_order_becomes_a_picture_with_partials_and_facts(
    variant: Variant, overlap: bool
) -> None:
    async def body(host: EngineHost, engine: StepEngine) -> None:
        accepted, *partials, done = await words(host, order(partials=2))
        assert isinstance(accepted, Accepted)
        assert accepted.text_tokens > 0
        assert [p.index for p in partials if isinstance(p, Partial)] == [0, 1]
        assert isinstance(done, Done)
        assert done.data.startswith(b"\x89PNG")
        assert (done.facts.quality_admitted, done.facts.quality_delivered) == ("high", "high")
        assert abs(done.facts.ended_unix_s - time.time()) < 60
        assert (host.pictures_total, host.running()) == (1, ())
        assert (done.facts.steps_run, done.facts.guided_steps) == (12, 12)
        assert host.batch_limit == 2
        assert host.convergence is None
        assert [row[-3] for row in host.costs()["encode"]] == [1]

    (report,) = hosted(variant, body, overlap=overlap)
    (ended,) = report.ended
    assert report.progress == ()
    assert (ended.job_id, ended.outcome) == ("a", "finished")
    assert ended.facts is not None


@pytest.mark.parametrize("overlap", [False, True])
def test_closing_the_words_cancels_the_job(variant: Variant, overlap: bool) -> None:
    async def body(host: EngineHost, engine: StepEngine) -> None:
        async with aclosing(host.run(order(fixed=True), Service("full", 900, 0), "e")) as told:
            assert isinstance(await anext(told), Accepted)
            assert host.running() == ("a",)
        assert host.running() == ()
        while engine.job_ids():
            await asyncio.sleep(0.001)
        assert host.steps_total < 900

    (report,) = hosted(variant, body, overlap=overlap)
    assert [one.outcome for one in report.ended] == ["cancelled"]
    assert report.progress is None


@pytest.mark.parametrize("overlap", [False, True])
def test_with_an_ending_it_is_told_how_far_the_others_are(variant: Variant, overlap: bool) -> None:
    async def body(host: EngineHost, engine: StepEngine) -> None:
        async with aclosing(host.run(order("long"), Service("full", 900, 0), "e")) as told:
            assert isinstance(await anext(told), Accepted)
            await words(host, order("short"), Service("full", 3, 0))

    first, last = hosted(variant, body, overlap=overlap)
    assert [one.job_id for one in first.ended] == ["short"]
    assert first.progress is not None
    (progress,) = first.progress
    assert (progress.job_id, progress.planned) == ("long", 900)
    assert 0 < progress.done < 900
    assert [one.outcome for one in last.ended] == ["cancelled"]


def test_jobs_that_end_in_one_boundary_are_reported_together(variant: Variant) -> None:
    async def body(host: EngineHost, engine: StepEngine) -> None:
        engine.step = lambda: []  # type: ignore[method-assign]  # nothing moves until both are there
        both = asyncio.gather(words(host, order("a")), words(host, order("b")))
        while len(engine.job_ids()) < 2:
            await asyncio.sleep(0.001)
        del engine.step
        await both

    (report,) = hosted(variant, body)
    assert [one.job_id for one in report.ended] == ["a", "b"]
    assert [one.facts.rung_delivered for one in report.ended if one.facts] == [0, 0]
    assert report.progress == ()


def test_one_job_is_lowered_by_the_id_that_the_dispatcher_knows(variant: Variant) -> None:
    async def body(host: EngineHost, engine: StepEngine) -> None:
        async with aclosing(host.run(order(), Service("full", 900, 0), "e")) as told:
            assert isinstance(await anext(told), Accepted)
            host.lower("nobody", 1)
            host.lower("a", 1)
            done = await anext(told)
        assert isinstance(done, Done)
        assert (done.facts.early_exit, done.facts.rung_delivered) == ("replan", 1)

    hosted(variant, body)


def test_a_lowering_that_overtakes_its_job_waits_for_it(
    variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve.host, "LOWERED_AHEAD_MAX", 1)

    async def body(host: EngineHost, engine: StepEngine) -> None:
        host.lower("a", 1)
        host.lower("a", 0)
        _, done = await words(host, order())
        assert isinstance(done, Done)
        assert (done.facts.steps_run, done.facts.rung_delivered) == (6, 1)
        host.lower("a", 1)
        host.lower("another", 1)  # more are not kept
        _, done = await words(host, order())
        assert isinstance(done, Done)
        assert done.facts.steps_run == 12

    hosted(variant, body)


def test_an_announced_rung_shortens_what_runs(variant: Variant) -> None:
    async def body(host: EngineHost, engine: StepEngine) -> None:
        host.announce(1)
        _, done = await words(host, order(), Service("full", 900, 0))
        assert isinstance(done, Done)
        assert done.facts.early_exit == "replan"
        assert done.facts.quality_delivered == "medium"
        assert done.facts.steps_run < done.facts.steps_planned

    hosted(variant, body)


def test_a_job_that_is_far_enough_is_finished_by_a_lower_rung(variant: Variant) -> None:
    async def body(host: EngineHost, engine: StepEngine) -> None:
        async with aclosing(host.run(order(), Service("full", 900, 0), "e")) as told:
            assert isinstance(await anext(told), Accepted)
            while host.steps_total < 3:
                await asyncio.sleep(0.001)
            host.announce(1)
            done = await anext(told)
        assert isinstance(done, Done)
        assert (done.facts.early_exit, done.facts.quality_delivered) == ("finish", "medium")
        assert 3 <= done.facts.steps_run < 450

    hosted(variant, body, rules=ExitRules("finish", finish_from=0.001))


def test_pictures_with_rescaled_guidance_differ_and_say_so(variant: Variant) -> None:
    async def body(host: EngineHost, engine: StepEngine) -> None:
        plain = (await words(host, order()))[-1]
        rescaled = (await words(host, order("b", guidance_rescale=1.0)))[-1]
        assert isinstance(plain, Done)
        assert isinstance(rescaled, Done)
        assert (plain.facts.guidance_rescale, rescaled.facts.guidance_rescale) == (0.0, 1.0)
        assert plain.data != rescaled.data

    hosted(variant, body)


@pytest.mark.parametrize("overlap", [False, True])
def test_what_audits_show_is_told(variant: Variant, overlap: bool) -> None:
    async def body(host: EngineHost, engine: StepEngine) -> None:
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
    async def body(host: EngineHost, engine: StepEngine) -> None:
        (failed,) = await words(host, order(**change), service)
        assert isinstance(failed, Failed)
        assert failed.param == param

    assert [one.outcome for one in left(hosted(variant, body))] == ["failed"]


def test_one_job_may_come_twice(variant: Variant) -> None:
    async def body(host: EngineHost, engine: StepEngine) -> None:
        both = await asyncio.gather(words(host, order()), words(host, order()))
        assert all(isinstance(told[-1], Done) for told in both)

    hosted(variant, body)


@pytest.mark.parametrize(
    ("broken", "overlap"), [("step", False), ("denoise", True), ("finish", True)]
)
def test_a_broken_step_loop_gives_its_jobs_away(
    variant: Variant, broken: str, overlap: bool
) -> None:
    async def body(host: EngineHost, engine: StepEngine) -> None:
        assert isinstance((await words(host, order()))[-1], NotHere)
        assert isinstance((await words(host, order("b")))[0], NotHere)
        with pytest.raises(RuntimeError, match="step loop failed"):
            host.check()

    hosted(variant, body, overlap=overlap, broken=broken)
