"""A thousand requests through random faults: none lost, none answered twice.

Takes minutes, so its name keeps it out of a plain run of the tests: `make test-faults` names it.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest

from tests.conftest import LiveServer
from tests.faults import cluster
from tests.faults.cluster import UNREAD, Crowd

pytestmark = pytest.mark.ray

REQUESTS, SEED = 1000, 11
RATE_PER_S = 6.0
FAULT_EVERY_S = 6.0
POISON_EVERY, LOST_EVERY = 50, 25

FAULTS = ("engine killed", "engine stopped", "step loop fails", "call hangs", "dispatcher killed")


def letters(number: int) -> str:
    """Another word for each number, of the letters that the tokenizer knows."""
    return "abcdefghij"[number % 10] * (1 + number // 10)


async def strike(
    crowd: Crowd, draw: random.Random, struck: dict[str, int]
) -> list[asyncio.Task[Any]]:
    """One of the faults that were fewest, drawn, if both engines take jobs; what it has asked for."""
    answer = await crowd.http.get("/v1/status")
    status = answer.json()
    if answer.status_code != 200 or sum(one["takes_jobs"] for one in status["engines"]) < 2:
        return []
    fewest = min(struck.values())
    name = draw.choice([name for name, times in struck.items() if times == fewest])
    struck[name] += 1
    match name:
        case "engine killed":
            cluster.kill(draw.choice(status["engines"])["pid"])
        case "engine stopped":
            cluster.freeze(draw.choice(status["engines"])["pid"])
        case "step loop fails":
            return crowd.send(f"zbonce{letters(struck[name])}", steps=12)
        case "call hangs":
            return crowd.send(f"zhang{letters(struck[name])}", steps=12)
        case "dispatcher killed":
            cluster.kill(status["pid"])
    return []


def test_a_thousand_requests_survive_random_faults(
    server: LiveServer, record: dict[str, dict[str, Any]]
) -> None:
    async def run() -> None:
        draw, struck = random.Random(SEED), dict.fromkeys(FAULTS, 0)
        good: list[asyncio.Task[Any]] = []
        bad: list[asyncio.Task[Any]] = []
        async with Crowd(server) as crowd:
            began_s = time.monotonic()
            due_s = fault_s = began_s
            for number in range(REQUESTS):
                due_s += draw.expovariate(RATE_PER_S)
                await asyncio.sleep(due_s - time.monotonic())
                if number % POISON_EVERY == 7:
                    bad += crowd.send(UNREAD, model="tiny/broken", steps=3)
                elif number % LOST_EVERY == 3:
                    good += crowd.send(f"zlost{letters(number // LOST_EVERY)}")
                else:
                    good += crowd.send("a red circle")
                if time.monotonic() - fault_s > FAULT_EVERY_S:
                    fault_s = time.monotonic()
                    good += await strike(crowd, draw, struck)
            told, refused = await crowd.statuses(good), await crowd.statuses(bad)
            ended_s = time.monotonic()
            await crowd.until(cluster.whole)
            record["storm"] = {
                "requests": len(good) + len(bad),
                "seed": SEED,
                "rate_per_s": RATE_PER_S,
                "faults": struck,
                "answers": dict(told),
                "answers_to_poison": dict(refused),
                "seconds": round(ended_s - began_s, 1),
                "readiness": sorted(crowd.probes.codes()),
            } | crowd.probes.summary()
            assert told == {200: len(good)}
            assert refused == {500: len(bad)}
            assert min(struck.values()) >= 1

    asyncio.run(run())
    cluster.counters(server)
