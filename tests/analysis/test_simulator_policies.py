"""Simulations under every kind of policy, over unlike engines, and however boundaries are run."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from analysis.records import Record, Result, Status
from analysis.simulator import Arrival, EngineSpec, Overheads, Server, Template, simulate
from policies.controllers import Cascade, CascadeBand, Controller, DeadlineAware, Hysteresis, Static
from policies.exits import APPLIED, ExitRules
from policies.nouns import Ladder, Rung
from policies.orders import Tiers
from policies.routing import Cheapest, LeastCompletion, Routing, TwoChoices, Uniform
from tests.analysis.simulated_servers import ANY, LADDER, LONG, Fixed, server

CONTROL = Hysteresis((2, 4, 6, 8), (0, 1, 3, 4), min_hold_s=0.2)


class HalfAsFast(Fixed):
    """An engine that needs twice the time."""

    def step_s(self, variant: str, batch: int, guided: int | None = None) -> float:
        return 2 * super().step_s(variant, batch, guided)


def poisson(rate_per_s: float, jobs: int, template: Template = ANY, seed: int = 5) -> list[Arrival]:
    rng = np.random.default_rng(seed)
    times_s = np.cumsum(rng.exponential(1 / rate_per_s, jobs)).tolist()
    return [Arrival(t, template, float(rng.random())) for t in times_s]


def assert_alike(one: Result, other: Result) -> None:
    assert len(one.records) == len(other.records)
    for left, right in zip(one.records, other.records, strict=True):
        assert _facts(left) == _facts(right)
        assert _times(left) == pytest.approx(_times(right), rel=1e-9)
    assert one.counts == other.counts
    assert [p[1:] for p in one.timeline] == [p[1:] for p in other.timeline]


def _facts(record: Record) -> tuple[object, ...]:
    return (
        record.status,
        record.variant,
        record.steps_planned,
        record.steps_run,
        record.rung_delivered,
        record.cut_steps,
        record.early_exit,
        record.engine_id,
    )


def _times(record: Record) -> tuple[float, ...]:
    return (
        record.started_s or 0.0,
        record.finished_s or 0.0,
        record.answered_s,
        record.engine_s,
    )


@pytest.mark.parametrize("way", APPLIED)
@pytest.mark.parametrize("grant_s", [0.0, 0.003])
def test_boundaries_run_together_or_one_by_one_give_the_same_records(
    way: str, grant_s: float
) -> None:
    rules = ExitRules.applied(way, 0.5, LONG)
    what = server(
        CONTROL, ladder=LONG, engines=2, rules=rules, overheads=Overheads(0.001, grant_s, 0.002)
    )
    hurried = replace(ANY, floor=LONG.last, deadline_after_s=0.8, hang_up_after_s=1.1)
    arrivals = [
        replace(a, template=hurried if i % 5 == 0 else replace(ANY, floor=i % len(LONG)))
        for i, a in enumerate(poisson(30.0, 250))
    ]
    together = simulate(arrivals, what)
    assert {record.status for record in together.records} > {"ok"}
    assert_alike(together, simulate(arrivals, replace(what, costs_vary=True)))


def test_costs_that_vary_are_asked_for_at_every_boundary() -> None:
    class Counted(Fixed):
        asked = 0

        def step_s(self, variant: str, batch: int, guided: int | None = None) -> float:
            self.asked += 1
            return super().step_s(variant, batch, guided)

    asked = []
    for vary in (True, False):
        costs = Counted()
        simulate([Arrival(0.0, ANY)], replace(server(costs=costs), costs_vary=vary))
        asked.append(costs.asked)  # the dispatcher's own questions are in both
    assert asked[0] - asked[1] == 25 - 1


# -- time and money -------------------------------------------------------------------------------


def two_pools(controller: Controller | None = None, routing: Routing | None = None) -> Server:
    """A fast engine, dear, and one at half the speed for a quarter of the price."""
    base = server(controller, ladder=LONG, routing=routing)
    return replace(
        base,
        costs={"fast": Fixed(), "slow": HalfAsFast()},
        engines=(
            EngineSpec("fast-0", 2, pool="fast", price_per_s=4.0),
            EngineSpec("slow-0", 2, pool="slow", price_per_s=1.0),
        ),
    )


def test_the_time_of_the_engines_is_charged_to_the_jobs_and_to_nothing_else() -> None:
    result = simulate(poisson(8.0, 200), two_pools(controller=CONTROL))
    charged_s = sum(record.engine_s for record in result.records)
    assert charged_s == pytest.approx(sum(result.busy_s.values()))
    for record in result.records:
        price_per_s = 4.0 if record.pool == "fast" else 1.0
        assert record.price == pytest.approx(price_per_s * record.engine_s)


def test_every_pool_has_its_own_speed() -> None:
    fast, slow = simulate([Arrival(0.0, ANY)] * 2, two_pools()).records
    assert {fast.pool, slow.pool} == {"fast", "slow"}
    took_s = {r.pool: (r.finished_s or 0.0) - (r.started_s or 0.0) for r in (fast, slow)}
    assert took_s["fast"] == pytest.approx(0.010 + 25 * 0.015)
    assert took_s["slow"] == pytest.approx(0.010 + 25 * 0.030)


def test_routing_by_completion_and_by_price_choose_unlike_engines() -> None:
    only_full = Template(floor=0)
    by_time, by_price = (
        simulate([Arrival(0.0, only_full)], two_pools(routing=routing)).records[0].pool
        for routing in (LeastCompletion(), Cheapest())
    )
    assert (by_time, by_price) == ("fast", "slow")


def test_what_the_policy_draws_comes_from_the_seed() -> None:
    drawn = server(routing=Uniform(), engines=4)
    arrivals = poisson(8.0, 60)
    engines = [
        [record.engine_id for record in simulate(arrivals, replace(drawn, seed=seed)).records]
        for seed in (1, 1, 2)
    ]
    assert engines[0] == engines[1]
    assert engines[0] != engines[2]


def test_two_choices_wait_less_than_one_draw() -> None:
    arrivals = poisson(16.0, 600)
    means_s = [
        simulate(arrivals, server(routing=routing, engines=4)).latencies_s().mean()
        for routing in (TwoChoices(), Uniform())
    ]
    assert means_s[0] < means_s[1]


# -- who is first, and how much -------------------------------------------------------------------


def test_a_tier_that_waits_less_starts_earlier() -> None:
    tiers = Tiers({"priority": 0.0, "default": 5.0})
    first, usual, urgent = simulate(
        [Arrival(0.0, ANY), Arrival(0.01, ANY), Arrival(0.02, replace(ANY, tier="priority"))],
        server(batch=1, order=tiers),
    ).records
    assert urgent.tier == "priority"
    assert (first.started_s or 0) < (urgent.started_s or 0) < (usual.started_s or 0)


def test_a_job_that_would_be_late_is_lowered_alone_while_it_runs() -> None:
    aware = server(DeadlineAware(LADDER.last, target_s=100.0), batch=2)
    alone_s = 0.004 + 25 * 0.015 + 0.006
    hurried = replace(ANY, deadline_after_s=1.1 * alone_s)
    relaxed = [Arrival(0.1, ANY)]
    alone = simulate([Arrival(0.0, hurried)], aware).records[0]
    assert (alone.early_exit, alone.late) == ("none", False)
    pressed, other = simulate([Arrival(0.0, hurried), *relaxed], aware).records
    assert (pressed.early_exit, other.early_exit) == ("replan", "none")
    assert not pressed.late
    kept = replace(aware, policy=replace(aware.policy, controller=Static()))
    assert simulate([Arrival(0.0, hurried), *relaxed], kept).records[0].late


def test_a_rung_that_takes_long_to_be_known_shortens_fewer_jobs() -> None:
    burst = [Arrival(0.0, ANY)] + [Arrival(0.1, ANY)] * 4
    prompt, slow = (
        simulate(
            burst,
            server(Hysteresis.threshold((4, 40)), batch=1, overheads=Overheads(rung_s=rung_s)),
        ).records[0]
        for rung_s in (None, 0.1)
    )
    assert (prompt.steps_run, slow.steps_run) == (15, 14 + 5)


# -- cascades -------------------------------------------------------------------------------------

CASCADE = Ladder((Rung("full", 25, "high"), Rung("turbo", 4, "low", replannable=False)))


def cascade(threshold: float) -> Controller:
    return Cascade(1, 0, (CascadeBand(math.inf, threshold),))


def test_a_cascade_makes_again_what_its_judge_does_not_believe_in() -> None:
    what = server(cascade(0.5), ladder=CASCADE, batch=1)
    arrivals = [Arrival(0.0, Template(1), 0.4), Arrival(5.0, Template(1), 0.6)]
    poor, good = simulate(arrivals, what).records
    first_s, second_s = 0.010 + 4 * 0.0075, 0.010 + 25 * 0.015
    assert (poor.redone, poor.variant, poor.steps_run) == (1, "full", 25)
    assert poor.latency_s == pytest.approx(first_s + second_s)
    assert poor.engine_s == pytest.approx(first_s + second_s)
    assert (good.redone, good.variant) == (0, "turbo")
    assert good.latency_s == pytest.approx(first_s)


def test_the_higher_a_cascades_threshold_the_more_is_made_again() -> None:
    arrivals = poisson(4.0, 400, Template(1))
    shares = [
        np.mean([r.redone for r in simulate(arrivals, server(cascade(t), ladder=CASCADE)).records])
        for t in (0.0, 0.3, 0.7)
    ]
    assert shares == pytest.approx([0.0, 0.3, 0.7], abs=0.06)


# -- lateness -------------------------------------------------------------------------------------


def test_late_is_who_had_no_picture_by_the_deadline() -> None:
    def record(status: Status, answered_s: float, deadline_s: float | None) -> Record:
        return Record(0, status, 0.0, None, None, answered_s, answered_s, deadline_s=deadline_s)

    assert not record("ok", 9.0, None).late
    assert not record("ok", 1.0, 1.0).late
    assert record("ok", 1.1, 1.0).late
    assert record("expired", 1.0, 1.0).late
    assert not record("cancelled", 2.0, 1.0).late
