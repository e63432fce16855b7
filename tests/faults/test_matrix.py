"""Every process and every call of a running server may fail: accepted is answered, exactly once.

All on one server of two engines with two slots each and two gateways. A fault is over when both
engines take jobs again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.conftest import LiveServer
from tests.faults import cluster
from tests.faults.cluster import BATCH, ENGINES, LONG_STEPS, PATH, UNREAD, Crowd

pytestmark = pytest.mark.ray

SLOTS = ENGINES * BATCH
Record = dict[str, dict[str, Any]]
Strike = Callable[[Crowd, dict[str, Any]], Awaitable[None]]

PROBE_MAX_S = 5.0
"""Probes answer in milliseconds; this is for a machine whose cores are all taken."""


def strike(
    name: str, server: LiveServer, record: Record, fault: Strike, *, jobs: int = SLOTS + 2
) -> tuple[dict[str, int], dict[str, Any], Crowd]:
    """Have so many jobs run and wait, strike, and wait for all answers and a server whole again.

    Returns how the counters have moved, the status before the fault, and the crowd.
    """
    before = cluster.counters(server)

    async def run() -> tuple[dict[str, Any], Crowd]:
        async with Crowd(server) as crowd:
            crowd.send("a red circle", jobs, steps=LONG_STEPS)
            status = await crowd.running(min(jobs, SLOTS))
            struck_s = time.monotonic()
            await fault(crowd, status)
            answers = await crowd.statuses()
            answered_s = time.monotonic() - struck_s
            await crowd.until(cluster.whole)
            whole_s = time.monotonic() - struck_s
            unready_s = crowd.probes.first_s(503, struck_s)
            record[name] = {
                "answers": dict(answers),
                "all_answered_after_s": round(answered_s, 2),
                "whole_after_s": round(whole_s, 2),
                "readiness": sorted(crowd.probes.codes()),
                "unready_after_s": None if unready_s is None else round(unready_s, 2),
                "probe_slowest_in_the_first_4_s": round(crowd.probes.slowest_s(struck_s + 4.0), 3),
            } | crowd.probes.summary()
            return status, crowd

    status, crowd = asyncio.run(run())
    after = cluster.counters(server)
    moved = {key: after[key] - before[key] for key in after}
    record[name]["counters"] = {key: number for key, number in moved.items() if number}
    return moved, status, crowd


def answers(record: Record, name: str) -> dict[int, int]:
    found: dict[int, int] = record[name]["answers"]
    return found


async def nothing(crowd: Crowd, status: dict[str, Any]) -> None:
    """No fault: what the others are to be compared with."""


def test_without_a_fault_all_are_answered(server: LiveServer, record: Record) -> None:
    moved, _, _ = strike("none", server, record, nothing)
    assert answers(record, "none") == {200: SLOTS + 2}
    assert (moved["admitted"], moved["finished"], moved["requeued"]) == (SLOTS + 2, SLOTS + 2, 0)
    assert record["none"]["readiness"] == [200]


@pytest.mark.parametrize(
    ("name", "harm"), [("engine killed", cluster.kill), ("engine stopped", cluster.freeze)]
)
def test_an_engine_that_dies_or_hangs_holds_up_nobody_and_is_replaced(
    server: LiveServer, record: Record, name: str, harm: Callable[[int], None]
) -> None:
    async def fault(crowd: Crowd, status: dict[str, Any]) -> None:
        harm(status["engines"][0]["pid"])

    moved, status, crowd = strike(name, server, record, fault)
    assert answers(record, name) == {200: SLOTS + 2}
    assert (moved["admitted"], moved["finished"]) == (SLOTS + 2, SLOTS + 2)
    assert moved["requeued"] == BATCH
    assert crowd.probes.codes() == {200}, "the other engine served all the while"
    assert crowd.probes.slowest_s() < PROBE_MAX_S
    assert status["engines"][0]["id"] not in cluster.engines(server)


def test_a_step_loop_that_fails_closes_its_engine_and_loses_nobody(
    server: LiveServer, record: Record
) -> None:
    async def poison(crowd: Crowd, status: dict[str, Any]) -> None:
        crowd.send("zbonceloop", steps=3)

    moved, _, crowd = strike("step loop fails", server, record, poison, jobs=SLOTS)
    assert answers(record, "step loop fails") == {200: SLOTS + 1}
    assert moved["finished"] == SLOTS + 1
    assert moved["requeued"] >= 1
    assert crowd.probes.codes() == {200}


def test_a_call_that_hangs_closes_its_engine_and_loses_nobody(
    server: LiveServer, record: Record
) -> None:
    async def hang(crowd: Crowd, status: dict[str, Any]) -> None:
        crowd.send("zhangkernel", steps=3)

    moved, _, crowd = strike("call hangs", server, record, hang, jobs=SLOTS)
    assert answers(record, "call hangs") == {200: SLOTS + 1}
    assert moved["finished"] == SLOTS + 1
    assert crowd.probes.codes() == {200}


def test_a_request_that_breaks_every_engine_is_told_so_after_two(
    server: LiveServer, record: Record
) -> None:
    async def poison(crowd: Crowd, status: dict[str, Any]) -> None:
        (task,) = crowd.send("zbalways", steps=3)
        answer = await task
        assert answer.status_code == 500
        assert answer.headers["x-should-retry"] == "false"
        assert "illegal memory access" in answer.json()["error"]["message"]

    moved, _, _ = strike("poison job breaks engines", server, record, poison, jobs=SLOTS)
    assert answers(record, "poison job breaks engines") == {200: SLOTS, 500: 1}
    assert (moved["finished"], moved["failed"]) == (SLOTS, 1)


def test_a_request_that_fails_by_itself_fails_alone_and_breaks_nothing(
    server: LiveServer, record: Record
) -> None:
    async def poison(crowd: Crowd, status: dict[str, Any]) -> None:
        tasks = crowd.send(UNREAD, 3, model="tiny/broken", steps=3)
        for answer in await asyncio.gather(*tasks):
            assert answer.status_code == 500
            assert answer.headers["x-should-retry"] == "false"
            assert "index out of range" in answer.json()["error"]["message"]

    moved, status, crowd = strike("poison job", server, record, poison, jobs=SLOTS)
    assert answers(record, "poison job") == {200: SLOTS, 500: 3}
    assert (moved["finished"], moved["failed"], moved["requeued"]) == (SLOTS, 3, 0)
    assert crowd.probes.codes() == {200}
    assert {one["id"] for one in status["engines"]} == set(cluster.engines(server))


def test_a_lost_call_costs_one_job_a_second_run_and_no_engine(
    server: LiveServer, record: Record
) -> None:
    async def lose(crowd: Crowd, status: dict[str, Any]) -> None:
        crowd.send("zlostcall", steps=3)

    moved, status, _ = strike("call lost", server, record, lose, jobs=SLOTS)
    assert answers(record, "call lost") == {200: SLOTS + 1}
    assert (moved["finished"], moved["requeued"]) == (SLOTS + 1, 1)
    assert {one["id"] for one in status["engines"]} == set(cluster.engines(server))


def test_a_killed_dispatcher_loses_nothing(server: LiveServer, record: Record) -> None:
    async def kill(crowd: Crowd, status: dict[str, Any]) -> None:
        cluster.kill(status["pid"])
        await crowd.until(lambda now: now["pid"] != status["pid"])

    before = cluster.engines(server)
    strike("dispatcher killed", server, record, kill)
    assert answers(record, "dispatcher killed") == {200: SLOTS + 2}
    assert before == cluster.engines(server), "engines outlive a dispatcher"
    counts = cluster.counters(server)
    assert counts["finished"] == SLOTS + 2, "the new one has counted them all"


def test_a_killed_gateway_takes_its_own_requests_and_no_others(
    server: LiveServer, record: Record
) -> None:
    freed_s: list[float] = []

    async def kill(crowd: Crowd, status: dict[str, Any]) -> None:
        first, _ = cluster.processes(server, "Gateway")
        cluster.kill(first)
        struck_s = time.monotonic()
        while not any(task.done() for task in crowd.tasks):
            await asyncio.sleep(0.01)
        lost = sum(task.done() for task in crowd.tasks)
        await crowd.until(lambda now: now["waiting"] + now["running"] <= len(crowd.tasks) - lost)
        freed_s.append(time.monotonic() - struck_s)
        for task in crowd.tasks:
            if task.done() and task.result() is not None:
                answer: httpx.Response = task.result()
                assert answer.status_code == 503
                assert answer.headers["x-should-retry"] == "true"
                assert answer.json()["error"]["code"] == "gateway_lost"

    moved, _, _ = strike("gateway killed", server, record, kill, jobs=SLOTS + 20)
    record["gateway killed"]["slots_free_after_s"] = round(freed_s[0], 2)
    told = answers(record, "gateway killed")
    assert set(told) <= {200, 0, 503}
    assert moved["finished"] + moved["cancelled"] == moved["admitted"] == SLOTS + 20
    assert 0 < moved["cancelled"] <= told.get(0, 0) + told.get(503, 0)
    assert told.get(200, 0) <= moved["finished"], "the other gateway's are untouched"


def test_the_server_is_not_ready_while_no_engine_takes_jobs(
    server: LiveServer, record: Record
) -> None:
    """Nobody is in the system, so that only the engines' silence can tell."""

    async def kill(crowd: Crowd, status: dict[str, Any]) -> None:
        for one in status["engines"]:
            cluster.kill(one["pid"])
        while 503 not in crowd.probes.codes():
            await asyncio.sleep(0.01)
        crowd.send("a red circle", SLOTS + 2)

    moved, _, crowd = strike("all engines killed", server, record, kill, jobs=0)
    assert answers(record, "all engines killed") == {200: SLOTS + 2}
    assert moved["finished"] == SLOTS + 2
    assert crowd.probes.codes() == {200, 503}
    assert crowd.probes.told[-1][2] == 200
    with httpx.Client(base_url=server.url, timeout=60) as http:
        assert http.post(PATH, json={"prompt": "red"}).status_code == 200


def test_the_terminal_shows_each_exception_once_with_its_job(
    server: LiveServer, record: Record
) -> None:
    async def poison(crowd: Crowd, status: dict[str, Any]) -> None:
        seen = len(server.log.read_text())
        (task,) = crowd.send(f"{UNREAD} once", model="tiny/broken", steps=3)
        answer = await task
        assert answer.status_code == 500
        while "IndexError" not in (told := server.log.read_text()[seen:]):
            await asyncio.sleep(0.05)
        assert told.count("Traceback") == 1
        assert "broken" in told

    strike("poison job alone", server, record, poison, jobs=0)
