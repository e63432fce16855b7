"""What the dispatcher's deployment shows of its engines."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from pipelines.convergence import ConvergenceReport
from policies.nouns import Job
from serve.config import DEFAULT_CONFIG, load_config
from serve.dispatcher import DispatcherServer
from serve.messages import Directions, Ended, EngineNote
from tests.serve.fakes import FACTS

CONFIG = load_config(DEFAULT_CONFIG, environment={})
NAN = float("nan")
NOTE = EngineNote("e", "main", 1, 7, 4, ("full", "small", "turbo"), "cpu", (), (), 50, 2, 4)
NOTHING_YET = ConvergenceReport(0, 0.0, 0.05, NAN, NAN, NAN, NAN, NAN, NAN)
TUNED = ConvergenceReport(40, 0.03, 0.05, 0.02, 0.01, 0.04, 0.5, 6.0, 25.0)


def shown(*notes: EngineNote) -> tuple[dict[str, Any], str]:
    """The status and the metrics after these notes of engines."""

    async def body() -> tuple[dict[str, Any], str]:
        server = DispatcherServer(CONFIG)
        for note in notes:
            await server.note(note)
        return await server.status(), await server.metrics()

    return asyncio.run(body())


def test_the_batch_limit_is_shown_beside_the_places() -> None:
    status, metrics = shown(NOTE, replace(NOTE, seq=2, batch_limit=2))
    (engine,) = status["engines"]
    assert (engine["places"], engine["batch_limit"], engine["convergence"]) == (4, 2, None)
    assert 'sluice_engine_batch_limit{engine="e",pool="main"} 2.0' in metrics
    assert "sluice_convergence_threshold{" not in metrics


def test_the_convergence_exit_is_shown_as_its_audits_have_it() -> None:
    status, metrics = shown(replace(NOTE, convergence=TUNED))
    told = status["engines"][0]["convergence"]
    assert (told["threshold"], told["audits"], told["mean_loss_high"]) == (0.03, 40, 0.04)
    assert 'sluice_convergence_threshold{engine="e",pool="main"} 0.03' in metrics
    assert 'sluice_convergence_audits{engine="e",pool="main"} 40.0' in metrics


def test_what_no_audit_has_shown_yet_is_null() -> None:
    status, _ = shown(replace(NOTE, convergence=NOTHING_YET))
    told = status["engines"][0]["convergence"]
    assert (told["audits"], told["threshold"], told["mean_loss"]) == (0, 0.0, None)


def test_the_ladder_is_shown_with_its_guidance() -> None:
    status, _ = shown()
    assert {rung["guidance_share"] for rung in status["ladder"]} == {1.0}
    assert status["apply"] == CONFIG.controller.apply


def test_early_exits_are_counted_by_kind() -> None:
    async def body() -> str:
        server = DispatcherServer(CONFIG)
        await server.note(NOTE)
        for number, kind in enumerate(("finish", "hand_over", "hand_over"), start=1):
            name = f"job{number}"
            await server.acquire(Job(name, 0.0, floor=4))
            ended = Ended(name, "finished", replace(FACTS, early_exit=kind))
            await server.note(replace(NOTE, seq=number + 1, ended=(ended,)))
        return await server.metrics()

    metrics = asyncio.run(body())
    assert 'sluice_early_exits_total{kind="finish"} 1.0' in metrics
    assert 'sluice_early_exits_total{kind="hand_over"} 2.0' in metrics


def test_what_engines_tell_of_their_costs_is_handed_on_as_it_is() -> None:
    async def body() -> dict[str, Any]:
        server = DispatcherServer(CONFIG)
        await server.note(replace(NOTE, costs={"step": [["full", 64, 64, 4, 4, 2, 0.06, 0.002]]}))
        return await server.costs()

    told = asyncio.run(body())
    sums = {"step": [["full", 64, 64, 4, 4, 2, 0.06, 0.002]]}
    assert told == {"e": {"pool": "main", "sums": sums}}


def test_the_policy_is_shown_by_its_names_and_limits() -> None:
    status, _ = shown(replace(NOTE, price_per_s=0.25))
    assert status["controller"] == CONFIG.controller.kind
    assert (status["order"], status["routing"]) == ("fifo", "shortest_queue")
    assert status["max_waiting"] == CONFIG.dispatcher.max_waiting
    assert (status["tenant_max"], status["refuse_hopeless"]) == (None, False)
    assert status["engines"][0]["price_per_s"] == 0.25


def test_refusals_are_shown_by_their_reason() -> None:
    async def body() -> tuple[dict[str, Any], str]:
        server = DispatcherServer(CONFIG)
        await server.acquire(Job("late", 0.0, floor=4, deadline_s=1.0))
        return await server.status(), await server.metrics()

    status, metrics = asyncio.run(body())
    assert status["refused"] == {"expired": 1}
    assert (status["counters"]["admitted"], status["counters"]["expired"]) == (1, 1)
    assert 'sluice_refusals_total{reason="expired"} 1.0' in metrics


def test_an_engine_is_directed_and_told_how_many_its_pool_should_have() -> None:
    async def body() -> object:
        return await DispatcherServer(CONFIG).listen(NOTE, 1)

    assert asyncio.run(body()) == Directions(0)
