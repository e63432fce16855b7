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
FAULT_EVERY_S = 12.0
POISON_EVERY, LOST_EVERY = 50, 25

FAULTS = ("engine killed", "engine stopped", "step loop fails", "call hangs", "dispatcher killed")


async def strike(crowd: Crowd, draw: random.Random, number: int) -> str:
    """One fault, drawn; those of an engine only while another one takes jobs."""
    status = await crowd.until(lambda now: any(one["takes_jobs"] for one in now["engines"]))
    takers = [one for one in status["engines"] if one["takes_jobs"]]
    name = draw.choice(FAULTS) if len(takers) == cluster.ENGINES else "dispatcher killed"
    match name:
        case "engine killed":
            cluster.kill(draw.choice(takers)["pid"])
        case "engine stopped":
            cluster.freeze(draw.choice(takers)["pid"])
        case "step loop fails":
            crowd.send(f"zbonce{'abcdefghij'[number % 10] * (1 + number // 10)}", steps=12)
        case "call hangs":
            crowd.send(f"zhang{'abcdefghij'[number % 10] * (1 + number // 10)}", steps=12)
        case "dispatcher killed":
            cluster.kill(status["pid"])
    return name


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
                    good += crowd.send(
                        f"zlost{'abcdefghij'[number // 25 % 10] * (number // 250 + 1)}"
                    )
                else:
                    good += crowd.send("a red circle")
                if time.monotonic() - fault_s > FAULT_EVERY_S:
                    fault_s = time.monotonic()
                    struck[await strike(crowd, draw, sum(struck.values()))] += 1
            told, refused = await crowd.statuses(good), await crowd.statuses(bad)
            ended_s = time.monotonic()
            await crowd.until(cluster.whole)
            record["storm"] = {
                "requests": REQUESTS,
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
            assert sum(struck.values()) >= 5

    asyncio.run(run())
    cluster.counters(server)
