"""Away from the reference's parameters the models lie within the compiled simulator's intervals."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from analysis.models.bulk import bulk
from analysis.models.erlang_servers import mekc
from analysis.models.impatience import erlang_a
from analysis.models.lines import mdc, mg1, mgc
from analysis.models.midflight import in_flight_deterministic
from analysis.models.starts import start_deterministic, start_exponential
from analysis.models.steady import Prediction
from analysis.models.thresholds import hysteresis, mmpp_m1, threshold
from analysis.records import Interval
from analysis.service_times import Deterministic, Gamma, Lognormal, exponential
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
from analysis.textbook.simulation import intervals, replicate

LEVEL = 0.9999  # of each interval: about 150 are asked here
FIGURES = ("mean_wait_s", "mean_response_s", "p50_s", "p95_s", "p99_s", "utilisation")
BURSTS = Mmpp((2.0, 0.0), (0.4, 0.2))

GRID: list[tuple[str, Callable[[], Prediction], Arrivals, Server]] = [
    ("M/D/3", partial(mdc, 2.4, 1.0, 3), Poisson(2.4), OneLine(Deterministic(1.0), 3)),
    ("M/E3/2", partial(mekc, 1.5, 1.0, 3, 2), Poisson(1.5), OneLine(Gamma(1.0, 1 / 3), 2)),
    (
        "M/LN/1",
        partial(mg1, 0.6, Lognormal(1.0, 0.5)),
        Poisson(0.6),
        OneLine(Lognormal(1.0, 0.5)),
    ),
    (
        "threshold",
        partial(threshold, Poisson(2.5), 1.0, 1.7, 6, 3),
        Poisson(2.5),
        InFlight(exponential(1.0), 1.0, 1.7, 6, servers=3),
    ),
    (
        "threshold below the servers",
        partial(threshold, Poisson(3.0), 1.0, 2.5, 2, 4),
        Poisson(3.0),
        InFlight(exponential(1.0), 1.0, 2.5, 2, servers=4),
    ),
    (
        "hysteresis",
        partial(hysteresis, Poisson(2.6), 1.0, 2.0, 7, 2, 2),
        Poisson(2.6),
        InFlight(exponential(1.0), 1.0, 2.0, 7, 2, 2),
    ),
    (
        "hysteresis in bursts",
        partial(hysteresis, BURSTS, 1.0, 2.4, 4, 0),
        BURSTS,
        InFlight(exponential(1.0), 1.0, 2.4, 4, 0),
    ),
    ("MMPP/M/1", partial(mmpp_m1, BURSTS, 1.4), BURSTS, OneLine(exponential(1 / 1.4))),
    (
        "start, exponential",
        partial(start_exponential, 3.9, 1.0, 2.0, 2, 3),
        Poisson(3.9),
        OneLine(exponential(1.0), 3, StartThreshold(2, 2.0)),
    ),
    (
        "start, always fast",
        partial(start_exponential, 2.0, 1.0, 2.0, 0, 2),
        Poisson(2.0),
        OneLine(exponential(1.0), 2, StartThreshold(0, 2.0)),
    ),
    (
        "start, deterministic",
        partial(start_deterministic, 1.4, 1.0, 0.37, 2),
        Poisson(1.4),
        OneLine(Deterministic(1.0), 1, StartThreshold(2, 1 / 0.37)),
    ),
    (
        "in flight, deterministic",
        partial(in_flight_deterministic, 1.5, 1.0, 0.45, 3),
        Poisson(1.5),
        InFlight(Deterministic(1.0), 1.0, 1 / 0.45, 3),
    ),
    ("bulk", partial(bulk, 2.2, 0.6, 0.15, 3), Poisson(2.2), Bulk(0.6, 0.15, 3)),
    ("bulk, no setup", partial(bulk, 1.6, 0.0, 0.5, 4), Poisson(1.6), Bulk(0.0, 0.5, 4)),
    (
        "Erlang A",
        partial(erlang_a, 3.0, 1.0, 2, 2.0),
        Poisson(3.0),
        OneLine(exponential(1.0), 2, patience=exponential(0.5)),
    ),
]


def simulated(arrivals: Arrivals, server: Server, jobs: int = 60_000) -> dict[str, Interval]:
    return intervals(replicate(arrivals, server, jobs, 5, 8), LEVEL)


@pytest.mark.parametrize(
    ("model", "arrivals", "server"), [row[1:] for row in GRID], ids=[row[0] for row in GRID]
)
def test_a_model_lies_within_the_simulators_interval(
    model: Callable[[], Prediction], arrivals: Arrivals, server: Server
) -> None:
    said, found = model(), simulated(arrivals, server)
    for figure in FIGURES:
        assert getattr(said, figure) in found[figure], figure
    if said.degraded_share is not None:
        share = found["fast_share"]
        assert said.degraded_share == pytest.approx(share.mean, abs=share.half_width + 1e-12)
    if "abandoned_share" in found:
        lost = 1 - said.throughput_per_s / arrivals.mean_rate_per_s
        assert lost in found["abandoned_share"]


@pytest.mark.parametrize("cv2", [0.3, 0.7, 2.0])
def test_the_approximation_for_many_servers_is_as_good_as_it_says(cv2: float) -> None:
    service = Lognormal(1.0, cv2)
    said = mgc(3.0, service, 4)
    found = simulated(Poisson(3.0), OneLine(service, 4), 200_000)["mean_response_s"]
    assert said.error_estimate is not None
    room = found.half_width + said.error_estimate * found.mean
    assert said.mean_response_s == pytest.approx(found.mean, abs=room)
