"""Small fleets with costs that can be added up by hand."""

from __future__ import annotations

from collections.abc import Mapping

from policies import Costs, Job, Ladder, Rung, Service
from policies.fleet import Fleet
from policies.groups import Engine, GroupKey, Running

LADDER = Ladder(
    (
        Rung("full", 20, "high", score=1.0),
        Rung("full", 10, "medium", score=0.9),
        Rung("turbo", 4, "low", replannable=False, score=0.7),
    )
)
FULL, HALF, TURBO = Service("full", 20, 0), Service("full", 10, 1), Service("turbo", 4, 2)
BOTH = frozenset({"full", "turbo"})


class Fixed:
    """A step takes 1 s and 1 s more a job, turbo's a tenth; encoding 1 s, decoding 2 s."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def encode_s(self, variant: str) -> float:
        return 1.0 * self.factor

    def step_s(self, variant: str, batch: int, guided: int | None = None) -> float:
        rows = batch + (batch if guided is None else guided)
        return (1.0 + rows / 2) * (1.0 if variant == "full" else 0.1) * self.factor

    def decode_s(self, variant: str, batch: int) -> float:
        return 2.0 * batch * self.factor


COSTS: Mapping[str, Costs] = {"slow": Fixed(), "fast": Fixed(0.5)}


def fleet_of(*engines: str, places: int = 2, price_per_s: float = 1.0) -> Fleet:
    """Engines named by their pool and a number, such as slow1; fast ones cost twice as much."""
    fleet = Fleet(LADDER, COSTS)
    for name in engines:
        pool = name.rstrip("0123456789")
        price = price_per_s * (2.0 if pool == "fast" else 1.0)
        fleet.up(name, GroupKey(pool, BOTH, places, price))
    return fleet


def running(job_id: str, service: Service = FULL, **facts: object) -> Running:
    job = Job(job_id, 0.0, LADDER.last)
    entry = Running(job_id, job, 0, service, service.steps, 0.0)
    for name, value in facts.items():
        setattr(entry, name, value)
    return entry


def put(fleet: Fleet, engine_id: str, *entries: Running) -> Engine:
    """Start these jobs in this engine."""
    engine = fleet.engines[engine_id]
    for entry in entries:
        fleet.place(engine, entry)
    return engine
