"""Engines that fail in a simulation lose their work and no job."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.simulator import Arrival, EngineSpec, Failure, Overheads, Server, Template, simulate
from policies.controllers import Hysteresis
from tests.analysis.simulated_servers import ANY, server

ALONE_S = 0.004 + 25 * 0.015 + 0.006


def failing(what: Server, *failures: Failure) -> Server:
    return replace(what, failures=failures)


def test_what_ran_in_a_failed_engine_runs_again_from_the_start_in_another() -> None:
    what = failing(server(batch=1, engines=2), Failure("e0", 0.2))
    lost, other = simulate([Arrival(0.0, ANY), Arrival(0.0, ANY)], what).records
    assert (lost.lost, other.lost) == (1, 0)
    assert (lost.engine_id, other.engine_id) == ("e1", "e1")
    assert lost.started_s == pytest.approx(ALONE_S)
    assert lost.latency_s == pytest.approx(2 * ALONE_S)
    assert lost.steps_run == 25


def test_a_lost_job_keeps_its_place_in_the_line() -> None:
    what = failing(server(batch=1, engines=2), Failure("e0", 0.2))
    records = simulate([Arrival(0.0, ANY)] * 4, what).records
    assert [record.lost for record in records] == [1, 0, 0, 0]
    starts_s = [record.started_s for record in records]
    assert sorted(starts_s, key=lambda start_s: start_s or 0.0) == [
        starts_s[i] for i in (1, 0, 2, 3)
    ]


def test_an_engine_that_is_back_takes_jobs_again_and_knows_the_rung() -> None:
    pressed = server(Hysteresis.threshold((2, 40)), batch=1)
    what = failing(pressed, Failure("e0", 0.1, 1.0))
    records = simulate([Arrival(0.0, ANY)] * 4, what).records
    assert [record.lost for record in records] == [1, 0, 0, 0]
    assert records[0].started_s == pytest.approx(1.0)
    assert (records[0].rung_admitted, records[0].steps_run) == (1, 10)


def test_a_grant_on_its_way_to_an_engine_that_fails_is_given_to_another() -> None:
    what = failing(
        server(batch=1, engines=2, overheads=Overheads(grant_s=0.3)), Failure("e0", 0.9, 1.1)
    )
    record = simulate([Arrival(0.7, ANY)], what).records[0]
    assert (record.lost, record.engine_id) == (1, "e1")
    assert record.started_s == pytest.approx(0.9 + 0.3)


def test_an_engine_that_has_failed_is_granted_nothing() -> None:
    what = failing(server(batch=1, engines=2), Failure("e0", 1.0))
    first, late = simulate([Arrival(0.0, ANY), Arrival(1.5, ANY)], what).records
    assert (first.engine_id, late.engine_id, late.lost) == ("e0", "e1", 0)


def test_jobs_that_wait_for_an_engine_that_never_comes_back_are_reported() -> None:
    what = failing(server(batch=1), Failure("e0", 0.1))
    with pytest.raises(ValueError, match="let one that fails come back"):
        simulate([Arrival(0.0, ANY)], what)


def test_only_work_that_was_done_counts_as_busy() -> None:
    what = failing(server(batch=1, engines=2), Failure("e0", 0.2))
    busy_s = simulate([Arrival(0.0, ANY), Arrival(0.0, ANY)], what).busy_s
    assert busy_s == {"e0": pytest.approx(0.2), "e1": pytest.approx(2 * ALONE_S)}


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    batch=st.integers(1, 4),
    grant_s=st.sampled_from([0.0, 0.004]),
    downs=st.lists(
        st.tuples(st.integers(0, 2), st.floats(0.0, 4.0), st.floats(0.01, 3.0)), max_size=6
    ),
)
def test_no_job_is_lost_or_answered_twice(
    seed: int, batch: int, grant_s: float, downs: list[tuple[int, float, float]]
) -> None:
    rng = np.random.default_rng(seed)
    times_s = np.cumsum(rng.exponential(0.05, 60))
    hurried = [ANY, Template(0), replace(ANY, deadline_after_s=1.0, hang_up_after_s=1.5)]
    arrivals = [Arrival(float(t), hurried[i % 3]) for i, t in enumerate(times_s)]
    failures: list[Failure] = []
    up_s = [0.0, 0.0, 0.0]
    for engine, after_s, down_s in downs:
        at_s = up_s[engine] + after_s + 1e-3
        up_s[engine] = at_s + down_s
        failures.append(Failure(f"e{engine}", at_s, up_s[engine]))
    control = Hysteresis((4, 8), (1, 4), min_hold_s=0.5)
    what = server(control, batch=batch, engines=3, overheads=Overheads(0.001, grant_s, 0.002))
    result = simulate(arrivals, failing(what, *failures))
    assert [record.index for record in result.records] == list(range(60))
    counts = result.counts
    statuses = [record.status for record in result.records]
    assert (counts.waiting, counts.running) == (0, 0)
    assert counts.admitted == 60
    assert counts.finished == statuses.count("ok")
    assert counts.expired == statuses.count("expired")
    assert counts.requeued == sum(record.lost for record in result.records)
    gaps = [(f.engine_id, f.at_s, f.back_s) for f in failures]
    for record in result.records:
        for engine_id, at_s, back_s in gaps:
            if record.engine_id == engine_id and record.started_s and record.finished_s:
                assert record.finished_s <= at_s + 1e-9 or record.started_s >= back_s


@pytest.mark.parametrize(
    ("failures", "says"),
    [
        ([Failure("e7", 1.0)], "no engine 'e7'"),
        ([Failure("e0", 1.0, 3.0), Failure("e0", 2.0, 5.0)], "down already"),
    ],
)
def test_failures_that_cannot_be_are_refused(failures: list[Failure], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        failing(server(), *failures)


def test_a_failure_ends_after_it_begins() -> None:
    assert Failure("e", 1.0).back_s == math.inf
    with pytest.raises(ValueError, match="later one to come back"):
        Failure("e", 2.0, 1.0)


def test_an_engine_without_a_cost_table_is_refused() -> None:
    with pytest.raises(ValueError, match="pool 'gpu', which has no cost table"):
        replace(server(), engines=(EngineSpec("e", 1, pool="gpu"),))
