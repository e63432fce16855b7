"""The compiled simulator agrees with theory, keeps its books, and repeats itself by the seed."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.models.lines import md1, mg1, mm1, mmc
from analysis.models.steady import Prediction, Unstable
from analysis.records import summarise
from analysis.service_times import Deterministic, Empirical, Gamma, Lognormal, exponential
from analysis.textbook.models import (
    Arrivals,
    Bulk,
    InFlight,
    Mmpp,
    OneLine,
    Poisson,
    Server,
    StartThreshold,
)
from analysis.textbook.simulation import Figures, Run, intervals, replicate, simulate

JOINTLY = 1 - 0.01 / 30
"""Level of each interval, so that about thirty hold at once with 99 % (Bonferroni)."""

WORK = exponential(1.0)
SAMPLE = Empirical(np.linspace(0.5, 2.0, 61))
SERVERS: list[tuple[Arrivals, Server]] = [
    (Poisson(0.8), OneLine(WORK)),
    (Poisson(3.0), OneLine(Gamma(1.0, 0.5), 4)),
    (Poisson(1.2), OneLine(Deterministic(1.0), 1, StartThreshold(5, 2.0))),
    (Poisson(4.4), OneLine(WORK, 4, patience=exponential(2.0))),
    (Poisson(1.2), InFlight(WORK, 1.0, 2.0, up_at=8, down_at=3)),
    (Mmpp((1.5, 0.3), (0.1, 0.05)), InFlight(Deterministic(3.0), 1.0, 2.0, up_at=5, servers=3)),
    (Poisson(2.4), Bulk(0.5, 0.25, 8)),
]


def small(arrivals: Arrivals, server: Server, jobs: int = 2000, seed: int = 5) -> Run:
    return simulate(arrivals, server, jobs, seed, warm_up=0)


# -- theory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrivals", "server", "theory"),
    [
        (Poisson(0.7), OneLine(WORK), mm1(0.7, 1.0)),
        (Poisson(0.35), OneLine(Deterministic(2.0)), md1(0.35, 2.0)),
        (Poisson(5.0), OneLine(WORK, 7), mmc(5.0, 1.0, 7)),
        (Poisson(0.6), OneLine(Lognormal(1.0, 0.8)), mg1(0.6, Lognormal(1.0, 0.8))),
        (Poisson(0.7), OneLine(Gamma(1.0, 1 / 3)), mg1(0.7, Gamma(1.0, 1 / 3))),
        (Poisson(0.5), OneLine(SAMPLE), mg1(0.5, SAMPLE)),
        # Speeds that do not differ make a threshold server the plain one.
        (Poisson(0.7), InFlight(WORK, 1.0, 1.0, up_at=3), mm1(0.7, 1.0)),
        # A batch of one is a deterministic server.
        (Poisson(0.7), Bulk(0.4, 0.6, 1), md1(0.7, 1.0)),
    ],
)
def test_theory_is_met(arrivals: Poisson, server: Server, theory: Prediction) -> None:
    found = intervals(replicate(arrivals, server, 100_000, 1, 20), JOINTLY)
    assert theory.mean_wait_s in found["mean_wait_s"]
    assert theory.mean_response_s in found["mean_response_s"]
    assert theory.p50_s in found["p50_s"]
    assert theory.p95_s in found["p95_s"]
    assert theory.p99_s in found["p99_s"]
    assert theory.utilisation in found["utilisation"]


@pytest.mark.parametrize("servers", [1, 4])
def test_the_line_and_the_clock_of_work_agree_job_by_job(servers: int) -> None:
    # Two loops that share no code beyond the heap, fed the same jobs.
    arrivals = Poisson(0.9 * servers)
    line = simulate(arrivals, OneLine(WORK, servers), 20_000, 1)
    clock = simulate(arrivals, InFlight(WORK, 1.0, 1.0, up_at=4, servers=servers), 20_000, 1)
    np.testing.assert_allclose(clock.started_s, line.started_s, atol=1e-7)
    np.testing.assert_allclose(clock.left_s, line.left_s, atol=1e-7)
    assert clock.figures.utilisation == pytest.approx(line.figures.utilisation, rel=1e-9)
    assert clock.figures.mean_in_system == pytest.approx(line.figures.mean_in_system, rel=1e-9)


# -- books ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arrivals", "server"), SERVERS)
def test_littles_law_holds_within_a_run(arrivals: Arrivals, server: Server) -> None:
    run = small(arrivals, server)
    begin_s, end_s = run.arrived_s[run.first], run.arrived_s[run.stop]
    # Steps of the number in the system, apart from anything that the simulator integrates.
    moments_s = np.concatenate([run.arrived_s, run.left_s])
    change = np.repeat([1, -1], run.arrived_s.size)
    order = np.argsort(moments_s, kind="stable")
    inside = np.clip(moments_s[order], begin_s, end_s)
    in_system_s = float(np.diff(inside) @ np.cumsum(change[order])[:-1])
    stays_s = np.minimum(run.left_s, end_s) - np.maximum(run.arrived_s, begin_s)
    assert in_system_s == pytest.approx(stays_s[stays_s > 0].sum(), rel=1e-9)
    assert run.figures.mean_in_system == pytest.approx(in_system_s / (end_s - begin_s), rel=1e-9)


@pytest.mark.parametrize(("arrivals", "server"), SERVERS[:5])
def test_littles_law_is_exact_between_empty_moments(arrivals: Arrivals, server: Server) -> None:
    whole = small(arrivals, server)
    empty = [job for job in range(1, 2000) if whole.left_s[:job].max() <= whole.arrived_s[job]]
    run = small(arrivals, server, 2000)
    stop = empty[-1]
    # The same run, its books closed when nobody was there.
    closed = simulate(arrivals, server, stop, 5, warm_up=0, cool_down=run.arrived_s.size - stop)
    np.testing.assert_array_equal(closed.left_s, run.left_s)
    stays_s = closed.left_s[:stop] - closed.arrived_s[:stop]
    little = closed.figures.arrivals_per_s * stays_s.mean()
    assert closed.figures.mean_in_system == pytest.approx(little, rel=1e-9)


@pytest.mark.parametrize(("arrivals", "server"), SERVERS)
def test_the_same_seed_gives_the_same_run_and_another_seed_another(
    arrivals: Arrivals, server: Server
) -> None:
    one, same, other = (small(arrivals, server, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one.left_s, same.left_s)
    assert one.figures == same.figures
    assert one.figures != other.figures


def test_replications_are_independent_and_repeat_by_the_seed() -> None:
    calls: list[None] = []

    def runs(seed: int) -> list[float]:
        figures = replicate(*SERVERS[0], 2000, seed, 50, finished=lambda: calls.append(None))
        return [one.mean_response_s for one in figures]

    first, again, other = runs(1), runs(1), runs(2)
    assert first == again
    assert len(calls) == 150
    assert len(set(first + other)) == 100
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 4 / math.sqrt(49)


def test_percentiles_and_shares_are_over_the_jobs_that_count() -> None:
    arrivals, server = SERVERS[4]
    run = simulate(arrivals, server, 3000, 1, warm_up=500)
    assert (run.first, run.stop, run.arrived_s.size) == (500, 3500, 5500)
    response_s = (run.left_s - run.arrived_s)[500:3500]
    assert run.figures.p95_s == np.percentile(response_s, 95)
    assert run.figures.mean_response_s == pytest.approx(response_s.mean(), rel=1e-12)
    assert run.figures.fast_share == run.fast[500:3500].mean()
    assert run.figures.jobs == 3000


@settings(deadline=None, max_examples=60)
@given(
    servers=st.integers(1, 5),
    load=st.floats(0.3, 0.95),
    seed=st.integers(0, 10**6),
    waiting=st.none() | st.integers(0, 4),
    lower=st.none() | st.integers(0, 3),
)
def test_a_line_is_served_in_order_and_never_idles(
    servers: int, load: float, seed: int, waiting: int | None, lower: int | None
) -> None:
    threshold = None
    if waiting is not None:
        lower = lower if lower is not None and lower < waiting else None
        threshold = StartThreshold(waiting, 3.0, lower)
    server = OneLine(Gamma(1.0, 0.7), servers, threshold)
    run = simulate(Poisson(load * servers), server, 300, seed, warm_up=0)
    assert (np.diff(run.started_s) >= 0).all()
    assert (run.started_s >= run.arrived_s).all()
    is_fast = False
    for job in range(run.stop):
        begun_s = run.started_s[job]
        others = (run.started_s[:job] <= begun_s) & (run.left_s[:job] > begun_s)
        assert others.sum() < servers
        if begun_s > run.arrived_s[job]:  # it waited, so a server became free just then
            assert (run.left_s[:job] == begun_s).any()
        if threshold is not None:
            behind = (run.arrived_s[job + 1 :] <= begun_s).sum()
            stays = lower is not None and is_fast and behind > lower
            is_fast = behind >= threshold.waiting or stays
            assert run.fast[job] == is_fast


def test_hysteresis_at_the_start_switches_less_often() -> None:
    def figures(back_at: int | None) -> Figures:
        server = OneLine(Deterministic(1.0), 1, StartThreshold(5, 2.0, back_at))
        return simulate(Poisson(1.2), server, 50_000, 1).figures

    plain, same, wide = figures(None), figures(4), figures(1)
    assert plain == same
    assert wide.switch_ups_per_s is not None
    assert plain.switch_ups_per_s is not None
    assert 0 < wide.switch_ups_per_s < 0.7 * plain.switch_ups_per_s
    assert wide.mean_wait_s < plain.mean_wait_s


def test_jobs_that_give_up_do_so_only_when_their_patience_ends() -> None:
    run = small(*SERVERS[3], jobs=5000)
    gave_up = np.isnan(run.started_s[: run.stop])
    assert run.figures.abandoned_share == pytest.approx(gave_up.mean())
    for job in np.flatnonzero(gave_up)[:200]:
        # All servers were busy with jobs that came before it all the while.
        served = ~np.isnan(run.started_s[:job])
        began_s, left_s = run.started_s[:job][served], run.left_s[:job][served]
        moment_s = run.left_s[job] - 1e-9
        assert ((began_s <= moment_s) & (left_s > moment_s)).sum() == 4


def test_without_impatience_everybody_is_served_in_the_end() -> None:
    patient = OneLine(WORK, 4, patience=Deterministic(1e9))
    served = simulate(Poisson(3.0), patient, 2000, 1).figures
    plain = simulate(Poisson(3.0), OneLine(WORK, 4), 2000, 1).figures
    assert served.abandoned_share == 0.0
    assert replace(served, abandoned_share=None) == plain


# -- records --------------------------------------------------------------------------------------


def test_records_are_those_of_the_other_simulator() -> None:
    run = small(*SERVERS[3])
    records = run.to_records(2000)
    summary = summarise(records)
    assert summary.requests == 2000
    assert summary.mean_s == pytest.approx(run.figures.mean_response_s, rel=1e-12)
    assert summary.p99_s == pytest.approx(run.figures.p99_s, rel=1e-12)
    gave_up = [record for record in records if record.status == "cancelled"]
    assert len(gave_up) / 2000 == pytest.approx(run.figures.abandoned_share)
    assert gave_up[0].started_s is None
    assert gave_up[0].finished_s is None
    assert gave_up[0].latency_s > 0


def test_records_can_be_limited_and_begin_behind_the_warm_up() -> None:
    run = simulate(*SERVERS[2], 1000, 1, warm_up=100)
    records = run.to_records(10)
    assert [record.index for record in records] == list(range(10))
    assert records[0].scheduled_s == run.arrived_s[100]
    assert [record.degraded for record in records] == run.fast[100:110].tolist()
    assert len(run.to_records()) == 1000
    with pytest.raises(ValueError, match="limit 0"):
        run.to_records(0)


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "server",
    [
        OneLine(WORK, 2),
        OneLine(WORK, 1, StartThreshold(3, 2.0)),
        InFlight(WORK, 1.0, 2.0, up_at=3),
        Bulk(1.0, 0.25, 4),
    ],
)
def test_more_than_the_server_can_do_is_refused(server: Server) -> None:
    with pytest.raises(Unstable, match=r"utilisation 1\.05"):
        simulate(Poisson(2.1), server, 100, 1)


def test_a_line_that_outlasts_the_cool_down_is_refused() -> None:
    with pytest.raises(ValueError, match="allow a longer cool_down"):
        simulate(Poisson(0.99), OneLine(WORK), 5000, 1, cool_down=1)


@pytest.mark.parametrize(
    ("jobs", "warm_up", "cool_down"), [(0, None, 10), (10, -1, 10), (10, None, 0)]
)
def test_impossible_lengths_are_refused(jobs: int, warm_up: int | None, cool_down: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        simulate(*SERVERS[0], jobs, 1, warm_up=warm_up, cool_down=cool_down)


def test_no_replications_are_refused() -> None:
    with pytest.raises(ValueError, match="replications 0"):
        replicate(*SERVERS[0], 10, 1, 0)


def test_a_run_in_which_everybody_gives_up_is_refused() -> None:
    hopeless = OneLine(Deterministic(1e6), 1, patience=Deterministic(1e-9))
    with pytest.raises(ValueError, match="every job gave up"):
        simulate(Poisson(1.0), hopeless, 100, 1, warm_up=50)


def test_the_rest_of_the_analysis_does_not_load_numba() -> None:
    code = (
        "import sys, analysis.models.lines, analysis.records, analysis.textbook.command;"
        " sys.exit('numba' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
