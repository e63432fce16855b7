"""The simulator reproduces queueing theory, keeps every job, and shows what control is worth."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.models.lines import md1, mg1, mgc, mm1
from analysis.records import Interval, Result, confidence_interval, summarise
from analysis.service_times import Deterministic, Empirical
from analysis.simulator import Arrival, EngineSpec, Overheads, Template, simulate
from policies import Controller, ExitRules, Hysteresis, Ladder, Rung, Static
from policies.costs import Costs
from tests.analysis.simulated_servers import (
    ANY,
    AT_START,
    BATCH,
    LADDER,
    LONG,
    REPLAN,
    Fixed,
    server,
)

pytestmark = pytest.mark.slow


REFERENCE = Path(__file__).parents[1] / "reference" / "queueing_cases.json"

ONE_STEP = Ladder((Rung("full", 1, "high"),))


class Drawn:
    """One step of exponential length, and nothing else."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 2])

    def encode_s(self, variant: str) -> float:
        return 0.0

    def step_s(self, variant: str, batch: int, guided: int | None = None) -> float:
        return float(self._rng.exponential(1.0))

    def decode_s(self, variant: str, batch: int) -> float:
        return 0.0


class Unit(Drawn):
    """Steps of one second."""

    def step_s(self, variant: str, batch: int, guided: int | None = None) -> float:
        return 1.0


class HalfSecond(Drawn):
    """Steps of half a second."""

    def __init__(self) -> None:
        super().__init__(0)

    def step_s(self, variant: str, batch: int, guided: int | None = None) -> float:
        return 0.5


def poisson(rate_per_s: float, jobs: int, seed: int, template: Template = ANY) -> list[Arrival]:
    gaps_s = np.random.default_rng([seed, 1]).exponential(1 / rate_per_s, jobs)
    return [Arrival(float(t), template) for t in np.cumsum(gaps_s)]


CONTROL = Hysteresis((4, 8), (1, 4), min_hold_s=0.5)


def full_step_capacity_per_s() -> float:
    costs = Fixed()
    shared_s = 25 * costs.step_s("full", BATCH) / BATCH
    return 1 / (shared_s + costs.encode_s("full") + costs.decode_s("full", 1))


# -- against theory -------------------------------------------------------------------------------


def mean_response_s(rate_per_s: float, costs: Costs, seed: int, engines: int = 1) -> float:
    what = server(costs=costs, batch=1, ladder=ONE_STEP, engines=engines)
    result = simulate(poisson(rate_per_s, 8_000, seed, Template(floor=0)), what)
    return float(result.latencies_s(warm_up=500).mean())


def over_seeds(figure: Callable[[int], float]) -> Interval:
    return confidence_interval([figure(seed) for seed in range(8)], 0.999)


def test_exponential_steps_give_mm1() -> None:
    interval = over_seeds(lambda seed: mean_response_s(0.7, Drawn(seed), seed))
    assert mm1(0.7, 1.0).mean_response_s in interval
    assert interval.half_width < 0.15 * interval.mean


def test_steps_of_one_length_give_md1() -> None:
    interval = over_seeds(lambda seed: mean_response_s(0.7, Unit(0), seed))
    assert md1(0.7, 1.0).mean_response_s in interval
    assert interval.half_width < 0.15 * interval.mean


def test_two_engines_give_mdc_as_approximated() -> None:
    interval = over_seeds(lambda seed: mean_response_s(1.4, Unit(0), seed, 2))
    predicted = mgc(1.4, Deterministic(1.0), 2).mean_response_s
    assert abs(predicted - interval.mean) <= interval.half_width + 0.01 * interval.mean


