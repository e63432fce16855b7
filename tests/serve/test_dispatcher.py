"""What the dispatcher's deployment shows of its engines."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from pipelines.convergence import ConvergenceReport
from pipelines.jobs import BatchLimit
from policies.nouns import Job
from serve.config import DEFAULT_CONFIG, load_config
from serve.dispatcher import DispatcherServer
from serve.messages import Acknowledged, Ended, Grant, Heartbeat, Refusal
from tests.serve.fakes import FACTS, PICTURE

CONFIG = load_config(DEFAULT_CONFIG, environment={})
NAN = float("nan")
BEAT = Heartbeat("e", "main", 7, 4, ("full", "small", "turbo"), "cpu", (), (), 50, 2)
NOTHING_YET = ConvergenceReport(0, 0.0, 0.05, NAN, NAN, NAN, NAN, NAN, NAN)
TUNED = ConvergenceReport(40, 0.03, 0.05, 0.02, 0.01, 0.04, 0.5, 6.0, 25.0)


def shown(*beats: Heartbeat) -> tuple[dict[str, Any], str]:
    """The status and the metrics after these heartbeats."""

    async def body() -> tuple[dict[str, Any], str]:
        server = DispatcherServer(CONFIG)
        for beat in beats:
            await server.heartbeat(beat)
        return await server.status(), await server.metrics()

    return asyncio.run(body())


def test_what_ran_out_of_memory_is_shown_by_variant_size_and_stage() -> None:
    limits = (BatchLimit("full", 64, 64, "step", 2),)
    status, metrics = shown(BEAT, replace(BEAT, batch_limits=limits))
    (engine,) = status["engines"]
    assert engine["places"] == 4
    assert engine["batch_limits"] == [
        {"variant": "full", "width": 64, "height": 64, "stage": "step", "limit": 2}
    ]
    labels = 'engine="e",pool="main",size="64x64",stage="step",variant="full"'
    assert f"sluice_engine_batch_limit{{{labels}}} 2.0" in metrics
    assert engine["convergence"] is None
    assert "sluice_convergence_threshold{" not in metrics


def test_the_convergence_exit_is_shown_as_its_audits_have_it() -> None:
    status, metrics = shown(replace(BEAT, convergence=TUNED))
    told = status["engines"][0]["convergence"]
    assert (told["threshold"], told["audits"], told["mean_loss_high"]) == (0.03, 40, 0.04)
    assert 'sluice_convergence_threshold{engine="e",pool="main"} 0.03' in metrics
    assert 'sluice_convergence_audits{engine="e",pool="main"} 40.0' in metrics


def test_what_no_audit_has_shown_yet_is_null() -> None:
    status, _ = shown(replace(BEAT, convergence=NOTHING_YET))
    told = status["engines"][0]["convergence"]
    assert (told["audits"], told["threshold"], told["mean_loss"]) == (0, 0.0, None)


def test_the_ladder_is_shown_with_its_guidance() -> None:
    status, _ = shown()
    assert {rung["guidance_share"] for rung in status["ladder"]} == {1.0}
    assert status["apply"] == CONFIG.controller.apply


def test_early_exits_are_counted_by_kind() -> None:
    async def body() -> str:
        server = DispatcherServer(CONFIG)
        await server.heartbeat(BEAT)
        for number, kind in enumerate(("finish", "hand_over", "hand_over"), start=1):
            async with aclosing(server.lease(Job(f"job{number}", 0.0, floor=4))) as answers:
                grant = await anext(answers)
                assert isinstance(grant, Grant)
                facts = replace(FACTS, picture=replace(PICTURE, early_exit=kind))
                ended = Ended(grant.grant_id, "finished", facts)
                await server.heartbeat(replace(BEAT, ended=(ended,)))
        return await server.metrics()

    metrics = asyncio.run(body())
    assert 'sluice_early_exits_total{kind="finish"} 1.0' in metrics
    assert 'sluice_early_exits_total{kind="hand_over"} 2.0' in metrics


def test_what_engines_tell_of_their_costs_is_handed_on_as_it_is() -> None:
    async def body() -> dict[str, Any]:
        server = DispatcherServer(CONFIG)
        await server.heartbeat(
            replace(BEAT, costs={"step": [["full", 64, 64, 4, 4, 2, 0.06, 0.002]]})
        )
        return await server.costs()

    told = asyncio.run(body())
    sums = {"step": [["full", 64, 64, 4, 4, 2, 0.06, 0.002]]}
    assert told == {"e": {"pool": "main", "sums": sums}}


def test_the_policy_is_shown_by_its_names_and_limits() -> None:
    status, _ = shown(replace(BEAT, price_per_s=0.25))
    assert status["controller"] == CONFIG.controller.kind
    assert (status["order"], status["routing"]) == ("fifo", "shortest_queue")
    assert status["max_waiting"] == CONFIG.dispatcher.max_waiting
    assert (status["tenant_max"], status["refuse_hopeless"]) == (None, False)
    assert status["engines"][0]["price_per_s"] == 0.25


def test_refusals_are_shown_by_their_reason() -> None:
    async def body() -> tuple[dict[str, Any], str]:
        server = DispatcherServer(CONFIG)
        async with aclosing(server.lease(Job("late", -2.0, floor=4, deadline_s=-1.0))) as answers:
            assert await anext(answers) == Refusal("late", "expired")
        return await server.status(), await server.metrics()

    status, metrics = asyncio.run(body())
    assert status["refused"] == {"expired": 1}
    assert (status["counters"]["admitted"], status["counters"]["expired"]) == (1, 1)
    assert 'sluice_refusals_total{reason="expired"} 1.0' in metrics


def test_an_engine_that_takes_no_jobs_now_is_shown_and_hosts_nothing() -> None:
    async def body() -> tuple[Any, Any, Any]:
        server = DispatcherServer(CONFIG)
        answer = await server.heartbeat(BEAT)
        before = await server.hosted()
        server._driver._set_suspected(server._driver._engines["e"], True)
        status = await server.status()
        return answer, before, (status["engines"][0]["takes_jobs"], await server.hosted())

    answer, before, after = asyncio.run(body())
    assert answer == Acknowledged()
    assert before == ["full", "small", "turbo"]
    assert after == (False, [])
