"""The models beside Ciw, a queueing simulator that shares no line with this repository."""

from __future__ import annotations

from typing import Any

import ciw
import numpy as np

from analysis.models.erlang_servers import mekc
from analysis.models.impatience import erlang_a
from analysis.models.lines import mdc, mmc
from analysis.models.starts import start_exponential
from analysis.models.steady import Prediction
from analysis.records import Interval, confidence_interval


def ciw_figures(service: Any, rate_per_s: float, servers: int, **more: Any) -> list[Interval]:
    """Mean wait, mean response and 95th percentile of those served, over seven runs."""
    runs = []
    for seed in range(7):
        ciw.seed(seed)
        network = ciw.create_network(
            arrival_distributions=[ciw.dists.Exponential(rate=rate_per_s)],
            service_distributions=[service],
            number_of_servers=[servers],
            **more,
        )
        simulation = ciw.Simulation(network)
        simulation.simulate_until_max_time(1800 / rate_per_s)
        jobs = [r for r in simulation.get_all_records() if r.record_type == "service"][200:]
        response = [r.exit_date - r.arrival_date for r in jobs]
        wait = float(np.mean([r.waiting_time for r in jobs]))
        runs.append((wait, float(np.mean(response)), float(np.percentile(response, 95))))
    return [confidence_interval(column, 0.9999) for column in zip(*runs, strict=True)]


def assert_inside(said: Prediction, found: list[Interval], wait_s: float | None = None) -> None:
    assert (said.mean_wait_s if wait_s is None else wait_s) in found[0]
    assert said.mean_response_s in found[1]
    assert said.p95_s in found[2]


def test_static_lines_agree() -> None:
    assert_inside(mmc(1.4, 1.0, 2), ciw_figures(ciw.dists.Exponential(rate=1.0), 1.4, 2))
    assert_inside(mdc(2.1, 1.0, 3), ciw_figures(ciw.dists.Deterministic(value=1.0), 2.1, 3))
    erlang = ciw.dists.Erlang(rate=4.0, num_phases=4)
    assert_inside(mekc(1.4, 1.0, 4, 2), ciw_figures(erlang, 1.4, 2))


def test_impatient_jobs_agree() -> None:
    patience = [ciw.dists.Exponential(rate=0.5)]
    found = ciw_figures(
        ciw.dists.Exponential(rate=1.0), 2.4, 2, reneging_time_distributions=patience
    )
    said = erlang_a(2.4, 1.0, 2, 0.5)
    assert_inside(said, found, wait_s=said.mean_response_s - 1.0)


class FastBehindALine(ciw.dists.Distribution):  # type: ignore[misc]
    """Exponential with rate 2 if at least two wait behind the job that starts, else rate 1."""

    def sample(self, t: float | None = None, ind: Any = None) -> float:
        node = self.simulation.nodes[1]
        waits = sum(1 for one in node.all_individuals if not one.server and one is not ind)
        return float(self.draws.exponential()) / (2.0 if waits >= 2 else 1.0)

    draws = np.random.default_rng(1)


def test_speeds_fixed_at_the_start_agree() -> None:
    found = ciw_figures(FastBehindALine(), 1.3, 1)
    assert_inside(start_exponential(1.3, 1.0, 2.0, 2), found)