def test_a_static_run_of_mixed_pictures_gives_mg1() -> None:
    """Jobs of 10 and 40 steps in equal parts, one at a time: service is a sample of two."""
    costs = Fixed()
    services = [s * costs.step_s("full", 1) + 0.004 + 0.006 for s in (10, 40)]
    rate_per_s = 0.75 / float(np.mean(services))
    short, long = (Template(LADDER.last, steps=s, fixed=True) for s in (10, 40))

    def figure(seed: int) -> float:
        coin = np.random.default_rng([seed, 3])
        arrivals = [
            replace(arrival, template=short if coin.random() < 0.5 else long)
            for arrival in poisson(rate_per_s, 5_000, seed)
        ]
        return float(simulate(arrivals, server(batch=1)).latencies_s(warm_up=500).mean())

    interval = over_seeds(figure)
    assert mg1(rate_per_s, Empirical(services)).mean_response_s in interval


@pytest.mark.parametrize(("case_id", "engines"), [("START_D_K5", 1), ("START_D_C4", 4)])
def test_a_threshold_that_binds_at_start_gives_the_reference_values(
    case_id: str, engines: int
) -> None:
    """Full service takes 1 s and half of it at the threshold, judged by who stays behind."""
    cases = json.loads(REFERENCE.read_text())["cases"]
    case = next(case for case in cases if case["id"] == case_id)
    parameters, reference = case["parameters"], case["des_check"]
    ladder = Ladder((Rung("full", 2, "high"), Rung("full", 1, "low")))
    what = server(
        Hysteresis.threshold((parameters["K"],)),
        HalfSecond(),
        batch=1,
        ladder=ladder,
        engines=engines,
        rules=AT_START,
    )
    runs = [
        simulate(poisson(parameters["lam"], 6000, seed, Template(1)), what).records[500:]
        for seed in range(8)
    ]
    figures = [summarise(run) for run in runs]
    for name, values in [
        ("W", [figure.mean_s for figure in figures]),
        ("p95", [figure.p95_s for figure in figures]),
        ("frac_degraded", [figure.degraded_share for figure in figures]),
    ]:
        interval = confidence_interval(values, 0.999)
        assert reference[name]["mean"] in interval
        assert interval.half_width < 0.2 * interval.mean


# -- what control is worth ------------------------------------------------------------------------


def overloaded(controller: Controller, rules: ExitRules = REPLAN) -> Result:
    arrivals = poisson(1.5 * full_step_capacity_per_s(), 2000, 4)
    return simulate(arrivals, server(controller, rules=rules))


def test_at_one_and_a_half_times_capacity_only_control_bounds_the_queue() -> None:
    static, controlled = overloaded(Static()), overloaded(CONTROL)
    half = len(static.records) // 2
    early = np.mean([r.latency_s for r in static.records[:half]])
    late = np.mean([r.latency_s for r in static.records[half:]])
    assert late > 2 * early
    assert max(point.waiting for point in static.timeline) > 500
    assert max(point.waiting for point in controlled.timeline) < 40
    steps_s = 25 * Fixed().step_s("full", 1)
    assert summarise(controlled.records).p95_s < 4 * steps_s
    assert 0 < summarise(controlled.records).degraded_share < 1


def test_replanning_in_flight_answers_sooner_than_binding_at_start() -> None:
    in_flight = summarise(overloaded(CONTROL).records)
    at_start = summarise(overloaded(CONTROL, AT_START).records)
    assert in_flight.mean_s < at_start.mean_s


def test_binding_at_start_never_exits_early() -> None:
    result = overloaded(CONTROL, AT_START)
    assert {record.early_exit for record in result.records} == {"none"}
    assert all(record.steps_run == record.steps_planned for record in result.records)


def test_early_exits_are_recorded_as_what_they_are() -> None:
    exits = [r for r in overloaded(CONTROL).records if r.early_exit == "replan"]
    assert exits
    for record in exits:
        assert record.steps_run is not None
        assert record.steps_planned is not None
        assert record.steps_run < record.steps_planned
        assert record.rung_admitted is not None
        assert record.rung_delivered is not None
        assert record.rung_delivered > record.rung_admitted
        assert record.degraded


def test_a_floor_holds_under_overload() -> None:
    arrivals = poisson(1.5 * full_step_capacity_per_s(), 500, 4, Template(floor=0))
    records = simulate(arrivals, server(CONTROL)).records
    assert {(r.variant, r.steps_run, r.degraded) for r in records} == {("full", 25, False)}


