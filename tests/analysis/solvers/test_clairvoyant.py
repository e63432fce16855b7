"""The bound for everybody on a trace: by hand, and against policies that are simulated."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.simulator import Arrival, EngineSpec, Server, Template, simulate
from analysis.solvers.clairvoyant import Trace, least_work_s
from loadgen.arrivals import poisson
from policies import (
    Admission,
    Controller,
    EarliestDeadline,
    Hysteresis,
    Ladder,
    Policy,
    Rung,
    Static,
)
from policies.controllers import LoadProportional

LADDER = Ladder(
    (
        Rung("full", 20, "high", score=0.95),
        Rung("full", 10, "medium", score=0.85),
        Rung("full", 4, "low", score=0.6),
    )
)
DEADLINE_S = 1.0


class Costs:
    """A step takes 10 ms and 5 ms a job."""

    def encode_s(self, variant: str) -> float:
        return 0.004

    def step_s(self, variant: str, batch: int, guided: int | None = None) -> float:
        return 0.010 + 0.005 * batch

    def decode_s(self, variant: str, batch: int) -> float:
        return 0.003 + 0.003 * batch


def trace(arrivals_s: list[float], deadline_s: float = 1.0, **others: float) -> Trace:
    after_s = [deadline_s] * len(arrivals_s)
    return Trace(arrivals_s, after_s, (0.5, 0.25), (1.0, 0.6), **others)  # type: ignore[arg-type]


def test_whoever_has_time_gets_the_best_and_misses_nothing() -> None:
    calm = trace([0.0, 2.0, 4.0])
    assert calm.best_score(0.0) == pytest.approx(1.0)
    assert calm.least_violations(1.0) == pytest.approx(0.0, abs=1e-9)
    assert calm.least_violations(1.1) is None


def test_a_crowd_shares_the_time_that_there_is() -> None:
    # Four at once, due after 1 s; the slot of the deadline itself is given away: 1.125 s in all.
    crowd = trace([0.0] * 4)
    full = (1.125 - 4 * 0.25) / 0.25  # how many of the four can be full
    assert crowd.best_score(0.0) == pytest.approx(0.6 + 0.4 * full / 4)
    assert crowd.least_violations(0.6) == pytest.approx(0.0, abs=1e-9)
    assert crowd.least_violations(1.0) == pytest.approx(1 - 1.125 / 0.5 / 4)
    two = trace([0.0] * 4, engines=2)
    assert two.best_score(0.0) == pytest.approx(1.0)


def test_too_many_cannot_all_be_in_time() -> None:
    swamped = trace([0.0] * 20)
    assert swamped.best_score(0.0) is None
    least = 1 - 1.125 / 0.25 / 20
    assert swamped.least_violations(0.6) == pytest.approx(least)
    assert swamped.best_score(least + 0.01) is not None


def test_time_cannot_be_kept_for_later_nor_taken_from_before() -> None:
    late_crowd = trace([0.0, *([10.0] * 4)])
    early = trace([0.0] * 4 + [10.0])
    assert late_crowd.best_score(0.0) == pytest.approx(early.best_score(0.0))
    assert late_crowd.best_score(0.0) < 1.0  # type: ignore[operator]


def test_finer_slots_give_less_away() -> None:
    arrivals = poisson(3.0, 30.0, 3).tolist()
    scores = [trace(arrivals, slot_s=slot_s).best_score(0.2) for slot_s in (0.5, 0.125, 0.03125)]
    assert all(score is not None for score in scores)
    assert scores == sorted(scores, reverse=True)  # type: ignore[type-var]


def test_more_violations_allow_a_better_score_and_the_two_questions_agree() -> None:
    busy = trace(poisson(3.0, 40.0, 1).tolist())
    best = {share: busy.best_score(share) for share in (0.1, 0.2, 0.4)}
    assert best[0.1] < best[0.2] < best[0.4] == pytest.approx(1.0)  # type: ignore[operator]
    for share in (0.1, 0.2):
        score = best[share]
        assert score is not None
        assert busy.least_violations(score) == pytest.approx(share, abs=1e-5)


CONTROLLERS: list[Controller] = [
    Static(0),
    Static(1),
    Static(2),
    Hysteresis((1, 4), (0, 2)),
    LoadProportional(0.3, 2),
]


@pytest.mark.parametrize("rate_per_s", [6.0, 12.0, 30.0])
@pytest.mark.parametrize("controller", CONTROLLERS, ids=lambda one: type(one).__name__)
def test_no_simulated_policy_beats_the_bound(controller: Controller, rate_per_s: float) -> None:
    template = Template(LADDER.last, deadline_after_s=DEADLINE_S)
    arrivals = [Arrival(at_s, template) for at_s in poisson(rate_per_s, 30.0, 7).tolist()]
    admission = Admission(1000, refuse_hopeless=True)
    policy = Policy(LADDER, controller, order=EarliestDeadline(), admission=admission)
    server = Server(policy, {"main": Costs()}, (EngineSpec("e0", 4),))
    scores = [
        LADDER.scores()[record.rung_delivered]
        for record in simulate(arrivals, server).records
        if record.status == "ok"
        and record.rung_delivered is not None
        and record.latency_s <= DEADLINE_S
    ]
    work_s = least_work_s(Costs(), LADDER, 4)
    came_s = [arrival.scheduled_s for arrival in arrivals]
    bound = Trace(came_s, [DEADLINE_S] * len(came_s), work_s, LADDER.scores())
    violations = 1 - len(scores) / len(arrivals)
    best, least = bound.best_score(violations), bound.least_violations(float(np.mean(scores)))
    assert best is not None
    assert least is not None
    assert float(np.mean(scores)) <= best + 1e-9
    assert violations >= least - 1e-9


def test_the_least_work_is_a_share_of_the_best_batch() -> None:
    (full, *_) = least_work_s(Costs(), LADDER, 4)
    assert full == pytest.approx(0.004 + 20 * 0.030 / 4 + 0.015 / 4)
    assert least_work_s(Costs(), LADDER, 4, encodes=False)[0] == pytest.approx(full - 0.004)


def test_inputs_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one job"):
        trace([])
    with pytest.raises(ValueError, match="at least one rung"):
        Trace([0.0], [1.0], [0.5], [1.0, 0.5])
    with pytest.raises(ValueError, match="must be above 0"):
        Trace([0.0], [1.0], [0.0], [1.0])
    with pytest.raises(ValueError, match="slot_s 0"):
        trace([0.0], slot_s=0.0)
    with pytest.raises(ValueError, match="share below 1"):
        trace([0.0]).best_score(1.0)
    with pytest.raises(ValueError, match="max_batch 0"):
        least_work_s(Costs(), LADDER, 0)
