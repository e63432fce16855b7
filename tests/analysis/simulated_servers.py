"""Small servers for the simulator, with costs that can be added up by hand."""

from __future__ import annotations

from analysis.simulator import EngineSpec, Overheads, Server, Template
from policies.admission import Admission
from policies.controllers import Controller, Static
from policies.costs import Costs
from policies.exits import ExitRules
from policies.nouns import Ladder, Rung
from policies.orders import Fifo, Order
from policies.policy import Policy
from policies.routing import Routing, ShortestQueue

LADDER = Ladder(
    (
        Rung("full", 25, "high"),
        Rung("full", 10, "medium"),
        Rung("turbo", 4, "low", replannable=False),
    )
)
LONG = Ladder(
    (
        Rung("full", 25, "high"),
        Rung("full", 25, "high", guidance_share=0.4),
        Rung("full", 10, "medium"),
        Rung("small", 10, "low"),
        Rung("turbo", 4, "low", replannable=False),
    )
)
ANY = Template(floor=LADDER.last)
REPLAN, AT_START = ExitRules(), ExitRules("keep")
BATCH = 4


class Fixed:
    """Costs without spread: a step takes 10 ms and 5 ms a guided job; turbo and small half."""

    def encode_s(self, variant: str) -> float:
        return 0.004

    def step_s(self, variant: str, batch: int, guided: int | None = None) -> float:
        rows = batch + (batch if guided is None else guided)
        return (0.010 + 0.0025 * rows) * (1.0 if variant == "full" else 0.5)

    def decode_s(self, variant: str, batch: int) -> float:
        return 0.006 * batch


def server(
    controller: Controller | None = None,
    costs: Costs | None = None,
    *,
    batch: int = BATCH,
    ladder: Ladder = LADDER,
    engines: int = 1,
    rules: ExitRules = REPLAN,
    overheads: Overheads | None = None,
    max_waiting: int = 1_000_000,
    order: Order | None = None,
    routing: Routing | None = None,
) -> Server:
    policy = Policy(
        ladder,
        controller or Static(),
        rules,
        order or Fifo(),
        routing or ShortestQueue(),
        Admission(max_waiting),
    )
    return Server(
        policy,
        {"main": costs or Fixed()},
        tuple(EngineSpec(f"e{i}", batch) for i in range(engines)),
        overheads=overheads or Overheads(),
    )