# -- exact small cases ----------------------------------------------------------------------------


def test_one_job_costs_what_the_table_says() -> None:
    overheads = Overheads(network_s=0.1, grant_s=0.2, response_s=0.3)
    (record,) = simulate([Arrival(1.0, ANY)], server(overheads=overheads)).records
    assert record.started_s == pytest.approx(1.0 + 0.1 + 0.2)
    work_s = 0.004 + 25 * 0.015 + 0.006
    assert record.finished_s == pytest.approx(1.3 + work_s)
    assert record.answered_s == pytest.approx(1.3 + work_s + 0.3)
    assert record.latency_s == pytest.approx(0.6 + work_s)
    assert (record.status, record.steps_run, record.early_exit) == ("ok", 25, "none")


def test_a_text_in_the_cache_costs_nothing() -> None:
    cached = replace(ANY, encodes=False)
    (record,) = simulate([Arrival(0.0, cached)], server()).records
    assert record.latency_s == pytest.approx(25 * 0.015 + 0.006)


def test_a_job_joins_a_running_batch_at_the_next_boundary() -> None:
    first, second = simulate([Arrival(0.0, ANY), Arrival(0.010, ANY)], server()).records
    boundary_s = 0.004 + 0.015
    assert second.started_s == pytest.approx(boundary_s)
    # The first runs 24 more steps in company and waits for the newcomer's encoding once.
    assert first.finished_s == pytest.approx(boundary_s + 0.004 + 24 * 0.020 + 0.006)


def test_a_grant_on_its_way_misses_the_boundary_that_begins_meanwhile() -> None:
    arrivals = [Arrival(0.0, ANY), Arrival(0.0, ANY), Arrival(0.0, replace(ANY, steps=1))]
    late = server(batch=2, overheads=Overheads(grant_s=0.001))
    records = simulate([arrivals[0], arrivals[2], arrivals[1]], late).records
    assert records[1].finished_s is not None
    assert records[2].started_s == pytest.approx(records[1].finished_s + 0.015)


def test_a_rung_announced_while_a_job_runs_shortens_it_at_the_next_boundary() -> None:
    burst = [Arrival(0.0, ANY)] + [Arrival(0.1, ANY)] * 4
    first = simulate(burst, server(Hysteresis.threshold((4, 40)), batch=1)).records[0]
    # 0.1 s is within step 7 (0.004 + 7 * 0.015 = 0.109): ceil((25 - 7) * 10 / 25) = 8 are left.
    assert (first.steps_planned, first.steps_run) == (25, 7 + 8)
    assert first.finished_s == pytest.approx(0.004 + 15 * 0.015 + 0.006)


def test_variants_in_one_engine_take_turns_within_a_boundary() -> None:
    arrivals = [Arrival(0.0, ANY), Arrival(0.0, replace(ANY, variant="turbo"))]
    full, turbo = simulate(arrivals, server()).records
    assert turbo.started_s == pytest.approx(0.004)
    work_s = 2 * 0.004 + 4 * (0.015 + 0.0075) + 0.006
    assert turbo.finished_s == pytest.approx(work_s)
    assert full.finished_s == pytest.approx(work_s + 21 * 0.015 + 0.006)


def test_a_deadline_that_passes_in_line_expires_the_job() -> None:
    hurried = replace(ANY, deadline_after_s=0.2)
    records = simulate([Arrival(0.0, ANY), Arrival(0.0, hurried)], server(batch=1)).records
    assert [r.status for r in records] == ["ok", "expired"]
    assert records[1].answered_s == pytest.approx(0.2)


def test_a_full_line_rejects() -> None:
    result = simulate([Arrival(0.0, ANY)] * 3, server(batch=1, max_waiting=1))
    assert [r.status for r in result.records] == ["ok", "ok", "rejected"]


def test_a_client_that_hangs_up_frees_its_place_at_the_next_boundary() -> None:
    leaving = replace(ANY, hang_up_after_s=0.1)
    result = simulate([Arrival(0.0, leaving), Arrival(0.0, ANY)], server(batch=1))
    assert [r.status for r in result.records] == ["cancelled", "ok"]
    assert result.records[1].started_s == pytest.approx(0.004 + 7 * 0.015)
    assert result.counts.cancelled == 1


