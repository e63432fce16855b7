"""All decisions of a service, put together."""

from __future__ import annotations

from dataclasses import dataclass, field

from policies.admission import Admission
from policies.controllers import Controller, QualityBudget, Static
from policies.exits import ExitRules
from policies.nouns import Ladder
from policies.orders import Fifo, Order
from policies.routing import Routing, ShortestQueue


@dataclass(frozen=True, slots=True)
class Policy:
    """What the dispatcher goes by.

    `exits` say what a lower rung does to running jobs; with "keep" it binds at start only.
    ValueError if the controller can choose a rung that the ladder does not have, or weighs scores
    that the ladder does not tell.
    """

    ladder: Ladder
    controller: Controller = field(default_factory=Static)
    exits: ExitRules = field(default_factory=ExitRules)
    order: Order = field(default_factory=Fifo)
    routing: Routing = field(default_factory=ShortestQueue)
    admission: Admission = field(default_factory=Admission)

    def __post_init__(self) -> None:
        if self.controller.deepest > self.ladder.last:
            raise ValueError(
                f"the controller can choose rung {self.controller.deepest}, but the last rung of the"
                f" ladder is {self.ladder.last}; give it fewer thresholds or the ladder more rungs"
            )
        if isinstance(self.controller, QualityBudget):
            self.ladder.scores()

    @property
    def announces(self) -> bool:
        """Whether running jobs are told of a lower rung."""
        return self.exits.on_lower != "keep"

    def costs_needed_by(self) -> str | None:
        """What of it cannot decide without a cost table; None if nothing."""
        if self.controller.needs_costs:
            return f"the controller {type(self.controller).__name__}"
        if self.routing.needs_costs:
            return f"the routing {type(self.routing).__name__}"
        if self.admission.refuse_hopeless:
            return "refuse_hopeless"
        return None
