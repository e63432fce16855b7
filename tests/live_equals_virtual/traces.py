"""The ladder, engines and arrival traces that both halves serve."""

from __future__ import annotations

from random import Random

from analysis.simulator import Arrival, EngineSpec, Failure, Server, Template
from policies.admission import Admission
from policies.controllers import (
    BurstAhead,
    Controller,
    DeadlineAware,
    DecisionTable,
    Hysteresis,
    LoadProportional,
    QualityBudget,
    RateBand,
    Split,
    SplitBand,
    Static,
)
from policies.exits import ExitRules, OnLowerRung, hand_overs
from policies.nouns import Ladder, Rung
from policies.orders import EarliestDeadline, FairShare, Fifo, Order, ShortestWork, Tiers
from policies.policy import Policy
from policies.routing import (
    BestQuality,
    Cheapest,
    LeastCompletion,
    RoundRobin,
    Routing,
    ShortestQueue,
    TwoChoices,
    Uniform,
    WithinBudget,
)
from tests.live_equals_virtual.virtual_pipeline import RowCosts

LADDER = Ladder(
    (
        Rung("full", 20, "high", score=0.95),
        Rung("full", 20, "high", guidance_share=0.4, score=0.93),
        Rung("full", 11, "medium", score=0.88),
        Rung("small", 9, "low", score=0.7),
        Rung("turbo", 3, "low", replannable=False, score=0.6),
    )
)
COSTS = {"main": RowCosts(), "other": RowCosts(1.377)}
ONE = (EngineSpec("e0", 4, price_per_s=0.002),)
UNLIKE = (
    EngineSpec("e0", 4, price_per_s=0.002),
    EngineSpec("e1", 3, frozenset({"full", "turbo"}), "other", price_per_s=0.0011),
)
JOBS = 120
TENANTS, TIERS = ("ann", "bob", "eve"), ("default", "priority", "flex")
HYSTERESIS = Hysteresis((2, 4, 6, 8), (0, 2, 3, 5), 0.4)

INFINITE = float("inf")
STEEP = tuple(tuple(min(4, max(0, (jobs - back) // 3)) for jobs in range(16)) for back in range(5))
GENTLE = tuple(tuple(min(4, max(0, (jobs - back) // 5)) for jobs in range(26)) for back in range(5))
CONTROLLERS: dict[str, Controller] = {
    "static": Static(2),
    "threshold": Hysteresis.threshold((2, 4, 6, 8)),
    "hysteresis": HYSTERESIS,
    "load_proportional": LoadProportional(0.8, 4, 0.4),
    "deadline_aware": DeadlineAware(4, 2.5, 0.1, 0.5),
    "quality_budget": QualityBudget(HYSTERESIS, LADDER.scores(), 0.86),
    "decision_table": DecisionTable((RateBand(4.0, GENTLE), RateBand(INFINITE, STEEP))),
    "burst_ahead": BurstAhead(HYSTERESIS, 1.0),
    "split": Split(
        (
            SplitBand(3.0, (0.5, 0.3, 0.1, 0.1, 0.0)),
            SplitBand(INFINITE, (0.1, 0.2, 0.3, 0.2, 0.2)),
        )
    ),
}
EXITS: tuple[OnLowerRung, ...] = ("keep", "replan", "finish", "hand_over")
ORDERS: dict[str, Order] = {
    "fifo": Fifo(),
    "deadline": EarliestDeadline(),
    "shortest": ShortestWork(),
    "tiers": Tiers({"priority": 0.0, "default": 1.0, "flex": 4.0}),
    "fair": FairShare(),
}
ROUTINGS: dict[str, Routing] = {
    "random": Uniform(),
    "round_robin": RoundRobin(),
    "shortest_queue": ShortestQueue(),
    "two_choices": TwoChoices(),
    "least_completion": LeastCompletion(),
    "cheapest": Cheapest(),
    "best_quality": BestQuality(),
    "within_budget": WithinBudget(0.0004),
}


def poisson(seed: int = 1, per_s: float = 4.5, jobs: int = JOBS) -> list[Arrival]:
    """A Poisson stream at a little more than one engine's capacity at full service."""
    draws = Random(seed)
    at_s = 0.0
    arrivals: list[Arrival] = []
    for _ in range(jobs):
        at_s += draws.expovariate(per_s)
        arrivals.append(Arrival(at_s, wishes(draws)))
    return arrivals


def bursts(seed: int = 2, jobs: int = JOBS) -> list[Arrival]:
    """Calm times and bursts in turn: a Poisson stream whose rate is 1.2 or 14 a second."""
    draws = Random(seed)
    at_s, calm = 0.0, True
    arrivals: list[Arrival] = []
    switch_s = draws.expovariate(1 / 4.0)
    while len(arrivals) < jobs:
        gap_s = draws.expovariate(1.2 if calm else 14.0)
        if at_s + gap_s > switch_s:
            at_s, calm = switch_s, not calm
            switch_s = at_s + draws.expovariate(1 / (4.0 if calm else 2.0))
            continue
        at_s += gap_s
        arrivals.append(Arrival(at_s, wishes(draws)))
    return arrivals


def wishes(draws: Random) -> Template:
    """What a client asks for: mostly nothing special, now and then everything there is."""
    floor = draws.choices((4, 3, 2, 1, 0), (10, 3, 3, 1, 1))[0]
    variant = draws.choices((None, "full", "small", "turbo"), (28, 4, 1, 2))[0]
    if variant == "turbo":
        floor = 4
    steps = draws.choice((None, None, None, None, 7, 14, 23))
    if variant == "turbo" and steps is not None:
        steps = 3
    return Template(
        floor=floor,
        variant=variant,
        steps=steps,
        fixed=steps is not None and draws.random() < 0.4,
        deadline_after_s=draws.uniform(0.7, 6.0) if draws.random() < 0.4 else None,
        hang_up_after_s=draws.uniform(0.02, 1.5) if draws.random() < 0.15 else None,
        encodes=draws.random() < 0.7,
        tenant=draws.choice(TENANTS),
        tier=draws.choice(TIERS),
        objective=draws.choices((None, "latency", "cost", "quality"), (9, 1, 1, 1))[0],
    )


TRACES = {"poisson": poisson(), "bursts": bursts()}


def server(
    controller: Controller = HYSTERESIS,
    on_lower: OnLowerRung = "replan",
    order: Order | None = None,
    routing: Routing | None = None,
    *,
    engines: tuple[EngineSpec, ...] = ONE,
    admission: Admission | None = None,
    hold_s: float = 0.4,
    failures: tuple[Failure, ...] = (),
) -> Server:
    policy = Policy(
        LADDER,
        controller,
        ExitRules(on_lower, 0.7, hand_overs(LADDER)),
        order or Fifo(),
        routing or ShortestQueue(),
        admission or Admission(20, tenant_max=9),
    )
    return Server(policy, COSTS, engines, hold_s=hold_s, seed=5, failures=failures)
