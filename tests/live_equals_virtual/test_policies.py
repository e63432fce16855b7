"""The live service and the simulator decide alike, job by job, for every policy that there is.

One Poisson and one bursty trace go through both. Who is admitted, where, when and at which rung each
job starts, how many steps it runs and when it is finished must agree, and so must all that the two
dispatchers are told and say.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import product

import pytest

from analysis.simulator import Failure
from policies.admission import Admission
from policies.commands import StartJob
from policies.events import EngineDown
from policies.exits import OnLowerRung
from tests.live_equals_virtual.comparison import Trial, differences, trial
from tests.live_equals_virtual.traces import (
    CONTROLLERS,
    EXITS,
    JOBS,
    ONE,
    ORDERS,
    ROUTINGS,
    TRACES,
    UNLIKE,
    server,
)

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Plan:
    """What to serve and how, by name."""

    controller: str
    on_lower: OnLowerRung
    order: str
    routing: str
    trace: str
    engines: int
    refuse_hopeless: bool = False

    def __str__(self) -> str:
        hopeless = "-refuse_hopeless" if self.refuse_hopeless else ""
        return (
            f"{self.controller}-{self.on_lower}-{self.order}-{self.routing}-{self.trace}"
            f"-{self.engines}{hopeless}"
        )

    def run(self) -> Trial:
        offered = server(
            CONTROLLERS[self.controller],
            self.on_lower,
            ORDERS[self.order],
            ROUTINGS[self.routing],
            engines=ONE if self.engines == 1 else UNLIKE,
            admission=Admission(20, 9, self.refuse_hopeless),
        )
        return trial(TRACES[self.trace], offered)


def plans() -> list[Plan]:
    """Every controller with every exit rule, and every order with every routing; what they are
    tried with goes round, and every one of them sees both traces and one as well as two engines."""
    orders, routings, controllers = list(ORDERS), list(ROUTINGS), list(CONTROLLERS)
    found = []
    for number, (controller, on_lower) in enumerate(product(CONTROLLERS, EXITS)):
        for turn, trace in enumerate(TRACES):
            order = orders[(number + turn) % len(orders)]
            routing = routings[(number + 3 * turn) % len(routings)]
            engines = 1 + (number + number // 4 + turn) % 2
            found.append(Plan(controller, on_lower, order, routing, trace, engines))
    for number, (order, routing) in enumerate(product(ORDERS, ROUTINGS)):
        controller = controllers[(number + 4) % len(controllers)]
        on_lower = EXITS[(number + number // 4) % len(EXITS)]
        trace = list(TRACES)[(number + number // 8) % 2]
        found.append(Plan(controller, on_lower, order, routing, trace, 2, number % 3 == 0))
    return found


PLANS = plans()


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_live_equals_virtual(plan: Plan) -> None:
    found = plan.run()
    assert len(found.live) == JOBS
    assert list(differences(found)) == []


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("controller", CONTROLLERS)
def test_live_equals_virtual_when_engines_die_and_come_back(controller: str, trace: str) -> None:
    failures = (Failure("e0", 6.137, 11.71), Failure("e1", 15.33, 19.7))
    offered = server(CONTROLLERS[controller], engines=UNLIKE, failures=failures)
    found = trial(TRACES[trace], offered)
    assert list(differences(found)) == []
    downs = [event for _, event, _ in found.live_log if isinstance(event, EngineDown)]
    assert len(downs) == len(failures)


def test_every_policy_sees_both_traces_and_unlike_engines() -> None:
    for name, kinds in (
        ("controller", CONTROLLERS),
        ("on_lower", EXITS),
        ("order", ORDERS),
        ("routing", ROUTINGS),
    ):
        seen = {(getattr(plan, name), plan.trace) for plan in PLANS}
        assert seen == set(product(kinds, TRACES))
        assert {getattr(plan, name) for plan in PLANS if plan.engines == 2} == set(kinds)


def test_the_traces_meet_all_that_can_happen_to_a_job() -> None:
    """A trace that never fills the line or lowers a job would agree for want of questions."""
    ends: Counter[str] = Counter()
    exits: Counter[str | None] = Counter()
    rungs: Counter[int | None] = Counter()
    cancelled_in_flight = 0
    for on_lower, trace, hopeless in product(EXITS, TRACES, (False, True)):
        found = Plan("hysteresis", on_lower, "fifo", "shortest_queue", trace, 1, hopeless).run()
        ends.update(outcome.status for outcome in found.live)
        exits.update(outcome.early_exit for outcome in found.live)
        rungs.update(outcome.rung_delivered for outcome in found.live)
        started = {one.job_id for one in found.decided_live() if isinstance(one, StartJob)}
        cancelled_in_flight += sum(
            outcome.status == "cancelled" and f"{index:07d}" in started
            for index, outcome in enumerate(found.live)
        )
    assert set(ends) == {
        "ok",
        "cancelled",
        "queue_full",
        "tenant_full",
        "no_rung",
        "deadline_exceeded",
        "deadline_hopeless",
    }
    assert set(exits) == {None, "none", "replan", "finish", "hand_over"}
    assert set(rungs) == {None, 0, 1, 2, 3, 4}
    assert cancelled_in_flight > 10