def test_quality_comes_back_after_the_hold_while_nothing_arrives() -> None:
    slow = server(Hysteresis((1, 2), (0, 1), min_hold_s=0.3), batch=1)
    burst = [Arrival(0.0, ANY)] * 4 + [Arrival(30.0, ANY)]
    result = simulate(burst, replace(slow, hold_s=0.3))
    assert max(point.rung for point in result.timeline) == 2
    assert [p.rung for p in result.timeline if p.t_s < 30.0][-1] == 0
    assert result.records[-1].rung_delivered == 0


# -- always ---------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    gaps_s=st.lists(st.floats(0.0, 0.3), min_size=1, max_size=40),
    templates=st.lists(
        st.builds(
            Template,
            floor=st.integers(0, LONG.last),
            steps=st.none() | st.integers(1, 40),
            deadline_after_s=st.none() | st.floats(0.0, 2.0),
            hang_up_after_s=st.none() | st.floats(0.0, 2.0),
        ),
        min_size=1,
        max_size=5,
    ),
    batch=st.integers(1, 5),
    engines=st.integers(1, 3),
    grant_s=st.sampled_from([0.0, 0.003]),
    way=st.sampled_from(["at_start", "in_flight", "finish_now", "hand_over"]),
)
def test_every_job_is_answered_once_and_in_due_time(
    gaps_s: list[float],
    templates: list[Template],
    batch: int,
    engines: int,
    grant_s: float,
    way: str,
) -> None:
    times_s = itertools.accumulate(gaps_s)
    arrivals = [
        Arrival(t, template)
        for t, template in zip(times_s, itertools.cycle(templates), strict=False)
    ]
    what = server(
        Hysteresis((4, 6, 7, 8), (1, 3, 4, 5), min_hold_s=0.5),
        batch=batch,
        ladder=LONG,
        engines=engines,
        rules=ExitRules.applied(way, 0.5, LONG),
        overheads=Overheads(0.001, grant_s, 0.002),
        max_waiting=10,
    )
    result = simulate(arrivals, what)
    assert [record.index for record in result.records] == list(range(len(arrivals)))
    counts = result.counts
    assert (counts.waiting, counts.running) == (0, 0)
    by_status = [r.status for r in result.records]
    # A client may hang up while its picture is on the way to it: both count it as they saw it.
    assert by_status.count("ok") <= counts.finished
    assert by_status.count("expired") == counts.expired
    assert by_status.count("rejected") == counts.rejected
    assert counts.admitted + counts.rejected == len(arrivals)
    for record in result.records:
        template = arrivals[record.index].template
        if record.status == "ok":
            assert record.started_s is not None
            assert record.finished_s is not None
            assert record.rung_delivered is not None
            assert record.scheduled_s < record.started_s < record.finished_s < record.answered_s
            assert record.rung_delivered <= template.floor
    assert all(point.running <= batch * engines for point in result.timeline)
    times = [point.t_s for point in result.timeline]
    assert times == sorted(times)


def test_the_same_arrivals_give_the_same_result() -> None:
    assert overloaded(CONTROL) == overloaded(CONTROL)


# -- errors ---------------------------------------------------------------------------------------


def test_arrivals_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="sort them by time"):
        simulate([Arrival(1.0, ANY), Arrival(0.0, ANY)], server())


def test_jobs_that_no_engine_can_ever_take_are_reported() -> None:
    stuck = replace(server(), engines=(EngineSpec("e", 1, frozenset({"turbo"})),))
    with pytest.raises(ValueError, match="1 jobs can never start"):
        simulate([Arrival(0.0, Template(floor=0))], stuck)


def test_servers_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one engine"):
        replace(server(), engines=())
    with pytest.raises(ValueError, match="same engine_id"):
        replace(server(), engines=(EngineSpec("e", 1), EngineSpec("e", 2)))
    with pytest.raises(ValueError, match="must not be negative"):
        Overheads(network_s=-1.0)
